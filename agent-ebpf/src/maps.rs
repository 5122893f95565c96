//! The maps and constants, private to this module: everything else sees verbs.

mod calls;
mod cgroup;
mod foreign;
mod learned;
mod limit;
mod live;
mod process;

pub use self::{calls::*, cgroup::*, foreign::*, learned::*, limit::*, live::*, process::*};

use core::mem::offset_of;

use agent_common::{
    abi,
    address::Address,
    counter::{CounterKey, Counters},
    destination::{AddressKey, Destination, EndpointId, PrefixKey},
    event::Event,
    identity::IdentityId,
    inspected::{Inspected, Refusal},
    loss::Loss,
    name::{NameKey, NameNode},
    open::OpenConnection,
    policy::{PolicyLookup, RuleEntry, RuleKey},
    presence,
    settings::{ActivePolicy, Offsets, Settings, Slot, config, resolver},
};
use aya_ebpf::{
    Global,
    bindings::{__sk_buff, BPF_F_NO_PREALLOC, BPF_NOEXIST, BPF_SK_STORAGE_GET_F_CREATE, bpf_sock},
    btf_maps::SkStorage,
    helpers::generated::{bpf_sk_storage_delete, bpf_sk_storage_get},
    macros::{btf_map, map},
    maps::{
        Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf, lpm_trie, ring_buf::RingBufEntry,
    },
};

use crate::{dns::Scratch, kernel::atomic_add, packet};

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
static PRESENT: Array<u32> = Array::with_max_entries(presence::COUNT, 0);
#[map]
static RULES: HashMap<RuleKey, RuleEntry> =
    HashMap::with_max_entries(2 * abi::MAX_RULES, BPF_F_NO_PREALLOC);
#[map]
static COUNTERS: HashMap<CounterKey, Counters> =
    HashMap::with_max_entries(abi::MAX_COUNTERS, BPF_F_NO_PREALLOC);
#[map]
static OPEN: LruHashMap<u64, OpenConnection> = LruHashMap::with_max_entries(abi::MAX_OPEN, 0);
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(abi::EVENT_RING_BYTES, 0);
#[map]
static NAMES: HashMap<NameKey, NameNode> =
    HashMap::with_max_entries(2 * abi::MAX_NAMES, BPF_F_NO_PREALLOC);
#[map]
static RESOLVERS: HashMap<Address, u32> =
    HashMap::with_max_entries(abi::MAX_RESOLVERS, BPF_F_NO_PREALLOC);
#[map]
static REFUSALS: RingBuf = RingBuf::with_byte_size(abi::REFUSAL_RING_BYTES, 0);
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);
#[btf_map]
static INSPECTED: SkStorage<Inspected> = SkStorage::new();
#[map]
static LOSSES: Array<u64> = Array::with_max_entries(Loss::COUNT, 0);

#[unsafe(no_mangle)]
static SETTINGS: Global<Settings> = Global::new(Settings {
    mode: 0,
    close_source: 0,
    scoped: 0,
    close_id: 0,
    inspects: 0,
    netns: 0,
    arguments: 0,
});
#[unsafe(no_mangle)]
static OFFSETS: Global<Offsets> = Global::new(Offsets::ZERO);

/// A new counter row. In read-only memory: zeroing 120 bytes of stack would be a call to `memset`.
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

/// Whether it can be told who made a socket.
#[inline(always)]
pub fn sees_makers() -> bool {
    constant(&OFFSETS, offset_of!(Offsets, kernfs_node_id)) != 0
}

/// Whether the verifier lets the programs follow pointers from a socket and from a task.
#[inline(always)]
pub fn is_typed() -> bool {
    constant(&OFFSETS, offset_of!(Offsets, is_typed)) != 0
}

/// Whether first flights are looked at.
#[inline(always)]
pub fn inspects() -> bool {
    constant(&SETTINGS, offset_of!(Settings, inspects)) != 0
}

/// Inode of the agent's network namespace.
#[inline(always)]
pub fn own_namespace() -> u32 {
    constant(&SETTINGS, offset_of!(Settings, netns))
}

/// Whether the first bytes of a process's arguments are kept.
#[inline(always)]
pub fn keeps_arguments() -> bool {
    constant(&SETTINGS, offset_of!(Settings, arguments)) != 0
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

/// False if nothing is known at a place of [`presence`].
#[inline(always)]
pub fn may_be_present(place: u32) -> bool {
    PRESENT.get(place).is_some_and(|mark| *mark != 0)
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
        rule(identity, endpoint, self.slot)
    }
}

#[inline(always)]
pub fn rule(identity: IdentityId, endpoint: EndpointId, slot: Slot) -> Option<&'static RuleEntry> {
    // SAFETY: values are only replaced as a whole; a reader sees the old or the new one.
    unsafe { RULES.get(RuleKey::new(identity, endpoint, slot)) }
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

#[inline(always)]
pub fn name_node(key: &NameKey) -> Option<&'static NameNode> {
    // SAFETY: values are only replaced as a whole; a reader sees the old or the new one.
    unsafe { NAMES.get(key) }
}

/// Whether some endpoint is at this port, in host order.
#[inline(always)]
pub fn is_endpoint_port(port: u16) -> bool {
    name_node(&NameKey::of_port(port, active_policy().slot)).is_some()
}

/// What is known about a resolver: `None` if it is not believed, else whether it is only a hint.
#[inline(always)]
pub fn resolver(address: &Address) -> Option<bool> {
    // SAFETY: a value of one word.
    unsafe { RESOLVERS.get(address) }.map(|trust| *trust == resolver::HINT)
}

/// This processor's scratch. Only for `ingress`, which nothing interrupts on its processor.
#[inline(always)]
pub fn scratch() -> Option<&'static mut Scratch> {
    // SAFETY: no other program uses it, and packets are received with soft interrupts disabled.
    SCRATCH
        .get_ptr_mut(0)
        .map(|scratch| unsafe { &mut *scratch })
}

/// What is kept with `socket`, if anything.
#[inline(always)]
pub fn inspected(socket: *mut bpf_sock) -> Option<&'static mut Inspected> {
    kept(&raw const INSPECTED, socket, 0)
}

/// As [`inspected`], made if absent, all zero. `None` if there is no room.
#[inline(always)]
pub fn inspect(socket: *mut bpf_sock) -> Option<&'static mut Inspected> {
    kept(
        &raw const INSPECTED,
        socket,
        u64::from(BPF_SK_STORAGE_GET_F_CREATE),
    )
}

#[inline(always)]
pub fn end_inspection(socket: *mut bpf_sock) {
    forget_kept(&raw const INSPECTED, socket);
}

/// What a map of socket storage keeps with `socket`.
#[inline(always)]
fn kept<T>(map: *const SkStorage<T>, socket: *mut bpf_sock, flags: u64) -> Option<&'static mut T> {
    let map = map.cast_mut().cast();
    // SAFETY: the map is one of socket storage; null stands for a value of zeroes. What packets of
    // one socket write at the same time is the same, or whole words of the one or the other.
    unsafe {
        bpf_sk_storage_get(map, socket.cast(), core::ptr::null_mut(), flags)
            .cast::<T>()
            .as_mut()
    }
}

#[inline(always)]
fn forget_kept<T>(map: *const SkStorage<T>, socket: *mut bpf_sock) {
    let map = map.cast_mut().cast();
    // SAFETY: as above. It fails only if there is nothing to delete.
    unsafe { bpf_sk_storage_delete(map, socket.cast()) };
}

/// What is kept with the socket that sends a packet, for functions that only get the packet.
#[inline(always)]
pub fn inspected_of(skb: *mut __sk_buff) -> Option<&'static mut Inspected> {
    inspected(packet::socket(skb)?)
}

#[inline(always)]
pub fn reserve_refusal() -> Option<RingBufEntry<Refusal>> {
    REFUSALS.reserve::<Refusal>(0)
}

const EEXIST: i32 = 17;
