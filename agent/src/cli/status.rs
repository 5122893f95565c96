//! `weir status`

use super::{
    Answer,
    output::{Out, duration, relative},
};
use jiff::{SignedDuration, Timestamp};

use crate::api::{
    client::Client,
    types::{Kubernetes, Status},
};

/// Show whether the agent is in force, with what coverage and losses
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weir status")]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) async fn run(self, client: &Client, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        let status = client.status().await?;
        if self.json {
            out.json(&status)?;
        } else {
            print(&status, out)?;
        }
        Ok(Answer::Done)
    }
}

pub(super) fn print(status: &Status, out: &mut Out<'_>) -> anyhow::Result<()> {
    let now = out.now;
    let mode = match status.mode.as_str() {
        "observe" => "observe: nothing is ever refused",
        "shadow" => "shadow: nothing is refused, refusals are counted as would-deny",
        _ => "enforce",
    };
    out.line(format!("mode      {mode}"))?;
    out.line(format!(
        "policy    revision {}, {} grants, installed {}",
        status.revision,
        status.grants,
        relative(Some(status.revision_installed_at), now)
    ))?;
    out.line(format!("cgroup    {}", status.cgroup))?;
    out.line(format!(
        "agent     weir {}, started {}",
        status.version,
        relative(Some(status.started_at), now)
    ))?;
    out.line(format!("kernel    {}", status.kernel))?;
    out.line(format!(
        "knows     {} identities, {} endpoints; {} of {} hosts have an address",
        status.identities, status.endpoints, status.hosts_resolved, status.hosts
    ))?;
    if let Some(kubernetes) = &status.kubernetes {
        out.line(format!("kubernetes  {}", freshness(kubernetes, now)))?;
    }
    for broken in &status.broken_glass {
        let until = broken
            .until
            .map_or_else(String::new, |end| format!(" until {end}"));
        out.line(format!(
            "BROKEN GLASS  {} holds{until} without a second person: {} let it through",
            broken.grant, broken.by
        ))?;
    }
    if !status.waiting.is_empty() {
        out.line(format!(
            "waiting   {} grants wait for approval: `weir grant requests`",
            status.waiting.len()
        ))?;
    }
    for finding in &status.findings {
        out.line(format!("finding   {finding}"))?;
    }
    for error in &status.policy_errors {
        out.line(format!("MISTAKE   {error} (the running revision stays)"))?;
    }
    for warning in &status.policy_warnings {
        out.line(format!("warning   {warning}"))?;
    }
    out.blank()?;
    out.line("hooks")?;
    for hook in &status.hooks {
        let state = match &hook.why {
            Some(why) => format!("UNAVAILABLE: {why}"),
            None => hook.state.clone(),
        };
        out.line(format!("  {:<20} {state}", hook.hook))?;
    }
    if let Some(why) = &status.close_fallback {
        out.line(format!("  bytes come from {}: {why}", status.close_source))?;
    }
    out.line(format!(
        "  answers of the DNS are believed from {}",
        status.resolvers.join(", ")
    ))?;
    let refused = &status.refused;
    if refused.ended + refused.gone + refused.not_ended > 0 {
        out.line(format!(
            "  refused after they were made: {} connections ended, {} gone already, {} left to \
             their timeouts",
            refused.ended, refused.gone, refused.not_ended
        ))?;
    }
    if let Some(naming) = &status.naming {
        let ms = |us: u64| us as f64 / 1_000.0;
        out.line(format!(
            "  {} new cgroups were named: half within {:.1} ms, 99 % within {:.1} ms, the slowest in \
             {:.1} ms",
            naming.count,
            ms(naming.median_us),
            ms(naming.p99_us),
            ms(naming.max_us)
        ))?;
    }
    out.blank()?;
    out.line("kernel maps")?;
    for map in &status.capacity {
        out.line(format!("  {:<20} {} of {}", map.what, map.used, map.limit))?;
    }
    out.blank()?;
    let losses: Vec<_> = status.losses.iter().filter(|loss| loss.count > 0).collect();
    if losses.is_empty() {
        out.line("no losses")?;
    } else {
        out.line("losses")?;
        for loss in losses {
            out.line(format!(
                "  {:<20} {}  ({})",
                loss.reason, loss.count, loss.meaning
            ))?;
        }
    }
    out.blank()?;
    out.line("limits of this version")?;
    for limit in &status.limits {
        out.line(format!("  - {limit}"))?;
    }
    Ok(())
}

/// `api, 12 pods, away for 3m: connection refused`
fn freshness(kubernetes: &Kubernetes, now: Timestamp) -> String {
    let Kubernetes {
        source,
        node,
        pods,
        unresolved,
        connected: _,
        away_since,
        why,
        age_seconds,
        current_at: _,
    } = kubernetes;
    let mut text = format!("{source}, {pods} pods of {node}");
    if *unresolved > 0 {
        text = format!("{text}, {unresolved} UNRESOLVED");
    }
    let Some(since) = away_since else {
        return format!("{text}, current");
    };
    let away = duration(now.duration_since(*since));
    let age = age_seconds.map(|age| i64::try_from(age).unwrap_or(i64::MAX));
    let known = match age {
        Some(age) => format!(
            "what is known is {} old",
            duration(SignedDuration::from_secs(age))
        ),
        None => "nothing is known yet".to_owned(),
    };
    let why = why.as_deref().unwrap_or("unknown");
    format!("{text}, AWAY for {away}: {why} ({known})")
}
