//! One process, which is not mistaken for another that gets its number later; and how one starts.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::Command,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::SigSet,
        socket::{getsockopt, sockopt},
    },
};

use super::process;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation {
    pub pid: u32,
    /// When it started, on the boot clock.
    pub start_ns: u64,
}

impl Incarnation {
    /// The process that has this number now; `None` if there is none, or one that has ended.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let found = process::find(pid).filter(|found| !found.has_ended)?;
        Some(Self {
            pid,
            start_ns: found.start_ns,
        })
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

/// A pidfd is readable from the end of its process on.
fn has_ended(handle: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(handle.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO) != Ok(0)
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_process_that_nobody_waits_for_has_ended() {
        let mut child = Command::new("true").spawn().expect("a process");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while Incarnation::of(child.id()).is_some() {
            assert!(std::time::Instant::now() < deadline, "it does not end");
        }
        assert!(process::find(child.id()).is_some_and(|found| found.has_ended));
        child.wait().expect("it has ended");
    }
}
