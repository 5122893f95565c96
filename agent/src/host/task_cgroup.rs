//! Cgroups that hold one task each: made, entered, looked at and removed.
//!
//! A task's cgroup lies below that of the process that asked for it and enables no controllers, so
//! the kernel's rule about processes in inner cgroups does not concern it. Which right belongs to
//! it is decided elsewhere, by its id.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Component, Path, PathBuf},
};

use nix::{
    libc,
    unistd::{AccessFlags, eaccess},
};
use rustix::rand::{GetRandomFlags, getrandom};
use thiserror::Error;

use super::{incarnation::Incarnation, process::cgroup_path};

/// Deepest and largest tree that a removal looks through: a workload can make what it likes.
const MOST_CGROUPS: usize = 4_096;

#[derive(Debug, Error)]
pub enum PlaceError {
    #[error(
        "make the cgroup `{}`: start it where cgroups can be made, as with `systemd-run --scope -p \
         Delegate=yes`", .path.display()
    )]
    Make {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "move process {pid} into `{}`{}: start it elsewhere, as with `systemd-run --scope -p \
         Delegate=yes`", .path.display(), hint(.source)
    )]
    Enter {
        pid: u32,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("process {0} has ended")]
    Ended(u32),
}

/// What the kernel means.
fn hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EOPNOTSUPP) => ", which is in a threaded cgroup",
        Some(libc::EBUSY) => ", whose cgroup has controllers enabled for those below it",
        Some(libc::EACCES | libc::EPERM) => ", which needs write access to both cgroups",
        Some(_) | None => "",
    }
}

/// An id that nobody can guess: 128 bits as hexadecimal digits.
///
/// # Errors
///
/// When the kernel has no random numbers.
pub fn new_id() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    let n = getrandom(&mut bytes, GetRandomFlags::empty())?;
    if n < bytes.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Makes the cgroup `name` below `parent`; everybody may look at it.
///
/// # Errors
///
/// When the kernel refuses.
pub fn make(parent: &Path, name: &str) -> Result<PathBuf, PlaceError> {
    let path = parent.join(name);
    let made = fs::create_dir(&path)
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
    match made {
        Ok(()) => Ok(path),
        Err(source) => Err(PlaceError::Make { path, source }),
    }
}

/// The directory of this process's own cgroup, if it is below `root`.
#[must_use]
pub fn own(root: &Path) -> Option<PathBuf> {
    let path = cgroup_path(std::process::id()).ok()?;
    let is_below = path.split('/').all(|part| part != "..");
    is_below.then(|| root.join(path.trim_start_matches('/')))
}

/// Makes the cgroup `name` below `parent`, if this process may also move itself there.
#[must_use]
pub fn make_where_allowed(parent: &Path, name: &str) -> Option<PathBuf> {
    eaccess(&parent.join("cgroup.procs"), AccessFlags::W_OK).ok()?;
    let path = parent.join(name);
    fs::create_dir(&path).ok()?;
    Some(path)
}

/// Moves a process.
///
/// # Errors
///
/// When it has ended, or the kernel refuses.
pub fn enter(directory: &Path, process: Incarnation) -> Result<(), PlaceError> {
    let pid = process.pid;
    if !process.is_running() {
        return Err(PlaceError::Ended(pid));
    }
    fs::write(directory.join("cgroup.procs"), pid.to_string()).map_err(|source| {
        PlaceError::Enter {
            pid,
            path: directory.to_owned(),
            source,
        }
    })?;
    if process.is_running() {
        Ok(())
    } else {
        Err(PlaceError::Ended(pid))
    }
}

/// Id of a cgroup, which no other has before the next boot.
///
/// # Errors
///
/// When there is none.
pub fn id(directory: &Path) -> io::Result<u64> {
    fs::metadata(directory).map(|metadata| metadata.ino())
}

/// The directory of a cgroup that the user `uid` has made below `parent`, and its id; the cgroup
/// must be empty.
///
/// # Errors
///
/// Why it cannot hold a task, as a clause.
pub fn adopt(parent: &Path, below: &str, uid: u32) -> Result<(PathBuf, u64), String> {
    let relative = Path::new(below);
    let is_plain = |part| matches!(part, Component::Normal(_));
    if below.is_empty() || !relative.components().all(is_plain) {
        return Err("is no path below the cgroup of the process that asks".to_owned());
    }
    let directory = parent.join(relative);
    let metadata = fs::symlink_metadata(&directory).map_err(|error| error.to_string())?;
    if !metadata.is_dir() {
        return Err("is no directory".to_owned());
    }
    if uid != 0 && metadata.uid() != uid {
        return Err(format!("was made by uid {}", metadata.uid()));
    }
    if is_populated(&directory).map_err(|error| error.to_string())? {
        return Err("holds processes already".to_owned());
    }
    if !children(&directory).is_empty() {
        return Err("has cgroups below it".to_owned());
    }
    Ok((directory, metadata.ino()))
}

/// Whether a process is in the cgroup or below it.
///
/// # Errors
///
/// When there is no such cgroup.
pub fn is_populated(directory: &Path) -> io::Result<bool> {
    let text = fs::read_to_string(directory.join("cgroup.events"))?;
    Ok(text.lines().any(|line| line == "populated 1"))
}

/// Processes in the cgroup and below it.
#[must_use]
pub fn processes(directory: &Path) -> Vec<u32> {
    let mut found = Vec::new();
    for directory in tree(directory) {
        let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
    }
    found
}

/// Removes the cgroup with all that are below it, none of which may hold a process.
///
/// # Errors
///
/// When one does.
pub fn remove(directory: &Path) -> io::Result<()> {
    tree(directory)
        .iter()
        .rev()
        .try_for_each(|directory| match fs::remove_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        })
}

/// A cgroup and all below it, outer ones first.
fn tree(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![directory.to_owned()];
    let mut next = 0;
    while let Some(directory) = found.get(next)
        && found.len() < MOST_CGROUPS
    {
        let below = children(directory);
        found.extend(below);
        next += 1;
    }
    found
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would show of an empty cgroup.
    fn cgroup(parent: &Path, name: &str, populated: u8) -> PathBuf {
        let path = make(parent, name).expect("a directory");
        fs::write(
            path.join("cgroup.events"),
            format!("populated {populated}\nfrozen 0\n"),
        )
        .expect("a file");
        path
    }

    #[test]
    fn only_an_own_empty_cgroup_below_the_caller_is_adopted() {
        let root = tempfile::tempdir().expect("a directory");
        let root = root.path();
        let own = fs::metadata(root).expect("metadata").uid();
        let empty = cgroup(root, "empty", 0);
        let full = cgroup(root, "full", 1);
        cgroup(&full, "inner", 0);
        cgroup(root, "outer", 0);
        cgroup(&root.join("outer"), "inner", 0);
        let id = id(&empty).expect("an id");
        assert_eq!(adopt(root, "empty", own), Ok((empty, id)));
        assert_eq!(adopt(root, "outer/inner", 0).map(|found| found.0), {
            Ok(root.join("outer/inner"))
        });
        let check = |below: &str, uid: u32, why: &str| {
            let refused = adopt(root, below, uid).expect_err(below);
            assert!(refused.contains(why), "{below}: {refused}");
        };
        check("empty", own + 1, "was made by uid");
        check("full", own, "holds processes");
        check("outer", own, "has cgroups below");
        check("absent", own, "No such file");
        for elsewhere in ["", ".", "..", "../empty", "/", "empty/../../x"] {
            check(elsewhere, own, "is no path below");
        }
    }

    #[test]
    fn a_process_that_is_another_now_is_not_moved() {
        let root = tempfile::tempdir().expect("a directory");
        let own = Incarnation::of(std::process::id()).expect("this process");
        let former = Incarnation {
            start_ns: own.start_ns + 1,
            ..own
        };
        assert!(matches!(
            enter(root.path(), former),
            Err(PlaceError::Ended(_))
        ));
        assert!(!root.path().join("cgroup.procs").exists());
        enter(root.path(), own).expect("moved");
        assert_eq!(processes(root.path()), [own.pid]);
    }
}
