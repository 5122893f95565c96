//! Objects that fit together: the whole policy of a host.

use std::collections::{BTreeMap, BTreeSet};

use agent_common::destination::ANY_PORT;
use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    EgressDeny, InvocationGrant, Kind, Located, Object, PolicyError, PostureRule, PostureScope,
    Span, Spec, Subject, UserSelector, object::ALL_ENDPOINTS,
};
use crate::endpoint::{Catalogue, Endpoint, Plane};

/// Everything that policy says, by name. Built by [`PolicySet::build`] only.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    pub(super) catalogue: Catalogue,
    pub(super) grants: BTreeMap<String, Grant>,
    pub(super) denies: BTreeMap<String, EgressDeny>,
    pub(super) postures: BTreeMap<String, PostureRule>,
    objects: Vec<Object>,
}

/// A grant and the time for which it holds.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub grant: InvocationGrant,
    pub span: Span,
}

/// What a check across objects needs to know from outside.
#[derive(Clone, Copy)]
pub struct BuildOptions<'a> {
    pub now: Timestamp,
    pub on_expired: OnExpired,
    /// When the agent first saw the grant of this name and [`Object::digest`].
    pub issued_at: &'a dyn Fn(&str, &str) -> Timestamp,
}

impl std::fmt::Debug for BuildOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            now,
            on_expired,
            issued_at: _,
        } = self;
        f.debug_struct("BuildOptions")
            .field("now", now)
            .field("on_expired", on_expired)
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
        for object in objects {
            errors.extend(unknown_endpoints(&object, &set.catalogue));
            if let Spec::InvocationGrant(grant) = &object.value.spec {
                warnings.extend(names_of_any_user(&object, grant));
                match resolve(&object, grant, options) {
                    Ok((grant, warning)) => {
                        set.grants.insert(object.value.metadata.name.clone(), grant);
                        warnings.extend(warning);
                    }
                    Err(error) => errors.push(error),
                }
            }
            set.insert(object.value);
        }
        if errors.is_empty() {
            Ok(Built { set, warnings })
        } else {
            Err(errors)
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

    /// When a grant holds.
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

fn duplicates(objects: &[Located<Object>]) -> Vec<PolicyError> {
    let mut first = BTreeMap::<(Kind, &str), &Located<Object>>::new();
    let mut default: Option<&Located<Object>> = None;
    let mut errors = Vec::new();
    for object in objects {
        let kind = object.value.kind();
        if let Some(other) = first.insert((kind, object.value.name()), object) {
            let (kind, place) = (kind.name(), place(other));
            let message = format!("the {kind} at {place} has the same name: give one another");
            errors.push(object.error("metadata.name", message));
        }
        let is_default = matches!(
            &object.value.spec,
            Spec::Posture(PostureRule {
                scope: PostureScope::Default,
                ..
            })
        );
        if is_default && let Some(other) = default.replace(object) {
            let message = format!("there is already a default at {}: keep one", place(other));
            errors.push(object.error("spec.default", message));
        }
    }
    errors
}

fn place(object: &Located<Object>) -> String {
    format!("{}:{}", object.file, object.at.line)
}

fn unknown_endpoints(object: &Located<Object>, catalogue: &Catalogue) -> Vec<PolicyError> {
    let (selectors, planes) = match &object.value.spec {
        Spec::InvocationGrant(grant) => (&grant.endpoints, &grant.planes),
        Spec::EgressDeny(deny) => (&deny.endpoints, &deny.planes),
        Spec::ModelEndpoint(_) | Spec::Posture(_) => return Vec::new(),
    };
    let mut errors = Vec::new();
    for (index, selector) in selectors.iter().enumerate() {
        if selector == ALL_ENDPOINTS {
            continue;
        }
        let selected = catalogue.select(selector);
        let field = format!("spec.endpoints[{index}]");
        if selected.is_empty() {
            errors.push(object.error(&field, unknown_endpoint(selector, catalogue)));
        } else if !selected
            .values()
            .any(|endpoint| planes.contains(&endpoint.plane))
        {
            let named = planes.iter().map(|plane| plane.name()).collect::<Vec<_>>();
            let needed = selected
                .values()
                .map(|endpoint| endpoint.plane.name())
                .collect::<BTreeSet<_>>();
            let message = format!(
                "no endpoint of `{selector}` is of the plane {}: add {} to planes",
                named.join(", "),
                needed.into_iter().collect::<Vec<_>>().join(", ")
            );
            errors.push(object.error(&field, message));
        }
    }
    errors
}

fn unknown_endpoint(selector: &str, catalogue: &Catalogue) -> String {
    match catalogue.closest(selector) {
        Some(closest) => {
            format!("unknown endpoint or provider `{selector}`; did you mean `{closest}`?")
        }
        None => format!(
            "unknown endpoint or provider `{selector}`; `weir endpoints list` shows all, and a \
             ModelEndpoint adds one"
        ),
    }
}

/// Subjects that whoever logs in can become by giving a unit that name.
fn names_of_any_user(object: &Located<Object>, grant: &InvocationGrant) -> Vec<PolicyError> {
    let is_of_any = |subject: &Subject| match subject {
        Subject::Any => false,
        Subject::Parts(parts) => {
            parts.user_unit.is_some()
                && parts.unit.is_none()
                && parts.slice.is_none()
                && parts.cgroup.is_none()
                && parts.user.is_none()
        }
    };
    let subjects = grant.subjects.iter().enumerate();
    let warned = subjects.filter(|(_, subject)| is_of_any(subject));
    warned
        .map(|(index, _)| {
            let field = format!("spec.subjects[{index}].systemd.userUnit");
            object.error(
                &field,
                "selects a unit of that name of every user, and users name their units: add \
                 `unit: user@UID.service`",
            )
        })
        .collect()
}

fn resolve(
    object: &Located<Object>,
    grant: &InvocationGrant,
    options: &BuildOptions<'_>,
) -> Result<(Grant, Option<PolicyError>), PolicyError> {
    let name = object.value.name();
    let digest = object.value.digest();
    let digest = digest.map_err(|error| object.error("document", error.to_string()))?;
    let span = grant.validity.since((options.issued_at)(name, &digest));
    let field = match grant.validity.end {
        super::End::After(_) => "spec.ttl",
        super::End::Never | super::End::At(_) => "spec.notAfter",
    };
    let mut warning = None;
    if let Some(end) = span.not_after {
        if span.not_before.is_some_and(|start| end <= start) {
            return Err(object.error(field, "ends before notBefore: the grant would never hold"));
        }
        if end <= options.now {
            let message = format!("the grant ended at {end}: renew or remove it");
            match options.on_expired {
                OnExpired::Refuse => return Err(object.error(field, message)),
                OnExpired::Warn => warning = Some(object.error(field, message)),
            }
        }
    }
    let grant = grant.clone();
    Ok((Grant { grant, span }, warning))
}

#[cfg(test)]
mod tests;
