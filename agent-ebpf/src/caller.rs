//! Who calls, and whose socket it is.

use core::mem::MaybeUninit;

use agent_common::{
    identity::IdentityId,
    process::NarrowKey,
    settings::{ActivePolicy, Slot},
};
use aya_ebpf::{EbpfContext, bindings::bpf_sock_addr, programs::SockAddrContext};

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
    /// 0, unless the identity is that of certain processes of a cgroup.
    pub is_narrowed: u32,
}

impl Caller {
    /// Another workload made the socket.
    #[inline(always)]
    pub fn is_foreign(&self) -> bool {
        self.maker != self.identity
    }
}

/// Finds out who calls. Not inlined, and with a number to return: see `found::judge`.
#[inline(never)]
pub fn identify(ctx: &SockAddrContext, active: u64, caller: &mut MaybeUninit<Caller>) -> u32 {
    let cgroup = task::cgroup();
    let maker_cgroup = maker_cgroup(ctx.as_ptr().cast(), cgroup);
    identify_both(cgroup, maker_cgroup, active, caller);
    0
}

/// Who calls from `cgroup`, on a socket that was made in `maker_cgroup`.
#[inline(always)]
pub fn identify_both(
    cgroup: u64,
    maker_cgroup: u64,
    active: u64,
    caller: &mut MaybeUninit<Caller>,
) {
    let (pid, user) = (task::process_id(), task::user());
    let identity = identity_of_caller(cgroup, maker_cgroup, active, pid, user);
    let maker = if maker_cgroup == cgroup {
        identity as u32
    } else {
        identity_of_maker(maker_cgroup, identity)
    };
    let caller = caller.as_mut_ptr();
    // Field by field: zeroes beforehand would be a call to `memset`.
    // SAFETY: members of a value that is ours, and with these all of them.
    unsafe {
        (&raw mut (*caller).cgroup).write(cgroup);
        (&raw mut (*caller).pid).write(pid);
        (&raw mut (*caller).user).write(user);
        (&raw mut (*caller).identity).write(IdentityId::from_raw(identity as u32));
        (&raw mut (*caller).maker).write(IdentityId::from_raw(maker));
        (&raw mut (*caller).maker_cgroup).write(maker_cgroup);
        (&raw mut (*caller).is_narrowed).write((identity >> 32) as u32 ^ identity as u32);
    }
}

// Global functions: see `found::decide_set`.

/// The cgroup that the socket was made in; `own` if that cannot be told.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn maker_cgroup(ctx: *mut bpf_sock_addr, own: u64) -> u64 {
    if !maps::sees_makers() {
        return own;
    }
    let Some(socket) = context::socket(&SockAddrContext::new(ctx)) else {
        return own;
    };
    if let Some(maker) = cgroup::of_tcp_socket(socket) {
        return maker;
    }
    kernel::address_of(socket)
        .and_then(cgroup::of_socket)
        .unwrap_or(own)
}

/// The identity in the low half; in the high half that of the cgroup, without regard to the process.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn identity_of_caller(
    cgroup: u64,
    maker_cgroup: u64,
    active: u64,
    pid: u32,
    user: u32,
) -> u64 {
    let mut of_cgroup = task::identity(cgroup);
    // What the kernel calls for a socket, as MPTCP does for its subflows, is its maker's.
    if cgroup != maker_cgroup && process::is_kernel_thread() {
        of_cgroup = maps::identity_of_cgroup(maker_cgroup).unwrap_or(of_cgroup);
    }
    let mut identity = of_cgroup;
    let active = ActivePolicy::from_raw(active);
    if active.has_narrowed {
        let exe = match maps::process(pid) {
            // SAFETY: a valid pointer to a map value, which only this process changes.
            Some(process) => maps::exe_class(unsafe { &(*process).exe }),
            None => 0,
        };
        identity = narrowed(of_cgroup, exe, user, active.slot);
    }
    both(of_cgroup, identity)
}

/// The identity that policy gives to processes of an executable and a user in a cgroup.
#[inline(always)]
pub fn narrowed(of_cgroup: IdentityId, exe: u16, user: u32, slot: Slot) -> IdentityId {
    let key = NarrowKey::new(of_cgroup, exe, maps::user_class(user), slot);
    maps::narrowed(&key).unwrap_or(of_cgroup)
}

/// The identity of a cgroup and that of a caller in it, in one word.
#[inline(always)]
pub fn both(of_cgroup: IdentityId, caller: IdentityId) -> u64 {
    u64::from(of_cgroup.to_raw()) << 32 | u64::from(caller.to_raw())
}

/// Who has made a socket in a cgroup of `maker`: the caller, if its cgroup has the same identity.
#[inline(always)]
pub fn maker(maker: IdentityId, caller: u64) -> u32 {
    if maker.to_raw() == (caller >> 32) as u32 {
        return caller as u32;
    }
    maker.to_raw()
}

/// The identity of another cgroup, that a socket was made in: the caller's, if both cgroups have the same.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn identity_of_maker(maker_cgroup: u64, caller: u64) -> u32 {
    match maps::identity_of_cgroup(maker_cgroup) {
        Some(known) => maker(known, caller),
        None => IdentityId::UNKNOWN.to_raw(),
    }
}
