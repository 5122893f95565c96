//! Who calls, and whose socket it is.

use agent_common::{
    identity::IdentityId,
    process::NarrowKey,
    settings::{ActivePolicy, Slot},
};
use aya_ebpf::programs::SockAddrContext;

use crate::{cgroup, context, kernel, maps, process, task};

/// Everything that is known about a caller.
#[derive(Clone, Copy)]
pub struct Caller {
    pub cgroup: u64,
    pub pid: u32,
    /// Real user.
    pub user: u32,
    pub identity: IdentityId,
    /// Who made the socket: the same identity for nearly every call.
    pub maker: IdentityId,
    pub maker_cgroup: u64,
    /// The identity is that of certain processes of a cgroup.
    pub is_narrowed: bool,
}

impl Caller {
    /// Before [`identify`].
    pub const NOBODY: Self = Self {
        cgroup: 0,
        pid: 0,
        user: 0,
        identity: IdentityId::UNKNOWN,
        maker: IdentityId::UNKNOWN,
        maker_cgroup: 0,
        is_narrowed: false,
    };

    /// Another workload made the socket.
    #[inline(always)]
    pub fn is_foreign(&self) -> bool {
        self.maker != self.identity
    }

    /// The identity of exactly these processes, where policy has rules for them.
    #[inline(always)]
    fn narrow(&mut self, slot: Slot) {
        let exe = match maps::process(self.pid) {
            // SAFETY: a valid pointer to a map value, which only this process changes.
            Some(process) => maps::exe_class(unsafe { &(*process).exe }),
            None => 0,
        };
        let user = maps::user_class(self.user);
        let key = NarrowKey::new(self.identity, exe, user, slot);
        if let Some(narrowed) = maps::narrowed(&key) {
            if self.maker == self.identity {
                self.maker = narrowed;
            }
            self.identity = narrowed;
            self.is_narrowed = true;
        }
    }
}

/// Finds out who calls. Not inlined, and with a number to return: see `found::judge`.
#[inline(never)]
pub fn identify(ctx: &SockAddrContext, active: ActivePolicy, caller: &mut Caller) -> u32 {
    let cgroup = task::cgroup();
    let identity = task::identity(cgroup);
    caller.cgroup = cgroup;
    caller.identity = identity;
    caller.pid = task::process_id();
    caller.user = process::user();
    caller.maker = identity;
    caller.maker_cgroup = cgroup;
    if let Some(maker_cgroup) = maker_cgroup(ctx)
        && maker_cgroup != cgroup
    {
        caller.maker_cgroup = maker_cgroup;
        caller.maker = identity_of_maker(maker_cgroup);
        // What the kernel calls for a socket, as MPTCP does for its subflows, is its maker's.
        if caller.maker != identity && process::is_kernel_thread() {
            caller.identity = caller.maker;
            caller.cgroup = maker_cgroup;
        }
    }
    if active.has_narrowed {
        caller.narrow(active.slot);
    }
    0
}

#[inline(always)]
fn maker_cgroup(ctx: &SockAddrContext) -> Option<u64> {
    if !maps::sees_makers() {
        return None;
    }
    let socket = context::socket(ctx).and_then(kernel::address_of)?;
    cgroup::of_socket(socket)
}

#[inline(always)]
fn identity_of_maker(cgroup: u64) -> IdentityId {
    maps::identity_of_cgroup(cgroup).unwrap_or(IdentityId::UNKNOWN)
}
