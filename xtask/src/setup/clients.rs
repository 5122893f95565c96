//! Programs with which end-to-end tests call models, as people do, and those that run containers.
//!
//! Tests skip what is absent and say so. Hence nothing here is an error: a machine without a
//! browser, or without a way to the package indexes, is good for all other tests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{install, plan::Package};
use crate::{paths, process};

/// A program, or a module of Python, the package that brings it, and what for.
const NEEDS: [(&str, &str, &str); 10] = [
    (
        "ensurepip",
        "python3-venv",
        "packages for clients in Python",
    ),
    ("node", "nodejs", "a client in tests"),
    ("chromium", "chromium", "a browser as a client in tests"),
    ("go", "golang-go", "builds a client for tests"),
    ("runc", "runc", "runs containers in tests"),
    ("crun", "crun", "runs containers in tests in another way"),
    ("containerd", "containerd", "names containers in tests"),
    ("podman", "podman", "names containers in tests"),
    (
        "systemd-nspawn",
        "systemd-container",
        "runs a machine in tests",
    ),
    (
        "mmdebstrap",
        "mmdebstrap",
        "makes the root file system of that machine",
    ),
];

/// Clients in Go, by their sources.
const GO: [&str; 2] = ["get", "calls"];

/// Gets what is missing; says whether anything had to be installed.
pub(crate) fn ensure() -> bool {
    let missing = NEEDS.iter().filter(|(name, ..)| !is_there(name));
    let missing: Vec<Package> = missing
        .map(|&(_, name, why)| Package {
            name: name.into(),
            why,
        })
        .collect();
    let mut results = packages(missing);
    results.push(python());
    results.extend(GO.map(go));
    let mut installed = false;
    for result in results {
        match result {
            Ok(changed) => installed |= changed,
            Err(error) => eprintln!("warning: {error:#}; tests skip what needs it"),
        }
    }
    installed
}

fn is_there(name: &str) -> bool {
    if name != "ensurepip" {
        return paths::program(name).is_some();
    }
    let mut import = Command::new("python3");
    process::output(import.args(["-c", "import ensurepip, venv"])).is_ok()
}

/// Each by itself, so that one that this distribution lacks does not stop the others.
fn packages(missing: Vec<Package>) -> Vec<Result<bool>> {
    if missing.is_empty() {
        return Vec::new();
    }
    let can_install = nix::unistd::geteuid().is_root() && paths::program("apt-get").is_some();
    if can_install {
        install::refresh_index();
    }
    let install = |package: Package| {
        let Package { name, why } = &package;
        if !can_install {
            bail!("{name} is missing ({why}) and only root can install it, with apt");
        }
        println!("installing {name}: {why}");
        install::install_packages(&[package])?;
        Ok(true)
    };
    missing.into_iter().map(install).collect()
}

/// A virtual environment with the packages that the scripts import, unless it has just these.
fn python() -> Result<bool> {
    let list = sources().join("requirements.txt");
    let wanted = read(&list)?;
    let environment = paths::clients().join("python");
    let mark = environment.join("installed.txt");
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(false);
    }
    let names = wanted.split_whitespace().collect::<Vec<_>>().join(", ");
    println!("installing {names} from PyPI into target/clients: clients in tests");
    let mut make = Command::new("python3");
    process::run(make.args(["-m", "venv", "--clear"]).arg(&environment))?;
    let mut pip = Command::new(environment.join("bin/pip"));
    pip.args(["install", "--quiet", "--requirement"]).arg(&list);
    process::run(&mut pip)?;
    write(&mark, &wanted)?;
    Ok(true)
}

/// A client in Go, unless it was built from just this source.
fn go(name: &str) -> Result<bool> {
    let source = sources().join(format!("{name}.go"));
    let wanted = read(&source)?;
    let built = paths::clients();
    let mark = built.join(format!("{name}-go.source"));
    if fs::read_to_string(&mark).is_ok_and(|source| source == wanted) {
        return Ok(false);
    }
    let go = paths::program("go").context("Go is missing")?;
    let mut build = Command::new(go);
    build
        .args(["build", "-o"])
        .arg(built.join(format!("{name}-go")))
        .arg(&source)
        .env("GOCACHE", built.join("go-cache"))
        .envs([("GO111MODULE", "off"), ("CGO_ENABLED", "0")]);
    process::run(&mut build)?;
    write(&mark, &wanted)?;
    Ok(true)
}

fn sources() -> PathBuf {
    paths::root().join("tests/clients")
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("read {}", file.display()))
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("write {}", file.display()))
}
