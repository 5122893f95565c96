//! `GET /v1/explain`: would X reach Y, and why?

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Quality;

/// Exactly one of `pid`, `cgroup`, `identity`, `event`; and, unless `event` is given, exactly one
/// of `endpoint`, `host`, `address`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExplainQuery {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Path below the cgroup root, or a directory below the mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Name of an identity, as `weir identities` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Id of an event: the same question as then, answered by the policy of now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// `IP:PORT` or `[IP]:PORT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    pub who: Who,
    pub target: Target,
    /// `allow`, `deny` or `would-deny`, as the running agent would decide now.
    pub verdict: String,
    /// From the closed set of reasons.
    pub reason: String,
    /// The reason as a sentence.
    pub summary: String,
    pub mode: String,
    pub revision: u64,
    /// Grant or deny rule that decides.
    pub rule: Option<String>,
    /// `allow` or `deny`: what happens without a grant.
    pub posture: String,
    /// `observe`, `shadow` or `enforce`: how far the posture goes.
    pub posture_mode: String,
    /// Name of the posture object; `null` for the built-in default.
    pub posture_name: Option<String>,
    pub considered: Vec<ConsideredObject>,
    /// Of the grant that decides, if it has any.
    #[serde(default)]
    pub limits: Vec<LimitUse>,
    /// What the verdict leaves open, as a sentence.
    pub note: Option<String>,
    /// A command line that would change a refusal into a grant.
    pub suggestion: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Who {
    pub identity: String,
    /// How it was found, as a sentence.
    pub found_by: String,
    pub cgroup: Option<String>,
    pub pid: Option<u32>,
    /// What is known about it.
    pub labels: Vec<Label>,
    /// Of a process: itself and those that led to it, nearest first, also when they have ended.
    #[serde(default)]
    pub processes: Vec<ProcessInfo>,
}

/// One process, as the kernel saw it start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProcessInfo {
    pub pid: u32,
    pub comm: Option<String>,
    pub exe: Option<String>,
    /// Of an interpreter: the file that it was started for.
    pub script: Option<String>,
    /// The first 256 bytes of its arguments, if the configuration keeps them.
    pub arguments: Option<Vec<String>>,
    /// User id that it acted as when it was started.
    pub user: Option<u32>,
    pub has_ended: bool,
}

/// One thing that is known about an identity, as `unit` or `container`; a pod has several labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Label {
    pub name: String,
    pub value: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Target {
    /// As asked for.
    pub asked: String,
    /// Empty if no endpoint is there: then nothing is governed.
    pub endpoints: Vec<MatchedEndpoint>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MatchedEndpoint {
    pub endpoint: String,
    /// How it was recognised, as a sentence.
    pub recognised_by: String,
    /// `certain` at `connect()`; `by-name` when the first packets decide, or the address once it is
    /// known; `shared-address` when the address does not tell and names are not looked at, so that
    /// the strictest reading holds; `not-yet` before any address is known.
    pub certainty: String,
}

/// What the identity has used of a limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LimitUse {
    /// `connections`, `bytesPerDay`, `calls` or `cost`, which is in US dollars.
    pub limit: String,
    /// `null` if it is not known.
    pub used: Option<f64>,
    pub most: f64,
    pub quality: Quality,
    /// When it begins anew.
    #[schema(value_type = String, format = DateTime)]
    pub anew_at: Timestamp,
    /// The identity whose parts use it up together, if this is one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConsideredObject {
    pub kind: String,
    pub name: String,
    pub applies: bool,
    /// Why it applies or not.
    pub text: String,
}
