//! Reads recorded counts and hints. Each error names file, line and field.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs::File,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use csv::StringRecord;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use crate::anomaly::Metric;

/// Rows that the step is found from.
const SAMPLE: usize = 20_000;
const MINUTE: NonZeroU32 = NonZeroU32::new(60).expect("not zero");
/// About the years 1 to 9999.
const TIMES: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

#[derive(Debug, thiserror::Error)]
pub(super) enum InputError {
    #[error("`{}`: cannot be read", path.display())]
    Open {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("`{}`: is no regular file; write the rows to a file first", path.display())]
    NoFile { path: PathBuf },
    #[error("`{}`: no column `{name}` in the header; add one", path.display())]
    NoColumn { path: PathBuf, name: &'static str },
    #[error("`{}`: no rows below the header", path.display())]
    Empty { path: PathBuf },
    #[error("`{}` line {line}: no CSV in UTF-8", path.display())]
    Row {
        path: PathBuf,
        line: u64,
        source: csv::Error,
    },
    #[error("`{}` line {line}, {field} `{text}`: {what}", path.display())]
    Field {
        path: PathBuf,
        line: u64,
        field: &'static str,
        text: String,
        what: &'static str,
    },
}

/// For each series, instants in seconds since 1970, in order.
pub(super) type Hints = HashMap<String, VecDeque<i64>>;

/// One row. The strings are those of the file.
pub(super) struct Row<'r> {
    pub(super) series: &'r str,
    pub(super) metric: Option<Metric>,
    pub(super) timestamp: &'r str,
    pub(super) at: i64,
    /// `None`: not known.
    pub(super) value: Option<f32>,
}

#[derive(Clone, Copy)]
struct Columns {
    series: Option<usize>,
    metric: Option<usize>,
    timestamp: usize,
    value: Option<usize>,
}

/// A file of counts, read once from the begin to the end.
pub(super) struct Rows {
    path: PathBuf,
    reader: csv::Reader<File>,
    columns: Columns,
    record: StringRecord,
    may_be_negative: bool,
}

impl Rows {
    pub(super) fn open(path: &Path, may_be_negative: bool) -> Result<Self, InputError> {
        let (reader, columns) = open(path)?;
        if columns.value.is_none() {
            let path = path.to_owned();
            return Err(InputError::NoColumn {
                path,
                name: "value",
            });
        }
        Ok(Self {
            path: path.to_owned(),
            reader,
            columns,
            record: StringRecord::new(),
            may_be_negative,
        })
    }

    /// The next row, or `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Row<'_>>, InputError> {
        if !read(&self.path, &mut self.reader, &mut self.record)? {
            return Ok(None);
        }
        let record = &self.record;
        let fields = Fields {
            path: &self.path,
            record,
        };
        let text = |column: Option<usize>| column.and_then(|column| record.get(column));
        let value = text(self.columns.value).unwrap_or_default().trim();
        let timestamp = record.get(self.columns.timestamp).unwrap_or_default();
        Ok(Some(Row {
            series: text(self.columns.series).unwrap_or_default(),
            metric: match text(self.columns.metric) {
                Some(metric) => Some(fields.metric(metric)?),
                None => None,
            },
            timestamp,
            at: fields.time(timestamp)?,
            value: fields.value(value, self.may_be_negative)?,
        }))
    }

    /// An error about the timestamp of the row that was read last.
    pub(super) fn wrong_time(&self, what: &'static str) -> InputError {
        let fields = Fields {
            path: &self.path,
            record: &self.record,
        };
        let timestamp = self.record.get(self.columns.timestamp).unwrap_or_default();
        fields.wrong("timestamp", timestamp, what)
    }
}

/// The step of a file: the distance that is most frequent between rows of a series.
pub(super) fn step(path: &Path, may_be_negative: bool) -> Result<NonZeroU32, InputError> {
    let mut rows = Rows::open(path, may_be_negative)?;
    let mut last: HashMap<String, i64> = HashMap::new();
    let mut distances: BTreeMap<u32, u32> = BTreeMap::new();
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += 1;
        let former = match last.get_mut(row.series) {
            Some(at) => Some(std::mem::replace(at, row.at)),
            None => last.insert(row.series.to_owned(), row.at),
        };
        let distance = former.and_then(|former| u32::try_from(row.at - former).ok());
        if let Some(distance) = distance.filter(|distance| *distance > 0) {
            *distances.entry(distance).or_default() += 1;
        }
        if count == SAMPLE {
            break;
        }
    }
    if count == 0 {
        return Err(InputError::Empty {
            path: path.to_owned(),
        });
    }
    // Of equally frequent ones the shortest.
    let most = distances
        .into_iter()
        .rev()
        .max_by_key(|(_, count)| *count)
        .and_then(|(distance, _)| NonZeroU32::new(distance));
    Ok(most.unwrap_or(MINUTE))
}

/// Reads all hints.
pub(super) fn hints(path: &Path) -> Result<Hints, InputError> {
    let (mut reader, columns) = open(path)?;
    let Some(series) = columns.series else {
        return Err(InputError::NoColumn {
            path: path.to_owned(),
            name: "series",
        });
    };
    let mut record = StringRecord::new();
    let mut hints: HashMap<String, Vec<i64>> = HashMap::new();
    while read(path, &mut reader, &mut record)? {
        let fields = Fields {
            path,
            record: &record,
        };
        let at = fields.time(record.get(columns.timestamp).unwrap_or_default())?;
        let series = record.get(series).unwrap_or_default();
        hints.entry(series.to_owned()).or_default().push(at);
    }
    let sorted = hints.into_iter().map(|(series, mut times)| {
        times.sort_unstable();
        (series, times.into())
    });
    Ok(sorted.collect())
}

fn open(path: &Path) -> Result<(csv::Reader<File>, Columns), InputError> {
    let failed = |source| InputError::Open {
        path: path.to_owned(),
        source,
    };
    // It is read twice, and a pipe would keep the second reader waiting for ever.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(InputError::NoFile {
            path: path.to_owned(),
        });
    }
    let mut reader = csv::Reader::from_reader(File::open(path).map_err(failed)?);
    let header = reader
        .headers()
        .map_err(|source| row_error(path, source, 1))?;
    let find = |name: &str| {
        let of = |column: &str| {
            let column = column.trim().trim_start_matches('\u{feff}').trim();
            column.eq_ignore_ascii_case(name)
        };
        header.iter().position(of)
    };
    let columns = Columns {
        series: find("series"),
        metric: find("metric"),
        timestamp: find("timestamp").ok_or_else(|| InputError::NoColumn {
            path: path.to_owned(),
            name: "timestamp",
        })?,
        value: find("value"),
    };
    Ok((reader, columns))
}

fn read(
    path: &Path,
    reader: &mut csv::Reader<File>,
    record: &mut StringRecord,
) -> Result<bool, InputError> {
    let line = reader.position().line();
    reader
        .read_record(record)
        .map_err(|source| row_error(path, source, line))
}

fn row_error(path: &Path, source: csv::Error, line: u64) -> InputError {
    let line = source.position().map_or(line, csv::Position::line);
    InputError::Row {
        path: path.to_owned(),
        line,
        source,
    }
}

struct Fields<'r> {
    path: &'r Path,
    record: &'r StringRecord,
}

impl Fields<'_> {
    fn metric(&self, text: &str) -> Result<Metric, InputError> {
        let name = text.trim();
        if name.eq_ignore_ascii_case("calls") || name.eq_ignore_ascii_case("connections") {
            return Ok(Metric::Calls);
        }
        if name.eq_ignore_ascii_case("cost") {
            return Ok(Metric::Cost);
        }
        Err(self.wrong("metric", text, "use calls, connections or cost"))
    }

    fn value(&self, text: &str, may_be_negative: bool) -> Result<Option<f32>, InputError> {
        if text.is_empty() {
            return Ok(None);
        }
        let value = text.parse::<f32>();
        let value = value.map_err(|_| self.wrong("value", text, "is no number"))?;
        if !value.is_finite() {
            return Err(self.wrong("value", text, "is not finite; leave it empty if not known"));
        }
        if value < 0.0 && !may_be_negative {
            let what = "is negative, which no count is; --profile benchmark takes it";
            return Err(self.wrong("value", text, what));
        }
        Ok(Some(value))
    }

    fn time(&self, text: &str) -> Result<i64, InputError> {
        let trimmed = text.trim();
        let at = trimmed
            .parse::<i64>()
            .ok()
            .or_else(|| trimmed.parse::<f64>().ok().map(|at| at.floor() as i64))
            .or_else(|| trimmed.parse::<Timestamp>().ok().map(Timestamp::as_second))
            .or_else(|| {
                let civil = trimmed.parse::<DateTime>().ok()?;
                let instant = TimeZone::UTC.to_timestamp(civil).ok()?;
                Some(instant.as_second())
            });
        at.filter(|at| TIMES.contains(at)).ok_or_else(|| {
            let what = "is no time; use seconds since 1970 or ISO 8601";
            self.wrong("timestamp", text, what)
        })
    }

    fn wrong(&self, field: &'static str, text: &str, what: &'static str) -> InputError {
        InputError::Field {
            path: self.path.to_owned(),
            line: self.record.position().map_or(0, csv::Position::line),
            field,
            text: text.chars().take(40).collect(),
            what,
        }
    }
}
