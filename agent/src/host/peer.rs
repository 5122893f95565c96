//! The process at the other end of a Unix socket, and whom it acts for.

use std::{fs, os::fd::AsFd};

use super::incarnation::Incarnation;

/// What the kernel tells of a process that has opened a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerProcess {
    pub process: Incarnation,
    /// The user that its session was opened for, which `sudo` and `su` do not change.
    pub login: Option<u32>,
    /// Its groups, the supplementary ones too.
    pub groups: Vec<u32>,
}

impl PeerProcess {
    /// `None` for one that has ended meanwhile: what was read may then be of its successor.
    #[must_use]
    pub fn of(socket: &impl AsFd, pid: i32) -> Option<Self> {
        let number = u32::try_from(pid).ok()?;
        let login = login(number);
        let groups = groups(number);
        // After everything else: the process was there from the connection until now.
        let process = Incarnation::of_peer(socket, pid)?;
        Some(Self {
            process,
            login,
            groups,
        })
    }
}

/// The user that the session of process `pid` was opened for; `None` outside of a session, and on a
/// kernel that does not keep it.
fn login(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/loginuid")).ok()?;
    let uid = text.trim_end().parse().ok()?;
    (uid != u32::MAX).then_some(uid)
}

fn groups(pid: u32) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Groups:"));
    let groups = line.unwrap_or_default().split_ascii_whitespace();
    groups.filter_map(|group| group.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_known_with_its_groups_as_long_as_it_runs() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().expect("sockets");
        let own = std::process::id();
        let found = PeerProcess::of(&one, own.cast_signed()).expect("this process");
        assert_eq!(Some(found.process), Incarnation::of(own));
        let groups = nix::unistd::getgroups().expect("groups");
        let groups: Vec<_> = groups.into_iter().map(nix::unistd::Gid::as_raw).collect();
        assert_eq!(found.groups, groups);
        assert_eq!(PeerProcess::of(&one, i32::MAX), None);
        assert_eq!(PeerProcess::of(&one, -1), None);
    }
}
