//! Runs one command in the place of this process: same standard streams, same process group, and
//! the signals that others send.

use std::{
    ffi::OsString,
    io,
    os::{fd::AsFd, unix::process::ExitStatusExt},
    process::{Child, Command, ExitStatus},
};

use anyhow::{Context, bail};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, SigmaskHow, Signal, kill},
        signalfd::{SfdFlags, SignalFd},
    },
    unistd::Pid,
};
use rustix::process::{PidfdFlags, pidfd_open};

use crate::host::incarnation::start_with_mask;

const FORWARDED: [Signal; 6] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// The exit code of the command, as a shell tells it.
///
/// # Errors
///
/// When it cannot be waited for. A command that cannot be run has the exit code 126 or 127.
pub(super) fn run(command: &[OsString]) -> anyhow::Result<u8> {
    let Some((program, args)) = command.split_first() else {
        bail!("no command is given");
    };
    let signals: SigSet = FORWARDED.into_iter().collect();
    // What arrives from here on waits until the command is there to get it, and none ends this
    // process before the task.
    let former = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK);
    let former = former.context("block signals")?;
    let arrived = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC);
    let arrived = arrived.context("listen for signals")?;
    let mut command = Command::new(program);
    command.args(args);
    start_with_mask(&mut command, former);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            super::tell(&format!("run `{}`: {error}", program.display()));
            let is_absent = error.kind() == io::ErrorKind::NotFound;
            return Ok(if is_absent { 127 } else { 126 });
        }
    };
    wait(&mut child, &arrived).map(code)
}

fn wait(child: &mut Child, arrived: &SignalFd) -> anyhow::Result<ExitStatus> {
    let pid = Pid::from_raw(child.id().cast_signed());
    let handle = rustix::process::Pid::from_child(child);
    let handle = pidfd_open(handle, PidfdFlags::empty()).context("watch the command")?;
    loop {
        let mut polled = [
            PollFd::new(handle.as_fd(), PollFlags::POLLIN),
            PollFd::new(arrived.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error).context("wait for the command"),
        }
        while let Ok(Some(signal)) = arrived.read_signal() {
            // The kernel sends those of the terminal to the whole process group.
            let is_from_a_process = signal.ssi_code <= 0;
            let known = Signal::try_from(signal.ssi_signo.cast_signed());
            if is_from_a_process && let Ok(signal) = known {
                // The command has not been waited for, so the number is still its own; it may have
                // ended, or become another user's.
                let _ = kill(pid, signal);
            }
        }
        if let Some(status) = child.try_wait().context("wait for the command")? {
            return Ok(status);
        }
    }
}

fn code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code as u8,
        (None, Some(signal)) => 128_u8.wrapping_add(signal as u8),
        (None, None) => 2,
    }
}
