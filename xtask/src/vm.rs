//! `vm`: boots Debian kernels in QEMU and runs the agent's self-test as their only program.
//!
//! A verifier accepts what its kernel knows; only booting the kernel tells. The guest has no disk
//! and no network beyond loopback.

mod guest;
mod kernel;
mod qemu;
mod verdict;

pub(crate) use qemu::Limits;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    build, paths,
    report::Tally,
    setup::{self, Group},
};

/// The oldest series on which everything works, and one of each verifier since.
pub(crate) const SERIES: [&str; 4] = ["5.10", "6.1", "6.12", "6.18"];

const SELF_TEST: &str = "/bin/weir selftest\n";
/// Sets the guest's clock, which no test may do to the machine that it runs on.
const CLOCK: &str = include_str!("vm/clock.sh");
/// The kernel has no part in that, so one is enough.
const CLOCK_SERIES: &str = "6.12";
/// A guest needs some ten seconds; a busy machine gets many times that.
const LIMITS: Limits = Limits {
    seconds: 420,
    mebibytes: 512,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Kernel series, such as 6.1; repeat for more [default: 5.10, 6.1, 6.12 and 6.18]
    #[arg(long = "kernel", value_name = "SERIES")]
    kernels: Vec<String>,
    /// Set the clock of a 6.12 guest back and forward, instead of the self-test
    #[arg(long, conflicts_with = "kernels")]
    clock: bool,
    /// Run this static binary instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<Tally> {
    for series in &args.kernels {
        kernel::check_series(series)?;
    }
    setup::ensure(&BTreeSet::from([Group::Test]))?;
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => build::run()?,
    };
    if args.clock {
        return test_clock(&binary);
    }
    if args.kernels.is_empty() {
        test_kernels(&SERIES.map(str::to_owned), &binary)
    } else {
        test_kernels(&args.kernels, &binary)
    }
}

/// One check of the tally is one check in one kernel.
pub(crate) fn test_kernels(series: &[String], binary: &Path) -> Result<Tally> {
    if std::env::consts::ARCH != "x86_64" {
        bail!("the kernel matrix needs an x86_64 host; run the agent on the other kernel itself");
    }
    let scratch = tempfile::tempdir().context("create a scratch directory")?;
    let initramfs = scratch.path().join("initramfs");
    guest::pack(&[(binary, "bin/weir")], SELF_TEST, &initramfs)?;
    let mut total = Tally::default();
    for series in series {
        total.absorb(series, test_kernel(series, &initramfs));
    }
    Ok(total)
}

/// What follows the clock when it is set, and what does not.
pub(crate) fn test_clock(binary: &Path) -> Result<Tally> {
    let serial = run_script(CLOCK_SERIES, &[(binary, "bin/weir")], &[], CLOCK, LIMITS)?;
    Ok(verdict::parse("clock", &serial, &qemu::Exit::PoweredOff))
}

fn test_kernel(series: &str, initramfs: &Path) -> Result<Tally> {
    let image = kernel::newest(series)?;
    let log = log_file(series)?;
    println!("booting {}, log in {}", image.release, log.display());
    let exit = qemu::boot(&image.file, initramfs, &log, LIMITS)?;
    let serial = fs::read(&log).with_context(|| format!("read {}", log.display()))?;
    let serial = String::from_utf8_lossy(&serial).replace('\r', "");
    let tally = verdict::parse(series, &serial, &exit);
    if !tally.failures.is_empty() {
        println!("--- end of {}", log.display());
        println!("{}", verdict::tail(&serial, 40));
        println!("---");
    }
    Ok(tally)
}

/// Boots the newest kernel of a series with these files, loads what it has of these modules, runs a
/// script and returns what the console has said.
pub(crate) fn run_script(
    series: &str,
    files: &[(&Path, &str)],
    modules: &[&str],
    script: &str,
    limits: Limits,
) -> Result<String> {
    let image = kernel::newest(series)?;
    let scratch = tempfile::tempdir().context("create a scratch directory")?;
    let found = kernel::modules(series, modules, scratch.path())?;
    let names = found.iter().filter_map(|file| file.file_name());
    let places: Vec<String> = names
        .map(|name| format!("modules/{}", name.display()))
        .collect();
    let loads = places.iter().map(|place| format!("insmod /{place}\n"));
    let script = loads.chain([script.to_owned()]).collect::<String>();
    let modules = found
        .iter()
        .zip(&places)
        .map(|(file, place)| (file.as_path(), place.as_str()));
    let files: Vec<(&Path, &str)> = files.iter().copied().chain(modules).collect();
    let initramfs = scratch.path().join("initramfs");
    guest::pack(&files, &script, &initramfs)?;
    let log = log_file(series)?;
    println!("booting {}, log in {}", image.release, log.display());
    let exit = qemu::boot(&image.file, &initramfs, &log, limits)?;
    let serial = fs::read(&log).with_context(|| format!("read {}", log.display()))?;
    let serial = String::from_utf8_lossy(&serial).replace('\r', "");
    if exit == qemu::Exit::PoweredOff {
        return Ok(serial);
    }
    let tail = verdict::tail(&serial, 10);
    bail!(
        "{}: {}; its last words:\n{tail}",
        image.release,
        exit.explain()
    )
}

fn log_file(series: &str) -> Result<PathBuf> {
    let dir = paths::target().join("vm");
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    Ok(dir.join(format!("{series}.log")))
}
