//! Cgroups that come back at a path that is known are judged right from their first instruction.

use std::{fs, time::Instant};

use nix::sys::signal::Signal;
use weir_tests::harness::{Attempts, Host, eventually};

use super::{super::granted_server, grant_for, host, live, server_for, wait_for};

const ROUNDS: u32 = 100;

const GRANTED: &str = "system.slice/x.service";
const OTHER: &str = "system.slice/y.service";

fn unit(name: &str) -> String {
    format!("systemd: {{unit: {name}}}")
}

/// The units are known from now on.
fn meet(host: &Host, names: &[&str]) {
    for name in names {
        host.make_cgroup(name);
    }
}

fn forget(host: &Host, names: &[&str]) {
    for name in names {
        fs::remove_dir(host.cgroup_directory(name)).expect("the cgroup is removed");
    }
}

#[test]
fn a_restarted_unit_is_itself_at_once() {
    let host = host();
    let server = server_for(&host, &grant_for(&[unit("x.service")]));
    meet(&host, &[GRANTED, OTHER]);
    let agent = host.agent().start();
    forget(&host, &[GRANTED, OTHER]);

    assert_eq!(
        host.restart(GRANTED, server, ROUNDS),
        Attempts::all_ok(ROUNDS)
    );
    assert_eq!(
        host.restart(OTHER, server, ROUNDS),
        Attempts::all_refused(ROUNDS)
    );
    for (identity, field) in [
        ("unit:x.service", "connections_allowed"),
        ("unit:y.service", "connections_denied"),
    ] {
        let count = agent.usage("identity", &[identity], field);
        assert_eq!(count, u64::from(ROUNDS), "{identity}");
    }
}

#[test]
fn a_restarted_unit_is_refused_at_once_where_its_slice_may() {
    let host = host();
    let deny = "---
apiVersion: weir.dev/v1alpha1
kind: EgressDeny
metadata: {name: no-y}
spec: {subjects: [{systemd: {unit: y.service}}], endpoints: [model], reason: a test}
";
    let slice = format!("cgroup: {}", host.cgroup_path("system.slice"));
    let server = server_for(&host, &(grant_for(&[slice]) + deny));
    meet(&host, &[OTHER]);
    let _agent = host.agent().start();
    forget(&host, &[OTHER]);

    assert_eq!(
        host.restart(OTHER, server, ROUNDS),
        Attempts::all_refused(ROUNDS)
    );
    assert_eq!(
        host.restart("system.slice/z.service", server, ROUNDS),
        Attempts::all_ok(ROUNDS)
    );
}

#[test]
fn a_restart_needs_no_agent() {
    let host = host();
    let server = server_for(&host, &grant_for(&[unit("x.service")]));
    let agent = host.agent().start();
    // Met while the agent runs, unlike in the tests above.
    meet(&host, &[GRANTED, OTHER]);
    wait_for(&agent, "unit:x.service");
    wait_for(&agent, "unit:y.service");
    forget(&host, &[GRANTED, OTHER]);

    let check = |situation: &str| {
        let (granted, other) = (
            host.restart(GRANTED, server, ROUNDS),
            host.restart(OTHER, server, ROUNDS),
        );
        assert_eq!(granted, Attempts::all_ok(ROUNDS), "{situation}");
        assert_eq!(other, Attempts::all_refused(ROUNDS), "{situation}");
    };
    agent.signal(Signal::SIGSTOP);
    check("stopped");
    agent.signal(Signal::SIGCONT);
    check("going on");
    agent.kill();
    check("killed");
    let agent = host.agent().start();
    check("started again");
    // Nothing that has happened meanwhile has been taken for somebody else.
    let root = format!("cgroup:{}", host.cgroup_path(""));
    let root = root.trim_end_matches('/');
    assert_eq!(agent.usage("identity", &[root], "connections_denied"), 0);
}

#[test]
fn cgroups_below_a_restarted_unit_are_it() {
    let host = host();
    let server = server_for(&host, &grant_for(&[unit("x.service")]));
    let [granted, other] = [GRANTED, OTHER].map(|name| format!("{name}/inner/deeper"));
    meet(&host, &[GRANTED, OTHER]);
    let _agent = host.agent().start();
    forget(&host, &[GRANTED, OTHER]);

    assert_eq!(
        host.restart(&granted, server, ROUNDS),
        Attempts::all_ok(ROUNDS)
    );
    assert_eq!(
        host.restart(&other, server, ROUNDS),
        Attempts::all_refused(ROUNDS)
    );
}

#[test]
fn the_same_name_elsewhere_is_somebody_else() {
    let host = host();
    let server = server_for(&host, &grant_for(&[unit("x.service")]));
    let nested = format!("{OTHER}/x.service");
    meet(&host, &[GRANTED, &nested]);
    let agent = host.agent().start();
    wait_for(&agent, "unit:y.service/x.service");
    fs::remove_dir(host.cgroup_directory(&nested)).expect("the cgroup is removed");
    forget(&host, &[GRANTED, OTHER]);

    assert_eq!(
        host.restart(&nested, server, ROUNDS),
        Attempts::all_refused(ROUNDS)
    );
    assert_eq!(
        host.restart(GRANTED, server, ROUNDS),
        Attempts::all_ok(ROUNDS)
    );
}

#[test]
fn eight_at_once_are_eight() {
    let host = host();
    let units: Vec<_> = (0..8).map(|n| format!("u{n}.service")).collect();
    let granted: Vec<_> = units.iter().step_by(2).map(|name| unit(name)).collect();
    let server = server_for(&host, &grant_for(&granted));
    let paths = units.iter().map(|name| format!("system.slice/{name}"));
    let paths: Vec<_> = paths.collect();
    for path in &paths {
        host.make_cgroup(path);
    }
    let agent = host.agent().start();
    for path in &paths {
        forget(&host, &[path]);
    }

    let restarts = paths
        .iter()
        .map(|path| host.start_restarting(path, server, ROUNDS));
    let restarts: Vec<_> = restarts.collect();
    for (index, restart) in restarts.into_iter().enumerate() {
        let expected = if index.is_multiple_of(2) {
            Attempts::all_ok(ROUNDS)
        } else {
            Attempts::all_refused(ROUNDS)
        };
        assert_eq!(restart.wait(), expected, "{index}");
    }
    for (index, name) in units.iter().enumerate() {
        let identity = format!("unit:{name}");
        let field = if index.is_multiple_of(2) {
            "connections_allowed"
        } else {
            "connections_denied"
        };
        let count = agent.usage("identity", &[&identity], field);
        assert_eq!(count, u64::from(ROUNDS), "{identity}");
    }
}

#[test]
fn cgroups_that_are_gone_before_they_are_named_leave_nothing_behind() {
    let host = host();
    let server = granted_server(&host);
    let agent = host.agent().start();
    for number in 0..1_000 {
        let directory = host.cgroup_directory(&format!("gone-{number}.service"));
        fs::create_dir(&directory).expect("a cgroup");
        fs::remove_dir(&directory).expect("it is removed");
    }
    host.make_cgroup("late.service");
    wait_for(&agent, "unit:late.service");
    eventually("the others to be gone", || {
        let is_gone = |name: &String| !name.starts_with("unit:gone-");
        live(&agent).iter().all(is_gone).then_some(())
    });
    assert!(!agent.log().contains("ERROR"), "{}", agent.log());
    assert_eq!(
        host.workload("granted").connect(server),
        Attempts::all_ok(1)
    );
}

#[test]
fn a_new_unit_is_itself_within_milliseconds() {
    let host = host();
    let server = server_for(&host, &grant_for(&[unit("new-*.service")]));
    let _agent = host.agent().start();
    for number in 0..20 {
        let workload = host.workload(&format!("system.slice/new-{number}.service"));
        let made = Instant::now();
        eventually("the grant", || {
            (workload.connect(server) == Attempts::all_ok(1)).then_some(())
        });
        let elapsed = made.elapsed();
        assert!(elapsed.as_millis() < 500, "{number}: {elapsed:?}");
    }
}

#[test]
fn a_path_that_is_too_long_to_be_told_is_found_by_looking() {
    let host = host();
    let long = format!("{0}.slice/{0}-{0}.slice/long.service", "a".repeat(100));
    let server = server_for(&host, &grant_for(&[unit("long.service")]));
    let agent = host.agent().start();
    for _ in 0..2 {
        let workload = host.workload(&long);
        eventually("the grant", || {
            (workload.connect(server) == Attempts::all_ok(1)).then_some(())
        });
        wait_for(&agent, "unit:long.service");
        forget(&host, &[&long]);
        eventually("it is gone", || {
            (!live(&agent).iter().any(|name| name == "unit:long.service")).then_some(())
        });
    }
}
