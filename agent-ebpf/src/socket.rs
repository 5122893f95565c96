//! Sockets whose packets no hook can judge: refused when they are asked for.

use core::mem::MaybeUninit;

use agent_common::{
    address::Address,
    destination::EndpointId,
    event::{Event, EventKind},
    policy::{RuleEntry, RuleId},
    verdict::{Decision, Reason, Verdict},
};

use crate::{
    attempt::{Attempt, account, now_ns},
    caller,
    context::Target,
    decide::unnamed,
    maps, task,
};

const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
const SOCK_RAW: u32 = 3;

/// What is asked for, by the numbers of `socket(2)`.
pub struct Kind {
    pub family: u32,
    pub form: u32,
    pub protocol: u32,
}

impl Kind {
    /// Of IPv4 or IPv6: whether what it sends passes the hooks of `connect` and `sendmsg`, or
    /// reaches no service. MPTCP and SMC connect through TCP; an ICMP datagram is a ping.
    #[inline(always)]
    pub fn is_judged_elsewhere(&self) -> bool {
        const ICMP: u32 = 1;
        const TCP: u32 = 6;
        const UDP: u32 = 17;
        const ICMP_V6: u32 = 58;
        const SMC: u32 = 256;
        const MPTCP: u32 = 262;
        let protocol = self.protocol;
        match self.form {
            SOCK_STREAM => protocol == TCP || protocol == MPTCP || protocol == SMC,
            SOCK_DGRAM => protocol == UDP || protocol == ICMP || protocol == ICMP_V6,
            _ => false,
        }
    }

    /// Of another family: whether it reaches services elsewhere.
    #[inline(always)]
    pub fn leaves_the_host(&self) -> bool {
        const PACKET: u32 = 17;
        const RDS: u32 = 21;
        const PPPOX: u32 = 24;
        const INFINIBAND: u32 = 27;
        const TIPC: u32 = 30;
        const VSOCK: u32 = 40;
        const XDP: u32 = 44;
        const MCTP: u32 = 45;
        matches!(
            self.family,
            PACKET | RDS | PPPOX | INFINIBAND | TIPC | VSOCK | XDP | MCTP
        )
    }
}

/// Whether the caller is in what is governed. Only a hook that belongs to no cgroup has to ask.
#[inline(always)]
pub fn concerns_caller() -> bool {
    !maps::is_scoped() || maps::identity_of_cgroup(task::cgroup()).is_some()
}

/// Whether the caller may have it.
#[inline(always)]
pub fn judge(kind: &Kind) -> Verdict {
    let active = maps::active_policy();
    let cgroup = task::cgroup();
    let mut told = MaybeUninit::uninit();
    caller::identify_both(cgroup, cgroup, active.to_raw(), &mut told);
    // SAFETY: `identify_both` has written all of it.
    let caller = unsafe { told.assume_init() };
    let stance = unnamed(caller.identity, active.slot);
    if !stance.has(RuleEntry::REFUSE_RAW) {
        return Verdict::Allow;
    }
    let attempt = Attempt {
        kind: EventKind::Socket,
        target: Target {
            address: Address::from_v4(0),
            port: Event::pack_socket(kind.family, kind.form == SOCK_RAW, kind.protocol),
        },
        is_udp: false,
        flags: 0,
        caller,
        cookie: 0,
        now_ns: now_ns(),
    };
    let refused = Decision::new(Reason::RawSocket, RuleId::NONE, EndpointId::ANY);
    account(&attempt, stance.in_shadow(refused))
}
