//! What systemd itself says about the service unit.
//!
//! The unit is checked as a copy: its program is not installed on the machine that checks.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::{paths, process, report::Outcome};

const UNIT: &str = "deploy/systemd/weir.service";
/// The program as the unit names it.
const PROGRAM: &str = "/usr/bin/weir";
/// Exposure of at most 4.0 on systemd's scale of 10.
const THRESHOLD: &str = "--threshold=40";

/// `verify` returns success for unknown settings: only silence is good.
pub(crate) fn verify() -> Result<Outcome> {
    let Some((_dir, unit)) = copy()? else {
        return Ok(absent());
    };
    let mut analyze = Command::new("systemd-analyze");
    analyze.arg("verify").arg(&unit);
    let output = analyze
        .output()
        .with_context(|| format!("run `{}`", process::render(&analyze)))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() && said.is_empty() {
        return Ok(Outcome::Pass);
    }
    Ok(Outcome::Fail(format!(
        "systemd-analyze verify: {}",
        said.trim()
    )))
}

pub(crate) fn security() -> Result<Outcome> {
    let Some((_dir, unit)) = copy()? else {
        return Ok(absent());
    };
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--offline=true", "--no-pager", THRESHOLD]);
    let output = analyze
        .arg(&unit)
        .output()
        .with_context(|| format!("run `{}`", process::render(&analyze)))?;
    if output.status.success() {
        return Ok(Outcome::Pass);
    }
    let table = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    let overall = table.lines().rfind(|line| !line.trim().is_empty());
    Ok(Outcome::Fail(format!(
        "systemd-analyze security {THRESHOLD}: {} {}",
        overall.unwrap_or_default().trim(),
        said.trim()
    )))
}

fn absent() -> Outcome {
    Outcome::Skip("systemd-analyze is absent; the package systemd brings it".into())
}

/// The unit with a program that exists; nothing when there is no systemd to ask.
fn copy() -> Result<Option<(TempDir, PathBuf)>> {
    if paths::program("systemd-analyze").is_none() {
        return Ok(None);
    }
    let original = paths::root().join(UNIT);
    let text = fs::read_to_string(&original)
        .with_context(|| format!("read {}", original.display()))?
        .replace(PROGRAM, "/bin/true");
    let dir = tempfile::tempdir().context("create a scratch directory")?;
    let copy = dir.path().join("weir.service");
    fs::write(&copy, text).with_context(|| format!("write {}", copy.display()))?;
    Ok(Some((dir, copy)))
}
