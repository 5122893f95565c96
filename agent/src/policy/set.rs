//! Objects that fit together: the whole policy of a host.

mod anomalies;
mod checks;
mod duties;
mod governing;
mod grants;

use std::collections::{BTreeMap, BTreeSet};

use agent_common::destination::ANY_PORT;
use ipnet::IpNet;
use jiff::Timestamp;

pub(in crate::policy) use self::grants::Grant;
use self::{
    checks::{duplicates, names_of_any_user, unknown_endpoints},
    grants::resolve,
};
pub use self::{
    duties::{Finding, Separation},
    grants::GrantStanding,
};
use super::{
    ApprovalRules, EgressDeny, InvocationGrant, Life, Located, Object, PolicyError, PostureRule,
    PostureScope, Span, Spec, Stage, Subject, UserSelector, object::ALL_ENDPOINTS,
};
use crate::endpoint::{Catalogue, Endpoint, Plane};

/// Everything that policy says, by name. Built by [`PolicySet::build`] only.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    pub(super) catalogue: Catalogue,
    pub(super) grants: BTreeMap<String, Grant>,
    /// Grants that do not count: they wait for approval, were rejected or revoked.
    pub(super) held: BTreeMap<String, (Stage, Grant)>,
    pub(super) denies: BTreeMap<String, EgressDeny>,
    pub(super) postures: BTreeMap<String, PostureRule>,
    objects: Vec<Object>,
}

/// What a check across objects needs to know from outside.
#[derive(Clone, Copy)]
pub struct BuildOptions<'a> {
    pub now: Timestamp,
    pub on_expired: OnExpired,
    /// When the agent first saw the grant of this name and [`Object::digest`], or when a person approved
    /// it: its `ttl` counts from there.
    pub issued_at: &'a dyn Fn(&str, &str) -> Timestamp,
    /// What demands a second person.
    pub approval: &'a ApprovalRules,
    /// The life of the grant of this name and digest, if it has begun.
    pub life: &'a dyn Fn(&str, &str) -> Option<Life>,
    /// What becomes of a subject that may both manage and invoke.
    pub separation: Separation,
}

impl std::fmt::Debug for BuildOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            now,
            on_expired,
            issued_at: _,
            approval,
            life: _,
            separation,
        } = self;
        f.debug_struct("BuildOptions")
            .field("now", now)
            .field("on_expired", on_expired)
            .field("approval", approval)
            .field("separation", separation)
            .finish_non_exhaustive()
    }
}

/// What a grant that has already ended is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExpired {
    /// An error: whoever writes it now made a mistake.
    Refuse,
    /// A warning: a grant that ran out overnight must not keep the agent from starting.
    Warn,
}

#[derive(Clone, Debug)]
pub struct Built {
    pub set: PolicySet,
    pub warnings: Vec<PolicyError>,
}

impl PolicySet {
    /// Checks `objects` against each other and against `catalogue`, to which the endpoints among
    /// them are added.
    ///
    /// # Errors
    /// All errors of all objects.
    pub fn build(
        objects: Vec<Located<Object>>,
        catalogue: &Catalogue,
        options: &BuildOptions<'_>,
    ) -> Result<Built, Vec<PolicyError>> {
        let mut errors = duplicates(&objects);
        let endpoints = objects
            .iter()
            .filter_map(|object| match &object.value.spec {
                Spec::ModelEndpoint(endpoint) => Some(endpoint.clone()),
                Spec::InvocationGrant(_) | Spec::EgressDeny(_) | Spec::Posture(_) => None,
            });
        let mut set = Self {
            catalogue: catalogue.with(endpoints),
            ..Self::default()
        };
        let mut warnings = Vec::new();
        let places = (options.separation == Separation::Refuse).then(|| duties::places(&objects));
        for object in objects {
            errors.extend(unknown_endpoints(&object, &set.catalogue));
            if let Spec::InvocationGrant(grant) = &object.value.spec {
                warnings.extend(names_of_any_user(&object, grant));
                match resolve(&object, grant, &set.catalogue, options) {
                    Ok((stage, grant, warning)) => {
                        set.place(object.value.name(), stage, grant);
                        warnings.extend(warning);
                    }
                    Err(error) => errors.push(error),
                }
            }
            set.insert(object.value);
        }
        errors.extend(
            places
                .iter()
                .flat_map(|places| duties::refusals(&set, places)),
        );
        if errors.is_empty() {
            Ok(Built { set, warnings })
        } else {
            Err(errors)
        }
    }

    fn place(&mut self, name: &str, stage: Stage, grant: Grant) {
        if stage.counts() {
            self.grants.insert(name.to_owned(), grant);
        } else {
            self.held.insert(name.to_owned(), (stage, grant));
        }
    }

    fn insert(&mut self, object: Object) {
        let name = object.metadata.name.clone();
        match &object.spec {
            Spec::ModelEndpoint(_) | Spec::InvocationGrant(_) => {}
            Spec::EgressDeny(deny) => {
                self.denies.insert(name, deny.clone());
            }
            Spec::Posture(posture) => {
                self.postures.insert(name, posture.clone());
            }
        }
        self.objects.push(object);
    }

    /// The built-in endpoints and those of the objects.
    #[must_use]
    pub const fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// As they were given.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter()
    }

    /// Names that [`super::Numbers::grants`] must number.
    pub fn grant_names(&self) -> impl Iterator<Item = &str> {
        self.grants.keys().map(String::as_str)
    }

    /// Names that [`super::Numbers::denies`] must number.
    pub fn deny_names(&self) -> impl Iterator<Item = &str> {
        self.denies.keys().map(String::as_str)
    }

    /// Names that [`super::Numbers::endpoints`] must number.
    pub fn endpoint_names(&self) -> impl Iterator<Item = &str> {
        self.catalogue.iter().map(|endpoint| endpoint.name.as_str())
    }

    /// Names that [`super::Numbers::prefixes`] must number: `10.0.0.0/8`, or with a port
    /// `10.0.0.0/8:443`.
    #[must_use]
    pub fn prefix_names(&self) -> BTreeSet<String> {
        let denies = self.denies.values();
        denies
            .flat_map(prefixes_of)
            .map(|(net, port)| prefix_name(net, port))
            .collect()
    }

    /// Executables and users that any subject names: who runs as one of them may have to be told
    /// apart from the rest of its cgroup.
    #[must_use]
    pub fn process_parts(&self) -> (BTreeSet<String>, BTreeSet<UserSelector>) {
        let grants = self.grants.values().flat_map(|rule| &rule.grant.subjects);
        let denies = self.denies.values().flat_map(|rule| &rule.subjects);
        let postures = self.postures.values().filter_map(|rule| match &rule.scope {
            PostureScope::Default => None,
            PostureScope::Subjects(subjects) => Some(subjects),
        });
        let subjects = grants.chain(denies).chain(postures.flatten());
        let parts = subjects.filter_map(|subject| match subject {
            Subject::Any => None,
            Subject::Parts(parts) => Some((parts.exe.clone(), parts.user.clone())),
        });
        let (exes, users): (Vec<_>, Vec<_>) = parts.unzip();
        (
            exes.into_iter().flatten().collect(),
            users.into_iter().flatten().collect(),
        )
    }

    /// A grant that counts.
    #[must_use]
    pub fn grant(&self, name: &str) -> Option<&InvocationGrant> {
        self.grants.get(name).map(|grant| &grant.grant)
    }

    /// The endpoints that a grant is about.
    pub fn endpoints_of(&self, grant: &InvocationGrant) -> impl Iterator<Item = &Endpoint> {
        self.catalogue
            .iter()
            .filter(|endpoint| selects(&grant.endpoints, &grant.planes, endpoint))
    }

    /// When a grant that counts holds.
    #[must_use]
    pub fn span_of_grant(&self, name: &str) -> Option<Span> {
        self.grants.get(name).map(|grant| grant.span)
    }
}

/// Every prefix of a deny rule with every port.
pub(super) fn prefixes_of(deny: &EgressDeny) -> impl Iterator<Item = (IpNet, u16)> {
    let nets = deny.cidrs.iter();
    nets.flat_map(|net| deny.ports.iter().map(move |port| (*net, *port)))
}

pub(super) fn prefix_name(net: IpNet, port: u16) -> String {
    if port == ANY_PORT {
        net.to_string()
    } else {
        format!("{net}:{port}")
    }
}

/// Whether a rule with these `selectors` and `planes` concerns `endpoint`.
pub(super) fn selects(selectors: &[String], planes: &BTreeSet<Plane>, endpoint: &Endpoint) -> bool {
    planes.contains(&endpoint.plane)
        && selectors
            .iter()
            .any(|selector| selector == ALL_ENDPOINTS || endpoint.is_selected_by(selector))
}

#[cfg(test)]
mod tests;
