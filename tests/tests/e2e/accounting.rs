//! What is counted, and that it is counted once.

use weir_tests::harness::{Attempts, eventually};

use super::{closed_server, grant, granted_server, host, model};

#[test]
fn a_thousand_concurrent_connects_are_counted_exactly() {
    let host = host();
    let server = granted_server(&host);
    let agent = host.agent().start();

    assert_eq!(
        host.workload("granted").connects(server, 125, 8),
        Attempts::all_ok(1000)
    );
    assert_eq!(
        host.workload("other").connects(server, 125, 8),
        Attempts::all_refused(1000)
    );

    let identity = |name| format!("cgroup:{}", host.cgroup_path(name));
    let usage = |name, field| agent.usage("identity", &[&identity(name)], field);
    assert_eq!(usage("granted", "connections_allowed"), 1000);
    assert_eq!(usage("granted", "connections_denied"), 0);
    assert_eq!(usage("other", "connections_denied"), 1000);
    assert_eq!(agent.usage("grant", &["a"], "connections_allowed"), 1000);
    assert_eq!(
        agent.usage("endpoint", &["model"], "connections_denied"),
        1000
    );
}

#[test]
fn bytes_of_a_closed_connection_are_exact() {
    let host = host();
    let server = host.tcp_server("127.0.0.1:0", 5_000);
    let policy = model("127.0.0.1/32", &server.port().to_string());
    let granted = grant("a", &host.make_cgroup("granted"), "ttl: 1h");
    host.write_policy("p.yaml", &(policy + &granted));
    let agent = host.agent().start();

    assert_eq!(
        host.workload("granted").exchange(server, 100_000),
        Attempts::all_ok(1)
    );
    eventually("the bytes", || {
        (agent.usage("endpoint", &["model"], "bytes_in") == 5_000).then_some(())
    });
    assert_eq!(agent.usage("endpoint", &["model"], "bytes_out"), 100_000);
    let close = eventually("the close", || agent.events(&[("kind", "close")]).pop());
    assert_eq!(
        (&close["bytes_out"], &close["bytes_in"]),
        (&100_000.into(), &5_000.into())
    );
    assert!(close["duration_ms"].is_u64(), "{close}");
}

#[test]
fn bytes_are_unknown_and_not_zero_before_a_connection_ends() {
    let host = host();
    let server = closed_server(&host);
    let agent = host.agent().start();
    assert_eq!(
        host.workload("other").connect(server),
        Attempts::all_refused(1)
    );
    let report = agent.json(&["usage"]);
    let row = &report["rows"][0];
    assert!(row["bytes_out"].is_null(), "{row}");
    assert_eq!(row["bytes_quality"], "unknown");
}

#[test]
fn a_killed_and_restarted_agent_loses_no_count_and_no_verdict() {
    let host = host();
    let server = granted_server(&host);
    let (granted, other) = (host.workload("granted"), host.workload("other"));
    let mut agent = host.agent().start();

    let (allowed, refused) = (granted.busy(server), other.busy(server));
    for _ in 0..5 {
        agent.usage("identity", &["x"], "connections_allowed");
        agent.kill();
        assert_eq!(
            other.connect(server),
            Attempts::all_refused(1),
            "without an agent"
        );
        agent = host.agent().start();
    }
    let (allowed, refused) = (allowed.stop(), refused.stop());
    assert_eq!((allowed.refused, refused.ok), (0, 0), "no wrong verdict");

    let identity = |name| format!("cgroup:{}", host.cgroup_path(name));
    let usage = |name, field| agent.usage("identity", &[&identity(name)], field);
    assert_eq!(
        usage("granted", "connections_allowed"),
        u64::from(allowed.ok + allowed.other)
    );
    assert_eq!(
        usage("other", "connections_denied"),
        u64::from(refused.refused) + 5
    );
    let hooks = agent.json(&["status"])["hooks"].clone();
    for hook in hooks.as_array().expect("hooks") {
        assert_eq!(hook["state"], "adopted", "{hook}");
    }
}

#[test]
fn metrics_are_served_over_tcp() {
    let host = host();
    let server = closed_server(&host);
    let _agent = host
        .agent()
        .arg("--metrics-listen")
        .arg("127.0.0.1:9464")
        .start();
    assert_eq!(
        host.workload("other").connects(server, 3, 1),
        Attempts::all_refused(3)
    );

    let curl = std::process::Command::new("curl")
        .args(["--silent", "--fail", "http://127.0.0.1:9464/metrics"])
        .output()
        .expect("curl runs");
    let text = String::from_utf8_lossy(&curl.stdout);
    let identity = format!("cgroup:{}", host.cgroup_path("other"));
    let line = format!(
        "weir_connections_total{{identity=\"{identity}\",endpoint=\"model\",verdict=\"deny\"}} 3"
    );
    assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    assert!(text.contains("weir_mode{mode=\"enforce\"} 1"), "{text}");
}
