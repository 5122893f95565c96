//! One attempt to reach a destination: find, decide, count, tell.
//!
//! The order is the promise: the verdict exists before a counter is touched or an event reserved,
//! so neither a full map nor a full ring can change it.

use agent_common::{
    counter::{CounterKey, Counters},
    destination::{ANY_PORT, AddressKey, Destination, EndpointId, PrefixKey},
    event::{Event, EventKind},
    identity::IdentityId,
    open::OpenConnection,
    settings::{CloseSource, Mode, Slot},
    verdict::{Decision, Judge, Verdict, decide, decide_endpoint, settle},
};
use aya_ebpf::{helpers::generated::bpf_ktime_get_boot_ns, programs::SockAddrContext};

use crate::{
    context::{self, Target},
    events,
    kernel::atomic_add,
    maps, task,
};

/// What the address and the port lead to: by address or prefix, for this port or for every port.
pub struct Found {
    slot: Slot,
    destinations: [Option<&'static Destination>; 4],
}

impl Found {
    /// `None` when nothing is known about the target: by far the most frequent case.
    #[inline(always)]
    pub fn at(target: &Target) -> Option<Self> {
        let active = maps::active_policy();
        let Target { address, port } = *target;
        let slot = active.slot;
        let by_address = maps::destination_of_address(&AddressKey::new(address, port, slot));
        let mut found = [by_address, None, None, None];
        if active.has_any_port {
            found[1] = maps::destination_of_address(&AddressKey::new(address, ANY_PORT, slot));
        }
        if active.has_prefixes {
            found[2] = maps::destination_of_prefix(PrefixKey::new(address, port, slot));
            if active.has_any_port {
                found[3] = maps::destination_of_prefix(PrefixKey::new(address, ANY_PORT, slot));
            }
        }
        if found[0].is_none() && found[1].is_none() && found[2].is_none() && found[3].is_none() {
            return None;
        }
        Some(Self {
            slot,
            destinations: found,
        })
    }

    #[inline(always)]
    pub fn decide(&self, identity: IdentityId, now_ns: u64) -> Decision {
        let mut strictest = Decision::UNGOVERNED;
        for destination in self.destinations.into_iter().flatten() {
            let decision = decide_destination(destination, identity, self.slot, now_ns);
            strictest = strictest.or_stricter(decision);
        }
        strictest
    }
}

#[inline(always)]
fn decide_destination(
    destination: &Destination,
    identity: IdentityId,
    slot: Slot,
    now_ns: u64,
) -> Decision {
    // Nearly every address has one endpoint. A network has none where it only keeps a shorter one
    // from reaching further: a hole.
    if destination.endpoints[1] == EndpointId::ANY {
        let endpoint = destination.endpoints[0];
        if endpoint == EndpointId::ANY {
            return Decision::UNGOVERNED;
        }
        return LivePolicy { slot: slot as u32 }.endpoint(identity, endpoint, now_ns);
    }
    let [a, b, c, d] = destination.endpoints.map(EndpointId::to_raw).map(u64::from);
    let identity = identity.to_raw();
    let answer = decide_set(a | b << 32, c | d << 32, identity, slot as u32, now_ns);
    let endpoint = match (answer >> INDEX_SHIFT) & 3 {
        0 => destination.endpoints[0],
        1 => destination.endpoints[1],
        2 => destination.endpoints[2],
        _ => destination.endpoints[3],
    };
    Decision::from_packed(answer, endpoint)
}

/// Bits of a packed decision that it does not use itself: which endpoint decided, and whether the
/// address stands for several.
const INDEX_SHIFT: u32 = 40;
const SHARED_SHIFT: u32 = 42;

/// Decides about the four endpoints in two words; which of them decided comes back in the
/// unused bits.
///
/// This and [`decide_one`] are global functions, which the verifier checks once by themselves,
/// with nothing known about arguments and results. Inlined, the possible outcomes multiply beyond
/// what it accepts.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn decide_set(first: u64, second: u64, identity: u32, slot: u32, now_ns: u64) -> u64 {
    let endpoints =
        [first, first >> 32, second, second >> 32].map(|word| EndpointId::from_raw(word as u32));
    let judge = LivePolicy { slot };
    let identity = IdentityId::from_raw(identity);
    let decision = decide(&judge, identity, &Destination { endpoints }, now_ns);
    let decider = decision.endpoint();
    let index = if decider == endpoints[0] {
        0
    } else if decider == endpoints[1] {
        1
    } else if decider == endpoints[2] {
        2
    } else {
        3
    };
    let is_shared = u64::from(endpoints[1] != EndpointId::ANY);
    decision.packed() | index << INDEX_SHIFT | is_shared << SHARED_SHIFT
}

struct LivePolicy {
    slot: u32,
}

impl Judge for LivePolicy {
    #[inline(always)]
    fn endpoint(&self, identity: IdentityId, endpoint: EndpointId, now_ns: u64) -> Decision {
        let packed = decide_one(identity.to_raw(), endpoint.to_raw(), self.slot, now_ns);
        Decision::from_packed(packed, endpoint)
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn decide_one(identity: u32, endpoint: u32, slot: u32, now_ns: u64) -> u64 {
    let rules = maps::Rules {
        slot: Slot::from_raw(slot),
    };
    let identity = IdentityId::from_raw(identity);
    decide_endpoint(&rules, identity, EndpointId::from_raw(endpoint), now_ns).packed()
}

#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: no arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Decides one `connect()` or one datagram and accounts for it.
#[inline(always)]
pub fn judge(ctx: &SockAddrContext, kind: EventKind, target: &Target) -> Verdict {
    let Some(found) = Found::at(target) else {
        return Verdict::Allow;
    };
    let now_ns = now_ns();
    let cgroup = task::cgroup();
    let identity = task::identity(cgroup);
    let decision = found.decide(identity, now_ns);
    if !decision.is_governed() {
        return Verdict::Allow;
    }
    let verdict = settle(Mode::from_raw(maps::mode()), decision.is_entitled());
    let is_udp = context::is_udp(ctx);
    let key = CounterKey::new(identity, &decision);
    let is_new = count(&key, kind, verdict, is_udp, now_ns);
    let tells = match kind {
        EventKind::Connect | EventKind::Close => true,
        EventKind::Datagram => is_new || verdict as u8 == Verdict::Deny as u8,
    };
    if tells {
        let mut flags = decision.reason_raw();
        if is_udp {
            flags |= Event::UDP;
        }
        if (decision.packed() >> SHARED_SHIFT) & 1 != 0 {
            flags |= Event::SHARED;
        }
        let event = Event {
            at_ns: now_ns,
            cookie: context::socket_cookie(ctx),
            detail: [cgroup, u64::from(task::process_id())],
            address: target.address,
            identity,
            endpoint: decision.endpoint(),
            rule: decision.rule(),
            port: target.port,
            kind_and_verdict: Event::pack_kind(kind, verdict as u8),
            reason_and_flags: flags,
        };
        remember_if_needed(&event, &key);
        events::emit(&event);
    }
    verdict
}

/// For the fallback close hook, which cannot find the identity by itself.
#[inline(always)]
fn remember_if_needed(event: &Event, key: &CounterKey) {
    if maps::close_source() != CloseSource::SockOps as u32 || event.has(Event::UDP) {
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
