//! `GET /v1/connections`: connections to model endpoints that live.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Quality;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ConnectionQuery {
    /// Name of an identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Name of an endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// At most so many, those with the most bytes; without it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top: Option<usize>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConnectionList {
    /// Those with the most bytes first.
    pub connections: Vec<LiveConnection>,
    /// How many there are, listed or not.
    pub total: u64,
    /// Payload bytes of all of them that tell.
    pub bytes_out: u64,
    pub bytes_in: u64,
    /// Those that do not tell: UDP.
    pub without_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LiveConnection {
    /// `null` if it was there before the agent.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    pub identity: String,
    pub endpoint: String,
    /// Exact as the kernel has decided it; inferred, by the socket's cgroup and the peer's address,
    /// where the connection is older than the agent.
    pub attribution_quality: Quality,
    /// Grant that it rests on.
    pub rule: Option<String>,
    /// `tcp` or `udp`.
    pub protocol: String,
    pub address: String,
    pub port: u16,
    pub pid: Option<u32>,
    pub comm: Option<String>,
    /// Payload bytes so far that the peer has acknowledged: exact; `null` for UDP.
    pub bytes_out: Option<u64>,
    /// Likewise those that have arrived.
    pub bytes_in: Option<u64>,
}
