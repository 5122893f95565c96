//! Bad input has one clear message and loses nothing.

use std::fs;

use super::host;

#[test]
fn a_corrupt_store_is_refused_and_kept() {
    let host = host();
    let path = host.path("state/weir.db");
    fs::create_dir_all(host.path("state")).expect("a directory");
    let garbage = vec![0x5a; 8192];
    fs::write(&path, &garbage).expect("a file");
    let refused = host.agent().fail().expect(2);
    let shown = path.display().to_string();
    let expected = format!("weir: the store `{shown}` is damaged (");
    assert!(refused.stderr.contains(&expected), "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("move it away to start with an empty one"),
        "{refused:?}"
    );
    assert_eq!(fs::read(&path).expect("it is there"), garbage);
}

#[test]
fn a_policy_with_mistakes_stops_a_first_start_with_every_mistake() {
    let host = host();
    host.write_policy("p.yaml", "kind: InvocationGrant\nspec: {}\n");
    let refused = host.agent().fail().expect(2);
    let file = host.path("policy.d/p.yaml").display().to_string();
    assert!(
        refused.stderr.contains(&format!("{file}:1:1: ")),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("apiVersion"), "{refused:?}");
    assert!(refused.stderr.contains("metadata"), "{refused:?}");
}

#[test]
fn a_directory_that_is_no_cgroup_is_refused() {
    let host = host();
    let directory = host.path("plain");
    fs::create_dir(&directory).expect("a directory");
    let config = host.path("weir.toml");
    fs::write(&config, format!("cgroup = {directory:?}\n")).expect("a file");
    let weir = std::env::var_os("WEIR_BIN").expect("WEIR_BIN");
    let output = std::process::Command::new(weir)
        .args(["agent", "--no-resolve", "--config"])
        .arg(&config)
        .arg("--state-dir")
        .arg(host.path("state"))
        .arg("--socket")
        .arg(host.path("s.sock"))
        .output()
        .expect("weir runs");
    let error = String::from_utf8_lossy(&output.stderr);
    let expected = format!(
        "weir: `{}` is not a cgroup v2 directory",
        directory.display()
    );
    assert!(error.contains(&expected), "{error}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_mistake_in_the_configuration_names_its_line() {
    let host = host();
    let config = host.path("weir.toml");
    fs::write(&config, "mode = \"enforce\"\nmetrics = 1\n").expect("a file");
    let refused = host.agent().fail().expect(2);
    let expected = format!("weir: {}:2:1: unknown field `metrics`", config.display());
    assert!(refused.stderr.starts_with(&expected), "{refused:?}");
}

#[test]
fn without_an_agent_a_command_says_how_to_start_one() {
    let host = host();
    let weir = std::env::var_os("WEIR_BIN").expect("WEIR_BIN");
    let socket = host.path("absent.sock");
    let output = std::process::Command::new(weir)
        .env("WEIR_SOCKET", &socket)
        .arg("status")
        .output()
        .expect("weir runs");
    let expected = format!(
        "weir: no agent is listening on `{}`: start it with `weir agent`, or set WEIR_SOCKET to \
         the socket of the one that runs\n",
        socket.display()
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
    assert_eq!(output.status.code(), Some(2));
}
