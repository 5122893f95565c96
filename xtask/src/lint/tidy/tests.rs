use super::*;

fn check(name: &str, text: &str, expected: &[&str]) {
    let problems = problems_of(Path::new(name), text).expect("valid Rust");
    assert_eq!(problems, expected);
}

#[test]
fn the_domain_has_no_io_however_it_is_named() {
    let why = "domain modules have no clock, no I/O and no runtime";
    let check_line = |text: &str, path: &str| {
        let expected = format!("agent/src/policy/parse.rs:1: `{path}` has no place here: {why}");
        check("agent/src/policy/parse.rs", text, &[&expected]);
    };
    check_line("use tokio::sync::watch;", "tokio::sync::watch");
    check_line("use std::{collections::BTreeMap, fs};", "std::fs");
    check_line("use std::fs::{self};", "std::fs");
    check_line("use std::fs::*;", "std::fs");
    check_line("use std::fs as files;", "std::fs");
    check_line("fn f() { std::fs::read(\"x\"); }", "std::fs::read");
    check_line("fn f(_: std::time::Instant) {}", "std::time::Instant");
    check("agent/src/policy.rs", "use std::time::Duration;", &[]);
    check("agent/src/policy.rs", "use std::net::IpAddr;", &[]);
    check("agent/src/store.rs", "use std::fs;", &[]);
}

#[test]
fn layers_only_look_down() {
    check(
        "agent/src/store/rows.rs",
        "use crate::usage::Row;\nuse crate::{daemon::Input, api::types};",
        &[
            "agent/src/store/rows.rs:2: `crate::api::types` has no place here: adapters are below \
             the daemon",
            "agent/src/store/rows.rs:2: `crate::daemon::Input` has no place here: adapters are \
             below the daemon",
        ],
    );
    check("agent/src/cli/status.rs", "use crate::api::client;", &[]);
    check(
        "agent/src/usage.rs",
        "use crate::store::Store;",
        &[
            "agent/src/usage.rs:1: `crate::store::Store` has no place here: the domain is the \
           lowest layer",
        ],
    );
}

#[test]
fn each_foreign_world_has_one_module() {
    check("agent/src/bpf/maps.rs", "use aya::maps::HashMap;", &[]);
    check(
        "agent/src/daemon.rs",
        "use aya::maps::HashMap;\nuse ayatollah::x;",
        &[
            "agent/src/daemon.rs:1: `aya::maps::HashMap` has no place here: only `bpf` talks to \
           the kernel's BPF",
        ],
    );
    check("agent-common/src/abi.rs", "use aya::Pod;", &[]);
}

#[test]
fn tests_may_do_what_they_need() {
    let text = "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
    check("agent/src/policy.rs", text, &[]);
    check("agent/src/policy/tests.rs", "use std::fs;", &[]);
    check("agent/src/policy/tests/props.rs", "use std::fs;", &[]);
    let text = "#[cfg(not(test))]\nmod real {\n    use std::fs;\n}\n";
    assert_eq!(
        problems_of(Path::new("agent/src/policy.rs"), text)
            .expect("valid Rust")
            .len(),
        1
    );
}

#[test]
fn a_file_is_measured_without_its_tests() {
    let code = "fn f() {}\n".repeat(400);
    let tests = format!(
        "#[cfg(test)]\nmod tests {{\n{}}}\n",
        "fn t() {}\n".repeat(100)
    );
    check("xtask/src/a.rs", &format!("{code}{tests}"), &[]);
    check(
        "xtask/src/a.rs",
        &format!("fn g() {{}}\n{code}{tests}"),
        &["xtask/src/a.rs: 401 lines outside tests, at most 400 are allowed; split it by noun"],
    );
}
