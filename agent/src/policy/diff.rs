//! What one set of objects has that another has not.

use std::collections::BTreeMap;

use super::{EgressDeny, InvocationGrant, Kind, Object, PolicySet, PostureRule, Spec};
use crate::endpoint::Endpoint;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    pub kind: Kind,
    pub name: String,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    Added,
    Removed,
    /// Paths of the fields that differ, in the order of the schema.
    Changed {
        fields: Vec<&'static str>,
    },
}

/// Ordered by kind and name.
#[must_use]
pub fn diff(old: &PolicySet, new: &PolicySet) -> Vec<Change> {
    let (old, new) = (by_name(old), by_name(new));
    let mut changes = Vec::new();
    for (key, before) in &old {
        let what = match new.get(key) {
            None => What::Removed,
            Some(after) => match changed_fields(before, after) {
                fields if fields.is_empty() => continue,
                fields => What::Changed { fields },
            },
        };
        changes.push(change(*key, what));
    }
    let added = new.keys().filter(|key| !old.contains_key(*key));
    changes.extend(added.map(|key| change(*key, What::Added)));
    changes.sort();
    changes
}

fn change((kind, name): (Kind, &str), what: What) -> Change {
    Change {
        kind,
        name: name.to_owned(),
        what,
    }
}

fn by_name(set: &PolicySet) -> BTreeMap<(Kind, &str), &Object> {
    set.objects()
        .map(|object| ((object.kind(), object.name()), object))
        .collect()
}

fn changed_fields(before: &Object, after: &Object) -> Vec<&'static str> {
    let mut fields = Vec::new();
    if before.metadata.annotations != after.metadata.annotations {
        fields.push("metadata.annotations");
    }
    let differences = match (&before.spec, &after.spec) {
        (Spec::ModelEndpoint(old), Spec::ModelEndpoint(new)) => of_endpoint(old, new),
        (Spec::InvocationGrant(old), Spec::InvocationGrant(new)) => of_grant(old, new),
        (Spec::EgressDeny(old), Spec::EgressDeny(new)) => of_deny(old, new),
        (Spec::Posture(old), Spec::Posture(new)) => of_posture(old, new),
        (
            Spec::ModelEndpoint(_)
            | Spec::InvocationGrant(_)
            | Spec::EgressDeny(_)
            | Spec::Posture(_),
            _,
        ) => vec![("kind", true)],
    };
    fields.extend(
        differences
            .into_iter()
            .filter(|(_, differs)| *differs)
            .map(|(name, _)| name),
    );
    fields
}

type Differences = Vec<(&'static str, bool)>;

fn of_endpoint(old: &Endpoint, new: &Endpoint) -> Differences {
    let Endpoint {
        name: _,
        provider,
        plane,
        hosts,
        cidrs,
        ports,
        risk,
        shared,
        exclusive,
        source: _,
    } = old;
    vec![
        ("spec.provider", *provider != new.provider),
        ("spec.plane", *plane != new.plane),
        ("spec.hosts", *hosts != new.hosts),
        ("spec.cidrs", *cidrs != new.cidrs),
        ("spec.ports", *ports != new.ports),
        ("spec.risk", *risk != new.risk),
        (
            "spec.shared",
            (*shared, *exclusive) != (new.shared, new.exclusive),
        ),
    ]
}

fn of_grant(old: &InvocationGrant, new: &InvocationGrant) -> Differences {
    let InvocationGrant {
        subjects,
        endpoints,
        planes,
        purpose,
        ticket,
        validity,
        limits,
        requires_approval,
        gateway,
        on_anomaly,
    } = old;
    vec![
        ("spec.subjects", *subjects != new.subjects),
        ("spec.endpoints", *endpoints != new.endpoints),
        ("spec.planes", *planes != new.planes),
        ("spec.purpose", *purpose != new.purpose),
        ("spec.ticket", *ticket != new.ticket),
        ("spec.approval", *requires_approval != new.requires_approval),
        (
            "spec.notBefore",
            validity.not_before != new.validity.not_before,
        ),
        ("spec.notAfter or ttl", validity.end != new.validity.end),
        ("spec.limits", *limits != new.limits),
        ("spec.gateway", *gateway != new.gateway),
        ("spec.onAnomaly", *on_anomaly != new.on_anomaly),
    ]
}

fn of_deny(old: &EgressDeny, new: &EgressDeny) -> Differences {
    let EgressDeny {
        subjects,
        endpoints,
        planes,
        cidrs,
        ports,
        reason,
    } = old;
    vec![
        ("spec.subjects", *subjects != new.subjects),
        ("spec.endpoints", *endpoints != new.endpoints),
        ("spec.planes", *planes != new.planes),
        ("spec.cidrs", *cidrs != new.cidrs),
        ("spec.ports", *ports != new.ports),
        ("spec.reason", *reason != new.reason),
    ]
}

fn of_posture(old: &PostureRule, new: &PostureRule) -> Differences {
    let PostureRule {
        scope,
        mode,
        ungranted,
        undecidable,
        quic,
        foreign_sockets,
        raw_sockets,
        unresolved,
    } = old;
    vec![
        ("spec.subjects or default", *scope != new.scope),
        ("spec.mode", *mode != new.mode),
        ("spec.ungranted", *ungranted != new.ungranted),
        ("spec.undecidable", *undecidable != new.undecidable),
        ("spec.quic", *quic != new.quic),
        (
            "spec.foreignSockets",
            *foreign_sockets != new.foreign_sockets,
        ),
        ("spec.rawSockets", *raw_sockets != new.raw_sockets),
        ("spec.unresolved", *unresolved != new.unresolved),
    ]
}
