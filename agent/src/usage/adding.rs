//! Counts with the same key become one. Pure.

use std::collections::BTreeMap;

use agent_common::counter::Counts;
use jiff::Timestamp;

/// What was counted, and between which instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    pub counts: Counts,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
}

impl Total {
    pub(super) fn absorb(&mut self, other: &Self) {
        let Self {
            counts,
            first_seen,
            last_seen,
        } = other;
        self.counts = self.counts.saturating_add(counts);
        self.first_seen = self.first_seen.min(*first_seen);
        self.last_seen = self.last_seen.max(*last_seen);
    }
}

/// Totals by key, so far.
#[derive(Debug)]
pub struct Sums<K> {
    totals: BTreeMap<K, Total>,
}

impl<K: Ord> Sums<K> {
    #[must_use]
    pub const fn new() -> Self {
        Self {
            totals: BTreeMap::new(),
        }
    }

    pub fn add(&mut self, key: K, total: Total) {
        self.totals
            .entry(key)
            .and_modify(|sum| sum.absorb(&total))
            .or_insert(total);
    }
}

impl<K: Ord> Default for Sums<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> IntoIterator for Sums<K> {
    type Item = (K, Total);
    type IntoIter = std::collections::btree_map::IntoIter<K, Total>;

    fn into_iter(self) -> Self::IntoIter {
        self.totals.into_iter()
    }
}

/// Rows by the first minute of their interval; all below `None` if there are no intervals.
pub type ByInterval<R> = BTreeMap<Option<i64>, Vec<R>>;
