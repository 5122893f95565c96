//! `GET /v1/audit`: who decided what, and whether the records are as they were left.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    #[param(value_type = Option<String>)]
    pub since: Option<Timestamp>,
    /// Only records with greater numbers, the oldest ones first. Else the newest ones are listed.
    pub after: Option<u64>,
    /// Only records of this action, as in `grant-revoked`.
    pub action: Option<String>,
    /// Only records about what has this name.
    pub name: Option<String>,
    /// How many at most; default 100, at most 10,000.
    pub limit: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditList {
    /// Oldest first.
    pub records: Vec<AuditRecord>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditRecord {
    /// Counts from 1 without a gap.
    pub seq: u64,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    pub action: String,
    /// `done`, `refused`, `would-refuse` or `failed`.
    pub outcome: String,
    pub actor: AuditActor,
    /// Kind of a policy object, `agent`, `task` or `endpoint`.
    pub kind: String,
    pub name: String,
    /// Purpose of a right, or why something was done.
    pub reason: String,
    /// Facts of this action.
    pub details: Value,
    /// Controls that this is evidence of, as in `NIST CSF 2.0 PR.AA-05`.
    pub controls: Vec<String>,
    /// SHA-256 over the record and the hash before, in hexadecimal digits.
    pub hash: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditActor {
    /// `agent`, `api`, `file` or `workload`.
    pub via: String,
    /// For people: `root`, `uid 1000`, or the workload.
    pub name: String,
    pub uid: Option<u32>,
    pub user: Option<String>,
    pub pid: Option<u32>,
    pub cgroup: Option<String>,
    pub identity: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditExportQuery {
    /// `jsonl`, or `ocsf` for the Open Cybersecurity Schema Framework.
    pub format: String,
    #[param(value_type = Option<String>)]
    pub since: Option<Timestamp>,
    /// Only records with greater numbers.
    pub after: Option<u64>,
}

/// Some records in the form that was asked for, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditExport {
    pub events: Vec<Value>,
    /// Ask for the rest with `after` set to it; `null` when there is none.
    pub next: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditVerifyQuery {
    /// Records that have to be there, as `SEQ:HASH`, with commas between them.
    pub expect: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditVerification {
    pub records: u64,
    /// The last record as `SEQ:HASH`: kept elsewhere, it proves that all before it is as it was.
    pub last: Option<String>,
    pub checkpoints: u64,
    /// Number of the last record that a signed checkpoint proves.
    pub proven: u64,
    /// With which the checkpoints are signed.
    pub public_key: String,
    /// One sentence for each thing that is not as it was left. Empty: nothing was found.
    pub problems: Vec<String>,
    /// What cannot be told.
    pub notes: Vec<String>,
}
