//! The second way: borrow the socket from the process that holds it, and shut it down. It works
//! across network namespaces and without `CONFIG_INET_DIAG_DESTROY`, but needs the process.

use std::{fs, io, os::fd::OwnedFd};

use rustix::{
    io::Errno,
    net::{Shutdown, shutdown, sockopt::socket_cookie},
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};

use super::{Destroyed, Flow};

/// Shuts the socket of `flow` down in both directions: [`Destroyed::Gone`] if its process does not
/// hold it (any more), `None` if there is no such process. One look costs some microseconds for each
/// descriptor of the process.
///
/// # Errors
///
/// `ENOSYS` before Linux 5.6, `EPERM` without the right to trace the process (`pidfd_getfd(2)`).
pub(super) fn shut_down(flow: &Flow) -> io::Result<Option<Destroyed>> {
    let Some(pid) = i32::try_from(flow.pid).ok().and_then(Pid::from_raw) else {
        return Ok(None);
    };
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        // `EINVAL`: the id of a thread. Linux 6.15 says `ENOENT` for it.
        Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    match find(&process, flow)? {
        Search::Found(socket) => match shutdown(socket, Shutdown::Both) {
            Ok(()) => Ok(Some(Destroyed::ShutDown)),
            // Not connected: it has ended meanwhile.
            Err(Errno::NOTCONN) => Ok(Some(Destroyed::Gone)),
            Err(errno) => Err(errno.into()),
        },
        Search::NotHeld => Ok(Some(Destroyed::Gone)),
        Search::NoProcess => Ok(None),
    }
}

enum Search {
    Found(OwnedFd),
    NotHeld,
    NoProcess,
}

/// Looks for the socket among all descriptors of the process. The cookie makes sure it is the one,
/// even if the process id has been given to another process.
fn find(process: &OwnedFd, flow: &Flow) -> io::Result<Search> {
    let directory = match fs::read_dir(format!("/proc/{}/fd", flow.pid)) {
        Ok(directory) => directory,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Search::NoProcess),
        Err(error) => return Err(error),
    };
    for entry in directory {
        let Ok(entry) = entry else {
            return Ok(Search::NoProcess);
        };
        let is_socket = fs::read_link(entry.path()).is_ok_and(|target| {
            target
                .as_os_str()
                .as_encoded_bytes()
                .starts_with(b"socket:")
        });
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let (true, Some(number)) = (is_socket, number) else {
            continue;
        };
        match pidfd_getfd(process, number, PidfdGetfdFlags::empty()) {
            Ok(socket) if socket_cookie(&socket) == Ok(flow.cookie) => {
                return Ok(Search::Found(socket));
            }
            // Another socket, or closed since it was listed.
            Ok(_) | Err(Errno::BADF) => {}
            Err(Errno::SRCH) => return Ok(Search::NoProcess),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(Search::NotHeld)
}
