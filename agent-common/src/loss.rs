//! What the kernel side could not do. Each is counted; none changes a verdict.

/// Index into `LOSSES`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// The event ring was full: an event is missing, its counts are not.
    EventRingFull = 0,
    /// `COUNTERS` was full: counted in the overflow row, without identity and endpoint.
    CounterMapFull = 1,
    /// `IDENTITIES` was full: the cgroup's identity is searched again at every connection.
    IdentityMapFull = 2,
    /// A connection came from a cgroup without a known ancestor: judged as the unknown identity.
    UnknownCgroup = 3,
    /// A connection ended and its bytes could not be read or attributed.
    CloseUnattributed = 4,
    /// A refused connection could not be reported: its packets are dropped, its caller has to wait.
    RefusalRingFull = 5,
    /// A socket had no room for what its first flight tells: judged as undecidable.
    InspectionFailed = 6,
    /// An answer of the DNS was malformed, cut off or in parts: what it tells is not known.
    AnswerUnread = 7,
    /// The ring of cgroups was full: the agent looks for the cgroup by itself, later.
    CgroupRingFull = 8,
    /// `PROCESSES` was full: the process's executable is not known.
    ProcessMapFull = 9,
    /// A socket had no room for what is needed to end its connection later.
    LiveUnwatched = 10,
    /// `USED` was full: what has a limit is refused.
    LimitMapFull = 11,
    /// A socket had no room for the count of its calls.
    CallsUncounted = 12,
}

impl Loss {
    pub const ALL: [Self; 13] = [
        Self::EventRingFull,
        Self::CounterMapFull,
        Self::IdentityMapFull,
        Self::UnknownCgroup,
        Self::CloseUnattributed,
        Self::RefusalRingFull,
        Self::InspectionFailed,
        Self::AnswerUnread,
        Self::CgroupRingFull,
        Self::ProcessMapFull,
        Self::LiveUnwatched,
        Self::LimitMapFull,
        Self::CallsUncounted,
    ];

    /// Number of entries of `LOSSES`.
    pub const COUNT: u32 = Self::ALL.len() as u32;

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EventRingFull => "event-ring-full",
            Self::CounterMapFull => "counter-map-full",
            Self::IdentityMapFull => "identity-map-full",
            Self::UnknownCgroup => "unknown-cgroup",
            Self::CloseUnattributed => "close-unattributed",
            Self::RefusalRingFull => "refusal-ring-full",
            Self::InspectionFailed => "inspection-failed",
            Self::AnswerUnread => "dns-answer-unread",
            Self::CgroupRingFull => "cgroup-ring-full",
            Self::ProcessMapFull => "process-map-full",
            Self::LiveUnwatched => "live-unwatched",
            Self::LimitMapFull => "limit-map-full",
            Self::CallsUncounted => "calls-uncounted",
        }
    }
}
