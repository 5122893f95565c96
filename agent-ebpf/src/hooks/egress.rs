//! `cgroup_skb/egress`: before a packet of a socket leaves.
//!
//! Kernel: `BPF_CGROUP_RUN_PROG_INET_EGRESS`, 4.10 and later; before segmentation, fragmentation
//! and queueing, after the rewriting of addresses. Return 1: the packet goes on. Return 0: it is
//! dropped; a datagram's caller gets `EPERM`, a stream's learns nothing. Sockets without a mark,
//! which is nearly all, leave after one look-up.

use agent_common::{inspected::State, verdict::Verdict};
use aya_ebpf::{bindings::__sk_buff, macros::cgroup_skb, programs::SkBuffContext};

use crate::{ending, flight, live, maps, packet, quic, sharing};

#[cgroup_skb(egress)]
pub fn egress(ctx: SkBuffContext) -> i32 {
    match judge(ctx.skb.skb) {
        Verdict::Allow | Verdict::WouldDeny => 1,
        Verdict::Deny => 0,
    }
}

#[inline(always)]
fn judge(skb: *mut __sk_buff) -> Verdict {
    if !live::passes(skb) {
        return flight::unreadable();
    }
    let Some(socket) = packet::any_socket(skb) else {
        return Verdict::Allow;
    };
    let Some(inspected) = maps::inspected(socket) else {
        return Verdict::Allow;
    };
    let transport = packet::transport(skb);
    let protocol = (transport >> 16) as u32;
    let header = transport as u32 & 0x3ff;
    if inspected.state == State::Datagrams as u32 {
        if protocol == packet::UDP
            && (quic::has_long_header(skb, header) != 0 || sharing::is_shared(skb))
            && ending::refuse_quic(skb) == Verdict::Deny as u32
        {
            return flight::unreadable();
        }
        return Verdict::Allow;
    }
    if protocol != packet::TCP {
        return flight::unreadable();
    }
    flight::judge(skb, inspected, header)
}
