//! Who talks to an address or an endpoint: by the sockets of now, and by the events kept.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use agent_common::{destination::EndpointId, verdict::Verdict};
use jiff::Timestamp;
use thiserror::Error;

use super::{Core, Place};
use crate::{
    host::{
        process,
        sock_destroy::Protocol,
        sockets::{LiveSocket, Look, Wanted},
    },
    store::{CalledPlace, StoreError},
};

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TalkedTo {
    Address(IpAddr, Option<u16>),
    /// An endpoint's name, or that of one of its hosts.
    Name(String),
}

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aim {
    wanted: Wanted,
    /// Of a name; empty for an address.
    endpoints: Vec<(EndpointId, String)>,
}

#[derive(Clone, Debug, Default)]
pub struct Talkers {
    /// Endpoints that a name stands for.
    pub endpoints: Vec<String>,
    pub now: Vec<LiveTalker>,
    pub recently: Vec<FormerTalker>,
    /// Network namespaces that could not be looked into.
    pub unvisited: usize,
}

/// Connections of one process in one direction.
#[derive(Clone, Debug)]
pub struct LiveTalker {
    /// `None` outside the governed cgroup.
    pub identity: Option<String>,
    pub cgroup: Option<String>,
    /// To the address, instead of from it.
    pub is_outgoing: bool,
    pub protocol: Protocol,
    /// The end that was asked about.
    pub address: SocketAddr,
    pub connections: u64,
    pub pid: Option<u32>,
    pub comm: Option<String>,
    pub exe: Option<String>,
}

#[derive(Clone, Debug)]
pub struct FormerTalker {
    pub identity: String,
    pub endpoint: String,
    pub verdict: Verdict,
    pub attempts: u64,
    pub last_at: Timestamp,
    pub address: String,
    pub port: u16,
    pub pid: Option<u32>,
    pub comm: Option<String>,
    pub exe: Option<String>,
}

#[derive(Debug, Error)]
pub enum WhoError {
    #[error(
        "`{0}` is neither an endpoint nor a host of one: give an address, or see `weir endpoints list`"
    )]
    Unknown(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Aim {
    #[must_use]
    pub const fn wanted(&self) -> &Wanted {
        &self.wanted
    }
}

impl Core {
    /// What to look for on the host, which takes too long to be done here.
    ///
    /// # Errors
    ///
    /// When the name is not known.
    pub fn aim(&self, asked: &TalkedTo) -> Result<Aim, WhoError> {
        let name = match asked {
            TalkedTo::Address(ip, port) => {
                return Ok(Aim {
                    wanted: Wanted::At(*ip, *port),
                    endpoints: Vec::new(),
                });
            }
            TalkedTo::Name(name) => name,
        };
        let catalogue = self.catalogue();
        let names: Vec<String> = match catalogue.get(name) {
            Some(endpoint) => vec![endpoint.name.clone()],
            None => {
                let matches = catalogue.match_host(name).into_iter();
                matches.map(|found| found.endpoint.name.clone()).collect()
            }
        };
        let numbers = &self.running.revision.numbers.endpoints;
        let endpoints: Vec<_> = names
            .into_iter()
            .filter_map(|name| Some((*numbers.get(&name)?, name)))
            .collect();
        if endpoints.is_empty() {
            return Err(WhoError::Unknown(name.clone()));
        }
        Ok(Aim {
            wanted: Wanted::All,
            endpoints,
        })
    }

    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn talkers(&self, aim: &Aim, look: Look) -> Result<Talkers, WhoError> {
        let names = self.names()?;
        let places: Vec<CalledPlace> = match &aim.wanted {
            Wanted::At(ip, port) => vec![CalledPlace::Address(ip.to_canonical(), *port)],
            Wanted::All => {
                let endpoints = aim.endpoints.iter();
                endpoints
                    .map(|(id, _)| CalledPlace::Endpoint(*id))
                    .collect()
            }
        };
        let mut recently = Vec::new();
        for place in places {
            for record in self.store.callers(&place)? {
                let name = |known: Option<&String>| known.cloned().unwrap_or_default();
                recently.push(FormerTalker {
                    identity: name(names.identities.get(&record.identity)),
                    endpoint: name(names.endpoints.get(&record.endpoint)),
                    verdict: record.verdict,
                    attempts: record.attempts,
                    last_at: record.last_at,
                    address: record.address,
                    port: record.port,
                    pid: record.pid,
                    comm: record.comm,
                    exe: record.exe,
                });
            }
        }
        recently.sort_by_key(|talker| std::cmp::Reverse(talker.last_at));
        Ok(Talkers {
            endpoints: aim.endpoints.iter().map(|(_, name)| name.clone()).collect(),
            now: self.grouped(aim, look.sockets),
            recently,
            unvisited: look.unvisited,
        })
    }

    /// One row for what differs in nothing that people ask for.
    fn grouped(&self, aim: &Aim, sockets: Vec<LiveSocket>) -> Vec<LiveTalker> {
        let mut meant = BTreeMap::new();
        let mut rows = BTreeMap::<_, (LiveTalker, u64)>::new();
        for socket in sockets {
            let is_outgoing = *meant
                .entry(socket.remote)
                .or_insert_with(|| self.is_meant(aim, socket.remote));
            let is_incoming =
                matches!(aim.wanted, Wanted::At(..)) && aim.wanted.matches(socket.local);
            if !is_outgoing && !is_incoming {
                continue;
            }
            let address = if is_outgoing {
                socket.remote
            } else {
                socket.local
            };
            let key = (!is_outgoing, address, socket.cgroup, socket.pid);
            let key = (key, socket.protocol == Protocol::Udp);
            rows.entry(key)
                .or_insert_with(|| (self.talker(&socket, is_outgoing, address), 0))
                .1 += 1;
        }
        let counted = rows.into_values();
        counted
            .map(|(talker, connections)| LiveTalker {
                connections,
                ..talker
            })
            .collect()
    }

    fn is_meant(&self, aim: &Aim, remote: SocketAddr) -> bool {
        if matches!(aim.wanted, Wanted::At(..)) {
            return aim.wanted.matches(remote);
        }
        let found = self.recognise(&Place::Address(remote));
        let mut found = found.iter();
        found.any(|found| {
            let mut endpoints = aim.endpoints.iter();
            endpoints.any(|(_, name)| *name == found.endpoint)
        })
    }

    fn talker(&self, socket: &LiveSocket, is_outgoing: bool, address: SocketAddr) -> LiveTalker {
        let of_process = socket.pid.and_then(|pid| process::cgroup_path(pid).ok());
        let identity = match socket.cgroup {
            Some(cgroup) => self.workloads.of_cgroup(cgroup),
            None => None,
        };
        let identity = identity.or_else(|| {
            let path = of_process.as_deref()?;
            self.workloads.at_path(path).map(|(identity, _)| identity)
        });
        let known = socket.cgroup.and_then(|cgroup| self.workloads.path(cgroup));
        let process = socket.pid.map(process::look_up).unwrap_or_default();
        LiveTalker {
            identity: identity.map(crate::identity::Identity::key),
            cgroup: known.map(ToOwned::to_owned).or(of_process),
            is_outgoing,
            protocol: socket.protocol,
            address,
            connections: 0,
            pid: socket.pid,
            comm: process.comm,
            exe: process.exe,
        }
    }
}
