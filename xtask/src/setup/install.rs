//! Carries out the steps of a plan. Never removes a package.

use std::{fs, process::Command};

use anyhow::{Context as _, Result};

use super::plan::{Package, Step};
use crate::{
    apt::{Apt, Installed},
    paths, process,
};

/// An index that is only partly fresh is good enough: installing tells what it lacks.
pub(crate) fn refresh_index() {
    if let Err(error) = process::run(Command::new("apt-get").args(["update", "-q"])) {
        eprintln!("warning: {error:#}; going on with the index as it is");
    }
}

pub(crate) fn perform(step: &Step) -> Result<()> {
    match step {
        Step::Packages(packages) => install_packages(packages),
        Step::Nightly => process::run(Command::new("rustup").args([
            "toolchain",
            "install",
            "nightly",
            "--profile=minimal",
            "--component=rust-src",
        ])),
        Step::Components(names) => process::run(
            Command::new("rustup")
                .args(["component", "add"])
                .args(names),
        ),
        Step::Linker { llvm } => install_linker(*llvm),
        Step::CargoFuzz => process::run(
            process::cargo("install")
                .args(["cargo-fuzz", "--locked", "--root"])
                .arg(paths::cache()?),
        ),
    }
}

/// A machine may hold something from backports that forbids the older package of its release:
/// then the matching one comes from backports too, and the machine's sources stay as they are.
pub(super) fn install_packages(packages: &[Package]) -> Result<()> {
    let Err(error) = process::run(add_packages(&mut Command::new("apt-get"), packages)) else {
        return Ok(());
    };
    let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let Some(release) = debian_codename(&os_release) else {
        return Err(error);
    };
    eprintln!("warning: {error:#}; trying again with {release}-backports");
    let suites = [
        ("debian", release.to_owned()),
        ("debian-security", format!("{release}-security")),
        ("debian", format!("{release}-backports")),
    ];
    let lists = paths::cache()?.join("apt-setup");
    let apt = Apt::prepare(&lists, &suites, Installed::Machine)?;
    let mut command = apt.command("apt-get");
    command.arg(format!("--target-release={release}-backports"));
    process::run(add_packages(&mut command, packages))
        .context("install without removing any package")
}

fn add_packages<'a>(apt: &'a mut Command, packages: &[Package]) -> &'a mut Command {
    apt.args([
        "install",
        "-q",
        "-y",
        "--no-remove",
        "--no-install-recommends",
    ])
    .args(packages.iter().map(|package| &package.name))
    .env("DEBIAN_FRONTEND", "noninteractive")
}

/// `bookworm`; nothing on other distributions, which have no such archive.
fn debian_codename(os_release: &str) -> Option<&str> {
    let field = |name| os_release.lines().find_map(|line| line.strip_prefix(name));
    (field("ID=")? == "debian").then_some(field("VERSION_CODENAME=")?)
}

fn install_linker(llvm: u32) -> Result<()> {
    let mut cargo = process::cargo("install");
    cargo
        .args(["bpf-linker", "--locked", "--no-default-features"])
        .arg(format!("--features=llvm-{llvm}"))
        .arg("--root")
        .arg(paths::cache()?)
        .env("LLVM_PREFIX", format!("/usr/lib/llvm-{llvm}"));
    process::run(&mut cargo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_debian_has_backports_of_its_own() {
        let check = |os_release: &str, expected: Option<&str>| {
            assert_eq!(debian_codename(os_release), expected, "{os_release}");
        };
        check(
            "PRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION_CODENAME=bookworm\nID=debian\n",
            Some("bookworm"),
        );
        check("VERSION_CODENAME=noble\nID=ubuntu\nID_LIKE=debian\n", None);
        check("ID=debian\n", None);
        check("", None);
    }
}
