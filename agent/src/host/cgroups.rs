//! Finds cgroups and notices when they come and go.
//!
//! The kernel already judges an unknown cgroup as its nearest known ancestor, so what is late here
//! is a name, not a rule.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{CreateKind, RemoveKind},
};

/// Id and path below the root (`/` first) of `directory` and every cgroup below it.
///
/// A cgroup that disappears meanwhile is left out.
///
/// # Errors
///
/// When `directory` itself cannot be read.
pub fn scan(root: &Path, directory: &Path) -> io::Result<BTreeMap<u64, String>> {
    let mut found = BTreeMap::new();
    let id = fs::metadata(directory)?.ino();
    found.insert(id, path_below(root, directory));
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let path = entry.path();
            if let Ok(metadata) = entry.metadata() {
                found.insert(metadata.ino(), path_below(root, &path));
                pending.push(path);
            }
        }
    }
    Ok(found)
}

/// Whether the cgroup at `path` below `root` is the one with this id.
#[must_use]
pub fn is_there(root: &Path, path: &str, cgroup: u64) -> bool {
    let directory = root.join(path.trim_start_matches('/'));
    fs::metadata(directory).is_ok_and(|metadata| metadata.ino() == cgroup)
}

/// How many directories of `path`, from the top, root has made: all down to the first one that
/// belongs to somebody else, who makes those below it.
#[must_use]
pub fn n_made_by_root(root: &Path, path: &str) -> usize {
    let mut directory = root.to_owned();
    let components = path.split('/').filter(|part| !part.is_empty());
    for (index, component) in components.enumerate() {
        directory.push(component);
        // What is gone was not removed by somebody who had been given it: only what is in it can be.
        let owner = fs::symlink_metadata(&directory).map(|metadata| metadata.uid());
        if owner.is_ok_and(|owner| owner != 0) {
            return index + 1;
        }
    }
    usize::MAX
}

/// Path of a directory below the cgroup root, `/` first.
#[must_use]
pub fn path_below(root: &Path, path: &Path) -> String {
    match path.strip_prefix(root) {
        Ok(below) => format!("/{}", below.display()),
        Err(_) => path.display().to_string(),
    }
}

/// Whether there is a process in the cgroup at `path` below `root`, or below it.
#[must_use]
pub fn is_populated(root: &Path, path: &str) -> bool {
    let events = root
        .join(path.trim_start_matches('/'))
        .join("cgroup.events");
    // A cgroup that is gone has none.
    fs::read_to_string(events).is_ok_and(|text| text.contains("populated 1"))
}

/// What has happened to a cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// This directory, and perhaps others below it, is new.
    Made(PathBuf),
    Removed(PathBuf),
    /// Something was missed: scan again.
    Missed,
}

/// Reports changes until it is dropped.
pub struct CgroupWatcher {
    _watcher: RecommendedWatcher,
}

impl CgroupWatcher {
    /// Watches `directory` and everything below it.
    ///
    /// # Errors
    ///
    /// When the kernel allows no more watches (`fs.inotify.max_user_watches`).
    pub fn start(
        directory: &Path,
        report: impl Fn(Change) + Send + 'static,
    ) -> Result<Self, notify::Error> {
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            interpret(event).into_iter().for_each(&report);
        })?;
        watcher.watch(directory, RecursiveMode::Recursive)?;
        Ok(Self { _watcher: watcher })
    }
}

fn interpret(event: notify::Result<Event>) -> Vec<Change> {
    let Ok(event) = event else {
        return vec![Change::Missed];
    };
    if event.need_rescan() {
        return vec![Change::Missed];
    }
    if matches!(event.kind, EventKind::Create(CreateKind::Folder)) {
        return event.paths.into_iter().map(Change::Made).collect();
    }
    if matches!(event.kind, EventKind::Remove(RemoveKind::Folder)) {
        return event.paths.into_iter().map(Change::Removed).collect();
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_finds_nested_directories_by_inode_and_path() {
        let root = tempfile::tempdir().expect("a directory");
        let nested = root.path().join("a.slice/b.service");
        fs::create_dir_all(&nested).expect("nested directories");
        fs::write(root.path().join("cgroup.procs"), "").expect("a file");
        let found = scan(root.path(), root.path()).expect("a scan");
        let paths: Vec<_> = found.values().map(String::as_str).collect();
        assert_eq!(found.len(), 3);
        for path in ["/", "/a.slice", "/a.slice/b.service"] {
            assert!(paths.contains(&path), "{path} in {paths:?}");
        }
        let id = fs::metadata(&nested).expect("metadata").ino();
        assert_eq!(
            found.get(&id).map(String::as_str),
            Some("/a.slice/b.service")
        );
    }

    #[test]
    fn what_somebody_was_given_was_not_made_by_root() {
        let root = tempfile::tempdir().expect("a directory");
        let given = root.path().join("a/given");
        fs::create_dir_all(given.join("b/c")).expect("nested directories");
        let found = |path| n_made_by_root(root.path(), path);
        if !nix::unistd::geteuid().is_root() {
            assert_eq!(found("/a/given/b"), 1);
            return;
        }
        assert_eq!(found("/a/given/b/c"), usize::MAX);
        assert_eq!(found("/a/gone"), usize::MAX);
        std::os::unix::fs::chown(&given, Some(7), None).expect("given away");
        assert_eq!(found("/a/given/b/c"), 2);
        assert_eq!(found("/a/given/gone"), 2);
        assert_eq!(found("/a"), usize::MAX);
        assert_eq!(found("/"), usize::MAX);
    }

    #[test]
    fn a_new_directory_is_noticed() {
        let root = tempfile::tempdir().expect("a directory");
        let (sender, changes) = std::sync::mpsc::channel();
        let report = move |change| sender.send(change).expect("the test listens");
        let _watcher = CgroupWatcher::start(root.path(), report).expect("a watcher");
        let made = root.path().join("new.service");
        fs::create_dir(&made).expect("a directory");
        assert_eq!(changes.recv(), Ok(Change::Made(made.clone())));
        fs::remove_dir(&made).expect("removed");
        assert_eq!(changes.recv(), Ok(Change::Removed(made)));
    }
}
