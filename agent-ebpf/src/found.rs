//! What is known about an address and a port, and what policy says about it.

use core::hint::black_box;

use agent_common::{
    address::Address,
    destination::{ANY_PORT, AddressKey, Destination, EndpointId, PrefixKey},
    identity::IdentityId,
    learned::{Learned, LearnedKey, MAX_PER_ADDRESS},
    policy::{RuleEntry, RuleId},
    presence,
    settings::{ActivePolicy, Slot},
    verdict::{Decision, Reason},
};

use crate::{
    caller::Caller,
    context::Target,
    decide::{
        ALONE, DECISION, INDEX_SHIFT, OTHERS, SEVERAL, decide_learned, decide_one, decide_set,
        in_shadow, unnamed,
    },
    maps,
};

/// Which tables may say something about a target.
#[derive(Clone, Copy)]
pub struct Known(u32);

impl Known {
    /// An address, at its port, at every port.
    const ADDRESS: u32 = 1;
    const ADDRESS_ANY_PORT: u32 = 2;
    const LEARNED: u32 = 4;
    const NETWORK: u32 = 8;
    const NETWORK_ANY_PORT: u32 = 16;
    /// An ordinary name.
    const ORDINARY: u32 = 32;

    #[inline(always)]
    pub fn about(active: ActivePolicy, target: &Target) -> Self {
        let Target { address, port } = *target;
        let mut known = 0;
        if maps::may_be_present(presence::of_address(address, port)) {
            known |= Self::ADDRESS;
        }
        if active.has_any_port && maps::may_be_present(presence::of_address(address, ANY_PORT)) {
            known |= Self::ADDRESS_ANY_PORT;
        }
        if maps::inspects() && maps::may_be_present(presence::of_learned(address)) {
            known |= Self::LEARNED;
        }
        if known != 0 && maps::may_be_present(presence::of_ordinary(address)) {
            known |= Self::ORDINARY;
        }
        if active.has_prefixes {
            let (high, low) = address.halves();
            let slot = active.slot as u32;
            if by_network(high, low, port.into(), slot).is_some() {
                known |= Self::NETWORK;
            }
            if active.has_any_port && by_network(high, low, ANY_PORT.into(), slot).is_some() {
                known |= Self::NETWORK_ANY_PORT;
            }
        }
        Self(known)
    }

    /// By far the most frequent case.
    #[inline(always)]
    pub fn is_nothing(self) -> bool {
        self.0 == 0
    }
}

/// What policy says about everything that is known about a target.
pub struct Judgement {
    /// The strictest decision about any endpoint that the address may stand for.
    pub decision: Decision,
    marks: u32,
}

impl Judgement {
    const AMBIGUOUS: u32 = 1;
    const SHARED: u32 = 2;
    const NETWORK_REFUSES: u32 = 4;

    #[inline(always)]
    pub fn of(
        target: &Target,
        known: Known,
        slot: Slot,
        identity: IdentityId,
        now_ns: u64,
    ) -> Self {
        let (high, low) = target.address.halves();
        let at = u64::from(target.port) | (slot as u64) << 16 | u64::from(known.0) << KNOWN_SHIFT;
        let word = judge(high, low, at, identity.to_raw(), now_ns);
        Self {
            decision: Decision::from_word(word),
            marks: (word >> Decision::WORD_MARKS) as u32 & ((1 << Decision::MARK_BITS) - 1),
        }
    }

    /// As [`Judgement::of`]; where another workload made the socket, both have to be entitled.
    #[inline(always)]
    pub fn of_caller(
        target: &Target,
        known: Known,
        slot: Slot,
        caller: &Caller,
        now_ns: u64,
    ) -> Self {
        let mut own = Self::of(target, known, slot, caller.identity, now_ns);
        if !caller.is_foreign() {
            return own;
        }
        let maker = Self::of(target, known, slot, caller.maker, now_ns);
        own.marks |= maker.marks;
        let is_governed = own.decision.is_governed() || maker.decision.is_governed();
        let is_refused = !maker.decision.is_entitled()
            || is_governed && unnamed(caller.identity, slot).has(RuleEntry::REFUSE_FOREIGN);
        if own.decision.is_entitled() && is_refused {
            let endpoint = match maker.decision.endpoint() {
                EndpointId::ANY => own.decision.endpoint(),
                endpoint => endpoint,
            };
            let refused = Decision::new(Reason::ForeignSocket, RuleId::NONE, endpoint);
            own.decision = in_shadow(refused, caller.identity, slot);
        }
        own
    }

    /// The address alone does not tell which service is meant.
    #[inline(always)]
    pub fn is_ambiguous(&self) -> bool {
        self.marks & Self::AMBIGUOUS != 0
    }

    /// Services that nobody governs answer there, too.
    #[inline(always)]
    pub fn is_shared(&self) -> bool {
        self.marks & Self::SHARED != 0
    }

    /// A network decides, whatever the name.
    #[inline(always)]
    pub fn network_refuses(&self) -> bool {
        self.marks & Self::NETWORK_REFUSES != 0
    }
}

/// Where [`Known`] begins in a word that starts with port and slot.
const KNOWN_SHIFT: u32 = 17;

/// A [`Judgement`] in one word. `at` is port, slot and [`Known`]. Whoever calls has found out already that
/// something is known; looking it up again is cheaper than what the verifier makes of handing it
/// over. A global function: see `decide`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn judge(high: u64, low: u64, at: u64, identity: u32, now_ns: u64) -> u64 {
    let port = at as u16;
    let who = Who {
        now_ns,
        identity: IdentityId::from_raw(identity),
        slot: (at >> 16) as u32 & 1,
    };
    let mut weighed = Weighed {
        named: Decision::UNGOVERNED,
        by_network: Decision::UNGOVERNED,
        first: EndpointId::ANY,
        marks: 0,
    };
    let known = (at >> KNOWN_SHIFT) as u32;
    if known & Known::ADDRESS != 0
        && let Some(destination) = by_address(high, low, port.into(), who.slot)
    {
        weigh(&mut weighed, destination, &who);
    }
    if known & Known::ADDRESS_ANY_PORT != 0
        && let Some(destination) = by_address(high, low, ANY_PORT.into(), who.slot)
    {
        weigh(&mut weighed, destination, &who);
    }
    if known & Known::LEARNED != 0 {
        weigh_learned(&mut weighed, high, low, at, &who);
    }
    let is_told = weighed.marks & (OTHERS_ANSWER | NOBODY_ELSE) != 0;
    let may_be_ordinary = known & Known::ORDINARY != 0 && !is_told;
    if may_be_ordinary && weighed.named.is_governed() && is_ordinary(high, low, now_ns) != 0 {
        weighed.marks |= OTHERS_ANSWER;
    }
    if known & Known::NETWORK != 0
        && let Some(destination) = by_network(high, low, port.into(), who.slot)
    {
        weigh_network(&mut weighed, destination, &who);
    }
    if known & Known::NETWORK_ANY_PORT != 0
        && let Some(destination) = by_network(high, low, ANY_PORT.into(), who.slot)
    {
        weigh_network(&mut weighed, destination, &who);
    }
    let mut marks = 0;
    if weighed.marks & OTHERS_ANSWER != 0 {
        marks |= Judgement::SHARED;
    }
    if weighed.named.is_governed() && weighed.marks & (OTHERS_ANSWER | SEVERAL_MEANT) != 0 {
        marks |= Judgement::AMBIGUOUS;
    }
    if !weighed.by_network.is_entitled() {
        marks |= Judgement::NETWORK_REFUSES;
    }
    let decision = weighed.named.or_stricter(weighed.by_network);
    decision.to_word() | u64::from(marks) << Decision::WORD_MARKS
}

/// Who is judged, by which revision, and when.
struct Who {
    now_ns: u64,
    identity: IdentityId,
    /// [`Slot`] as a number.
    slot: u32,
}

/// What has been found so far.
struct Weighed {
    /// The strictest decision about a service that may be meant.
    named: Decision,
    /// The strictest decision that holds whatever the name.
    by_network: Decision,
    first: EndpointId,
    /// The marks below.
    marks: u32,
}

/// Several endpoints may be meant.
const SEVERAL_MEANT: u32 = 8;
/// Services that nobody governs answer there, too.
const OTHERS_ANSWER: u32 = Destination::SHARED;
/// No other service answers there.
const NOBODY_ELSE: u32 = Destination::EXCLUSIVE;

#[inline(always)]
fn weigh(weighed: &mut Weighed, destination: &Destination, who: &Who) {
    let decision = decide_destination(destination, who);
    weighed.named = weighed.named.or_stricter(decision);
    if destination.flags & Destination::BY_ADDRESS != 0 {
        weighed.by_network = weighed.by_network.or_stricter(decision);
    }
    let [first, second, ..] = destination.endpoints;
    if second != EndpointId::ANY || weighed.first != EndpointId::ANY && weighed.first != first {
        weighed.marks |= SEVERAL_MEANT;
    }
    weighed.marks |= destination.flags & (OTHERS_ANSWER | NOBODY_ELSE);
    weighed.first = first;
}

#[inline(always)]
fn weigh_network(weighed: &mut Weighed, destination: &Destination, who: &Who) {
    let decision = decide_destination(destination, who);
    weighed.by_network = weighed.by_network.or_stricter(decision);
}

#[inline(always)]
fn weigh_learned(weighed: &mut Weighed, high: u64, low: u64, at: u64, who: &Who) {
    let whom = u64::from(who.identity.to_raw()) | u64::from(weighed.first.to_raw()) << 32;
    let answer = decide_learned(high, low, at, whom, who.now_ns);
    let index = (answer >> INDEX_SHIFT) as u32 & (MAX_PER_ADDRESS - 1);
    if answer == 0 {
        return;
    }
    if let Some(known) = learned_at(high, low, index) {
        let decision = Decision::from_packed(answer & DECISION, known.endpoint);
        weighed.named = weighed.named.or_stricter(decision);
    }
    if answer & SEVERAL != 0 {
        weighed.marks |= SEVERAL_MEANT;
    }
    if answer & OTHERS != 0 {
        weighed.marks |= OTHERS_ANSWER;
    }
    if answer & ALONE != 0 {
        weighed.marks |= NOBODY_ELSE;
    }
}

#[inline(always)]
fn decide_destination(destination: &Destination, who: &Who) -> Decision {
    let [first, second, third, fourth] = destination.endpoints;
    let pair = |a: EndpointId, b: EndpointId| u64::from(a.to_raw()) | u64::from(b.to_raw()) << 32;
    let (high, low) = (pair(first, second), pair(third, fourth));
    if second == EndpointId::ANY && first != EndpointId::ANY {
        // Nearly every address.
        let packed = decide_one(who.identity.to_raw(), first.to_raw(), who.slot, who.now_ns);
        return Decision::from_packed(packed, first);
    }
    let answer = decide_set(high, low, who.identity.to_raw(), who.slot, who.now_ns);
    // By offset: the verifier would follow each of four branches.
    let index = black_box((answer >> INDEX_SHIFT) as usize) & 3;
    Decision::from_packed(answer & DECISION, destination.endpoints[index])
}

// Look-ups. Not inlined: their keys would stay on the stack of the caller, who has little of it.

#[inline(never)]
fn by_address(high: u64, low: u64, port: u32, slot: u32) -> Option<&'static Destination> {
    let address = Address::from_halves(high, low);
    maps::destination_of_address(&AddressKey::new(address, port as u16, Slot::from_raw(slot)))
}

#[inline(never)]
fn by_network(high: u64, low: u64, port: u32, slot: u32) -> Option<&'static Destination> {
    let address = Address::from_halves(high, low);
    maps::destination_of_prefix(PrefixKey::new(address, port as u16, Slot::from_raw(slot)))
}

#[inline(never)]
fn learned_at(high: u64, low: u64, index: u32) -> Option<&'static Learned> {
    let address = Address::from_halves(high, low);
    maps::learned(&LearnedKey { address, index })
}

#[inline(never)]
fn is_ordinary(high: u64, low: u64, now_ns: u64) -> u32 {
    maps::is_ordinary(&Address::from_halves(high, low), now_ns).into()
}
