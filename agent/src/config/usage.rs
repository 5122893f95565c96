//! `[usage]`: how long usage is kept, and how much of it.

use bytesize::ByteSize;
use jiff::SignedDuration;
use serde::Deserialize;

use super::approval::duration;
use crate::usage::period::Retention;

/// The table's schema: every field may be left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Table {
    minutes: Option<String>,
    hours: Option<String>,
    days: Option<String>,
    max_size: Option<String>,
    max_rows: Option<u64>,
}

impl Table {
    /// # Errors
    ///
    /// When a time or a size is none, or a longer period would be dropped before a shorter one: names
    /// the field.
    pub(super) fn resolve(self) -> Result<Retention, String> {
        let Self {
            minutes,
            hours,
            days,
            max_size,
            max_rows,
        } = self;
        let defaults = Retention::default();
        let time = |field: &str, text: Option<String>, default| {
            text.map_or(Ok(default), |text| {
                duration(&format!("usage.{field}"), &text)
            })
        };
        let retention = Retention {
            minutes: time("minutes", minutes, defaults.minutes)?,
            hours: time("hours", hours, defaults.hours)?,
            days: time("days", days, defaults.days)?,
            max_bytes: max_size.map_or(Ok(defaults.max_bytes), |text| size(&text))?,
            max_rows: max_rows.unwrap_or(defaults.max_rows),
        };
        if retention.max_rows == 0 {
            return Err("usage.max_rows: 0 rows tell nothing apart: write 1 or more".to_owned());
        }
        let ordered = [
            ("minutes", retention.minutes, "hours", retention.hours),
            ("hours", retention.hours, "days", retention.days),
        ];
        for (shorter, short, longer, long) in ordered {
            if short > long {
                return Err(format!(
                    "usage.{shorter}: kept for {}, longer than usage.{longer} for {}: write at most that",
                    hours_of(short),
                    hours_of(long)
                ));
            }
        }
        Ok(retention)
    }
}

fn hours_of(duration: SignedDuration) -> String {
    format!("{}h", duration.as_hours())
}

fn size(text: &str) -> Result<u64, String> {
    let size = text.parse::<ByteSize>().ok().map(|size| size.as_u64());
    size.filter(|bytes| *bytes > 0)
        .ok_or_else(|| format!("usage.max_size: `{text}` is no size: write 512 MiB or 2 GiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        toml::from_str(text).expect("a table")
    }

    fn resolve(text: &str) -> Result<Retention, String> {
        table(text).resolve()
    }

    #[test]
    fn times_and_sizes_are_read_and_the_rest_stays() {
        assert_eq!(resolve(""), Ok(Retention::default()));
        let read = resolve("minutes = \"6h\"\nmax_size = \"512 MiB\"\nmax_rows = 7");
        let expected = Retention {
            minutes: SignedDuration::from_hours(6),
            max_bytes: 512 << 20,
            max_rows: 7,
            ..Retention::default()
        };
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn a_mistake_names_the_field() {
        let check = |text: &str, start: &str| {
            let error = resolve(text).expect_err("a mistake");
            assert!(error.starts_with(start), "{error}");
        };
        check("days = \"soon\"", "usage.days: `soon` is no time");
        check("max_size = \"much\"", "usage.max_size: `much` is no size");
        check("max_rows = 0", "usage.max_rows: ");
        check(
            "minutes = \"100d\"",
            "usage.minutes: kept for 2400h, longer than usage.hours for 2160h",
        );
    }
}
