//! Decisions about endpoints by the live revision.
//!
//! Functions marked `extern "C"` are global: the verifier checks each once by itself, with nothing
//! known about arguments and results. Inlined, the possible outcomes multiply beyond what it
//! accepts.

use agent_common::{
    address::Address,
    destination::{ANY_PORT, Destination, EndpointId},
    identity::IdentityId,
    learned::{Learned, LearnedKey, MAX_PER_ADDRESS},
    policy::{Posture, RuleEntry},
    settings::Slot,
    verdict::{self, Decision, Judge, decide, decide_endpoint},
};

use crate::maps;

/// Bits of a packed decision that it does not use itself: which endpoint decided, whether there
/// are several, whether other services answer there.
pub const INDEX_SHIFT: u32 = 40;
pub const SEVERAL: u64 = 1 << 43;
pub const OTHERS: u64 = 1 << 44;
pub const ALONE: u64 = 1 << 45;
pub const DECISION: u64 = !(0x3f << INDEX_SHIFT);

/// Decides about the four endpoints in two words; which of them decided comes back in the
/// unused bits.
///
/// This and its neighbours are global functions, which the verifier checks once by themselves,
/// with nothing known about arguments and results. Inlined, the possible outcomes multiply beyond
/// what it accepts.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn decide_set(
    first: u64,
    second: u64,
    identity: u32,
    slot: u32,
    now_ns: u64,
) -> u64 {
    let endpoints =
        [first, first >> 32, second, second >> 32].map(|word| EndpointId::from_raw(word as u32));
    let judge = LivePolicy { slot };
    let identity = IdentityId::from_raw(identity);
    let destination = Destination {
        endpoints,
        flags: 0,
    };
    let decision = decide(&judge, identity, &destination, now_ns);
    let decider = decision.endpoint();
    let index = if decider == endpoints[0] {
        0
    } else if decider == endpoints[1] {
        1
    } else if decider == endpoints[2] {
        2
    } else {
        3
    };
    decision.packed() | index << INDEX_SHIFT
}

/// Decides about all endpoints that the DNS has told for an address. `at` is port and slot, `who`
/// the identity and an endpoint that is known already.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn decide_learned(high: u64, low: u64, at: u64, who: u64, now_ns: u64) -> u64 {
    let port = at as u16;
    let slot = (at >> 16) as u32 & 1;
    let mut first = (who >> 32) as u32;
    let mut key = LearnedKey {
        address: Address::from_halves(high, low),
        index: 0,
    };
    let mut strictest = 0_u64;
    let mut marks = 0_u64;
    while key.index < MAX_PER_ADDRESS {
        let Some(known) = maps::learned(&key) else {
            break;
        };
        if known.expires_ns >= now_ns && (known.port == ANY_PORT || known.port == port) {
            let endpoint = known.endpoint.to_raw();
            if first == 0 {
                first = endpoint;
            }
            if endpoint != first {
                marks |= SEVERAL;
            }
            if known.flags & (Learned::SHARED | Learned::OVERFLOW) != 0 {
                marks |= OTHERS;
            }
            if known.flags & Learned::EXCLUSIVE != 0 {
                marks |= ALONE;
            }
            let packed = decide_one(who as u32, endpoint, slot, now_ns);
            let decision = Decision::from_packed(packed, EndpointId::ANY);
            let former = Decision::from_packed(strictest & DECISION, EndpointId::ANY);
            if strictest == 0 || former.or_stricter(decision).packed() != former.packed() {
                strictest = (packed & DECISION) | u64::from(key.index) << INDEX_SHIFT;
            }
        }
        key.index += 1;
    }
    strictest | marks
}

struct LivePolicy {
    slot: u32,
}

impl Judge for LivePolicy {
    #[inline(always)]
    fn endpoint(&self, identity: IdentityId, endpoint: EndpointId, now_ns: u64) -> Decision {
        let packed = decide_one(identity.to_raw(), endpoint.to_raw(), self.slot, now_ns);
        Decision::from_packed(packed, endpoint)
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn decide_one(identity: u32, endpoint: u32, slot: u32, now_ns: u64) -> u64 {
    let rules = maps::Rules {
        slot: Slot::from_raw(slot),
    };
    let identity = IdentityId::from_raw(identity);
    decide_endpoint(&rules, identity, EndpointId::from_raw(endpoint), now_ns).packed()
}

/// See [`verdict::holds_until`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn holds_until(identity: u32, endpoint: u32, slot: u32, now_ns: u64) -> u64 {
    let rules = maps::Rules {
        slot: Slot::from_raw(slot),
    };
    let identity = IdentityId::from_raw(identity);
    verdict::holds_until(&rules, identity, EndpointId::from_raw(endpoint), now_ns)
}

/// What happens to `identity` where no endpoint is known: the posture and flags of its entry.
#[inline(always)]
pub fn unnamed(identity: IdentityId, slot: Slot) -> Unnamed {
    Unnamed(posture_of_unnamed(identity.to_raw(), slot as u32))
}

/// The same, but let through if it was refused for what lies in the connection and the posture of
/// `identity` is in shadow mode there.
#[inline(always)]
pub fn in_shadow(decision: Decision, identity: IdentityId, slot: Slot) -> Decision {
    if decision.is_entitled() {
        return decision;
    }
    RuleEntry::in_shadow(unnamed(identity, slot).0, decision)
}

#[derive(Clone, Copy)]
pub struct Unnamed(u32);

impl Unnamed {
    /// Names matter to an identity that can be refused anything.
    #[inline(always)]
    pub fn matters(self) -> bool {
        matches!(Posture::from_raw(self.0 & 0xff), Posture::Deny)
    }

    /// Those of [`RuleEntry::SHADOWS`].
    #[inline(always)]
    pub fn shadows(self) -> u32 {
        self.0 & RuleEntry::SHADOWS
    }

    /// As [`RuleEntry::in_shadow`].
    #[inline(always)]
    pub fn in_shadow(self, decision: Decision) -> Decision {
        RuleEntry::in_shadow(self.0, decision)
    }

    /// `flag` is one of [`RuleEntry`].
    #[inline(always)]
    pub fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }
}

/// A global function: see [`decide_set`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn posture_of_unnamed(identity: u32, slot: u32) -> u32 {
    let (identity, slot) = (IdentityId::from_raw(identity), Slot::from_raw(slot));
    if let Some(own) = maps::rule(identity, EndpointId::UNNAMED, slot) {
        return own.posture;
    }
    match maps::rule(IdentityId::UNKNOWN, EndpointId::UNNAMED, slot) {
        Some(entry) => entry.posture,
        None => Posture::Allow as u32,
    }
}

const _: () = assert!(MAX_PER_ADDRESS == 8, "an index has three bits");
