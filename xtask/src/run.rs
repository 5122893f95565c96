//! `run`: build, then become the agent in observe mode, with nothing prepared and nothing left
//! behind at the end.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};

use crate::build;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// More arguments for `weir agent`, after `--`
    #[arg(last = true)]
    args: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the agent loads kernel programs: run `cargo xtask run` as root");
    }
    let binary = build::run()?;
    // Replaces this process, so that signals reach the agent itself.
    let error = Command::new(&binary)
        .args(["agent", "--mode", "observe", "--detach-on-exit"])
        .args(&args.args)
        .exec();
    Err(error).with_context(|| format!("run {}", binary.display()))
}
