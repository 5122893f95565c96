//! The calling task.

use agent_common::{
    identity::{IdentityId, MAX_ANCESTOR_LEVEL},
    loss::Loss,
};
use aya_ebpf::helpers::generated::{
    bpf_get_current_ancestor_cgroup_id, bpf_get_current_cgroup_id, bpf_get_current_pid_tgid,
};

use crate::maps;

/// Process id of the caller, as user space means it.
#[inline(always)]
pub fn process_id() -> u32 {
    // SAFETY: no arguments.
    (unsafe { bpf_get_current_pid_tgid() } >> 32) as u32
}

#[inline(always)]
pub fn cgroup() -> u64 {
    // SAFETY: no arguments.
    unsafe { bpf_get_current_cgroup_id() }
}

/// Who calls from `cgroup`: its own identity or that of its nearest known ancestor.
#[inline(always)]
pub fn identity(cgroup: u64) -> IdentityId {
    match maps::identity_of_cgroup(cgroup) {
        Some(identity) => identity,
        None => IdentityId::from_raw(identity_of_ancestor(cgroup)),
    }
}

/// A global function: see `attempt::decide_set`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn identity_of_ancestor(cgroup: u64) -> u32 {
    let mut level = MAX_ANCESTOR_LEVEL;
    while level >= 0 {
        // SAFETY: any level is a valid argument; one that is too deep gives 0.
        let ancestor = unsafe { bpf_get_current_ancestor_cgroup_id(level) };
        if ancestor != 0
            && let Some(identity) = maps::identity_of_cgroup(ancestor)
        {
            maps::inherit_identity(cgroup, identity);
            return identity.to_raw();
        }
        level -= 1;
    }
    maps::count_loss(Loss::UnknownCgroup);
    IdentityId::UNKNOWN.to_raw()
}
