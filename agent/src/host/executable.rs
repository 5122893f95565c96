//! Executable files that policy names by path, and the users of this host.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use agent_common::process::ExeKey;

/// A file that is held open, so that its inode's number cannot come to mean another file.
#[derive(Debug)]
pub struct Executable {
    pub key: ExeKey,
    _held: File,
}

/// The file that `path` leads to now.
///
/// # Errors
///
/// When there is none.
pub fn open(path: &Path) -> io::Result<Executable> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(path)?;
    let key = key(&file.metadata()?);
    Ok(Executable { key, _held: file })
}

/// What the kernel programs call the file of `metadata`.
#[must_use]
pub fn key(metadata: &fs::Metadata) -> ExeKey {
    let device = metadata.dev();
    // The kernel's own form: twelve bits of major number, twenty of minor.
    let (major, minor) = (libc::major(device), libc::minor(device));
    ExeKey {
        inode: metadata.ino(),
        device: major << 20 | minor & 0xf_ffff,
        _pad: 0,
    }
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
        let key = |name: &str| open(&at(name)).expect("a file").key;
        assert_eq!(key("a"), key("link"));
        assert_ne!(key("a"), key("copy"));
        assert!(open(&at("absent")).is_err());
    }
}
