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

/// Value of `COUNTERS`. Every field but the two instants only ever grows.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
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
    pub first_ns: u64,
    pub last_ns: u64,
}

layout!(Counters, size = 96, align = 8);

impl Counters {
    /// A row in which nothing has been counted.
    pub const ZERO: Self = Self {
        connects_allowed: 0,
        connects_denied: 0,
        connects_would_deny: 0,
        datagrams_allowed: 0,
        datagrams_denied: 0,
        datagrams_would_deny: 0,
        udp_connects: 0,
        closed: 0,
        bytes_out: 0,
        bytes_in: 0,
        first_ns: 0,
        last_ns: 0,
    };

    /// What has been added since `earlier`, a former reading of the same row.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            connects_allowed: self.connects_allowed.wrapping_sub(earlier.connects_allowed),
            connects_denied: self.connects_denied.wrapping_sub(earlier.connects_denied),
            connects_would_deny: self
                .connects_would_deny
                .wrapping_sub(earlier.connects_would_deny),
            datagrams_allowed: self
                .datagrams_allowed
                .wrapping_sub(earlier.datagrams_allowed),
            datagrams_denied: self.datagrams_denied.wrapping_sub(earlier.datagrams_denied),
            datagrams_would_deny: self
                .datagrams_would_deny
                .wrapping_sub(earlier.datagrams_would_deny),
            udp_connects: self.udp_connects.wrapping_sub(earlier.udp_connects),
            closed: self.closed.wrapping_sub(earlier.closed),
            bytes_out: self.bytes_out.wrapping_sub(earlier.bytes_out),
            bytes_in: self.bytes_in.wrapping_sub(earlier.bytes_in),
            first_ns: self.first_ns,
            last_ns: self.last_ns,
        }
    }

    /// Whether some count is smaller than in `earlier`: then this is another row.
    #[must_use]
    pub fn is_behind(&self, earlier: &Self) -> bool {
        self.counts()
            .into_iter()
            .zip(earlier.counts())
            .any(|(now, then)| now < then)
    }

    /// Whether nothing has been counted.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.counts().into_iter().all(|count| count == 0)
    }

    /// Everything that only grows.
    fn counts(&self) -> [u64; 10] {
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
            first_ns: _,
            last_ns: _,
        } = *self;
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
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_keeps_the_instants_and_subtracts_the_counts() {
        let earlier = Counters {
            connects_allowed: 3,
            bytes_in: 10,
            first_ns: 1,
            last_ns: 5,
            ..Counters::default()
        };
        let later = Counters {
            connects_allowed: 4,
            bytes_in: 15,
            last_ns: 9,
            ..earlier
        };
        let delta = later.since(&earlier);
        assert_eq!((delta.connects_allowed, delta.bytes_in), (1, 5));
        assert_eq!((delta.first_ns, delta.last_ns), (1, 9));
        assert!(later.since(&later).is_zero());
        assert!(!delta.is_zero());
    }
}
