//! Calls on connections that were let through: [`agent_common::calls`] with the octets of packets.
//!
//! A socket that nobody counts never comes here. What is received is looked at only until it shows
//! an answer. Functions marked `extern "C"` are global: see `decide`.

use core::hint::black_box;

use agent_common::{
    calls::{
        CHUNK, Found,
        hello::{Octets, offers_http_2},
    },
    counter::CounterKey,
    destination::EndpointId,
    identity::IdentityId,
    inspected::Inspected,
    live::Live,
    policy::RuleId,
    verdict::Reason,
};
use aya_ebpf::bindings::__sk_buff;

use crate::{attempt::now_ns, kernel::atomic_add, live, maps, packet};

/// Parts of one packet that are looked at: a part ends with each record.
const MAX_PARTS: u32 = 1_024;
/// Octets of a header of TCP up to its window.
const HEADER: u32 = 16;
const SYN: u32 = 2;

/// What a header of TCP tells, and what of the packet is payload.
struct Segment {
    sequence: u32,
    acknowledged: u32,
    flags: u32,
    payload: u32,
    len: u32,
}

#[inline(always)]
fn segment(skb: *mut __sk_buff) -> Option<Segment> {
    let transport = packet::transport(skb);
    let header = transport as u32 & 0x3ff;
    if (transport >> 16) as u32 != packet::TCP {
        return None;
    }
    let mut words = [0_u32; 4];
    let into = words.as_mut_ptr().cast::<u8>();
    // SAFETY: sixteen octets, as many as the array has.
    if !unsafe { packet::copy(skb, header, HEADER, HEADER, into) } {
        return None;
    }
    let [_ports, sequence, acknowledged, rest] = words.map(u32::from_be);
    let payload = header + (rest >> 28 << 2);
    let len = packet::len(skb).wrapping_sub(payload);
    Some(Segment {
        sequence,
        acknowledged,
        flags: rest >> 16 & 0xff,
        payload,
        len: if len > 0x10_0000 { 0 } else { len },
    })
}

/// A packet of a connection that is counted is sent.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sent(skb: *mut __sk_buff) -> u32 {
    let (Some(live), Some(segment)) = (maps::live_of(skb), segment(skb)) else {
        return 0;
    };
    let mut sequence = segment.sequence;
    if segment.flags & SYN != 0 {
        if live::is_of_another_connection(skb) != 0 {
            return 0;
        }
        sequence = sequence.wrapping_add(1);
        live.calls.open(sequence);
    }
    let len = segment.len;
    if len == 0 {
        return 0;
    }
    if live.calls.is_new() {
        read_offer(skb, segment.payload);
    }
    let known = live.calls.send(sequence, len, segment.acknowledged);
    let left = len.wrapping_sub(known);
    if live.calls.skippable_sent() >= left {
        live.calls.skip_sent(left);
        return 0;
    }
    let mut at = segment.payload.wrapping_add(known);
    let end = segment.payload.wrapping_add(len);
    let mut index = 0;
    while index < MAX_PARTS {
        if at >= end {
            return 0;
        }
        let answer = read_sent(skb, at, end);
        at = at.wrapping_add(answer as u32);
        let found = (answer >> 32) as u32;
        if found != Found::NOTHING {
            count(skb, found);
        }
        index += 1;
    }
    count(skb, Found::OVERLAP)
}

/// A packet of a connection of which an answer is awaited is received.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn received(skb: *mut __sk_buff) -> u32 {
    let (Some(live), Some(segment)) = (maps::live_of(skb), segment(skb)) else {
        return 0;
    };
    let len = segment.len;
    if len == 0 {
        return 0;
    }
    let known = live
        .calls
        .receive(segment.sequence, len, segment.acknowledged);
    let mut at = segment.payload.wrapping_add(known);
    let end = segment.payload.wrapping_add(len);
    let mut index = 0;
    while index < MAX_PARTS {
        if at >= end {
            break;
        }
        at = at.wrapping_add(read_received(skb, at, end));
        index += 1;
    }
    0
}

/// How many octets were taken of what is sent, and above 32 bits what they have brought.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn read_sent(skb: *mut __sk_buff, from: u32, to: u32) -> u64 {
    let left = to.wrapping_sub(from);
    let Some(live) = maps::live_of(skb) else {
        return left as u64;
    };
    let skippable = live.calls.skippable_sent();
    if skippable != 0 {
        let n = if skippable < left { skippable } else { left };
        live.calls.skip_sent(n);
        return n as u64;
    }
    let n = load(skb, live, from, left);
    let mut index = 0;
    while index < CHUNK as u32 {
        if index >= n {
            break;
        }
        let live = black_box(&mut *live);
        let octet = live.calls.chunk[black_box(index) as usize & (CHUNK - 1)];
        index += 1;
        let found = live.calls.take_sent(octet);
        if found != Found::NOTHING {
            return (found as u64) << 32 | index as u64;
        }
        if live.calls.skippable_sent() != 0 {
            break;
        }
    }
    if n == 0 { left as u64 } else { index as u64 }
}

/// How many octets were taken of what is received.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn read_received(skb: *mut __sk_buff, from: u32, to: u32) -> u32 {
    let left = to.wrapping_sub(from);
    let Some(live) = maps::live_of(skb) else {
        return left;
    };
    let skippable = live.calls.skippable_received();
    if skippable != 0 {
        let n = if skippable < left { skippable } else { left };
        live.calls.skip_received(n);
        return n;
    }
    let n = load(skb, live, from, left);
    let mut index = 0;
    while index < CHUNK as u32 {
        if index >= n {
            break;
        }
        let live = black_box(&mut *live);
        let octet = live.calls.chunk[black_box(index) as usize & (CHUNK - 1)];
        index += 1;
        live.calls.take_received(octet);
        if live.calls.skippable_received() != 0 {
            break;
        }
    }
    if n == 0 { left } else { index }
}

/// How many octets have been copied; 0 if they cannot be read.
#[inline(always)]
fn load(skb: *mut __sk_buff, live: &mut Live, from: u32, left: u32) -> u32 {
    let n = if left < CHUNK as u32 {
        left
    } else {
        CHUNK as u32
    };
    // SAFETY: the chunk has room for `CHUNK` octets.
    if unsafe { packet::copy(skb, from, n, CHUNK as u32, live.calls.chunk.as_mut_ptr()) } {
        n
    } else {
        0
    }
}

struct Payload {
    skb: *mut __sk_buff,
    at: u32,
}

impl Octets for Payload {
    #[inline(always)]
    fn u8_at(&self, at: u32) -> Option<u32> {
        packet::u8_at(self.skb, self.at + at)
    }

    #[inline(always)]
    fn u16_at(&self, at: u32) -> Option<u32> {
        packet::u16_at(self.skb, self.at + at)
    }
}

/// Keeps what a hello offers, if it begins here.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn read_offer(skb: *mut __sk_buff, payload: u32) -> u32 {
    let Some(live) = maps::live_of(skb) else {
        return 0;
    };
    let payload = Payload {
        skb,
        at: payload & 0xffff,
    };
    if offers_http_2(&payload) == Some(false) {
        live.calls.are_one_by_one();
    }
    1
}

/// Begins to count where a first flight has told the name: of plain HTTP that is in the first call.
#[inline(always)]
pub fn begin(skb: *mut __sk_buff, live: &mut Live, inspected: &Inspected, unreadable: u32) {
    let is_tls = inspected.flight.is_tls();
    live.calls.begin_after_hello(inspected.next, is_tls);
    let is_request = unreadable == Reason::Ungoverned as u32 || unreadable == Reason::NoSni as u32;
    if is_tls {
        read_offer_of_packet(skb);
    } else if is_request {
        count(skb, Found::CALL);
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn read_offer_of_packet(skb: *mut __sk_buff) -> u32 {
    let Some(segment) = segment(skb) else {
        return 0;
    };
    read_offer(skb, segment.payload)
}

/// Adds what was found to the connection's row.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn count(skb: *mut __sk_buff, found: u32) -> u32 {
    let Some(live) = maps::live_of(skb) else {
        return 0;
    };
    add(&live.counted, found)
}

/// Adds a connection whose calls are counted from now on.
#[inline(always)]
pub fn meter(key: &CounterKey) {
    add_metered(
        key.identity.to_raw(),
        key.endpoint.to_raw(),
        key.rule.to_raw(),
        key.reason,
    );
}

/// By numbers, because whoever calls has neither a packet nor room on the stack.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn add_metered(identity: u32, endpoint: u32, rule: u32, reason: u32) -> u32 {
    let key = CounterKey {
        identity: IdentityId::from_raw(identity),
        endpoint: EndpointId::from_raw(endpoint),
        rule: RuleId::from_raw(rule),
        reason,
    };
    let Some((row, _)) = maps::counters(&key) else {
        return 0;
    };
    // SAFETY: `row` points to a live map value.
    unsafe { atomic_add(&raw mut (*row).counts.metered, 1) };
    1
}

#[inline(always)]
fn add(key: &CounterKey, found: u32) -> u32 {
    let Some((row, _)) = maps::counters(key) else {
        return 0;
    };
    let now_ns = now_ns();
    // SAFETY: `row` points to a live map value.
    unsafe {
        if found & (Found::CALL | Found::REQUEST) != 0 {
            atomic_add(&raw mut (*row).counts.calls, 1);
        }
        if found & Found::REQUEST != 0 {
            atomic_add(&raw mut (*row).counts.calls_read, 1);
        }
        if found & Found::OVERLAP != 0 {
            atomic_add(&raw mut (*row).counts.overlaps, 1);
        }
        if (*row).first_ns == 0 {
            (*row).first_ns = now_ns;
        }
        (*row).last_ns = now_ns;
    }
    1
}
