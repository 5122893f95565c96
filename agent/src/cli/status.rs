//! `weir status`

use super::{
    Answer,
    output::{Out, relative},
};
use crate::api::{client::Client, types::Status};

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
            "  refused by their first packets: {} connections ended, {} gone already, {} left to \
             their timeouts",
            refused.ended, refused.gone, refused.not_ended
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
