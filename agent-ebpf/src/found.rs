//! What is known about an address and a port, and what policy says about it.

use core::{hint::black_box, mem::MaybeUninit};

use agent_common::{
    address::Address,
    destination::{ANY_PORT, AddressKey, Destination, EndpointId, PrefixKey},
    identity::IdentityId,
    learned::{Learned, LearnedKey, MAX_PER_ADDRESS},
    policy::{Posture, RuleEntry, RuleId},
    settings::{ActivePolicy, Slot},
    verdict::{Decision, Judge, Reason, decide, decide_endpoint},
};

use crate::{caller::Caller, context::Target, kernel, maps};

/// What the address and the port lead to: by address, by network, by what the DNS told.
pub struct Found {
    slot: Slot,
    /// By address for this port and for every port, by network for this port and for every port.
    destinations: [Option<&'static Destination>; 4],
    has_learned: bool,
}

/// What policy says about everything that was found.
pub struct Judgement {
    /// The strictest decision about any endpoint that the address may stand for.
    pub decision: Decision,
    marks: u32,
}

impl Judgement {
    const AMBIGUOUS: u32 = 1;
    const SHARED: u32 = 2;
    const NETWORK_REFUSES: u32 = 4;

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

impl Found {
    /// False when nothing is known about the target: by far the most frequent case. Every member is
    /// written by itself: zeroed as a whole, the verifier would not know an absent destination from
    /// any number.
    #[inline(always)]
    pub fn look_up(place: &mut MaybeUninit<Self>, active: ActivePolicy, target: &Target) -> bool {
        let Target { address, port } = *target;
        let slot = active.slot;
        let found = place.as_mut_ptr();
        let mut is_anything = 0;
        let mut put = |index: usize, destination: Option<&'static Destination>| {
            is_anything = black_box(is_anything) | u32::from(destination.is_some());
            // SAFETY: one of four members.
            unsafe { (&raw mut (*found).destinations[index]).write_volatile(destination) };
        };
        put(
            0,
            maps::destination_of_address(&AddressKey::new(address, port, slot)),
        );
        let (high, low) = address.halves();
        let (mut any_port, mut network, mut any_port_network) = (None, None, None);
        if active.has_any_port {
            any_port = by_any_port(high, low, slot as u32);
        }
        if active.has_prefixes {
            network = by_network(high, low, port.into(), slot as u32);
            if active.has_any_port {
                any_port_network = by_network(high, low, ANY_PORT.into(), slot as u32);
            }
        }
        put(1, any_port);
        put(2, network);
        put(3, any_port_network);
        let has_learned = maps::inspects() && learned_at(high, low, 0).is_some();
        // SAFETY: members of a value that is ours.
        unsafe {
            (&raw mut (*found).slot).write(slot);
            (&raw mut (*found).has_learned).write(has_learned);
        }
        black_box(is_anything) | u32::from(has_learned) != 0
    }

    /// Read when it is needed: all at once they would take room on the stack.
    #[inline(always)]
    fn destination(&self, index: usize) -> Option<&'static Destination> {
        // SAFETY: a member of a reference.
        unsafe { (&raw const self.destinations[index]).read_volatile() }
    }

    #[inline(always)]
    pub fn judge(&self, target: &Target, identity: IdentityId, now_ns: u64) -> Judgement {
        let mut decision = Decision::UNGOVERNED;
        let marks = judge(self, target, identity.to_raw(), now_ns, &mut decision);
        Judgement { decision, marks }
    }

    /// As [`Found::judge`]; where another workload made the socket, both have to be entitled.
    #[inline(always)]
    pub fn judge_caller(&self, target: &Target, caller: &Caller, now_ns: u64) -> Judgement {
        let judgement = self.judge(target, caller.identity, now_ns);
        if !caller.is_foreign() {
            return judgement;
        }
        let (high, low) = target.address.halves();
        let at = u64::from(target.port) | (self.slot as u64) << 16;
        let by_maker = judge_maker(high, low, at, caller.maker.to_raw(), now_ns);
        let Judgement {
            decision,
            mut marks,
        } = judgement;
        if by_maker & MAKER_NETWORK_REFUSES != 0 {
            marks |= Judgement::NETWORK_REFUSES;
        }
        let is_governed = decision.is_governed() || by_maker & MAKER_GOVERNED != 0;
        let is_refused = by_maker & MAKER_REFUSED != 0
            || is_governed && unnamed(caller.identity, self.slot).has(RuleEntry::REFUSE_FOREIGN);
        if !decision.is_entitled() || !is_refused {
            return Judgement { decision, marks };
        }
        let endpoint = match EndpointId::from_raw(by_maker as u32) {
            EndpointId::ANY => decision.endpoint(),
            endpoint => endpoint,
        };
        let decision = Decision::new(Reason::ForeignSocket, RuleId::NONE, endpoint);
        Judgement { decision, marks }
    }
}

const MAKER_REFUSED: u64 = 1 << 32;
const MAKER_NETWORK_REFUSES: u64 = 1 << 33;
const MAKER_GOVERNED: u64 = 1 << 34;

/// What the maker of a socket means for whoever uses it: an endpoint, and the marks above. `at` is
/// port and slot. Which services an address may stand for does not depend on who asks, so only
/// rights are judged. A global function: see [`decide_set`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn judge_maker(high: u64, low: u64, at: u64, maker: u32, now_ns: u64) -> u64 {
    let port = at as u16;
    let slot = (at >> 16) as u32 & 1;
    let who = Who {
        now_ns,
        identity: IdentityId::from_raw(maker),
        slot,
    };
    let mut answer = 0;
    if let Some(destination) = by_address(high, low, port.into(), slot) {
        answer = add_maker(answer, decide_destination(destination, &who));
    }
    if let Some(destination) = by_any_port(high, low, slot) {
        answer = add_maker(answer, decide_destination(destination, &who));
    }
    if learned_at(high, low, 0).is_some() {
        let learned = decide_learned(high, low, at, maker.into(), now_ns);
        let decision = Decision::from_packed(learned & DECISION, EndpointId::ANY);
        answer = add_maker(answer, decision);
    }
    if let Some(destination) = by_network(high, low, port.into(), slot) {
        answer = add_network_of_maker(answer, decide_destination(destination, &who));
    }
    if let Some(destination) = by_network(high, low, ANY_PORT.into(), slot) {
        answer = add_network_of_maker(answer, decide_destination(destination, &who));
    }
    answer
}

#[inline(always)]
fn add_maker(answer: u64, decision: Decision) -> u64 {
    if !decision.is_governed() {
        return answer;
    }
    let answer = answer | MAKER_GOVERNED;
    if decision.is_entitled() {
        return answer;
    }
    answer & !0xffff_ffff | MAKER_REFUSED | u64::from(decision.endpoint().to_raw())
}

#[inline(always)]
fn add_network_of_maker(answer: u64, decision: Decision) -> u64 {
    let answer = add_maker(answer, decision);
    if decision.is_entitled() {
        answer
    } else {
        answer | MAKER_NETWORK_REFUSES
    }
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
}

/// Several endpoints may be meant.
const SEVERAL_MEANT: u32 = 8;
/// Services that nobody governs answer there, too.
const OTHERS_ANSWER: u32 = Destination::SHARED;
/// No other service answers there.
const NOBODY_ELSE: u32 = Destination::EXCLUSIVE;

// Not inlined: each needs its stack for a moment only, and the caller has little of it. Each
// returns a number: a function without one may leave a pointer where the kernel allows none.

/// The strictest decision, and the marks of [`Judgement`].
#[inline(never)]
fn judge(
    found: &Found,
    target: &Target,
    identity: u32,
    now_ns: u64,
    decision: &mut Decision,
) -> u32 {
    let who = &Who {
        now_ns,
        identity: IdentityId::from_raw(identity),
        slot: found.slot as u32,
    };
    // Nothing of this is known to the verifier, so that what comes of the branches is all the same.
    let nothing = kernel::forget(0);
    let ungoverned = Decision::from_packed(nothing, EndpointId::from_raw(nothing as u32));
    let mut weighed = Weighed {
        named: ungoverned,
        by_network: ungoverned,
        first: EndpointId::from_raw(nothing as u32),
    };
    let mut marks = nothing as u32;
    if let Some(destination) = found.destination(0) {
        marks |= weigh(&mut weighed, destination, who);
    }
    if let Some(destination) = found.destination(1) {
        marks |= weigh(&mut weighed, destination, who);
    }
    if found.has_learned {
        marks |= weigh_learned(&mut weighed, target, who);
    }
    let is_told = marks & (OTHERS_ANSWER | NOBODY_ELSE) != 0;
    if weighed.named.is_governed() && !is_told && maps::is_ordinary(&target.address, who.now_ns) {
        marks |= OTHERS_ANSWER;
    }
    let mut refuses = nothing as u32;
    if let Some(destination) = found.destination(2) {
        refuses |= weigh_network(&mut weighed, destination, who);
    }
    if let Some(destination) = found.destination(3) {
        refuses |= weigh_network(&mut weighed, destination, who);
    }
    *decision = weighed.named.or_stricter(weighed.by_network);
    let mut judged = nothing as u32;
    if marks & OTHERS_ANSWER != 0 {
        judged |= Judgement::SHARED;
    }
    if weighed.named.is_governed() && marks & (OTHERS_ANSWER | SEVERAL_MEANT) != 0 {
        judged |= Judgement::AMBIGUOUS;
    }
    if refuses != 0 || !weighed.by_network.is_entitled() {
        judged |= Judgement::NETWORK_REFUSES;
    }
    kernel::forget(judged.into()) as u32
}

#[inline(always)]
fn weigh(weighed: &mut Weighed, destination: &Destination, who: &Who) -> u32 {
    let decision = decide_destination(destination, who);
    weighed.named = weighed.named.or_stricter(decision);
    if destination.flags & Destination::BY_ADDRESS != 0 {
        weighed.by_network = weighed.by_network.or_stricter(decision);
    }
    let mut marks = 0;
    let [first, second, ..] = destination.endpoints;
    if second != EndpointId::ANY || weighed.first != EndpointId::ANY && weighed.first != first {
        marks |= SEVERAL_MEANT;
    }
    marks |= destination.flags & (OTHERS_ANSWER | NOBODY_ELSE);
    weighed.first = first;
    marks
}

/// Whether the network refuses, as a number.
#[inline(always)]
fn weigh_network(weighed: &mut Weighed, destination: &Destination, who: &Who) -> u32 {
    let decision = decide_destination(destination, who);
    weighed.by_network = weighed.by_network.or_stricter(decision);
    u32::from(!decision.is_entitled())
}

#[inline(always)]
fn weigh_learned(weighed: &mut Weighed, target: &Target, who: &Who) -> u32 {
    let (high, low) = target.address.halves();
    let at = u64::from(target.port) | u64::from(who.slot) << 16;
    let whom = u64::from(who.identity.to_raw()) | u64::from(weighed.first.to_raw()) << 32;
    let answer = decide_learned(high, low, at, whom, who.now_ns);
    let index = (answer >> INDEX_SHIFT) as u32 & (MAX_PER_ADDRESS - 1);
    if let Some(known) = learned_at(high, low, index) {
        let decision = Decision::from_packed(answer & DECISION, known.endpoint);
        weighed.named = weighed.named.or_stricter(decision);
    }
    let mut marks = 0;
    if answer & SEVERAL != 0 {
        marks |= SEVERAL_MEANT;
    }
    if answer & OTHERS != 0 {
        marks |= OTHERS_ANSWER;
    }
    if answer & ALONE != 0 {
        marks |= NOBODY_ELSE;
    }
    marks
}

// Look-ups that few calls need. Not inlined: their keys would stay on the stack of the caller, who
// has little of it.

#[inline(never)]
fn by_address(high: u64, low: u64, port: u32, slot: u32) -> Option<&'static Destination> {
    let address = Address::from_halves(high, low);
    maps::destination_of_address(&AddressKey::new(address, port as u16, Slot::from_raw(slot)))
}

#[inline(never)]
fn by_any_port(high: u64, low: u64, slot: u32) -> Option<&'static Destination> {
    let address = Address::from_halves(high, low);
    maps::destination_of_address(&AddressKey::new(address, ANY_PORT, Slot::from_raw(slot)))
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

#[inline(always)]
fn decide_destination(destination: &Destination, who: &Who) -> Decision {
    let [first, second, third, fourth] = destination.endpoints;
    let pair = |a: EndpointId, b: EndpointId| u64::from(a.to_raw()) | u64::from(b.to_raw()) << 32;
    let (high, low) = (pair(first, second), pair(third, fourth));
    let answer = decide_set(high, low, who.identity.to_raw(), who.slot, who.now_ns);
    // By offset: the verifier would follow each of four branches.
    let index = black_box((answer >> INDEX_SHIFT) as usize) & 3;
    Decision::from_packed(answer & DECISION, destination.endpoints[index])
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
    // Nearly every address has one endpoint. A network has none where it only keeps a shorter one
    // from reaching further: a hole.
    if endpoints[1] == EndpointId::ANY {
        if endpoints[0] == EndpointId::ANY {
            return Decision::UNGOVERNED.packed();
        }
        return decide_one(identity, endpoints[0].to_raw(), slot, now_ns);
    }
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

/// What happens to `identity` where no endpoint is known: the posture and flags of its entry.
#[inline(always)]
pub fn unnamed(identity: IdentityId, slot: Slot) -> Unnamed {
    Unnamed(posture_of_unnamed(identity.to_raw(), slot as u32))
}

#[derive(Clone, Copy)]
pub struct Unnamed(u32);

impl Unnamed {
    /// Names matter to an identity that can be refused anything.
    #[inline(always)]
    pub fn matters(self) -> bool {
        matches!(Posture::from_raw(self.0 & 0xff), Posture::Deny)
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
