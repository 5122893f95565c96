//! Grants, deny rules, endpoints, identities, and whole policy files.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::WaitingGrant;

/// Selects identities; all given parts must match. `any` alone selects everybody.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SubjectSpec {
    pub unit: Option<String>,
    pub slice: Option<String>,
    /// Unit of a user's own manager.
    pub user_unit: Option<String>,
    /// Container id.
    pub container: Option<String>,
    /// What the runtime calls the container; `*` stands for any characters.
    pub container_name: Option<String>,
    /// Full reference of the image; `*` stands for any characters.
    pub image: Option<String>,
    /// Kubernetes pod UID.
    pub pod: Option<String>,
    pub namespace: Option<String>,
    pub service_account: Option<String>,
    /// Labels that the pod must have.
    pub pod_labels: BTreeMap<String, String>,
    /// Path below the cgroup root; the cgroup and everything below it.
    pub cgroup: Option<String>,
    /// Id of a registered task.
    pub task: Option<String>,
    /// Absolute path of an executable.
    pub exe: Option<String>,
    /// Name or UID of a user.
    pub user: Option<String>,
    pub any: bool,
}

/// `POST /v1/grants`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantRequest {
    pub name: String,
    pub subjects: Vec<SubjectSpec>,
    /// Endpoint names, provider names or `*`.
    pub endpoints: Vec<String>,
    /// `invoke`, `manage`; default `invoke`.
    #[serde(default)]
    pub planes: Vec<String>,
    pub purpose: String,
    /// What it refers to in a tracker of changes.
    pub ticket: Option<String>,
    /// Another person must approve it, whatever the agent's rules say.
    #[serde(default)]
    pub requires_approval: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub not_before: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub not_after: Option<Timestamp>,
    /// A duration such as `90m`; not together with `not_after`.
    pub ttl: Option<String>,
}

/// `POST /v1/identities/revoke`: refuses one identity every endpoint, whatever grants say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityRevocation {
    /// Stable name, as `weir identities` prints it.
    pub identity: String,
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GrantList {
    pub grants: Vec<Grant>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    pub name: String,
    /// `requested`, `approved` (its time has not begun), `active`, `expired`, `revoked` or `rejected`.
    pub state: String,
    /// As a sentence: `unit batch.service`.
    pub subjects: Vec<String>,
    pub endpoints: Vec<String>,
    pub planes: Vec<String>,
    pub purpose: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub not_before: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub not_after: Option<Timestamp>,
    /// File that it stands in, or `api`.
    pub source: String,
    /// User who issued or revoked it over the API.
    pub issued_by: Option<String>,
    pub revoked_by: Option<String>,
    pub revoked_why: Option<String>,
    #[serde(default)]
    pub ticket: Option<String>,
    /// Of its content: an approval is for exactly this.
    #[serde(default)]
    pub digest: String,
    /// Why it needs approval; empty if it does not.
    #[serde(default)]
    pub needs_approval: Vec<String>,
    #[serde(default)]
    pub requested_by: Option<String>,
    /// Person who approved it.
    #[serde(default)]
    pub approved_by: Option<String>,
    /// It holds for an hour without a second person.
    #[serde(default)]
    pub broke_glass: bool,
}

/// `POST /v1/denies`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DenyRequest {
    pub name: String,
    pub subjects: Vec<SubjectSpec>,
    #[serde(default)]
    pub endpoints: Vec<String>,
    #[serde(default)]
    pub cidrs: Vec<String>,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuleList {
    pub denies: Vec<Rule>,
}

/// One deny rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rule {
    pub name: String,
    pub subjects: Vec<String>,
    pub endpoints: Vec<String>,
    pub cidrs: Vec<String>,
    pub reason: String,
    /// File that it stands in, or `api`.
    pub source: String,
}

/// Body of `DELETE /v1/grants/{name}` and of the other removals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Removal {
    pub why: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndpointList {
    pub endpoints: Vec<Endpoint>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Endpoint {
    pub name: String,
    pub provider: String,
    /// `invoke`, `manage` or `resolve`.
    pub plane: String,
    pub hosts: Vec<String>,
    pub cidrs: Vec<String>,
    /// Empty for every port.
    pub ports: Vec<u16>,
    /// `low`, `high` or `critical`.
    pub risk: String,
    /// The hosts serve other things too.
    pub shared: bool,
    /// Who says so: `catalogue`, `api`, or a file with its line.
    pub source: String,
    /// Addresses that are known now.
    pub addresses: Vec<String>,
}

/// `GET /v1/endpoints/match?host=`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndpointMatches {
    pub host: String,
    /// Most specific first.
    pub matches: Vec<EndpointMatch>,
    /// Patterns that are spelled like a host without matches, most similar first.
    #[serde(default)]
    pub similar: Vec<SimilarHost>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SimilarHost {
    pub pattern: String,
    pub endpoint: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndpointMatch {
    pub endpoint: String,
    pub provider: String,
    pub plane: String,
    /// Host pattern that matched, or the network, for an address.
    pub pattern: String,
    /// Ports that count; empty for every port.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// The host serves other things too.
    pub shared: bool,
    /// Management goes to this host too: the plane does not tell it apart.
    #[serde(default)]
    pub also_manages: bool,
    /// Calls are passed on to models of other makers.
    #[serde(default)]
    pub reseller: bool,
    /// Who says so: `catalogue` with its evidence, `api`, or a file with its line.
    pub source: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IdentityList {
    pub identities: Vec<Identity>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Identity {
    /// Stable name: `unit:nginx.service`, `pod:shop/deployment/api/server`, `cgroup:/a/b`.
    pub name: String,
    /// Cgroup in which it was seen last.
    #[serde(default)]
    pub cgroup: String,
    pub unit: Option<String>,
    pub slice: Option<String>,
    /// Unit of a user's own manager.
    #[serde(default)]
    pub user_unit: Option<String>,
    /// What the workload has set apart below itself.
    #[serde(default)]
    pub nested: Option<String>,
    /// Container id.
    pub container: Option<String>,
    #[serde(default)]
    pub container_name: Option<String>,
    #[serde(default)]
    pub image: Option<String>,
    /// Kubernetes pod UID.
    pub pod: Option<String>,
    #[serde(default)]
    pub pod_name: Option<String>,
    #[serde(default)]
    pub namespace: Option<String>,
    #[serde(default)]
    pub service_account: Option<String>,
    /// Kind and name of what made the pod: `deployment/api`.
    #[serde(default)]
    pub owner: Option<String>,
    #[serde(default)]
    pub pod_labels: BTreeMap<String, String>,
    /// A pod whose metadata is not known.
    #[serde(default)]
    pub unresolved: bool,
    #[serde(default)]
    pub task: Option<String>,
    /// Only processes of this executable.
    #[serde(default)]
    pub exe: Option<String>,
    /// Only processes of this user: a name, or a UID.
    #[serde(default)]
    pub user: Option<String>,
    /// Cgroups that have this identity now; empty if the workload is gone.
    pub cgroups: Vec<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub first_seen: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen: Option<Timestamp>,
}

/// One policy file as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    /// Name for messages.
    pub file: String,
    pub text: String,
}

/// Body of `POST /v1/policy/check`, `apply` and `diff`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyDocuments {
    pub files: Vec<PolicyFile>,
    /// For `diff`: these are all files that there are going to be in the policy directory.
    #[serde(default)]
    pub whole: bool,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CheckReport {
    pub objects: u64,
    /// `FILE:LINE:COLUMN: FIELD: message`.
    pub errors: Vec<String>,
    pub warnings: Vec<String>,
    /// What policy allows and is still worth a look.
    #[serde(default)]
    pub findings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApplyResult {
    /// Revision that is running now.
    pub revision: u64,
    pub changes: Vec<PolicyChange>,
    pub warnings: Vec<String>,
    /// Grants among the objects that entitle nobody until somebody else approves them.
    #[serde(default)]
    pub waiting: Vec<WaitingGrant>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyDiff {
    pub changes: Vec<PolicyChange>,
    pub errors: Vec<String>,
    /// Who gains or loses what, of those who are there or were in the last 30 days.
    #[serde(default)]
    pub rights: Vec<RightChange>,
}

/// An endpoint that an identity could not call before and then may, or the other way round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RightChange {
    /// Stable name, or `anybody else`.
    pub identity: String,
    pub endpoint: String,
    /// `gains` or `loses`.
    pub what: String,
    /// Reasons of the two decisions, as in events.
    pub before: String,
    pub after: String,
    /// The grant or deny rule that decides then.
    pub rule: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyChange {
    /// `ModelEndpoint`, `InvocationGrant`, `EgressDeny` or `Posture`.
    pub kind: String,
    pub name: String,
    /// `added`, `removed` or `changed`.
    pub what: String,
    /// Paths of the fields that differ.
    pub fields: Vec<String>,
}

/// `GET /v1/policy`: what is in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyView {
    pub revision: u64,
    pub objects: Vec<PolicyObject>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyObject {
    pub kind: String,
    pub name: String,
    /// File that it stands in, or `api`.
    pub source: String,
    pub yaml: String,
}
