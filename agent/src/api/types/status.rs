//! `GET /v1/status`: is the agent in force, with what coverage, and what has it lost?

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    pub version: String,
    /// `observe`, `shadow` or `enforce`.
    pub mode: String,
    /// Counter of installed policy sets; 0 before the first.
    pub revision: u64,
    #[schema(value_type = String, format = DateTime)]
    pub revision_installed_at: Timestamp,
    /// Why the newest policy files are not the running revision, if they are not.
    pub policy_errors: Vec<String>,
    pub policy_warnings: Vec<String>,
    /// Directory of the cgroup below which connections are governed.
    pub cgroup: String,
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// `uname -r`.
    pub kernel: String,
    pub hooks: Vec<HookCoverage>,
    /// `inet_sock_set_state`, `sock_ops` or `none`: where bytes of closed connections come from.
    pub close_source: String,
    /// Why a better source is not in use.
    pub close_fallback: Option<String>,
    /// Resolvers whose answers are believed.
    pub resolvers: Vec<String>,
    pub refused: RefusedConnections,
    /// How long new cgroups waited for their names; `null` before the first.
    pub naming: Option<NamingLatency>,
    pub capacity: Vec<Capacity>,
    pub losses: Vec<LossCount>,
    pub identities: u64,
    pub endpoints: u64,
    pub grants: u64,
    /// Names of grants that wait for approval.
    #[serde(default)]
    pub waiting: Vec<String>,
    /// Grants that hold for an hour without a second person.
    #[serde(default)]
    pub broken_glass: Vec<BrokenGlass>,
    /// What policy allows and is still worth a look.
    #[serde(default)]
    pub findings: Vec<String>,
    /// Hosts of endpoints that are resolved, and how many of them have an address.
    pub hosts: u64,
    pub hosts_resolved: u64,
    /// Absent while nobody is asked about pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<Kubernetes>,
    /// Stated limits: what this version does not see or stop.
    pub limits: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BrokenGlass {
    pub grant: String,
    pub by: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

/// One kernel hook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HookCoverage {
    pub hook: String,
    pub purpose: String,
    /// `created`, `adopted` (a link left by an earlier agent) or `unavailable`.
    pub state: String,
    /// Why it is unavailable.
    pub why: Option<String>,
}

/// Connections that were refused after they had been made, since this agent started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RefusedConnections {
    /// Their callers got an error at once.
    pub ended: u64,
    /// Their callers had closed them already.
    pub gone: u64,
    /// Cut off, but their callers have to wait for a timeout of their own.
    pub not_ended: u64,
}

/// How fresh metadata of this node's pods is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Kubernetes {
    /// `api` or `kubelet`.
    pub source: String,
    pub node: String,
    pub pods: u64,
    /// Pods that have cgroups and are not known yet.
    pub unresolved: u64,
    pub connected: bool,
    /// Since when nobody answers, and why.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub away_since: Option<Timestamp>,
    pub why: Option<String>,
    /// How old what is known may be; absent if nothing was ever known.
    pub age_seconds: Option<u64>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub current_at: Option<Timestamp>,
}

/// How full one kernel map is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Capacity {
    pub what: String,
    pub used: u64,
    pub limit: u64,
}

/// What the kernel side could not do, since its maps were made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LossCount {
    pub reason: String,
    pub count: u64,
    /// What it means for verdicts and numbers, in a sentence.
    pub meaning: String,
}

/// Microseconds from the kernel's `mkdir` to rules and name in force, over the newest 4,096 cgroups.
/// Until then a cgroup is judged as the nearest ancestor that has a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamingLatency {
    /// Of all.
    pub count: u64,
    pub median_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
}
