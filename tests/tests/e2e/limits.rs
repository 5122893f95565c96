//! Limits of grants: exact, whoever races, and whether an agent runs or not.

use std::net::SocketAddr;

use weir_tests::harness::{Agent, Attempts, Host, eventually};

use super::{grant, host, model};

/// A server that answers with `back` octets, and a grant of `granted` with these limits.
fn limited(host: &Host, back: usize, limits: &str) -> SocketAddr {
    let server = host.tcp_server("127.0.0.1:0", back);
    write(host, server, limits);
    server
}

fn write(host: &Host, server: SocketAddr, limits: &str) {
    let cgroup = host.cgroup_path("granted");
    host.write_policy(
        "p.yaml",
        &(model("127.0.0.1/32", &server.port().to_string())
            + &grant("first", &cgroup, &format!("limits: {limits}"))),
    );
}

fn reasons(agent: &Agent) -> Vec<String> {
    let refused = agent.events(&[("verdict", "deny")]);
    let reasons = refused.iter().map(|event| event["reason"].to_string());
    reasons.collect()
}

#[test]
fn of_eight_racing_threads_exactly_as_many_connections_pass_as_the_limit_says() {
    let host = host();
    let server = limited(&host, 0, "{connections: {count: 500, per: 7d}}");
    let agent = host.agent().start();
    let attempts = host.workload("granted").connects(server, 250, 8);
    assert_eq!(
        attempts,
        Attempts {
            ok: 500,
            refused: 1_500,
            other: 0
        }
    );
    let reason = eventually("the events", || reasons(&agent).pop());
    assert_eq!(reason, "\"limit-reached\"");
    // What was used stays used: without an agent, with another one, and when other things change.
    agent.kill();
    let workload = host.workload("granted");
    assert_eq!(workload.connect(server), Attempts::all_refused(1));
    let _agent = host.agent().start();
    assert_eq!(workload.connect(server), Attempts::all_refused(1));
    write(&host, server, "{connections: {count: 503, per: 7d}}");
    eventually("the new limit", || {
        (workload.connect(server).ok == 1).then_some(())
    });
    assert_eq!(workload.connects(server, 10, 1).ok, 2);
}

#[test]
fn a_new_window_begins_by_itself() {
    let host = host();
    let server = limited(&host, 0, "{connections: {count: 2, per: 2s}}");
    let agent = host.agent().start();
    agent.kill();
    let workload = host.workload("granted");
    eventually("a refusal", || {
        (workload.connects(server, 3, 1).refused > 0).then_some(())
    });
    eventually("the next window", || {
        (workload.connect(server).ok == 1).then_some(())
    });
}

#[test]
fn a_connection_that_uses_up_the_bytes_of_the_day_is_cut_off() {
    let host = host();
    let server = limited(&host, 0, "{bytesPerDay: 300kB}");
    let agent = host.agent().start();
    let workload = host.workload("granted");
    assert_eq!(workload.exchange(server, 100_000), Attempts::all_ok(1));
    assert_eq!(workload.exchange(server, 1_000_000).ok, 0);
    let cut = eventually("the event", || agent.events(&[("kind", "cut")]).pop());
    assert_eq!(cut["reason"], "limit-reached");
    // Less than one segment is left, or nothing.
    let last = workload.exchange(server, 200_000);
    assert_eq!(last.ok, 0, "{last:?}");
}

#[test]
fn each_identity_has_limits_of_its_own() {
    let host = host();
    let server = host.tcp_server("127.0.0.1:0", 0);
    host.make_cgroup("second");
    let subjects = ["granted", "second"].map(|name| host.cgroup_path(name));
    host.write_policy(
        "p.yaml",
        &(model("127.0.0.1/32", &server.port().to_string())
            + &format!(
                "---
apiVersion: weir.dev/v1alpha1
kind: InvocationGrant
metadata: {{name: both}}
spec:
  subjects: [{{cgroup: {}}}, {{cgroup: {}}}]
  endpoints: [model]
  purpose: a test
  limits: {{connections: {{count: 3, per: 7d}}}}
",
                subjects[0], subjects[1]
            )),
    );
    let _agent = host.agent().start();
    for name in ["granted", "second"] {
        assert_eq!(host.workload(name).connects(server, 5, 1).ok, 3, "{name}");
    }
}

#[test]
fn whoever_splits_up_has_no_more_than_before() {
    let host = host();
    let server = host.tcp_server("127.0.0.1:0", 0);
    let policy = format!(
        "---
apiVersion: weir.dev/v1alpha1
kind: InvocationGrant
metadata: {{name: limited}}
spec:
  subjects: [{{systemd: {{unit: lim.service}}}}, {{systemd: {{unit: user@7.service}}}}, {{cgroup: {}}}]
  endpoints: [model]
  purpose: a test
  limits: {{connections: {{count: 3, per: 7d}}}}
---
apiVersion: weir.dev/v1alpha1
kind: InvocationGrant
metadata: {{name: tells-users-apart}}
spec:
  subjects: [{{process: {{user: \"0\"}}}}]
  endpoints: [other]
  purpose: a test
",
        host.cgroup_path("directory")
    );
    let port = server.port().to_string();
    let other = model("192.0.2.1/32", "1").replace("name: model", "name: other");
    let other = other.split("---").next().unwrap_or_default();
    host.write_policy(
        "p.yaml",
        &[other, "---\n", &model("127.0.0.1/32", &port), &policy].concat(),
    );
    // One part is made later.
    let made = [
        "lim.service/a.service",
        "user@7.service/app.slice/x.service",
        "user@7.service/y.scope",
        "directory/x/y",
        "directory/z.service",
    ];
    for part in made {
        host.make_cgroup(part);
    }
    let agent = host.agent().start();
    for (workload, parts) in [
        (
            "lim.service",
            ["lim.service/a.service", "lim.service/new.service"],
        ),
        (
            "user@7.service",
            [
                "user@7.service/app.slice/x.service",
                "user@7.service/y.scope",
            ],
        ),
        ("directory", ["directory/x/y", "directory/z.service"]),
    ] {
        let [first, second] = parts;
        let ok = |name: &str, count: u32| host.workload(name).connects(server, count, 1).ok;
        assert_eq!(ok(first, 2), 2, "{first}");
        assert_eq!(ok(second, 2), 1, "{second}");
        assert_eq!(ok(workload, 1), 0, "{workload}");
        let cgroup = host.cgroup_path(first);
        let told = agent.json(&["explain", "--cgroup", &cgroup, "--endpoint", "model"]);
        assert_eq!(told["reason"], "limit-reached", "{told}");
        assert_eq!(told["limits"][0]["used"], 3.0, "{told}");
        let account = told["limits"][0]["account"].as_str().unwrap_or_default();
        assert!(account.ends_with(workload), "{told}");
    }
}
