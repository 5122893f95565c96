//! Wire types of the HTTP API: what `--json` prints is what goes over the socket.
//!
//! Fields are only ever added. Times are RFC 3339 in UTC. A number that is not known is `null`,
//! never 0, and where a number is not exact, a field beside it says how it was obtained.

mod anomaly;
mod audit;
mod connection;
mod event;
mod explain;
mod life;
mod policy;
mod review;
mod rights;
mod status;
mod task;
mod usage;
mod who;

pub use self::{
    anomaly::{
        Anomaly, AnomalyAck, AnomalyList, AnomalyQuery, Mute, MuteList, MuteRequest, Watching,
    },
    audit::{
        AuditActor, AuditExport, AuditExportQuery, AuditList, AuditQuery, AuditRecord,
        AuditVerification, AuditVerifyQuery,
    },
    connection::{ConnectionList, ConnectionQuery, LiveConnection},
    event::{Event, EventList, EventQuery},
    explain::{
        ConsideredObject, ExplainQuery, Explanation, Label, LimitUse, MatchedEndpoint, ProcessInfo,
        Target, Who,
    },
    life::{GrantDecision, GrantHistory, GrantLife, GrantStep, WaitingGrant},
    policy::{
        ApplyResult, CheckReport, DenyRequest, Endpoint, EndpointList, EndpointMatch,
        EndpointMatches, Grant, GrantList, GrantRequest, Identity, IdentityList,
        IdentityRevocation, PolicyChange, PolicyDiff, PolicyDocuments, PolicyFile, PolicyObject,
        PolicyView, Removal, RightChange, Rule, RuleList, SimilarHost, SubjectSpec,
    },
    review::{
        Absence, ControlEvidence, GrantReview, GrantReviewList, Refusable, Rehearsal,
        RehearsalRequest, Report, ReviewQuery, Suggestion, SuggestionQuery,
    },
    rights::{CallableEndpoint, Rights, RightsQuery},
    status::{
        BrokenGlass, Capacity, HookCoverage, Kubernetes, LossCount, NamingLatency,
        RefusedConnections, Status,
    },
    task::{Task, TaskEnded, TaskList, TaskRequest, TaskStarted},
    usage::{
        Cost, IntervalCoverage, OtherUsage, Quality, UsageInterval, UsageKey, UsagePoint,
        UsageQuery, UsageReport, UsageRow,
    },
    who::{LiveCaller, RecentCaller, WhoQuery, WhoTalks},
};
