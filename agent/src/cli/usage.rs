//! `weir usage`

use super::{
    Answer, args,
    output::{Out, instant, relative, size},
};
use jiff::{SignedDuration, Timestamp};

use crate::api::{
    client::Client,
    types::{Quality, UsageKey, UsageQuery, UsageReport},
};

/// Show how much each identity has used
///
/// Connections are counted in the kernel and exact, whatever was lost of events. Bytes are the
/// payload of TCP connections that have ended; a dash means that none has ended yet. Calls are
/// inferred (~) from what passes on connections, or a lower bound (>=) where several may run at once.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  weir usage --by identity,endpoint --since 1h\n  weir usage --by namespace,endpoint\n  weir usage --by grant --json"
)]
pub(super) struct Args {
    /// Group by one of these, or by two with a comma
    #[arg(long, value_delimiter = ',', num_args = 1..=2, default_value = "identity")]
    by: Vec<UsageKey>,
    /// From this time on: RFC 3339, or how long ago, as in 90m or 7d
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Up to this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only this identity
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// Only this endpoint
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) async fn run(self, client: &Client, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        let by: Vec<_> = self.by.iter().map(|key| key.name()).collect();
        let report = client
            .usage(&UsageQuery {
                by: Some(by.join(",")),
                since: self.since.as_deref().map(args::moment).transpose()?,
                until: self.until.as_deref().map(args::moment).transpose()?,
                identity: self.identity,
                endpoint: self.endpoint,
            })
            .await?;
        if self.json {
            out.json(&report)?;
        } else {
            print(&report, out)?;
        }
        Ok(Answer::Done)
    }
}

/// The number of calls with a mark of how it was obtained; a dash if it is not known.
fn calls(row: &crate::api::types::UsageRow) -> String {
    let Some(calls) = row.calls else {
        return "-".to_owned();
    };
    match row.calls_quality {
        Quality::Inferred => format!("~{calls}"),
        Quality::LowerBound => format!(">={calls}"),
        Quality::Exact | Quality::Unknown => calls.to_string(),
    }
}

pub(super) fn print(report: &UsageReport, out: &mut Out<'_>) -> anyhow::Result<()> {
    if report.rows.is_empty() {
        tell_covered(report, out)?;
        return out.line("no usage: nothing has called a model endpoint in that time");
    }
    let datagrams = |row: &crate::api::types::UsageRow| {
        row.datagrams_allowed + row.datagrams_denied + row.datagrams_would_deny
    };
    let has_datagrams = report.rows.iter().any(|row| datagrams(row) > 0);
    let keys: Vec<_> = report
        .by
        .iter()
        .map(|key| key.name().to_uppercase())
        .collect();
    let mut header: Vec<&str> = keys.iter().map(String::as_str).collect();
    header.extend(["ALLOWED", "DENIED", "WOULD-DENY"]);
    if has_datagrams {
        header.push("DATAGRAMS");
    }
    header.push("CALLS");
    header.extend(["BYTES OUT", "BYTES IN", "FIRST SEEN", "LAST SEEN"]);
    let now = out.now;
    let rows = report.rows.iter().map(|row| {
        let mut cells = row.key.clone();
        cells.extend([
            row.connections_allowed.to_string(),
            row.connections_denied.to_string(),
            row.connections_would_deny.to_string(),
        ]);
        if has_datagrams {
            cells.push(datagrams(row).to_string());
        }
        cells.push(calls(row));
        cells.extend([
            size(row.bytes_out),
            size(row.bytes_in),
            relative(row.first_seen, now),
            relative(row.last_seen, now),
        ]);
        cells
    });
    let rows: Vec<_> = rows.collect();
    let numbers = [
        "ALLOWED",
        "DENIED",
        "WOULD-DENY",
        "DATAGRAMS",
        "CALLS",
        "BYTES OUT",
        "BYTES IN",
    ];
    out.table(&header, &numbers, rows)?;
    tell_covered(report, out)?;
    let open: u64 = report
        .rows
        .iter()
        .map(|row| row.connections_without_bytes)
        .sum();
    if open > 0 {
        out.blank()?;
        out.line(format!(
            "{open} allowed connections are still open, never opened, or UDP: their bytes are not counted"
        ))?;
    }
    if report
        .rows
        .iter()
        .any(|row| row.connections_quality == Quality::LowerBound)
    {
        out.blank()?;
        out.line(
            "events were lost, so each row tells at least what its processes did; the row `unknown` is the rest",
        )?;
    }
    if report
        .rows
        .iter()
        .any(|row| row.bytes_quality == Quality::Inferred)
    {
        out.blank()?;
        out.line(
            "bytes by grant are inferred: they count for the grant that holds when a connection ends")?;
    }
    Ok(())
}

/// Where the answer is about a longer time than was asked for by a minute or more.
fn tell_covered(report: &UsageReport, out: &mut Out<'_>) -> anyhow::Result<()> {
    let minute = SignedDuration::from_mins(1);
    let is_longer = |from: Option<Timestamp>, to: Option<Timestamp>| {
        let (from, to) = (from?, to?);
        (to.duration_since(from) >= minute).then_some(())
    };
    if let (Some(()), Some(since)) = (
        is_longer(report.covered_since, report.since),
        report.covered_since,
    ) {
        out.blank()?;
        out.line(format!(
            "this is from {} on: shorter periods of that time are no longer kept",
            instant(since)
        ))?;
    }
    if let (Some(()), Some(until)) = (
        is_longer(Some(report.until), report.covered_until),
        report.covered_until,
    ) {
        out.blank()?;
        out.line(format!(
            "this is up to {}: shorter periods of that time are no longer kept",
            instant(until)
        ))?;
    }
    Ok(())
}
