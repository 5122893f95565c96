//! `cgroup/sendmsg4` and `cgroup/sendmsg6`: before a datagram with an address of its own is sent.
//!
//! Kernel: `BPF_CGROUP_RUN_PROG_UDP4_SENDMSG_LOCK`, 4.18 and later; not reached by a connected
//! UDP socket that sends without an address, which `connect4/6` decided. An IPv4 or v4-mapped
//! address on an IPv6 socket arrives at `sendmsg4`. Return codes as in `connect`.

use agent_common::event::EventKind;
use aya_ebpf::{macros::cgroup_sock_addr, programs::SockAddrContext};

use super::connect::return_code;
use crate::{attempt::judge, context};

#[cgroup_sock_addr(sendmsg4)]
pub fn sendmsg4(ctx: SockAddrContext) -> i32 {
    return_code(judge(&ctx, EventKind::Datagram, context::target_v4))
}

#[cgroup_sock_addr(sendmsg6)]
pub fn sendmsg6(ctx: SockAddrContext) -> i32 {
    return_code(judge(&ctx, EventKind::Datagram, context::target_v6))
}
