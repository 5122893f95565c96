//! `weir grant requests`, `approve`, `reject` and `show`

use crate::{
    api::{
        client::Client,
        types::{Grant, GrantDecision, GrantHistory, GrantLife},
    },
    cli::{
        Answer,
        output::{Out, relative},
    },
};

/// As much of a digest as tells one content from another.
const DIGEST_SHOWN: usize = 12;

#[derive(Debug, clap::Args)]
pub(super) struct Decide {
    name: String,
    /// Kept in the history
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Only if the content is still the one that you have seen: the start of its digest
    #[arg(long, value_name = "HEX")]
    digest: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Approve {
    #[command(flatten)]
    decide: Decide,
    /// Without a second person, for an hour at most; everybody is told
    #[arg(long)]
    break_glass: bool,
}

impl Approve {
    pub(super) async fn run(self, client: &Client, out: &mut Out<'_>) -> anyhow::Result<()> {
        let Self {
            decide,
            break_glass,
        } = self;
        let decision = GrantDecision {
            reason: decide.reason,
            digest: decide.digest,
            break_glass,
        };
        let grant = client.approve_grant(&decide.name, &decision).await?;
        if decide.json {
            return out.json(&grant);
        }
        let how = if break_glass {
            " by breaking glass"
        } else {
            ""
        };
        out.line(format!("approved {}{how}, {}", grant.name, until(&grant)))
    }
}

impl Decide {
    pub(super) async fn reject(self, client: &Client, out: &mut Out<'_>) -> anyhow::Result<()> {
        let decision = GrantDecision {
            reason: self.reason,
            digest: self.digest,
            break_glass: false,
        };
        let grant = client.reject_grant(&self.name, &decision).await?;
        if self.json {
            return out.json(&grant);
        }
        out.line(format!("rejected {}", grant.name))
    }
}

pub(super) fn until(grant: &Grant) -> String {
    grant
        .not_after
        .map_or_else(|| "without an end".to_owned(), |end| format!("until {end}"))
}

/// What has to happen before it entitles anybody.
pub(in crate::cli) fn print_waiting(
    name: &str,
    needs: &[String],
    out: &mut Out<'_>,
) -> anyhow::Result<()> {
    out.line(format!(
        "{name} waits for approval ({}) and entitles nobody until another person runs",
        needs.join(", ")
    ))?;
    out.line(format!("  weir grant approve {name} --reason WHY"))
}

pub(super) async fn requests(
    json: bool,
    client: &Client,
    out: &mut Out<'_>,
) -> anyhow::Result<Answer> {
    let mut list = client.grants(false).await?;
    list.grants.retain(|grant| grant.state == "requested");
    if json {
        out.json(&list)?;
        return Ok(Answer::Done);
    }
    if list.grants.is_empty() {
        out.line("no grant waits for approval")?;
        return Ok(Answer::Done);
    }
    let rows = list.grants.iter().map(|grant| {
        vec![
            grant.name.clone(),
            grant.requested_by.clone().unwrap_or_default(),
            grant.subjects.join(" or "),
            grant.endpoints.join(", "),
            grant.purpose.clone(),
            grant.needs_approval.join(", "),
            grant.digest.chars().take(DIGEST_SHOWN).collect(),
        ]
    });
    let header = [
        "NAME",
        "BY",
        "WHOM",
        "ENDPOINTS",
        "PURPOSE",
        "NEEDS APPROVAL",
        "DIGEST",
    ];
    out.table(&header, &[], rows.collect())?;
    Ok(Answer::Done)
}

pub(super) fn print_history(history: &GrantHistory, out: &mut Out<'_>) -> anyhow::Result<()> {
    if let Some(grant) = &history.grant {
        out.line(format!("grant      {}, {}", grant.name, grant.state))?;
        out.line(format!("for        {}", grant.subjects.join(" or ")))?;
        let planes = grant.planes.join(", ");
        out.line(format!(
            "endpoints  {} ({planes})",
            grant.endpoints.join(", ")
        ))?;
        out.line(format!("purpose    {}", grant.purpose))?;
        if let Some(ticket) = &grant.ticket {
            out.line(format!("ticket     {ticket}"))?;
        }
        out.line(format!("holds      {}", until(grant)))?;
        out.line(format!("source     {}", grant.source))?;
    }
    for life in &history.lives {
        print_life(life, out)?;
    }
    Ok(())
}

fn print_life(life: &GrantLife, out: &mut Out<'_>) -> anyhow::Result<()> {
    let digest: String = life.digest.chars().take(DIGEST_SHOWN).collect();
    let needs = if life.needs_approval.is_empty() {
        "self-service".to_owned()
    } else {
        format!("needs approval: {}", life.needs_approval.join(", "))
    };
    out.blank()?;
    out.line(format!("content {digest}, {needs}"))?;
    let now = out.now;
    for step in &life.steps {
        let when = relative(Some(step.at), now);
        out.line(format!(
            "  {:<16} {when}, by {}: {}",
            step.step, step.by, step.why
        ))?;
    }
    Ok(())
}
