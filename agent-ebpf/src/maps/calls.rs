//! Connections whose calls are counted.

use agent_common::{calls::Calls, loss::Loss, settings::config};
use aya_ebpf::{
    bindings::{__sk_buff, BPF_SK_STORAGE_GET_F_CREATE, bpf_sock},
    btf_maps::SkStorage,
    macros::btf_map,
};

use super::{CONFIG, count_loss, forget_kept, kept};
use crate::packet;

#[btf_map]
static CALLS: SkStorage<Calls> = SkStorage::new();

/// Whether the programs that count calls are in force.
#[inline(always)]
pub fn counts_calls() -> bool {
    CONFIG
        .get(config::COUNTS_CALLS)
        .is_some_and(|counts| *counts != 0)
}

#[inline(always)]
pub fn calls(socket: *mut bpf_sock) -> Option<&'static mut Calls> {
    kept(&raw const CALLS, socket, 0)
}

/// As [`calls`], of the socket of a packet, for functions that only get the packet.
#[inline(always)]
pub fn calls_of(skb: *mut __sk_buff) -> Option<&'static mut Calls> {
    calls(packet::socket(skb)?)
}

/// As [`calls`], made if absent, all zero.
#[inline(always)]
pub fn meter(socket: *mut bpf_sock) -> Option<&'static mut Calls> {
    let calls = kept(
        &raw const CALLS,
        socket,
        u64::from(BPF_SK_STORAGE_GET_F_CREATE),
    );
    if calls.is_none() {
        count_loss(Loss::CallsUncounted);
    }
    calls
}

#[inline(always)]
pub fn forget_calls(socket: *mut bpf_sock) {
    forget_kept(&raw const CALLS, socket);
}
