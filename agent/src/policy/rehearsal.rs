//! What a policy would have refused of what was counted.

use std::collections::{BTreeMap, BTreeSet};

use agent_common::{
    destination::{Destination, EndpointId},
    identity::IdentityId,
    policy::{PolicyLookup as _, RuleEntry},
    verdict::{Decision, Reason, decide},
};
use jiff::Timestamp;

use super::{ClockAnchor, CompileError, CompiledPolicy, Numbered, compile};
use crate::{identity::Identity, usage::UsageRow};

/// Calls that went through, and that the policy refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusable {
    pub identity: IdentityId,
    pub endpoint: EndpointId,
    pub decision: Decision,
    /// Connections and datagrams.
    pub n_calls: u64,
    pub last_seen: Timestamp,
}

/// What came of a rehearsal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rehearsal {
    /// The most calls first.
    pub refusable: Vec<Refusable>,
    /// Calls that went through in that time, of all identities.
    pub n_calls: u64,
    /// Those of them at endpoints that are not there any more.
    pub n_unknown: u64,
}

/// Judges `rows` by `policy` as it holds at `now`. What was counted for a reason that lies in the
/// connection and not in rights, as a name that could not be read, stays refused for it.
///
/// # Errors
///
/// If a name of the set has no number, or the set is too large for the kernel.
pub fn rehearse(
    policy: Numbered<'_>,
    identities: &[Identity],
    rows: &[UsageRow],
    now: Timestamp,
) -> Result<Rehearsal, CompileError> {
    // Any instant of the boot clock serves, as long as there is room before it.
    let anchor = ClockAnchor {
        wall: now,
        boot_ns: 1 << 62,
    };
    let compiled = compile(policy.set, policy.numbers, identities, &anchor)?;
    let endpoints: BTreeSet<_> = policy.numbers.endpoints.values().collect();
    let mut rehearsal = Rehearsal::default();
    let mut refusable = BTreeMap::new();
    for row in rows {
        let n_calls = row.counts.passed();
        if n_calls == 0 {
            continue;
        }
        rehearsal.n_calls += n_calls;
        let is_nowhere = row.endpoint == EndpointId::ANY;
        if !is_nowhere && !endpoints.contains(&row.endpoint) {
            rehearsal.n_unknown += n_calls;
            continue;
        }
        let decision = if is_nowhere {
            at_no_endpoint(&compiled, row)
        } else {
            at_endpoint(&compiled, row, anchor.boot_ns)
        };
        if !decision.is_entitled_when_enforced() {
            let key = (row.identity, row.endpoint, decision.packed());
            let known = refusable.entry(key).or_insert(Refusable {
                identity: row.identity,
                endpoint: row.endpoint,
                decision,
                n_calls: 0,
                last_seen: row.last_seen,
            });
            known.n_calls += n_calls;
            known.last_seen = known.last_seen.max(row.last_seen);
        }
    }
    rehearsal.refusable = refusable.into_values().collect();
    rehearsal.refusable.sort_by(|a, b| {
        (b.n_calls, a.identity, a.endpoint).cmp(&(a.n_calls, b.identity, b.endpoint))
    });
    Ok(rehearsal)
}

/// What was judged without an endpoint: a socket, or first packets at an address of which nothing was
/// known.
fn at_no_endpoint(policy: &CompiledPolicy, row: &UsageRow) -> Decision {
    let entry = policy.unnamed(row.identity);
    match (refusing_flag(row.reason), entry) {
        (Some(flag), Some(entry)) if entry.has(flag) => {
            Decision::new(row.reason, row.rule, row.endpoint)
        }
        (Some(_) | None, _) => Decision::UNGOVERNED,
    }
}

fn at_endpoint(policy: &CompiledPolicy, row: &UsageRow, now_ns: u64) -> Decision {
    let destination = Destination::one(row.endpoint);
    let decision = decide(policy, row.identity, &destination, now_ns);
    let lies_in_limits = matches!(row.reason, Reason::LimitReached | Reason::BudgetSpent);
    let lies_elsewhere = lies_in_limits || refusing_flag(row.reason).is_some();
    if decision.is_entitled_when_enforced() && lies_elsewhere {
        return Decision::new(row.reason, row.rule, row.endpoint);
    }
    decision
}

/// Which flag of the entry for [`EndpointId::UNNAMED`] refuses for a reason that lies in the connection.
const fn refusing_flag(reason: Reason) -> Option<u32> {
    match reason {
        Reason::RawSocket => Some(RuleEntry::REFUSE_RAW),
        Reason::Quic => Some(RuleEntry::REFUSE_QUIC),
        Reason::ForeignSocket => Some(RuleEntry::REFUSE_FOREIGN),
        Reason::SharedAddress | Reason::NoSni | Reason::Ech | Reason::Undecidable => {
            Some(RuleEntry::REFUSE_UNDECIDABLE)
        }
        Reason::Ungoverned
        | Reason::Granted
        | Reason::DefaultAllow
        | Reason::NoGrant
        | Reason::DeniedByRule
        | Reason::Expired
        | Reason::NotYetValid
        | Reason::NoPolicy
        | Reason::LimitReached
        | Reason::BudgetSpent => None,
    }
}

#[cfg(test)]
mod tests {
    use agent_common::{counter::Counts, policy::RuleId};

    use super::*;
    use crate::policy::{Numbers, fixture};

    const NOW: Timestamp = Timestamp::constant(1_750_000_000, 0);
    const POLICY: &str = "
apiVersion: weir.dev/v1alpha1
kind: ModelEndpoint
metadata: {name: one.chat}
spec: {provider: one, hosts: [one.example]}
---
apiVersion: weir.dev/v1alpha1
kind: Posture
metadata: {name: closed}
spec: {default: true, ungranted: deny}
---
apiVersion: weir.dev/v1alpha1
kind: InvocationGrant
metadata: {name: g}
spec: {subjects: [{systemd: {unit: a.service}}], endpoints: [one], purpose: t, ttl: 1h}
";

    fn row(identity: u32, endpoint: EndpointId, reason: Reason, allowed: u64) -> UsageRow {
        UsageRow {
            identity: IdentityId::from_raw(identity),
            endpoint,
            rule: RuleId::NONE,
            reason,
            counts: Counts {
                connects_allowed: allowed,
                connects_denied: 100,
                ..Counts::ZERO
            },
            first_seen: NOW,
            last_seen: NOW,
        }
    }

    #[test]
    fn what_went_through_is_judged_by_the_policy_of_now() {
        let set = fixture::set(POLICY, NOW);
        let numbers = Numbers::in_order(&set);
        let one = numbers.endpoints["one.chat"];
        let identity = |number, unit: &str| Identity {
            id: IdentityId::from_raw(number),
            labels: std::sync::Arc::new(crate::identity::Labels {
                cgroup: format!("/system.slice/{unit}"),
                unit: Some(unit.to_owned()),
                ..crate::identity::Labels::default()
            }),
        };
        let rows = [
            row(1, one, Reason::DefaultAllow, 5),
            row(1, one, Reason::Quic, 2),
            row(2, one, Reason::DefaultAllow, 3),
            row(2, one, Reason::Granted, 4),
            row(2, one, Reason::NoGrant, 0),
            row(2, EndpointId::from_raw(77), Reason::DefaultAllow, 9),
            row(1, EndpointId::ANY, Reason::RawSocket, 1),
            row(2, EndpointId::ANY, Reason::DefaultAllow, 4),
        ];
        let policy = Numbered {
            set: &set,
            numbers: &numbers,
        };
        let identities = [identity(1, "a.service"), identity(2, "b.service")];
        let found = rehearse(policy, &identities, &rows, NOW).expect("compiled");
        let refused: Vec<_> = found
            .refusable
            .iter()
            .map(|row| (row.identity.to_raw(), row.decision.reason(), row.n_calls))
            .collect();
        assert_eq!(
            refused,
            [
                (2, Reason::NoGrant, 7),
                (1, Reason::Quic, 2),
                (1, Reason::RawSocket, 1)
            ]
        );
        assert_eq!((found.n_calls, found.n_unknown), (28, 9));
    }
}
