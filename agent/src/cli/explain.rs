//! `weir explain`

pub(super) mod rights;

use clap::ArgGroup;

use super::{
    Answer,
    output::{Out, instant},
};
use crate::api::{
    client::Client,
    types::{ExplainQuery, Explanation, LimitUse, Quality, RightsQuery},
};

/// Explain whether an identity would reach an endpoint, and why
///
/// Without a place: who it is, and what it may call now. The answer comes from the function that the kernel runs, with the policy in force now. Exit
/// code 1 means that policy refuses, whatever the mode makes of it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  weir explain --pid 4711\n  weir explain --pid 4711 --host api.openai.com\n  weir explain --event 12"
)]
#[command(group(ArgGroup::new("who").required(true).args(["pid", "cgroup", "identity", "event"])))]
#[command(group(ArgGroup::new("place").args(["endpoint", "host", "address"])))]
pub(super) struct Args {
    /// A running process
    #[arg(long, value_name = "PID", help_heading = "Who")]
    pid: Option<u32>,
    /// A cgroup
    #[arg(long, value_name = "PATH", help_heading = "Who")]
    cgroup: Option<String>,
    /// An identity, as `weir identities` prints it
    #[arg(long, value_name = "NAME", help_heading = "Who")]
    identity: Option<String>,
    /// Who and where of an event, by its id
    #[arg(
        long,
        value_name = "ID",
        conflicts_with = "place",
        help_heading = "Who"
    )]
    event: Option<u64>,
    /// A model endpoint by name
    #[arg(long, value_name = "NAME", help_heading = "Where")]
    endpoint: Option<String>,
    /// A host name
    #[arg(long, value_name = "HOST", help_heading = "Where")]
    host: Option<String>,
    /// An address and port, as in 192.0.2.1:443
    #[arg(long, value_name = "IP:PORT", help_heading = "Where")]
    address: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) async fn run(self, client: &Client, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        let has_place = self.endpoint.is_some() || self.host.is_some() || self.address.is_some();
        if !has_place && self.event.is_none() {
            return self.tell_rights(client, out).await;
        }
        let explanation = client
            .explain(&ExplainQuery {
                pid: self.pid,
                cgroup: self.cgroup,
                identity: self.identity,
                event: self.event,
                endpoint: self.endpoint,
                host: self.host,
                address: self.address,
            })
            .await?;
        if self.json {
            out.json(&explanation)?;
        } else {
            print(&explanation, out)?;
        }
        Ok(if is_refused(&explanation) {
            Answer::No
        } else {
            Answer::Done
        })
    }

    async fn tell_rights(self, client: &Client, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        let rights = client
            .rights(&RightsQuery {
                pid: self.pid,
                cgroup: self.cgroup,
                identity: self.identity,
            })
            .await?;
        if self.json {
            out.json(&rights)?;
        } else {
            rights::print(&rights, out)?;
        }
        Ok(Answer::Done)
    }
}

/// How much is used of what, and when there is more.
fn used(limit: &LimitUse) -> String {
    let LimitUse {
        limit: name,
        used,
        most,
        quality,
        anew_at,
        account,
    } = limit;
    let mark = match quality {
        Quality::Exact | Quality::Unknown => "",
        Quality::Inferred | Quality::Estimate => "~",
        Quality::LowerBound => ">=",
    };
    let unit = if name == "cost" { "$" } else { "" };
    let used = used.map_or_else(
        || "unknown".to_owned(),
        |used| format!("{mark}{unit}{used}"),
    );
    let by = account.as_ref();
    let by = by.map_or_else(String::new, |account| format!(" by all parts of {account}"));
    format!(
        "{name}: {used} of {unit}{most} used{by}; anew at {}",
        instant(*anew_at)
    )
}

fn is_refused(explanation: &Explanation) -> bool {
    !matches!(
        explanation.reason.as_str(),
        "ungoverned" | "granted" | "default-allow"
    )
}

pub(super) fn print(explanation: &Explanation, out: &mut Out<'_>) -> anyhow::Result<()> {
    let Explanation {
        who,
        target,
        verdict,
        reason,
        summary,
        mode,
        revision,
        rule,
        posture,
        posture_mode,
        posture_name,
        considered,
        limits,
        note,
        suggestion,
    } = explanation;
    out.line(format!("who       {} ({})", who.identity, who.found_by))?;
    rights::print_processes(&who.processes, out)?;
    if target.endpoints.is_empty() {
        out.line(format!(
            "where     {}: no model endpoint is known there",
            target.asked
        ))?;
    }
    for endpoint in &target.endpoints {
        out.line(format!(
            "where     {} ({}: recognised by {}, {})",
            endpoint.endpoint, target.asked, endpoint.recognised_by, endpoint.certainty
        ))?;
    }
    let rule = rule
        .as_ref()
        .map(|rule| format!(", by {rule}"))
        .unwrap_or_default();
    out.line(format!(
        "verdict   {verdict} ({reason}{rule}) in mode {mode}, revision {revision}"
    ))?;
    out.line(format!("because   {summary}"))?;
    for limit in limits {
        out.line(format!("limit     {}", used(limit)))?;
    }
    if let Some(note) = note {
        out.line(format!("but       {note}"))?;
    }
    if is_refused(explanation) {
        out.line(format!("more      docs/reasons/{reason}.md"))?;
    }
    if target.endpoints.is_empty() {
        return Ok(());
    }
    let source = rights::posture_source(posture_name.as_deref(), posture_mode);
    out.line(format!("posture   {posture} without a grant ({source})"))?;
    if !considered.is_empty() {
        out.blank()?;
        out.line("considered")?;
        for object in considered {
            let mark = if object.applies { "+" } else { "-" };
            out.line(format!(
                "  {mark} {} {}: {}",
                object.kind, object.name, object.text
            ))?;
        }
    }
    if let Some(suggestion) = suggestion {
        out.blank()?;
        out.line("to allow it")?;
        out.line(format!("  {suggestion}"))?;
    }
    Ok(())
}
