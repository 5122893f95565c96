//! Tasks: a cgroup each, with a lease that ends with it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// `POST /v1/tasks`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskRequest {
    /// Endpoint names, provider names or `*`. Others than root get only what their own cgroup may
    /// call.
    pub endpoints: Vec<String>,
    /// `invoke`, `manage`; default `invoke`.
    #[serde(default)]
    pub planes: Vec<String>,
    pub purpose: String,
    /// A duration such as `10m`.
    pub ttl: String,
    /// As `limits` of a grant: `connections`, `bytesPerDay`, `calls`, `cost`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub limits: BTreeMap<String, Value>,
    /// Empty cgroup that the caller has made: its path below the caller's own. Absent: the agent
    /// makes one and moves the caller there.
    #[serde(default)]
    pub cgroup: Option<String>,
}

/// A task that has begun. Its lease ends when it is deleted, when the calling process or the last
/// one in its cgroup ends, and at `not_after`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskStarted {
    pub id: String,
    /// Path below the cgroup root.
    pub cgroup: String,
    /// The same, where the agent sees it.
    pub cgroup_directory: String,
    /// Earlier than asked for if the caller's own right ends earlier.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub not_after: Option<Timestamp>,
    /// Name of the lease among the grants.
    pub grant: String,
}

/// Answer to `DELETE /v1/tasks/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskEnded {
    pub id: String,
    /// Processes that are left in the task's cgroup, without the right.
    pub processes_left: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskList {
    pub tasks: Vec<Task>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Task {
    pub id: String,
    /// `live`, or `ended` while processes are left in its cgroup.
    pub state: String,
    /// Path below the cgroup root.
    pub cgroup: String,
    pub grant: String,
    /// Empty once the lease has ended.
    pub endpoints: Vec<String>,
    pub purpose: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub not_after: Option<Timestamp>,
    /// User and process that asked for it.
    pub uid: u32,
    pub pid: u32,
    /// How many there are in its cgroup.
    pub processes: u64,
}
