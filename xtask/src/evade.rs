//! `evade`: the evasion suite, on this machine and in Debian kernels, and the table of what it found in
//! `docs/coverage.md`.
//!
//! A technique that the table calls stopped and that is open now is a failure; so is one that is open
//! and that neither the table nor a stated limit tells of.

mod finding;
mod guest;
mod table;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    build, paths, process,
    report::{Outcome, Tally},
    setup::{self, Group},
    vm,
};
use finding::{Report, read};
use table::Table;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only boot this kernel series, such as 6.1; repeat for more [default: this kernel, 5.10, 6.1, 6.12
    /// and 6.18]
    #[arg(long = "kernel", value_name = "SERIES", conflicts_with = "native_only")]
    kernels: Vec<String>,
    /// Boot no kernels
    #[arg(long)]
    native_only: bool,
    /// Only techniques whose name contains this
    #[arg(long, default_value = "", conflicts_with = "write")]
    only: String,
    /// Write the table
    #[arg(long)]
    write: bool,
    /// Use this static `weir` instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

const SUITE: &str = "weir-evade";

/// What a kernel that loads no programs for its security modules can be tried with.
const NATIVE: &[&str] = &["default", "watch_sends"];

pub(crate) fn run(args: &Args) -> Result<Tally> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the suite loads kernel programs: run `cargo xtask evade` as root");
    }
    setup::ensure(&[Group::Build, Group::Test].into())?;
    let weir = match &args.binary {
        Some(binary) => {
            fs::canonicalize(binary).with_context(|| format!("find {}", binary.display()))?
        }
        None => build::run()?,
    };
    let mut reports = Vec::new();
    if args.kernels.is_empty() {
        reports.push(native(&weir, NATIVE, &args.only)?);
    }
    let all = vm::SERIES.map(str::to_owned);
    let booted = match (args.native_only, args.kernels.is_empty()) {
        (true, _) => &[],
        (false, true) => &all[..],
        (false, false) => &args.kernels[..],
    };
    if !booted.is_empty() {
        let suite = build::static_binary("weir-tests", SUITE)?;
        for series in booted {
            reports.push(guest::run(series, &suite, &weir, &args.only)?);
        }
    }
    judge(&reports, args.write)
}

/// The part that takes a minute: what the table says of a shipped agent holds on this machine.
pub(crate) fn quick(weir: &Path) -> Result<Tally> {
    judge(&[native(weir, &["default"], "")?], false)
}

/// By the debug build, most of which the end-to-end tests need anyway.
fn native(weir: &Path, settings: &[&str], only: &str) -> Result<Report> {
    let mut cargo = process::cargo("build");
    cargo.args(["--package", "weir-tests", "--bin", SUITE]);
    process::run(&mut cargo).context("build the suite")?;
    let mut command = Command::new(paths::target().join("debug").join(SUITE));
    command.args(["run", "--only", only]).env("WEIR_BIN", weir);
    for setting in settings {
        command.args(["--setting", setting]);
    }
    let mut said = String::new();
    // It ends with 1 if anything is open; the table says what that means.
    let status = process::lines(&mut command, |line| {
        said.push_str(line);
        said.push('\n');
    })?;
    let release = process::output(Command::new("uname").arg("-r"))?;
    let report = read(&format!("{} native", series_of(release.trim())), &said);
    report.with_context(|| format!("the suite ended with {status}"))
}

/// 6.1 of 6.1.0-56-cloud-amd64.
fn series_of(release: &str) -> String {
    let numbers = release.split(|c: char| !c.is_ascii_digit());
    numbers.take(2).collect::<Vec<_>>().join(".")
}

fn judge(reports: &[Report], write: bool) -> Result<Tally> {
    let file = paths::root().join("docs/coverage.md");
    let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let mut table = Table::parse(&text).context("read the table in docs/coverage.md")?;
    if write {
        for report in reports {
            table.update(report);
        }
    }
    let mut tally = Tally::default();
    for report in reports {
        let Report { kernel, findings } = report;
        for finding in findings {
            let name = format!("{kernel}, {}: {}", finding.setting, finding.id);
            let outcome = match (table.objection(kernel, finding), finding.impossible()) {
                (Some(objection), _) => Outcome::Fail(objection),
                (None, Some(why)) => Outcome::Skip(format!("not possible here: {why}")),
                (None, None) => Outcome::Pass,
            };
            tally.record(&name, outcome);
        }
    }
    if write {
        let text = table.into_document(&text)?;
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        println!("wrote {}", file.display());
    }
    Ok(tally)
}
