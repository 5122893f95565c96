//! Where an executable is: its names up to the root of its mount tree.
//!
//! Read once for each file, and again when the file's inode has changed. Names go from the file to
//! the root; the agent turns them round.

use agent_common::process::{ExeKey, NAME_LEN, PATH_LEN};
use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;

use crate::{
    kernel::{offset, read},
    maps,
};

/// Names and mounts of one path that are followed.
const MAX_STEPS: u32 = 48;

#[inline(always)]
pub fn remember(key: &ExeKey, file: *const u8, inode: *const u8) {
    // SAFETY: the offsets come from the running kernel's BTF.
    let changed = unsafe {
        (
            read::<u64>(inode, offset!(inode_changed_s)).unwrap_or(0),
            read::<u32>(inode, offset!(inode_changed_ns)).unwrap_or(0),
        )
    };
    if let Some(known) = maps::exe_path(key)
        && (known.changed_s, known.changed_ns) == changed
    {
        return;
    }
    // SAFETY: as above; a mount holds what its users see as a member.
    let place = unsafe {
        (
            read::<u64>(file, offset!(file_dentry)),
            read::<u64>(file, offset!(file_mount)),
        )
    };
    let (Some(dentry), Some(mount)) = place else {
        return;
    };
    let own = offset!(mount_own) as u64;
    read_names(dentry, mount.wrapping_sub(own));
    let Some(path) = maps::path_scratch() else {
        return;
    };
    path.changed_s = changed.0;
    path.changed_ns = changed.1;
    path._pad = 0;
    maps::remember_exe(key, path);
}

/// Fills this processor's scratch. A global function, which the verifier checks by itself.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn read_names(mut dentry: u64, mut mount: u64) -> u32 {
    let Some(path) = maps::path_scratch() else {
        return 0;
    };
    path.len = 0;
    path.truncated = 0;
    let mut step = 0;
    while step < MAX_STEPS {
        step += 1;
        match read_name(dentry, mount) {
            Step::Up(parent) => dentry = parent,
            Step::Out(point, parent) => {
                dentry = point;
                mount = parent;
            }
            Step::Done => return 1,
            Step::Truncated => break,
        }
    }
    path.truncated = 1;
    0
}

enum Step {
    /// To the parent directory.
    Up(u64),
    /// To where this mount is mounted.
    Out(u64, u64),
    Done,
    Truncated,
}

#[inline(always)]
fn read_name(dentry: u64, mount: u64) -> Step {
    let (dentry, mount) = (dentry as *const u8, mount as *const u8);
    // SAFETY: the offsets come from the running kernel's BTF.
    unsafe {
        let root = read::<u64>(mount, offset!(mount_own) + offset!(mount_root));
        if root == Some(dentry as u64) {
            let parent = read::<u64>(mount, offset!(mount_parent));
            let point = read::<u64>(mount, offset!(mount_point));
            return match (point, parent) {
                (_, Some(parent)) if parent == mount as u64 => Step::Done,
                (Some(point), Some(parent)) => Step::Out(point, parent),
                _ => Step::Truncated,
            };
        }
        let parent = read::<u64>(dentry, offset!(dentry_parent));
        let name = read::<*const u8>(dentry, offset!(dentry_name));
        let (Some(parent), Some(name), Some(path)) = (parent, name, maps::path_scratch()) else {
            return Step::Truncated;
        };
        if parent == dentry as u64 {
            return Step::Done;
        }
        let at = path.len;
        if at > (PATH_LEN - NAME_LEN) as u32 {
            return Step::Truncated;
        }
        let place = path.names.as_mut_ptr().add(at as usize);
        let len = bpf_probe_read_kernel_str(place.cast(), NAME_LEN as u32, name.cast());
        if len <= 0 {
            return Step::Truncated;
        }
        path.len = at + len as u32;
        Step::Up(parent)
    }
}
