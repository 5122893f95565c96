//! What `/proc` still knows about a process. A short-lived one is often gone already.

use std::{fs, io, path::PathBuf};

/// A process as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Command name, at most 15 bytes.
    pub comm: Option<String>,
    pub exe: Option<String>,
}

/// Looks a process up; the fields of one that is gone are `None`.
#[must_use]
pub fn look_up(pid: u32) -> Process {
    let directory = PathBuf::from(format!("/proc/{pid}"));
    Process {
        comm: fs::read_to_string(directory.join("comm"))
            .ok()
            .map(|comm| comm.trim_end().to_owned()),
        exe: fs::read_link(directory.join("exe"))
            .ok()
            .map(|exe| exe.display().to_string()),
    }
}

/// Path of a process's cgroup below the cgroup v2 root, `/` first.
///
/// # Errors
///
/// When there is no such process.
pub fn cgroup_path(pid: u32) -> io::Result<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    text.lines()
        .find_map(|line| line.strip_prefix("0::"))
        .map(ToOwned::to_owned)
        .ok_or_else(|| io::Error::other("the process is in no cgroup v2 hierarchy"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_and_another_is_not() {
        let own = look_up(std::process::id());
        assert!(own.comm.is_some() && own.exe.is_some());
        assert!(cgroup_path(std::process::id()).is_ok());
        assert_eq!(look_up(u32::MAX), Process::default());
        assert!(cgroup_path(u32::MAX).is_err());
    }
}
