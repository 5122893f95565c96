//! Everything that an identity may call, and what says so.

use agent_common::{
    destination::Destination,
    identity::IdentityId,
    verdict::{Decision, decide},
};
use jiff::Timestamp;

use super::{PostureSource, posture};
use crate::{
    identity::Identity,
    policy::{ClockAnchor, CompileError, Numbers, PolicySet, compile, subject::select},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    pub posture: PostureSource,
    /// Names of the grants that select the identity, live or not.
    pub grants: Vec<String>,
    /// Names of the deny rules that select it.
    pub denies: Vec<String>,
    /// What the kernel decides about each endpoint that it may call.
    pub endpoints: Vec<(String, Decision)>,
}

/// # Errors
/// If a name of the set has no number.
pub fn rights(
    set: &PolicySet,
    numbers: &Numbers,
    identity: &Identity,
    now: Timestamp,
) -> Result<Rights, CompileError> {
    let labels = (identity.id != IdentityId::UNKNOWN).then_some(&*identity.labels);
    // Any instant of the boot clock serves, as long as there is room before it.
    let anchor = ClockAnchor {
        wall: now,
        boot_ns: 1 << 62,
    };
    let policy = compile(set, numbers, std::slice::from_ref(identity), &anchor)?;
    let decided = set.catalogue.iter().filter_map(|endpoint| {
        let destination = Destination::one(*numbers.endpoints.get(&endpoint.name)?);
        let decision = decide(&policy, identity.id, &destination, anchor.boot_ns);
        Some((endpoint.name.clone(), decision))
    });
    let grants = set.grants.iter();
    let denies = set.denies.iter();
    Ok(Rights {
        posture: posture(set, labels),
        grants: grants
            .filter(|(_, rule)| select(&rule.grant.subjects, labels))
            .map(|(name, _)| name.clone())
            .collect(),
        denies: denies
            .filter(|(_, rule)| select(&rule.subjects, labels))
            .map(|(name, _)| name.clone())
            .collect(),
        endpoints: decided
            .filter(|(_, decision)| decision.is_entitled())
            .collect(),
    })
}
