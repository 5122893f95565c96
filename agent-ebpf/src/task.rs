//! The calling task.

use agent_common::{
    identity::{IdentityId, MAX_ANCESTOR_LEVEL},
    loss::Loss,
};
use aya_ebpf::helpers::generated::{
    bpf_get_current_ancestor_cgroup_id, bpf_get_current_cgroup_id, bpf_get_current_pid_tgid,
    bpf_get_current_task_btf, bpf_get_current_uid_gid,
};

use crate::{
    cgroup,
    kernel::{follow, offset},
    maps,
};

/// The task as the verifier knows its type.
#[inline(always)]
fn typed() -> *const u8 {
    // SAFETY: no arguments.
    unsafe { bpf_get_current_task_btf() as *const u8 }
}

/// Process id of the caller, as user space means it.
#[inline(always)]
pub fn process_id() -> u32 {
    if maps::is_typed() {
        let id = typed().wrapping_add(offset!(task_tgid)).cast::<u32>();
        // SAFETY: the offset comes from the running kernel's BTF, and the verifier checks it.
        return unsafe { id.read_volatile() };
    }
    // SAFETY: no arguments.
    (unsafe { bpf_get_current_pid_tgid() } >> 32) as u32
}

/// Real user of the caller, as the host counts users.
#[inline(always)]
pub fn user() -> u32 {
    if maps::is_typed() {
        // SAFETY: the offsets come from the running kernel's BTF, and the verifier checks them.
        let cred: *mut u8 = unsafe { follow(typed(), offset!(task_cred)) };
        if !cred.is_null() {
            let user = cred.wrapping_add(offset!(cred_user)).cast::<u32>();
            // SAFETY: as above.
            return unsafe { user.read_volatile() };
        }
    }
    // SAFETY: no arguments.
    unsafe { bpf_get_current_uid_gid() as u32 }
}

#[inline(always)]
pub fn cgroup() -> u64 {
    if maps::is_typed() {
        // SAFETY: the offsets come from the running kernel's BTF, and the verifier checks them.
        let id = unsafe {
            let set: *mut u8 = follow(typed(), offset!(task_cgroups));
            if set.is_null() {
                None
            } else {
                cgroup::typed_id(follow(set, offset!(css_set_cgroup)))
            }
        };
        if let Some(id) = id {
            return id;
        }
    }
    // SAFETY: no arguments.
    unsafe { bpf_get_current_cgroup_id() }
}

/// Who calls from `cgroup`: its own identity or that of its nearest known ancestor.
#[inline(always)]
pub fn identity(cgroup: u64) -> IdentityId {
    match maps::identity_of_cgroup(cgroup) {
        Some(identity) => identity,
        None => IdentityId::from_raw(identity_of_ancestor()),
    }
}

/// A global function: see `attempt::decide_set`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn identity_of_ancestor() -> u32 {
    let mut level = MAX_ANCESTOR_LEVEL;
    while level >= 0 {
        // SAFETY: any level is a valid argument; one that is too deep gives 0.
        let ancestor = unsafe { bpf_get_current_ancestor_cgroup_id(level) };
        if ancestor != 0
            && let Some(identity) = maps::identity_of_cgroup(ancestor)
        {
            return identity.to_raw();
        }
        level -= 1;
    }
    maps::count_loss(Loss::UnknownCgroup);
    IdentityId::UNKNOWN.to_raw()
}
