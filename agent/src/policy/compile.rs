//! Flattens a policy into what the kernel looks up.
//!
//! The kernel consults the single most specific entry, so each entry is complete: the deny rule
//! that wins, the windows of all grants that apply, the posture. Only entries that differ from
//! what the kernel would find without them are written.

mod numbers;
mod prefixes;
mod profile;
mod rules;
mod selection;
mod subjects;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use agent_common::{
    abi::MAX_RULES,
    destination::EndpointId,
    identity::IdentityId,
    policy::{PolicyLookup, Posture, RuleEntry},
};
pub use numbers::{ClockAnchor, CompileError, Numbers, check_addresses};
pub use prefixes::PrefixRow;
use profile::Profile;
use rules::Rules;
pub use selection::{Selection, Selections};

use super::PolicySet;
use crate::{endpoint::Plane, identity::Identity};

/// One revision, as it goes into the kernel's maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompiledPolicy {
    pub rules: BTreeMap<(IdentityId, EndpointId), RuleEntry>,
    pub prefixes: Vec<PrefixRow>,
    /// Some entry has more windows ahead than fit: compile again when this instant of the boot
    /// clock has passed.
    pub refill_at_ns: Option<u64>,
}

impl PolicyLookup for CompiledPolicy {
    fn rule(&self, identity: IdentityId, endpoint: EndpointId) -> Option<&RuleEntry> {
        self.rules.get(&(identity, endpoint))
    }
}

/// One policy, ready to be asked about one identity after another.
#[derive(Debug)]
pub struct Compiler {
    rules: Rules,
    prefixes: Vec<PrefixRow>,
}

/// What one identity needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    pub rules: BTreeMap<EndpointId, RuleEntry>,
    /// As in [`CompiledPolicy`].
    pub refill_at_ns: Option<u64>,
}

/// Compiles for all `identities`, and for the unknown one.
///
/// # Errors
/// If a name has no number or a limit of the kernel's maps is exceeded.
pub fn compile(
    set: &PolicySet,
    numbers: &Numbers,
    identities: &[Identity],
    anchor: &ClockAnchor,
) -> Result<CompiledPolicy, CompileError> {
    let selections = Arc::new(Selections::new(set));
    Compiler::new(set, selections, numbers, anchor)?.compile(identities, anchor.boot_ns)
}

impl Compiler {
    /// `selections` are those of `set`. Times are as `anchor` has them until the clock is set.
    ///
    /// # Errors
    /// If a name has no number or there are too many prefixes.
    pub fn new(
        set: &PolicySet,
        selections: Arc<Selections>,
        numbers: &Numbers,
        anchor: &ClockAnchor,
    ) -> Result<Self, CompileError> {
        Ok(Self {
            rules: Rules::new(set, selections, numbers, anchor)?,
            prefixes: prefixes::rows(set, numbers)?,
        })
    }

    /// Compiles for all `identities`, and for the unknown one, what matters from `now_ns` on.
    ///
    /// # Errors
    /// If a limit of the kernel's maps is exceeded.
    pub fn compile(
        &self,
        identities: &[Identity],
        now_ns: u64,
    ) -> Result<CompiledPolicy, CompileError> {
        let rules = &self.rules;
        let unknown = Profile::new(rules, None, now_ns);
        let mut policy = CompiledPolicy {
            rules: BTreeMap::new(),
            prefixes: self.prefixes.clone(),
            refill_at_ns: unknown.refill_at_ns,
        };
        let mut needed = 0;
        let mut add = |id: IdentityId, entries: Vec<(EndpointId, RuleEntry)>| {
            needed += entries.len();
            // What does not fit is counted only, for the message.
            if needed <= MAX_RULES as usize {
                let rows = entries
                    .into_iter()
                    .map(|(endpoint, entry)| ((id, endpoint), entry));
                policy.rules.extend(rows);
            }
        };
        add(IdentityId::UNKNOWN, entries_of_unknown(rules, &unknown));
        for identity in identities
            .iter()
            .filter(|identity| identity.id != IdentityId::UNKNOWN)
        {
            let profile = Profile::new(rules, Some(&identity.labels), now_ns);
            add(identity.id, entries_of(rules, &unknown, &profile));
            policy.refill_at_ns = earlier(policy.refill_at_ns, profile.refill_at_ns);
        }
        if needed > MAX_RULES as usize {
            return Err(CompileError::TooManyRules { needed });
        }
        Ok(policy)
    }

    /// The entries of one identity, exactly as [`Compiler::compile`] would write them.
    #[must_use]
    pub fn entries(&self, identity: &Identity, now_ns: u64) -> Entries {
        let rules = &self.rules;
        let unknown = Profile::new(rules, None, now_ns);
        if identity.id == IdentityId::UNKNOWN {
            let entries = entries_of_unknown(rules, &unknown);
            return Entries {
                rules: entries.into_iter().collect(),
                refill_at_ns: unknown.refill_at_ns,
            };
        }
        let profile = Profile::new(rules, Some(&identity.labels), now_ns);
        Entries {
            rules: entries_of(rules, &unknown, &profile).into_iter().collect(),
            refill_at_ns: profile.refill_at_ns,
        }
    }
}

/// Of two instants that need not come.
pub fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

/// The plane of most endpoints.
const COMMON: Plane = Plane::Invoke;

fn entries_of_unknown(rules: &Rules, unknown: &Profile) -> Vec<(EndpointId, RuleEntry)> {
    let common = unknown.of_plane(COMMON);
    let mut entries = vec![(EndpointId::ANY, common)];
    // Without an entry, names behind unknown addresses matter to nobody.
    if unknown.unnamed.posture() == Posture::Deny {
        entries.push((EndpointId::UNNAMED, unknown.unnamed));
    }
    entries.extend(exceptions(rules, unknown, |_, _| common));
    entries.extend(
        unknown
            .prefixes
            .iter()
            .map(|(prefix, entry)| (*prefix, *entry)),
    );
    entries
}

/// The shortest of several ways: what differs from the unknown identity, or an entry for every
/// endpoint and what differs from that.
fn entries_of(rules: &Rules, unknown: &Profile, profile: &Profile) -> Vec<(EndpointId, RuleEntry)> {
    let mut entries = exceptions(rules, profile, |id, plane| unknown.entry(id, plane));
    let of_plane = Plane::ALL.map(|plane| profile.of_plane(plane));
    // Where rules name every endpoint, the strictest entry may be that of all of them.
    let strictest = profile.entry(EndpointId::OVERFLOW, COMMON);
    let all_named = profile.special().count() > rules.n_endpoints();
    for common in of_plane.into_iter().chain(all_named.then_some(strictest)) {
        let shorter = exceptions(rules, profile, |_, _| common);
        if shorter.len() + 1 < entries.len() {
            entries = shorter;
            entries.push((EndpointId::ANY, common));
        }
    }
    if profile.unnamed != unknown.unnamed {
        entries.push((EndpointId::UNNAMED, profile.unnamed));
    }
    let prefixes = profile.prefixes.iter();
    let own = prefixes.filter(|(prefix, entry)| unknown.prefixes.get(prefix) != Some(entry));
    entries.extend(own.map(|(prefix, entry)| (*prefix, *entry)));
    entries
}

/// The endpoints for which `profile` says something else than `fallback`. Where they agree about a
/// plane, only endpoints that are special to `profile` can differ: what is special to the unknown
/// identity is special to everybody, because its rules select everybody.
fn exceptions(
    rules: &Rules,
    profile: &Profile,
    fallback: impl Fn(EndpointId, Plane) -> RuleEntry,
) -> Vec<(EndpointId, RuleEntry)> {
    let mut candidates = profile.special().collect::<BTreeSet<_>>();
    for plane in Plane::ALL {
        if profile.of_plane(plane) != fallback(EndpointId::ANY, plane) {
            candidates.extend(rules.endpoints_of(plane));
        }
    }
    let differing = candidates.into_iter().filter_map(|id| {
        let plane = rules.plane_of(id).unwrap_or(COMMON);
        let entry = profile.entry(id, plane);
        (entry != fallback(id, plane)).then_some((id, entry))
    });
    differing.collect()
}

#[cfg(test)]
mod tests;
