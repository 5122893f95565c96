//! What the rules say about one identity: an entry for every endpoint.

use std::collections::{BTreeMap, BTreeSet};

use agent_common::{
    destination::EndpointId,
    policy::{Posture, RuleEntry, RuleId, WINDOWS, Window},
};

use super::rules::{Effect, GrantRule, Rules, Selected, Stance};
use crate::{
    endpoint::Plane,
    identity::Labels,
    policy::windows::{intersect, merge_first, trim, used},
};

/// Complete entries. Most endpoints share the entry of their plane.
#[derive(Debug)]
pub(super) struct Profile {
    by_plane: BTreeMap<Plane, RuleEntry>,
    /// Endpoints that a rule names, and [`EndpointId::OVERFLOW`].
    special: BTreeMap<EndpointId, RuleEntry>,
    /// Denied prefixes that concern this identity.
    pub prefixes: BTreeMap<EndpointId, RuleEntry>,
    /// The entry for addresses of which no endpoint is known.
    pub unnamed: RuleEntry,
    pub refill_at_ns: Option<u64>,
}

impl Profile {
    /// `None` stands for the unknown identity.
    pub(super) fn new(rules: &Rules, labels: Option<&Labels>, now_ns: u64) -> Self {
        let selected = rules.select(labels);
        let mut builder = Builder {
            selected: &selected,
            now_ns,
            refill_at_ns: None,
        };
        let by_plane = Plane::ALL.map(|plane| (plane, builder.entry(None, plane)));
        let mut special = BTreeMap::new();
        for endpoint in named(&selected) {
            if let Some(plane) = rules.plane_of(endpoint) {
                special.insert(endpoint, builder.entry(Some(endpoint), plane));
            }
        }
        let mut profile = Self {
            by_plane: BTreeMap::from(by_plane),
            special,
            prefixes: prefixes(&selected),
            unnamed: RuleEntry::posture_only(Posture::Allow),
            refill_at_ns: builder.refill_at_ns,
        };
        let overflow = profile.strictest(rules, &selected, now_ns);
        profile.special.insert(EndpointId::OVERFLOW, overflow);
        profile.unnamed = profile.unnamed(&selected.stance);
        profile
    }

    pub(super) fn entry(&self, endpoint: EndpointId, plane: Plane) -> RuleEntry {
        let of_plane = || self.by_plane.get(&plane).copied();
        let entry = self.special.get(&endpoint).copied().or_else(of_plane);
        // Every plane has an entry; if one were missing, denying would be the safe answer.
        entry.unwrap_or(RuleEntry::posture_only(Posture::Deny))
    }

    /// The entry for endpoints of `plane` that no rule names.
    pub(super) fn of_plane(&self, plane: Plane) -> RuleEntry {
        self.entry(EndpointId::ANY, plane)
    }

    pub(super) fn special(&self) -> impl Iterator<Item = EndpointId> {
        self.special.keys().copied()
    }

    /// Names matter to whom anything can be refused.
    fn unnamed(&self, stance: &Stance) -> RuleEntry {
        let mut entries = self.by_plane.values().chain(self.special.values());
        let can_refuse =
            |entry: &RuleEntry| entry.posture() == Posture::Deny || !entry.deny_rule.is_none();
        if !entries.any(can_refuse) {
            return RuleEntry::posture_only(Posture::Allow);
        }
        let mut entry = RuleEntry::posture_only(Posture::Deny);
        if stance.ungranted == Effect::WouldDeny {
            entry.posture |= RuleEntry::SHADOW;
        }
        entry.posture |= stance
            .undecidable
            .flags(RuleEntry::REFUSE_UNDECIDABLE, RuleEntry::SHADOW_UNDECIDABLE);
        entry.posture |= stance
            .quic
            .flags(RuleEntry::REFUSE_QUIC, RuleEntry::SHADOW_QUIC);
        entry.posture |= stance
            .foreign_sockets
            .flags(RuleEntry::REFUSE_FOREIGN, RuleEntry::SHADOW_FOREIGN);
        entry.posture |= stance
            .raw_sockets
            .flags(RuleEntry::REFUSE_RAW, RuleEntry::SHADOW_RAW);
        entry
    }

    /// An entry that allows only what the entries of all endpoints allow.
    fn strictest(&self, rules: &Rules, selected: &Selected<'_>, now_ns: u64) -> RuleEntry {
        let mut entry = RuleEntry::posture_only(Posture::Deny);
        entry.posture = selected.stance.ungranted.to_posture();
        let deny = selected
            .denies
            .iter()
            .find(|rule| rules.has_endpoint_in(&rule.scope));
        entry.deny_rule = deny.map_or(RuleId::NONE, |rule| rule.id);
        let is_plain_somewhere = |plane: &Plane| {
            let special = self
                .special
                .keys()
                .filter(|id| rules.plane_of(**id) == Some(*plane));
            special.count() < rules.endpoints_of(*plane).len()
        };
        let plain_planes = Plane::ALL.into_iter().filter(is_plain_somewhere);
        let plain = plain_planes.map(|plane| self.of_plane(plane));
        let all = plain.chain(self.special.values().copied());
        let common = all
            .map(|entry| used(&entry.windows).to_vec())
            .reduce(|a, b| intersect(&a, &b));
        // No refill: an entry that is later than it could be is only stricter.
        entry.windows = trim(&common.unwrap_or_default(), now_ns).windows;
        entry
    }
}

struct Builder<'r> {
    selected: &'r Selected<'r>,
    now_ns: u64,
    refill_at_ns: Option<u64>,
}

impl Builder<'_> {
    /// For one endpoint, or for those of `plane` that no rule names.
    fn entry(&mut self, endpoint: Option<EndpointId>, plane: Plane) -> RuleEntry {
        let endpoint = endpoint.unwrap_or(EndpointId::ANY);
        let Selected {
            grants,
            denies,
            stance,
        } = self.selected;
        let deny = denies
            .iter()
            .find(|rule| rule.scope.includes(endpoint, plane));
        let grants = grants
            .iter()
            .filter(|rule| rule.scope.includes(endpoint, plane));
        let (first, others) = grants.partition::<Vec<_>, _>(|rule| rule.comes_first);
        let windows = |rules: &[&&GrantRule]| -> Vec<Window> {
            rules.iter().map(|rule| rule.window).collect()
        };
        let windows = merge_first(&windows(&first), &windows(&others));
        RuleEntry {
            deny_rule: deny.map_or(RuleId::NONE, |rule| rule.id),
            posture: stance.ungranted.to_posture(),
            windows: self.trim(&windows),
        }
    }

    fn trim(&mut self, segments: &[Window]) -> [Window; WINDOWS] {
        let trimmed = trim(segments, self.now_ns);
        self.refill_at_ns = self
            .refill_at_ns
            .into_iter()
            .chain(trimmed.refill_at_ns)
            .min();
        trimmed.windows
    }
}

fn named(selected: &Selected<'_>) -> BTreeSet<EndpointId> {
    let granted = selected.grants.iter().flat_map(|rule| &rule.scope.listed);
    let denied = selected.denies.iter().flat_map(|rule| &rule.scope.listed);
    granted.chain(denied).copied().collect()
}

fn prefixes(selected: &Selected<'_>) -> BTreeMap<EndpointId, RuleEntry> {
    let mut entries = BTreeMap::new();
    for rule in &selected.denies {
        for prefix in &rule.prefixes {
            let mut entry = RuleEntry::posture_only(Posture::Allow);
            entry.deny_rule = rule.id;
            entries.entry(*prefix).or_insert(entry);
        }
    }
    entries
}
