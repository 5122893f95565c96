//! Cgroups that come back at a path that is known are judged right from their first instruction.

use std::{
    fs,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use weir_tests::harness::{Attempts, Host, eventually, eventually_within};

use super::{super::granted_server, grant_for, host, live, model, server_for, wait_for};

const ROUNDS: u32 = 100;
/// The kernel keeps what is gone for a minute.
const LONG: Duration = Duration::from_secs(150);

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

/// Two cgroups of one name, of which the first is gone for so long that it is forgotten.
#[test]
fn a_rule_that_comes_later_is_for_those_who_are_there() {
    let host = host();
    let server = server_for(&host, "");
    host.make_cgroup("a.slice/same.service");
    let agent = host.agent().start();
    wait_for(&agent, "unit:same.service");
    let n_cgroups = || {
        let status = agent.json(&["status"]);
        let mut places = status["capacity"].as_array().into_iter().flatten();
        let used = places.find(|place| place["what"] == "cgroups");
        used.and_then(|place| place["used"].as_u64())
            .expect("a number")
    };
    let both = n_cgroups() + 2;
    let other = host.workload("b.slice/same.service");
    eventually("slice and unit", || (n_cgroups() == both).then_some(()));
    forget(&host, &["a.slice/same.service"]);
    eventually_within(LONG, "the first to be forgotten", || {
        (n_cgroups() < both).then_some(())
    });

    let policy = model("127.0.0.1/32", &server.port().to_string());
    let of_slice = grant_for(&["systemd: {slice: a.slice}".to_owned()]);
    host.write_policy("p.yaml", &(policy + &of_slice));
    eventually("the rule", || {
        let grants = agent.json(&["grant", "list"]);
        grants["grants"]
            .as_array()
            .is_some_and(|all| all.len() == 1)
            .then_some(())
    });
    assert_eq!(other.connect(server), Attempts::all_refused(1));
}
