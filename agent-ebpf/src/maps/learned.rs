//! What answers of the DNS have told: hints, which may be forgotten.

use agent_common::{
    abi,
    address::Address,
    learned::{Learned, LearnedKey},
    presence,
};
use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    macros::map,
    maps::LruHashMap,
};

use super::PRESENT;

#[map]
static LEARNED: LruHashMap<LearnedKey, Learned> = LruHashMap::with_max_entries(abi::MAX_LEARNED, 0);
/// Addresses of names that nobody governs, with the instant until which they are believed.
#[map]
static ORDINARY: LruHashMap<Address, u64> = LruHashMap::with_max_entries(abi::MAX_ORDINARY, 0);

#[inline(always)]
pub fn learned(key: &LearnedKey) -> Option<&'static Learned> {
    // SAFETY: values are only replaced as a whole, but for the instant, which is one word.
    unsafe { LEARNED.get(key) }
}

#[inline(always)]
fn mark_present(place: u32) {
    if let Some(mark) = PRESENT.get_ptr_mut(place) {
        // SAFETY: a valid pointer to a map value of one word, which is never unmarked.
        unsafe { mark.write_volatile(1) };
    }
}

/// Puts `learned` at `key` if that place is free, has expired or says the same already.
#[inline(always)]
pub fn put_learned(key: &LearnedKey, learned: &Learned, is_hint: bool, now_ns: u64) -> bool {
    let Some(known) = LEARNED.get_ptr_mut(key) else {
        mark_present(presence::of_learned(key.address));
        // Another processor may have taken the place in between: then try the next one.
        return LEARNED.insert(key, learned, u64::from(BPF_NOEXIST)).is_ok();
    };
    // SAFETY: a valid pointer to a map value; the instant is one word.
    unsafe {
        if (*known).endpoint == learned.endpoint && (*known).port == learned.port {
            // Policy may have changed since; a hint does not change what is certain.
            if !is_hint {
                let flags = learned.flags | (*known).flags & Learned::OVERFLOW;
                (&raw mut (*known).flags).write_volatile(flags);
            }
            if (*known).expires_ns < learned.expires_ns {
                (&raw mut (*known).expires_ns).write_volatile(learned.expires_ns);
            }
            return true;
        }
        if (*known).expires_ns >= now_ns {
            return false;
        }
    }
    LEARNED.insert(key, learned, u64::from(BPF_ANY)).is_ok()
}

/// The address has more endpoints than can be kept.
#[inline(always)]
pub fn overflow_learned(address: &Address) {
    let key = LearnedKey {
        address: *address,
        index: 0,
    };
    if let Some(known) = LEARNED.get_ptr_mut(key) {
        // SAFETY: a valid pointer to a map value; the flags are one half word.
        unsafe { (&raw mut (*known).flags).write_volatile((*known).flags | Learned::OVERFLOW) };
    }
}

/// Remembers that a name of nobody's concern has `address`. A hint: failing leaves it unknown.
#[inline(always)]
pub fn remember_ordinary(address: &Address, expires_ns: u64) {
    if let Some(known) = ORDINARY.get_ptr_mut(address) {
        // SAFETY: a valid pointer to a map value of one word.
        unsafe {
            // Another name of the address may live longer.
            if *known < expires_ns {
                known.write_volatile(expires_ns);
            }
        }
        return;
    }
    mark_present(presence::of_ordinary(*address));
    let _ = ORDINARY.insert(address, expires_ns, u64::from(BPF_ANY));
}

#[inline(always)]
pub fn is_ordinary(address: &Address, now_ns: u64) -> bool {
    // SAFETY: a value of one word.
    unsafe { ORDINARY.get(address) }.is_some_and(|expires_ns| *expires_ns > now_ns)
}
