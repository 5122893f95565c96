//! Objects with their numbers and times, ready to be asked about one identity after another.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use agent_common::{
    destination::EndpointId,
    policy::{Posture, RuleEntry, RuleId, Window},
    settings::Mode,
};

use super::{
    numbers::{ClockAnchor, CompileError, Numbers, number},
    selection::{Selection, Selections},
};
use crate::{
    endpoint::Plane,
    identity::Labels,
    policy::{
        InvocationGrant, Kind, PolicySet, PostureRule, PostureScope, Subject,
        object::ALL_ENDPOINTS,
        set::{prefix_name, prefixes_of},
    },
};

/// Every rule of a set, in order of name.
#[derive(Debug)]
pub(super) struct Rules {
    selections: Arc<Selections>,
    grants: Vec<GrantRule>,
    denies: Vec<DenyRule>,
    /// But for the default.
    postures: Vec<Stances>,
    default_posture: Stances,
    planes: BTreeMap<EndpointId, Plane>,
    by_plane: BTreeMap<Plane, Vec<EndpointId>>,
}

#[derive(Debug)]
pub(super) struct GrantRule {
    pub window: Window,
    pub scope: Scope,
    /// No other grant counts where this one holds: limits of a task are not those of its surroundings.
    pub comes_first: bool,
}

#[derive(Debug)]
pub(super) struct DenyRule {
    pub id: RuleId,
    pub scope: Scope,
    pub prefixes: BTreeSet<EndpointId>,
}

/// The endpoints that a rule concerns.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// Planes of which every endpoint is concerned.
    pub whole: BTreeSet<Plane>,
    /// Endpoints of other planes.
    pub listed: BTreeSet<EndpointId>,
}

/// The rules that select one identity, in order of name.
pub(super) struct Selected<'r> {
    pub grants: Vec<&'r GrantRule>,
    pub denies: Vec<&'r DenyRule>,
    pub stance: Stance,
}

/// What happens to an identity without a grant, and where its endpoint cannot be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stance {
    pub ungranted: Effect,
    pub undecidable: Effect,
    pub quic: Effect,
    pub foreign_sockets: Effect,
    pub raw_sockets: Effect,
}

/// What a posture comes to in its mode, the mildest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    #[default]
    Allow,
    /// Let through, and counted as refused.
    WouldDeny,
    Deny,
}

impl Effect {
    const fn new(posture: Posture, mode: Mode) -> Self {
        match (posture, mode) {
            (Posture::Allow, _) | (Posture::Deny, Mode::Observe) => Self::Allow,
            (Posture::Deny, Mode::Shadow) => Self::WouldDeny,
            (Posture::Deny, Mode::Enforce) => Self::Deny,
        }
    }

    /// [`RuleEntry::posture`] without further flags.
    pub(super) const fn to_posture(self) -> u32 {
        match self {
            Self::Allow => Posture::Allow as u32,
            Self::WouldDeny => Posture::Deny as u32 | RuleEntry::SHADOW,
            Self::Deny => Posture::Deny as u32,
        }
    }

    /// `refuse`, with `shadow` if it only would be.
    pub(super) const fn flags(self, refuse: u32, shadow: u32) -> u32 {
        match self {
            Self::Allow => 0,
            Self::WouldDeny => refuse | shadow,
            Self::Deny => refuse,
        }
    }
}

/// What one posture means.
#[derive(Clone, Copy, Debug, Default)]
struct Stances {
    resolved: Stance,
    /// For a pod whose metadata is not known.
    unresolved: Stance,
}

impl Stance {
    fn new(rule: &PostureRule, is_unresolved: bool) -> Self {
        let ungranted = rule.without_grant(is_unresolved);
        let effect =
            |posture: Option<Posture>| Effect::new(posture.unwrap_or(ungranted), rule.mode);
        Self {
            ungranted: effect(None),
            undecidable: effect(rule.undecidable),
            quic: effect(rule.quic),
            foreign_sockets: effect(rule.foreign_sockets),
            raw_sockets: effect(rule.raw_sockets),
        }
    }
}

impl From<&PostureRule> for Stances {
    fn from(rule: &PostureRule) -> Self {
        Self {
            resolved: Stance::new(rule, false),
            unresolved: Stance::new(rule, true),
        }
    }
}

impl Stances {
    const fn of(self, is_unresolved: bool) -> Stance {
        if is_unresolved {
            self.unresolved
        } else {
            self.resolved
        }
    }
}

impl Rules {
    /// `selections` are those of `set`.
    pub(super) fn new(
        set: &PolicySet,
        selections: Arc<Selections>,
        numbers: &Numbers,
        anchor: &ClockAnchor,
    ) -> Result<Self, CompileError> {
        let mut planes = BTreeMap::new();
        let mut by_plane = BTreeMap::<Plane, Vec<EndpointId>>::new();
        for endpoint in set.catalogue.iter() {
            let id = number(&numbers.endpoints, Kind::ModelEndpoint, &endpoint.name)?;
            planes.insert(id, endpoint.plane);
            by_plane.entry(endpoint.plane).or_default().push(id);
        }
        let mut scopes = Scopes {
            set,
            numbers: &numbers.endpoints,
            known: BTreeMap::new(),
        };
        let postures = set.postures.values().filter_map(|rule| match &rule.scope {
            PostureScope::Default => None,
            PostureScope::Subjects(_) => Some(Stances::from(rule)),
        });
        let default = set
            .postures
            .values()
            .find(|rule| rule.scope == PostureScope::Default);
        Ok(Self {
            selections,
            grants: grants(set, numbers, anchor, &mut scopes)?,
            denies: denies(set, numbers, &mut scopes)?,
            postures: postures.collect(),
            default_posture: default.map(Stances::from).unwrap_or_default(),
            planes,
            by_plane,
        })
    }

    pub(super) fn plane_of(&self, endpoint: EndpointId) -> Option<Plane> {
        self.planes.get(&endpoint).copied()
    }

    pub(super) fn n_endpoints(&self) -> usize {
        self.planes.len()
    }

    pub(super) fn endpoints_of(&self, plane: Plane) -> &[EndpointId] {
        self.by_plane.get(&plane).map_or(&[], Vec::as_slice)
    }

    /// Whether `scope` includes any endpoint that exists.
    pub(super) fn has_endpoint_in(&self, scope: &Scope) -> bool {
        let Scope { whole, listed } = scope;
        !listed.is_empty()
            || whole
                .iter()
                .any(|plane| !self.endpoints_of(*plane).is_empty())
    }

    /// `None` stands for the unknown identity.
    pub(super) fn select(&self, labels: Option<&Labels>) -> Selected<'_> {
        let Selection {
            grants,
            denies,
            postures,
            is_unresolved,
        } = self.selections.of(labels);
        let postures = postures
            .into_iter()
            .filter_map(|index| self.postures.get(index))
            .map(|stances| stances.of(is_unresolved));
        Selected {
            grants: grants
                .into_iter()
                .filter_map(|index| self.grants.get(index))
                .collect(),
            denies: denies
                .into_iter()
                .filter_map(|index| self.denies.get(index))
                .collect(),
            stance: strictest(postures).unwrap_or(self.default_posture.of(is_unresolved)),
        }
    }
}

/// Among postures that select the same identity, the strictest counts, in each respect.
fn strictest(stances: impl IntoIterator<Item = Stance>) -> Option<Stance> {
    stances.into_iter().reduce(|first, second| Stance {
        ungranted: first.ungranted.max(second.ungranted),
        undecidable: first.undecidable.max(second.undecidable),
        quic: first.quic.max(second.quic),
        foreign_sockets: first.foreign_sockets.max(second.foreign_sockets),
        raw_sockets: first.raw_sockets.max(second.raw_sockets),
    })
}

fn grants<'p>(
    set: &'p PolicySet,
    numbers: &Numbers,
    anchor: &ClockAnchor,
    scopes: &mut Scopes<'p>,
) -> Result<Vec<GrantRule>, CompileError> {
    let mut rules = Vec::new();
    for (name, grant) in &set.grants {
        let id = number(&numbers.grants, Kind::InvocationGrant, name)?;
        let InvocationGrant {
            subjects, limits, ..
        } = &grant.grant;
        rules.push(GrantRule {
            comes_first: !limits.is_none() && subjects.iter().all(Subject::is_task),
            window: anchor.window(grant.window(), id),
            scope: scopes.scope(&grant.grant.endpoints, &grant.grant.planes),
        });
    }
    Ok(rules)
}

fn denies<'p>(
    set: &'p PolicySet,
    numbers: &Numbers,
    scopes: &mut Scopes<'p>,
) -> Result<Vec<DenyRule>, CompileError> {
    let mut rules = Vec::new();
    for (name, deny) in &set.denies {
        let prefix =
            |(net, port)| number(&numbers.prefixes, Kind::EgressDeny, &prefix_name(net, port));
        rules.push(DenyRule {
            id: number(&numbers.denies, Kind::EgressDeny, name)?,
            scope: scopes.scope(&deny.endpoints, &deny.planes),
            prefixes: prefixes_of(deny).map(prefix).collect::<Result<_, _>>()?,
        });
    }
    Ok(rules)
}

/// Turns selectors into endpoints. Many grants name the same few, so what one means is kept.
struct Scopes<'p> {
    set: &'p PolicySet,
    numbers: &'p BTreeMap<String, EndpointId>,
    known: BTreeMap<&'p str, Vec<(EndpointId, Plane)>>,
}

impl<'p> Scopes<'p> {
    fn scope(&mut self, selectors: &'p [String], planes: &BTreeSet<Plane>) -> Scope {
        if selectors.iter().any(|selector| selector == ALL_ENDPOINTS) {
            return Scope {
                whole: planes.clone(),
                listed: BTreeSet::new(),
            };
        }
        let mut listed = BTreeSet::new();
        for selector in selectors {
            let endpoints = self.endpoints(selector).iter();
            let concerned = endpoints.filter(|(_, plane)| planes.contains(plane));
            listed.extend(concerned.map(|(id, _)| *id));
        }
        Scope {
            whole: BTreeSet::new(),
            listed,
        }
    }

    fn endpoints(&mut self, selector: &'p str) -> &[(EndpointId, Plane)] {
        let Self {
            set,
            numbers,
            known,
        } = self;
        known.entry(selector).or_insert_with(|| {
            let selected = set.catalogue.select(selector).into_iter();
            // Every endpoint has a number: `Rules::new` has looked all of them up.
            let numbered = selected
                .filter_map(|(name, endpoint)| numbers.get(name).map(|id| (*id, endpoint.plane)));
            numbered.collect()
        })
    }
}

impl Scope {
    pub(super) fn includes(&self, endpoint: EndpointId, plane: Plane) -> bool {
        self.whole.contains(&plane) || self.listed.contains(&endpoint)
    }
}
