//! Cgroups that are made and removed: named before anything can run in them, and told to the agent.
//!
//! A path that has had an identity gives it back at once, with or without an agent. Any other
//! cgroup is its parent until the agent, which this wakes, has named it.

use core::mem::offset_of;

use agent_common::{
    cgroup::{CgroupRecord, PATH_LEN},
    identity::{IdentityId, MAX_ANCESTOR_LEVEL},
    settings::Offsets,
};
use aya_ebpf::{
    bindings::bpf_sock,
    helpers::generated::{bpf_probe_read_kernel_str, bpf_skc_to_tcp_sock},
};

use crate::{
    attempt::now_ns,
    kernel::{follow, offset, read},
    maps,
};

#[inline(always)]
pub fn made(cgroup: *const u8, path: *const u8) {
    let Some(id) = id_in_v2(cgroup) else {
        return;
    };
    let inherited = identity_of_ancestor(cgroup);
    if inherited.is_none() && maps::is_scoped() {
        return;
    }
    let Some(record) = maps::cgroup_record() else {
        return;
    };
    describe(record, id, CgroupRecord::MADE);
    // SAFETY: the path has room for `PATH_LEN` bytes.
    let len = unsafe {
        bpf_probe_read_kernel_str(
            record.path.0.as_mut_ptr().cast(),
            PATH_LEN as u32,
            path.cast(),
        )
    };
    let fits = len > 0 && len < PATH_LEN as i64;
    if !fits {
        // No zero: the agent then looks by itself.
        record.path.0[PATH_LEN - 1] = 1;
    }
    let expected = if fits {
        maps::identity_of_path(&record.path)
    } else {
        None
    };
    if let Some(identity) = expected {
        maps::expect_identity(id, identity);
    } else if let Some(identity) = inherited {
        if maps::is_crowded(identity) {
            return;
        }
        maps::inherit_identity(id, identity);
    }
    maps::tell_of_cgroup(record);
}

#[inline(always)]
pub fn removed(cgroup: *const u8) {
    let Some(id) = id_in_v2(cgroup) else {
        return;
    };
    if maps::identity_of_cgroup(id).is_none() && maps::is_scoped() {
        return;
    }
    let Some(record) = maps::cgroup_record() else {
        return;
    };
    describe(record, id, CgroupRecord::REMOVED);
    maps::tell_of_cgroup(record);
}

#[inline(always)]
fn describe(record: &mut CgroupRecord, id: u64, kind: u32) {
    record.cgroup = id;
    record.at_ns = now_ns();
    record.kind = kind;
    record._pad = 0;
    let words = record.path.0.as_mut_ptr().cast::<u64>();
    let mut index = 0;
    while index < PATH_LEN / 8 {
        // SAFETY: within the path, which is aligned for words. Volatile: it must not become a call.
        unsafe { words.add(index).write_volatile(0) };
        index += 1;
    }
}

/// Id of the cgroup, unless it is of a hierarchy of version 1, which counts its own ids.
#[inline(always)]
fn id_in_v2(cgroup: *const u8) -> Option<u64> {
    // SAFETY: the offsets come from the running kernel's BTF.
    unsafe {
        let root: *const u8 = read(cgroup, offset!(cgroup_root))?;
        if read::<u32>(root, offset!(root_hierarchy))? != 0 {
            return None;
        }
        id(cgroup)
    }
}

/// The identity of the nearest ancestor that has one.
#[inline(always)]
fn identity_of_ancestor(cgroup: *const u8) -> Option<IdentityId> {
    let mut ancestor = cgroup;
    let mut distance = 0;
    while distance < MAX_ANCESTOR_LEVEL {
        ancestor = parent(ancestor)?;
        // SAFETY: a cgroup.
        if let Some(identity) = unsafe { id(ancestor) }.and_then(maps::identity_of_cgroup) {
            return Some(identity);
        }
        distance += 1;
    }
    None
}

#[inline(always)]
fn parent(cgroup: *const u8) -> Option<*const u8> {
    let at = maps::kernel_offset(offset_of!(Offsets, cgroup_self));
    // SAFETY: the offsets come from the running kernel's BTF; the parent's state is the `self`
    // member of the parent.
    unsafe {
        let state: *const u8 = read(cgroup, at + offset!(cgroup_parent))?;
        (!state.is_null()).then(|| state.wrapping_sub(at))
    }
}

/// # Safety
///
/// `cgroup` is a cgroup.
#[inline(always)]
unsafe fn id(cgroup: *const u8) -> Option<u64> {
    // SAFETY: the offsets come from the running kernel's BTF.
    unsafe {
        let node: *const u8 = read(cgroup, offset!(cgroup_kn))?;
        read(node, offset!(kernfs_node_id))
    }
}

/// As [`of_socket`], of a TCP socket whose type the verifier knows: its members are read without a
/// helper. `None` for any other, and on older kernels.
#[inline(always)]
pub fn of_tcp_socket(socket: *mut bpf_sock) -> Option<u64> {
    if !maps::is_typed() {
        return None;
    }
    // SAFETY: the kernel's own pointer to a socket; the offsets come from the running kernel's BTF,
    // and the verifier checks the types that they lead through.
    unsafe {
        let tcp = bpf_skc_to_tcp_sock(socket.cast());
        if tcp.is_null() {
            return None;
        }
        typed_id(follow(tcp.cast(), offset!(sock_cgroup)))
    }
}

/// Id of a cgroup that the verifier knows as one.
///
/// # Safety
///
/// `cgroup` is null, or a pointer that the kernel has handed in.
#[inline(always)]
pub unsafe fn typed_id(cgroup: *mut u8) -> Option<u64> {
    if cgroup.is_null() {
        return None;
    }
    // SAFETY: the offsets come from the running kernel's BTF, and the verifier checks the types.
    unsafe {
        let node: *mut u8 = follow(cgroup, offset!(cgroup_kn));
        if node.is_null() {
            return None;
        }
        let id = node.wrapping_add(offset!(kernfs_node_id)).cast::<u64>();
        Some(id.read_volatile())
    }
}

/// Id of the cgroup that a socket was made in.
#[inline(always)]
pub fn of_socket(sock: *const u8) -> Option<u64> {
    /// Before 5.15 the low bits tell whether this is a pointer at all.
    const IS_DATA: u64 = 1;
    const TAGS: u64 = 3;
    // SAFETY: the offsets come from the running kernel's BTF.
    unsafe {
        let cgroup: u64 = read(sock, offset!(sock_cgroup))?;
        if cgroup & IS_DATA != 0 {
            return None;
        }
        id((cgroup & !TAGS) as *const u8)
    }
}
