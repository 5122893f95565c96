//! What is done about an anomaly by itself: a deny rule, as anybody could have made it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    super::Author,
    Core,
    wording::{endpoint_name, identity_name},
};
use crate::{
    anomaly::{Fact, Kind as AnomalyKind, Pair, Sighting},
    error_chain,
    identity::Labels,
    policy::{Kind, Object, Response, refuse},
    store::{Names, StoredAnomaly},
};

const THROTTLED: &str = "throttled-by-anomaly-";
const SUSPENDED: &str = "suspended-by-anomaly-";

/// What is refused for a time.
#[derive(Debug, Default)]
pub(super) struct Throttles {
    /// Until when, in seconds since 1970, by the name of the rule.
    until: BTreeMap<String, i64>,
    /// How many calls in a minute were too many.
    too_many: BTreeMap<Pair, u64>,
}

impl Core {
    /// Does what policy says about an anomaly of this number, and says what that is.
    pub(super) fn respond(
        &mut self,
        id: i64,
        anomaly: &StoredAnomaly,
        sighting: &Sighting,
        names: &Names,
    ) -> Option<String> {
        let Fact::Unusual { calls, .. } = sighting.fact else {
            return None;
        };
        if anomaly.is_muted || sighting.kind != AnomalyKind::UnusualVolume {
            return None;
        }
        let pair = sighting.pair;
        let labels = self.labels_of(&pair)?;
        let endpoint = endpoint_name(pair.endpoint, names);
        let (prefix, done) = match self.running.revision.set.response(&labels, &endpoint) {
            Response::Notify => return None,
            Response::Throttle => (
                THROTTLED,
                "refused for some time, and again while it goes on",
            ),
            Response::Suspend => (SUSPENDED, "refused until somebody removes the deny rule"),
        };
        let name = format!("{prefix}{id}");
        if self.source(Kind::EgressDeny, &name).is_some() || !self.is_as_bad(&pair, calls) {
            return None;
        }
        let why = format!("anomaly {id}: {}", anomaly.summary);
        if let Err(error) = self.refuse(&name, &labels, &endpoint, &why) {
            let identity = identity_name(pair.identity, names);
            tracing::error!(id, identity, error, "nothing was done about an anomaly");
            return Some(format!("not refused: {error}"));
        }
        let throttled_s = self.config.anomalies.throttle.as_secs();
        let anomalies = self.anomalies.as_mut()?;
        if prefix == THROTTLED {
            let until = sighting.at + throttled_s;
            anomalies.throttles.until.insert(name.clone(), until);
            anomalies.throttles.too_many.insert(pair, calls);
        }
        tracing::warn!(id, rule = name, "an identity is {done}");
        Some(format!("{done} `{name}`"))
    }

    /// What was refused for a time may call again when that is over, unless it is as bad as before.
    pub(super) fn lift_throttles(&mut self, at: Timestamp) {
        let now_s = at.as_second();
        let objects = self.running.revision.set.objects();
        let is_ours = |object: &&Object| {
            object.kind() == Kind::EgressDeny && object.name().starts_with(THROTTLED)
        };
        let rules = objects
            .filter(is_ours)
            .map(|object| object.name().to_owned());
        let rules: Vec<_> = rules.collect();
        let throttled_s = self.config.anomalies.throttle.as_secs();
        let Some(anomalies) = &mut self.anomalies else {
            return;
        };
        let throttles = &mut anomalies.throttles;
        throttles.until.retain(|name, _| rules.contains(name));
        // An agent before this one has made it.
        let of_now = now_s + throttled_s;
        let due: Vec<_> = rules
            .into_iter()
            .filter(|name| *throttles.until.entry(name.clone()).or_insert(of_now) <= now_s)
            .collect();
        for name in due {
            let why = Some("the time that it was refused for is over".to_owned());
            match self.remove(Kind::EgressDeny, &name, &Author::agent(), why) {
                Ok(_) => tracing::info!(rule = name, "an identity may call again"),
                Err(error) => tracing::error!(error = error_chain(&error), "not let through"),
            }
        }
    }

    fn labels_of(&self, pair: &Pair) -> Option<Labels> {
        if let Some(identity) = self.workloads.identity(pair.identity) {
            return Some((*identity.labels).clone());
        }
        let known = self.store.identities().ok()?;
        let known = known.into_iter().find(|known| known.id == pair.identity);
        known.map(|known| known.labels)
    }

    /// Whether so many calls in a minute are too many, given those that were before.
    fn is_as_bad(&self, pair: &Pair, calls: u64) -> bool {
        let anomalies = self.anomalies.as_ref();
        let before = anomalies.and_then(|anomalies| anomalies.throttles.too_many.get(pair));
        before.is_none_or(|before| calls.saturating_mul(2) >= *before)
    }

    fn refuse(
        &mut self,
        name: &str,
        labels: &Labels,
        endpoint: &str,
        why: &str,
    ) -> Result<(), String> {
        let rule = refuse(name, labels, endpoint, why);
        let rule = rule.ok_or("no subject selects this identity alone")?;
        let text = rule.to_yaml().map_err(|error| error_chain(&error))?;
        self.create(Kind::EgressDeny, &text, &Author::agent())
            .map(drop)
            .map_err(|error| error_chain(&error))
    }
}
