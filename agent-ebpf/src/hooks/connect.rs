//! `cgroup/connect4` and `cgroup/connect6`: before a socket is connected, in the caller's context.
//!
//! Kernel: `BPF_CGROUP_RUN_PROG_INET4_CONNECT`, 4.17 and later; also reached by TCP fast open and
//! io_uring. Return 1: go on. Return 0: the call fails with `EPERM` at once. A program that cannot
//! tell returns 1 only if policy allows it: see `Reason::NoPolicy`.

use agent_common::{event::EventKind, verdict::Verdict};
use aya_ebpf::{macros::cgroup_sock_addr, programs::SockAddrContext};

use crate::{attempt::judge, context};

#[cgroup_sock_addr(connect4)]
pub fn connect4(ctx: SockAddrContext) -> i32 {
    return_code(judge(&ctx, EventKind::Connect, context::target_v4))
}

#[cgroup_sock_addr(connect6)]
pub fn connect6(ctx: SockAddrContext) -> i32 {
    return_code(judge(&ctx, EventKind::Connect, context::target_v6))
}

/// What the kernel does with each verdict.
#[inline(always)]
pub(super) fn return_code(verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Allow | Verdict::WouldDeny => 1,
        Verdict::Deny => 0,
    }
}
