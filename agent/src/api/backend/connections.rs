//! Connections that live, as wire types.

use super::{DaemonBackend, internal, look};
use crate::{
    api::{
        error::ApiError,
        types::{ConnectionList, ConnectionQuery, LiveConnection, Quality},
    },
    daemon::OpenConnection,
    host::sockets::{self, Detail},
};

pub(super) async fn connections(
    backend: &DaemonBackend,
    query: ConnectionQuery,
) -> Result<ConnectionList, ApiError> {
    let found = look(|| sockets::connections(Detail::Traffic)).await?;
    let mut open = backend
        .ask(move |core| {
            core.open_connections(&found)
                .map_err(|error| internal("read names", &error))
        })
        .await?;
    let is_meant =
        |wanted: &Option<String>, name: &str| wanted.as_ref().is_none_or(|wanted| wanted == name);
    open.retain(|one| {
        is_meant(&query.identity, &one.identity) && is_meant(&query.endpoint, &one.endpoint)
    });
    let mut list = ConnectionList {
        total: open.len() as u64,
        ..ConnectionList::default()
    };
    for one in &open {
        match one.traffic {
            Some(traffic) => {
                list.bytes_out += traffic.bytes_out;
                list.bytes_in += traffic.bytes_in;
            }
            None => list.without_bytes += 1,
        }
    }
    open.truncate(query.top.unwrap_or(usize::MAX));
    list.connections = open.into_iter().map(wire).collect();
    Ok(list)
}

fn wire(open: OpenConnection) -> LiveConnection {
    let OpenConnection {
        since,
        identity,
        endpoint,
        rule,
        protocol,
        remote,
        pid,
        comm,
        traffic,
    } = open;
    LiveConnection {
        since,
        identity,
        endpoint,
        attribution_quality: match since {
            Some(_) => Quality::Exact,
            None => Quality::Inferred,
        },
        rule,
        protocol: protocol.to_string().to_lowercase(),
        address: remote.ip().to_string(),
        port: remote.port(),
        pid,
        comm,
        bytes_out: traffic.map(|traffic| traffic.bytes_out),
        bytes_in: traffic.map(|traffic| traffic.bytes_in),
    }
}
