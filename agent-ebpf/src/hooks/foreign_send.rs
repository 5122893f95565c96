//! Data on connections that another workload has made: inherited, handed over, or accepted from a
//! listener that was. The hooks of cgroups see nothing of who sends.
//!
//! BTF tracepoint `sock_send_length`: `void (struct sock *sk, int ret, int flags)`, 6.3 and later,
//! after each send that is a system call; splicing since 6.5. It comes after the data, so a refusal
//! cuts off what would follow. LSM hook `socket_sendmsg`: `int (struct socket *sock, struct msghdr
//! *msg, int size)`, 5.7 and later with `bpf` among the kernel's security modules, before the data:
//! 0 goes on, `-EPERM` is the caller's error. Both are global, so they leave quickly.

use aya_ebpf::{
    bindings::bpf_sock,
    macros::{btf_tracepoint, lsm},
    programs::{BtfTracePointContext, LsmContext},
};

use super::errno;
use crate::{
    foreign,
    kernel::{self, offset},
};

#[btf_tracepoint(function = "sock_send_length")]
pub fn foreign_send(ctx: BtfTracePointContext) -> i32 {
    let sent: i32 = ctx.arg(1);
    if sent > 0 {
        foreign::sent(ctx.arg::<*const bpf_sock>(0).cast_mut());
    }
    0
}

#[lsm(hook = "socket_sendmsg")]
pub fn foreign_sendmsg(ctx: LsmContext) -> i32 {
    let before: i32 = ctx.arg(3);
    if before != 0 {
        return before;
    }
    // SAFETY: the kernel hands in a socket; the offset comes from its BTF.
    let sock = unsafe { kernel::follow::<bpf_sock>(ctx.arg(0), offset!(socket_sk)) };
    if sock.is_null() {
        return 0;
    }
    errno(foreign::may_send(sock))
}
