//! What stands in each interval, and how much there is of it in a minute.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{bad, cost, filter::Rows, quality};
use crate::{
    api::{
        error::ApiError,
        types::{Cost, IntervalCoverage, Quality, UsageInterval, UsagePoint, UsageRow},
    },
    usage::{
        Group, Grouping, Value,
        measured::{Coverage, Measured, TOLERANCE},
        period::{Plan, readable, start_of},
    },
};

/// How many points one answer may have.
const MOST_POINTS: usize = 200_000;

/// For how long was counted of the time of an answer.
pub(super) struct Counted<'m> {
    measured: &'m Measured,
    now: Timestamp,
    /// `None` if something was counted before it was known when.
    minutes: Option<f64>,
    is_all: bool,
}

impl<'m> Counted<'m> {
    pub(super) fn new(
        measured: &'m Measured,
        plan: &Plan,
        groups: &[Group],
        now: Timestamp,
    ) -> Self {
        let until = plan.end.map_or(now, start_of).min(now);
        let mut counted = Self {
            measured,
            now,
            minutes: None,
            is_all: false,
        };
        let Some(beginning) = measured.beginning() else {
            return counted;
        };
        let from = plan.first.map_or(beginning, start_of);
        let before = groups.iter().map(|group| group.first_seen).min();
        let is_before = |first: Timestamp| beginning.duration_since(first) > TOLERANCE;
        if !before.is_some_and(is_before) {
            counted.minutes = Some(measured.counted(from, until).as_secs_f64() / 60.0);
            counted.is_all = match measured.coverage(from, until) {
                Coverage::Whole | Coverage::Late => true,
                Coverage::Part | Coverage::None => false,
            };
        }
        counted
    }

    pub(super) const fn minutes(&self) -> Option<f64> {
        self.minutes
    }

    pub(super) fn rate(&self, row: &mut UsageRow) {
        let Some(minutes) = self.minutes.filter(|minutes| *minutes > 0.0) else {
            return;
        };
        let connections =
            row.connections_allowed + row.connections_denied + row.connections_would_deny;
        row.connections_per_minute = Some(connections as f64 / minutes);
        row.rate_quality = if self.is_all {
            row.connections_quality
        } else {
            row.connections_quality.max(Quality::Inferred)
        };
    }

    fn interval(&self, minute: i64, length: i64) -> UsageInterval {
        let (since, until) = (start_of(minute), start_of(minute + length));
        let coverage = self.measured.coverage(since, until.min(self.now));
        UsageInterval {
            since,
            until,
            coverage: match coverage {
                Coverage::Whole => IntervalCoverage::Whole,
                Coverage::Late => IntervalCoverage::Late,
                Coverage::Part => IntervalCoverage::Part,
                Coverage::None => IntervalCoverage::None,
            },
        }
    }
}

type Points = BTreeMap<Vec<Value>, Vec<UsagePoint>>;

/// Every interval, and the points of each group by its values.
///
/// # Errors
///
/// When it would be too many.
pub(super) fn points(
    rows: &Rows,
    grouping: &Grouping<'_>,
    plan: &Plan,
    groups: &[&Group],
    counted: &Counted<'_>,
) -> Result<(Vec<UsageInterval>, Points), ApiError> {
    let Some(length) = plan.interval else {
        return Ok((Vec::new(), Points::new()));
    };
    let minutes = plan.intervals();
    let count = minutes.len().saturating_mul(groups.len());
    if count > MOST_POINTS {
        return Err(bad(format!(
            "{} rows with {} intervals of {} are more than the {MOST_POINTS} points that one answer \
             may have: ask for fewer rows with top, limit or filter, or for longer intervals",
            groups.len(),
            minutes.len(),
            readable(length)
        )));
    }
    let mut intervals = Vec::new();
    let mut points = Points::new();
    for minute in minutes {
        let interval = counted.interval(minute, length);
        let (found, is_complete) = rows.groups_of(grouping, minute);
        let found: BTreeMap<_, _> = found.iter().map(|group| (&group.values, group)).collect();
        for group in groups {
            let point = match found.get(&group.values) {
                Some(found) => point(found, interval.coverage),
                None if is_complete && interval.coverage == IntervalCoverage::Whole => UsagePoint {
                    cost: group.cost.map(|_| FREE),
                    ..NOTHING
                },
                None => UNKNOWN,
            };
            points.entry(group.values.clone()).or_default().push(point);
        }
        intervals.push(interval);
    }
    Ok((intervals, points))
}

const NOTHING: UsagePoint = UsagePoint {
    connections_allowed: Some(0),
    connections_denied: Some(0),
    connections_would_deny: Some(0),
    connections_quality: Quality::Exact,
    bytes_out: Some(0),
    bytes_in: Some(0),
    bytes_quality: Quality::Exact,
    cost: None,
};

/// Of nothing, at an endpoint that has a rule.
const FREE: Cost = Cost {
    usd: 0.0,
    quality: Quality::Estimate,
    partial: false,
};

const UNKNOWN: UsagePoint = UsagePoint {
    connections_allowed: None,
    connections_denied: None,
    connections_would_deny: None,
    connections_quality: Quality::Unknown,
    bytes_out: None,
    bytes_in: None,
    bytes_quality: Quality::Unknown,
    cost: None,
};

fn point(group: &Group, coverage: IntervalCoverage) -> UsagePoint {
    let bytes = group.bytes();
    let least = match coverage {
        IntervalCoverage::Whole => Quality::Exact,
        IntervalCoverage::Late => Quality::Inferred,
        IntervalCoverage::Part | IntervalCoverage::None => Quality::LowerBound,
    };
    let is_part = match coverage {
        IntervalCoverage::Whole | IntervalCoverage::Late => false,
        IntervalCoverage::Part | IntervalCoverage::None => true,
    };
    let estimate = group.cost.map(cost).map(|cost| Cost {
        partial: cost.partial || is_part,
        ..cost
    });
    // Ordered from the best to the worst.
    UsagePoint {
        connections_allowed: Some(group.counts.connects_allowed),
        connections_denied: Some(group.counts.connects_denied),
        connections_would_deny: Some(group.counts.connects_would_deny),
        connections_quality: quality(group.connections_quality).max(least),
        bytes_out: bytes.map(|(out, _)| out),
        bytes_in: bytes.map(|(_, back)| back),
        bytes_quality: quality(group.bytes_quality).max(least),
        cost: estimate,
    }
}
