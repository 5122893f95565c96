//! Connections to model endpoints that live, with what has gone through them so far.

use std::net::SocketAddr;

use agent_common::{destination::EndpointId, identity::IdentityId};
use jiff::Timestamp;

use super::Core;
use crate::{
    host::{
        clock::now,
        process,
        sock_destroy::Protocol,
        sockets::{Connection, Traffic},
    },
    store::StoreError,
};

/// One connection.
#[derive(Clone, Debug)]
pub struct OpenConnection {
    /// `None` for one that was there before the agent: then identity and endpoint are not what the
    /// kernel decided, but those of the cgroup that made the socket and of the peer's address.
    pub since: Option<Timestamp>,
    pub identity: String,
    pub endpoint: String,
    /// Grant that it rests on.
    pub rule: Option<String>,
    pub protocol: Protocol,
    pub remote: SocketAddr,
    pub pid: Option<u32>,
    pub comm: Option<String>,
    /// `None` where the kernel does not tell: UDP.
    pub traffic: Option<Traffic>,
}

impl Core {
    /// Those of `connections` that lead to model endpoints, the one with the most bytes first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn open_connections(
        &mut self,
        connections: &[Connection],
    ) -> Result<Vec<OpenConnection>, StoreError> {
        // The newest are not known otherwise.
        self.take_all_events();
        let at = now();
        self.live.keep(connections, at.boot_ns);
        let names = self.names()?;
        let mut open = Vec::new();
        for connection in connections {
            let flow = self.live.get(connection.flow.cookie);
            let found = match flow {
                Some(flow) => Some((self.identity_of_flow(flow), flow.endpoint)),
                None => self.by_address(connection),
            };
            let Some((identity, endpoint)) = found else {
                continue;
            };
            let Some(endpoint) = names.endpoints.get(&endpoint) else {
                continue;
            };
            let pid = flow.map(|flow| flow.pid);
            open.push(OpenConnection {
                since: flow.map(|flow| at.wall_of(flow.at_ns)),
                identity: names.identities.get(&identity).cloned().unwrap_or_default(),
                endpoint: endpoint.clone(),
                rule: flow
                    .and_then(|flow| names.rules.get(&flow.rule).map(|(_, rule)| rule.clone())),
                protocol: connection.flow.protocol,
                remote: connection.flow.remote,
                pid,
                comm: pid.and_then(|pid| process::look_up(pid).comm),
                traffic: connection.traffic,
            });
        }
        let bytes = |one: &OpenConnection| one.traffic.map(|it| it.bytes_out + it.bytes_in);
        open.sort_by_key(|one| std::cmp::Reverse(bytes(one)));
        Ok(open)
    }

    /// Who made the socket and which endpoint is at the peer's address, if that is certain.
    fn by_address(&self, connection: &Connection) -> Option<(IdentityId, EndpointId)> {
        let identity = self.workloads.of_cgroup(connection.cgroup?)?.id;
        let destinations = self.certain_destinations(connection);
        let mut endpoints = destinations.iter().flat_map(|one| one.endpoints);
        let endpoint = endpoints.find(|id| *id != EndpointId::ANY && !id.is_denied_prefix())?;
        Some((identity, endpoint))
    }
}
