//! Prometheus of Debian, unpacked into the cache, once: what it says about the rules in
//! `deploy/prometheus`. End-to-end tests let it scrape an agent.
//!
//! Not installed: the package would start a server of its own on this machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{apt::Apt, paths, process, report::Outcome};

const SUITE: &str = "bookworm";
const RULES: &str = "deploy/prometheus";

/// Fetches it, unless it is there.
pub(crate) fn ensure() -> Result<()> {
    let into = paths::prometheus()?;
    if into.is_dir() {
        return Ok(());
    }
    println!("fetching prometheus from Debian's packages: 20 MB, once");
    let draft = into.with_extension("draft");
    if draft.exists() {
        fs::remove_dir_all(&draft).with_context(|| format!("remove {}", draft.display()))?;
    }
    fs::create_dir_all(&draft).with_context(|| format!("create {}", draft.display()))?;
    let apt = Apt::prepare_sources(&paths::cache()?.join("apt-prometheus"), SUITE)?;
    let archive = apt.download("prometheus", &draft)?;
    let mut unpack = Command::new("dpkg-deb");
    process::run(unpack.arg("--extract").arg(archive).arg(&draft))?;
    // In the end in one step: what is there is whole.
    fs::rename(&draft, &into).with_context(|| format!("rename {}", draft.display()))
}

/// Whether the rules do what their tests say, and the example configuration is one.
pub(crate) fn rules() -> Outcome {
    let promtool = match promtool() {
        Ok(promtool) if promtool.is_file() => promtool,
        Ok(_) => return Outcome::Skip("promtool is absent".into()),
        Err(error) => return Outcome::Fail(format!("{error:#}")),
    };
    let directory = paths::root().join(RULES);
    let checks = [
        ["check", "config", "prometheus.yaml"],
        ["test", "rules", "weir.rules.test.yaml"],
    ];
    for check in checks {
        if let Err(error) = run(&promtool, &check, &directory) {
            return Outcome::Fail(format!("{error:#}"));
        }
    }
    Outcome::Pass
}

fn promtool() -> Result<PathBuf> {
    Ok(paths::prometheus()?.join("usr/bin/promtool"))
}

fn run(promtool: &Path, args: &[&str], directory: &Path) -> Result<()> {
    process::run(Command::new(promtool).args(args).current_dir(directory))
}
