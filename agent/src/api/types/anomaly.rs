//! Anomalies: what was unusual, and who has been told.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AnomalyQuery {
    /// Only those that were seen since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub since: Option<Timestamp>,
    /// Also acknowledged and muted ones.
    #[serde(default)]
    pub all: bool,
    /// Only those that go on.
    #[serde(default)]
    pub open: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Newest anomalies to return. Default 100, at most 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnomalyList {
    pub anomalies: Vec<Anomaly>,
    /// `null` where the agent does not look for anomalies.
    pub watching: Option<Watching>,
}

/// How much is watched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Watching {
    /// Pairs of identity and endpoint.
    pub series: u64,
    /// How often a pair was seen that there was no room for, since the agent started.
    pub unwatched: u64,
    /// Since when, over all agents.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Notices that webhooks took and did not take, since the agent started.
    pub told: u64,
    pub untold: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Anomaly {
    pub id: i64,
    /// `unusual-volume`, `refused-storm`, `first-use`, `dormant-woke`, `bypasses-gateway` or
    /// `unused-grant`.
    pub kind: String,
    /// `warning` or `info`.
    pub severity: String,
    pub identity: Option<String>,
    pub endpoint: Option<String>,
    pub grant: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub began: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub last_seen: Timestamp,
    /// `null` while it goes on.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended: Option<Timestamp>,
    /// A sentence.
    pub summary: String,
    /// About `-log10` of how often so much happens by chance; `null` where that was not found out.
    pub score: Option<f32>,
    /// Calls beyond what was expected, in the window that is most surprising.
    pub excess: f32,
    /// What the sentence is made of.
    #[schema(value_type = Object)]
    pub facts: serde_json::Value,
    /// Nobody was told.
    pub muted: bool,
    /// What was done about it by itself; empty for nothing.
    pub response: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub acked_at: Option<Timestamp>,
    pub acked_by: Option<String>,
    pub ack_why: Option<String>,
}

/// Body of `POST /v1/anomalies/{id}/ack`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnomalyAck {
    pub why: String,
}

/// Body of `POST /v1/mutes`: at least one of the first three.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MuteRequest {
    #[serde(default)]
    pub kind: Option<String>,
    /// Name of an identity; `*` stands for any characters.
    #[serde(default)]
    pub identity: Option<String>,
    #[serde(default)]
    pub endpoint: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
    pub why: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MuteList {
    pub mutes: Vec<Mute>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Mute {
    pub id: i64,
    pub kind: Option<String>,
    pub identity: Option<String>,
    pub endpoint: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
    pub by: String,
    pub why: String,
}
