//! Connections that were let through and may be ended.

use agent_common::{
    live::Live,
    loss::Loss,
    settings::{Mode, config},
};
use aya_ebpf::{
    bindings::{__sk_buff, BPF_SK_STORAGE_GET_F_CREATE, bpf_sock},
    btf_maps::SkStorage,
    macros::btf_map,
};

use super::{CONFIG, count_loss, forget_kept, kept, mode};
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
    kept(&raw const LIVE, socket, 0)
}

/// As [`live`], of the socket of a packet, for functions that only get the packet.
#[inline(always)]
pub fn live_of(skb: *mut __sk_buff) -> Option<&'static mut Live> {
    live(packet::socket(skb)?)
}

/// As [`live`], made if absent, all zero.
#[inline(always)]
pub fn watch(socket: *mut bpf_sock) -> Option<&'static mut Live> {
    let live = kept(
        &raw const LIVE,
        socket,
        u64::from(BPF_SK_STORAGE_GET_F_CREATE),
    );
    if live.is_none() {
        count_loss(Loss::LiveUnwatched);
    }
    live
}

#[inline(always)]
pub fn forget_live(socket: *mut bpf_sock) {
    forget_kept(&raw const LIVE, socket);
}
