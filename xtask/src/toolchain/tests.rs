use std::{collections::BTreeMap, ffi::OsStr};

use super::*;

const LINKER: &str = "/cache/bin/bpf-linker";

fn facts(nightly_source: bool, debian_core: bool, linker: bool) -> Facts {
    Facts {
        nightly_source,
        debian_core,
        linker: linker.then(|| PathBuf::from(LINKER)),
    }
}

#[test]
fn nightly_is_preferred_and_a_linker_is_always_needed() {
    let check = |facts: Facts, expected: Option<Route>| {
        let chosen = facts.clone().choose().map(|toolchain| toolchain.route);
        assert_eq!(chosen, expected, "{facts:?}");
    };
    check(facts(true, true, true), Some(Route::Nightly));
    check(facts(true, false, true), Some(Route::Nightly));
    check(facts(false, true, true), Some(Route::Debian));
    check(facts(false, false, true), None);
    check(facts(true, true, false), None);
}

fn check_command(route: Route, line: &str, environment: &[(&str, Option<&str>)]) {
    let toolchain = Toolchain {
        route,
        linker: PathBuf::from(LINKER),
    };
    let command = toolchain.cargo_build();
    assert_eq!(process::render(&command), line);
    assert_eq!(
        command.get_current_dir(),
        Some(paths::ebpf_crate().as_path())
    );
    let set: BTreeMap<_, _> = command.get_envs().collect();
    for (name, value) in environment {
        assert_eq!(
            set.get(OsStr::new(name)),
            Some(&value.map(OsStr::new)),
            "{name}"
        );
    }
}

fn flags() -> String {
    [
        "-Clinker=/cache/bin/bpf-linker",
        "-Clink-arg=--btf",
        "-Cdebuginfo=2",
        "--cfg",
        &format!("bpf_target_arch=\"{}\"", std::env::consts::ARCH),
    ]
    .join("\x1f")
}

#[test]
fn nightly_builds_core_from_source() {
    check_command(
        Route::Nightly,
        "rustup run nightly cargo build -Zbuild-std=core --release --target bpfel-unknown-none",
        &[
            ("RUSTC", None),
            ("RUSTUP_TOOLCHAIN", None),
            ("LD_LIBRARY_PATH", None),
            ("CARGO_ENCODED_RUSTFLAGS", Some(&flags())),
        ],
    );
}

#[test]
fn debian_uses_its_prebuilt_core() {
    check_command(
        Route::Debian,
        "cargo build --release --target bpfel-unknown-none",
        &[
            ("RUSTC", Some("/usr/bin/rustc")),
            ("RUSTC_BOOTSTRAP", Some("1")),
            ("LD_LIBRARY_PATH", None),
            ("CARGO_ENCODED_RUSTFLAGS", Some(&flags())),
        ],
    );
}
