//! Usage for programs that read tables: a line for each row, or for each interval of each row.

use anyhow::Context;
use jiff::Timestamp;

use super::rows;
use crate::{
    api::types::{IntervalCoverage, Quality, UsageInterval, UsagePoint, UsageReport, UsageRow},
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

const ROW: [&str; 17] = [
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
];

const POINT: [&str; 10] = [
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
];

fn of_row(row: &UsageRow) -> [String; 17] {
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
    ]
}

fn of_point(interval: &UsageInterval, point: &UsagePoint) -> [String; 10] {
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
    ]
}

fn count(count: Option<u64>) -> String {
    count.map(|count| count.to_string()).unwrap_or_default()
}

fn quality(quality: Quality) -> String {
    let name = match quality {
        Quality::Exact => "exact",
        Quality::Inferred => "inferred",
        Quality::LowerBound => "lower-bound",
        Quality::Unknown => "unknown",
    };
    name.to_owned()
}
