//! Which sockets have to be looked at before a verdict is possible, and the mark that says so.

use agent_common::{
    destination::EndpointId,
    flight::Flight,
    identity::IdentityId,
    inspected::{Inspected, State},
    loss::Loss,
    policy::{RuleEntry, RuleId},
    settings::Slot,
    verdict::{Decision, Reason, Verdict},
};
use aya_ebpf::programs::SockAddrContext;

use crate::{
    attempt::{Attempt, account},
    caller::Caller,
    context,
    decide::{Unnamed, unnamed},
    maps,
};

/// An address of which no endpoint is known: the name matters for identities that can be refused.
#[inline(never)]
pub fn of_unknown(ctx: &SockAddrContext, attempt: &mut Attempt, slot: Slot) -> Verdict {
    let stance = Stance::of(&attempt.caller, slot);
    if !stance.has(Stance::MATTERS) || !maps::inspects() {
        return Verdict::Allow;
    }
    if attempt.is_udp && !stance.has(Stance::REFUSES_QUIC) {
        return Verdict::Allow;
    }
    let flags = stance.flags();
    let state = if attempt.is_udp {
        State::Datagrams
    } else {
        State::Undecided
    };
    if mark(ctx, attempt, state, flags) || flags & Inspected::REFUSE_UNDECIDABLE == 0 {
        return Verdict::Allow;
    }
    let decision = Decision::new(Reason::Undecidable, RuleId::NONE, EndpointId::ANY);
    attempt.cookie = context::socket_cookie(ctx);
    account(attempt, RuleEntry::in_shadow(flags, decision))
}

/// An address that several services share. False if the socket cannot be marked: then the strictest
/// decision about the address has to do.
#[inline(always)]
pub fn of_shared(ctx: &SockAddrContext, attempt: &Attempt, is_shared: bool, slot: Slot) -> bool {
    let mut flags = Inspected::KNOWN;
    if is_shared {
        flags |= Inspected::SHARED;
    }
    flags |= Stance::of(&attempt.caller, slot).flags();
    mark(ctx, attempt, State::Undecided, flags)
}

/// Datagrams to an endpoint: QUIC among them is refused where posture says so. False if it should
/// be and the socket cannot be marked.
#[inline(always)]
pub fn of_datagrams(ctx: &SockAddrContext, attempt: &Attempt, slot: Slot) -> bool {
    let stance = Stance::of(&attempt.caller, slot);
    if !stance.has(Stance::REFUSES_QUIC) {
        return true;
    }
    let flags = Inspected::KNOWN | stance.flags();
    mark(ctx, attempt, State::Datagrams, flags)
}

/// A socket that is connected again starts anew.
#[inline(always)]
pub fn end(ctx: &SockAddrContext) {
    if let Some(socket) = context::socket(ctx) {
        maps::end_inspection(socket);
    }
}

/// What happens to a caller where no endpoint is known. Of two that have to do with a socket, both
/// count.
#[derive(Clone, Copy)]
struct Stance(u32);

impl Stance {
    const MATTERS: u32 = 1 << 16;
    const REFUSES_QUIC: u32 = 1 << 17;
    /// Flags of [`Inspected`].
    const FLAGS: u32 =
        Inspected::REFUSE_UNDECIDABLE | Inspected::REFUSE_FOREIGN | Inspected::SHADOWS;

    #[inline(always)]
    fn of(caller: &Caller, slot: Slot) -> Self {
        let (identity, maker) = (caller.identity.to_raw(), caller.maker.to_raw());
        Self(stance(identity, maker, slot as u32))
    }

    #[inline(always)]
    fn has(self, mark: u32) -> bool {
        self.0 & mark != 0
    }

    #[inline(always)]
    fn flags(self) -> u32 {
        self.0 & Self::FLAGS
    }
}

/// A global function: see `found::decide_set`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn stance(identity: u32, maker: u32, slot: u32) -> u32 {
    let slot = Slot::from_raw(slot);
    let own = unnamed(IdentityId::from_raw(identity), slot);
    // What is refused for the maker's sake, too, is in shadow mode if the caller is.
    let mut stance = of_entry(own) | own.shadows();
    if maker != identity {
        stance |= of_entry(unnamed(IdentityId::from_raw(maker), slot));
        if own.has(RuleEntry::REFUSE_FOREIGN) {
            stance |= Inspected::REFUSE_FOREIGN;
        }
    }
    stance
}

#[inline(always)]
fn of_entry(entry: Unnamed) -> u32 {
    let mut stance = 0;
    if entry.matters() {
        stance |= Stance::MATTERS;
    }
    if entry.has(RuleEntry::REFUSE_QUIC) {
        stance |= Stance::REFUSES_QUIC;
    }
    if entry.has(RuleEntry::REFUSE_UNDECIDABLE) {
        stance |= Inspected::REFUSE_UNDECIDABLE;
    }
    stance
}

/// Not inlined: see `found::judge`.
#[inline(never)]
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
    inspected.cgroup = attempt.caller.cgroup;
    inspected.pid = attempt.caller.pid;
    inspected.user = attempt.caller.user;
    inspected.identity = attempt.caller.identity;
    inspected.maker = attempt.caller.maker;
    inspected.maker_cgroup = attempt.caller.maker_cgroup;
    inspected.address = attempt.target.address;
    inspected.port = u32::from(attempt.target.port);
    inspected.state = state as u32;
    inspected.flags = flags;
    inspected.next = 0;
    true
}
