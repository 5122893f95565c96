//! Boots a kernel under QEMU without hardware acceleration and keeps what its console says.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

/// What a guest gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub seconds: u32,
    pub mebibytes: u32,
}

/// How the emulator ended; what the guest thinks of itself is on the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    PoweredOff,
    TimedOut,
    Failed(String),
}

impl Exit {
    pub(crate) fn explain(&self) -> String {
        match self {
            Self::PoweredOff => "it ended early".into(),
            Self::TimedOut => "its time was up".into(),
            Self::Failed(status) => format!("QEMU failed ({status})"),
        }
    }
}

pub(crate) fn boot(kernel: &Path, initramfs: &Path, log: &Path, limits: Limits) -> Result<Exit> {
    let console = fs::File::create(log).with_context(|| format!("create {}", log.display()))?;
    let errors = console
        .try_clone()
        .with_context(|| format!("share {}", log.display()))?;
    let status = command(kernel, initramfs, limits)
        .stdin(std::process::Stdio::null())
        .stdout(console)
        .stderr(errors)
        .status()
        .context("run `qemu-system-x86_64`")?;
    Ok(match status.code() {
        Some(0) => Exit::PoweredOff,
        // What coreutils' `timeout` returns when the time was up; 137 when it had to kill.
        Some(124 | 137) => Exit::TimedOut,
        Some(_) | None => Exit::Failed(status.to_string()),
    })
}

fn command(kernel: &Path, initramfs: &Path, limits: Limits) -> Command {
    let mut command = Command::new("timeout");
    command
        .arg("--kill-after=5")
        .arg(limits.seconds.to_string())
        .arg("qemu-system-x86_64")
        .args(["-accel", "tcg,thread=multi"])
        // QEMU 7.2 corrupts flags on cmpxchg16b with several emulated CPUs: random double faults.
        .args(["-cpu", "max,-cx16"])
        .args([
            "-m",
            &limits.mebibytes.to_string(),
            "-smp",
            "2",
            "-display",
            "none",
        ])
        .arg("-no-reboot")
        .args(["-nodefaults", "-serial", "stdio", "-kernel"])
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", KERNEL_ARGUMENTS]);
    command
}

/// BPF among the security modules, as some distributions have it by default and some do not.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 quiet panic=-1 lsm=landlock,lockdown,yama,bpf";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_emulator_gets_the_flags_that_are_known_to_work() {
        let command = command(
            Path::new("/k/vmlinuz"),
            Path::new("/k/initramfs"),
            Limits {
                seconds: 420,
                mebibytes: 512,
            },
        );
        assert_eq!(
            crate::process::render(&command),
            "timeout --kill-after=5 420 qemu-system-x86_64 -accel tcg,thread=multi -cpu max,-cx16 \
             -m 512 -smp 2 -display none -no-reboot -nodefaults -serial stdio -kernel /k/vmlinuz \
             -initrd /k/initramfs -append 'console=ttyS0 quiet panic=-1 \
             lsm=landlock,lockdown,yama,bpf'"
        );
    }
}
