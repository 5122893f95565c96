//! Invocations that the audit tells of: too many for a record each, so records carry counts.

use agent_common::{
    counter::Counts, destination::EndpointId, identity::IdentityId, policy::RuleId, verdict::Reason,
};
use jiff::{SignedDuration, Timestamp};

use super::{Action, Outcome};

/// What a record is going to stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    pub action: Action,
    pub outcome: Outcome,
    pub identity: IdentityId,
    pub endpoint: EndpointId,
    pub reason: Reason,
    /// Of the last invocation.
    pub rule: RuleId,
    pub count: u64,
    pub since: Timestamp,
}

/// How many of what has to be told of, out of what was counted at one endpoint.
#[must_use]
pub fn tally(counts: &Counts, is_risky: bool) -> Vec<(Action, Outcome, u64)> {
    let allowed = counts.connects_allowed + counts.datagrams_allowed;
    let all = [
        (
            Action::InvocationRefused,
            Outcome::Refused,
            counts.connects_denied + counts.datagrams_denied,
        ),
        (
            Action::InvocationRefused,
            Outcome::WouldRefuse,
            counts.connects_would_deny + counts.datagrams_would_deny,
        ),
        (
            Action::InvocationHighRisk,
            Outcome::Done,
            if is_risky { allowed } else { 0 },
        ),
    ];
    all.into_iter().filter(|(_, _, count)| *count > 0).collect()
}

/// At most one record in this time for each identity, endpoint and reason.
#[must_use]
pub const fn interval(action: Action) -> SignedDuration {
    // What is allowed may go on for ever; the usage has it by the minute.
    if matches!(action, Action::InvocationHighRisk) {
        SignedDuration::from_hours(1)
    } else {
        SignedDuration::from_mins(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_and_what_is_allowed_where_it_is_risky() {
        let counts = Counts {
            connects_allowed: 1,
            connects_denied: 2,
            datagrams_denied: 3,
            connects_would_deny: 4,
            datagrams_allowed: 5,
            ..Counts::ZERO
        };
        let refused = [
            (Action::InvocationRefused, Outcome::Refused, 5),
            (Action::InvocationRefused, Outcome::WouldRefuse, 4),
        ];
        assert_eq!(tally(&counts, false), refused);
        let risky = (Action::InvocationHighRisk, Outcome::Done, 6);
        assert_eq!(tally(&counts, true), [refused[0], refused[1], risky]);
        assert_eq!(tally(&Counts::ZERO, true), []);
    }
}
