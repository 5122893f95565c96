//! Where things are: the repository, what is built in it, and the cache outside it.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// Root of the repository.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// Build output; fixed, because `agent/build.rs` looks for the kernel programs below it.
pub(crate) fn target() -> PathBuf {
    root().join("target")
}

pub(crate) fn ebpf_crate() -> PathBuf {
    root().join("agent-ebpf")
}

pub(crate) fn fuzz_crate() -> PathBuf {
    root().join("tests/fuzz")
}

/// What is built from the fuzz crate.
pub(crate) fn fuzz_target() -> PathBuf {
    target().join("fuzz/build")
}

/// The kernel programs that the agent embeds.
pub(crate) fn ebpf_object() -> PathBuf {
    target().join("bpf/weir-ebpf.o")
}

/// Client programs of end-to-end tests that no package brings; the tests look here.
pub(crate) fn clients() -> PathBuf {
    target().join("clients")
}

/// The API server of Kubernetes and its database, for end-to-end tests.
pub(crate) fn kube() -> Result<PathBuf> {
    Ok(cache()?.join("kube-1.20.2"))
}

/// A root file system with systemd, for end-to-end tests.
pub(crate) fn machine() -> Result<PathBuf> {
    Ok(cache()?.join("machine-bookworm"))
}

/// Prometheus, for rules and end-to-end tests.
pub(crate) fn prometheus() -> Result<PathBuf> {
    Ok(cache()?.join("prometheus-bookworm"))
}

/// Downloads and tools that outlive `target/`: the BPF linker, kernel images.
pub(crate) fn cache() -> Result<PathBuf> {
    if let Some(dir) = env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        return Ok(PathBuf::from(dir).join("weir"));
    }
    let home = env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cache/weir"))
}

/// A tool of Cargo's: what `setup` installed, else what is on the path.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let cached = cache().ok().map(|dir| dir.join("bin").join(name));
    cached
        .filter(|file| file.is_file())
        .or_else(|| program(name))
}

/// Looks a program up as a root shell would: administrators' directories count even when the
/// caller's `PATH` leaves them out.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}
