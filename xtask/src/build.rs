//! `build`: the kernel programs, then the one static binary that embeds them.
//!
//! Static glibc lets the same file run on hosts, in scratch containers and as the only program of
//! a virtual machine. Freshness is cargo's: nothing is built again that has not changed.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{
    paths, process,
    setup::{self, Group},
    toolchain,
};

/// Builds everything and returns the path of the binary.
pub(crate) fn run() -> Result<PathBuf> {
    setup::ensure(&BTreeSet::from([Group::Build]))?;
    build_ebpf()?;
    let binary = build_agent()?;
    println!("built {}", binary.display());
    Ok(binary)
}

fn build_ebpf() -> Result<()> {
    let toolchain = toolchain::Facts::gather()?
        .choose()
        .context("no compiler for the kernel programs; run `cargo xtask setup`")?;
    println!("kernel programs: {}", toolchain.describe());
    process::run(&mut toolchain.cargo_build()).context("build the kernel programs")?;
    let built = paths::ebpf_crate()
        .join("target")
        .join(toolchain::BPF_TARGET)
        .join("release/weir-ebpf");
    copy_if_changed(&built, &paths::ebpf_object())
}

fn build_agent() -> Result<PathBuf> {
    static_binary("weir", "weir")
}

/// Builds one program for release, with everything in it that it needs.
pub(crate) fn static_binary(package: &str, name: &str) -> Result<PathBuf> {
    let triple = host_triple()?;
    let mut cargo = process::cargo("build");
    cargo
        .args(["--release", "--package", package, "--bin", name])
        .args(["--target", &triple])
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", "-C target-feature=+crt-static");
    process::run(&mut cargo).with_context(|| format!("build {name}"))?;
    Ok(paths::target().join(triple).join("release").join(name))
}

/// Keeps the time stamp of an equal file: the agent is built again only for new programs.
fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let new = fs::read(from).with_context(|| format!("read {}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    }
    fs::write(to, new).with_context(|| format!("write {}", to.display()))
}

fn host_triple() -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = process::output(Command::new(rustc).arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn an_equal_object_keeps_its_time_stamp() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (from, to) = (dir.path().join("from"), dir.path().join("new/to"));
        let stamp = |file: &Path| {
            fs::metadata(file)
                .and_then(|meta| meta.modified())
                .expect("stamp")
        };

        fs::write(&from, "one").expect("write");
        copy_if_changed(&from, &to).expect("copy");
        fs::File::options()
            .write(true)
            .open(&to)
            .and_then(|file| file.set_modified(SystemTime::UNIX_EPOCH))
            .expect("age");
        copy_if_changed(&from, &to).expect("copy");
        assert_eq!(stamp(&to), SystemTime::UNIX_EPOCH);

        fs::write(&from, "two").expect("write");
        copy_if_changed(&from, &to).expect("copy");
        assert_ne!(stamp(&to), SystemTime::UNIX_EPOCH);
        assert_eq!(fs::read_to_string(&to).expect("read"), "two");
    }
}
