//! What can happen that an auditor wants to know, and how it ended.

/// A closed set: programs may decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    GrantRequested,
    GrantApproved,
    GrantRejected,
    /// The kernel has it, though its time may not have come yet.
    GrantActivated,
    GrantRevoked,
    GrantExpired,
    DenyAdded,
    DenyRemoved,
    /// Another object of policy was added or changed.
    PolicyApplied,
    PolicyDeleted,
    BreakGlass,
    ModeChanged,
    AgentStarted,
    AgentStopped,
    CoverageChanged,
    TaskBegun,
    TaskEnded,
    /// Stands for as many as its details say.
    InvocationRefused,
    /// At an endpoint of high or critical risk. Stands for as many as its details say.
    InvocationHighRisk,
    /// Calls or cost that a grant allows are used up.
    BudgetSpent,
    /// Somebody asked for a change without being entitled to it.
    ChangeRefused,
    /// The agent found calls unusual.
    AnomalyFound,
    AnomalyAcknowledged,
    /// Nobody is told of some anomalies for a time.
    AnomalyMuted,
    AnomalyUnmuted,
    /// The agent found its own records other than it had left them.
    AuditTampered,
}

impl Action {
    pub const ALL: [Self; 26] = [
        Self::GrantRequested,
        Self::GrantApproved,
        Self::GrantRejected,
        Self::GrantActivated,
        Self::GrantRevoked,
        Self::GrantExpired,
        Self::DenyAdded,
        Self::DenyRemoved,
        Self::PolicyApplied,
        Self::PolicyDeleted,
        Self::BreakGlass,
        Self::ModeChanged,
        Self::AgentStarted,
        Self::AgentStopped,
        Self::CoverageChanged,
        Self::TaskBegun,
        Self::TaskEnded,
        Self::InvocationRefused,
        Self::InvocationHighRisk,
        Self::BudgetSpent,
        Self::ChangeRefused,
        Self::AnomalyFound,
        Self::AnomalyAcknowledged,
        Self::AnomalyMuted,
        Self::AnomalyUnmuted,
        Self::AuditTampered,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GrantRequested => "grant-requested",
            Self::GrantApproved => "grant-approved",
            Self::GrantRejected => "grant-rejected",
            Self::GrantActivated => "grant-activated",
            Self::GrantRevoked => "grant-revoked",
            Self::GrantExpired => "grant-expired",
            Self::DenyAdded => "deny-added",
            Self::DenyRemoved => "deny-removed",
            Self::PolicyApplied => "policy-applied",
            Self::PolicyDeleted => "policy-deleted",
            Self::BreakGlass => "break-glass",
            Self::ModeChanged => "mode-changed",
            Self::AgentStarted => "agent-started",
            Self::AgentStopped => "agent-stopped",
            Self::CoverageChanged => "coverage-changed",
            Self::TaskBegun => "task-begun",
            Self::TaskEnded => "task-ended",
            Self::InvocationRefused => "invocation-refused",
            Self::InvocationHighRisk => "invocation-high-risk",
            Self::BudgetSpent => "budget-spent",
            Self::ChangeRefused => "change-refused",
            Self::AnomalyFound => "anomaly-found",
            Self::AnomalyAcknowledged => "anomaly-acknowledged",
            Self::AnomalyMuted => "anomaly-muted",
            Self::AnomalyUnmuted => "anomaly-unmuted",
            Self::AuditTampered => "audit-tampered",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    /// Whether records of it add up what may happen a thousand times a second.
    #[must_use]
    pub const fn is_tally(self) -> bool {
        matches!(self, Self::InvocationRefused | Self::InvocationHighRisk)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    Done,
    Refused,
    /// Only counted, because the mode refuses nothing.
    WouldRefuse,
    Failed,
}

impl Outcome {
    pub const ALL: [Self; 4] = [Self::Done, Self::Refused, Self::WouldRefuse, Self::Failed];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::WouldRefuse => "would-refuse",
            Self::Failed => "failed",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for action in Action::ALL {
            assert_eq!(Action::from_name(action.name()), Some(action));
        }
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::from_name(outcome.name()), Some(outcome));
        }
        assert_eq!(Action::from_name("grant"), None);
    }
}
