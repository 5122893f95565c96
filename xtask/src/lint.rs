//! `lint`: everything that can be checked without running the product.
//!
//! Each check counts as one; a check whose tool is absent is skipped, and says so.

mod tidy;
mod unit;

use std::collections::BTreeSet;

use anyhow::Result;

use crate::{
    paths, process,
    report::{Outcome, Tally},
    setup::{self, Group},
};

type Check = fn() -> Result<Outcome>;

const CHECKS: [(&str, Check); 11] = [
    ("format", format),
    ("format of kernel programs", format_ebpf),
    ("format of fuzz targets", format_fuzz),
    ("clippy", clippy),
    ("clippy of kernel programs", clippy_ebpf),
    ("clippy of fuzz targets", clippy_fuzz),
    ("tidy", tidy::check),
    ("catalogue is fresh", catalogue),
    ("service unit is valid", unit::verify),
    ("service unit is confined", unit::security),
    ("licences and sources", licences),
];

pub(crate) fn run() -> Result<Tally> {
    setup::ensure(&BTreeSet::from([Group::Build, Group::Test]))?;
    let mut tally = Tally::default();
    for (name, check) in CHECKS {
        let outcome = check().unwrap_or_else(|error| Outcome::Fail(format!("{error:#}")));
        tally.record(name, outcome);
    }
    Ok(tally)
}

fn format() -> Result<Outcome> {
    process::run(process::cargo("fmt").args(["--all", "--check"]))?;
    Ok(Outcome::Pass)
}

fn format_ebpf() -> Result<Outcome> {
    let mut cargo = process::cargo("fmt");
    process::run(cargo.arg("--check").current_dir(paths::ebpf_crate()))?;
    Ok(Outcome::Pass)
}

fn clippy() -> Result<Outcome> {
    let mut cargo = process::cargo("clippy");
    process::run(cargo.args(["--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    Ok(Outcome::Pass)
}

/// For the host: no clippy has a `core` for BPF, and what differs is only code generation.
fn clippy_ebpf() -> Result<Outcome> {
    let mut cargo = process::cargo("clippy");
    cargo
        .args(["--", "-D", "warnings"])
        .current_dir(paths::ebpf_crate())
        // aya-ebpf names unstable features even where it does not need them.
        .env("RUSTC_BOOTSTRAP", "1");
    process::run(&mut cargo)?;
    Ok(Outcome::Pass)
}

fn format_fuzz() -> Result<Outcome> {
    let mut cargo = process::cargo("fmt");
    process::run(cargo.arg("--check").current_dir(paths::fuzz_crate()))?;
    Ok(Outcome::Pass)
}

/// Without libFuzzer, which would have to be compiled first.
fn clippy_fuzz() -> Result<Outcome> {
    let mut cargo = process::cargo("clippy");
    cargo
        .args(["--no-default-features", "--lib", "--tests", "--target-dir"])
        .arg(paths::fuzz_target())
        .args(["--", "-D", "warnings"])
        .current_dir(paths::fuzz_crate());
    process::run(&mut cargo)?;
    Ok(Outcome::Pass)
}

fn catalogue() -> Result<Outcome> {
    crate::catalogue::run(true)?;
    Ok(Outcome::Pass)
}

fn licences() -> Result<Outcome> {
    if paths::program("cargo-deny").is_none() {
        let why = "cargo-deny is absent; `cargo install cargo-deny` brings it";
        return Ok(Outcome::Skip(why.into()));
    }
    process::run(process::cargo("deny").args(["check", "bans", "licenses", "sources"]))?;
    Ok(Outcome::Pass)
}
