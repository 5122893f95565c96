//! Executable files that policy names by path.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::Path,
};

use agent_common::process::ExeKey;

use super::generation;

/// A file that is held open, so that its inode's number cannot come to mean another file.
#[derive(Debug)]
pub struct Executable {
    pub key: ExeKey,
    _held: File,
}

/// What is mounted, as `/proc/self/mountinfo` has it: to be read once for many files.
#[derive(Debug)]
pub struct Mounts(String);

impl Mounts {
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn read() -> io::Result<Self> {
        fs::read_to_string("/proc/self/mountinfo").map(Self)
    }
}

/// The file that `path` leads to now.
///
/// # Errors
///
/// When there is none.
pub fn open(path: &Path, mounts: &Mounts) -> io::Result<Executable> {
    // Opening anything else, a device, may do something.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("no file"));
    }
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    let key = key(&file, mounts)?;
    Ok(Executable { key, _held: file })
}

/// What the kernel programs call the file. What `stat` tells will not do: file systems with subvolumes
/// or layers have other numbers for it.
fn key(file: &File, Mounts(mounts): &Mounts) -> io::Result<ExeKey> {
    let metadata = file.metadata()?;
    let descriptor = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()))?;
    // Since Linux 5.14.
    let inode = field(&descriptor, "ino:").unwrap_or(metadata.ino());
    let device = field(&descriptor, "mnt_id:").and_then(|mount| device(mounts, mount));
    Ok(ExeKey {
        inode,
        // Of a mount that is not there any more.
        device: device.unwrap_or_else(|| {
            let device = metadata.dev();
            packed(libc::major(device), libc::minor(device))
        }),
        generation: generation::of(file).unwrap_or(ExeKey::ANY_GENERATION),
    })
}

fn field(descriptor: &str, name: &str) -> Option<u64> {
    let mut lines = descriptor.lines();
    let value = lines.find_map(|line| line.strip_prefix(name))?;
    value.trim().parse().ok()
}

/// The device of the file system that is mounted there, by [`Mounts`].
fn device(mounts: &str, mount: u64) -> Option<u32> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        if fields.next()?.parse() != Ok(mount) {
            return None;
        }
        let (major, minor) = fields.nth(1)?.split_once(':')?;
        Some(packed(major.parse().ok()?, minor.parse().ok()?))
    })
}

/// The kernel's own form: twelve bits of major number, twenty of minor.
const fn packed(major: u32, minor: u32) -> u32 {
    major << 20 | minor & 0xf_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_another_file_and_a_link_is_the_same() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        fs::write(at("a"), "x").expect("a file");
        fs::copy(at("a"), at("copy")).expect("a copy");
        fs::hard_link(at("a"), at("link")).expect("a link");
        let mounts = Mounts::read().expect("what is mounted");
        let key = |name: &str| open(&at(name), &mounts).expect("a file").key;
        assert_eq!(key("a"), key("link"));
        assert_ne!(key("a"), key("copy"));
        assert!(open(&at("absent"), &mounts).is_err());
        assert!(open(directory.path(), &mounts).is_err());
        assert!(open(Path::new("/dev/null"), &mounts).is_err());
    }

    #[test]
    fn the_device_is_that_of_the_mount() {
        let mounts =
            "22 28 0:40 / /btrfs rw - btrfs /dev/vdb rw\n28 1 254:1 / / rw - ext4 /dev/vda1 rw\n";
        assert_eq!(device(mounts, 22), Some(40));
        assert_eq!(device(mounts, 28), Some(254 << 20 | 1));
        assert_eq!(device(mounts, 2), None);
        let descriptor = "pos:\t0\nflags:\t0100000\nmnt_id:\t28\nino:\t77\n";
        assert_eq!(field(descriptor, "mnt_id:"), Some(28));
        assert_eq!(field(descriptor, "ino:"), Some(77));
        assert_eq!(field("pos:\t0\n", "ino:"), None);
    }
}
