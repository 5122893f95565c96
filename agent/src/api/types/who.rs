//! `GET /v1/who`: who talks to an address or an endpoint, now and recently.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WhoQuery {
    /// `IP`, `IP:PORT`, `[IP]:PORT`, the name of an endpoint or of one of its hosts.
    pub address: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhoTalks {
    /// As asked for.
    pub address: String,
    /// Endpoints that a name stands for: all that calls them is listed.
    pub endpoints: Vec<String>,
    /// By sockets that are connected now.
    pub now: Vec<LiveCaller>,
    /// By the events that are kept; the latest first.
    pub recently: Vec<RecentCaller>,
    /// Network namespaces that could not be looked into.
    pub unvisited_namespaces: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LiveCaller {
    /// `null` outside the governed cgroup.
    pub identity: Option<String>,
    pub cgroup: Option<String>,
    /// `out` for connections to the address, `in` for those of whoever has the address.
    pub direction: String,
    /// `tcp`, or `udp` for a connected socket.
    pub protocol: String,
    pub address: String,
    pub port: u16,
    pub connections: u64,
    /// Of several processes that hold the socket, the one with the lowest number.
    pub pid: Option<u32>,
    pub comm: Option<String>,
    pub exe: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecentCaller {
    pub identity: String,
    pub endpoint: String,
    /// `allow`, `deny` or `would-deny`.
    pub verdict: String,
    pub attempts: u64,
    /// Of the last attempt, like all that follows.
    #[schema(value_type = String, format = DateTime)]
    pub last_at: Timestamp,
    pub address: String,
    pub port: u16,
    pub pid: Option<u32>,
    pub comm: Option<String>,
    pub exe: Option<String>,
}
