//! What is kept of a sighting, and the sentence that says it.

use agent_common::{destination::EndpointId, identity::IdentityId};
use jiff::Timestamp;
use serde_json::json;

use crate::{
    anomaly::{Extent, Fact, Kind, Pair, Sighting},
    audit::{Action, Actor, Entry, Target, Via},
    policy,
    store::{Names, StoredAnomaly},
};

pub(super) fn moment(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or_default()
}

pub(super) fn begun(sighting: &Sighting, extent: &Extent, names: &Names) -> StoredAnomaly {
    let Sighting {
        kind,
        pair,
        at,
        fact,
    } = sighting;
    let at = moment(*at);
    let score = match fact {
        Fact::Unusual { score, .. } => Some(*score),
        Fact::Calls(_) | Fact::Woke { .. } => None,
    };
    StoredAnomaly {
        kind: *kind,
        identity: Some(pair.identity),
        endpoint: Some(pair.endpoint),
        grant: None,
        began: at,
        last: at,
        ended: kind.is_moment().then_some(at),
        score,
        excess: extent.excess,
        told: extent.told,
        summary: sentence(*kind, pair, fact, names),
        facts: facts(fact),
        is_muted: false,
        response: String::new(),
        ack: None,
    }
}

pub(super) fn sentence(kind: Kind, pair: &Pair, fact: &Fact, names: &Names) -> String {
    let identity = identity_name(pair.identity, names);
    let endpoint = endpoint_name(pair.endpoint, names);
    match (kind, fact) {
        (_, Fact::Unusual { finding, .. }) => {
            format!(
                "{identity} calls {endpoint} unusually often: {}",
                finding.told("a minute")
            )
        }
        (_, Fact::Woke { calls, silent }) => format!(
            "{identity} called {endpoint} {calls} times after {} days without any call",
            silent / 86_400
        ),
        (Kind::RefusedStorm, Fact::Calls(calls)) => {
            format!("{identity} was refused {endpoint} {calls} times in a minute")
        }
        (Kind::BypassesGateway, Fact::Calls(calls)) => format!(
            "{identity} called {endpoint} {calls} times in a minute, though a grant says that it calls \
             through a gateway"
        ),
        (_, Fact::Calls(calls)) => {
            format!("{identity} called {endpoint} for the first time: {calls} times in a minute")
        }
    }
}

/// A grant that nobody has used for long.
pub(super) fn unused(grant: &str, at: Timestamp) -> StoredAnomaly {
    StoredAnomaly {
        kind: Kind::UnusedGrant,
        identity: None,
        endpoint: None,
        grant: Some(grant.to_owned()),
        began: at,
        last: at,
        ended: None,
        score: None,
        excess: 0.0,
        told: 0.0,
        summary: format!("nobody has used the grant {grant} for 30 days: revoke it"),
        facts: "{}".to_owned(),
        is_muted: false,
        response: String::new(),
        ack: None,
    }
}

pub(super) fn facts(fact: &Fact) -> String {
    match fact {
        Fact::Unusual { finding, calls, .. } => json!({
            "calls": calls,
            "window": finding.window.name(),
            "observed": finding.observed,
            "expected": finding.expected,
            "limit": finding.limit,
            "record": finding.record,
            "days": finding.days,
        }),
        Fact::Calls(calls) => json!({ "calls": calls }),
        Fact::Woke { calls, silent } => json!({ "calls": calls, "silent_s": silent }),
    }
    .to_string()
}

pub(super) fn identity_name(id: IdentityId, names: &Names) -> String {
    let known = names.identities.get(&id).cloned();
    known.unwrap_or_else(|| format!("#{}", id.to_raw()))
}

pub(super) fn endpoint_name(id: EndpointId, names: &Names) -> String {
    let known = names.endpoints.get(&id).cloned();
    known.unwrap_or_else(|| format!("#{}", id.to_raw()))
}

pub(super) fn recorded(anomaly: &StoredAnomaly, names: &Names) -> Entry {
    let identity = anomaly.identity.map(|id| identity_name(id, names));
    let place = anomaly.endpoint.map(|id| endpoint_name(id, names));
    let actor = Actor {
        via: Via::Workload,
        identity,
        ..Actor::default()
    };
    let target = match &anomaly.grant {
        Some(grant) => Target::new(policy::Kind::InvocationGrant.name(), grant),
        None => Target::new("endpoint", &place.unwrap_or_default()),
    };
    Entry::new(Action::AnomalyFound, actor, target)
        .because(&anomaly.summary)
        .with("kind", anomaly.kind.name())
        .with("muted", anomaly.is_muted)
}
