//! How the look at a first flight ends: with what the name decides, what the address decides, or
//! what posture says about neither.

use agent_common::{
    address::Address,
    calls::FirstFlight,
    counter::CounterKey,
    destination::EndpointId,
    event::{Event, EventKind},
    inspected::{Inspected, State},
    policy::{RuleEntry, RuleId},
    verdict::{Decision, Reason, Verdict},
};
use aya_ebpf::bindings::__sk_buff;

use crate::{
    attempt::{Attempt, account, now_ns},
    caller::Caller,
    calls,
    context::Target,
    flight::UNDECIDED,
    found::{Judgement, Known},
    limit, live, maps, packet, refusal,
};

/// The name is judged, but the flight may go on to another one.
pub const WATCH: u32 = 0x100;

/// Judges what is known and, without [`WATCH`], ends the inspection.
#[inline(always)]
pub fn finish(skb: *mut __sk_buff, unreadable: u32) -> u32 {
    judge_address(skb, unreadable);
    end(skb, unreadable)
}

/// What the address decides, where that can matter: kept with the socket. By itself, because it
/// needs the stack that [`end`] would stand on.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn judge_address(skb: *mut __sk_buff, unreadable: u32) -> u32 {
    let Some(inspected) = maps::inspected_of(skb) else {
        return 0;
    };
    inspected.address_packed = Decision::UNGOVERNED.packed();
    inspected.address_endpoint = 0;
    let is_named = unreadable & !WATCH == Reason::Ungoverned as u32;
    let is_settled = is_named && inspected.packed != Decision::UNGOVERNED.packed();
    if inspected.flags & Inspected::KNOWN == 0 || is_settled {
        return 0;
    }
    let target = target(inspected);
    let (active, caller) = (maps::active_policy(), caller(inspected));
    let known = Known::about(active, &target);
    let decision = Judgement::of_caller(&target, known, active.slot, &caller, now_ns()).decision;
    inspected.address_packed = decision.packed();
    inspected.address_endpoint = decision.endpoint().to_raw();
    1
}

/// Judges what is known and, without [`WATCH`], ends the inspection. `unreadable` says why the name
/// is not known, or `Ungoverned` if it is.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn end(skb: *mut __sk_buff, unreadable: u32) -> u32 {
    let Some(inspected) = maps::inspected_of(skb) else {
        return Verdict::Allow as u32;
    };
    let watches = unreadable & WATCH != 0;
    let unreadable = unreadable & !WATCH;
    let endpoint = EndpointId::from_raw(inspected.endpoint);
    let mut decision = Decision::from_packed(inspected.packed, endpoint);
    let attempt = Attempt {
        kind: EventKind::Connect,
        target: target(inspected),
        is_udp: false,
        flags: Event::NAMED,
        caller: caller(inspected),
        cookie: inspected.cookie,
        now_ns: now_ns(),
    };
    let is_known = inspected.flags & Inspected::KNOWN != 0;
    let refuses = inspected.flags & Inspected::REFUSE_UNDECIDABLE != 0;
    let is_named = unreadable == Reason::Ungoverned as u32;
    let is_ordinary = is_named && !decision.is_governed();
    // An ordinary name at an address where only governed ones are known proves nothing.
    let is_believed = is_ordinary && inspected.flags & Inspected::SHARED != 0;
    if decision.is_entitled() && (!is_named || is_ordinary && is_known && !is_believed) {
        let by_address = by_address(inspected);
        let reason = if is_named {
            Reason::SharedAddress as u32
        } else {
            unreadable
        };
        if is_known && by_address.is_entitled() {
            decision = by_address;
        } else if refuses {
            decision = undecided(reason, by_address.endpoint());
        }
    }
    if !decision.is_governed() || decision.packed() == inspected.counted {
        return pass(skb, watches);
    }
    inspected.counted = decision.packed();
    decision = limit::admit(decision, inspected.identity, attempt.now_ns);
    decision = RuleEntry::in_shadow(inspected.flags, decision);
    let verdict = account(&attempt, decision);
    if verdict as u32 == Verdict::Deny as u32 {
        inspected.state = State::Refused as u32;
        refusal::report(skb, inspected.pid, false);
        return Verdict::Deny as u32;
    }
    if maps::ends_connections()
        && let Some(live) = packet::socket(skb).and_then(maps::watch)
    {
        live::keep(live, &attempt, &decision);
    }
    if maps::counts_calls()
        && let Some(socket) = packet::socket(skb)
    {
        let counted = CounterKey::new(inspected.identity, &decision);
        calls::begin_after(
            flight(inspected, unreadable),
            socket,
            &counted,
            inspected.next,
        );
    }
    pass(skb, watches)
}

#[inline(always)]
fn flight(inspected: &Inspected, unreadable: u32) -> FirstFlight {
    if inspected.flight.is_tls() {
        FirstFlight::Hello
    } else if unreadable == Reason::Ungoverned as u32 || unreadable == Reason::NoSni as u32 {
        FirstFlight::Request
    } else {
        FirstFlight::Other
    }
}

#[inline(always)]
fn pass(skb: *mut __sk_buff, watches: bool) -> u32 {
    if watches {
        return UNDECIDED;
    }
    stop(skb);
    Verdict::Allow as u32
}

#[inline(always)]
fn undecided(reason: u32, endpoint: EndpointId) -> Decision {
    let reason = match reason {
        9 => Reason::NoSni,
        10 => Reason::Ech,
        8 => Reason::SharedAddress,
        _ => Reason::Undecidable,
    };
    Decision::new(reason, RuleId::NONE, endpoint)
}

#[inline(always)]
fn by_address(inspected: &Inspected) -> Decision {
    let endpoint = EndpointId::from_raw(inspected.address_endpoint);
    Decision::from_packed(inspected.address_packed, endpoint)
}

#[inline(always)]
fn target(inspected: &Inspected) -> Target {
    Target {
        address: Address::from_words(inspected.address.words()),
        port: inspected.port as u16,
    }
}

#[inline(always)]
fn caller(inspected: &Inspected) -> Caller {
    Caller {
        cgroup: inspected.cgroup,
        pid: inspected.pid,
        user: inspected.user,
        identity: inspected.identity,
        maker: inspected.maker,
        maker_cgroup: inspected.maker_cgroup,
        // What the first flight told is remembered anyway.
        is_narrowed: 0,
    }
}

#[inline(always)]
fn stop(skb: *mut __sk_buff) {
    if let Some(socket) = packet::socket(skb) {
        maps::end_inspection(socket);
    }
}

/// A marked UDP socket sends QUIC: refused.
#[inline(always)]
pub fn refuse_quic(skb: *mut __sk_buff) -> u32 {
    judge_address(skb, Reason::Quic as u32);
    end_quic(skb)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn end_quic(skb: *mut __sk_buff) -> u32 {
    let Some(inspected) = maps::inspected_of(skb) else {
        return Verdict::Allow as u32;
    };
    let attempt = Attempt {
        kind: EventKind::Datagram,
        target: target(inspected),
        is_udp: true,
        flags: 0,
        caller: caller(inspected),
        cookie: inspected.cookie,
        now_ns: now_ns(),
    };
    let endpoint = by_address(inspected).endpoint();
    let refused = Decision::new(Reason::Quic, RuleId::NONE, endpoint);
    account(&attempt, RuleEntry::in_shadow(inspected.flags, refused)) as u32
}
