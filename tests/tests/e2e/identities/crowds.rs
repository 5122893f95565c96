//! Workloads that make cgroups without end: others keep their names, and rules their room.

use weir_tests::harness::{Attempts, eventually};

use super::{grant_for, host, live, model};

const MOST: usize = 1_024;
const MANY: usize = 3_000;

#[test]
fn a_flood_of_cgroups_takes_no_name_from_anybody_else() {
    let host = host();
    let server = host.tcp_server("127.0.0.1:0", 0);
    let subjects = ["systemd: {unit: granted.service}".to_owned()];
    let denied = "---
apiVersion: weir.dev/v1alpha1
kind: EgressDeny
metadata: {name: bad}
spec:
  subjects: [{systemd: {unit: bad.service}}]
  endpoints: [model]
  reason: a test
";
    let policy = model("127.0.0.1/32", &server.port().to_string());
    host.write_policy("p.yaml", &(policy + &grant_for(&subjects) + denied));
    host.make_cgroup("flood");
    host.make_cgroup("plain.service");
    let agent = host.agent().start();
    for index in 0..MANY {
        host.make_cgroup(&format!("flood/d{index}"));
        host.make_cgroup(&format!("plain.service/{index}.service"));
    }
    // Whoever comes now has its name, and its rules.
    let granted = host.workload("granted.service");
    eventually("the grant", || {
        (granted.connect(server) == Attempts::all_ok(1)).then_some(())
    });
    let bad = host.workload("bad.service");
    eventually("its name", || {
        live(&agent)
            .contains(&"unit:bad.service".to_owned())
            .then_some(())
    });
    assert_eq!(bad.connect(server), Attempts::all_refused(1));
    let names = live(&agent);
    let n_of_flood = names.iter().filter(|name| name.contains("/flood/")).count();
    assert!(n_of_flood <= MOST, "{n_of_flood}");
    // The kernel finds out what the rest is, and a change of policy has room.
    let rest = host.workload("flood/d2999");
    assert_eq!(rest.connect(server), Attempts::all_refused(1));
    let event = eventually("its event", || {
        let refused = agent.events(&[("verdict", "deny")]);
        let of_rest =
            |event: &serde_json::Value| event["identity"].to_string().ends_with("/flood\"");
        refused.into_iter().find(of_rest)
    });
    assert_eq!(event["reason"], "no-grant", "{event}");
    agent
        .weir(&[
            "grant",
            "revoke",
            "--identity",
            "unit:granted.service",
            "--all",
            "--why",
            "x",
        ])
        .expect(0);
    assert_eq!(granted.connect(server), Attempts::all_refused(1));
    let status = agent.weir(&["status"]).expect(0).stdout;
    assert!(
        status.contains("has made more than 1024 cgroups"),
        "{status}"
    );
    assert!(!status.contains("identity-map-full"), "{status}");
}
