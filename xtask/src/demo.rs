//! `demo`: the main job on real HTTPS, told as it happens, in half a minute and without Internet.
//!
//! Two TLS servers on loopback stand for two providers under their real names, three workloads
//! call them with curl and Python. The process gives itself a network and a mount namespace, so
//! nothing of it reaches the host; programs are attached at the demo's own cgroup only. Anything
//! that differs from what the story says makes the demo fail.

mod site;
mod story;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::{build, setup};

pub(crate) fn run() -> Result<ExitCode> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the demo loads kernel programs: run `cargo xtask demo` as root");
    }
    setup::ensure(&[setup::Group::Build, setup::Group::Test].into())?;
    let weir = build::run()?;
    let site = site::Site::enter(&weir)?;
    let differences = story::tell(&site)?;
    drop(site);
    if differences == 0 {
        println!("\neverything happened as told");
        return Ok(ExitCode::SUCCESS);
    }
    println!("\n{differences} things differed");
    Ok(ExitCode::FAILURE)
}
