//! `weir top`

mod draw;
mod model;
mod tables;

use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::value_parser;
use jiff::{SignedDuration, Timestamp};
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use self::model::{Detail, Effect, Model, Snapshot};
use super::{Answer, args::moment};
use crate::{
    api::{
        client::Client,
        types::{AnomalyQuery, EventQuery, UsageQuery},
    },
    error_chain,
};

/// How long a key is waited for before the picture is drawn again.
const GLANCE: Duration = Duration::from_millis(200);
/// Newest events that are looked at for what was refused, and for details.
const EVENTS: u32 = 500;

/// Watch who calls what, live
///
/// Shows identities, endpoints, refusals and anomalies, and asks the agent again every few seconds.
/// Keys: 1 to 4 or Tab for another view, arrows or j and k to move, s to sort by the next column, / to
/// filter, Enter for the connections behind a row, Esc for the way back, p to pause, q to quit.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  weir top\n  weir top --since 24h --interval 10")]
pub(super) struct Args {
    /// Count since a time, or for a duration up to now
    #[arg(long, value_name = "WHEN", default_value = "10m")]
    since: String,
    /// Seconds between two questions
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = value_parser!(u64).range(1..=3600))]
    interval: u64,
}

impl Args {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Answer> {
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            bail!("needs a terminal: use `weir usage` and `weir anomalies list` elsewhere");
        }
        let since = moment(&self.since)?;
        let span = Timestamp::now().duration_since(since);
        let mut model = Model::new(span);
        // What is wrong at first is told as by any other command, on a terminal as it was.
        model.take(Ok(fetch(client, &model).await?));
        let mut terminal = ratatui::try_init().context("take over the terminal")?;
        let done = watch(&mut terminal, client, &mut model, self.interval).await;
        ratatui::restore();
        done.map(|()| Answer::Done)
    }
}

async fn watch(
    terminal: &mut ratatui::DefaultTerminal,
    client: &Client,
    model: &mut Model,
    interval: u64,
) -> anyhow::Result<()> {
    let interval = Duration::from_secs(interval);
    let mut due = Instant::now() + interval;
    loop {
        terminal
            .draw(|frame| draw::draw(frame, model, Timestamp::now()))
            .context("draw")?;
        let mut is_wanted = due <= Instant::now() && !model.is_paused();
        if event::poll(GLANCE).context("wait for a key")?
            && let Event::Key(key) = event::read().context("read a key")?
            && key.kind == KeyEventKind::Press
        {
            match model.press(key) {
                Effect::None => {}
                Effect::Ask => is_wanted = true,
                Effect::Quit => return Ok(()),
            }
        }
        if is_wanted {
            let answer = fetch(client, model).await;
            model.take(answer.map_err(|error| error_chain(&*error)));
            due = Instant::now() + interval;
        }
    }
}

async fn fetch(client: &Client, model: &Model) -> anyhow::Result<Snapshot> {
    let since = Timestamp::now().saturating_sub(model.span())?;
    let usage = |by: &str| UsageQuery {
        by: Some(by.to_owned()),
        since: Some(since),
        ..UsageQuery::default()
    };
    let events = |verdict: Option<&str>| EventQuery {
        since: Some(since),
        verdict: verdict.map(ToOwned::to_owned),
        limit: Some(EVENTS),
        ..EventQuery::default()
    };
    let details = match model.detail() {
        Some(Detail { identity, endpoint }) => {
            let query = EventQuery {
                identity: identity.clone(),
                endpoint: endpoint.clone(),
                ..events(None)
            };
            client.events(&query).await?.events
        }
        None => Vec::new(),
    };
    let mut refusals = client.events(&events(Some("deny"))).await?.events;
    refusals.extend(client.events(&events(Some("would-deny"))).await?.events);
    let anomalies = AnomalyQuery {
        limit: Some(EVENTS),
        ..AnomalyQuery::default()
    };
    Ok(Snapshot {
        status: client.status().await?,
        identities: client.usage(&usage("identity")).await?,
        endpoints: client.usage(&usage("endpoint")).await?,
        refusals,
        anomalies: client.anomalies(&anomalies).await?.anomalies,
        details,
    })
}

/// Of a span that is counted over, for people.
fn span(length: SignedDuration) -> String {
    super::output::duration(length)
}

#[cfg(test)]
mod tests;
