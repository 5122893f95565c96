//! Postures in a mode of their own, on a host that enforces.

use std::net::SocketAddr;

use weir_tests::harness::{Agent, Attempts, Host, eventually};

use super::{grant, host, model};

/// The model's server, which nobody may call; `trial` is under a posture of its own in `mode`.
fn write(host: &Host, server: SocketAddr, mode: &str, rest: &str) {
    let trial = format!(
        "---
apiVersion: weir.dev/v1alpha1
kind: Posture
metadata: {{name: trial}}
spec: {{subjects: [{{cgroup: {}}}], mode: {mode}, ungranted: deny}}
",
        host.cgroup_path("trial")
    );
    let closed = model("127.0.0.1/32", &server.port().to_string());
    host.write_policy("p.yaml", &(closed + &trial + rest));
}

fn stage(mode: &str, rest: &str) -> (Host, SocketAddr) {
    let host = host();
    let server = host.tcp_server("127.0.0.1:0", 0);
    host.make_cgroup("trial");
    write(&host, server, mode, rest);
    (host, server)
}

/// Verdict and reason of the newest connection of `trial`.
fn newest(host: &Host, agent: &Agent, verdict: &str) -> String {
    let identity = format!("cgroup:{}", host.cgroup_path("trial"));
    let fields = [("identity", identity.as_str()), ("verdict", verdict)];
    let event = eventually("the event", || agent.events(&fields).pop());
    event["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn what_a_posture_in_shadow_mode_would_refuse_goes_through_and_is_counted() {
    let (host, server) = stage("shadow", "");
    let agent = host.agent().start();
    let trial = host.workload("trial");
    assert_eq!(trial.connects(server, 3, 1), Attempts::all_ok(3));
    assert_eq!(
        host.workload("other").connect(server),
        Attempts::all_refused(1)
    );
    assert_eq!(newest(&host, &agent, "would-deny"), "no-grant");
    let identity = format!("cgroup:{}", host.cgroup_path("trial"));
    eventually("the count", || {
        let counted = agent.usage("identity", &[&identity], "connections_would_deny");
        (counted == 3).then_some(())
    });
    let explained = agent.json_of(&[
        "explain",
        "--identity",
        &identity,
        "--endpoint",
        "model",
        "--json",
    ]);
    assert_eq!(explained["verdict"], "would-deny", "{explained}");
    assert_eq!(explained["posture_name"], "trial", "{explained}");
    assert_eq!(explained["posture_mode"], "shadow", "{explained}");
    // What it comes to, before it is enforced.
    let rehearsed = agent.weir(&["policy", "diff", "--against", "enforce"]);
    assert!(rehearsed.stdout.contains(&identity), "{rehearsed:?}");
}

#[test]
fn a_deny_rule_refuses_in_shadow_mode_too() {
    let (host, server) = stage("shadow", "");
    let rule = format!(
        "---
apiVersion: weir.dev/v1alpha1
kind: EgressDeny
metadata: {{name: never}}
spec: {{subjects: [{{cgroup: {}}}], endpoints: [model], reason: a test}}
",
        host.cgroup_path("trial")
    );
    write(&host, server, "shadow", &rule);
    let agent = host.agent().start();
    assert_eq!(
        host.workload("trial").connect(server),
        Attempts::all_refused(1)
    );
    assert_eq!(newest(&host, &agent, "deny"), "denied-by-rule");
}

#[test]
fn a_limit_does_not_refuse_in_shadow_mode() {
    let host = host();
    let server = host.tcp_server("127.0.0.1:0", 0);
    let cgroup = host.make_cgroup("trial");
    let limits = "limits: {connections: {count: 2, per: 7d}, bytesPerDay: 100kB}";
    write(&host, server, "shadow", &grant("a", &cgroup, limits));
    let agent = host.agent().start();
    let trial = host.workload("trial");
    assert_eq!(trial.connects(server, 5, 1), Attempts::all_ok(5));
    assert_eq!(trial.exchange(server, 500_000), Attempts::all_ok(1));
    assert_eq!(newest(&host, &agent, "would-deny"), "limit-reached");
}

#[test]
fn connections_end_when_their_posture_is_enforced_and_not_before() {
    let (host, server) = stage("observe", "");
    let agent = host.agent().start();
    let trial = host.workload("trial");
    assert_eq!(trial.connect(server), Attempts::all_ok(1));
    assert_eq!(newest(&host, &agent, "allow"), "default-allow");
    let revision = || agent.json(&["status"])["revision"].clone();
    let before = revision();
    write(&host, server, "shadow", "");
    eventually("the next policy", || (revision() != before).then_some(()));
    let held = trial.hold(server, 3);
    write(&host, server, "enforce", "");
    eventually("the end of all", || {
        let refused = &agent.json(&["status"])["refused"];
        (refused["ended"].as_u64() >= Some(3)).then_some(())
    });
    assert_eq!(held.stop(), Attempts::all_refused(3));
    assert_eq!(trial.connect(server), Attempts::all_refused(1));
}
