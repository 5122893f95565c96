//! Starting, stopping, and what an agent leaves behind.

use std::{os::unix::net::UnixDatagram, process::Command};

use weir_tests::harness::{Attempts, Output, binary};

use super::{closed_server, host};

#[test]
fn the_service_manager_is_told_when_the_agent_is_in_force() {
    let host = host();
    let path = host.path("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let agent = host.agent().env("NOTIFY_SOCKET", path).start();
    let mut message = [0; 256];
    let length = socket.recv(&mut message).expect("a message");
    assert!(
        message[..length].starts_with(b"READY=1"),
        "{:?}",
        &message[..length]
    );
    agent.stop();
    let length = socket.recv(&mut message).expect("a message");
    assert!(
        message[..length].starts_with(b"STOPPING=1"),
        "{:?}",
        &message[..length]
    );
}

#[test]
fn a_stopped_agent_leaves_the_policy_in_force_and_detach_removes_it() {
    let host = host();
    let server = closed_server(&host);
    let agent = host.agent().start();
    let pins = agent.json(&["status"])["hooks"].as_array().map(Vec::len);
    assert_eq!(pins, Some(15));
    agent.stop();
    let workload = host.workload("other");
    assert_eq!(workload.connect(server), Attempts::all_refused(1));

    let agent = host.agent().arg("--detach-on-exit").start();
    agent.stop();
    assert_eq!(workload.connect(server), Attempts::all_ok(1));
}

#[test]
fn an_agent_is_not_disarmed_by_another_one_or_by_detach() {
    let host = host();
    let server = closed_server(&host);
    // The second one has adopted links, which end with their pins.
    host.agent().start().kill();
    let agent = host.agent().start();
    let second = host.agent().mode("observe").apart().fail().expect(2);
    assert!(
        second.stderr.contains("another agent is running with"),
        "{second:?}"
    );
    let pins = host.pin_dir().display().to_string();
    let detach = ["--socket", "/nonexistent", "detach", "--pin-dir", &pins];
    let detached = Output::of(Command::new(binary()).args(detach)).expect(2);
    assert!(
        detached
            .stderr
            .contains("an agent is running with the pins in"),
        "{detached:?}"
    );
    let workload = host.workload("other");
    assert_eq!(workload.connect(server), Attempts::all_refused(1));
    agent.stop();
    Output::of(Command::new(binary()).args(detach)).expect(0);
    assert_eq!(workload.connect(server), Attempts::all_ok(1));
}

#[test]
fn a_second_agent_on_the_same_state_refuses_to_start() {
    let host = host();
    let _agent = host.agent().start();
    let second = host.agent().arg("--socket").arg("/nonexistent").fail();
    assert!(
        second.stderr.contains("cannot be used multiple times"),
        "{second:?}"
    );
    let second = host.agent().fail().expect(2);
    assert!(
        second.stderr.contains("another agent is listening there"),
        "{second:?}"
    );
}
