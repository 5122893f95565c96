//! The evasion suite: attempts to reach a model endpoint past the agent, one for each technique that a
//! determined insider on the host would try.
//!
//! Each is made by a process of its own, in a cgroup of its own, and carries a token; it has
//! succeeded if the token arrives at the endpoint. What it needs and the kernel has not shows in
//! the first run, without an agent: what does not arrive then is never called stopped.

mod cgroups;
mod data;
mod datagram;
mod dns;
mod flight;
mod foreign;
mod handing;
mod helper;
mod http;
mod packet;
mod packets;
mod place;
mod process;
mod raw;
mod rewrite;
mod ring;
mod run;
mod scene;
mod sinks;
mod stream;
mod sys;
mod tls;
mod transport;
mod tunnel;

pub use self::{
    place::{Place, Setting},
    run::{Finding, Outcome, run},
    scene::Scene,
    sys::LIFE_SECONDS,
};

use std::io;

/// One way to reach a model endpoint.
pub struct Technique {
    /// Unique, and part of a cgroup's name.
    pub id: &'static str,
    /// What is tried, in a few words.
    pub title: &'static str,
    /// Why it may stay open: a limit that the design states.
    pub limit: Option<&'static str>,
    pub attempt: fn(&Scene) -> io::Result<()>,
}

impl Technique {
    const fn new(
        id: &'static str,
        title: &'static str,
        attempt: fn(&Scene) -> io::Result<()>,
    ) -> Self {
        Self {
            id,
            title,
            limit: None,
            attempt,
        }
    }

    const fn limit(mut self, limit: &'static str) -> Self {
        self.limit = Some(limit);
        self
    }
}

/// Techniques that have one thing in common.
pub struct Family {
    pub name: &'static str,
    pub techniques: &'static [Technique],
}

/// Whoever may do that may detach the programs as well.
const ROOT: &str = "root that may detach programs";
/// Somebody else calls, with a right of its own.
const HELPER: &str = "a helper in another, entitled workload";
/// The name that is told is an ordinary one.
const FRONTING: &str = "domain fronting behind a shared name";

/// All of them, in the order of the table.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "TCP",
        techniques: stream::LIST,
    },
    Family {
        name: "UDP",
        techniques: datagram::LIST,
    },
    Family {
        name: "other transports",
        techniques: transport::LIST,
    },
    Family {
        name: "raw and ping sockets",
        techniques: raw::LIST,
    },
    Family {
        name: "packet sockets",
        techniques: packet::LIST,
    },
    Family {
        name: "TUN, TAP and tunnels",
        techniques: tunnel::LIST,
    },
    Family {
        name: "io_uring",
        techniques: ring::LIST,
    },
    Family {
        name: "sockets from elsewhere",
        techniques: foreign::LIST,
    },
    Family {
        name: "connections from elsewhere",
        techniques: data::LIST,
    },
    Family {
        name: "TLS by name",
        techniques: tls::LIST,
    },
    Family {
        name: "HTTP and proxies by name",
        techniques: http::LIST,
    },
    Family {
        name: "DNS",
        techniques: dns::LIST,
    },
    Family {
        name: "cgroups",
        techniques: cgroups::LIST,
    },
    Family {
        name: "processes",
        techniques: process::LIST,
    },
    Family {
        name: "rewriting of addresses",
        techniques: rewrite::LIST,
    },
    Family {
        name: "helpers",
        techniques: helper::LIST,
    },
];

/// The technique of this name.
pub fn find(id: &str) -> Option<&'static Technique> {
    let all = FAMILIES.iter().flat_map(|family| family.techniques);
    all.into_iter().find(|technique| technique.id == id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_many_techniques_and_each_has_a_name_of_its_own() {
        let all = FAMILIES.iter().flat_map(|family| family.techniques);
        let ids: Vec<&str> = all.map(|technique| technique.id).collect();
        let distinct: BTreeSet<&&str> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        assert!(ids.len() >= 120, "{}", ids.len());
        let is_plain = |id: &&str| {
            id.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        assert!(ids.iter().all(is_plain));
    }
}
