//! Counters: the accounting truth. Events only tell the story; these say how often.

use crate::{
    abi::layout,
    destination::EndpointId,
    identity::IdentityId,
    policy::RuleId,
    verdict::{Decision, Reason},
};

/// Key of `COUNTERS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterKey {
    pub identity: IdentityId,
    pub endpoint: EndpointId,
    /// Grant or deny rule that decided, or none.
    pub rule: RuleId,
    /// [`Reason`] as a number.
    pub reason: u32,
}

layout!(CounterKey, size = 16, align = 4);

impl CounterKey {
    /// The row that counts what no longer fits into the map. It always exists.
    pub const OVERFLOW: Self = Self {
        identity: IdentityId::UNKNOWN,
        endpoint: EndpointId::OVERFLOW,
        rule: RuleId::NONE,
        reason: 0,
    };

    #[inline(always)]
    #[must_use]
    pub const fn new(identity: IdentityId, decision: &Decision) -> Self {
        Self {
            identity,
            endpoint: decision.endpoint(),
            rule: decision.rule(),
            reason: decision.reason_raw() as u32,
        }
    }

    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        u8::try_from(self.reason).ok().and_then(Reason::from_raw)
    }
}

/// Counts of connections and their bytes. Every one only ever grows.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// `connect()` calls by verdict, TCP and UDP.
    pub connects_allowed: u64,
    pub connects_denied: u64,
    pub connects_would_deny: u64,
    /// Datagrams sent without `connect()`, by verdict.
    pub datagrams_allowed: u64,
    pub datagrams_denied: u64,
    pub datagrams_would_deny: u64,
    /// UDP sockets among `connects_allowed` and `connects_would_deny`: their bytes are not counted.
    pub udp_connects: u64,
    /// TCP connections whose bytes have been added.
    pub closed: u64,
    /// Payload bytes of closed TCP connections.
    pub bytes_out: u64,
    pub bytes_in: u64,
    /// TCP connections that were let through and whose calls are counted, from then on.
    pub metered: u64,
    /// Calls on them.
    pub calls: u64,
    /// How often more calls than one may have begun at once.
    pub overlaps: u64,
}

layout!(Counts, size = 104, align = 8);

impl Counts {
    /// How many counts there are.
    pub const LEN: usize = 13;

    /// Nothing has been counted.
    pub const ZERO: Self = Self::from_array([0; Self::LEN]);

    /// The counts in the order of the fields.
    #[must_use]
    pub const fn from_array(counts: [u64; Self::LEN]) -> Self {
        let [
            connects_allowed,
            connects_denied,
            connects_would_deny,
            datagrams_allowed,
            datagrams_denied,
            datagrams_would_deny,
            udp_connects,
            closed,
            bytes_out,
            bytes_in,
            metered,
            calls,
            overlaps,
        ] = counts;
        Self {
            connects_allowed,
            connects_denied,
            connects_would_deny,
            datagrams_allowed,
            datagrams_denied,
            datagrams_would_deny,
            udp_connects,
            closed,
            bytes_out,
            bytes_in,
            metered,
            calls,
            overlaps,
        }
    }

    /// The inverse of [`Counts::from_array`].
    #[must_use]
    pub const fn to_array(self) -> [u64; Self::LEN] {
        let Self {
            connects_allowed,
            connects_denied,
            connects_would_deny,
            datagrams_allowed,
            datagrams_denied,
            datagrams_would_deny,
            udp_connects,
            closed,
            bytes_out,
            bytes_in,
            metered,
            calls,
            overlaps,
        } = self;
        [
            connects_allowed,
            connects_denied,
            connects_would_deny,
            datagrams_allowed,
            datagrams_denied,
            datagrams_would_deny,
            udp_connects,
            closed,
            bytes_out,
            bytes_in,
            metered,
            calls,
            overlaps,
        ]
    }

    /// What has been added since `earlier`, a former reading of the same row.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        self.with(earlier, u64::wrapping_sub)
    }

    /// Both together.
    #[must_use]
    pub fn saturating_add(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    /// Whether some count is smaller than in `earlier`: then this is another row.
    #[must_use]
    pub fn is_behind(&self, earlier: &Self) -> bool {
        self.to_array()
            .into_iter()
            .zip(earlier.to_array())
            .any(|(now, then)| now < then)
    }

    /// Connections and datagrams that went through.
    #[must_use]
    pub const fn passed(&self) -> u64 {
        self.connects_allowed
            .saturating_add(self.connects_would_deny)
            .saturating_add(self.datagrams_allowed)
            .saturating_add(self.datagrams_would_deny)
    }

    /// Connections and datagrams together, whatever their verdict.
    #[must_use]
    pub const fn attempts(&self) -> u64 {
        self.connects_allowed
            .saturating_add(self.connects_denied)
            .saturating_add(self.connects_would_deny)
            .saturating_add(self.datagrams_allowed)
            .saturating_add(self.datagrams_denied)
            .saturating_add(self.datagrams_would_deny)
    }

    /// Whether nothing has been counted.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    fn with(&self, other: &Self, combine: fn(u64, u64) -> u64) -> Self {
        let mut counts = self.to_array();
        for (count, other) in counts.iter_mut().zip(other.to_array()) {
            *count = combine(*count, other);
        }
        Self::from_array(counts)
    }
}

/// Value of `COUNTERS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub counts: Counts,
    /// Boot clock, first and last time that something was counted.
    pub first_ns: u64,
    pub last_ns: u64,
}

layout!(Counters, size = 120, align = 8);

impl Counters {
    /// A row in which nothing has been counted.
    pub const ZERO: Self = Self {
        counts: Counts::ZERO,
        first_ns: 0,
        last_ns: 0,
    };

    /// What has been added since `earlier`, former counts of the same row. The instants stay.
    #[must_use]
    pub fn since(&self, earlier: &Counts) -> Self {
        Self {
            counts: self.counts.since(earlier),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_keeps_the_instants_and_subtracts_the_counts() {
        let earlier = Counters {
            counts: Counts {
                connects_allowed: 3,
                bytes_in: 10,
                ..Counts::ZERO
            },
            first_ns: 1,
            last_ns: 5,
        };
        let later = Counters {
            counts: Counts {
                connects_allowed: 4,
                bytes_in: 15,
                ..earlier.counts
            },
            last_ns: 9,
            ..earlier
        };
        let delta = later.since(&earlier.counts);
        assert_eq!(
            (delta.counts.connects_allowed, delta.counts.bytes_in),
            (1, 5)
        );
        assert_eq!((delta.first_ns, delta.last_ns), (1, 9));
        assert!(later.since(&later.counts).counts.is_zero());
        assert!(!delta.counts.is_zero());
    }

    #[test]
    fn an_array_holds_the_counts_in_the_order_of_the_fields() {
        let array = std::array::from_fn(|index| index as u64 + 1);
        let counts = Counts::from_array(array);
        assert_eq!((counts.connects_allowed, counts.overlaps), (1, 13));
        assert_eq!(counts.to_array(), array);
    }
}
