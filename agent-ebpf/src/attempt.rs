//! One attempt to reach a destination: find, decide, count, tell.
//!
//! The order is the promise: the verdict exists before a counter is touched or an event reserved,
//! so neither a full map nor a full ring can change it.

use agent_common::{
    address::Address,
    counter::{CounterKey, Counters},
    event::{Event, EventKind},
    identity::IdentityId,
    open::OpenConnection,
    policy::RuleId,
    settings::{CloseSource, Mode},
    verdict::{Decision, Reason, Verdict, settle},
};
use aya_ebpf::{helpers::generated::bpf_ktime_get_boot_ns, programs::SockAddrContext};

use crate::{
    context::{self, Target},
    events,
    found::Found,
    inspection,
    kernel::atomic_add,
    maps, task,
};

#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: no arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// One attempt with everything that is known about its caller.
pub struct Attempt {
    pub kind: EventKind,
    pub address: Address,
    /// Network order.
    pub port: u16,
    pub is_udp: bool,
    /// Flags of the event.
    pub flags: u8,
    pub identity: IdentityId,
    pub cgroup: u64,
    pub pid: u32,
    pub cookie: u64,
    pub now_ns: u64,
}

/// Decides one `connect()` or one datagram and accounts for it.
#[inline(always)]
pub fn judge(ctx: &SockAddrContext, kind: EventKind, target: &Target) -> Verdict {
    let active = maps::active_policy();
    let found = Found::at(active, target);
    let is_observing = maps::mode() == Mode::Observe as u32;
    if found.is_none() && (is_observing || !active.names_matter) {
        return Verdict::Allow;
    }
    let cgroup = task::cgroup();
    let mut attempt = Attempt {
        kind,
        address: target.address,
        port: target.port,
        is_udp: context::is_udp(ctx),
        flags: 0,
        identity: task::identity(cgroup),
        cgroup,
        pid: task::process_id(),
        cookie: 0,
        now_ns: now_ns(),
    };
    let Some(found) = found else {
        return inspection::of_unknown(ctx, &mut attempt, active.slot);
    };
    let judgement = found.judge(attempt.identity, attempt.now_ns);
    let mut decision = judgement.decision;
    if !decision.is_governed() {
        // What is known there concerns other ports or other identities.
        if is_observing || !active.names_matter {
            return Verdict::Allow;
        }
        return inspection::of_unknown(ctx, &mut attempt, active.slot);
    }
    if maps::inspects() {
        if judgement.is_ambiguous && !judgement.network_refuses && !attempt.is_udp {
            if inspection::of_shared(ctx, &attempt, judgement.is_shared, active.slot) {
                return Verdict::Allow;
            }
        } else if attempt.is_udp {
            if !inspection::of_datagrams(ctx, &attempt, active.slot) && decision.is_entitled() {
                decision = Decision::new(Reason::Quic, RuleId::NONE, decision.endpoint());
            }
        } else {
            inspection::end(ctx);
        }
    }
    attempt.cookie = context::socket_cookie(ctx);
    if judgement.is_ambiguous {
        attempt.flags = Event::SHARED;
    }
    account(&attempt, decision)
}

/// Makes a verdict of a decision, counts it and tells the agent.
#[inline(always)]
pub fn account(attempt: &Attempt, decision: Decision) -> Verdict {
    let verdict = settle(Mode::from_raw(maps::mode()), decision.is_entitled());
    let key = CounterKey::new(attempt.identity, &decision);
    let is_new = count(&key, attempt.kind, verdict, attempt.is_udp, attempt.now_ns);
    let tells = match attempt.kind {
        EventKind::Connect | EventKind::Close => true,
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
            detail: [attempt.cgroup, u64::from(attempt.pid)],
            address: attempt.address,
            identity: attempt.identity,
            endpoint: decision.endpoint(),
            rule: decision.rule(),
            port: attempt.port,
            kind_and_verdict: Event::pack_kind(attempt.kind, verdict as u8),
            reason_and_flags: flags,
        };
        remember_if_needed(&event, &key);
        events::emit(&event);
    }
    verdict
}

/// For the close hook, which cannot find out by itself what a first flight told, and for its
/// fallback, which cannot find the identity.
#[inline(always)]
fn remember_if_needed(event: &Event, key: &CounterKey) {
    let is_needed = event.has(Event::NAMED) || maps::close_source() == CloseSource::SockOps as u32;
    if !is_needed || event.has(Event::UDP) {
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
            (EventKind::Connect | EventKind::Close, Verdict::Allow) => {
                &raw mut (*row).counts.connects_allowed
            }
            (EventKind::Connect | EventKind::Close, Verdict::Deny) => {
                &raw mut (*row).counts.connects_denied
            }
            (EventKind::Connect | EventKind::Close, Verdict::WouldDeny) => {
                &raw mut (*row).counts.connects_would_deny
            }
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
