//! Which of several files that have had the same inode number one is.

#![expect(
    unsafe_code,
    reason = "nix offers this call of ioctl(2) without a safe wrapper"
)]

use std::{
    fs::File,
    os::fd::{AsRawFd, RawFd},
};

nix::ioctl_read!(
    /// `FS_IOC_GETVERSION`. It is declared with a `long`, and writes an `int`.
    get_version,
    b'v',
    1,
    libc::c_long
);

/// `None` where the file system does not tell.
#[must_use]
pub(super) fn of(file: &File) -> Option<u32> {
    let file: RawFd = file.as_raw_fd();
    let mut version = 0;
    // SAFETY: the descriptor is open, and the kernel writes at most a `long`.
    unsafe { get_version(file, &raw mut version) }.ok()?;
    Some(version as u32)
}
