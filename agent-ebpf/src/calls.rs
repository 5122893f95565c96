//! Calls on connections that were let through: [`agent_common::calls`] with the octets of packets.
//!
//! By programs of their own, which the verifier checks by themselves and which can refuse nothing.
//! Functions marked `extern "C"` are global: see `decide`.

use agent_common::{
    calls::{
        Calls, FirstFlight, Found, Segment,
        hello::{Octets, offers_http_2},
    },
    counter::CounterKey,
    live::Live,
};
use aya_ebpf::bindings::{__sk_buff, bpf_sock};

use crate::{attempt::now_ns, kernel::atomic_add, maps, packet};

/// Headers of records in one packet that are looked at: what is sent at once has five at most if its
/// records are full.
const MAX_HEADERS: u32 = 32;
/// Octets of a header of TCP up to its window.
const TCP_HEADER: u32 = 16;
/// Room for the octets of a record's header that are wanted at once.
const ROOM: u32 = 8;
const SYN: u32 = 2;
/// What a step leaves to do.
const DONE: u32 = 0;
const MORE: u32 = 1;

/// Counts the calls on a connection of which nothing has been sent yet.
#[inline(always)]
pub fn begin(socket: *mut bpf_sock, counted: &CounterKey) {
    if let Some(calls) = maps::meter(socket) {
        calls.begin(counted);
    }
}

/// Counts the calls on a connection whose first flight has been looked at. What is counted next sees
/// its last packet, too.
#[inline(always)]
pub fn begin_after(flight: FirstFlight, socket: *mut bpf_sock, counted: &CounterKey, next: u32) {
    if let Some(calls) = maps::meter(socket) {
        calls.begin_after(flight, counted, next);
    }
}

/// A packet is sent.
#[inline(always)]
pub fn sends(skb: *mut __sk_buff) {
    let Some(calls) = packet::any_socket(skb).and_then(maps::calls) else {
        return;
    };
    if calls.is_counting() {
        sent(skb);
    }
}

/// A packet is received.
#[inline(always)]
pub fn receives(skb: *mut __sk_buff) {
    let Some(calls) = packet::any_socket(skb).and_then(maps::calls) else {
        return;
    };
    if calls.awaits_answer() {
        received(skb);
    }
}

/// What a header of TCP tells, and where its payload begins.
struct Packet {
    segment: Segment,
    payload: u32,
    is_opening: bool,
}

#[inline(always)]
fn read(skb: *mut __sk_buff) -> Option<Packet> {
    let transport = packet::transport(skb);
    let header = transport as u32 & 0x3ff;
    if (transport >> 16) as u32 != packet::TCP {
        return None;
    }
    let mut words = [0_u32; 4];
    let into = words.as_mut_ptr().cast::<u8>();
    // SAFETY: sixteen octets, as many as the array has.
    if !unsafe { packet::copy(skb, header, TCP_HEADER, TCP_HEADER, into) } {
        return None;
    }
    let [_ports, sequence, acknowledged, rest] = words.map(u32::from_be);
    let payload = header + (rest >> 28 << 2);
    let len = packet::len(skb).wrapping_sub(payload);
    let is_opening = rest >> 16 & SYN != 0;
    Some(Packet {
        segment: Segment {
            sequence: sequence.wrapping_add(u32::from(is_opening)),
            len: if len > 0x10_0000 { 0 } else { len },
            acknowledged,
        },
        payload,
        is_opening,
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sent(skb: *mut __sk_buff) -> u32 {
    let (Some(calls), Some(packet)) = (maps::calls_of(skb), read(skb)) else {
        return 0;
    };
    let Packet {
        segment,
        payload,
        is_opening,
    } = packet;
    if is_opening && !calls.open(segment.sequence, segment.len) {
        if let Some(socket) = packet::socket(skb) {
            maps::forget_calls(socket);
        }
        return 0;
    }
    if segment.len == 0 {
        return 0;
    }
    if calls.is_new() {
        let offers = offers(skb, payload);
        let first = first_octets(skb, payload, segment.len);
        calls.meet(&segment, first, offers);
    }
    if calls.reads_heads() {
        let found = calls.take_head(&segment, first_octets(skb, payload, segment.len));
        return count(skb, found);
    }
    let mut index = 0;
    while index < MAX_HEADERS {
        let Segment {
            sequence,
            len,
            acknowledged,
        } = segment;
        if sent_step(skb, payload, sequence, len, acknowledged) == DONE {
            return 0;
        }
        index += 1;
    }
    count(skb, calls.lose_sent(&segment))
}

/// Looks at one header of a record that is sent, or a part of one.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sent_step(
    skb: *mut __sk_buff,
    payload: u32,
    sequence: u32,
    len: u32,
    acknowledged: u32,
) -> u32 {
    let Some(calls) = maps::calls_of(skb) else {
        return DONE;
    };
    let segment = Segment {
        sequence,
        len,
        acknowledged,
    };
    let (at, n) = calls.wanted_of_sent(&segment);
    // SAFETY: the place has room for eight octets.
    if !unsafe { packet::copy(skb, payload + at, n, ROOM, calls.place_of_sent()) } {
        return DONE;
    }
    let found = calls.take_sent(&segment, n);
    if found != Found::NOTHING {
        count(skb, found);
    }
    MORE
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn received(skb: *mut __sk_buff) -> u32 {
    let (Some(calls), Some(packet)) = (maps::calls_of(skb), read(skb)) else {
        return 0;
    };
    let segment = packet.segment;
    if segment.len == 0 || !calls.receive(&segment) {
        return 0;
    }
    let mut index = 0;
    while index < MAX_HEADERS {
        let Segment {
            sequence,
            len,
            acknowledged,
        } = segment;
        if received_step(skb, packet.payload, sequence, len, acknowledged) == DONE {
            return 0;
        }
        index += 1;
    }
    calls.lose_received(&segment);
    0
}

/// As [`sent_step`], of what is received.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn received_step(
    skb: *mut __sk_buff,
    payload: u32,
    sequence: u32,
    len: u32,
    acknowledged: u32,
) -> u32 {
    let Some(calls) = maps::calls_of(skb) else {
        return DONE;
    };
    let segment = Segment {
        sequence,
        len,
        acknowledged,
    };
    let (at, n) = calls.wanted_of_received(&segment);
    // SAFETY: the place has room for eight octets.
    if !unsafe { packet::copy(skb, payload + at, n, ROOM, calls.place_of_received()) } {
        return DONE;
    }
    calls.take_received(&segment, n);
    if calls.awaits_answer() { MORE } else { DONE }
}

/// The first eight octets of the payload, zero where there are fewer.
#[inline(always)]
fn first_octets(skb: *mut __sk_buff, payload: u32, len: u32) -> u64 {
    let mut word = 0_u64;
    let n = if len < ROOM { len } else { ROOM };
    let into = (&raw mut word).cast::<u8>();
    // SAFETY: eight octets, as many as the word has.
    if unsafe { packet::copy(skb, payload, n, ROOM, into) } {
        u64::from_be(word)
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

#[inline(always)]
fn offers(skb: *mut __sk_buff, payload: u32) -> Option<bool> {
    match read_offer(skb, payload) {
        1 => Some(false),
        2 => Some(true),
        _ => None,
    }
}

/// What a hello that begins here offers: 1 only HTTP/1, 2 HTTP/2, 0 if that cannot be told.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn read_offer(skb: *mut __sk_buff, payload: u32) -> u32 {
    let payload = Payload {
        skb,
        at: payload & 0xffff,
    };
    offers_http_2(&payload).map_or(0, |offers| 1 + u32::from(offers))
}

/// Adds what was found to the connection's row, unless nothing passes any more.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn count(skb: *mut __sk_buff, found: u32) -> u32 {
    let Some(calls) = maps::calls_of(skb) else {
        return 0;
    };
    if maps::live_of(skb).is_some_and(|live| live.flags & Live::REFUSED != 0) {
        return 0;
    }
    add(calls, found)
}

#[inline(always)]
fn add(calls: &Calls, found: u32) -> u32 {
    let Some((row, _)) = maps::counters(&calls.counted) else {
        return 0;
    };
    // SAFETY: `row` points to a live map value.
    unsafe {
        if found & Found::CALL != 0 {
            atomic_add(&raw mut (*row).counts.calls, 1);
        }
        if found & Found::OVERLAP != 0 {
            atomic_add(&raw mut (*row).counts.overlaps, 1);
        }
        (*row).last_ns = now_ns();
    }
    1
}
