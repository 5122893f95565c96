//! Commands that work on this host without an agent: selftest, detach, completions, man pages.

use std::{
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::CommandFactory;

use super::{Answer, Cli, output::Out};
use crate::{
    bpf::{detach_all, pin_lock::PinLock},
    selftest,
};

/// Check on this kernel that the agent does what it promises
///
/// Loads every kernel program, attaches it at a cgroup made for the purpose, makes connections
/// over loopback and removes everything again. Needs root; touches nothing else.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weir selftest")]
pub(super) struct SelftestArgs {}

impl SelftestArgs {
    pub(super) fn run(self, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        let mut lines = Ok(());
        let tally = selftest::run(&mut |line| {
            if lines.is_ok() {
                lines = out.line(line);
            }
        })?;
        lines?;
        Ok(if tally.failed == 0 {
            Answer::Done
        } else {
            Answer::No
        })
    }
}

/// Remove the kernel programs and their counters: nothing is governed any more
///
/// Stop the agent first. What it has not yet taken over of the counters is lost.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  systemctl stop weir && weir detach")]
pub(super) struct DetachArgs {
    /// Directory of the pins
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf/weir")]
    pin_dir: PathBuf,
    /// Even though an agent is running: what it has taken over from an earlier one ends at once
    #[arg(long)]
    force: bool,
}

impl DetachArgs {
    pub(super) fn run(self, socket: &Path, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        if !self.force && UnixStream::connect(socket).is_ok() {
            bail!(
                "an agent is running at `{}` and keeps its programs attached: stop it first",
                socket.display()
            );
        }
        let is_free = !self.pin_dir.exists() || PinLock::take(&self.pin_dir)?.is_some();
        if !self.force && !is_free {
            bail!(
                "an agent is running with the pins in `{}`: stop it first",
                self.pin_dir.display()
            );
        }
        let removed = detach_all(&self.pin_dir)?;
        if removed.is_empty() {
            out.line(format!("nothing is pinned in {}", self.pin_dir.display()))?;
        }
        for pin in removed {
            out.line(format!("removed {}", pin.display()))?;
        }
        Ok(Answer::Done)
    }
}

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weir completions bash > /etc/bash_completion.d/weir")]
pub(super) struct CompletionsArgs {
    shell: clap_complete::Shell,
}

impl CompletionsArgs {
    pub(super) fn run(self, out: &mut Out<'_>) -> anyhow::Result<Answer> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "weir", &mut script);
        out.raw(&script)?;
        Ok(Answer::Done)
    }
}

/// Write a man page for each command
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  weir man docs/man")]
pub(super) struct ManArgs {
    directory: PathBuf,
}

impl ManArgs {
    pub(super) fn run(self) -> anyhow::Result<Answer> {
        let shown = self.directory.display().to_string();
        std::fs::create_dir_all(&self.directory).with_context(|| format!("make `{shown}`"))?;
        clap_mangen::generate_to(Cli::command(), &self.directory)
            .with_context(|| format!("write man pages to `{shown}`"))?;
        Ok(Answer::Done)
    }
}
