//! `weir events`

use std::time::Duration;

use agent_common::event::EventKind;

use super::{
    Answer, args,
    output::{Out, instant, is_terminal, or_dash, place, process, size},
};
use crate::api::{
    client::Client,
    types::{Event, EventQuery},
};

/// How often `--follow` asks for news.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);

/// Show what happened, one connection at a time
///
/// Events are telemetry: some may be lost under load, and the number of lost ones is shown.
/// Usage does not depend on them.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  weir events --verdict deny --since 10m\n  weir events --follow --json"
)]
pub(super) struct Args {
    /// From this time on: RFC 3339, or how long ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only these: allow, deny or would-deny
    #[arg(long)]
    verdict: Option<String>,
    /// Only this identity
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// Only this endpoint
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// How many of the newest
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    /// Go on printing as they happen
    #[arg(long)]
    follow: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) async fn run(self, client: &Client, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        let mut query = EventQuery {
            since: self.since.as_deref().map(args::moment).transpose()?,
            after: None,
            verdict: self.verdict,
            identity: self.identity,
            endpoint: self.endpoint,
            limit: Some(self.limit),
        };
        let list = client.events(&query).await?;
        if list.events.is_empty() && !self.follow && !self.json {
            out.line("no events: nothing has called a model endpoint in that time")?;
        }
        print(&list.events, self.json, true, out)?;
        if list.lost > 0 && !self.json {
            out.blank()?;
            out.line(format!(
                "{} events were lost in all; counts were not",
                list.lost
            ))?;
        }
        let mut newest = list.events.last().map_or(0, |event| event.id);
        let mut has_header = !list.events.is_empty();
        query.limit = Some(10_000);
        if !self.follow {
            return Ok(Answer::Done);
        }
        loop {
            tokio::time::sleep(FOLLOW_EVERY).await;
            query.after = Some(newest);
            let list = client.events(&query).await?;
            print(&list.events, self.json, !has_header && is_terminal(), out)?;
            if let Some(event) = list.events.last() {
                newest = event.id;
                has_header = true;
            }
        }
    }
}

pub(super) fn print(
    events: &[Event],
    json: bool,
    header: bool,
    out: &mut Out<'_>,
) -> anyhow::Result<()> {
    if json {
        for event in events {
            out.raw(serde_json::to_string(event)?.as_bytes())?;
            out.raw(b"\n")?;
        }
        return Ok(());
    }
    if events.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = events.iter().map(row).collect();
    if !header {
        for row in rows {
            out.line(row.join("  "))?;
        }
        return Ok(());
    }
    let columns = [
        "ID", "TIME", "KIND", "VERDICT", "REASON", "IDENTITY", "ENDPOINT", "ADDRESS", "PROCESS",
        "DETAIL",
    ];
    out.table(&columns, &["ID"], rows)
}

fn row(event: &Event) -> Vec<String> {
    let address = if event.kind == EventKind::Socket.name() {
        event.address.clone()
    } else {
        place(&event.address, event.port)
    };
    let process = process(event.pid, event.comm.as_deref());
    let detail = match (event.bytes_out, event.bytes_in) {
        (Some(_), Some(_)) => {
            let duration = event
                .duration_ms
                .map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
            format!(
                "{} out, {} in, {duration}",
                size(event.bytes_out),
                size(event.bytes_in)
            )
        }
        _ => or_dash(event.rule.as_deref()),
    };
    vec![
        event.id.to_string(),
        instant(event.at),
        event.kind.clone(),
        event.verdict.clone(),
        event.reason.clone(),
        event.identity.clone(),
        event.endpoint.clone(),
        address,
        process,
        detail,
    ]
}
