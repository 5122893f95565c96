//! The maps and constants, private to this module: everything else sees verbs.

use core::mem::offset_of;

use agent_common::{
    abi,
    counter::{CounterKey, Counters},
    destination::{AddressKey, Destination, EndpointId, PrefixKey},
    event::Event,
    identity::{CgroupIdentity, IdentityId},
    loss::Loss,
    open::OpenConnection,
    policy::{PolicyLookup, RuleEntry, RuleKey},
    settings::{ActivePolicy, Offsets, Settings, Slot, config},
};
use aya_ebpf::{
    Global,
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST},
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap, RingBuf, lpm_trie, ring_buf::RingBufEntry},
};

use crate::kernel::atomic_add;

// Not preallocated: they cost memory by what they hold, and the decision hooks only read the policy.
#[map]
static CONFIG: Array<u64> = Array::with_max_entries(config::COUNT, 0);
#[map]
static ADDRESSES: HashMap<AddressKey, Destination> =
    HashMap::with_max_entries(2 * abi::MAX_ADDRESSES, BPF_F_NO_PREALLOC);
#[map]
static PREFIXES: LpmTrie<PrefixKey, Destination> =
    LpmTrie::with_max_entries(2 * abi::MAX_PREFIXES, 0);
#[map]
static RULES: HashMap<RuleKey, RuleEntry> =
    HashMap::with_max_entries(2 * abi::MAX_RULES, BPF_F_NO_PREALLOC);
#[map]
static IDENTITIES: HashMap<u64, CgroupIdentity> =
    HashMap::with_max_entries(abi::MAX_CGROUPS, BPF_F_NO_PREALLOC);
#[map]
static COUNTERS: HashMap<CounterKey, Counters> =
    HashMap::with_max_entries(abi::MAX_COUNTERS, BPF_F_NO_PREALLOC);
#[map]
static OPEN: LruHashMap<u64, OpenConnection> = LruHashMap::with_max_entries(abi::MAX_OPEN, 0);
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(abi::EVENT_RING_BYTES, 0);
#[map]
static LOSSES: Array<u64> = Array::with_max_entries(Loss::COUNT, 0);

#[unsafe(no_mangle)]
static SETTINGS: Global<Settings> = Global::new(Settings {
    mode: 0,
    close_source: 0,
    scoped: 0,
    close_id: 0,
});
#[unsafe(no_mangle)]
static OFFSETS: Global<Offsets> = Global::new(Offsets::ZERO);

/// A new counter row. In read-only memory: zeroing 96 bytes of stack would be a call to `memset`.
static NEW_ROW: Counters = Counters::ZERO;

/// The `u32` that lies `at` bytes into a constant. The verifier knows its value.
#[inline(always)]
fn constant<T>(global: &'static Global<T>, at: usize) -> u32 {
    let base = core::ptr::from_ref(global).cast::<u32>();
    // SAFETY: `Global<T>` is transparent over `T` and initialised; callers pass `offset_of!` of a
    // `u32` field.
    unsafe { core::ptr::read_volatile(base.byte_add(at)) }
}

#[inline(always)]
pub fn mode() -> u32 {
    constant(&SETTINGS, offset_of!(Settings, mode))
}

#[inline(always)]
pub fn close_source() -> u32 {
    constant(&SETTINGS, offset_of!(Settings, close_source))
}

/// Whether this load of the close hook is the one that counts.
#[inline(always)]
pub fn is_active_close_hook() -> bool {
    let own = constant(&SETTINGS, offset_of!(Settings, close_id));
    CONFIG
        .get(config::CLOSE_ID)
        .is_some_and(|active| *active == u64::from(own))
}

#[inline(always)]
pub fn is_scoped() -> bool {
    constant(&SETTINGS, offset_of!(Settings, scoped)) != 0
}

/// Where the running kernel keeps a structure member; `field` is `offset_of!(Offsets, member)`.
#[inline(always)]
pub fn kernel_offset(field: usize) -> usize {
    constant(&OFFSETS, field) as usize
}

#[inline(always)]
pub fn active_policy() -> ActivePolicy {
    match CONFIG.get(config::ACTIVE_POLICY) {
        Some(raw) => ActivePolicy::from_raw(*raw),
        None => ActivePolicy::from_raw(0),
    }
}

#[inline(always)]
pub fn destination_of_address(key: &AddressKey) -> Option<&'static Destination> {
    // SAFETY: values are only replaced as a whole; a reader sees the old or the new one.
    unsafe { ADDRESSES.get(key) }
}

#[inline(always)]
pub fn destination_of_prefix(key: PrefixKey) -> Option<&'static Destination> {
    PREFIXES.get(lpm_trie::Key::new(PrefixKey::FULL_BITS, key))
}

/// The rules of one slot.
pub struct Rules {
    pub slot: Slot,
}

impl PolicyLookup for Rules {
    #[inline(always)]
    fn rule(&self, identity: IdentityId, endpoint: EndpointId) -> Option<&RuleEntry> {
        // SAFETY: values are only replaced as a whole; a reader sees the old or the new one.
        unsafe { RULES.get(RuleKey::new(identity, endpoint, self.slot)) }
    }
}

#[inline(always)]
pub fn identity_of_cgroup(cgroup: u64) -> Option<IdentityId> {
    // SAFETY: values are only replaced as a whole; a reader sees the old or the new one.
    unsafe { IDENTITIES.get(cgroup) }.map(|known| known.identity)
}

/// Remembers for `cgroup` what its ancestor is, until the agent names it.
#[inline(always)]
pub fn inherit_identity(cgroup: u64, identity: IdentityId) {
    let inherited = CgroupIdentity {
        identity,
        flags: CgroupIdentity::INHERITED,
    };
    if let Err(error) = IDENTITIES.insert(cgroup, inherited, u64::from(BPF_NOEXIST))
        && error != -EEXIST
    {
        count_loss(Loss::IdentityMapFull);
    }
}

/// The counter row for `key`, made if absent, and whether it was made now. `None` only if not even
/// the overflow row exists.
#[inline(always)]
pub fn counters(key: &CounterKey) -> Option<(*mut Counters, bool)> {
    if let Some(row) = COUNTERS.get_ptr_mut(key) {
        return Some((row, false));
    }
    #[expect(
        clippy::needless_borrows_for_generic_args,
        reason = "by value the row would be built on the stack"
    )]
    let added = COUNTERS.insert(key, &NEW_ROW, u64::from(BPF_NOEXIST));
    if let Some(row) = COUNTERS.get_ptr_mut(key) {
        return Some((row, added.is_ok()));
    }
    count_loss(Loss::CounterMapFull);
    let row = COUNTERS.get_ptr_mut(CounterKey::OVERFLOW)?;
    Some((row, false))
}

#[inline(always)]
pub fn remember_open(cookie: u64, connection: &OpenConnection) {
    if OPEN.insert(cookie, connection, 0).is_err() {
        count_loss(Loss::CloseUnattributed);
    }
}

#[inline(always)]
pub fn open_connection(cookie: u64) -> Option<&'static OpenConnection> {
    // SAFETY: one socket has one close, and only its connect wrote the value.
    unsafe { OPEN.get(cookie) }
}

#[inline(always)]
pub fn forget_open(cookie: u64) {
    // An entry that is gone already was evicted: there is nothing left to forget.
    let _ = OPEN.remove(cookie);
}

#[inline(always)]
pub fn reserve_event() -> Option<RingBufEntry<Event>> {
    EVENTS.reserve::<Event>(0)
}

#[inline(always)]
pub fn count_loss(loss: Loss) {
    if let Some(count) = LOSSES.get_ptr_mut(loss as u32) {
        // SAFETY: a valid pointer into an array map.
        unsafe { atomic_add(count, 1) };
    }
}

const EEXIST: i32 = 17;
