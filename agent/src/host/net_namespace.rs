//! Works in other network namespaces, and finds them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    thread,
};

use nix::sched::{CloneFlags, setns};

use super::process;

/// Does `work` in another network namespace.
///
/// A thread of its own enters it and ends there: `setns` concerns the calling thread alone, so no
/// failure can leave a thread of the agent in a foreign namespace.
///
/// # Errors
///
/// When it cannot be entered (needs `CAP_SYS_ADMIN`).
pub(super) fn visit<T: Send>(namespace: &File, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let visitor = thread::Builder::new()
            .name("netns".into())
            .spawn_scoped(scope, || {
                setns(namespace, CloneFlags::CLONE_NEWNET)?;
                Ok(work())
            })?;
        visitor
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the visiting thread panicked")))
    })
}

/// Names the network namespace of the calling thread as long as something keeps it alive.
///
/// # Errors
///
/// Without `/proc`.
pub(super) fn own() -> io::Result<u64> {
    fs::metadata("/proc/thread-self/ns/net").map(|metadata| metadata.ino())
}

/// A process in each network namespace that has one, by the name of the namespace.
pub(super) fn inhabited() -> BTreeMap<u64, u32> {
    let mut found = BTreeMap::new();
    for process::Snapshot { pid, .. } in process::all() {
        if let Ok(metadata) = fs::metadata(format!("/proc/{pid}/ns/net")) {
            found.entry(metadata.ino()).or_insert(pid);
        }
    }
    found
}
