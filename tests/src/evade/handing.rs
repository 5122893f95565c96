//! How a socket that an entitled workload has made reaches the attempt.

use std::{
    io::{self, Error, IoSlice, IoSliceMut, Read, Write},
    net::Shutdown,
    os::{
        fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use nix::{
    cmsg_space,
    sys::{
        signal::Signal,
        socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg},
    },
    unistd::Pid,
};
use socket2::Socket;

use super::{
    Scene,
    sys::{check, leave, owned, spawn, wait},
};

/// Makes a socket, where it is entitled.
pub(super) type Make = fn() -> io::Result<Socket>;
/// For a busy machine to hand a socket over.
const LATEST: Duration = Duration::from_secs(5);

#[derive(Clone, Copy)]
pub(super) enum Way {
    /// From a parent that stays where it is.
    Inherited,
    /// By the process itself, which then moves.
    Joined,
    /// Over a Unix socket.
    Passed,
    /// From another process, by `pidfd_getfd`.
    Fetched,
    /// From another process, by `/proc/PID/fd`.
    Reopened,
    /// In a table of descriptors that two processes share (`CLONE_FILES`).
    Shared,
    /// Over `exec`, as standard input.
    Executed,
}

/// Has an entitled process make a socket, and uses it in the attempt's own cgroup.
pub(super) fn hand(
    scene: &Scene,
    way: Way,
    make: Make,
    use_it: impl Fn(&Scene, &Socket) -> io::Result<()>,
) -> io::Result<()> {
    match way {
        Way::Joined | Way::Executed => {
            scene.enter_out()?;
            let made = make()?;
            scene.enter_own()?;
            if matches!(way, Way::Executed) {
                return over_exec(scene, made);
            }
            use_it(scene, &made)
        }
        Way::Inherited => {
            scene.enter_out()?;
            let made = make()?;
            wait(spawn(|| {
                scene.enter_own()?;
                use_it(scene, &made)
            })?)
        }
        Way::Shared => shared(scene, make, use_it),
        Way::Passed | Way::Fetched | Way::Reopened => {
            let (mut ours, mut theirs) = UnixStream::pair()?;
            ours.set_read_timeout(Some(LATEST))?;
            let helper = spawn(|| {
                scene.enter_out()?;
                let made = make()?;
                if matches!(way, Way::Passed) {
                    pass(&theirs, made.as_raw_fd())?;
                } else {
                    theirs.write_all(&made.as_raw_fd().to_ne_bytes())?;
                }
                // Until the other side is done.
                theirs.read(&mut [0; 1]).map(drop)
            })?;
            drop(theirs);
            let received = receive(&mut ours, way, helper);
            let result = received.and_then(|made| use_it(scene, &made));
            // The helper has this end, too.
            ours.shutdown(Shutdown::Both)?;
            let helped = wait(helper);
            result.or_else(|error| helped.and(Err(error)))
        }
    }
}

fn receive(from: &mut UnixStream, way: Way, helper: Pid) -> io::Result<Socket> {
    if matches!(way, Way::Passed) {
        return take(from).map(Socket::from);
    }
    let mut number = [0; 4];
    from.read_exact(&mut number)?;
    let number = RawFd::from_ne_bytes(number);
    if matches!(way, Way::Reopened) {
        let path = format!("/proc/{helper}/fd/{number}");
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)?;
        return Ok(Socket::from(OwnedFd::from(file)));
    }
    fetch(helper, number).map(Socket::from)
}

fn fetch(from: Pid, number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: numbers only.
    let process = owned(unsafe { libc::syscall(libc::SYS_pidfd_open, from.as_raw(), 0) })?;
    // SAFETY: numbers only.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) })
}

/// With a message of one octet.
pub(super) fn pass(over: &UnixStream, fd: RawFd) -> io::Result<()> {
    let message = [IoSlice::new(b"x")];
    let fds = [fd];
    let rights = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(over.as_raw_fd(), &message, &rights, MsgFlags::empty(), None)?;
    Ok(())
}

pub(super) fn take(from: &UnixStream) -> io::Result<OwnedFd> {
    let mut octet = [0];
    let mut message = [IoSliceMut::new(&mut octet)];
    let mut space = cmsg_space!(RawFd);
    let flags = MsgFlags::empty();
    let received = recvmsg::<()>(from.as_raw_fd(), &mut message, Some(&mut space), flags)?;
    for part in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = part
            && let Some(&fd) = fds.first()
        {
            // SAFETY: the kernel has just made it for this process.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd) });
        }
    }
    // A security module has left it out, or nobody is there any more.
    Err(Error::from_raw_os_error(libc::EACCES))
}

/// The parent makes it and stays; the child finds it in their table.
fn shared(
    scene: &Scene,
    make: Make,
    use_it: impl Fn(&Scene, &Socket) -> io::Result<()>,
) -> io::Result<()> {
    let (mut ours, mut theirs) = UnixStream::pair()?;
    let flags = libc::CLONE_FILES as u64 | Signal::SIGCHLD as u64;
    // SAFETY: as `fork`, of a process of one thread: no stack and no memory is shared.
    let child = check(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } as isize)?;
    if child == 0 {
        let mut used = || {
            let mut number = [0; 4];
            theirs.read_exact(&mut number)?;
            // SAFETY: the other process leaves it to this one.
            let made = unsafe { Socket::from_raw_fd(RawFd::from_ne_bytes(number)) };
            use_it(scene, &made)
        };
        leave(used());
    }
    scene.enter_out()?;
    let made = make()?.into_raw_fd();
    ours.write_all(&made.to_ne_bytes())?;
    wait(Pid::from_raw(child as i32))
}

/// A shell of no other skill than to write what it is told.
fn over_exec(scene: &Scene, made: Socket) -> io::Result<()> {
    let (lead, token) = (scene.lead(), scene.text());
    let text = format!("echo {} >&0 && sleep 1 && echo {token} >&0", lead.text());
    let mut shell = std::process::Command::new("sh");
    let status = shell
        .args(["-c", &text])
        .stdin(OwnedFd::from(made))
        .status()?;
    if status.success() {
        return Ok(());
    }
    Err(Error::other(format!("the shell: {status}")))
}
