//! A row's connections in each interval, as a line of blocks.

use crate::{
    api::types::{UsageInterval, UsagePoint},
    usage::period::readable,
};

use super::instant;

/// How many marks a line has at most.
const WIDTH: usize = 48;
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const NONE: char = '·';
const UNKNOWN: char = '?';

pub(super) struct Sparks<'r> {
    intervals: &'r [UsageInterval],
    /// Intervals of one mark.
    each: usize,
}

impl<'r> Sparks<'r> {
    /// `None` if there are no intervals.
    pub(super) fn new(intervals: &'r [UsageInterval]) -> Option<Self> {
        let each = intervals.len().div_ceil(WIDTH);
        (each > 0).then_some(Self { intervals, each })
    }

    /// The highest mark is the most that this row has.
    pub(super) fn line(&self, points: &[UsagePoint]) -> String {
        let marks = points.chunks(self.each).map(|points| {
            let known = points.iter().map(UsagePoint::connections);
            let sum: u64 = known.clone().flatten().sum();
            let is_known = known.clone().all(|count| count.is_some());
            (is_known || sum > 0).then_some(sum)
        });
        let marks: Vec<_> = marks.collect();
        let most = marks.iter().flatten().copied().max().unwrap_or(0);
        marks.into_iter().map(|mark| shown(mark, most)).collect()
    }

    pub(super) fn legend(&self) -> String {
        let Some((first, last)) = self.intervals.first().zip(self.intervals.last()) else {
            return String::new();
        };
        let minutes = first.until.duration_since(first.since).as_mins();
        let count = i64::try_from(self.each).unwrap_or(i64::MAX);
        format!(
            "connections in each {} from {} to {}; {NONE} is none, {UNKNOWN} is not known",
            readable(minutes.saturating_mul(count)),
            instant(first.since),
            instant(last.until)
        )
    }
}

fn shown(mark: Option<u64>, most: u64) -> char {
    let highest = BLOCKS.len() as u128 - 1;
    match mark {
        None => UNKNOWN,
        Some(0) => NONE,
        Some(count) => {
            // Every count but none has a mark that can be seen.
            let height = u128::from(count - 1) * highest / u128::from(most.max(2) - 1);
            let height = usize::try_from(height).unwrap_or(0);
            BLOCKS.get(height).copied().unwrap_or('█')
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::*;
    use crate::api::types::{IntervalCoverage, Quality};

    fn point(connections: Option<u64>) -> UsagePoint {
        UsagePoint {
            connections_allowed: connections,
            connections_denied: connections.map(|_| 0),
            connections_would_deny: connections.map(|_| 0),
            connections_quality: Quality::Exact,
            bytes_out: None,
            bytes_in: None,
            bytes_quality: Quality::Unknown,
            cost: None,
        }
    }

    fn intervals(count: i64) -> Vec<UsageInterval> {
        let five = SignedDuration::from_mins(5);
        let begin = |n: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(n * five.as_secs());
        let interval = |n| UsageInterval {
            since: begin(n),
            until: begin(n + 1),
            coverage: IntervalCoverage::Whole,
        };
        (0..count).map(interval).collect()
    }

    #[test]
    fn none_and_unknown_differ_and_the_most_is_highest() {
        let intervals = intervals(5);
        let sparks = Sparks::new(&intervals).expect("intervals");
        let points = [Some(0), None, Some(1), Some(50), Some(100)].map(point);
        assert_eq!(sparks.line(&points), "·?▁▄█");
        assert_eq!(sparks.line(&[Some(1), Some(0)].map(point)), "▁·");
        assert_eq!(
            sparks.legend(),
            "connections in each 5m from 1970-01-01T00:00:00Z to 1970-01-01T00:25:00Z; · is none, ? is not known"
        );
    }

    #[test]
    fn many_intervals_share_a_mark() {
        let intervals = intervals(96);
        let sparks = Sparks::new(&intervals).expect("intervals");
        let points: Vec<_> = (0..96)
            .map(|n| point((n % 2 == 0 || n < 48).then_some(u64::from(n == 1))))
            .collect();
        let line = sparks.line(&points);
        assert_eq!(line.chars().count(), 48);
        assert!(line.starts_with("▁··") && line.ends_with("??"), "{line}");
        assert!(sparks.legend().starts_with("connections in each 10m"));
        assert!(Sparks::new(&[]).is_none());
    }
}
