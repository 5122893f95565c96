//! Who may send on a connection that another workload has made: both have to be entitled.
//!
//! Counted and told once for each socket and sender. A connection whose verdict depends on a name
//! is left to the look at its first flight.

use core::mem::MaybeUninit;

use agent_common::{
    event::EventKind,
    foreign::ForeignUse,
    settings::Mode,
    verdict::{Verdict, settle},
};
use aya_ebpf::{bindings::bpf_sock, helpers::generated::bpf_get_socket_cookie};

use crate::{
    attempt::{Attempt, account, now_ns},
    caller, cgroup,
    context::Target,
    found::{Judgement, Known},
    maps, peer, refusal, task,
};

/// Something has been sent: what is refused goes no further.
#[inline(always)]
pub fn sent(sock: *mut bpf_sock) {
    let Some(cgroups) = cgroups(sock.cast()) else {
        return;
    };
    let told = judge(sock, cgroups, false);
    if told as u32 != Verdict::Deny as u32 {
        return;
    }
    // SAFETY: the kernel's own pointer to a socket.
    let cookie = unsafe { bpf_get_socket_cookie(sock.cast()) };
    maps::refuse(sock, cookie);
    refusal::report_socket(sock.cast(), cookie, task::process_id());
}

/// Something is about to be sent.
#[inline(always)]
pub fn may_send(sock: *mut bpf_sock) -> Verdict {
    match cgroups(sock.cast()) {
        Some(cgroups) => judge(sock, cgroups, true),
        None => Verdict::Allow,
    }
}

/// The cgroups of caller and maker.
#[derive(Clone, Copy)]
struct Cgroups {
    caller: u64,
    maker: u64,
}

/// `None` for nearly every send: an IP socket of the caller's own cgroup, or no IP socket.
#[inline(always)]
fn cgroups(sock: *const u8) -> Option<Cgroups> {
    peer::family(sock)?;
    let maker = cgroup::of_socket(sock)?;
    let caller = task::cgroup();
    if caller == maker {
        return None;
    }
    // Below a scope, somebody outside is nobody's business.
    let knows = |cgroup| maps::identity_of_cgroup(cgroup).is_some();
    let concerns = !maps::is_scoped() || knows(caller) && knows(maker);
    concerns.then_some(Cgroups { caller, maker })
}

/// `always`: also for a sender who has been judged before.
#[inline(always)]
fn judge(sock: *mut bpf_sock, cgroups: Cgroups, always: bool) -> Verdict {
    let active = maps::active_policy();
    let (Some(protocol), Some(target)) = (peer::protocol(sock.cast()), peer::target(sock.cast()))
    else {
        return Verdict::Allow;
    };
    // A datagram with an address of its own was judged by it.
    let known = Known::about(active, &target);
    if target.port == 0 || known.is_nothing() {
        return Verdict::Allow;
    }
    let Cgroups { caller, maker } = cgroups;
    let mut told = MaybeUninit::uninit();
    caller::identify_both(caller, maker, active.to_raw(), &mut told);
    let attempt = Attempt {
        kind: EventKind::Send,
        target,
        is_udp: protocol == peer::IPPROTO_UDP,
        flags: 0,
        // SAFETY: `identify_both` has written all of it.
        caller: unsafe { told.assume_init() },
        // SAFETY: the kernel's own pointer to a socket.
        cookie: unsafe { bpf_get_socket_cookie(sock.cast()) },
        now_ns: now_ns(),
    };
    if !attempt.caller.is_foreign() {
        return Verdict::Allow;
    }
    let used = ForeignUse {
        cookie: attempt.cookie,
        identity: attempt.caller.identity,
        peer: fold(&attempt.target),
    };
    let is_told = maps::is_foreign_use_told(&used);
    if is_told && !always {
        return Verdict::Allow;
    }
    let judgement = Judgement::of_caller(
        &attempt.target,
        known,
        active.slot,
        &attempt.caller,
        attempt.now_ns,
    );
    let depends_on_name = maps::inspects()
        && !attempt.is_udp
        && judgement.is_ambiguous()
        && !judgement.network_refuses();
    if !judgement.decision.is_governed() || depends_on_name {
        return Verdict::Allow;
    }
    if is_told {
        return settled(&judgement);
    }
    maps::remember_foreign_use(&used);
    account(&attempt, judgement.decision)
}

#[inline(always)]
fn settled(judgement: &Judgement) -> Verdict {
    settle(Mode::from_raw(maps::mode()), &judgement.decision)
}

/// Tells peers of one socket apart.
#[inline(always)]
fn fold(target: &Target) -> u32 {
    let (high, low) = target.address.halves();
    let word = high ^ low;
    (word ^ word >> 32) as u32 ^ u32::from(target.port)
}
