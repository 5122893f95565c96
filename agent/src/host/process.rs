//! What `/proc` still knows about a process. A short-lived one is often gone already.

use std::{
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::PathBuf,
    process::Command,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::SigSet,
        socket::{getsockopt, sockopt},
    },
};

/// One process, which is not mistaken for another that gets its number later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation {
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub started: u64,
}

impl Incarnation {
    /// The process that has this number now; `None` if there is none, or only what its parent has
    /// not yet taken note of.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let started = started(&stat)?;
        Some(Self { pid, started })
    }

    /// The process that has opened the other end of a Unix socket. Before Linux 6.5 one that ended
    /// right away may be mistaken for its successor.
    #[must_use]
    pub fn of_peer(socket: &impl AsFd, pid: i32) -> Option<Self> {
        let pid = u32::try_from(pid).ok().filter(|pid| *pid != 0)?;
        let handle = getsockopt(socket, sockopt::PeerPidfd).ok();
        let found = Self::of(pid)?;
        let has_ended = handle.is_some_and(|handle| has_ended(&handle));
        (!has_ended).then_some(found)
    }

    #[must_use]
    pub fn is_running(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

/// The number of every process.
pub fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Lets `command` start with these signals blocked, whatever this process blocks.
pub fn start_with_mask(command: &mut Command, mask: SigSet) {
    let set_mask = move || mask.thread_set_mask().map_err(io::Error::from);
    #[expect(
        unsafe_code,
        reason = "the closure runs in the child before the command does"
    )]
    // SAFETY: between fork and exec it calls `pthread_sigmask` alone, which is safe there, and
    // allocates nothing.
    unsafe {
        command.pre_exec(set_mask);
    }
}

/// A pidfd is readable from the end of its process on.
fn has_ended(handle: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(handle.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO) != Ok(0)
}

/// The start time in the text of `/proc/PID/stat`; `None` for a process that has ended.
fn started(stat: &str) -> Option<u64> {
    // The name before it is the process's own choice and may have any characters.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    let started = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(started)
}

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
    fn a_start_time_is_read_behind_any_name() {
        let stat = |name: &str, state: &str| {
            format!("7 ({name}) {state} 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20")
        };
        assert_eq!(started(&stat("a", "S")), Some(4711));
        assert_eq!(started(&stat("a) R 1 (b", "R")), Some(4711));
        assert_eq!(started(&stat("a", "Z")), None);
        assert_eq!(started("7 (a) S 1"), None);
    }

    #[test]
    fn the_peer_of_a_socket_is_known_as_long_as_it_runs() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().expect("sockets");
        let own = Incarnation::of(std::process::id()).expect("this process");
        assert!(own.is_running());
        assert_eq!(Incarnation::of_peer(&one, own.pid.cast_signed()), Some(own));
        assert_eq!(Incarnation::of_peer(&one, 0), None);
        assert_eq!(Incarnation::of(u32::MAX), None);
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
