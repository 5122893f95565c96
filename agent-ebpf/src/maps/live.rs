//! Connections that were let through and may be ended.

use agent_common::{
    live::Live,
    loss::Loss,
    settings::{Mode, config},
};
use aya_ebpf::{
    bindings::{__sk_buff, BPF_SK_STORAGE_GET_F_CREATE, bpf_sock},
    btf_maps::SkStorage,
    helpers::generated::{bpf_sk_storage_delete, bpf_sk_storage_get},
    macros::btf_map,
};

use super::{CONFIG, count_loss, mode};
use crate::packet;

#[btf_map]
static LIVE: SkStorage<Live> = SkStorage::new();

/// Whether connections can be ended at all: otherwise nothing is kept of them.
#[inline(always)]
pub fn ends_connections() -> bool {
    mode() == Mode::Enforce as u32
}

/// Counts changes after which a connection may not be entitled any more.
#[inline(always)]
pub fn epoch() -> u64 {
    CONFIG.get(config::EPOCH).map_or(0, |epoch| *epoch)
}

#[inline(always)]
pub fn live(socket: *mut bpf_sock) -> Option<&'static mut Live> {
    storage(socket, 0)
}

/// As [`live`], of the socket of a packet, for functions that only get the packet.
#[inline(always)]
pub fn live_of(skb: *mut __sk_buff) -> Option<&'static mut Live> {
    live(packet::socket(skb)?)
}

/// As [`live`], made if absent, all zero.
#[inline(always)]
pub fn watch(socket: *mut bpf_sock) -> Option<&'static mut Live> {
    let live = storage(socket, u64::from(BPF_SK_STORAGE_GET_F_CREATE));
    if live.is_none() {
        count_loss(Loss::LiveUnwatched);
    }
    live
}

#[inline(always)]
pub fn forget_live(socket: *mut bpf_sock) {
    let map = (&raw const LIVE).cast_mut().cast();
    // SAFETY: the map is one of socket storage. It fails only if there is nothing to delete.
    unsafe { bpf_sk_storage_delete(map, socket.cast()) };
}

#[inline(always)]
fn storage(socket: *mut bpf_sock, flags: u64) -> Option<&'static mut Live> {
    let map = (&raw const LIVE).cast_mut().cast();
    // SAFETY: the map is one of socket storage; null stands for a value of zeroes. Two packets of
    // one socket judge alike: a torn value has the one's or the other's members.
    unsafe {
        bpf_sk_storage_get(map, socket.cast(), core::ptr::null_mut(), flags)
            .cast::<Live>()
            .as_mut()
    }
}
