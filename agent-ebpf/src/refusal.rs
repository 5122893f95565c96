//! Tells the agent which connection to end, at once.

use agent_common::{inspected::Refusal, loss::Loss};
use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_get_socket_cookie};
use core::ptr::read_volatile;

use crate::{
    kernel::{offset, read},
    maps, packet, peer,
};

/// Wakes the agent whatever it has not read yet.
const BPF_RB_FORCE_WAKEUP: u64 = 2;
const AF_INET: u32 = 2;

#[inline(always)]
pub fn report(skb: *mut __sk_buff, pid: u32, is_udp: bool) {
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
        (&raw mut (*place).family).write(family as u16);
        (&raw mut (*place).protocol).write(if is_udp {
            peer::IPPROTO_UDP
        } else {
            peer::IPPROTO_TCP
        });
        (&raw mut (*place).pid).write(pid);
        (&raw mut (*place).interface).write(interface);
    }
    entry.submit(BPF_RB_FORCE_WAKEUP);
}

/// As [`report`], of a socket at `sock` that `pid` uses.
#[inline(always)]
pub fn report_socket(sock: *const u8, cookie: u64, pid: u32) -> Option<()> {
    let family = peer::family(sock)?;
    let protocol = peer::protocol(sock)?;
    let Some(mut entry) = maps::reserve_refusal() else {
        maps::count_loss(Loss::RefusalRingFull);
        return None;
    };
    let place: *mut Refusal = entry.as_mut_ptr();
    // SAFETY: the entry is exclusively ours until it is submitted, and every field is written; the
    // offsets come from the running kernel's BTF.
    unsafe {
        (&raw mut (*place).cookie).write(cookie);
        if family == peer::AF_INET {
            let local = read(sock, offset!(sock_rcv_saddr)).unwrap_or(0);
            let remote = read(sock, offset!(sock_daddr)).unwrap_or(0);
            (&raw mut (*place).local).write([local, 0, 0, 0]);
            (&raw mut (*place).remote).write([remote, 0, 0, 0]);
        } else {
            let local = read(sock, offset!(sock_v6_rcv_saddr)).unwrap_or([0; 4]);
            let remote = read(sock, offset!(sock_v6_daddr)).unwrap_or([0; 4]);
            (&raw mut (*place).local).write(local);
            (&raw mut (*place).remote).write(remote);
        }
        let local_port = read(sock, offset!(sock_num)).unwrap_or(0);
        let remote_port = read::<u16>(sock, offset!(sock_dport)).unwrap_or(0);
        let interface = read(sock, offset!(sock_bound_if)).unwrap_or(0);
        (&raw mut (*place).local_port).write(local_port);
        (&raw mut (*place).remote_port).write(u16::from_be(remote_port));
        (&raw mut (*place).family).write(family);
        (&raw mut (*place).protocol).write(protocol);
        (&raw mut (*place).pid).write(pid);
        (&raw mut (*place).interface).write(interface);
    }
    entry.submit(BPF_RB_FORCE_WAKEUP);
    Some(())
}
