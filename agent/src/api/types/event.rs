//! `GET /v1/events`: what happened, one connection at a time. Telemetry: some may be lost.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub since: Option<Timestamp>,
    /// Only events with a greater id: for following.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// `allow`, `deny` or `would-deny`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Newest events to return. Default 100, at most 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventList {
    pub events: Vec<Event>,
    /// Events that the kernel could not deliver, in all time.
    pub lost: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    pub id: u64,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// `connect`, `datagram`, `close`, `send` (the first data of somebody on a connection that another
    /// workload has made), or `foreign`: the identity is who made the socket that the caller of the
    /// event beside it has used.
    pub kind: String,
    /// `allow`, `deny` or `would-deny`.
    pub verdict: String,
    /// Why, from the closed set of reasons.
    pub reason: String,
    pub identity: String,
    pub endpoint: String,
    /// Grant or deny rule that decided.
    pub rule: Option<String>,
    pub address: String,
    pub port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The address stands for several endpoints: the endpoint is the one that decided.
    pub shared_address: bool,
    pub pid: Option<u32>,
    /// `null` if the process was gone before anybody could look.
    pub comm: Option<String>,
    pub exe: Option<String>,
    /// Of an interpreter: the file that it was started for.
    pub script: Option<String>,
    /// User id that the caller acted as.
    pub user: Option<u32>,
    pub cgroup: Option<String>,
    /// Of a close.
    pub bytes_out: Option<u64>,
    pub bytes_in: Option<u64>,
    /// Of a close whose connect was seen.
    pub duration_ms: Option<u64>,
}
