//! `weir who`

use super::{
    Answer,
    output::{Out, or_dash, place, process, relative},
};
use crate::api::{
    client::Client,
    types::{LiveCaller, RecentCaller, WhoQuery, WhoTalks},
};

/// Show who talks to an address or an endpoint, now and recently
///
/// Now: by the connected sockets of all network namespaces in which a process runs, whether or not
/// a model endpoint is at the address. Recently: by the events that are kept, of model endpoints
/// alone. A name stands for its endpoint. Exit code 1 means that nobody does.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  weir who 192.0.2.10:443\n  weir who api.openai.com")]
pub(super) struct Args {
    /// IP, IP:PORT, [IP]:PORT, or the name of an endpoint or of one of its hosts
    address: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) async fn run(self, client: &Client, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        let found = client
            .who(&WhoQuery {
                address: self.address,
            })
            .await?;
        if self.json {
            out.json(&found)?;
        } else {
            print(&found, out)?;
        }
        Ok(if found.now.is_empty() && found.recently.is_empty() {
            Answer::No
        } else {
            Answer::Done
        })
    }
}

pub(super) fn print(found: &WhoTalks, out: &mut Out<'_>) -> anyhow::Result<()> {
    let WhoTalks {
        address,
        endpoints,
        now,
        recently,
        unvisited_namespaces,
    } = found;
    if !endpoints.is_empty() && *endpoints != [address.as_str()] {
        out.line(format!("{address} is {}", endpoints.join(", ")))?;
        out.blank()?;
    }
    if now.is_empty() {
        out.line("now: nobody")?;
    } else {
        out.line("now")?;
        let header = ["IDENTITY", "DIRECTION", "ADDRESS", "CONNECTIONS", "PROCESS"];
        out.table(&header, &["CONNECTIONS"], now.iter().map(live).collect())?;
    }
    out.blank()?;
    if recently.is_empty() {
        out.line("recently: no attempt to reach a model endpoint there")?;
    } else {
        out.line("recently")?;
        let at = out.now;
        let rows = recently.iter().map(|caller| {
            let RecentCaller {
                identity,
                endpoint,
                verdict,
                attempts,
                last_at,
                address,
                port,
                pid,
                comm,
                exe: _,
            } = caller;
            vec![
                identity.clone(),
                endpoint.clone(),
                verdict.clone(),
                attempts.to_string(),
                relative(Some(*last_at), at),
                place(address, *port),
                process(*pid, comm.as_deref()),
            ]
        });
        let header = [
            "IDENTITY", "ENDPOINT", "VERDICT", "ATTEMPTS", "LAST", "ADDRESS", "PROCESS",
        ];
        out.table(&header, &["ATTEMPTS"], rows.collect())?;
    }
    if *unvisited_namespaces > 0 {
        out.blank()?;
        out.line(format!(
            "{unvisited_namespaces} network namespaces could not be looked into"
        ))?;
    }
    Ok(())
}

fn live(caller: &LiveCaller) -> Vec<String> {
    let LiveCaller {
        identity,
        cgroup,
        direction,
        protocol,
        address,
        port,
        connections,
        pid,
        comm,
        exe: _,
    } = caller;
    let who = match (identity, cgroup) {
        (Some(identity), _) => identity.clone(),
        (None, Some(cgroup)) => format!("ungoverned {cgroup}"),
        (None, None) => or_dash(None),
    };
    vec![
        who,
        direction.clone(),
        format!("{protocol} {}", place(address, *port)),
        connections.to_string(),
        process(*pid, comm.as_deref()),
    ]
}
