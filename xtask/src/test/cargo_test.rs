//! Runs `cargo test` and counts what it says.
//!
//! Output of passed tests is asked for, because a test that cannot run here passes after printing
//! `SKIP name: why`; nothing else of it is shown.

use std::{
    mem,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{
    paths, process,
    report::{Outcome, Tally},
};

/// The package of tests that need root and the built binary.
const END_TO_END: &str = "weir-tests";

pub(crate) fn host() -> Result<Tally> {
    let mut cargo = process::cargo("test");
    count(cargo.args(["--workspace", "--exclude", END_TO_END]))
}

/// The fuzz targets' properties on their corpus, without libFuzzer.
pub(crate) fn corpus() -> Result<Tally> {
    let mut cargo = process::cargo("test");
    cargo
        .args(["--no-default-features", "--target-dir"])
        .arg(paths::fuzz_target())
        .current_dir(paths::fuzz_crate());
    count(&mut cargo)
}

pub(crate) fn end_to_end(binary: &Path) -> Result<Tally> {
    let mut cargo = process::cargo("test");
    cargo
        .args(["--package", END_TO_END])
        .env("WEIR_BIN", binary);
    if let Some(faulty) = with_fault_points() {
        cargo.env("WEIR_FAULT_BIN", faulty);
    }
    if let Ok(kube) = paths::kube() {
        cargo.env("WEIR_KUBE", kube);
    }
    if let Ok(machine) = paths::machine() {
        cargo.env("WEIR_MACHINE", machine);
    }
    if let Ok(prometheus) = paths::prometheus() {
        cargo.env("WEIR_PROMETHEUS", prometheus);
    }
    count(&mut cargo)
}

/// A debug build, which tests can kill at given places; most of it is compiled for them anyway.
fn with_fault_points() -> Option<PathBuf> {
    let built = process::run(process::cargo("build").args(["--package", "weir"]));
    built
        .inspect_err(|error| eprintln!("warning: {error:#}; tests skip what needs fault points"))
        .ok()?;
    Some(paths::target().join("debug/weir"))
}

fn count(cargo: &mut Command) -> Result<Tally> {
    let mut reader = Reader::default();
    let status = process::lines(
        cargo.args(["--no-fail-fast", "--", "--show-output"]),
        |line| {
            if reader.read(line) {
                println!("{line}");
            }
        },
    )?;
    let mut tally = reader.tally;
    if !status.success() && tally.failures.is_empty() {
        let why = format!("ended with {status} before any test failed");
        tally.record(&process::render(cargo), Outcome::Fail(why));
    }
    Ok(tally)
}

/// Follows the output of libtest, one line at a time.
#[derive(Debug, Default)]
struct Reader {
    tally: Tally,
    in_passed_output: bool,
    /// Skips of the running binary: libtest counts the tests that print them as passed.
    n_skipped: usize,
}

impl Reader {
    /// Counts a line and says whether to show it.
    fn read(&mut self, line: &str) -> bool {
        if line == "successes:" {
            self.in_passed_output = true;
        } else if line == "failures:" || line.starts_with("test result: ") {
            self.in_passed_output = false;
        }
        if let Some(name) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.tally.record(name, Outcome::Fail("see above".into()));
        } else if let Some(skip) = line.strip_prefix("SKIP ") {
            self.tally.skips.push(skip.to_owned());
            self.n_skipped += 1;
            return true;
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.add_result(result);
        }
        !self.in_passed_output
    }

    fn add_result(&mut self, result: &str) {
        let passed = number_before(result, " passed");
        self.tally.passed += passed.saturating_sub(mem::take(&mut self.n_skipped));
        for _ in 0..number_before(result, " ignored") {
            let why = "marked as ignored in the source";
            self.tally.record("a test", Outcome::Skip(why.into()));
        }
    }
}

/// `12` of `ok. 12 passed; 0 failed` for ` passed`.
fn number_before(result: &str, word: &str) -> usize {
    result
        .split_once(word)
        .and_then(|(before, _)| before.rsplit(' ').next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
