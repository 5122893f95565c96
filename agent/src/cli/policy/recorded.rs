//! `weir policy diff --against enforce`

use crate::{
    api::{
        client::Client,
        types::{PolicyDocuments, Refusable, Rehearsal, RehearsalRequest},
    },
    cli::{
        Answer,
        args::moment,
        output::{Out, or_dash, relative},
    },
};

pub(super) async fn run(
    documents: PolicyDocuments,
    since: &str,
    json: bool,
    client: &Client,
    out: &mut Out<'_>,
) -> anyhow::Result<Answer> {
    let PolicyDocuments { files, whole } = documents;
    let request = RehearsalRequest {
        files,
        whole,
        since: moment(since)?,
    };
    let rehearsal = client.rehearse(&request).await?;
    if json {
        out.json(&rehearsal)?;
    } else {
        print(&rehearsal, since, out)?;
    }
    let passes = rehearsal.errors.is_empty() && rehearsal.refused.is_empty();
    Ok(if passes { Answer::Done } else { Answer::No })
}

fn print(rehearsal: &Rehearsal, since: &str, out: &mut Out<'_>) -> anyhow::Result<()> {
    let Rehearsal {
        errors,
        refused,
        calls,
        calls_not_judged,
    } = rehearsal;
    for error in errors {
        out.line(error)?;
    }
    if !errors.is_empty() {
        return Ok(());
    }
    let now = out.now;
    let row = |refusable: &Refusable| {
        let Refusable {
            identity,
            endpoint,
            reason,
            rule,
            calls,
            last_seen,
        } = refusable;
        vec![
            identity.clone(),
            endpoint.clone(),
            reason.clone(),
            or_dash(rule.as_deref()),
            calls.to_string(),
            relative(Some(*last_seen), now),
        ]
    };
    if !refused.is_empty() {
        let header = [
            "IDENTITY",
            "ENDPOINT",
            "REASON",
            "RULE",
            "CALLS",
            "LAST SEEN",
        ];
        out.table(&header, &["CALLS"], refused.iter().map(row).collect())?;
        out.blank()?;
    }
    let n_refused: u64 = refused.iter().map(|row| row.calls).sum();
    out.line(format!(
        "enforce would refuse {n_refused} of {calls} calls that went through since {since}"
    ))?;
    if *calls_not_judged > 0 {
        out.line(format!(
            "{calls_not_judged} calls were at endpoints that are not there any more: not judged"
        ))?;
    }
    Ok(())
}
