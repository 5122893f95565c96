//! Looks for what is unusual in the counts of each minute, keeps it, and has it told.

mod asking;
mod responding;
mod rules;
mod telling;
mod versions;
mod wording;

use std::collections::{BTreeMap, BTreeSet};

use agent_common::{
    counter::{CounterKey, Counts},
    destination::EndpointId,
    identity::IdentityId,
};
use jiff::{SignedDuration, Timestamp};

pub use self::asking::{AnomalyError, AnomalyView, Watching};
use self::{
    responding::Throttles,
    telling::Tellers,
    versions::Versions,
    wording::{begun, moment, recorded},
};
use super::{Core, Input, revision::Revision};
use crate::{
    anomaly::{Episodes, Extent, Growth, Kind, Pair, Sighting, Subject, Turn, Watch},
    config::Config,
    endpoint::Plane,
    error_chain,
    host::clock::now,
    store::{AnomalyFilter, Names, Store, StoreError, StoredAnomaly},
};

/// Pairs that are kept in one step.
const KEPT_AT_ONCE: usize = 256;
/// How often everything that was learnt is kept.
const KEEP_EVERY: i64 = 10 * 60;
/// How long after the start grants that nobody uses are looked for.
const FIRST_REVIEW: i64 = 10 * 60;
/// Whoever is known for less is new everywhere.
const NEW: SignedDuration = SignedDuration::from_hours(24);

/// What is watched and what was found.
#[derive(Debug)]
pub(super) struct Anomalies {
    watch: Watch,
    episodes: Episodes,
    /// Number of each open anomaly.
    open: BTreeMap<Subject, i64>,
    versions: Versions,
    /// Which pair was kept last, while keeping is under way.
    kept: Option<Pair>,
    /// When keeping begins next, in seconds since 1970.
    keep_at: i64,
    throttles: Throttles,
    /// When grants that nobody uses are looked for next, in seconds since 1970.
    unused_at: i64,
    pub(super) tellers: Tellers,
}

impl Anomalies {
    /// `None` where nothing is to be watched.
    pub(super) fn recover(
        config: &Config,
        store: &Store,
        at: Timestamp,
    ) -> Result<Option<Self>, StoreError> {
        if !config.anomalies.enabled {
            return Ok(None);
        }
        let (common, watched) = store.watch()?;
        let mut open = BTreeMap::new();
        let mut extents = Vec::new();
        for (id, anomaly) in store.anomalies(&AnomalyFilter::OPEN)? {
            if let Some(subject) = subject(&anomaly) {
                open.insert(subject, id);
                extents.push((subject, extent(&anomaly)));
            }
        }
        let now_s = at.as_second();
        Ok(Some(Self {
            watch: Watch::new(common, watched, now_s, config.anomalies.max_series),
            episodes: Episodes::new(extents),
            open,
            versions: Versions::recover(store)?,
            kept: None,
            keep_at: now_s + KEEP_EVERY,
            throttles: Throttles::default(),
            unused_at: now_s + FIRST_REVIEW,
            tellers: Tellers::new(&config.anomalies.webhooks),
        }))
    }
}

fn subject(anomaly: &StoredAnomaly) -> Option<Subject> {
    let (identity, endpoint) = anomaly.identity.zip(anomaly.endpoint)?;
    Some((anomaly.kind, Pair { identity, endpoint }))
}

fn extent(anomaly: &StoredAnomaly) -> Extent {
    Extent {
        last: anomaly.last.as_second(),
        score: anomaly.score.unwrap_or_default(),
        excess: anomaly.excess,
        told: anomaly.told,
    }
}

impl Core {
    /// Takes what has been counted since the last time.
    pub(super) fn watch_counts(&mut self, added: &[(CounterKey, Counts)], at: Timestamp) {
        let Some(anomalies) = self.anomalies.as_mut().filter(|_| !added.is_empty()) else {
            return;
        };
        let watched = model_endpoints(&self.running.revision);
        for (key, counts) in added {
            if key.identity == IdentityId::UNKNOWN || !watched.contains(&key.endpoint) {
                continue;
            }
            let pair = Pair {
                identity: key.identity,
                endpoint: key.endpoint,
            };
            let growth = Growth {
                // Where calls are counted, a connection may carry many.
                passed: counts.passed().max(counts.calls),
                refused: counts.connects_denied + counts.datagrams_denied,
            };
            anomalies.watch.count(at.as_second(), pair, growth);
        }
    }

    /// Looks at the minutes that have ended.
    pub(super) fn look_for_anomalies(&mut self) {
        let at = now().wall;
        let now_s = at.as_second();
        let minute = self
            .anomalies
            .as_ref()
            .map(|anomalies| anomalies.watch.minute());
        let mut sightings = match minute {
            Some(minute) if now_s.div_euclid(60) > minute => self.bypasses(at),
            Some(_) => Vec::new(),
            None => return,
        };
        let Some(anomalies) = &mut self.anomalies else {
            return;
        };
        anomalies.versions.look_again();
        sightings.extend(anomalies.watch.close(now_s));
        let ended = anomalies.episodes.ended(now_s);
        let taken = self.take_sightings(&sightings);
        let ended = ended
            .iter()
            .try_for_each(|subject| self.end_anomaly(subject, at));
        if let Err(error) = taken.and(ended) {
            tracing::error!(error = error_chain(&error), "anomalies not kept");
        }
        self.lift_throttles(at);
        self.look_for_unused_grants(at);
        self.tell_again(at);
    }

    fn take_sightings(&mut self, sightings: &[Sighting]) -> Result<(), StoreError> {
        if sightings.is_empty() {
            return Ok(());
        }
        let names = self.names()?;
        for sighting in sightings {
            if sighting.kind == Kind::FirstUse && !self.is_first_use(sighting)? {
                continue;
            }
            self.take_sighting(sighting, &names)?;
        }
        Ok(())
    }

    /// Not of an identity that is new itself, and not where days that are kept know of it.
    fn is_first_use(&self, sighting: &Sighting) -> Result<bool, StoreError> {
        let Pair { identity, .. } = sighting.pair;
        let at = Timestamp::from_second(sighting.at).unwrap_or_default();
        let identities = self.store.identities()?;
        let known = identities.iter().find(|known| known.id == identity);
        let is_known = known.is_some_and(|known| at.duration_since(known.first_seen) >= NEW);
        let minute = sighting.at.div_euclid(60) - 1;
        Ok(is_known && !self.store.has_called_before(&sighting.pair, minute)?)
    }

    fn take_sighting(&mut self, sighting: &Sighting, names: &Names) -> Result<(), StoreError> {
        let Some(anomalies) = &mut self.anomalies else {
            return Ok(());
        };
        let subject = (sighting.kind, sighting.pair);
        let turn = anomalies.episodes.take(sighting);
        let number = anomalies.open.get(&subject).copied();
        let (extent, is_told) = match turn {
            Turn::Begins(extent) => {
                let anomaly = begun(sighting, &extent, names);
                return self.begin_anomaly(Some(sighting), anomaly, names);
            }
            Turn::GoesOn(extent) => (extent, false),
            Turn::IsWorse(extent) => (extent, true),
        };
        let Some(id) = number else {
            return Ok(());
        };
        let Some(mut anomaly) = self.store.anomaly(id)? else {
            return Ok(());
        };
        let is_more = extent.excess > anomaly.excess;
        (anomaly.last, anomaly.told) = (moment(extent.last), extent.told);
        if is_more {
            let newest = begun(sighting, &extent, names);
            (anomaly.summary, anomaly.facts) = (newest.summary, newest.facts);
            (anomaly.excess, anomaly.score) = (newest.excess, newest.score);
        }
        if let Some(response) = self.respond(id, &anomaly, sighting, names) {
            anomaly.response = response;
        }
        self.store.update_anomaly(id, &anomaly)?;
        if is_told {
            tracing::warn!(id, summary = anomaly.summary, "anomaly is getting worse");
            self.tell(id, &anomaly, names)?;
        }
        Ok(())
    }

    fn begin_anomaly(
        &mut self,
        sighting: Option<&Sighting>,
        mut anomaly: StoredAnomaly,
        names: &Names,
    ) -> Result<(), StoreError> {
        anomaly.is_muted = self.is_muted(&anomaly, names)?;
        let entry = recorded(&anomaly, names);
        let at = now().wall;
        let id = self.store.at_once(|store| {
            let id = store.add_anomaly(&anomaly)?;
            store.audit(at, &entry.with("anomaly", id))?;
            Ok::<_, StoreError>(id)
        })?;
        if let (Some(sighting), Some(anomalies)) = (sighting, &mut self.anomalies)
            && anomaly.ended.is_none()
        {
            anomalies.open.insert((sighting.kind, sighting.pair), id);
        }
        let response = sighting.and_then(|one| self.respond(id, &anomaly, one, names));
        if let Some(response) = response {
            anomaly.response = response;
            self.store.update_anomaly(id, &anomaly)?;
        }
        let kind = anomaly.kind.name();
        if anomaly.is_muted {
            tracing::info!(id, kind, summary = anomaly.summary, "anomaly, muted");
            return Ok(());
        }
        tracing::warn!(id, kind, summary = anomaly.summary, "anomaly");
        self.tell(id, &anomaly, names)
    }

    fn end_anomaly(&mut self, subject: &Subject, at: Timestamp) -> Result<(), StoreError> {
        let Some(anomalies) = &mut self.anomalies else {
            return Ok(());
        };
        let Some(id) = anomalies.open.remove(subject) else {
            return Ok(());
        };
        let Some(mut anomaly) = self.store.anomaly(id)? else {
            return Ok(());
        };
        anomaly.ended = Some(at);
        self.store.update_anomaly(id, &anomaly)?;
        tracing::info!(id, summary = anomaly.summary, "anomaly is over");
        if anomaly.is_muted {
            return Ok(());
        }
        let names = self.names()?;
        self.tell(id, &anomaly, &names)
    }

    /// Keeps some of what was learnt, if it is time to. True while there is more.
    pub(super) fn keep_what_was_learnt(&mut self, all: bool) -> bool {
        let at = now().wall.as_second();
        let Some(anomalies) = &mut self.anomalies else {
            return false;
        };
        if anomalies.kept.is_none() && at < anomalies.keep_at && !all {
            return false;
        }
        let most = if all { usize::MAX } else { KEPT_AT_ONCE };
        let after = if all { None } else { anomalies.kept };
        let next: Vec<_> = anomalies.watch.watched(after, most).collect();
        let series: Vec<_> = next
            .iter()
            .map(|(pair, watched)| (**pair, *watched))
            .collect();
        let last = series.last().map(|(pair, _)| *pair);
        let is_more = series.len() == KEPT_AT_ONCE;
        // Once for all pairs, before the first of them.
        let common = match after {
            None => self.store.keep_common(anomalies.watch.common()),
            Some(_) => Ok(()),
        };
        let kept = common.and_then(|()| self.store.keep_watched(&series));
        if let Err(error) = kept {
            tracing::error!(error = error_chain(&error), "what was learnt is not kept");
        }
        if is_more && !all {
            anomalies.kept = last;
            return true;
        }
        anomalies.kept = None;
        anomalies.keep_at = at + KEEP_EVERY;
        if let Err(error) = self.store.drop_unwatched(&|pair| anomalies.watch.has(pair)) {
            tracing::error!(
                error = error_chain(&error),
                "what was learnt is not dropped"
            );
        }
        false
    }
}

/// Where calls call a model, or manage one; what resolves names does neither.
fn model_endpoints(revision: &Revision) -> BTreeSet<EndpointId> {
    revision.numbers_of(|endpoint| match endpoint.plane {
        Plane::Invoke | Plane::Manage => true,
        Plane::Resolve => false,
    })
}
