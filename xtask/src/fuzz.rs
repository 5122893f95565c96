//! `fuzz`: gives the parsers of the kernel programs whatever libFuzzer invents, for a bounded time.
//!
//! A run starts from the committed corpus and from what earlier runs have added under
//! `target/fuzz/corpus`. Needs no sanitizer, hence no nightly compiler: the parsers are safe Rust.

mod summary;

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    paths, process,
    report::{Outcome, Tally},
    setup::{self, Group},
};
use summary::Summary;

/// Octets of one input: more than a first flight may have.
const MAX_LEN: u32 = 20_000;
const MAX_MEBIBYTES: u32 = 1_024;
/// Seconds that one input may take.
const MAX_SECONDS: u32 = 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Seconds for each target
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Only this target; may be given several times
    #[arg(long)]
    target: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<Tally> {
    let known = targets()?;
    let chosen = choose(&known, &args.target)?;
    setup::ensure(&BTreeSet::from([Group::Fuzz]))?;
    build()?;
    let mut tally = Tally::default();
    for name in chosen {
        let outcome =
            fuzz(name, args.seconds).unwrap_or_else(|error| Outcome::Fail(format!("{error:#}")));
        tally.record(name, outcome);
    }
    Ok(tally)
}

/// One file each in `fuzz_targets`.
fn targets() -> Result<BTreeSet<String>> {
    let dir = paths::fuzz_crate().join("fuzz_targets");
    let entries = fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))?;
    let mut names = BTreeSet::new();
    for entry in entries {
        let file = entry
            .with_context(|| format!("list {}", dir.display()))?
            .path();
        names.extend(file.file_stem().and_then(OsStr::to_str).map(str::to_owned));
    }
    Ok(names)
}

fn choose<'k>(known: &'k BTreeSet<String>, asked: &[String]) -> Result<Vec<&'k str>> {
    if asked.is_empty() {
        return Ok(known.iter().map(String::as_str).collect());
    }
    let find = |name: &String| match known.get(name) {
        Some(name) => Ok(name.as_str()),
        None => {
            let all: Vec<_> = known.iter().map(String::as_str).collect();
            bail!("there is no target `{name}`, only {}", all.join(", "))
        }
    };
    asked.iter().map(find).collect()
}

fn build() -> Result<()> {
    let tool = paths::tool("cargo-fuzz").context("cargo-fuzz is absent")?;
    let mut command = Command::new(tool);
    command
        .args(["fuzz", "build", "--sanitizer=none", "--target", &triple()])
        .arg("--fuzz-dir")
        .arg(paths::fuzz_crate())
        .arg("--target-dir")
        .arg(paths::fuzz_target())
        .current_dir(paths::root());
    process::run(&mut command)
}

fn triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

fn fuzz(name: &str, seconds: u32) -> Result<Outcome> {
    let kept = directory(paths::target().join("fuzz/corpus").join(name))?;
    let artifacts = directory(paths::fuzz_crate().join("artifacts").join(name))?;
    let log = paths::target().join("fuzz").join(format!("{name}.log"));
    let binary = paths::fuzz_target()
        .join(triple())
        .join("release")
        .join(name);
    let mut command = Command::new(&binary);
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={MAX_LEN}"))
        .arg(format!("-rss_limit_mb={MAX_MEBIBYTES}"))
        .arg(format!("-timeout={MAX_SECONDS}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(dictionary(name))
        .args([&kept, &paths::fuzz_crate().join("corpus").join(name)])
        .current_dir(paths::root())
        .stdout(File::create(&log).with_context(|| format!("write {}", log.display()))?)
        .stderr(File::options().append(true).open(&log)?);
    let status = command
        .status()
        .with_context(|| format!("run {}", binary.display()))?;
    let text = fs::read(&log).with_context(|| format!("read {}", log.display()))?;
    let summary = Summary::of(&String::from_utf8_lossy(&text));
    println!("{name}: {summary}");
    if status.success() {
        // Only where there is something to find.
        let _ = fs::remove_dir(&artifacts);
        return Ok(Outcome::Pass);
    }
    Ok(Outcome::Fail(why(&summary, &binary, &log)))
}

/// Words of the format, where mutating octets alone rarely finds them.
fn dictionary(name: &str) -> Option<String> {
    let file = paths::fuzz_crate().join("dictionaries").join(name);
    file.is_file().then(|| format!("-dict={}", file.display()))
}

fn why(summary: &Summary, binary: &Path, log: &Path) -> String {
    let said = summary.failure.as_deref().unwrap_or("ended early");
    match &summary.artifact {
        Some(file) => format!(
            "{said}; again with `{} {file}`; when it is fixed, move the input to the corpus",
            binary.display()
        ),
        None => format!("{said}; see {}", log.display()),
    }
}

fn directory(dir: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_chosen_by_name() {
        let known = BTreeSet::from(["dns", "tls"].map(str::to_owned));
        let choose = |asked: &[&str]| {
            let asked: Vec<_> = asked.iter().map(|name| (*name).to_owned()).collect();
            choose(&known, &asked).map_err(|error| error.to_string())
        };
        assert_eq!(choose(&[]), Ok(vec!["dns", "tls"]));
        assert_eq!(choose(&["tls"]), Ok(vec!["tls"]));
        assert_eq!(
            choose(&["quic"]),
            Err("there is no target `quic`, only dns, tls".into())
        );
    }

    #[test]
    fn every_target_has_a_corpus() {
        for name in targets().expect("targets") {
            let dir = paths::fuzz_crate().join("corpus").join(&name);
            assert!(
                fs::read_dir(dir).is_ok_and(|mut files| files.next().is_some()),
                "{name}"
            );
        }
    }
}
