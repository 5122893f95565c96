//! What is worth telling without any statistics, and needs policy to be known.

use jiff::{SignedDuration, Timestamp};

use super::{
    super::{GrantView, review::GrantReview},
    Core,
    wording::{endpoint_name, unused},
};
use crate::{
    anomaly::{Fact, Kind, Sighting},
    error_chain,
    policy::{Stage, Step},
    store::{AnomalyFilter, StoreError, StoredAnomaly},
};

/// A grant that nobody has used for so long.
const UNUSED: SignedDuration = SignedDuration::from_hours(30 * 24);
const DAY: i64 = 86_400;

impl Core {
    /// Calls of the minute that has just ended which a grant says go through a gateway.
    pub(super) fn bypasses(&self, at: Timestamp) -> Vec<Sighting> {
        let set = &self.running.revision.set;
        let Some(anomalies) = &self.anomalies else {
            return Vec::new();
        };
        if !set.has_gateways() {
            return Vec::new();
        }
        let Ok(names) = self.names() else {
            return Vec::new();
        };
        let mut bypasses = Vec::new();
        for (pair, growth) in anomalies.watch.counted() {
            let Some(identity) = self.workloads.identity(pair.identity) else {
                continue;
            };
            let endpoint = endpoint_name(pair.endpoint, &names);
            if growth.passed > 0 && set.bypassed(&identity.labels, &endpoint).is_some() {
                bypasses.push(Sighting {
                    kind: Kind::BypassesGateway,
                    pair: *pair,
                    at: at.as_second(),
                    fact: Fact::Calls(growth.passed),
                });
            }
        }
        bypasses
    }

    /// Once a day.
    pub(super) fn look_for_unused_grants(&mut self, at: Timestamp) {
        let Some(anomalies) = &mut self.anomalies else {
            return;
        };
        if at.as_second() < anomalies.unused_at {
            return;
        }
        anomalies.unused_at = at.as_second() + DAY;
        if let Err(error) = self.try_look_for_unused_grants(at) {
            tracing::error!(error = error_chain(&error), "unused grants not looked for");
        }
    }

    fn try_look_for_unused_grants(&mut self, at: Timestamp) -> Result<(), StoreError> {
        let since = at.saturating_sub(UNUSED).unwrap_or(Timestamp::MIN);
        let reviews = self.review_grants(since)?;
        let is_unused = |review: &&GrantReview| {
            let is_active = review.view.stage == Stage::Active;
            is_active && review.breadth.calls == 0 && self.was_active_at(&review.view, since)
        };
        let idle: Vec<_> = reviews
            .iter()
            .filter(is_unused)
            .map(|review| review.view.name.clone())
            .collect();
        let open = self.store.anomalies(&AnomalyFilter {
            kind: Some(Kind::UnusedGrant),
            ..AnomalyFilter::OPEN
        })?;
        let names = self.names()?;
        for (id, mut anomaly) in open.iter().cloned() {
            if anomaly
                .grant
                .as_ref()
                .is_none_or(|grant| !idle.contains(grant))
            {
                anomaly.ended = Some(at);
                self.store.update_anomaly(id, &anomaly)?;
            }
        }
        for grant in idle {
            let is_told =
                |(_, anomaly): &(i64, StoredAnomaly)| anomaly.grant.as_ref() == Some(&grant);
            if !open.iter().any(is_told) {
                self.begin_anomaly(None, unused(&grant, at), &names)?;
            }
        }
        Ok(())
    }

    fn was_active_at(&self, view: &GrantView, at: Timestamp) -> bool {
        let life = self.lives.get(&view.name, &view.digest);
        life.is_some_and(|life| {
            let last = life.last();
            last.step == Step::Activate && last.at <= at
        })
    }
}
