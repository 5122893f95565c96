//! What `/proc` still knows about a process. A short-lived one is often gone already.

use std::{fs, io, os::unix::fs::MetadataExt, path::PathBuf};

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

/// A process as `/proc` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub pid: u32,
    pub parent: u32,
    pub comm: String,
    /// On the boot clock, rounded to a hundredth of a second.
    pub start_ns: u64,
    /// Real user.
    pub user: u32,
    /// Its parent has not yet taken note of its end.
    pub has_ended: bool,
}

/// Every process that is there now. One that ends meanwhile is left out.
#[must_use]
pub fn all() -> Vec<Snapshot> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(find).collect()
}

/// When process `pid` was started, on the boot clock; `None` if there is none.
#[must_use]
pub fn start_ns(pid: u32) -> Option<u64> {
    find(pid).map(|found| found.start_ns)
}

/// Process `pid`; `None` if there is none.
#[must_use]
pub fn find(pid: u32) -> Option<Snapshot> {
    let directory = PathBuf::from(format!("/proc/{pid}"));
    let user = fs::metadata(&directory).ok()?.uid();
    let stat = fs::read_to_string(directory.join("stat")).ok()?;
    let Stat {
        comm,
        has_ended,
        parent,
        ticks,
    } = parse_stat(&stat)?;
    Some(Snapshot {
        pid,
        parent,
        comm,
        start_ns: ticks.saturating_mul(1_000_000_000 / ticks_per_second()),
        user,
        has_ended,
    })
}

/// What `/proc/PID/stat` says.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    comm: String,
    has_ended: bool,
    parent: u32,
    /// Its start.
    ticks: u64,
}

fn ticks_per_second() -> u64 {
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK);
    let ticks = ticks
        .ok()
        .flatten()
        .and_then(|ticks| u64::try_from(ticks).ok());
    ticks.filter(|ticks| *ticks > 0).unwrap_or(100)
}

/// The name may hold anything, brackets and line breaks too.
fn parse_stat(stat: &str) -> Option<Stat> {
    let (head, tail) = stat.rsplit_once(')')?;
    let comm = head.split_once('(')?.1.to_owned();
    let mut fields = tail.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let ticks = fields.nth(17)?.parse().ok()?;
    Some(Stat {
        comm,
        has_ended: matches!(state, "Z" | "X"),
        parent,
        ticks,
    })
}

/// Real user of process `pid`; `None` if there is none.
#[must_use]
pub fn real_user(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Whether user ids mean the same to a process as to this one.
#[must_use]
pub fn shares_users(pid: u32) -> bool {
    let namespace = |of: &str| {
        let namespace = fs::metadata(format!("/proc/{of}/ns/user")).ok()?;
        Some((namespace.dev(), namespace.ino()))
    };
    let of_process = namespace(&pid.to_string());
    of_process.is_some() && of_process == namespace("self")
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
    fn a_name_may_look_like_more() {
        let check = |state: &str, has_ended: bool| {
            let text =
                format!("7 (a) S 1 (b) {state} 3 7 7 0 -1 0 0 0 0 0 1 2 3 4 20 0 1 0 1234 99 0");
            let expected = Stat {
                comm: "a) S 1 (b".to_owned(),
                has_ended,
                parent: 3,
                ticks: 1234,
            };
            assert_eq!(parse_stat(&text), Some(expected), "{text}");
        };
        check("R", false);
        check("Z", true);
        assert_eq!(parse_stat("garbage"), None);
        assert_eq!(parse_stat("7 (a) S"), None);
    }

    #[test]
    fn this_process_is_among_all() {
        let own = std::process::id();
        let found = all().into_iter().find(|one| one.pid == own);
        let found = found.expect("this process");
        assert_eq!(found.parent, std::os::unix::process::parent_id());
        assert!(found.start_ns > 0 && found.start_ns <= crate::host::clock::boot_ns());
        assert_eq!(start_ns(own), Some(found.start_ns));
        assert_eq!(start_ns(u32::MAX), None);
        assert_eq!(real_user(own), Some(nix::unistd::getuid().as_raw()));
        assert_eq!(real_user(u32::MAX), None);
    }

    #[test]
    fn this_process_is_found_and_another_is_not() {
        let own = look_up(std::process::id());
        assert!(own.comm.is_some() && own.exe.is_some());
        assert!(cgroup_path(std::process::id()).is_ok());
        assert_eq!(look_up(u32::MAX), Process::default());
        assert!(cgroup_path(u32::MAX).is_err());
    }
}
