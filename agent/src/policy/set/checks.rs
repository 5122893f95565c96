//! What no object shows by itself: names that are taken, endpoints that do not exist.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    endpoint::Catalogue,
    policy::{
        InvocationGrant, Kind, Located, Object, PolicyError, PostureRule, PostureScope, Spec,
        Subject, object::ALL_ENDPOINTS,
    },
};

pub(super) fn duplicates(objects: &[Located<Object>]) -> Vec<PolicyError> {
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

pub(super) fn unknown_endpoints(
    object: &Located<Object>,
    catalogue: &Catalogue,
) -> Vec<PolicyError> {
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
pub(super) fn names_of_any_user(
    object: &Located<Object>,
    grant: &InvocationGrant,
) -> Vec<PolicyError> {
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
