//! `/v1/review/…` and `GET /v1/report`: what an auditor asks.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{AuditRecord, AuditVerification, PolicyFile, UsageRow};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReviewQuery {
    #[param(value_type = String)]
    pub since: Timestamp,
}

/// Body of `POST /v1/review/enforcement`. Without files, the running policy is meant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RehearsalRequest {
    /// Their objects take the place of the running ones of their names.
    #[serde(default)]
    pub files: Vec<PolicyFile>,
    /// These are all files that there are going to be in the policy directory.
    #[serde(default)]
    pub whole: bool,
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

/// What a policy would have refused of what was counted, were its mode to enforce.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rehearsal {
    /// Mistakes in the files; then nothing was judged.
    pub errors: Vec<String>,
    /// The most calls first.
    pub refused: Vec<Refusable>,
    /// Connections and datagrams that went through in that time.
    pub calls: u64,
    /// Those of them at endpoints that are not there any more: not judged.
    pub calls_not_judged: u64,
}

/// Calls that went through and would be refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refusable {
    pub identity: String,
    pub endpoint: String,
    /// As in events.
    pub reason: String,
    /// The deny rule that refuses, or the grant that has ended.
    pub rule: Option<String>,
    /// Connections and datagrams.
    pub calls: u64,
    #[schema(value_type = String, format = DateTime)]
    pub last_seen: Timestamp,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GrantReviewList {
    pub grants: Vec<GrantReview>,
}

/// A grant that was there in the span, and what was used of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GrantReview {
    pub name: String,
    /// As in the list of grants.
    pub state: String,
    pub subjects: Vec<String>,
    pub endpoints: Vec<String>,
    pub planes: Vec<String>,
    pub purpose: String,
    /// File that it stands in, or `api`.
    pub source: String,
    pub issued_by: Option<String>,
    pub requested_by: Option<String>,
    pub approved_by: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub active_since: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub not_after: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    pub ended_by: Option<String>,
    pub ended_why: Option<String>,
    /// How many endpoints it is about.
    pub endpoints_granted: u64,
    pub endpoints_used: Vec<String>,
    /// Known identities that it selects.
    pub identities: Vec<String>,
    /// Those that have used it.
    pub users: Vec<String>,
    /// Connections and datagrams that it let through.
    pub calls: u64,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used: Option<Timestamp>,
    /// What is broader than it needs to be, one clause each.
    pub findings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SuggestionQuery {
    /// Stable name of an identity.
    pub identity: String,
    #[param(value_type = String)]
    pub since: Timestamp,
}

/// A grant that fits what an identity was seen to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Suggestion {
    /// A policy file, with the evidence as comments.
    pub yaml: String,
}

/// What happened in a span, for an auditor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    pub host: String,
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
    /// `observe`, `shadow` or `enforce`.
    pub mode: String,
    /// Who could invoke what, who approved it, and what was used.
    pub grants: Vec<GrantReview>,
    /// Who invoked what: rows by identity and endpoint.
    pub usage: Vec<UsageRow>,
    /// Grants and deny rules that ended, oldest first.
    pub endings: Vec<AuditRecord>,
    /// Break-glass, changes of mode, deny rules and policy taken away, refused changes, tampering.
    pub exceptions: Vec<AuditRecord>,
    /// What could not be seen, and since when.
    pub coverage: Vec<AuditRecord>,
    /// Hooks that are not in force now, and why.
    pub missing: BTreeMap<String, String>,
    /// Times without an agent. The policy stays in force, but does not change.
    pub absences: Vec<Absence>,
    /// Kernel events that were lost in all time; counts do not depend on them.
    pub lost_events: u64,
    /// How many records there are by action.
    pub actions: BTreeMap<String, u64>,
    /// How many records are evidence of each control.
    pub controls: Vec<ControlEvidence>,
    pub verification: AuditVerification,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Absence {
    /// The last record before.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
    /// The agent had stopped in order.
    pub clean: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ControlEvidence {
    /// As in `NIST CSF 2.0 PR.AA-05`.
    pub control: String,
    pub about: String,
    pub records: u64,
}
