//! All series of a host, minute by minute, and what can be said of them without statistics.

use std::collections::{BTreeMap, BTreeSet};

use agent_common::{destination::EndpointId, identity::IdentityId};
use serde::{Deserialize, Serialize};

use super::{
    cohort::Cohort,
    finding::Finding,
    grid::Grid,
    kind::Kind,
    series::{Metric, Series, Step, THRESHOLD},
};

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;
/// Who has called nothing for so long is dormant.
const DORMANT: i64 = 7 * DAY;
/// What is known of a series that was silent for so long is forgotten.
const FORGOTTEN: i64 = 35 * DAY;
/// Refused calls of one identity at one endpoint in a minute that are a storm.
pub const STORM: u64 = 120;
/// Counts of more minutes than these, taken over at once, say nothing about any of them.
const MOST_SPREAD: i64 = 120;

/// Who calls what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    pub identity: IdentityId,
    pub endpoint: EndpointId,
}

/// What has been counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// Calls that went through.
    pub passed: u64,
    pub refused: u64,
}

/// One pair's past.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    series: Series,
    /// End of the last minute that was looked at, in seconds since 1970.
    until: i64,
    /// Begin of the last minute with calls.
    active: i64,
}

impl Watched {
    /// Changes with what is kept of a pair. The size catches what nobody thought of.
    pub const LAYOUT: u32 = 0x1_0000 + size_of::<Self>() as u32;
}

/// What belongs to no pair.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Common {
    /// When the watch began, in seconds since 1970; 0 for not yet.
    pub since: i64,
    pub cohort: Cohort,
}

/// Something to tell about a minute.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    pub kind: Kind,
    pub pair: Pair,
    /// End of the minute, in seconds since 1970.
    pub at: i64,
    pub fact: Fact,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fact {
    /// More than usual, and how surprising that is.
    Unusual {
        score: f32,
        finding: Finding,
        /// In that minute.
        calls: u64,
    },
    /// So many calls in that minute.
    Calls(u64),
    /// So many calls in that minute, after so many seconds of none.
    Woke { calls: u64, silent: i64 },
}

/// What is watched. Bounded by the number of pairs that it is made for.
#[derive(Clone, Debug)]
pub struct Watch {
    common: Common,
    /// Number of the minute that is being counted, since 1970.
    minute: i64,
    growth: BTreeMap<Pair, Growth>,
    watched: BTreeMap<Pair, Watched>,
    hinted: BTreeSet<IdentityId>,
    most: usize,
    unwatched: u64,
}

impl Watch {
    /// Begins with what was known of `watched`; `at` in seconds since 1970. Of the time between
    /// nothing is known, and nothing is said about the minute that has begun already.
    #[must_use]
    pub fn new(
        common: Common,
        watched: impl IntoIterator<Item = (Pair, Watched)>,
        at: i64,
        most: usize,
    ) -> Self {
        let minute = at.div_euclid(MINUTE) + 1;
        let begin = minute * MINUTE;
        let watched = watched.into_iter().map(|(pair, mut watched)| {
            let missed = (begin - watched.until).max(0) / MINUTE;
            let missed = u32::try_from(missed).unwrap_or(u32::MAX);
            watched.series.skip(&Grid::MINUTES, watched.until, missed);
            watched.until = begin;
            (pair, watched)
        });
        Self {
            watched: watched.take(most).collect(),
            common: Common {
                since: if common.since == 0 { at } else { common.since },
                ..common
            },
            minute,
            growth: BTreeMap::new(),
            hinted: BTreeSet::new(),
            most,
            unwatched: 0,
        }
    }

    /// Adds what was counted just now, at `at` in seconds since 1970.
    pub fn count(&mut self, at: i64, pair: Pair, growth: Growth) {
        if at.div_euclid(MINUTE) < self.minute {
            return;
        }
        let sum = self.growth.entry(pair).or_default();
        sum.passed = sum.passed.saturating_add(growth.passed);
        sum.refused = sum.refused.saturating_add(growth.refused);
    }

    /// What has been counted since the last close.
    pub fn counted(&self) -> impl Iterator<Item = (&Pair, &Growth)> {
        self.growth.iter()
    }

    /// What this identity runs has just changed: what it does now may be meant to be different.
    pub fn hint(&mut self, identity: IdentityId) {
        self.hinted.insert(identity);
    }

    /// Closes the minutes that have ended before `at`, in seconds since 1970. What was counted in
    /// several of them is taken to be spread evenly.
    pub fn close(&mut self, at: i64) -> Vec<Sighting> {
        let now = at.div_euclid(MINUTE);
        let ended = now - self.minute;
        if ended <= 0 {
            // A clock that was set back: the present minute is the next one to be closed.
            self.minute = if ended < -1 { now } else { self.minute };
            return Vec::new();
        }
        let growth = std::mem::take(&mut self.growth);
        let hinted = std::mem::take(&mut self.hinted);
        let mut sightings = self.without_statistics(&growth, now, ended);
        self.admit(&growth);
        if ended > MOST_SPREAD {
            self.pass_over(now);
            return sightings;
        }
        for minute in self.minute..now {
            self.step(minute, ended, &growth, &hinted, &mut sightings);
        }
        self.minute = now;
        self.forget(now * MINUTE);
        sightings
    }

    /// Nothing is known of the minutes up to `now`.
    fn pass_over(&mut self, now: i64) {
        let missed = u32::try_from(now - self.minute).unwrap_or(u32::MAX);
        for watched in self.watched.values_mut() {
            watched.series.skip(&Grid::MINUTES, watched.until, missed);
            watched.until = now * MINUTE;
        }
        self.minute = now;
    }

    /// Makes room for pairs that were not there before.
    fn admit(&mut self, growth: &BTreeMap<Pair, Growth>) {
        let begin = self.minute * MINUTE;
        for (pair, growth) in growth {
            if growth.passed == 0 || self.watched.contains_key(pair) {
                continue;
            }
            if self.watched.len() >= self.most {
                self.unwatched = self.unwatched.saturating_add(1);
                continue;
            }
            let watched = Watched {
                series: Series::new(begin, Metric::Calls, &self.common.cohort),
                until: begin,
                active: begin,
            };
            self.watched.insert(*pair, watched);
        }
    }

    fn step(
        &mut self,
        minute: i64,
        of: i64,
        growth: &BTreeMap<Pair, Growth>,
        hinted: &BTreeSet<IdentityId>,
        sightings: &mut Vec<Sighting>,
    ) {
        for (pair, watched) in &mut self.watched {
            let passed = growth.get(pair).map_or(0, |growth| growth.passed);
            let value = passed as f32 / of as f32;
            let reading = watched.series.update(
                &Grid::MINUTES,
                Step {
                    at: minute * MINUTE,
                    value,
                    hint: hinted.contains(&pair.identity),
                },
            );
            self.common.cohort.learn(value);
            watched.until = (minute + 1) * MINUTE;
            if passed > 0 {
                watched.active = minute * MINUTE;
            }
            if reading.score >= THRESHOLD {
                sightings.push(Sighting {
                    kind: Kind::UnusualVolume,
                    pair: *pair,
                    at: watched.until,
                    fact: Fact::Unusual {
                        score: reading.score,
                        finding: reading.finding,
                        calls: passed / of.unsigned_abs().max(1),
                    },
                });
            }
        }
    }

    fn without_statistics(
        &self,
        growth: &BTreeMap<Pair, Growth>,
        now: i64,
        ended: i64,
    ) -> Vec<Sighting> {
        let mut sightings = Vec::new();
        let end = now * MINUTE;
        let mut sight = |kind, pair: &Pair, fact| {
            sightings.push(Sighting {
                kind,
                pair: *pair,
                at: end,
                fact,
            });
        };
        let mut woken = BTreeSet::new();
        for (pair, growth) in growth {
            let refused = growth.refused / ended.unsigned_abs().max(1);
            if refused >= STORM {
                sight(Kind::RefusedStorm, pair, Fact::Calls(refused));
            }
            if growth.passed == 0 {
                continue;
            }
            let silent = self.silent(pair.identity, end);
            if let Some(silent) = silent.filter(|silent| *silent >= DORMANT)
                && woken.insert(pair.identity)
            {
                let calls = growth.passed;
                sight(Kind::DormantWoke, pair, Fact::Woke { calls, silent });
            }
            // What was there before the watch is new to the watch alone.
            if !self.watched.contains_key(pair) && end - self.common.since >= DAY {
                sight(Kind::FirstUse, pair, Fact::Calls(growth.passed));
            }
        }
        sightings
    }

    /// For how long an identity has called nothing; `None` if it never has.
    fn silent(&self, identity: IdentityId, at: i64) -> Option<i64> {
        let pair = |endpoint| Pair {
            identity,
            endpoint: EndpointId::from_raw(endpoint),
        };
        let of_identity = self.watched.range(pair(0)..=pair(u32::MAX));
        let last = of_identity.map(|(_, watched)| watched.active).max()?;
        Some(at - last)
    }

    fn forget(&mut self, at: i64) {
        self.watched
            .retain(|_, watched| at - watched.active < FORGOTTEN);
    }

    #[must_use]
    pub const fn common(&self) -> &Common {
        &self.common
    }

    /// Up to `most` pairs from `after` on, in order, to be kept.
    pub fn watched(
        &self,
        after: Option<Pair>,
        most: usize,
    ) -> impl Iterator<Item = (&Pair, &Watched)> {
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        self.watched
            .range((from, std::ops::Bound::Unbounded))
            .take(most)
    }

    /// Number of the minute that is being counted, since 1970.
    #[must_use]
    pub const fn minute(&self) -> i64 {
        self.minute
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.watched.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    #[must_use]
    pub fn has(&self, pair: &Pair) -> bool {
        self.watched.contains_key(pair)
    }

    /// How often a pair was seen that there was no room for.
    #[must_use]
    pub const fn unwatched(&self) -> u64 {
        self.unwatched
    }
}

#[cfg(test)]
mod tests;
