//! `GET /v1/usage`: how much has whom used.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What to group by.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    ToSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum UsageKey {
    Identity,
    Endpoint,
    Grant,
    Reason,
    Unit,
    Slice,
    Container,
    Pod,
    Namespace,
    ServiceAccount,
    Task,
    Owner,
    Exe,
    User,
}

impl UsageKey {
    pub const ALL: [Self; 14] = [
        Self::Identity,
        Self::Endpoint,
        Self::Grant,
        Self::Reason,
        Self::Unit,
        Self::Slice,
        Self::Container,
        Self::Pod,
        Self::Namespace,
        Self::ServiceAccount,
        Self::Task,
        Self::Owner,
        Self::Exe,
        Self::User,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Endpoint => "endpoint",
            Self::Grant => "grant",
            Self::Reason => "reason",
            Self::Unit => "unit",
            Self::Slice => "slice",
            Self::Container => "container",
            Self::Pod => "pod",
            Self::Namespace => "namespace",
            Self::ServiceAccount => "service-account",
            Self::Task => "task",
            Self::Owner => "owner",
            Self::Exe => "exe",
            Self::User => "user",
        }
    }
}

/// How a number was obtained.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Quality {
    /// Counted.
    Exact,
    /// Derived from something that was counted.
    Inferred,
    /// By a rule that the user has set, from what was counted.
    Estimate,
    /// At least this much.
    LowerBound,
    /// Not known.
    #[default]
    Unknown,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UsageQuery {
    /// `identity`, `endpoint`, `grant`, `reason`, or a label of the identity: `unit`, `slice`,
    /// `container`, `pod`, `namespace`, `service-account`, `task`, `owner`; or of the process, `exe`
    /// or `user`, not together with `grant` or `reason`. Two of them with a comma. Default
    /// `identity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// First instant, rounded down to its minute, or to what is still kept: see `covered_since`.
    /// Default: everything that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub since: Option<Timestamp>,
    /// First instant that no longer counts. Default: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub until: Option<Timestamp>,
    /// Only this identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Only this endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// `KEY=VALUE`: only what has this value of one of the keys of `by`; `*` stands for any
    /// characters. May be given again: all keys have to match, each with one of its values. `exe` and
    /// `user` not together with `grant` or `reason`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filter: Vec<String>,
    /// Length of an interval, as in `5m`, `1h` or `7d`: each row then has `points`, one for each of
    /// `intervals`. Needs `since`. Intervals begin at multiples of their length since 1970, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// So many rows of the most connections; all others are added up in `other`. Not together with
    /// `limit` or `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1)]
    pub top: Option<u64>,
    /// So many rows at most, in the order of their keys, which new counts do not change. `next` of the
    /// answer leads to those behind them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1)]
    pub limit: Option<u64>,
    /// `next` of the answer before, with the same `by`, `filter` and times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageReport {
    pub by: Vec<UsageKey>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
    /// The time that the rows are about, which may be longer than what was asked for: where only
    /// hours or days are kept, a part of one cannot be told. `null` without a limit.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub covered_since: Option<Timestamp>,
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub covered_until: Option<Timestamp>,
    /// From when on usage is kept by minute, by hour and by day: UTC. `null` if none was dropped.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub minutes_since: Option<Timestamp>,
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub hours_since: Option<Timestamp>,
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub days_since: Option<Timestamp>,
    /// Minutes of that time in which the kernel has counted, as far as is known; `null` if something
    /// was counted before it was known when.
    #[serde(default)]
    pub counted_minutes: Option<f64>,
    /// Empty if no interval was asked for.
    #[serde(default)]
    pub intervals: Vec<UsageInterval>,
    pub rows: Vec<UsageRow>,
    /// What `top` left out.
    #[serde(default)]
    pub other: Option<OtherUsage>,
    /// Where the next page begins, as `after`; `null` if there is none.
    #[serde(default)]
    pub next: Option<String>,
    /// Kernel events that were lost in all time; the counts here do not depend on them.
    pub lost_events: u64,
}

/// What usage is estimated to have cost, by `[[costs]]` of the configuration as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Cost {
    /// US dollars.
    pub usd: f64,
    /// Always `estimate`.
    pub quality: Quality,
    /// There is more that has no rule, or that was not counted or only in part.
    pub partial: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageRow {
    /// Name of each thing grouped by, in the order of `by`; `-` where a row has none.
    pub key: Vec<String>,
    /// Connections by verdict.
    pub connections_allowed: u64,
    pub connections_denied: u64,
    pub connections_would_deny: u64,
    /// Exact, unless processes are asked for and some events that told of them were lost.
    pub connections_quality: Quality,
    /// Datagrams sent without a connection, by verdict: exact; 0 where processes are asked for.
    pub datagrams_allowed: u64,
    pub datagrams_denied: u64,
    pub datagrams_would_deny: u64,
    /// Payload bytes of TCP connections that have ended; `null` if none has.
    pub bytes_out: Option<u64>,
    pub bytes_in: Option<u64>,
    pub bytes_quality: Quality,
    /// Allowed connections whose bytes are not in the two fields above: still open, or UDP.
    pub connections_without_bytes: u64,
    /// Calls on connections that were let through, also while they last; `null` if they were not
    /// counted.
    pub calls: Option<u64>,
    /// Inferred; a lower bound where calls may have run at the same time or some connections were not
    /// looked at; exact only where nothing was let through.
    pub calls_quality: Quality,
    /// `null` if no rule tells it, or what the rule needs was not counted.
    #[serde(default)]
    pub cost: Option<Cost>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub first_seen: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen: Option<Timestamp>,
    /// Connections of all verdicts by minute of `counted_minutes`; `null` if that is not known.
    #[serde(default)]
    pub connections_per_minute: Option<f64>,
    /// As `connections_quality` where the kernel counted all of the time, else inferred.
    #[serde(default)]
    pub rate_quality: Quality,
    /// One for each of `intervals`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<UsagePoint>,
}

/// The rows that are not told one by one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OtherUsage {
    /// How many they are.
    pub rows: u64,
    /// All of them together; `key` is empty.
    pub sum: UsageRow,
}

/// Whether counts of an interval can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IntervalCoverage {
    /// Counted throughout: nothing is 0.
    Whole,
    /// The kernel counted throughout, but the agent was away for a part, whose counts stand where it
    /// came back: numbers are inferred, nothing is unknown.
    Late,
    /// For a part of it nothing was counted: numbers are lower bounds, nothing is unknown.
    Part,
    /// As far as is known nothing was counted.
    None,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageInterval {
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// The first instant that is not in it, also if that has not come yet.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
    pub coverage: IntervalCoverage,
}

/// What one row has in one interval; `null` where that is not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsagePoint {
    pub connections_allowed: Option<u64>,
    pub connections_denied: Option<u64>,
    pub connections_would_deny: Option<u64>,
    pub connections_quality: Quality,
    /// Of connections that ended in this interval.
    pub bytes_out: Option<u64>,
    pub bytes_in: Option<u64>,
    pub bytes_quality: Quality,
    /// As of a row.
    #[serde(default)]
    pub cost: Option<Cost>,
}

impl UsagePoint {
    /// Connections of all verdicts.
    #[must_use]
    pub fn connections(&self) -> Option<u64> {
        let (allowed, denied) = (self.connections_allowed?, self.connections_denied?);
        Some(allowed + denied + self.connections_would_deny?)
    }
}
