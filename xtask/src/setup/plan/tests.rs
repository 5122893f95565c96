use std::path::PathBuf;

use super::*;
use crate::{
    setup::need::{NEEDS, Need},
    toolchain::{self, Pair},
};

/// A Debian machine, as root, where everything is installed.
fn complete() -> Facts {
    Facts {
        root: true,
        apt: true,
        rustup: true,
        wants_ebpf: true,
        toolchain: toolchain::Facts {
            nightly_source: false,
            debian_core: true,
            linker: Some(PathBuf::from("/cache/bin/bpf-linker")),
        },
        ..Facts::default()
    }
}

/// The same without any compiler for the kernel programs.
fn bare() -> Facts {
    Facts {
        toolchain: toolchain::Facts::default(),
        pair: Some(Pair {
            rustc: "1.96".into(),
            llvm: 22,
        }),
        ..complete()
    }
}

fn unmet(package: &str) -> Vec<&'static Need> {
    let needs: Vec<_> = NEEDS
        .iter()
        .filter(|need| need.package == package)
        .collect();
    assert!(!needs.is_empty(), "no need brings {package}");
    needs
}

/// One line a step: what a reader of the plan would be told, shortened.
fn check(facts: &Facts, expected: &[&str]) {
    let steps = plan(facts).expect("a plan");
    let lines: Vec<String> = steps
        .iter()
        .map(|step| match step {
            Step::Packages(packages) => {
                let names: Vec<_> = packages.iter().map(|p| p.name.as_str()).collect();
                format!("apt {}", names.join(" "))
            }
            Step::Nightly => "nightly".into(),
            Step::Components(names) => format!("components {}", names.join(" ")),
            Step::Linker { llvm } => format!("linker {llvm}"),
            Step::CargoFuzz => "cargo-fuzz".into(),
        })
        .collect();
    assert_eq!(lines, expected);
}

fn check_error(facts: &Facts, expected: &str) {
    let error = plan(facts).expect_err("must not be possible");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn nothing_is_done_when_nothing_is_missing() {
    assert!(is_complete(&complete()));
    check(&complete(), &[]);
}

#[test]
fn a_bare_debian_gets_packages_first_and_the_linker_of_the_same_llvm() {
    let linker = "llvm-22-dev libpolly-22-dev zlib1g-dev libzstd-dev";
    check(
        &bare(),
        &[
            &format!("apt rustc-web libstd-rust-web-dev-bpf {linker}"),
            "linker 22",
        ],
    );
    let newer = Facts {
        pair: Some(Pair {
            rustc: "1.99".into(),
            llvm: 24,
        }),
        unmet: unmet("cpio"),
        llvm_libraries: [24].into(),
        ..bare()
    };
    check(
        &newer,
        &["apt cpio rustc-web libstd-rust-web-dev-bpf", "linker 24"],
    );
}

#[test]
fn a_compiler_that_is_there_only_gets_its_linker() {
    let mut facts = complete();
    facts.toolchain.linker = None;
    facts.installed_llvm = Some(22);
    facts.llvm_libraries = [14, 22].into();
    check(&facts, &["linker 22"]);
    facts.root = false;
    check(&facts, &["linker 22"]);
}

#[test]
fn rustup_serves_where_packages_cannot() {
    let no_offer = Facts {
        pair: None,
        ..bare()
    };
    check(&no_offer, &["nightly"]);
    let not_root = Facts {
        root: false,
        ..bare()
    };
    check(&not_root, &["nightly"]);
    let components = Facts {
        components: vec!["clippy", "rustfmt"],
        ..complete()
    };
    check(&components, &["components clippy rustfmt"]);
    let fuzz = Facts {
        lacks_cargo_fuzz: true,
        unmet: unmet("build-essential")[1..].to_vec(),
        ..complete()
    };
    check(&fuzz, &["apt build-essential", "cargo-fuzz"]);
}

#[test]
fn what_cannot_be_installed_is_one_sentence() {
    let not_root = Facts {
        root: false,
        unmet: [unmet("cpio"), unmet("curl")].concat(),
        ..complete()
    };
    check_error(
        &not_root,
        "missing: cpio, curl; install them as root, then try again",
    );
    let no_apt = Facts {
        apt: false,
        ..not_root
    };
    check_error(
        &no_apt,
        "missing: cpio, curl; install them by hand, then try again",
    );
    let no_compiler = Facts {
        apt: false,
        rustup: false,
        ..bare()
    };
    check_error(
        &no_compiler,
        "missing: a Rust compiler for BPF (rustup nightly with rust-src, or rustc-web with \
         libstd-rust-web-dev-bpf), bpf-linker; install them, then try again",
    );
    let no_clippy = Facts {
        rustup: false,
        components: vec!["clippy"],
        ..complete()
    };
    check_error(&no_clippy, "missing: clippy; install them with Rust itself");
}
