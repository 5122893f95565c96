//! Which sockets have to be looked at before a verdict is possible, and the mark that says so.

use agent_common::{
    destination::EndpointId,
    flight::Flight,
    inspected::{Inspected, State},
    loss::Loss,
    policy::{Posture, RuleEntry, RuleId},
    settings::Slot,
    verdict::{Decision, Reason, Verdict},
};
use aya_ebpf::programs::SockAddrContext;

use crate::{
    attempt::{Attempt, account},
    context, found, maps,
};

/// An address of which no endpoint is known: the name matters for identities that can be refused.
#[inline(always)]
pub fn of_unknown(ctx: &SockAddrContext, attempt: &mut Attempt, slot: Slot) -> Verdict {
    let Some(entry) = found::unnamed(attempt.identity, slot) else {
        return Verdict::Allow;
    };
    if !matters(entry) || !maps::inspects() {
        return Verdict::Allow;
    }
    if attempt.is_udp && !entry.has(RuleEntry::REFUSE_QUIC) {
        return Verdict::Allow;
    }
    let flags = undecidable(entry);
    let state = if attempt.is_udp {
        State::Datagrams
    } else {
        State::Undecided
    };
    if mark(ctx, attempt, state, flags) || flags == 0 {
        return Verdict::Allow;
    }
    let decision = Decision::new(Reason::Undecidable, RuleId::NONE, EndpointId::ANY);
    attempt.cookie = context::socket_cookie(ctx);
    account(attempt, decision)
}

/// An address that several services share. False if the socket cannot be marked: then the strictest
/// decision about the address has to do.
#[inline(always)]
pub fn of_shared(ctx: &SockAddrContext, attempt: &Attempt, is_shared: bool, slot: Slot) -> bool {
    let mut flags = Inspected::KNOWN;
    if is_shared {
        flags |= Inspected::SHARED;
    }
    if let Some(entry) = found::unnamed(attempt.identity, slot) {
        flags |= undecidable(entry);
    }
    mark(ctx, attempt, State::Undecided, flags)
}

/// Datagrams to an endpoint: QUIC among them is refused where posture says so. False if it should
/// be and the socket cannot be marked.
#[inline(always)]
pub fn of_datagrams(ctx: &SockAddrContext, attempt: &Attempt, slot: Slot) -> bool {
    match found::unnamed(attempt.identity, slot) {
        Some(entry) if entry.has(RuleEntry::REFUSE_QUIC) => {
            mark(ctx, attempt, State::Datagrams, Inspected::KNOWN)
        }
        Some(_) | None => true,
    }
}

/// A socket that is connected again starts anew.
#[inline(always)]
pub fn end(ctx: &SockAddrContext) {
    if let Some(socket) = context::socket(ctx) {
        maps::end_inspection(socket);
    }
}

#[inline(always)]
fn matters(entry: &RuleEntry) -> bool {
    matches!(entry.posture(), Posture::Deny)
}

#[inline(always)]
fn undecidable(entry: &RuleEntry) -> u32 {
    if entry.has(RuleEntry::REFUSE_UNDECIDABLE) {
        Inspected::REFUSE_UNDECIDABLE
    } else {
        0
    }
}

#[inline(always)]
fn mark(ctx: &SockAddrContext, attempt: &Attempt, state: State, flags: u32) -> bool {
    let Some(inspected) = context::socket(ctx).and_then(maps::inspect) else {
        maps::count_loss(Loss::InspectionFailed);
        return false;
    };
    Flight::restart(&mut inspected.flight);
    inspected.packed = 0;
    inspected.counted = 0;
    inspected.endpoint = 0;
    inspected.cookie = context::socket_cookie(ctx);
    inspected.cgroup = attempt.cgroup;
    inspected.pid = attempt.pid;
    inspected.identity = attempt.identity;
    inspected.address = attempt.address;
    inspected.port = u32::from(attempt.port);
    inspected.state = state as u32;
    inspected.flags = flags;
    inspected.next = 0;
    true
}
