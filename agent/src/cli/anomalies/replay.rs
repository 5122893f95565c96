//! Runs recorded counts through the engine, row by row, and writes what it says.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    fmt,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use super::{
    Profile,
    input::{self, Hints, InputError, Row, Rows},
};
use crate::anomaly::{Cohort, Grid, Metric, Novelty, Reading, Series, Step};

#[derive(Debug, thiserror::Error)]
pub(super) enum ReplayError {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("`{}`: cannot be written; choose another --output", path.display())]
    Output {
        path: PathBuf,
        source: std::io::Error,
    },
}

/// What to replay, and how.
pub(super) struct Replay<'a> {
    pub(super) input: &'a Path,
    pub(super) metric: Metric,
    pub(super) profile: Profile,
}

/// What was read and found.
pub(super) struct Tally {
    rows: u64,
    series: usize,
    alerts: u64,
    step: NonZeroU32,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rows,
            series,
            alerts,
            step,
        } = self;
        write!(
            f,
            "{rows} rows of {series} series, a step of {step} s, {alerts} alerts"
        )
    }
}

struct State {
    last: i64,
    hints: VecDeque<i64>,
    engine: Engine,
}

enum Engine {
    Counts { series: Box<Series>, metric: Metric },
    Values(Box<Novelty>),
}

impl Engine {
    /// `former` is the time of the row before, `passed` the seconds since.
    fn score(
        &mut self,
        grid: &Grid,
        [calls, cost]: &mut [Cohort; 2],
        former: i64,
        passed: u64,
        step: Step,
    ) -> Score {
        let (series, metric) = match self {
            Self::Values(novelty) => {
                return Score {
                    score: novelty.update(step.value),
                    alert: None,
                };
            }
            Self::Counts { series, metric } => (series, metric),
        };
        let length = u64::from(grid.step());
        // Half a step late is no gap.
        let missing = ((passed + length / 2) / length).saturating_sub(1);
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        series.skip(grid, former + i64::from(grid.step()), missing);
        let reading = series.update(grid, step);
        let cohort = match metric {
            Metric::Calls => calls,
            Metric::Cost => cost,
        };
        cohort.learn(series.in_units(step.value));
        Score {
            score: reading.score,
            alert: reading.alert.then_some(reading),
        }
    }
}

struct Score {
    score: f32,
    alert: Option<Reading>,
}

impl Replay<'_> {
    /// Writes a row for each row of the input. The output appears when all is done.
    pub(super) fn run(
        &self,
        output: &Path,
        hints: Hints,
        say: &mut dyn FnMut(String),
    ) -> Result<Tally, ReplayError> {
        let may_be_negative = self.profile == Profile::Benchmark;
        let step = input::step(self.input, may_be_negative)?;
        let mut rows = Rows::open(self.input, may_be_negative)?;
        let failed = |source| ReplayError::Output {
            path: output.to_owned(),
            source,
        };
        let file = beside(output).map_err(failed)?;
        let mut writer = csv::Writer::from_writer(file);
        let mut write = |fields: [&str; 4]| {
            let written = writer.write_record(fields);
            written.map_err(|error| failed(error.into()))
        };
        write(["series", "timestamp", "score", "alert"])?;
        let stem = self.stem();
        let mut run = Run::new(self, Grid::new(step), hints);
        while let Some(row) = rows.next()? {
            let Some(Score { score, alert }) = run.score(&row) else {
                return Err(rows
                    .wrong_time("is before the row above; sort each series by time")
                    .into());
            };
            let series = if row.series.is_empty() {
                &stem
            } else {
                row.series
            };
            let is_alert = if alert.is_some() { "1" } else { "0" };
            write([series, row.timestamp, &format!("{score:.4}"), is_alert])?;
            if let Some(reading) = alert {
                let Row { timestamp, .. } = row;
                say(format!("{timestamp} {series}: {}", reading.finding));
            }
        }
        let file = writer
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        file.persist(output).map_err(|error| failed(error.error))?;
        Ok(run.tally(step))
    }

    /// The name of a series that has none.
    fn stem(&self) -> Cow<'_, str> {
        let stem = self.input.file_stem();
        stem.map(|stem| stem.to_string_lossy()).unwrap_or_default()
    }
}

fn beside(output: &Path) -> std::io::Result<NamedTempFile> {
    let parent = output.parent();
    let directory = parent.filter(|parent| !parent.as_os_str().is_empty());
    NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))
}

/// All series so far.
struct Run<'a> {
    replay: &'a Replay<'a>,
    grid: Grid,
    hints: Hints,
    states: HashMap<String, State>,
    cohorts: [Cohort; 2],
    rows: u64,
    alerts: u64,
}

impl<'a> Run<'a> {
    fn new(replay: &'a Replay<'a>, grid: Grid, hints: Hints) -> Self {
        Self {
            replay,
            grid,
            hints,
            states: HashMap::new(),
            cohorts: [Cohort::new(), Cohort::new()],
            rows: 0,
            alerts: 0,
        }
    }

    /// `None` if the row is before the last one of its series.
    fn score(&mut self, row: &Row<'_>) -> Option<Score> {
        self.rows += 1;
        if !self.states.contains_key(row.series) {
            let state = self.begin(row);
            self.states.insert(row.series.to_owned(), state);
        }
        let state = self.states.get_mut(row.series)?;
        let passed = u64::try_from(row.at - state.last).ok()?;
        let former = std::mem::replace(&mut state.last, row.at);
        let mut hint = false;
        while state.hints.front().is_some_and(|at| *at <= row.at) {
            state.hints.pop_front();
            hint = true;
        }
        let Some(value) = row.value else {
            return Some(Score {
                score: 0.0,
                alert: None,
            });
        };
        let step = Step {
            at: row.at,
            value,
            hint,
        };
        let score = state
            .engine
            .score(&self.grid, &mut self.cohorts, former, passed, step);
        self.alerts += u64::from(score.alert.is_some());
        Some(score)
    }

    fn begin(&mut self, row: &Row<'_>) -> State {
        let metric = row.metric.unwrap_or(self.replay.metric);
        let [calls, cost] = &self.cohorts;
        let cohort = match metric {
            Metric::Calls => calls,
            Metric::Cost => cost,
        };
        let engine = match self.replay.profile {
            Profile::Benchmark => Engine::Values(Box::default()),
            Profile::Default => Engine::Counts {
                series: Box::new(Series::new(row.at, metric, cohort)),
                metric,
            },
        };
        State {
            last: row.at,
            hints: self.hints.remove(row.series).unwrap_or_default(),
            engine,
        }
    }

    fn tally(&self, step: NonZeroU32) -> Tally {
        Tally {
            rows: self.rows,
            series: self.states.len(),
            alerts: self.alerts,
            step,
        }
    }
}
