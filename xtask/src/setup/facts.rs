//! Looks at the machine for `setup`. Must stay fast: every other task asks first.

use std::{collections::BTreeSet, fs, process::Command};

use anyhow::Result;

use super::need::{Group, NEEDS, Need};
use crate::{
    paths, process,
    toolchain::{self, Pair, Route},
};

/// Everything that [`super::plan`] decides on.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub root: bool,
    pub apt: bool,
    pub rustup: bool,
    pub unmet: Vec<&'static Need>,
    /// Cargo subcommands of the running toolchain that are absent.
    pub components: Vec<&'static str>,
    pub wants_ebpf: bool,
    pub lacks_cargo_fuzz: bool,
    pub toolchain: toolchain::Facts,
    /// LLVM of the compiler that is installed for the kernel programs.
    pub installed_llvm: Option<u32>,
    /// Major versions of LLVM that bpf-linker could be built against.
    pub llvm_libraries: BTreeSet<u32>,
    /// What the package index offers; only looked up when it matters.
    pub pair: Option<Pair>,
}

impl Facts {
    pub(crate) fn gather(groups: &BTreeSet<Group>) -> Result<Self> {
        let wants_ebpf = groups.contains(&Group::Build);
        let toolchain = toolchain::Facts::gather()?;
        let components = if groups.contains(&Group::Test) {
            absent_components()
        } else {
            Vec::new()
        };
        Ok(Self {
            root: nix::unistd::geteuid().is_root(),
            apt: paths::program("apt-get").is_some(),
            rustup: paths::program("rustup").is_some(),
            unmet: NEEDS
                .iter()
                .filter(|need| groups.contains(&need.group) && !need.is_met())
                .collect(),
            components,
            wants_ebpf,
            lacks_cargo_fuzz: groups.contains(&Group::Fuzz) && paths::tool("cargo-fuzz").is_none(),
            installed_llvm: match toolchain.route() {
                Some(route) if toolchain.linker.is_none() => compiler_llvm(route),
                Some(_) | None => None,
            },
            toolchain,
            llvm_libraries: llvm_libraries(),
            pair: None,
        })
    }

    pub(crate) fn can_install_packages(&self) -> bool {
        self.root && self.apt
    }
}

/// The compiler that the package index offers with a `core` for BPF, and its LLVM.
pub(crate) fn packaged_pair() -> Option<Pair> {
    let core = apt_show("libstd-rust-web-dev-bpf")?;
    let version = core
        .lines()
        .find_map(|line| line.strip_prefix("Version: "))?;
    let library = format!("libstd-rust-web-{}", toolchain::minor(version)?);
    Pair::from_apt(version, &apt_show(&library)?)
}

fn apt_show(package: &str) -> Option<String> {
    let mut apt = Command::new("apt-cache");
    process::output(apt.args(["show", "--no-all-versions", package])).ok()
}

fn compiler_llvm(route: Route) -> Option<u32> {
    match route {
        Route::Nightly => toolchain::llvm_of(&mut toolchain::nightly_rustc()),
        Route::Debian => toolchain::llvm_of(&mut Command::new(toolchain::DEBIAN_RUSTC)),
    }
}

/// Debian's development packages keep each version in a directory of its own.
fn llvm_libraries() -> BTreeSet<u32> {
    let entries = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().join("lib/libPolly.a").is_file())
        .filter_map(|entry| {
            let name = entry.file_name();
            name.to_str()?.strip_prefix("llvm-")?.parse().ok()
        })
        .collect()
}

/// Rustup's proxies exist even where the component does not: only running them tells.
fn absent_components() -> Vec<&'static str> {
    [("clippy", "clippy"), ("rustfmt", "fmt")]
        .into_iter()
        .filter(|(_, subcommand)| {
            process::output(process::cargo(subcommand).arg("--version")).is_err()
        })
        .map(|(component, _)| component)
        .collect()
}
