//! `man`: man pages and shell completions, written by the binary from its own command line.
//!
//! They are committed, so that packages need no build of their own; `--check` finds stale ones.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

use crate::{build, paths, process};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail if a committed file differs from what would be generated
    #[arg(long)]
    check: bool,
}

/// Directory of the pages, below the repository or a scratch directory.
const PAGES: &str = "docs/man";
const COMPLETIONS: &str = "deploy/completions";
const SHELLS: [(&str, &str); 3] = [
    ("bash", "weir.bash"),
    ("fish", "weir.fish"),
    ("zsh", "_weir"),
];

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let binary = build::run()?;
    if !args.check {
        generate(&binary, &paths::root())?;
        return Ok(ExitCode::SUCCESS);
    }
    let stale = stale(&binary)?;
    for file in &stale {
        println!("stale: {file}; run `cargo xtask man`");
    }
    Ok(if stale.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Committed files that differ from what the binary would write, missing ones included.
pub(crate) fn stale(binary: &Path) -> Result<BTreeSet<String>> {
    let scratch = tempfile::tempdir().context("create a scratch directory")?;
    generate(binary, scratch.path())?;
    let mut stale = BTreeSet::new();
    for dir in [PAGES, COMPLETIONS] {
        let (fresh, kept) = (scratch.path().join(dir), paths::root().join(dir));
        stale.extend(
            differing(&fresh, &kept)?
                .iter()
                .map(|name| format!("{dir}/{name}")),
        );
    }
    Ok(stale)
}

fn generate(binary: &Path, into: &Path) -> Result<()> {
    let (pages, completions) = (into.join(PAGES), into.join(COMPLETIONS));
    for dir in [&pages, &completions] {
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    }
    process::output(Command::new(binary).arg("man").arg(&pages))?;
    for (shell, file) in SHELLS {
        let script = process::output(Command::new(binary).args(["completions", shell]))?;
        let file = completions.join(file);
        fs::write(&file, script).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

/// Names in either directory whose contents are not the same in both. Pages of section 5 are
/// written by hand and have no generated twin.
fn differing(fresh: &Path, kept: &Path) -> Result<BTreeSet<String>> {
    let mut names = file_names(fresh)?;
    if kept.is_dir() {
        names.extend(file_names(kept)?);
    }
    Ok(names
        .into_iter()
        .filter(|name| {
            let section = Path::new(name).extension();
            section.is_none_or(|section| section != "5")
        })
        .filter(|name| fs::read(fresh.join(name)).ok() != fs::read(kept.join(name)).ok())
        .map(|name| name.to_string_lossy().into_owned())
        .collect())
}

fn file_names(dir: &Path) -> Result<BTreeSet<OsString>> {
    let listing = || -> std::io::Result<_> {
        fs::read_dir(dir)?
            .map(|entry| Ok(entry?.file_name()))
            .collect()
    };
    listing().with_context(|| format!("list {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_changed_and_surplus_files_differ_but_handwritten_pages_do_not() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (fresh, kept) = (dir.path().join("fresh"), dir.path().join("kept"));
        let write = |dir: &Path, files: &[(&str, &str)]| {
            fs::create_dir_all(dir).expect("create");
            for (name, text) in files {
                fs::write(dir.join(name), text).expect("write");
            }
        };
        write(
            &fresh,
            &[("same.1", "a"), ("changed.1", "b"), ("new.1", "c")],
        );
        assert_eq!(differing(&fresh, &kept).expect("compare").len(), 3);
        write(
            &kept,
            &[
                ("same.1", "a"),
                ("changed.1", "x"),
                ("gone.1", "d"),
                ("weir.toml.5", "e"),
            ],
        );
        let expected = ["changed.1", "gone.1", "new.1"].map(str::to_owned);
        assert_eq!(differing(&fresh, &kept).expect("compare"), expected.into());
    }
}
