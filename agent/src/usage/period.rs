//! Periods that usage is added up by, how long each is kept, and which of them answer for a time.
//! Pure.
//!
//! Every count stands in a minute, an hour and a day at once, so nothing is added up later: what is
//! old loses its minutes first, then its hours, and the sums stay. All instants here are minutes
//! since 1970, and a period begins where UTC says so.

use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

/// How many intervals one answer may have.
pub const MOST_INTERVALS: i64 = 3_000;

/// Before and after everything; whole days.
const BEGINNING: i64 = -END;
const END: i64 = 1_440 << 30;

/// What counts are added up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    Minute,
    Hour,
    Day,
}

impl Period {
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    #[must_use]
    pub const fn minutes(self) -> i64 {
        match self {
            Self::Minute => 1,
            Self::Hour => 60,
            Self::Day => 1_440,
        }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// First minute of the period that `minute` is in.
    #[must_use]
    pub const fn floor(self, minute: i64) -> i64 {
        minute.div_euclid(self.minutes()) * self.minutes()
    }

    const fn ceil(self, minute: i64) -> i64 {
        self.floor(minute + self.minutes() - 1)
    }
}

/// The minute that an instant is in.
#[must_use]
pub fn minute_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

/// The first minute that begins at an instant or after it: part of a minute is all of it.
#[must_use]
pub fn end_minute_of(until: Timestamp) -> i64 {
    let minute = minute_of(until);
    let is_whole = until.as_nanosecond().rem_euclid(60_000_000_000) == 0;
    if is_whole { minute } else { minute + 1 }
}

/// Beginning of a minute; the first or last instant that can be told, if it is beyond.
#[must_use]
pub fn start_of(minute: i64) -> Timestamp {
    let limit = if minute < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    Timestamp::from_second(minute.saturating_mul(60)).unwrap_or(limit)
}

/// The first minute of which each period is still kept; `None` if nothing was ever dropped.
///
/// Minutes are dropped by whole hours, hours by whole days, and a longer period never before a
/// shorter one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    pub minute: Option<i64>,
    pub hour: Option<i64>,
    pub day: Option<i64>,
}

impl Kept {
    #[must_use]
    pub const fn of(&self, period: Period) -> Option<i64> {
        match period {
            Period::Minute => self.minute,
            Period::Hour => self.hour,
            Period::Day => self.day,
        }
    }

    pub const fn set(&mut self, period: Period, minute: i64) {
        let kept = match period {
            Period::Minute => &mut self.minute,
            Period::Hour => &mut self.hour,
            Period::Day => &mut self.day,
        };
        *kept = Some(minute);
    }

    fn has(&self, period: Period, minute: i64) -> bool {
        self.of(period).is_none_or(|kept| kept <= minute)
    }
}

/// How long usage is kept, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub minutes: SignedDuration,
    pub hours: SignedDuration,
    pub days: SignedDuration,
    /// Size of the whole store in bytes from which on the oldest is dropped before its time.
    pub max_bytes: u64,
    /// Rows of one period, beyond which what is new is added up in one row.
    pub max_rows: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            minutes: SignedDuration::from_hours(48),
            hours: SignedDuration::from_hours(90 * 24),
            days: SignedDuration::from_hours(730 * 24),
            max_bytes: 2 << 30,
            max_rows: 10_000,
        }
    }
}

impl Retention {
    /// First minute of which `period` has to be kept at the minute `now`.
    #[must_use]
    pub fn cutoff(&self, period: Period, now: i64) -> i64 {
        let (age, unit) = match period {
            Period::Minute => (self.minutes, Period::Hour),
            Period::Hour => (self.hours, Period::Day),
            Period::Day => (self.days, Period::Day),
        };
        unit.floor(now.saturating_sub(age.as_mins()))
    }

    /// What is kept of `period` at the minute `now`, however large the store is.
    #[must_use]
    pub const fn floor(period: Period, now: i64) -> i64 {
        match period {
            Period::Minute => Period::Hour.floor(now) - 60,
            Period::Hour => Period::Day.floor(now) - 1_440,
            Period::Day => Period::Day.floor(now) - 31 * 1_440,
        }
    }
}

/// Consecutive periods of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub period: Period,
    /// First minute.
    pub first: i64,
    /// First minute that is no longer in it.
    pub end: i64,
}

/// Which periods make up a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub pieces: Vec<Piece>,
    /// The time that they cover, which may be longer than what was asked for: where only hours or
    /// days are kept, a part of one cannot be told. `None` without a limit.
    pub first: Option<i64>,
    pub end: Option<i64>,
    /// Minutes of one interval, if intervals were asked for.
    pub interval: Option<i64>,
}

impl Plan {
    /// First minute of the interval that a minute is in.
    #[must_use]
    pub fn interval_of(&self, minute: i64) -> Option<i64> {
        self.interval.map(|interval| floor(minute, interval))
    }

    /// The first minute of each interval, the oldest first.
    #[must_use]
    pub fn intervals(&self) -> Vec<i64> {
        match (self.first, self.end, self.interval) {
            (Some(first), Some(end), Some(interval)) => {
                let count = (end - first).div_euclid(interval);
                (0..count).map(|n| first + n * interval).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Why a time cannot be told by intervals.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    #[error("intervals need a beginning: say since when")]
    Endless,
    #[error(
        "{count} intervals are more than the {MOST_INTERVALS} that one answer may have: take an \
         interval of {}, or a shorter time",
        readable(*fitting)
    )]
    TooMany { count: i64, fitting: i64 },
    #[error(
        "usage before {kept} is no longer kept by the {period}: begin later, or take an interval of \
         whole {longer}s"
    )]
    Dropped {
        period: &'static str,
        longer: &'static str,
        kept: Timestamp,
    },
}

/// So many minutes, as people write it.
#[must_use]
pub fn readable(minutes: i64) -> String {
    match minutes {
        _ if minutes % 1_440 == 0 => format!("{}d", minutes / 1_440),
        _ if minutes % 60 == 0 => format!("{}h", minutes / 60),
        _ => format!("{minutes}m"),
    }
}

const fn floor(minute: i64, interval: i64) -> i64 {
    minute.div_euclid(interval) * interval
}

/// The fewest periods that make up the time from minute `first` up to `end`, of those that are kept.
#[must_use]
pub fn plan(first: Option<i64>, end: Option<i64>, kept: &Kept) -> Plan {
    let from = first.map(|first| begin(first.clamp(BEGINNING, END), kept));
    let until = end.map(|end| finish(end.clamp(BEGINNING, END), kept));
    let (a, b) = (from.unwrap_or(BEGINNING), until.unwrap_or(END));
    Plan {
        pieces: pieces(a, b, Period::Day),
        first: from,
        end: until,
        interval: None,
    }
}

/// Periods that tell every interval of so many minutes, which is 1 at least, from the one that minute
/// `first` is in. Each begins at a multiple of its length since 1970. The last one is that before
/// `end`, or that of `now`.
///
/// # Errors
///
/// When there is no beginning, what it takes is no longer kept, or it is too much.
pub fn plan_intervals(
    first: Option<i64>,
    end: Option<i64>,
    interval: i64,
    now: i64,
    kept: &Kept,
) -> Result<Plan, PlanError> {
    let interval = interval.clamp(1, END);
    let first = first.ok_or(PlanError::Endless)?.clamp(BEGINNING, END);
    let end = end.unwrap_or(now + 1).clamp(first, END);
    let from = floor(first, interval);
    let until = floor(end + interval - 1, interval);
    let count = (until - from) / interval;
    if count > MOST_INTERVALS {
        let fitting = fitting(until - from);
        return Err(PlanError::TooMany { count, fitting });
    }
    let is_whole = |period: &Period| interval % period.minutes() == 0;
    let longest = Period::ALL.into_iter().rfind(is_whole);
    let period = longest.unwrap_or(Period::Minute);
    let longer = match period {
        Period::Minute => Some(Period::Hour),
        Period::Hour => Some(Period::Day),
        Period::Day => None,
    };
    if let (Some(longer), Some(since)) = (longer, kept.of(period))
        && from < since
    {
        return Err(PlanError::Dropped {
            period: period.name(),
            longer: longer.name(),
            kept: start_of(since),
        });
    }
    let piece = Piece {
        period,
        first: from,
        end: until,
    };
    Ok(Plan {
        pieces: Vec::from_iter((from < until).then_some(piece)),
        first: Some(from),
        end: Some(until),
        interval: Some(interval),
    })
}

/// A usual interval of which so many minutes have few enough.
fn fitting(minutes: i64) -> i64 {
    const USUAL: [i64; 7] = [5, 15, 60, 360, 1_440, 7 * 1_440, 30 * 1_440];
    let usual = USUAL.into_iter();
    let fits = |interval: &i64| minutes / interval < MOST_INTERVALS;
    usual.clone().find(fits).or(usual.last()).unwrap_or(minutes)
}

/// The last beginning that can be told, not after `first`.
fn begin(first: i64, kept: &Kept) -> i64 {
    let hour = Period::Hour.floor(first);
    if first == hour || kept.has(Period::Minute, hour) {
        let day = Period::Day.floor(first);
        return if first == day || kept.has(Period::Hour, day) {
            first
        } else {
            day
        };
    }
    begin(hour, kept)
}

/// The first end that can be told, not before `end`.
fn finish(end: i64, kept: &Kept) -> i64 {
    let hour = Period::Hour.floor(end);
    if end != hour && !kept.has(Period::Minute, hour) {
        return finish(Period::Hour.ceil(end), kept);
    }
    let day = Period::Day.floor(end);
    if end != day && !kept.has(Period::Hour, day) {
        return Period::Day.ceil(end);
    }
    end
}

/// `first..end` by periods no longer than `longest`.
fn pieces(first: i64, end: i64, longest: Period) -> Vec<Piece> {
    if first >= end {
        return Vec::new();
    }
    let whole = Piece {
        period: longest,
        first: longest.ceil(first),
        end: longest.floor(end),
    };
    let shorter = match longest {
        Period::Minute => return vec![whole],
        Period::Hour => Period::Minute,
        Period::Day => Period::Hour,
    };
    if whole.first >= whole.end {
        return pieces(first, end, shorter);
    }
    let mut all = pieces(first, whole.first, shorter);
    all.push(whole);
    all.extend(pieces(whole.end, end, shorter));
    all
}

#[cfg(test)]
mod tests;
