//! `weir endpoints`

use clap::Subcommand;

use super::{Answer, output::Out};
use crate::{
    api::{
        backend,
        client::{Client, ClientError},
        types::{Endpoint, EndpointList, EndpointMatch, EndpointMatches},
    },
    endpoint::Catalogue,
};

/// List model endpoints and find those behind a host name
///
/// Resolvers of encrypted DNS are among them, below the name encrypted-dns.
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
    #[command(
        after_help = "Examples:\n  weir endpoints match api.openai.com\n  weir endpoints match 8.8.8.8"
    )]
    Match {
        /// Host name, or an address that an endpoint names as a network
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

/// The most specific endpoint first; without any, what is spelled like it.
fn print_matches(found: &EndpointMatches, out: &mut Out<'_>) -> anyhow::Result<()> {
    let EndpointMatches {
        host,
        matches,
        similar,
    } = found;
    if matches.is_empty() {
        out.line(format!("{host} belongs to no endpoint that is known"))?;
    }
    for (index, matched) in matches.iter().enumerate() {
        if index > 0 {
            out.blank()?;
        }
        print_match(matched, out)?;
    }
    for similar in similar {
        out.line(format!(
            "similar   {} ({})",
            similar.pattern, similar.endpoint
        ))?;
    }
    Ok(())
}

fn print_match(matched: &EndpointMatch, out: &mut Out<'_>) -> anyhow::Result<()> {
    let EndpointMatch {
        endpoint,
        provider,
        plane,
        pattern,
        ports,
        shared,
        also_manages,
        reseller,
        source,
    } = matched;
    out.line(format!("endpoint  {endpoint}"))?;
    out.line(format!("provider  {provider}"))?;
    let also = if *also_manages {
        "; management goes to this host too"
    } else {
        ""
    };
    out.line(format!("plane     {plane}{also}"))?;
    let ports = match ports.as_slice() {
        [] => "every port".to_owned(),
        ports => {
            let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>();
            format!("port {}", ports.join(", "))
        }
    };
    let other = if *shared {
        "; the host serves other things too"
    } else {
        ""
    };
    out.line(format!("rule      {pattern}, {ports}{other}"))?;
    if *reseller {
        out.line("reseller  passes calls on to models of other makers")?;
    }
    out.line(format!("source    {source}"))
}

#[cfg(test)]
mod tests;
