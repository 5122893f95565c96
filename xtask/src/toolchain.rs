//! The two compilers that can build the kernel programs, and which of them this machine has.
//!
//! Stable Rust has no `core` for `bpfel-unknown-none`. Rustup's nightly builds one from source;
//! Debian ships one prebuilt beside its `rustc-web`.

mod pair;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

pub(crate) use pair::{Pair, minor};

use crate::{paths, process};

/// A compiler for `bpfel-unknown-none` and the linker for its output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    pub route: Route,
    pub linker: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Rustup's nightly with `rust-src`.
    Nightly,
    /// Debian's `rustc-web` with `libstd-rust-web-dev-bpf`.
    Debian,
}

/// What was found; [`Facts::choose`] decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub nightly_source: bool,
    pub debian_core: bool,
    pub linker: Option<PathBuf>,
}

impl Facts {
    pub(crate) fn gather() -> Result<Self> {
        Ok(Self {
            nightly_source: has_nightly_source(),
            debian_core: Path::new(DEBIAN_RUSTC).is_file() && has_core(Path::new(DEBIAN_LIB)),
            linker: find_linker(&paths::cache()?),
        })
    }

    pub(crate) fn route(&self) -> Option<Route> {
        match (self.nightly_source, self.debian_core) {
            (true, _) => Some(Route::Nightly),
            (false, true) => Some(Route::Debian),
            (false, false) => None,
        }
    }

    pub(crate) fn choose(self) -> Option<Toolchain> {
        Some(Toolchain {
            route: self.route()?,
            linker: self.linker?,
        })
    }
}

impl Toolchain {
    pub(crate) fn describe(&self) -> &'static str {
        match self.route {
            Route::Nightly => "rustup nightly, core built from source",
            Route::Debian => "Debian's rustc-web, prebuilt core",
        }
    }

    /// The build of the kernel programs, run in their own workspace.
    pub(crate) fn cargo_build(&self) -> Command {
        let mut command = match self.route {
            Route::Nightly => {
                let mut rustup = Command::new("rustup");
                rustup.args(["run", "nightly", "cargo", "build", "-Zbuild-std=core"]);
                // Cargo's own variables would send nightly's cargo to the stable compiler.
                rustup.env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTC");
                rustup
            }
            Route::Debian => {
                let mut cargo = process::cargo("build");
                cargo
                    // aya-ebpf needs `asm_experimental_arch`, which a stable compiler refuses.
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("RUSTC", DEBIAN_RUSTC);
                cargo
            }
        };
        command
            .args(["--release", "--target", BPF_TARGET])
            .current_dir(paths::ebpf_crate())
            // Set by `cargo run` for this process; holds another compiler's libraries.
            .env_remove("LD_LIBRARY_PATH")
            .env_remove("RUSTFLAGS")
            .env("CARGO_ENCODED_RUSTFLAGS", self.rustflags());
        command
    }

    fn rustflags(&self) -> OsString {
        let mut linker = OsString::from("-Clinker=");
        linker.push(&self.linker);
        let arch = std::env::consts::ARCH;
        [
            linker,
            "-Clink-arg=--btf".into(),
            "-Cdebuginfo=2".into(),
            "--cfg".into(),
            format!("bpf_target_arch=\"{arch}\"").into(),
        ]
        .join(&OsString::from("\x1f"))
    }
}

pub(crate) const BPF_TARGET: &str = "bpfel-unknown-none";
pub(crate) const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_LIB: &str = "/usr/lib/rustlib/bpfel-unknown-none/lib";

/// Major version of the LLVM inside a compiler, from `rustc -vV`.
pub(crate) fn llvm_of(rustc: &mut Command) -> Option<u32> {
    let version = process::output(rustc.arg("-vV")).ok()?;
    Pair::from_rustc(&version).map(|pair| pair.llvm)
}

pub(crate) fn nightly_rustc() -> Command {
    let mut rustup = Command::new("rustup");
    rustup.args(["run", "nightly", "rustc"]);
    rustup
}

fn has_nightly_source() -> bool {
    paths::program("rustup").is_some()
        && process::output(nightly_rustc().args(["--print", "sysroot"])).is_ok_and(|sysroot| {
            Path::new(sysroot.trim())
                .join("lib/rustlib/src/rust/library/core/Cargo.toml")
                .is_file()
        })
}

fn has_core(lib: &Path) -> bool {
    fs::read_dir(lib).is_ok_and(|mut entries| {
        entries.any(|entry| {
            entry.is_ok_and(|entry| {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                name.starts_with("libcore-") && name.ends_with(".rlib")
            })
        })
    })
}

/// The one that `setup` installed fits the compiler; one on the path may not.
fn find_linker(cache: &Path) -> Option<PathBuf> {
    let cached = cache.join("bin/bpf-linker");
    if cached.is_file() {
        return Some(cached);
    }
    paths::program("bpf-linker")
}

#[cfg(test)]
mod tests;
