//! Rows with the same key become one. Pure.

use std::collections::BTreeMap;

use super::{ProcessRow, UsageRow};

/// What can be added to another row of the same key.
pub trait Row {
    fn absorb(&mut self, other: &Self);
}

impl Row for UsageRow {
    fn absorb(&mut self, other: &Self) {
        self.counts = self.counts.saturating_add(&other.counts);
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
    }
}

impl Row for ProcessRow {
    fn absorb(&mut self, other: &Self) {
        self.counts = self.counts.saturating_add(&other.counts);
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
    }
}

/// Sums so far.
pub struct Sums<K, R> {
    rows: BTreeMap<K, R>,
}

impl<K: Ord, R: Row> Sums<K, R> {
    #[must_use]
    pub const fn new() -> Self {
        Self {
            rows: BTreeMap::new(),
        }
    }

    pub fn add(&mut self, key: K, row: R) {
        self.rows
            .entry(key)
            .and_modify(|sum| sum.absorb(&row))
            .or_insert(row);
    }

    #[must_use]
    pub fn into_rows(self) -> Vec<R> {
        self.rows.into_values().collect()
    }
}

impl<K: Ord, R: Row> Default for Sums<K, R> {
    fn default() -> Self {
        Self::new()
    }
}
