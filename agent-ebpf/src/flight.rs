//! First flights on their way out: which name does the caller ask for, and may it?
//!
//! A socket that `connect4/6` marked is looked at until its name is known. Octets go through
//! [`Flight`] in chunks; the functions marked `extern "C"` are global, so that the verifier checks
//! each once by itself. Everything between them is in the socket's own storage.

use core::hint::black_box;

use agent_common::{
    destination::{ANY_PORT, EndpointId},
    flight::Outcome,
    inspected::{CHUNK, Inspected, State},
    name::NameSet,
    policy::RuleId,
    settings::Mode,
    verdict::{Decision, Reason, Verdict},
};
use aya_ebpf::bindings::__sk_buff;

use crate::{attempt::now_ns, decide::decide_one, ending, maps, names, packet, sharing};

/// Chunks of one packet that are looked at. A chunk ends where octets can be passed over: at worst
/// with each TLS record, and a record has six octets at least.
const MAX_CHUNKS: u32 = 2_048;
/// Offsets in the header of TCP.
const SEQUENCE: u32 = 4;
const DATA_OFFSET: u32 = 12;
const FLAGS: u32 = 13;
const SYN: u32 = 2;
const RST: u32 = 4;
const URG: u32 = 32;

/// The verdict on one packet of a marked TCP socket whose header begins at `header`.
#[inline(always)]
pub fn judge(skb: *mut __sk_buff, inspected: &mut Inspected, header: u32) -> Verdict {
    let (Some(flags), Some(offset), Some(sequence)) = (
        packet::u8_at(skb, header + FLAGS),
        packet::u8_at(skb, header + DATA_OFFSET),
        packet::u32_at(skb, header + SEQUENCE),
    ) else {
        return unreadable();
    };
    // A reset ends what has been refused, and says so to the peer.
    if flags & RST != 0 {
        return Verdict::Allow;
    }
    let is_syn = flags & SYN != 0;
    let data = sequence.wrapping_add(u32::from(is_syn));
    if is_syn || inspected.flags & Inspected::SYNCHRONISED == 0 {
        inspected.flags |= Inspected::SYNCHRONISED;
        if inspected.flight.is_new() {
            inspected.next = data;
        }
    }
    let payload = header + ((offset >> 4) << 2);
    let len = packet::len(skb).wrapping_sub(payload);
    if len == 0 || len > 0x10_0000 {
        return Verdict::Allow;
    }
    if inspected.state == State::Refused as u32 {
        return unreadable();
    }
    let known = inspected.next.wrapping_sub(data);
    if known as i32 >= len as i32 {
        // Sent before, and looked at then.
        return Verdict::Allow;
    }
    if (known as i32) < 0 {
        // Out of order: what comes before has been lost on this host. TCP sends both again.
        return unreadable();
    }
    inspected.next = data.wrapping_add(len);
    // An urgent octet is one that the peer may leave out; a shared page is one that the caller may
    // still change. Neither is what the peer will read.
    if flags & URG != 0 || sharing::is_shared(skb) {
        return unpack(decide(skb, Outcome::Undecidable as u32));
    }
    read(skb, payload + known, payload + len)
}

/// A packet that cannot be judged does not leave, if anything may be refused at all.
#[inline(always)]
pub fn unreadable() -> Verdict {
    const UNREADABLE: Decision = Decision::new(Reason::Undecidable, RuleId::NONE, EndpointId::ANY);
    agent_common::verdict::settle(Mode::from_raw(maps::mode()), &UNREADABLE)
}

/// Reads the octets `from..to` of the packet, until the flight is decided.
#[inline(always)]
fn read(skb: *mut __sk_buff, from: u32, to: u32) -> Verdict {
    let mut at = from;
    let mut index = 0;
    while index < MAX_CHUNKS {
        if at >= to {
            return Verdict::Allow;
        }
        let answer = read_chunk(skb, at, to);
        at = at.wrapping_add(answer as u32);
        let outcome = (answer >> 32) as u32;
        if outcome != Outcome::More as u32 {
            let verdict = decide(skb, outcome);
            if verdict != UNDECIDED {
                return unpack(verdict);
            }
        }
        index += 1;
    }
    unpack(decide(skb, Outcome::Undecidable as u32))
}

#[inline(always)]
fn unpack(verdict: u32) -> Verdict {
    if verdict == Verdict::Deny as u32 {
        // What is not refused in this mode never comes here as such.
        return unreadable();
    }
    Verdict::Allow
}

/// How many octets were taken, and above 32 bits the [`Outcome`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn read_chunk(skb: *mut __sk_buff, from: u32, to: u32) -> u64 {
    const STOP: u64 = (Outcome::Undecidable as u64) << 32 | 1;
    let Some(inspected) = maps::inspected_of(skb) else {
        return STOP;
    };
    let mut left = to.wrapping_sub(from);
    let skippable = inspected.flight.skippable();
    let n_skipped = if skippable < left { skippable } else { left };
    if n_skipped != 0 {
        let outcome = inspected.flight.skip(n_skipped);
        if outcome as u32 != Outcome::More as u32 || n_skipped == left {
            return (outcome as u64) << 32 | n_skipped as u64;
        }
    }
    left -= n_skipped;
    let from = from.wrapping_add(n_skipped);
    let n = if left < CHUNK as u32 {
        left
    } else {
        CHUNK as u32
    };
    // SAFETY: the chunk has room for `CHUNK` octets.
    if !unsafe { packet::copy(skb, from, n, CHUNK as u32, inspected.chunk.as_mut_ptr()) } {
        return STOP;
    }
    let mut index = 0;
    while index < CHUNK as u32 {
        if index >= n {
            break;
        }
        let inspected = black_box(&mut *inspected);
        let octet = inspected.chunk[black_box(index) as usize & (CHUNK - 1)];
        index += 1;
        let outcome = inspected.flight.take(octet);
        if outcome as u32 != Outcome::More as u32 {
            return (outcome as u64) << 32 | (n_skipped + index) as u64;
        }
        if inspected.flight.skippable() != 0 {
            break;
        }
    }
    (n_skipped + index) as u64
}

/// No verdict yet: more octets are needed.
pub const UNDECIDED: u32 = 0;

/// Makes what it can of an [`Outcome`]: a [`Verdict`] as a number, or [`UNDECIDED`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn decide(skb: *mut __sk_buff, outcome: u32) -> u32 {
    let Some(inspected) = maps::inspected_of(skb) else {
        return Verdict::Allow as u32;
    };
    if outcome == Outcome::Name as u32 || outcome == Outcome::Hello as u32 {
        let answer = decide_name(skb);
        let endpoint = EndpointId::from_raw(inspected.endpoint);
        let decision = Decision::from_packed(inspected.packed, endpoint);
        if !decision.is_entitled() {
            return ending::finish(skb, Reason::Ungoverned as u32);
        }
        if outcome == Outcome::Name as u32 {
            return UNDECIDED;
        }
        if answer & NameSet::ECH != 0 && inspected.flight.is_ech() {
            return ending::finish(skb, Reason::Ech as u32);
        }
        return ending::finish(skb, Reason::Ungoverned as u32 | ending::WATCH);
    }
    if outcome == Outcome::End as u32 {
        return ending::finish(skb, Reason::Ungoverned as u32);
    }
    let is_known = inspected.flags & Inspected::KNOWN != 0;
    let is_nameless = outcome == Outcome::NoName as u32 && !inspected.flight.is_tls();
    let is_other = outcome == Outcome::Unrecognised as u32 || is_nameless;
    // A request for an address means what is there: nothing that is known, or what is known.
    let is_plain = is_nameless && inspected.flight.is_addressed() && !is_known;
    if is_plain || is_other && !is_web(inspected) {
        return ending::finish(skb, Reason::Ungoverned as u32);
    }
    if outcome == Outcome::NoName as u32 {
        return ending::finish(skb, Reason::NoSni as u32);
    }
    ending::finish(skb, Reason::Undecidable as u32)
}

/// Whether the port is one at which model endpoints, or what leads to them, are called with TLS or
/// HTTP, so that another protocol there is no excuse.
#[inline(always)]
fn is_web(inspected: &Inspected) -> bool {
    const PORTS: [u16; 6] = [80, 443, 853, 3128, 8080, 8443];
    let tunnel = inspected.flight.tunnel_port();
    let port = if tunnel != 0 {
        tunnel
    } else {
        u16::from_be(inspected.port as u16)
    };
    inspected.flags & Inspected::KNOWN != 0
        || port == PORTS[0]
        || port == PORTS[1]
        || port == PORTS[2]
        || port == PORTS[3]
        || port == PORTS[4]
        || port == PORTS[5]
        || maps::is_endpoint_port(port)
}

/// Judges the name that has been read, and keeps the strictest decision so far. The flags of what
/// the name stands for.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn decide_name(skb: *mut __sk_buff) -> u32 {
    let Some(inspected) = maps::inspected_of(skb) else {
        return 0;
    };
    let slot = maps::active_policy().slot;
    names::look_up(&inspected.flight.name, slot, &mut inspected.set);
    let flags = inspected.set.flags;
    let now_ns = now_ns();
    let mut index = 0;
    while index < 4 {
        let inspected = black_box(&mut *inspected);
        let place = black_box(index) & 3;
        let endpoint = inspected.set.endpoints[place];
        let port = inspected.set.ports[place];
        index += 1;
        if endpoint == EndpointId::ANY {
            break;
        }
        let told = inspected.flight.port().to_be();
        let tunnel = inspected.flight.tunnel_port().to_be();
        let is_own = port == inspected.port as u16 || port == told || port == tunnel;
        if port != ANY_PORT && !is_own {
            continue;
        }
        let identity = inspected.identity.to_raw();
        let packed = decide_one(identity, endpoint.to_raw(), slot as u32, now_ns);
        let mut decision = Decision::from_packed(packed, endpoint);
        if inspected.maker != inspected.identity && decision.is_entitled() {
            let maker = inspected.maker.to_raw();
            let packed = decide_one(maker, endpoint.to_raw(), slot as u32, now_ns);
            let by_maker = Decision::from_packed(packed, endpoint);
            let is_refused = inspected.flags & Inspected::REFUSE_FOREIGN != 0;
            if is_refused || !by_maker.is_entitled() {
                decision = Decision::new(Reason::ForeignSocket, RuleId::NONE, endpoint);
            }
        }
        let former = EndpointId::from_raw(inspected.endpoint);
        let strictest = Decision::from_packed(inspected.packed, former).or_stricter(decision);
        inspected.packed = strictest.packed();
        inspected.endpoint = strictest.endpoint().to_raw();
    }
    flags
}
