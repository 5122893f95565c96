//! `weir connections`

use super::{
    Answer,
    output::{Out, or_dash, place, process, relative, size},
};
use crate::api::{
    client::Client,
    types::{ConnectionList, ConnectionQuery, LiveConnection, Quality},
};

/// Show connections to model endpoints that live, and their bytes so far
///
/// Bytes are what the kernel counts for the connection itself, up to this moment; `weir usage` adds
/// them when it ends. Of connections that are older than the agent, identity and endpoint are told
/// by the socket's cgroup and the address, and marked with `~`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  weir connections --endpoint openai\n  watch -n 2 weir connections --top 20"
)]
pub(super) struct Args {
    /// Only this identity's
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// Only those to this endpoint
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// At most so many, those with the most bytes
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) async fn run(self, client: &Client, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        let list = client
            .connections(&ConnectionQuery {
                identity: self.identity,
                endpoint: self.endpoint,
                top: self.top,
            })
            .await?;
        if self.json {
            out.json(&list)?;
        } else {
            print(&list, out)?;
        }
        Ok(Answer::Done)
    }
}

pub(super) fn print(list: &ConnectionList, out: &mut Out<'_>) -> anyhow::Result<()> {
    let ConnectionList {
        connections,
        total,
        bytes_out,
        bytes_in,
        without_bytes,
    } = list;
    if *total == 0 {
        return out.line("no connection to a model endpoint lives");
    }
    let header = [
        "SINCE", "IDENTITY", "ENDPOINT", "GRANT", "ADDRESS", "PROCESS", "OUT", "IN",
    ];
    let now = out.now;
    let rows = connections.iter().map(|one| {
        let LiveConnection {
            since,
            identity,
            endpoint,
            attribution_quality,
            rule,
            protocol,
            address,
            port,
            pid,
            comm,
            bytes_out,
            bytes_in,
        } = one;
        let mark = if *attribution_quality == Quality::Exact {
            ""
        } else {
            "~"
        };
        vec![
            since.map_or_else(|| or_dash(None), |since| relative(Some(since), now)),
            format!("{mark}{identity}"),
            format!("{mark}{endpoint}"),
            or_dash(rule.as_deref()),
            format!("{protocol} {}", place(address, *port)),
            process(*pid, comm.as_deref()),
            size(*bytes_out),
            size(*bytes_in),
        ]
    });
    out.table(&header, &["OUT", "IN"], rows.collect())?;
    let unknown = match without_bytes {
        0 => String::new(),
        n => format!("; {n} do not tell"),
    };
    out.blank()?;
    out.line(format!(
        "{total} live, {} out and {} in so far{unknown}",
        size(Some(*bytes_out)),
        size(Some(*bytes_in))
    ))
}
