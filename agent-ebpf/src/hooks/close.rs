//! BTF tracepoint `inet_sock_set_state`: the final bytes of a TCP connection.
//!
//! Kernel: `void (const struct sock *sk, const int oldstate, const int newstate)`, 5.5 and later.
//! It fires before an abort clears the byte counts, which later hooks miss. The return code has no
//! effect. It is global, so it must leave quickly: a socket without a cookie was never decided.

use agent_common::{
    counter::CounterKey,
    event::{Event, EventKind},
    identity::IdentityId,
    loss::Loss,
    settings::Mode,
    tcp::{self, Final},
    verdict::settle,
};
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{
    attempt::{count_close, now_ns},
    cgroup,
    context::Target,
    found::{Judgement, Known},
    kernel::{offset, read},
    maps, peer,
};

/// `SOCK_DONE` in `enum sock_flags`: the peer's FIN has arrived.
const SOCK_DONE: u64 = 1 << 1;

#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn sock_state(ctx: BtfTracePointContext) -> i32 {
    let new_state: i32 = ctx.arg(2);
    let old_state: i32 = ctx.arg(1);
    if new_state as u32 == tcp::state::CLOSE && old_state as u32 != tcp::state::CLOSE {
        closed(ctx.arg(0), old_state as u32);
    }
    0
}

#[inline(always)]
fn closed(sock: *const u8, old_state: u32) {
    // SAFETY: the offsets come from the running kernel's BTF.
    let cookie: u64 = match unsafe { read(sock, offset!(sock_cookie)) } {
        Some(cookie) if cookie != 0 => cookie,
        Some(_) | None => return,
    };
    if !maps::is_active_close_hook() {
        return;
    }
    let Some(target) = target(sock) else {
        return;
    };
    let known = maps::open_connection(cookie);
    let Some(decided) = (match known {
        Some(connection) => Some(Decided {
            key: connection.key,
            verdict: connection.kind_and_verdict >> 4,
            flags: connection.reason_and_flags,
        }),
        None => by_address(sock, &target),
    }) else {
        return;
    };
    let Some(last) = last(sock, old_state) else {
        maps::count_loss(Loss::CloseUnattributed);
        return;
    };
    let event = Event {
        at_ns: now_ns(),
        cookie,
        detail: [last.bytes_out(), last.bytes_in()],
        address: target.address,
        identity: decided.key.identity,
        endpoint: decided.key.endpoint,
        rule: decided.key.rule,
        port: target.port,
        kind_and_verdict: Event::pack_kind(EventKind::Close, decided.verdict),
        reason_and_flags: decided.flags,
    };
    count_close(&decided.key, &event);
    if known.is_some() {
        maps::forget_open(cookie);
    }
}

/// What the connection was decided as.
struct Decided {
    key: CounterKey,
    verdict: u8,
    flags: u8,
}

/// By what is known about the peer's address, unless only a name could tell: then the connection
/// never said enough to be decided.
#[inline(always)]
fn by_address(sock: *const u8, target: &Target) -> Option<Decided> {
    let active = maps::active_policy();
    let known = Known::about(active, target);
    if known.is_nothing() {
        return None;
    }
    let identity = match cgroup::of_socket(sock).and_then(maps::identity_of_cgroup) {
        Some(identity) => identity,
        // Below a scope, a cgroup that never connected here belongs to somebody else.
        None if maps::is_scoped() => return None,
        None => IdentityId::UNKNOWN,
    };
    let judgement = Judgement::of(target, known, active.slot, identity, now_ns());
    let decision = judgement.decision;
    if !decision.is_governed() || maps::inspects() && judgement.is_ambiguous() {
        return None;
    }
    let verdict = settle(Mode::from_raw(maps::mode()), &decision);
    Some(Decided {
        key: CounterKey::new(identity, &decision),
        verdict: verdict as u8,
        flags: decision.reason_raw(),
    })
}

/// The peer of a TCP socket; `None` for other protocols, whose structures differ.
#[inline(always)]
fn target(sock: *const u8) -> Option<Target> {
    if peer::protocol(sock)? != peer::IPPROTO_TCP {
        return None;
    }
    peer::target(sock)
}

#[inline(always)]
fn last(sock: *const u8, old_state: u32) -> Option<Final> {
    // SAFETY: the offsets come from the running kernel's BTF.
    unsafe {
        let acked: u32 = read(sock, offset!(tcp_snd_una))?;
        let written: u32 = read(sock, offset!(tcp_write_seq))?;
        let flags: u64 = read(sock, offset!(sock_flags))?;
        Some(Final {
            old_state,
            bytes_acked: read(sock, offset!(tcp_bytes_acked))?,
            bytes_received: read(sock, offset!(tcp_bytes_received))?,
            all_acked: acked == written,
            peer_finished: flags & SOCK_DONE != 0,
        })
    }
}
