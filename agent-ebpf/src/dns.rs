//! Answers of the DNS on their way to whoever asked: their addresses are known to the decision
//! hooks before the caller can read them.
//!
//! The functions marked `extern "C"` are global: the verifier checks each once by itself, so that
//! loops do not multiply. State between them is in [`Scratch`], one for each processor: packets are
//! received with soft interrupts disabled, so none interrupts another.

use core::hint::black_box;

use agent_common::{
    address::Address,
    destination::EndpointId,
    dns::{self, Message, Record},
    learned::{Learned, LearnedKey, MAX_PER_ADDRESS},
    loss::Loss,
    name::{ENDPOINTS_PER_NAME, Name, NameSet},
    settings::Slot,
};
use aya_ebpf::bindings::__sk_buff;

use crate::{attempt::now_ns, maps, names, packet};

/// Longest label.
const MAX_LABEL: u32 = 63;
/// Labels and jumps of one name that are followed.
const MAX_STEPS: u32 = 48;
/// Labels of a name that is passed over.
const MAX_LABELS: u32 = 128;
const POINTER: u32 = 0xc0;
/// Names of one answer that are kept: that of the question, and one that it is an alias of.
const MAX_SETS: usize = 2;

/// What one answer has told so far.
#[repr(C)]
pub struct Scratch {
    pub name: Name,
    pub label: [u8; 64],
    pub sets: [NameSet; MAX_SETS],
    pub address: Address,
    pub expires_ns: u64,
    pub n_sets: u32,
    pub slot: u32,
    /// Where the message begins in the packet.
    pub base: u32,
    pub at: u32,
    /// 1 if whoever answered is not certain: see `Settings::netns`.
    pub is_hint: u32,
}

/// Learns from the message at `base`.
#[inline(always)]
pub fn learn(skb: *mut __sk_buff, base: u32, is_hint: bool) {
    let Some(scratch) = maps::scratch() else {
        return;
    };
    scratch.n_sets = 0;
    scratch.base = base;
    scratch.is_hint = u32::from(is_hint);
    scratch.slot = maps::active_policy().slot as u32;
    if answer(skb) == 0 {
        maps::count_loss(Loss::AnswerUnread);
    }
}

/// 1 if all was read, or if it is no answer.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn answer(skb: *mut __sk_buff) -> u32 {
    let Some(scratch) = maps::scratch() else {
        return 0;
    };
    let mut message = Packet {
        skb,
        base: scratch.base & 0xffff,
    };
    match dns::answer(&mut message) {
        Some(()) => 1,
        None => 0,
    }
}

struct Packet {
    skb: *mut __sk_buff,
    base: u32,
}

impl Message for Packet {
    #[inline(always)]
    fn u16_at(&mut self, at: u32) -> Option<u16> {
        packet::u16_at(self.skb, self.base + at).map(|value| value as u16)
    }

    #[inline(always)]
    fn record_at(&mut self, at: u32) -> Option<Record> {
        // Type, class, time to live and length, in one read.
        let mut words = [0_u16; 5];
        let into = words.as_mut_ptr().cast::<u8>();
        // SAFETY: ten octets, as many as the array has.
        if !unsafe { packet::copy(self.skb, self.base + at, 10, 10, into) } {
            return None;
        }
        let [kind, _class, high, low, len] = words.map(u16::from_be);
        Some(Record {
            kind,
            ttl: u32::from(high) << 16 | u32::from(low),
            len,
        })
    }

    #[inline(always)]
    fn after_name(&mut self, at: u32) -> Option<u32> {
        match after_name(self.skb, self.base, at & 0xffff) {
            0 => None,
            end => Some(end & 0xffff),
        }
    }

    #[inline(always)]
    fn name_at(&mut self, at: u32) -> Option<()> {
        (name(self.skb, self.base, at & 0xffff) != 0).then_some(())
    }

    #[inline(always)]
    fn address_at(&mut self, at: u32, len: u32, ttl: u32) -> Option<()> {
        (address(self.skb, self.base + (at & 0xffff), len, ttl) != 0).then_some(())
    }

    #[inline(always)]
    fn names_of(&mut self, at: u32) -> Option<u32> {
        match names_of(self.skb, self.base, at & 0xffff) {
            0 => None,
            next => Some(next & 0xffff),
        }
    }

    #[inline(always)]
    fn addresses_of(&mut self, at: u32) -> Option<u32> {
        match addresses_of(self.skb, self.base, at & 0xffff) {
            0 => None,
            next => Some(next & 0xffff),
        }
    }

    #[inline(always)]
    fn hints_at(&mut self, data: u32, end: u32, ttl: u32) -> Option<()> {
        (hints(self.skb, data & 0xffff, end, ttl) != 0).then_some(())
    }

    #[inline(always)]
    fn list_at(&mut self, first: u32, len: u32, size: u32, ttl: u32) -> Option<()> {
        let len_and_size = (len << 8) | size;
        (list(self.skb, first & 0xffff, len_and_size, ttl) != 0).then_some(())
    }
}

/// Where the next record begins; 0 if this one is malformed.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn names_of(skb: *mut __sk_buff, base: u32, at: u32) -> u32 {
    let mut message = Packet {
        skb,
        base: base & 0xffff,
    };
    dns::names(&mut message, at & 0xffff).unwrap_or(0)
}

/// As [`names_of`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn addresses_of(skb: *mut __sk_buff, base: u32, at: u32) -> u32 {
    let mut message = Packet {
        skb,
        base: base & 0xffff,
    };
    dns::addresses(&mut message, at & 0xffff).unwrap_or(0)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn hints(skb: *mut __sk_buff, data: u32, end: u32, ttl: u32) -> u32 {
    let Some(scratch) = maps::scratch() else {
        return 0;
    };
    let base = scratch.base & 0xffff;
    let mut message = Packet { skb, base };
    match dns::hints(&mut message, data, end, ttl) {
        Some(()) => 1,
        None => 0,
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn list(skb: *mut __sk_buff, first: u32, len_and_size: u32, ttl: u32) -> u32 {
    let Some(scratch) = maps::scratch() else {
        return 0;
    };
    let base = scratch.base & 0xffff;
    let mut message = Packet { skb, base };
    let size = len_and_size & 0xff;
    match dns::list(&mut message, first, len_and_size >> 8, size, ttl) {
        Some(()) => 1,
        None => 0,
    }
}

/// 0 if the name is malformed.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn after_name(skb: *mut __sk_buff, base: u32, at: u32) -> u32 {
    let mut at = at;
    let mut index = 0;
    while index < MAX_LABELS {
        let Some(len) = packet::u8_at(skb, base + at) else {
            return 0;
        };
        if len == 0 {
            return at + 1;
        }
        if len >= POINTER {
            return at + 2;
        }
        if len > MAX_LABEL {
            return 0;
        }
        at = (at + len + 1) & 0xffff;
        index += 1;
    }
    0
}

/// Reads a name and adds what it stands for to the sets of this answer. 0 if it is malformed.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn name(skb: *mut __sk_buff, base: u32, at: u32) -> u32 {
    let Some(scratch) = maps::scratch() else {
        return 0;
    };
    scratch.name.clear();
    scratch.at = at;
    let mut index = 0;
    while index < MAX_STEPS {
        let at = black_box(&mut scratch.at);
        let here = *at & 0xffff;
        let Some(len) = packet::u8_at(skb, base + here) else {
            return 0;
        };
        if len == 0 {
            return add_set();
        }
        if len >= POINTER {
            let Some(low) = packet::u8_at(skb, base + here + 1) else {
                return 0;
            };
            *at = ((len & 0x3f) << 8) | low;
        } else if len <= MAX_LABEL {
            if label(skb, base + here + 1, len) == 0 {
                return 0;
            }
            *at = here + 1 + len;
        } else {
            return 0;
        }
        index += 1;
    }
    0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn label(skb: *mut __sk_buff, at: u32, len: u32) -> u32 {
    let Some(scratch) = maps::scratch() else {
        return 0;
    };
    // SAFETY: the buffer has 64 octets.
    if !unsafe { packet::copy(skb, at, len, MAX_LABEL, scratch.label.as_mut_ptr()) } {
        return 0;
    }
    let mut index = 0;
    while index < MAX_LABEL {
        if index >= len {
            break;
        }
        let octet = scratch.label[black_box(index) as usize & 63];
        black_box(&mut scratch.name).push_octet(octet);
        index += 1;
    }
    scratch.name.end_label();
    1
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn add_set() -> u32 {
    let Some(scratch) = maps::scratch() else {
        return 0;
    };
    let index = scratch.n_sets;
    if index >= MAX_SETS as u32 {
        return 1;
    }
    // The compiler would leave out a mask that it knows to change nothing; the verifier needs it.
    let set = &mut scratch.sets[black_box(index) as usize & (MAX_SETS - 1)];
    if !names::look_up(&scratch.name, Slot::from_raw(scratch.slot), set) {
        return 1;
    }
    // An alias often belongs to the same endpoint: that leaves room for another.
    if index == 0 || !scratch.sets[0].has_endpoints_of(&scratch.sets[1]) {
        scratch.n_sets = index + 1;
    }
    1
}

/// Takes over one address of 4 or 16 octets. 0 if it is not there.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn address(skb: *mut __sk_buff, at: u32, len: u32, ttl: u32) -> u32 {
    let Some(scratch) = maps::scratch() else {
        return 0;
    };
    let mut words = [0_u32; 4];
    let into = words.as_mut_ptr().cast::<u8>();
    // SAFETY: the constant lengths are those of the array or less.
    let is_read = unsafe {
        if len == 4 {
            packet::copy(skb, at, 4, 4, into)
        } else {
            packet::copy(skb, at, 16, 16, into)
        }
    };
    if !is_read {
        return 0;
    }
    scratch.address = if len == 4 {
        Address::from_v4(words[0])
    } else {
        Address::from_v6(words)
    };
    scratch.expires_ns = now_ns() + dns::lifetime_ns(ttl);
    let n_sets = scratch.n_sets;
    if n_sets == 0 {
        maps::remember_ordinary(&scratch.address, now_ns() + dns::ORDINARY_NS);
        return 1;
    }
    let mut index = 0;
    while index < (MAX_SETS * ENDPOINTS_PER_NAME) as u32 {
        if index / ENDPOINTS_PER_NAME as u32 >= n_sets {
            break;
        }
        learn_endpoint(index);
        index += 1;
    }
    1
}

/// Adds endpoint `index % 4` of set `index / 4` to what is known of the address.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn learn_endpoint(index: u32) -> u32 {
    let Some(scratch) = maps::scratch() else {
        return 0;
    };
    let index = black_box(index) as usize;
    let set = &scratch.sets[(index / ENDPOINTS_PER_NAME) & (MAX_SETS - 1)];
    let place = index & (ENDPOINTS_PER_NAME - 1);
    let endpoint = set.endpoints[place];
    if endpoint == EndpointId::ANY {
        return 0;
    }
    let learned = Learned {
        endpoint,
        port: set.ports[place],
        flags: if scratch.is_hint != 0 || set.flags & NameSet::SHARED != 0 {
            Learned::SHARED
        } else if set.flags & NameSet::EXCLUSIVE != 0 {
            Learned::EXCLUSIVE
        } else {
            0
        },
        expires_ns: scratch.expires_ns,
    };
    let now_ns = now_ns();
    let mut key = LearnedKey {
        address: scratch.address,
        index: 0,
    };
    while key.index < MAX_PER_ADDRESS {
        if maps::put_learned(&key, &learned, scratch.is_hint != 0, now_ns) {
            return 1;
        }
        key.index += 1;
    }
    maps::overflow_learned(&scratch.address);
    0
}
