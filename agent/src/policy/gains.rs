//! Which identities may call what under one policy and not under another.

use agent_common::{
    destination::Destination,
    identity::IdentityId,
    verdict::{Decision, decide},
};
use jiff::Timestamp;

use super::{ClockAnchor, CompileError, Numbers, PolicySet, compile};
use crate::identity::Identity;

/// An endpoint that an identity may call now and could not before, or the other way round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gain {
    pub identity: String,
    pub endpoint: String,
    pub before: Decision,
    pub after: Decision,
}

/// A policy with its numbers.
#[derive(Clone, Copy, Debug)]
pub struct Numbered<'p> {
    pub set: &'p PolicySet,
    pub numbers: &'p Numbers,
}

/// What `after` gives and takes, in the order of identities and endpoints.
///
/// # Errors
///
/// If a name of a set has no number, or a set is too large for the kernel.
pub fn gains(
    before: Numbered<'_>,
    after: Numbered<'_>,
    identities: &[Identity],
    now: Timestamp,
) -> Result<Vec<Gain>, CompileError> {
    // Any instant of the boot clock serves, as long as there is room before it.
    let anchor = ClockAnchor {
        wall: now,
        boot_ns: 1 << 62,
    };
    let old = compile(before.set, before.numbers, identities, &anchor)?;
    let new = compile(after.set, after.numbers, identities, &anchor)?;
    let mut names: Vec<_> = before
        .set
        .endpoint_names()
        .chain(after.set.endpoint_names())
        .collect();
    names.sort_unstable();
    names.dedup();
    let destination = |numbers: &Numbers, name: &str| {
        let number = numbers.endpoints.get(name);
        number.map(|number| Destination::one(*number))
    };
    let mut gains = Vec::new();
    for identity in identities {
        for name in &names {
            // An endpoint that a policy does not know is not governed by it.
            let decision = |policy, numbers| {
                destination(numbers, name).map_or(Decision::UNGOVERNED, |destination| {
                    decide(policy, identity.id, &destination, anchor.boot_ns)
                })
            };
            let before = decision(&old, before.numbers);
            let after = decision(&new, after.numbers);
            if before.is_entitled() != after.is_entitled() {
                gains.push(Gain {
                    identity: identity_name(identity),
                    endpoint: (*name).to_owned(),
                    before,
                    after,
                });
            }
        }
    }
    gains.sort_by(|a, b| (&a.identity, &a.endpoint).cmp(&(&b.identity, &b.endpoint)));
    Ok(gains)
}

/// Whoever nothing is known about stands for all others.
fn identity_name(identity: &Identity) -> String {
    if identity.id == IdentityId::UNKNOWN {
        "anybody else".to_owned()
    } else {
        identity.key()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use agent_common::verdict::Reason;

    use super::*;
    use crate::{identity::Labels, policy::fixture};

    const NOW: Timestamp = Timestamp::constant(1_750_000_000, 0);

    const ENDPOINT: &str = "
apiVersion: weir.dev/v1alpha1
kind: ModelEndpoint
metadata: {name: one.chat}
spec: {provider: one, hosts: [one.example]}
---
apiVersion: weir.dev/v1alpha1
kind: Posture
metadata: {name: closed}
spec: {default: true, ungranted: deny}
";

    fn grant(unit: &str) -> String {
        format!(
            "---
apiVersion: weir.dev/v1alpha1
kind: InvocationGrant
metadata: {{name: g}}
spec: {{subjects: [{{systemd: {{unit: {unit}}}}}], endpoints: [one], purpose: t, ttl: 1h}}
"
        )
    }

    fn set(text: &str) -> (PolicySet, Numbers) {
        let set = fixture::set(text, NOW);
        let numbers = Numbers::in_order(&set);
        (set, numbers)
    }

    fn identity(number: u32, unit: &str) -> Identity {
        Identity {
            id: IdentityId::from_raw(number),
            labels: Arc::new(Labels {
                cgroup: format!("/system.slice/{unit}"),
                unit: Some(unit.to_owned()),
                ..Labels::default()
            }),
        }
    }

    fn told(before: &str, after: &str) -> Vec<(String, String, bool)> {
        let (before, after) = (set(before), set(after));
        let identities = [identity(1, "a.service"), identity(2, "b.service")];
        let gains = gains(
            Numbered {
                set: &before.0,
                numbers: &before.1,
            },
            Numbered {
                set: &after.0,
                numbers: &after.1,
            },
            &identities,
            NOW,
        );
        let gains = gains.expect("compiled").into_iter();
        gains
            .map(|gain| (gain.identity, gain.endpoint, gain.after.is_entitled()))
            .collect()
    }

    #[test]
    fn a_grant_that_moves_is_one_gain_and_one_loss() {
        let (a, b) = (grant("a.service"), grant("b.service"));
        let found = told(&format!("{ENDPOINT}{a}"), &format!("{ENDPOINT}{b}"));
        let one = |unit: &str, gains| (format!("unit:{unit}"), "one.chat".to_owned(), gains);
        assert_eq!(found, [one("a.service", false), one("b.service", true)]);
    }

    #[test]
    fn nobody_gains_or_loses_by_the_same_policy() {
        let policy = format!("{ENDPOINT}{}", grant("a.service"));
        assert_eq!(told(&policy, &policy), []);
    }

    #[test]
    fn an_endpoint_that_is_new_takes_what_was_not_governed() {
        let (before, after) = (set(""), set(ENDPOINT));
        let gains = gains(
            Numbered {
                set: &before.0,
                numbers: &before.1,
            },
            Numbered {
                set: &after.0,
                numbers: &after.1,
            },
            &[identity(1, "a.service")],
            NOW,
        );
        let gains = gains.expect("compiled");
        let gain = gains.first().expect("a loss");
        assert_eq!(gain.before.reason(), Reason::Ungoverned);
        assert_eq!(gain.after.reason(), Reason::NoGrant);
    }
}
