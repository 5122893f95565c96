//! `GET /v1/explain/who`: who is X, and what may it call now?

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Grant, Rule, Who};

/// Exactly one of the three.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RightsQuery {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Path below the cgroup root, or a directory below the mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Name of an identity, as `weir identities` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rights {
    pub who: Who,
    pub mode: String,
    pub revision: u64,
    /// `allow` or `deny`: what happens without a grant.
    pub posture: String,
    /// `observe`, `shadow` or `enforce`: how far the posture goes.
    pub posture_mode: String,
    /// Name of the posture object; `null` for the built-in default.
    pub posture_name: Option<String>,
    /// Grants that select it, in force or to come.
    pub grants: Vec<Grant>,
    /// Deny rules that select it.
    pub denies: Vec<Rule>,
    /// Endpoints that policy lets it call now, whatever the mode.
    pub may_call: Vec<CallableEndpoint>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CallableEndpoint {
    pub endpoint: String,
    /// `granted` or `default-allow`; with `in_shadow`, why it would be refused.
    pub reason: String,
    /// It may, because the posture is in shadow mode.
    pub in_shadow: bool,
    /// Grant that decides.
    pub rule: Option<String>,
}
