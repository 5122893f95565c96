//! How much each identity may do on a grant.

use agent_common::limit::Limit;
use jiff::SignedDuration;

use crate::usage::{cost::Dollars, period::Period};

/// Connections and bytes the kernel counts by itself and therefore refuses exactly. Calls and cost the
/// agent reckons: their limits act on the next connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub connections: Option<ConnectionLimit>,
    /// Octets of payload of a day (UTC) in both directions.
    pub bytes_per_day: Option<u64>,
    pub calls: Option<Budget<u64>>,
    /// Of what is estimated.
    pub cost: Option<Budget<Dollars>>,
}

/// How much of something there may be in each hour, or on each day, of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget<T> {
    pub most: T,
    /// [`Period::Hour`] or [`Period::Day`].
    pub per: Period,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimit {
    pub count: u64,
    /// Windows of this length follow each other from midnight UTC on.
    pub per: SignedDuration,
}

impl Limits {
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.connections.is_none() && self.bytes_per_day.is_none() && !self.has_budget()
    }

    /// Whether the agent has to reckon what is used.
    #[must_use]
    pub const fn has_budget(&self) -> bool {
        self.calls.is_some() || self.cost.is_some()
    }

    /// As the kernel counts them; `unix_ns` turns the boot clock into Unix time.
    #[must_use]
    pub fn compile(&self, unix_ns: u64) -> Limit {
        let window = self.connections.map(|limit| limit.per.as_nanos());
        Limit {
            connections: self.connections.map_or(Limit::NONE, |limit| limit.count),
            window_ns: window.map_or(0, |ns| u64::try_from(ns).unwrap_or(u64::MAX)),
            bytes: self.bytes_per_day.unwrap_or(Limit::NONE),
            unix_ns,
        }
    }
}
