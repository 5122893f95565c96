//! `sock_ops`: the final bytes of a TCP connection where `inet_sock_set_state` cannot be attached.
//!
//! Kernel: `BPF_SOCK_OPS_STATE_CB`, 4.16 and later. It sees only connections that `connect4/6`
//! remembered in `OPEN`; what that map has evicted keeps unknown bytes. The end of the peer's
//! stream is not visible here, so `bytes_in` may be one too small after a half-close.

use core::ptr::read_volatile;

use agent_common::{
    event::{Event, EventKind},
    tcp::{self, Final, state},
};
use aya_ebpf::{
    EbpfContext,
    bindings::{BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_STATE_CB_FLAG, BPF_SOCK_OPS_TCP_CONNECT_CB},
    helpers::generated::bpf_get_socket_cookie,
    macros::sock_ops,
    programs::SockOpsContext,
};

use crate::{
    attempt::{count_close, now_ns},
    maps,
};

#[sock_ops]
pub fn sock_ops(ctx: SockOpsContext) -> u32 {
    match ctx.op() {
        BPF_SOCK_OPS_TCP_CONNECT_CB => watch(&ctx),
        BPF_SOCK_OPS_STATE_CB => changed(&ctx),
        _ => {}
    }
    1
}

#[inline(always)]
fn cookie(ctx: &SockOpsContext) -> u64 {
    // SAFETY: the context is of a type that the helper accepts.
    unsafe { bpf_get_socket_cookie(ctx.as_ptr()) }
}

/// Asks for state changes of a connection that `connect4/6` decided.
#[inline(always)]
fn watch(ctx: &SockOpsContext) {
    if maps::open_connection(cookie(ctx)).is_some() {
        // A failure leaves the bytes unknown: the row's `closed` stays behind its `connects`.
        let _ = ctx.set_cb_flags(BPF_SOCK_OPS_STATE_CB_FLAG as i32);
    }
}

#[inline(always)]
fn changed(ctx: &SockOpsContext) {
    // SAFETY: the kernel hands in a valid context with these fields.
    let (old_state, new_state) = unsafe {
        let args = &raw const (*ctx.ops).__bindgen_anon_1.args;
        (
            read_volatile(&raw const (*args)[0]),
            read_volatile(&raw const (*args)[1]),
        )
    };
    if new_state != tcp::state::CLOSE {
        return;
    }
    let cookie = cookie(ctx);
    let Some(connection) = maps::open_connection(cookie) else {
        return;
    };
    let key = connection.key;
    let last = last(ctx, old_state);
    let event = Event {
        at_ns: now_ns(),
        cookie,
        detail: [last.bytes_out(), last.bytes_in()],
        address: connection.address,
        identity: key.identity,
        endpoint: key.endpoint,
        rule: key.rule,
        port: connection.port,
        kind_and_verdict: connection.kind_and_verdict & 0xf0 | EventKind::Close as u8,
        reason_and_flags: connection.reason_and_flags,
    };
    count_close(&key, &event);
    maps::forget_open(cookie);
}

#[inline(always)]
fn last(ctx: &SockOpsContext, old_state: u32) -> Final {
    // SAFETY: the kernel hands in a valid context with these fields.
    unsafe {
        let acked = read_volatile(&raw const (*ctx.ops).snd_una);
        let sent = read_volatile(&raw const (*ctx.ops).snd_nxt);
        Final {
            old_state,
            bytes_acked: read_volatile(&raw const (*ctx.ops).bytes_acked),
            bytes_received: read_volatile(&raw const (*ctx.ops).bytes_received),
            all_acked: acked == sent,
            peer_finished: matches!(
                old_state,
                state::FIN_WAIT2 | state::CLOSE_WAIT | state::LAST_ACK | state::CLOSING
            ),
        }
    }
}
