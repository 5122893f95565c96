//! `weir endpoints`

use clap::Subcommand;

use super::{Answer, output::Out};
use crate::{
    api::{
        backend,
        client::{Client, ClientError},
        types::{Endpoint, EndpointList, EndpointMatches},
    },
    endpoint::Catalogue,
};

/// List model endpoints and find those behind a host name
///
/// Without a running agent, the built-in catalogue answers.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weir endpoints list --provider openai")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List all endpoints
    #[command(after_help = "Example:\n  weir endpoints list --provider anthropic")]
    List {
        /// Only this provider
        #[arg(long, value_name = "NAME")]
        provider: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show which endpoints a host name belongs to, and who says so
    #[command(after_help = "Example:\n  weir endpoints match api.openai.com")]
    Match {
        host: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Args {
    pub(super) async fn run(self, client: &Client, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        match self.command {
            Command::List { provider, json } => {
                let mut list = match client.endpoints().await {
                    Err(ClientError::NoAgent { .. }) => built_in(),
                    answer => answer?,
                };
                if let Some(provider) = provider {
                    list.endpoints
                        .retain(|endpoint| endpoint.provider == provider);
                }
                let is_empty = list.endpoints.is_empty();
                if json {
                    out.json(&list)?;
                } else {
                    print_list(&list.endpoints, out)?;
                }
                Ok(if is_empty { Answer::No } else { Answer::Done })
            }
            Command::Match { host, json } => {
                let matches = match client.match_host(&host).await {
                    Err(ClientError::NoAgent { .. }) => {
                        backend::matches(Catalogue::builtin(), &host)
                    }
                    answer => answer?,
                };
                if json {
                    out.json(&matches)?;
                } else {
                    print_matches(&matches, out)?;
                }
                let is_empty = matches.matches.is_empty();
                Ok(if is_empty { Answer::No } else { Answer::Done })
            }
        }
    }
}

fn built_in() -> EndpointList {
    let endpoints = Catalogue::builtin().iter();
    EndpointList {
        endpoints: endpoints
            .map(|endpoint| backend::endpoint(endpoint, &[]))
            .collect(),
    }
}

fn print_list(endpoints: &[Endpoint], out: &mut Out<'_>) -> anyhow::Result<()> {
    if endpoints.is_empty() {
        return out.line("no such endpoint");
    }
    let rows = endpoints.iter().map(|endpoint| {
        let mut targets: Vec<_> = endpoint
            .hosts
            .iter()
            .chain(&endpoint.cidrs)
            .cloned()
            .collect();
        let more = targets.len().saturating_sub(2);
        targets.truncate(2);
        if more > 0 {
            targets.push(format!("and {more} more"));
        }
        vec![
            endpoint.name.clone(),
            endpoint.provider.clone(),
            endpoint.plane.clone(),
            endpoint.risk.clone(),
            targets.join(", "),
            endpoint.addresses.len().to_string(),
        ]
    });
    let rows = rows.collect();
    let header = ["NAME", "PROVIDER", "PLANE", "RISK", "HOSTS", "ADDRESSES"];
    out.table(&header, &["ADDRESSES"], rows)
}

fn print_matches(found: &EndpointMatches, out: &mut Out<'_>) -> anyhow::Result<()> {
    if found.matches.is_empty() {
        return out.line(format!("{} is no model endpoint that is known", found.host));
    }
    for matched in &found.matches {
        let shared = if matched.shared {
            "; the host serves other things too"
        } else {
            ""
        };
        out.line(format!(
            "endpoint  {} ({}, plane {})",
            matched.endpoint, matched.provider, matched.plane
        ))?;
        out.line(format!("rule      {}{shared}", matched.pattern))?;
        out.line(format!("source    {}", matched.source))?;
    }
    Ok(())
}
