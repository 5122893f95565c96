//! `weir report`

use clap::ValueEnum;

use super::{
    args::moment,
    audit::print_verification,
    output::{Out, instant, or_dash},
};
use crate::api::{
    client::Client,
    types::{Absence, AuditRecord, GrantReview, Report, ReviewQuery},
};

/// Print a review for an auditor
///
/// Who could invoke what and who approved it, what was used, when rights ended, exceptions, times
/// that nobody watched, and whether the records of all that are as they were left.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weir report --since 90d > review.txt")]
pub(super) struct Args {
    /// From a time on, or for a duration up to now
    #[arg(long, value_name = "WHEN", default_value = "90d")]
    since: String,
    /// How it looks
    #[arg(long, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

impl Args {
    pub(super) async fn run(
        self,
        client: &Client,
        out: &mut Out<'_>,
    ) -> anyhow::Result<super::Answer> {
        let since = moment(&self.since)?;
        let report = client.report(&ReviewQuery { since }).await?;
        match self.format {
            Format::Json => out.json(&report)?,
            Format::Text => print(&report, out)?,
        }
        Ok(super::Answer::Done)
    }
}

fn print(report: &Report, out: &mut Out<'_>) -> anyhow::Result<()> {
    let Report {
        host,
        since,
        until,
        mode,
        grants,
        usage,
        endings,
        exceptions,
        coverage,
        missing,
        absences,
        lost_events,
        actions,
        controls,
        verification,
    } = report;
    let (from, to) = (instant(*since), instant(*until));
    out.line(format!("Review of {host}, {from} to {to}, mode {mode} now"))?;

    title("Who could invoke what", out)?;
    print_grants(grants, out)?;

    title("What was invoked", out)?;
    let rows = usage.iter().map(|row| {
        let mut cells = row.key.clone();
        let counts = [
            row.connections_allowed + row.datagrams_allowed,
            row.connections_denied + row.datagrams_denied,
            row.connections_would_deny + row.datagrams_would_deny,
        ];
        cells.extend(counts.map(|count| count.to_string()));
        cells
    });
    let header = ["IDENTITY", "ENDPOINT", "ALLOWED", "REFUSED", "WOULD-REFUSE"];
    let numbers = ["ALLOWED", "REFUSED", "WOULD-REFUSE"];
    rows_or_none(&header, &numbers, rows.collect(), out)?;

    title("What is broader than it needs to be", out)?;
    let findings = grants.iter().filter(|grant| grant.ended_at.is_none());
    let findings = findings.flat_map(|grant| {
        let told = grant.findings.iter();
        told.map(|finding| vec![grant.name.clone(), finding.clone()])
    });
    rows_or_none(&["GRANT", "FINDING"], &[], findings.collect(), out)?;

    title("Rights that ended", out)?;
    print_records(endings, out)?;
    title("Exceptions", out)?;
    print_records(exceptions, out)?;

    title("Coverage", out)?;
    for (hook, why) in missing {
        out.line(format!("not in force now: {hook}: {why}"))?;
    }
    for record in coverage {
        out.line(format!("{} {}", instant(record.at), gaps(record)))?;
    }
    for Absence { from, to, clean } in absences {
        let how = if *clean { "stopped" } else { "died" };
        let (from, to) = (instant(*from), instant(*to));
        out.line(format!("{from} to {to} no agent ran: it had {how}"))?;
    }
    out.line(format!("{lost_events} events lost in all time"))?;

    title("Evidence", out)?;
    let rows = controls.iter().map(|one| {
        let (control, about) = (one.control.clone(), one.about.clone());
        vec![control, one.records.to_string(), about]
    });
    out.table(
        &["CONTROL", "RECORDS", "ABOUT"],
        &["RECORDS"],
        rows.collect(),
    )?;
    out.blank()?;
    let rows = actions
        .iter()
        .map(|(action, count)| vec![action.clone(), count.to_string()]);
    rows_or_none(&["ACTION", "RECORDS"], &["RECORDS"], rows.collect(), out)?;

    title("The records themselves", out)?;
    print_verification(verification, out)
}

fn title(text: &str, out: &mut Out<'_>) -> anyhow::Result<()> {
    out.blank()?;
    out.line(format!("== {text}"))
}

fn rows_or_none(
    header: &[&str],
    numbers: &[&str],
    rows: Vec<Vec<String>>,
    out: &mut Out<'_>,
) -> anyhow::Result<()> {
    if rows.is_empty() {
        return out.line("none");
    }
    out.table(header, numbers, rows)
}

fn print_grants(grants: &[GrantReview], out: &mut Out<'_>) -> anyhow::Result<()> {
    let rows = grants.iter().map(|grant| {
        let approved = match (&grant.approved_by, &grant.issued_by) {
            (Some(person), _) => person.clone(),
            (None, Some(person)) => format!("by rules, for {person}"),
            (None, None) => "by rules".to_owned(),
        };
        vec![
            grant.name.clone(),
            grant.state.clone(),
            grant.subjects.join(" or "),
            grant.endpoints.join(", "),
            grant.purpose.clone(),
            approved,
            or_dash(grant.active_since.map(instant).as_deref()),
            or_dash(grant.ended_at.or(grant.not_after).map(instant).as_deref()),
            format!(
                "{} of {}",
                grant.endpoints_used.len(),
                grant.endpoints_granted
            ),
            grant.calls.to_string(),
        ]
    });
    let header = [
        "GRANT",
        "STATE",
        "WHOM",
        "ENDPOINTS",
        "PURPOSE",
        "APPROVED BY",
        "SINCE",
        "UNTIL",
        "USED",
        "CALLS",
    ];
    rows_or_none(&header, &["CALLS"], rows.collect(), out)
}

fn print_records(records: &[AuditRecord], out: &mut Out<'_>) -> anyhow::Result<()> {
    let rows = records.iter().map(|record| {
        vec![
            instant(record.at),
            record.action.clone(),
            record.name.clone(),
            record.actor.name.clone(),
            record.reason.clone(),
        ]
    });
    rows_or_none(
        &["AT", "ACTION", "WHAT", "BY", "WHY"],
        &[],
        rows.collect(),
        out,
    )
}

/// What a record of coverage says.
fn gaps(record: &AuditRecord) -> String {
    let text = |name: &str| {
        let value = record.details.get(name);
        value
            .and_then(|value| value.as_str())
            .map(ToOwned::to_owned)
    };
    let missing = record.details.get("missing");
    let missing = missing.and_then(|missing| missing.as_object());
    let mut gaps: Vec<String> = missing
        .into_iter()
        .flatten()
        .map(|(hook, why)| format!("{hook} is missing ({})", why.as_str().unwrap_or_default()))
        .collect();
    gaps.extend(text("names").map(|why| format!("names are not found out ({why})")));
    gaps.extend(text("closes").map(|why| format!("bytes are counted another way ({why})")));
    if gaps.is_empty() {
        "everything is covered".to_owned()
    } else {
        gaps.join("; ")
    }
}
