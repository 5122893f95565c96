//! A process asks for a socket: most that are neither TCP nor UDP send what no other hook can judge.
//!
//! `cgroup/sock_create`: `BPF_CGROUP_RUN_PROG_INET_SOCK`, 4.10 and later, for IPv4 and IPv6, in the
//! caller's context and not for sockets of the kernel's own. Return 0: `socket()` fails with `EPERM`.
//! LSM hook `socket_create`: `int (int family, int type, int protocol, int kern)`, 5.7 and later with
//! `bpf` among the kernel's security modules, for every other family; global. Likewise
//! `tun_dev_create`: `int (void)`, for TUN and TAP devices, whose packets come from no socket.

use core::ptr::read_volatile;

use agent_common::event::Event;
use aya_ebpf::{
    macros::{cgroup_sock, lsm},
    programs::{LsmContext, SockContext},
};

use super::{connect::return_code, errno};
use crate::socket::{self, Kind};

#[cgroup_sock(sock_create)]
pub fn sock_create(ctx: SockContext) -> i32 {
    // SAFETY: the kernel hands in a valid context with these fields, each read once.
    let kind = unsafe {
        Kind {
            family: read_volatile(&raw const (*ctx.sock).family),
            form: read_volatile(&raw const (*ctx.sock).type_),
            protocol: read_volatile(&raw const (*ctx.sock).protocol),
        }
    };
    if kind.is_judged_elsewhere() {
        return 1;
    }
    return_code(socket::judge(&kind))
}

#[lsm(hook = "socket_create")]
pub fn socket_create(ctx: LsmContext) -> i32 {
    let (of_kernel, before): (i32, i32) = (ctx.arg(3), ctx.arg(4));
    if before != 0 || of_kernel != 0 {
        return before;
    }
    let kind = Kind {
        family: ctx.arg(0),
        form: ctx.arg(1),
        protocol: 0,
    };
    if !kind.leaves_the_host() || !socket::concerns_caller() {
        return 0;
    }
    errno(socket::judge(&kind))
}

#[lsm(hook = "tun_dev_create")]
pub fn tun_create(ctx: LsmContext) -> i32 {
    let before: i32 = ctx.arg(0);
    if before != 0 || !socket::concerns_caller() {
        return before;
    }
    errno(socket::judge(&Kind {
        family: Event::TUN,
        form: 0,
        protocol: 0,
    }))
}
