//! Decides what `setup` does: facts in, steps out, nothing touched.

use anyhow::{Result, bail};

use super::facts::Facts;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Packages(Vec<Package>),
    /// A nightly compiler with the source of `core`.
    Nightly,
    Components(Vec<&'static str>),
    /// bpf-linker for a major version of LLVM, into the cache.
    Linker {
        llvm: u32,
    },
    /// cargo-fuzz, into the cache.
    CargoFuzz,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub name: String,
    pub why: &'static str,
}

impl Step {
    pub(crate) fn explain(&self) -> String {
        match self {
            Self::Packages(packages) => packages
                .iter()
                .map(|Package { name, why }| format!("installing {name}: {why}"))
                .collect::<Vec<_>>()
                .join("\n"),
            Self::Nightly => {
                "installing nightly Rust with rust-src: compiles the kernel programs".into()
            }
            Self::Components(names) => {
                format!("installing {}: needed by `lint`", names.join(" and "))
            }
            Self::CargoFuzz => "installing cargo-fuzz: builds the fuzz targets".into(),
            Self::Linker { llvm } => {
                format!("installing bpf-linker for LLVM {llvm}: links the kernel programs")
            }
        }
    }
}

pub(crate) fn is_complete(facts: &Facts) -> bool {
    facts.unmet.is_empty()
        && facts.components.is_empty()
        && !lacks_ebpf(facts)
        && !facts.lacks_cargo_fuzz
}

/// Whether anything missing comes from the package manager.
pub(crate) fn needs_packages(facts: &Facts) -> bool {
    !facts.unmet.is_empty() || lacks_ebpf(facts)
}

/// Everything missing, for people.
pub(crate) fn names(facts: &Facts) -> String {
    let mut names: Vec<&str> = facts.unmet.iter().map(|need| need.package).collect();
    names.extend(&facts.components);
    if facts.wants_ebpf && facts.toolchain.route().is_none() {
        names.push("a Rust compiler for BPF (rustup nightly with rust-src, or rustc-web with libstd-rust-web-dev-bpf)");
    }
    if facts.wants_ebpf && facts.toolchain.linker.is_none() {
        names.push("bpf-linker");
    }
    if facts.lacks_cargo_fuzz {
        names.push("cargo-fuzz");
    }
    names.join(", ")
}

/// What to do, in order; an error says in one sentence what a person has to do instead.
pub(crate) fn plan(facts: &Facts) -> Result<Vec<Step>> {
    let mut packages: Vec<Package> = facts
        .unmet
        .iter()
        .map(|need| package(need.package, need.why))
        .collect();
    let mut steps = Vec::new();
    if facts.wants_ebpf {
        plan_ebpf(facts, &mut packages, &mut steps)?;
    }
    if facts.lacks_cargo_fuzz {
        steps.push(Step::CargoFuzz);
    }
    if !facts.components.is_empty() {
        if !facts.rustup {
            bail!("missing: {}; install them with Rust itself", names(facts));
        }
        steps.push(Step::Components(facts.components.clone()));
    }
    if packages.is_empty() {
        return Ok(steps);
    }
    if !facts.can_install_packages() {
        let who = if facts.apt { "as root" } else { "by hand" };
        bail!(
            "missing: {}; install them {who}, then try again",
            names(facts)
        );
    }
    steps.insert(0, Step::Packages(packages));
    Ok(steps)
}

fn lacks_ebpf(facts: &Facts) -> bool {
    facts.wants_ebpf && (facts.toolchain.route().is_none() || facts.toolchain.linker.is_none())
}

fn plan_ebpf(facts: &Facts, packages: &mut Vec<Package>, steps: &mut Vec<Step>) -> Result<()> {
    let llvm = match (facts.toolchain.route(), &facts.pair) {
        (Some(_), _) => facts.installed_llvm,
        (None, Some(pair)) if facts.can_install_packages() => {
            packages.push(package("rustc-web", "compiles the kernel programs"));
            packages.push(package(
                "libstd-rust-web-dev-bpf",
                "core for the BPF target",
            ));
            Some(pair.llvm)
        }
        (None, _) if facts.rustup => {
            steps.push(Step::Nightly);
            None
        }
        (None, _) => bail!("missing: {}; install them, then try again", names(facts)),
    };
    if facts.toolchain.linker.is_some() {
        return Ok(());
    }
    // A nightly that is yet to come names its LLVM only when it is there: `ensure` plans again.
    let Some(llvm) = llvm else { return Ok(()) };
    if !facts.llvm_libraries.contains(&llvm) {
        let why = "bpf-linker is built against it";
        packages.push(package(&format!("llvm-{llvm}-dev"), why));
        packages.push(package(&format!("libpolly-{llvm}-dev"), why));
        packages.push(package("zlib1g-dev", why));
        packages.push(package("libzstd-dev", why));
    }
    steps.push(Step::Linker { llvm });
    Ok(())
}

fn package(name: &str, why: &'static str) -> Package {
    Package {
        name: name.to_owned(),
        why,
    }
}

#[cfg(test)]
mod tests;
