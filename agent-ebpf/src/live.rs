//! Connections that were let through: whether they still may go on.
//!
//! Each packet compares two numbers. Only after a change of policy, or when a grant ends, is the
//! connection judged again; then nothing but a reset passes in either direction any more, whether
//! an agent runs or not.

use agent_common::{
    event::{Event, EventKind},
    identity::IdentityId,
    limit::Limit,
    live::Live,
    policy::{RuleEntry, RuleId, Window},
    settings::{ActivePolicy, Slot},
    verdict::{Decision, Reason, Verdict},
};
use aya_ebpf::bindings::__sk_buff;

use crate::{
    attempt::{Attempt, now_ns},
    caller::{self, Caller},
    context::Target,
    decide::{decide_one, holds_until, unnamed},
    events,
    found::{Judgement, Known},
    limit, maps, packet, refusal,
};

/// An address may stand for several endpoints, whose windows are not followed one by one.
const LOOK_AGAIN_NS: u64 = 10_000_000;
/// An agent that was dead when it was told is told again.
const TELL_AGAIN_NS: u64 = 1_000_000_000;
const TCP_FLAGS: u32 = 13;
const RST: u32 = 4;

/// Keeps what is needed to judge the connection again. Epoch 0: its first packet does.
#[inline(always)]
pub fn keep(live: &mut Live, attempt: &Attempt, decision: &Decision) {
    let caller = &attempt.caller;
    let mut flags = 0;
    if attempt.flags & Event::NAMED != 0 {
        flags |= Live::NAMED;
    }
    if attempt.is_udp {
        flags |= Live::UDP;
    }
    if caller.is_narrowed != 0 {
        flags |= Live::NARROWED;
    }
    live.epoch = 0;
    live.until_ns = 0;
    live.told_ns = 0;
    live.since_ns = attempt.now_ns;
    live.cookie = attempt.cookie;
    live.cgroup = caller.cgroup;
    live.maker_cgroup = caller.maker_cgroup;
    live.identity = caller.identity;
    live.maker = caller.maker;
    live.identity_now = caller.identity;
    live.maker_now = caller.maker;
    live.address = attempt.target.address;
    live.endpoint = decision.endpoint();
    live.port = u32::from(attempt.target.port);
    live.pid = caller.pid;
    live.user = caller.user;
    live.flags = flags;
    live.grant = RuleId::NONE;
}

/// Whether a packet of a connection may go on. `false` only in a mode that refuses.
///
/// Inlined, and step by step: each step has most of the stack for itself.
#[inline(always)]
pub fn passes(skb: *mut __sk_buff) -> bool {
    if !maps::ends_connections() {
        return true;
    }
    let Some(live) = packet::any_socket(skb).and_then(maps::live) else {
        return true;
    };
    if live.flags & Live::REFUSED == 0 {
        let holds = holds(live);
        if holds && live.grant.is_none() {
            return true;
        }
        if !holds {
            if is_of_another_connection(skb) != 0 {
                return true;
            }
            // Before anything else is read: what changes from here on is judged by the next packet.
            let epoch = maps::epoch();
            // Another processor with a packet of this socket must not find the new epoch beside the
            // former answer.
            // SAFETY: members of a value that is borrowed, one word each.
            unsafe {
                (&raw mut live.until_ns).write_volatile(0);
                (&raw mut live.epoch).write_volatile(epoch);
            }
            let active = maps::active_policy().to_raw();
            who_now(skb, active);
            live.until_ns = entitled_until(skb, active, now_ns());
        }
        if live.until_ns != 0 && takes(skb) != 0 {
            return true;
        }
    }
    cut(skb) != Verdict::Deny as u32
}

/// Nothing has changed since it was judged, and nothing has ended.
#[inline(always)]
fn holds(live: &Live) -> bool {
    // Nearly always without an end: no need to ask for the time.
    live.epoch == maps::epoch() && (live.until_ns == Window::FOREVER || live.until_ns > now_ns())
}

// Global functions: see `decide`.

/// Whether the socket has been connected to another place since, where nothing is governed: then it
/// is not watched any more.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn is_of_another_connection(skb: *mut __sk_buff) -> u32 {
    let Some(live) = maps::live_of(skb) else {
        return 0;
    };
    let peer = packet::peer(skb);
    if peer.address == live.address && u32::from(peer.port) == live.port {
        return 0;
    }
    if let Some(socket) = packet::socket(skb) {
        maps::forget_live(socket);
    }
    1
}

/// Finds out who caller and maker are by now, and keeps it with the socket.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn who_now(skb: *mut __sk_buff, active: u64) -> u32 {
    let Some(live) = maps::live_of(skb) else {
        return 0;
    };
    let caller = caller_now(skb, active);
    live.identity_now = IdentityId::from_raw(caller as u32);
    live.maker_now = IdentityId::from_raw(maker_now(skb, caller));
    1
}

/// Until when the connection may go on by what policy says now: an instant at which to ask again, 0
/// if it may not. Keeps the grant that it rests on, if that limits octets.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn entitled_until(skb: *mut __sk_buff, active: u64, now_ns: u64) -> u64 {
    let Some(live) = maps::live_of(skb) else {
        return Window::FOREVER;
    };
    let active = ActivePolicy::from_raw(active);
    let identity = live.identity_now.to_raw();
    live.grant = RuleId::NONE;
    if active.has_limits && !unnamed(live.identity_now, active.slot).has(RuleEntry::SHADOW) {
        let endpoint = live.endpoint;
        let packed = decide_one(identity, endpoint.to_raw(), active.slot as u32, now_ns);
        live.grant = limited_grant(&Decision::from_packed(packed, endpoint));
    }
    if live.flags & Live::NAMED != 0 {
        let (endpoint, maker) = (live.endpoint.to_raw(), live.maker_now.to_raw());
        return named_until(endpoint, identity, maker, active.slot as u32, now_ns);
    }
    let target = Target {
        address: live.address,
        port: live.port as u16,
    };
    let caller = Caller {
        cgroup: live.cgroup,
        pid: live.pid,
        user: live.user,
        identity: live.identity_now,
        maker: live.maker_now,
        maker_cgroup: live.maker_cgroup,
        is_narrowed: 0,
    };
    let known = Known::about(active, &target);
    let judgement = Judgement::of_caller(&target, known, active.slot, &caller, now_ns);
    let is_ended_by_address =
        !maps::inspects() || !judgement.is_ambiguous() || judgement.network_refuses();
    if !judgement.decision.is_entitled() && is_ended_by_address {
        return 0;
    }
    now_ns + LOOK_AGAIN_NS
}

/// The grant of a decision, if it limits octets.
#[inline(always)]
fn limited_grant(decision: &Decision) -> RuleId {
    let grant = decision.rule();
    let is_granted = decision.reason_raw() == Reason::Granted as u8;
    match maps::limit(grant) {
        Some(limit) if is_granted && limit.bytes != Limit::NONE => grant,
        _ => RuleId::NONE,
    }
}

/// Takes the payload of a packet from what the grant allows, if it limits that. 0 if there is not
/// enough left.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn takes(skb: *mut __sk_buff) -> u32 {
    let Some(live) = maps::live_of(skb) else {
        return 1;
    };
    if live.grant.is_none() {
        return 1;
    }
    let payload = packet::payload_len(skb);
    if payload == 0 || limit::may_pass(live.identity, live.grant, payload.into(), now_ns()) {
        return 1;
    }
    live.flags |= Live::LIMIT;
    0
}

/// Who the caller is by now, as `caller::identity_of_caller` tells it. A cgroup may have got its
/// own name since; a process that has ended is what it was.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn caller_now(skb: *mut __sk_buff, active: u64) -> u64 {
    let Some(live) = maps::live_of(skb) else {
        return 0;
    };
    let known = live.identity;
    let of_cgroup = maps::identity_of_cgroup(live.cgroup).unwrap_or(known);
    let active = ActivePolicy::from_raw(active);
    let mut identity = of_cgroup;
    if active.has_narrowed {
        identity = match maps::process(live.pid) {
            // SAFETY: a valid pointer to a map value, which only that process changes.
            Some(process) if unsafe { (*process).start_ns } <= live.since_ns => {
                let exe = maps::exe_class(unsafe { &(*process).exe });
                caller::narrowed(of_cgroup, exe, live.user, active.slot)
            }
            _ if live.flags & Live::NARROWED != 0 => known,
            _ => of_cgroup,
        };
    }
    caller::both(of_cgroup, identity)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn maker_now(skb: *mut __sk_buff, caller: u64) -> u32 {
    let Some(live) = maps::live_of(skb) else {
        return 0;
    };
    if live.maker_cgroup == live.cgroup {
        return caller as u32;
    }
    match maps::identity_of_cgroup(live.maker_cgroup) {
        Some(known) => caller::maker(known, caller),
        None => live.maker.to_raw(),
    }
}

/// Until when both may reach an endpoint that is known by its name; 0 if they may not.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn named_until(endpoint: u32, identity: u32, maker: u32, slot: u32, now_ns: u64) -> u64 {
    let own = holds_until(identity, endpoint, slot, now_ns);
    let stance = unnamed(IdentityId::from_raw(identity), Slot::from_raw(slot));
    if maker == identity || stance.has(RuleEntry::SHADOW_FOREIGN) {
        return own;
    }
    if stance.has(RuleEntry::REFUSE_FOREIGN) {
        return 0;
    }
    let makers = holds_until(maker, endpoint, slot, now_ns);
    if makers < own { makers } else { own }
}

/// Nothing but a reset passes, and the agent is told whom to end.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn cut(skb: *mut __sk_buff) -> u32 {
    let Some(live) = maps::live_of(skb) else {
        return Verdict::Allow as u32;
    };
    let transport = packet::transport(skb);
    let header = transport as u32 & 0x3ff;
    if (transport >> 16) as u32 == packet::TCP
        && packet::u8_at(skb, header + TCP_FLAGS).is_some_and(|flags| flags & RST != 0)
    {
        return Verdict::Allow as u32;
    }
    let now_ns = now_ns();
    if live.flags & Live::REFUSED == 0 {
        live.flags |= Live::REFUSED;
        tell_cut(skb);
    }
    if live.told_ns == 0 || live.told_ns + TELL_AGAIN_NS < now_ns {
        live.told_ns = now_ns;
        refusal::report(skb, live.pid, live.flags & Live::UDP != 0);
    }
    Verdict::Deny as u32
}

/// Tells why the connection may not go on.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tell_cut(skb: *mut __sk_buff) -> u32 {
    let Some(live) = maps::live_of(skb) else {
        return 0;
    };
    let (now_ns, slot) = (now_ns(), maps::active_policy().slot);
    let endpoint = live.endpoint;
    let packed = decide_one(
        live.identity_now.to_raw(),
        endpoint.to_raw(),
        slot as u32,
        now_ns,
    );
    let mut decision = Decision::from_packed(packed, endpoint);
    if decision.is_entitled() {
        let maker = decide_one(
            live.maker_now.to_raw(),
            endpoint.to_raw(),
            slot as u32,
            now_ns,
        );
        decision = if Decision::from_packed(maker, endpoint).is_entitled() {
            // Another endpoint of the same address.
            Decision::new(Reason::SharedAddress, RuleId::NONE, endpoint)
        } else {
            Decision::new(Reason::ForeignSocket, RuleId::NONE, endpoint)
        };
    }
    if live.flags & Live::LIMIT != 0 {
        decision = Decision::new(Reason::LimitReached, live.grant, endpoint);
    }
    let mut flags = decision.reason_raw();
    if live.flags & Live::UDP != 0 {
        flags |= Event::UDP;
    }
    if live.flags & Live::NAMED != 0 {
        flags |= Event::NAMED;
    }
    events::emit(&Event {
        at_ns: now_ns,
        cookie: live.cookie,
        detail: [live.cgroup, Event::pack_caller(live.pid, live.user)],
        address: live.address,
        identity: live.identity_now,
        endpoint,
        rule: decision.rule(),
        port: live.port as u16,
        kind_and_verdict: Event::pack_kind(EventKind::Cut, Verdict::Deny as u8),
        reason_and_flags: flags,
    });
    1
}
