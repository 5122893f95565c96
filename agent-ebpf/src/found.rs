//! What is known about an address and a port, and what policy says about it.

use core::hint::black_box;

use agent_common::{
    destination::{ANY_PORT, AddressKey, Destination, EndpointId, PrefixKey},
    identity::IdentityId,
    learned::{Learned, LearnedKey, MAX_PER_ADDRESS},
    policy::RuleEntry,
    settings::{ActivePolicy, Slot},
    verdict::{Decision, Judge, decide, decide_endpoint},
};

use crate::{context::Target, maps};

/// What the address and the port lead to: by address, by network, by what the DNS told.
pub struct Found {
    slot: Slot,
    /// By address for this port and for every port, by network for this port and for every port.
    destinations: [Option<&'static Destination>; 4],
    has_learned: bool,
    target: Target,
}

/// What policy says about everything that was found.
pub struct Judgement {
    /// The strictest decision about any endpoint that the address may stand for.
    pub decision: Decision,
    /// The address alone does not tell which service is meant.
    pub is_ambiguous: bool,
    /// Services that nobody governs answer there, too.
    pub is_shared: bool,
    /// A network decides, whatever the name.
    pub network_refuses: bool,
}

impl Found {
    /// `None` when nothing is known about the target: by far the most frequent case.
    #[inline(always)]
    pub fn at(active: ActivePolicy, target: &Target) -> Option<Self> {
        let Target { address, port } = *target;
        let slot = active.slot;
        let by_address = maps::destination_of_address(&AddressKey::new(address, port, slot));
        let mut found = [by_address, None, None, None];
        if active.has_any_port {
            found[1] = maps::destination_of_address(&AddressKey::new(address, ANY_PORT, slot));
        }
        if active.has_prefixes {
            found[2] = maps::destination_of_prefix(PrefixKey::new(address, port, slot));
            if active.has_any_port {
                found[3] = maps::destination_of_prefix(PrefixKey::new(address, ANY_PORT, slot));
            }
        }
        let has_learned =
            maps::inspects() && maps::learned(&LearnedKey { address, index: 0 }).is_some();
        // One by one: the verifier refuses what the compiler would make of it, an OR of pointers.
        let mut is_anything = u32::from(has_learned);
        for destination in &found {
            is_anything = black_box(is_anything) | u32::from(destination.is_some());
        }
        if black_box(is_anything) == 0 {
            return None;
        }
        Some(Self {
            slot,
            destinations: found,
            has_learned,
            target: Target { address, port },
        })
    }

    #[inline(always)]
    pub fn judge(&self, identity: IdentityId, now_ns: u64) -> Judgement {
        let mut named = Decision::UNGOVERNED;
        let mut network_decision = Decision::UNGOVERNED;
        let mut first = EndpointId::ANY;
        let mut is_ambiguous = false;
        let mut is_shared = false;
        let mut is_exclusive = false;
        let [address, any_port, network, any_port_network] = self.destinations;
        // Written out: older kernels refuse the loop that the compiler makes of an iterator.
        if let Some(destination) = address {
            named = self.decide(destination, identity, now_ns);
            first = destination.endpoints[0];
            is_ambiguous = destination.endpoints[1] != EndpointId::ANY;
            is_shared = destination.flags & Destination::SHARED != 0;
            is_exclusive = destination.flags & Destination::EXCLUSIVE != 0;
            if destination.flags & Destination::BY_ADDRESS != 0 {
                network_decision = named;
            }
        }
        if let Some(destination) = any_port {
            let decision = self.decide(destination, identity, now_ns);
            named = named.or_stricter(decision);
            if destination.flags & Destination::BY_ADDRESS != 0 {
                network_decision = network_decision.or_stricter(decision);
            }
            is_ambiguous |= destination.endpoints[1] != EndpointId::ANY;
            is_ambiguous |= first != EndpointId::ANY && destination.endpoints[0] != first;
            is_shared |= destination.flags & Destination::SHARED != 0;
            is_exclusive |= destination.flags & Destination::EXCLUSIVE != 0;
            first = destination.endpoints[0];
        }
        if self.has_learned {
            let answer = self.learned(identity, first, now_ns);
            is_ambiguous |= answer & SEVERAL != 0;
            is_shared |= answer & OTHERS != 0;
            is_exclusive |= answer & ALONE != 0;
            let key = LearnedKey {
                address: self.target.address,
                index: (answer >> INDEX_SHIFT) as u32 & (MAX_PER_ADDRESS - 1),
            };
            if let Some(known) = maps::learned(&key) {
                named = named.or_stricter(Decision::from_packed(answer & DECISION, known.endpoint));
            }
        }
        if named.is_governed() && !is_shared && !is_exclusive {
            is_shared = maps::is_ordinary(&self.target.address, now_ns);
        }
        if let Some(destination) = network {
            let decision = self.decide(destination, identity, now_ns);
            network_decision = network_decision.or_stricter(decision);
        }
        if let Some(destination) = any_port_network {
            let decision = self.decide(destination, identity, now_ns);
            network_decision = network_decision.or_stricter(decision);
        }
        Judgement {
            decision: named.or_stricter(network_decision),
            is_ambiguous: named.is_governed() && (is_ambiguous || is_shared),
            is_shared,
            network_refuses: !network_decision.is_entitled(),
        }
    }

    #[inline(always)]
    fn decide(&self, destination: &Destination, identity: IdentityId, now_ns: u64) -> Decision {
        decide_destination(destination, identity, self.slot, now_ns)
    }

    #[inline(always)]
    fn learned(&self, identity: IdentityId, first: EndpointId, now_ns: u64) -> u64 {
        let [a, b, c, d] = self.target.address.words().map(u64::from);
        let who = u64::from(identity.to_raw()) | u64::from(first.to_raw()) << 32;
        let at = u64::from(self.target.port) | (self.slot as u64) << 16;
        decide_learned(a | b << 32, c | d << 32, at, who, now_ns)
    }
}

#[inline(always)]
fn decide_destination(
    destination: &Destination,
    identity: IdentityId,
    slot: Slot,
    now_ns: u64,
) -> Decision {
    // Nearly every address has one endpoint. A network has none where it only keeps a shorter one
    // from reaching further: a hole.
    if destination.endpoints[1] == EndpointId::ANY {
        let endpoint = destination.endpoints[0];
        if endpoint == EndpointId::ANY {
            return Decision::UNGOVERNED;
        }
        return LivePolicy { slot: slot as u32 }.endpoint(identity, endpoint, now_ns);
    }
    let [a, b, c, d] = destination.endpoints.map(EndpointId::to_raw).map(u64::from);
    let identity = identity.to_raw();
    let answer = decide_set(a | b << 32, c | d << 32, identity, slot as u32, now_ns);
    let endpoint = match (answer >> INDEX_SHIFT) & 3 {
        0 => destination.endpoints[0],
        1 => destination.endpoints[1],
        2 => destination.endpoints[2],
        _ => destination.endpoints[3],
    };
    Decision::from_packed(answer & DECISION, endpoint)
}

/// Bits of a packed decision that it does not use itself: which endpoint decided, whether there
/// are several, whether other services answer there.
const INDEX_SHIFT: u32 = 40;
const SEVERAL: u64 = 1 << 43;
const OTHERS: u64 = 1 << 44;
const ALONE: u64 = 1 << 45;
const DECISION: u64 = !(0x3f << INDEX_SHIFT);

/// Decides about the four endpoints in two words; which of them decided comes back in the
/// unused bits.
///
/// This and its neighbours are global functions, which the verifier checks once by themselves,
/// with nothing known about arguments and results. Inlined, the possible outcomes multiply beyond
/// what it accepts.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn decide_set(first: u64, second: u64, identity: u32, slot: u32, now_ns: u64) -> u64 {
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
extern "C" fn decide_learned(high: u64, low: u64, at: u64, who: u64, now_ns: u64) -> u64 {
    let port = at as u16;
    let slot = (at >> 16) as u32 & 1;
    let mut first = (who >> 32) as u32;
    let words = [high, high >> 32, low, low >> 32].map(|word| word as u32);
    let mut key = LearnedKey {
        address: agent_common::address::Address::from_words(words),
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

/// What happens to `identity` where no endpoint is known.
#[inline(always)]
pub fn unnamed(identity: IdentityId, slot: Slot) -> Option<&'static RuleEntry> {
    let own = maps::rule(identity, EndpointId::UNNAMED, slot);
    own.or_else(|| maps::rule(IdentityId::UNKNOWN, EndpointId::UNNAMED, slot))
}

const _: () = assert!(MAX_PER_ADDRESS == 8, "an index has three bits");
