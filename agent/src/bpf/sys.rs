//! System calls that neither aya nor nix offers: opening, updating and inspecting a link by its pin,
//! and waiting until no program still works with what has been replaced.

#![expect(unsafe_code, reason = "bpf(2) has no safe wrapper for these commands")]

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_link_info};

/// Waits until `fd`, a ring's, can be read, at most for `timeout`. A signal is no error.
///
/// # Errors
///
/// When the kernel refuses to wait.
pub(super) fn wait_readable(fd: RawFd, timeout: Duration) -> io::Result<()> {
    // SAFETY: aya hands out the descriptor as a number only; the caller's ring owns it.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
    match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Opens what is pinned at `path`.
///
/// # Errors
///
/// `ENOENT` if nothing is pinned there.
pub(super) fn open_pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = zeroed();
    attr.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    let fd = bpf(bpf_cmd::BPF_OBJ_GET, &mut attr)?;
    // SAFETY: the kernel has just handed this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Waits until every program that runs now has ended (a global RCU grace period).
///
/// # Errors
///
/// `EINVAL` on hosts with `nohz_full` processors, where the kernel offers no such wait.
pub(super) fn wait_for_running_programs() -> io::Result<()> {
    // SAFETY: takes no pointers.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;

/// Atomically makes `link` run `program` (kernel 5.7). No call slips through in between.
///
/// # Errors
///
/// `EINVAL` for links whose kind cannot be updated, `ENOLINK` if the cgroup is gone.
pub(super) fn link_update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = zeroed();
    attr.link_update.link_fd = link.as_raw_fd() as u32;
    attr.link_update.__bindgen_anon_1.new_prog_fd = program.as_raw_fd() as u32;
    bpf(bpf_cmd::BPF_LINK_UPDATE, &mut attr).map(drop)
}

/// Id of the cgroup that a cgroup link is attached to; 0 once that cgroup is gone.
pub(super) fn link_cgroup(link: BorrowedFd<'_>) -> io::Result<u64> {
    // SAFETY: an all-zero `bpf_link_info` is valid: integers only.
    let mut info: bpf_link_info = unsafe { std::mem::zeroed() };
    let mut attr = zeroed();
    attr.info.bpf_fd = link.as_raw_fd() as u32;
    attr.info.info_len = size_of::<bpf_link_info>() as u32;
    attr.info.info = (&raw mut info) as u64;
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    // SAFETY: the kernel filled the member of a cgroup link; for others it is zero.
    Ok(unsafe { info.__bindgen_anon_1.cgroup.cgroup_id })
}

fn zeroed() -> bpf_attr {
    // SAFETY: an all-zero `bpf_attr` is valid: a union of integer-only structures.
    unsafe { std::mem::zeroed() }
}

fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<libc::c_int> {
    // SAFETY: `attr` is a valid, fully initialised argument of the size that is given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            std::ptr::from_mut(attr),
            size_of::<bpf_attr>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result as libc::c_int)
}
