//! Usage for programs that read tables: a line for each row, or for each interval of each row.

use anyhow::Context;
use jiff::Timestamp;

use super::rows;
use crate::{
    api::types::{
        Cost, IntervalCoverage, Quality, UsageInterval, UsagePoint, UsageReport, UsageRow,
    },
    cli::output::printable,
};

/// What is not known is an empty field.
pub(in crate::cli) fn text(report: &UsageReport) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let is_series = !report.intervals.is_empty();
    let mut header: Vec<_> = report.by.iter().map(|key| key.name()).collect();
    header.extend(if is_series { POINT.as_slice() } else { &ROW });
    writer.write_record(header)?;
    for (key, row) in rows(report) {
        let key: Vec<_> = key
            .iter()
            .map(|cell| printable(cell).into_owned())
            .collect();
        if is_series {
            for (interval, point) in report.intervals.iter().zip(&row.points) {
                writer.write_record(key.iter().chain(&of_point(interval, point)))?;
            }
        } else {
            writer.write_record(key.iter().chain(&of_row(row)))?;
        }
    }
    writer.into_inner().context("write CSV")
}

const ROW: [&str; 20] = [
    "connections_allowed",
    "connections_denied",
    "connections_would_deny",
    "connections_quality",
    "datagrams_allowed",
    "datagrams_denied",
    "datagrams_would_deny",
    "calls",
    "calls_quality",
    "bytes_out",
    "bytes_in",
    "bytes_quality",
    "connections_without_bytes",
    "first_seen",
    "last_seen",
    "connections_per_minute",
    "rate_quality",
    "cost_usd",
    "cost_quality",
    "cost_partial",
];

const POINT: [&str; 13] = [
    "since",
    "until",
    "coverage",
    "connections_allowed",
    "connections_denied",
    "connections_would_deny",
    "connections_quality",
    "bytes_out",
    "bytes_in",
    "bytes_quality",
    "cost_usd",
    "cost_quality",
    "cost_partial",
];

fn of_row(row: &UsageRow) -> [String; 20] {
    let [usd, cost_quality, partial] = of_cost(row.cost);
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    [
        row.connections_allowed.to_string(),
        row.connections_denied.to_string(),
        row.connections_would_deny.to_string(),
        quality(row.connections_quality),
        row.datagrams_allowed.to_string(),
        row.datagrams_denied.to_string(),
        row.datagrams_would_deny.to_string(),
        count(row.calls),
        quality(row.calls_quality),
        count(row.bytes_out),
        count(row.bytes_in),
        quality(row.bytes_quality),
        row.connections_without_bytes.to_string(),
        time(row.first_seen),
        time(row.last_seen),
        row.connections_per_minute
            .map(|rate| rate.to_string())
            .unwrap_or_default(),
        quality(row.rate_quality),
        usd,
        cost_quality,
        partial,
    ]
}

fn of_point(interval: &UsageInterval, point: &UsagePoint) -> [String; 13] {
    let [usd, cost_quality, partial] = of_cost(point.cost);
    let coverage = match interval.coverage {
        IntervalCoverage::Whole => "whole",
        IntervalCoverage::Late => "late",
        IntervalCoverage::Part => "part",
        IntervalCoverage::None => "none",
    };
    [
        interval.since.to_string(),
        interval.until.to_string(),
        coverage.to_owned(),
        count(point.connections_allowed),
        count(point.connections_denied),
        count(point.connections_would_deny),
        quality(point.connections_quality),
        count(point.bytes_out),
        count(point.bytes_in),
        quality(point.bytes_quality),
        usd,
        cost_quality,
        partial,
    ]
}

/// Amount, quality, and whether there is more; an amount that is not known is `unknown`.
fn of_cost(cost: Option<Cost>) -> [String; 3] {
    match cost {
        Some(cost) => [
            cost.usd.to_string(),
            quality(cost.quality),
            cost.partial.to_string(),
        ],
        None => [String::new(), quality(Quality::Unknown), String::new()],
    }
}

fn count(count: Option<u64>) -> String {
    count.map(|count| count.to_string()).unwrap_or_default()
}

fn quality(quality: Quality) -> String {
    let name = match quality {
        Quality::Exact => "exact",
        Quality::Inferred => "inferred",
        Quality::Estimate => "estimate",
        Quality::LowerBound => "lower-bound",
        Quality::Unknown => "unknown",
    };
    name.to_owned()
}
