//! Tells the agent which connection to end, at once: the caller waits.

use agent_common::{
    inspected::{Inspected, Refusal},
    loss::Loss,
};
use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_get_socket_cookie};
use core::ptr::read_volatile;

use crate::{maps, packet};

/// Wakes the agent whatever it has not read yet.
const BPF_RB_FORCE_WAKEUP: u64 = 2;
const AF_INET: u32 = 2;

#[inline(always)]
pub fn report(skb: *mut __sk_buff, inspected: &Inspected) {
    let interface = match packet::socket(skb) {
        // SAFETY: a full socket, whose member is read once.
        Some(socket) => unsafe { read_volatile(&raw const (*socket).bound_dev_if) },
        None => 0,
    };
    let Some(mut entry) = maps::reserve_refusal() else {
        maps::count_loss(Loss::RefusalRingFull);
        return;
    };
    let place: *mut Refusal = entry.as_mut_ptr();
    // SAFETY: the entry is exclusively ours until it is submitted, and every field is written; the
    // kernel hands in a valid context, of which each field is read once and by itself.
    unsafe {
        let family = read_volatile(&raw const (*skb).family);
        let local_4 = read_volatile(&raw const (*skb).local_ip4);
        let remote_4 = read_volatile(&raw const (*skb).remote_ip4);
        let local_6 = read_volatile(&raw const (*skb).local_ip6);
        let remote_6 = read_volatile(&raw const (*skb).remote_ip6);
        let local_port = read_volatile(&raw const (*skb).local_port);
        let remote_port = read_volatile(&raw const (*skb).remote_port);
        // Of the socket that sends: with MPTCP it is another than the one that was connected.
        (&raw mut (*place).cookie).write(bpf_get_socket_cookie(skb.cast()));
        if family == AF_INET {
            (&raw mut (*place).local).write([local_4, 0, 0, 0]);
            (&raw mut (*place).remote).write([remote_4, 0, 0, 0]);
        } else {
            (&raw mut (*place).local).write(local_6);
            (&raw mut (*place).remote).write(remote_6);
        }
        (&raw mut (*place).local_port).write(local_port as u16);
        (&raw mut (*place).remote_port).write(u32::from_be(remote_port) as u16);
        (&raw mut (*place).family).write(family);
        (&raw mut (*place).pid).write(inspected.pid);
        (&raw mut (*place).interface).write(interface);
    }
    entry.submit(BPF_RB_FORCE_WAKEUP);
}
