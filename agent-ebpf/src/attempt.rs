//! One attempt to reach a destination: find, decide, count, tell.
//!
//! The order is the promise: the verdict exists before a counter is touched or an event reserved,
//! so neither a full map nor a full ring can change it.

use core::mem::MaybeUninit;

use agent_common::{
    counter::{CounterKey, Counters},
    event::{Event, EventKind},
    open::OpenConnection,
    policy::RuleId,
    settings::{ActivePolicy, CloseSource, Mode},
    verdict::{Decision, Reason, Verdict, settle},
};
use aya_ebpf::{helpers::generated::bpf_ktime_get_boot_ns, programs::SockAddrContext};

use crate::{
    caller::{self, Caller},
    calls,
    context::{self, Target},
    decide::in_shadow,
    events,
    found::{Judgement, Known},
    inspection,
    kernel::atomic_add,
    limit, live, maps,
};

#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: no arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// One attempt with everything that is known about its caller.
pub struct Attempt {
    pub kind: EventKind,
    pub target: Target,
    pub is_udp: bool,
    /// Flags of the event.
    pub flags: u8,
    pub caller: Caller,
    pub cookie: u64,
    pub now_ns: u64,
}

/// Decides one `connect()` or one datagram and accounts for it.
#[inline(always)]
pub fn judge(
    ctx: &SockAddrContext,
    kind: EventKind,
    target: impl FnOnce(&SockAddrContext, &mut Target) -> u32,
) -> Verdict {
    let active = maps::active_policy();
    // In place: there is no room on the stack for a copy.
    let mut attempt = MaybeUninit::<Attempt>::uninit();
    let place = attempt.as_mut_ptr();
    // SAFETY: a member of a value that is ours, of integers only.
    let wanted = unsafe { &mut (*place).target };
    target(ctx, wanted);
    let target = &*wanted;
    let known = Known::about(active, target);
    let is_observing = maps::mode() == Mode::Observe as u32;
    if known.is_nothing() && (is_observing || !active.names_matter) {
        return Verdict::Allow;
    }
    // SAFETY: members of a value that is ours, and with these all of them.
    let attempt = unsafe {
        (&raw mut (*place).kind).write(kind);
        (&raw mut (*place).is_udp).write(context::is_udp(ctx));
        (&raw mut (*place).flags).write(0);
        (&raw mut (*place).cookie).write(0);
        (&raw mut (*place).now_ns).write(now_ns());
        let caller = &mut *(&raw mut (*place).caller).cast();
        caller::identify(ctx, active.to_raw(), caller);
        attempt.assume_init_mut()
    };
    if known.is_nothing() {
        return inspection::of_unknown(ctx, attempt, active.slot);
    }
    let caller = &attempt.caller;
    let (target, now_ns) = (&attempt.target, attempt.now_ns);
    let judgement = Judgement::of_caller(target, known, active.slot, caller, now_ns);
    conclude(ctx, attempt, &judgement, active)
}

/// Something is known about the target. Not inlined: see `found::judge`.
#[inline(never)]
fn conclude(
    ctx: &SockAddrContext,
    attempt: &mut Attempt,
    judgement: &Judgement,
    active: ActivePolicy,
) -> Verdict {
    let mut decision = judgement.decision;
    if !decision.is_governed() {
        // What is known there concerns other ports or other identities.
        if maps::mode() == Mode::Observe as u32 || !active.names_matter {
            return Verdict::Allow;
        }
        return inspection::of_unknown(ctx, attempt, active.slot);
    }
    if maps::inspects() {
        if judgement.is_ambiguous() && !judgement.network_refuses() && !attempt.is_udp {
            if inspection::of_shared(ctx, attempt, judgement.is_shared(), active.slot) {
                return Verdict::Allow;
            }
        } else if attempt.is_udp {
            if !inspection::of_datagrams(ctx, attempt, active.slot) && decision.is_entitled() {
                decision = Decision::new(Reason::Quic, RuleId::NONE, decision.endpoint());
            }
        } else {
            inspection::end(ctx);
        }
    }
    decision = limit::admit(decision, attempt.caller.identity, attempt.now_ns);
    decision = in_shadow(decision, attempt.caller.identity, active.slot);
    attempt.cookie = context::socket_cookie(ctx);
    if judgement.is_ambiguous() {
        attempt.flags = Event::SHARED;
    }
    let verdict = account(attempt, decision);
    if maps::ends_connections()
        && verdict as u32 != Verdict::Deny as u32
        && matches!(attempt.kind, EventKind::Connect)
        && let Some(live) = context::socket(ctx).and_then(maps::watch)
    {
        live::keep(live, attempt, &decision);
    }
    if is_metered(attempt.kind, verdict, attempt.is_udp)
        && let Some(socket) = context::socket(ctx)
    {
        calls::begin(socket, &CounterKey::new(attempt.caller.identity, &decision));
    }
    verdict
}

/// Whether calls are counted on what was judged.
#[inline(always)]
fn is_metered(kind: EventKind, verdict: Verdict, is_udp: bool) -> bool {
    matches!(kind, EventKind::Connect)
        && !matches!(verdict, Verdict::Deny)
        && !is_udp
        && maps::counts_calls()
}

/// Makes a verdict of a decision, counts it and tells the agent. Not inlined: its stack is free
/// again when others need theirs.
#[inline(never)]
pub fn account(attempt: &Attempt, decision: Decision) -> Verdict {
    let caller = &attempt.caller;
    let verdict = settle(Mode::from_raw(maps::mode()), &decision);
    let key = CounterKey::new(caller.identity, &decision);
    let is_new = count(&key, attempt.kind, verdict, attempt.is_udp, attempt.now_ns);
    let tells = match attempt.kind {
        EventKind::Connect
        | EventKind::Close
        | EventKind::Foreign
        | EventKind::Send
        | EventKind::Cut
        | EventKind::Socket => true,
        EventKind::Datagram => is_new || verdict as u8 != Verdict::Allow as u8,
    };
    if tells {
        let mut flags = decision.reason_raw() | attempt.flags;
        if attempt.is_udp {
            flags |= Event::UDP;
        }
        let event = Event {
            at_ns: attempt.now_ns,
            cookie: attempt.cookie,
            detail: [caller.cgroup, Event::pack_caller(caller.pid, caller.user)],
            address: attempt.target.address,
            identity: caller.identity,
            endpoint: decision.endpoint(),
            rule: decision.rule(),
            port: attempt.target.port,
            kind_and_verdict: Event::pack_kind(attempt.kind, verdict as u8),
            reason_and_flags: flags,
        };
        if caller.is_foreign() {
            let kind = Event::pack_kind(EventKind::Foreign, verdict as u8);
            events::emit_as(&event, kind, caller.maker, caller.maker_cgroup);
        }
        remember_if_needed(&event, &key, caller);
        events::emit(&event);
    }
    verdict
}

/// For the close hook, which cannot find out by itself what a first flight told and which process
/// called, and for its fallback, which cannot find the identity.
#[inline(always)]
fn remember_if_needed(event: &Event, key: &CounterKey, caller: &Caller) {
    let is_special = event.has(Event::NAMED) || caller.is_foreign() || caller.is_narrowed != 0;
    let is_needed = is_special || maps::close_source() == CloseSource::SockOps as u32;
    // What is sent on a connection of somebody else stays its maker's when it is counted.
    let is_made = event.kind_and_verdict & 0x0f == EventKind::Connect as u8;
    if !is_needed || !is_made || event.has(Event::UDP) {
        return;
    }
    let connection = OpenConnection {
        key: *key,
        address: event.address,
        port: event.port,
        kind_and_verdict: event.kind_and_verdict,
        reason_and_flags: event.reason_and_flags,
    };
    maps::remember_open(event.cookie, &connection);
}

/// Adds one to the row of `key`. True if the row is new.
#[inline(always)]
fn count(key: &CounterKey, kind: EventKind, verdict: Verdict, is_udp: bool, now_ns: u64) -> bool {
    let Some((row, is_new)) = maps::counters(key) else {
        return false;
    };
    // SAFETY: `row` points to a live map value.
    unsafe {
        atomic_add(field(row, kind, verdict), 1);
        if is_udp && matches!(kind, EventKind::Connect) && !matches!(verdict, Verdict::Deny) {
            atomic_add(&raw mut (*row).counts.udp_connects, 1);
        }
        if is_metered(kind, verdict, is_udp) {
            atomic_add(&raw mut (*row).counts.metered, 1);
        }
        if (*row).first_ns == 0 {
            (*row).first_ns = now_ns;
        }
        (*row).last_ns = now_ns;
    }
    is_new
}

/// # Safety
///
/// `row` points to a live map value.
#[inline(always)]
unsafe fn field(row: *mut Counters, kind: EventKind, verdict: Verdict) -> *mut u64 {
    // SAFETY: the caller's promise; only addresses of fields are taken.
    unsafe {
        match (kind, verdict) {
            (EventKind::Datagram, Verdict::Allow) => &raw mut (*row).counts.datagrams_allowed,
            (EventKind::Datagram, Verdict::Deny) => &raw mut (*row).counts.datagrams_denied,
            (EventKind::Datagram, Verdict::WouldDeny) => {
                &raw mut (*row).counts.datagrams_would_deny
            }
            (_, Verdict::Allow) => &raw mut (*row).counts.connects_allowed,
            (_, Verdict::Deny) => &raw mut (*row).counts.connects_denied,
            (_, Verdict::WouldDeny) => &raw mut (*row).counts.connects_would_deny,
        }
    }
}

/// Adds the bytes of a closed connection to the row of `key` and tells the agent.
#[inline(always)]
pub fn count_close(key: &CounterKey, event: &Event) {
    let Some((row, _)) = maps::counters(key) else {
        return;
    };
    let [bytes_out, bytes_in] = event.detail;
    // SAFETY: `row` points to a live map value.
    unsafe {
        atomic_add(&raw mut (*row).counts.closed, 1);
        atomic_add(&raw mut (*row).counts.bytes_out, bytes_out);
        atomic_add(&raw mut (*row).counts.bytes_in, bytes_in);
        if (*row).first_ns == 0 {
            (*row).first_ns = event.at_ns;
        }
        (*row).last_ns = event.at_ns;
    }
    events::emit(event);
}
