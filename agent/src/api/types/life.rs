//! Lives of grants: decisions about them, and their history.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Grant;

/// A grant that waits for approval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WaitingGrant {
    pub name: String,
    /// Why, a clause each.
    pub needs: Vec<String>,
}

/// Body of `POST /v1/grants/{name}/approve` and `reject`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GrantDecision {
    pub reason: String,
    /// Start of the digest of what was looked at; anything else is then not decided about.
    pub digest: Option<String>,
    /// Approve without a second person, for an hour at most.
    pub break_glass: bool,
}

/// `GET /v1/grants/{name}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GrantHistory {
    /// `null` if there is none of this name now.
    pub grant: Option<Grant>,
    /// Everything that has had this name, the oldest first.
    pub lives: Vec<GrantLife>,
}

/// One content of a grant, from its request on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GrantLife {
    pub digest: String,
    /// Why it needs approval; empty if it does not.
    pub needs_approval: Vec<String>,
    pub steps: Vec<GrantStep>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GrantStep {
    /// `request`, `approve`, `approve-by-rules`, `approve-lease`, `break-glass`, `activate`, `expire`,
    /// `revoke` or `reject`.
    pub step: String,
    pub by: String,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    pub why: String,
}
