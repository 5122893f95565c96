//! `weir usage`

pub(super) mod csv;
mod spark;

use anyhow::bail;
use jiff::{SignedDuration, Timestamp};

use self::spark::Sparks;
use super::{
    Answer, args,
    output::{Out, instant, relative, size},
};
use crate::{
    api::{
        client::Client,
        types::{Quality, UsageKey, UsageQuery, UsageReport, UsageRow},
    },
    usage::cost::Dollars,
};

/// Show how much each identity has used
///
/// Connections are counted in the kernel and exact, whatever was lost of events. Bytes are the
/// payload of TCP connections that have ended; a dash means that none has ended yet. Calls are
/// inferred (~) from what passes on connections, or a lower bound (>=) where several may run at once.
/// Costs are estimates by rules of the configuration, shown where one tells something.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  weir usage --by identity,endpoint --since 1h\n  weir usage --filter namespace='shop-*' --top 10 --rate\n  weir usage --by endpoint --since 6h --interval 5m\n  weir usage --by grant --since 30d --interval 1d --csv"
)]
pub(super) struct Args {
    /// Group by one of these, or by two with a comma
    #[arg(long, value_delimiter = ',', num_args = 1..=2, default_value = "identity")]
    by: Vec<UsageKey>,
    /// Only what has this value of something to group by; `*` stands for any characters
    ///
    /// May be given again: all keys have to match, each with one of its values.
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<String>,
    /// From this time on: RFC 3339, or how long ago, as in 90m or 7d
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Up to this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Show each row in intervals of this length, as in 5m, 1h or 7d
    #[arg(long, value_name = "DURATION")]
    interval: Option<String>,
    /// Only this identity
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// Only this endpoint
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// Only the rows with the most connections; the others are added up in one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    top: Option<u64>,
    /// Show connections per minute, too, over the time in which was counted
    #[arg(long)]
    rate: bool,
    /// Print CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) async fn run(self, client: &Client, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        if let [first, second] = self.by.as_slice()
            && first == second
        {
            bail!("--by {0},{0}: group by two different ones", first.name());
        }
        let by: Vec<_> = self.by.iter().map(|key| key.name()).collect();
        let query = UsageQuery {
            by: Some(by.join(",")),
            since: self.since.as_deref().map(args::moment).transpose()?,
            until: self.until.as_deref().map(args::moment).transpose()?,
            identity: self.identity,
            endpoint: self.endpoint,
            filter: self.filters,
            interval: self.interval,
            top: self.top,
            limit: None,
            after: None,
        };
        let report = client.usage(&query).await?;
        if self.json {
            out.json(&report)?;
        } else if self.csv {
            out.raw(&csv::text(&report)?)?;
        } else {
            print(&report, self.rate, out)?;
        }
        Ok(Answer::Done)
    }
}

/// All rows with their keys, that of what was left out last.
fn rows(report: &UsageReport) -> impl Iterator<Item = (Vec<String>, &UsageRow)> {
    let rows = report.rows.iter().map(|row| (row.key.clone(), row));
    let other = report.other.iter().map(|other| {
        let mut key = vec![format!("other ({} more)", other.rows)];
        key.resize(report.by.len(), String::new());
        (key, &other.sum)
    });
    rows.chain(other)
}

const fn datagrams(row: &UsageRow) -> u64 {
    row.datagrams_allowed + row.datagrams_denied + row.datagrams_would_deny
}

/// The number of calls with a mark of how it was obtained; a dash if it is not known.
pub(super) fn calls(row: &UsageRow) -> String {
    let Some(calls) = row.calls else {
        return "-".to_owned();
    };
    format!("{}{calls}", mark(row.calls_quality))
}

/// Marked as an estimate, and as the least where a part is not known; a dash if nothing is.
pub(super) fn cost(row: &UsageRow) -> String {
    let cost = row
        .cost
        .and_then(|cost| Some((cost, Dollars::price(cost.usd)?)));
    let Some((cost, dollars)) = cost else {
        return "-".to_owned();
    };
    let least = if cost.partial { ">=" } else { "" };
    format!("{least}~{dollars}")
}

const fn mark(quality: Quality) -> &'static str {
    match quality {
        Quality::Inferred | Quality::Estimate => "~",
        Quality::LowerBound => ">=",
        Quality::Exact | Quality::Unknown => "",
    }
}

/// With a mark of how it was obtained; a dash if it is not known.
fn rate(row: &UsageRow) -> String {
    let Some(rate) = row.connections_per_minute else {
        return "-".to_owned();
    };
    let mark = mark(row.rate_quality);
    match rate {
        100.0.. => format!("{mark}{rate:.0}"),
        1.0.. => format!("{mark}{rate:.1}"),
        _ => format!("{mark}{rate:.3}"),
    }
}

pub(super) fn print(
    report: &UsageReport,
    with_rate: bool,
    out: &mut Out<'_>,
) -> anyhow::Result<()> {
    if report.rows.is_empty() {
        tell_covered(report, out)?;
        return out.line("no usage: nothing has called a model endpoint in that time");
    }
    let has_datagrams = rows(report).any(|(_, row)| datagrams(row) > 0);
    let has_costs = rows(report).any(|(_, row)| row.cost.is_some());
    let sparks = Sparks::new(&report.intervals);
    let keys = report.by.iter().map(|key| key.name().to_uppercase());
    let keys: Vec<_> = keys.collect();
    let mut header: Vec<&str> = keys.iter().map(String::as_str).collect();
    header.extend(["ALLOWED", "DENIED", "WOULD-DENY"]);
    if has_datagrams {
        header.push("DATAGRAMS");
    }
    if with_rate {
        header.push("PER MINUTE");
    }
    header.push("CALLS");
    if has_costs {
        header.push("COST");
    }
    header.extend(["BYTES OUT", "BYTES IN", "FIRST SEEN", "LAST SEEN"]);
    if sparks.is_some() {
        header.push("CONNECTIONS");
    }
    let now = out.now;
    let cells = rows(report).map(|(mut cells, row)| {
        cells.extend([
            row.connections_allowed.to_string(),
            row.connections_denied.to_string(),
            row.connections_would_deny.to_string(),
        ]);
        if has_datagrams {
            cells.push(datagrams(row).to_string());
        }
        if with_rate {
            cells.push(rate(row));
        }
        cells.push(calls(row));
        if has_costs {
            cells.push(cost(row));
        }
        cells.extend([
            size(row.bytes_out),
            size(row.bytes_in),
            relative(row.first_seen, now),
            relative(row.last_seen, now),
        ]);
        cells.extend(sparks.as_ref().map(|sparks| sparks.line(&row.points)));
        cells
    });
    let cells = cells.collect();
    let numbers = [
        "ALLOWED",
        "DENIED",
        "WOULD-DENY",
        "DATAGRAMS",
        "PER MINUTE",
        "CALLS",
        "COST",
        "BYTES OUT",
        "BYTES IN",
    ];
    out.table(&header, &numbers, cells)?;
    if let Some(sparks) = &sparks {
        out.blank()?;
        out.line(sparks.legend())?;
    }
    tell_covered(report, out)?;
    tell_qualities(report, with_rate, out)
}

fn tell_qualities(report: &UsageReport, with_rate: bool, out: &mut Out<'_>) -> anyhow::Result<()> {
    let has = |is: &dyn Fn(&UsageRow) -> bool| rows(report).any(|(_, row)| is(row));
    let open: u64 = rows(report)
        .map(|(_, row)| row.connections_without_bytes)
        .sum();
    let mut notes = Vec::new();
    if open > 0 {
        notes.push(format!(
            "{open} allowed connections are still open, never opened, or UDP: their bytes are not counted"
        ));
    }
    if has(&|row| row.connections_quality == Quality::LowerBound) {
        notes.push(
            "events were lost, so each row tells at least what its processes did; the row `unknown` is the rest"
                .to_owned(),
        );
    }
    if has(&|row| row.bytes_quality == Quality::Inferred) {
        notes.push(
            "bytes by grant are inferred: they count for the grant that holds when a connection ends"
                .to_owned(),
        );
    }
    if has(&|row| row.cost.is_some()) {
        notes.push("costs are estimates by [[costs]] of the configuration".to_owned());
    }
    if has(&|row| row.cost.is_some_and(|cost| cost.partial)) {
        notes.push(
            ">= costs leave out what no rule tells and what was not counted, as bytes of open connections"
                .to_owned(),
        );
    }
    if with_rate {
        notes.push(match report.counted_minutes {
            Some(minutes) => format!("per minute of the {minutes:.1} in which was counted"),
            None => {
                "no rates: something was counted before it was known when; begin later with --since"
                    .to_owned()
            }
        });
    }
    for note in notes {
        out.blank()?;
        out.line(note)?;
    }
    Ok(())
}

/// Where the answer is about a longer time than was asked for by a minute or more: with intervals that
/// is what they are, else what is left.
fn tell_covered(report: &UsageReport, out: &mut Out<'_>) -> anyhow::Result<()> {
    if !report.intervals.is_empty() {
        return Ok(());
    }
    let minute = SignedDuration::from_mins(1);
    let mut tell = |from: Option<Timestamp>, to: Option<Timestamp>, text: String| {
        let is_longer = from
            .zip(to)
            .is_some_and(|(from, to)| to.duration_since(from) >= minute);
        if !is_longer {
            return Ok(());
        }
        out.blank()?;
        out.line(format!(
            "this is {text}: shorter periods of that time are no longer kept"
        ))
    };
    let shown = |at: Option<Timestamp>| at.map(instant).unwrap_or_default();
    let (since, until) = (report.covered_since, report.covered_until);
    tell(since, report.since, format!("from {} on", shown(since)))?;
    tell(Some(report.until), until, format!("up to {}", shown(until)))
}
