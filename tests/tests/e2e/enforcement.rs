//! Who gets through and who does not.

use weir_tests::harness::{Attempts, eventually};

use super::{grant, granted_server, host, model};

#[test]
fn a_granted_workload_connects_and_another_is_refused_with_eperm() {
    let host = host();
    let server = granted_server(&host);
    let agent = host.agent().start();

    assert_eq!(
        host.workload("granted").connect(server),
        Attempts::all_ok(1)
    );
    assert_eq!(
        host.workload("other").connect(server),
        Attempts::all_refused(1)
    );

    let refusal = eventually("the event", || agent.events(&[("verdict", "deny")]).pop());
    assert_eq!(refusal["reason"], "no-grant");
    assert_eq!(refusal["endpoint"], "model");
    assert_eq!(
        refusal["identity"],
        format!("cgroup:{}", host.cgroup_path("other"))
    );
}

#[test]
fn every_spelling_of_an_address_is_refused_alike() {
    let host = host();
    let server = host.tcp_server("[::]:4443", 0);
    host.write_policy("p.yaml", &model("127.0.0.1/32, \"::1/128\"", "4443"));
    let _agent = host.agent().start();
    let workload = host.workload("other");
    assert_eq!(server.port(), 4443);
    for spelling in [
        "127.0.0.1:4443",
        "[::1]:4443",
        "[::ffff:127.0.0.1]:4443",
        "0.0.0.0:4443",
        "[::]:4443",
        "[::ffff:0.0.0.0]:4443",
    ] {
        let address = spelling.parse().expect("an address");
        assert_eq!(
            workload.connect(address),
            Attempts::all_refused(1),
            "{spelling}"
        );
    }
}

#[test]
fn another_port_of_the_same_address_is_not_the_endpoint() {
    let host = host();
    let server = host.tcp_server("127.0.0.1:0", 0);
    host.write_policy("p.yaml", &model("127.0.0.1/32", "443"));
    let _agent = host.agent().start();
    assert_eq!(host.workload("other").connect(server), Attempts::all_ok(1));
}

#[test]
fn datagrams_and_udp_connects_are_refused() {
    let host = host();
    let (_socket, server) = host.udp_server("127.0.0.1:0");
    let policy = model("127.0.0.1/32", &server.port().to_string());
    let granted = grant("a", &host.make_cgroup("granted"), "ttl: 1h");
    host.write_policy("p.yaml", &(policy + &granted));
    let agent = host.agent().start();

    let other = host.workload("other");
    assert_eq!(other.datagrams(server, 5), Attempts::all_refused(5));
    assert_eq!(other.udp_connect(server), Attempts::all_refused(1));
    let granted = host.workload("granted");
    assert_eq!(granted.datagrams(server, 3), Attempts::all_ok(3));
    assert_eq!(granted.udp_connect(server), Attempts::all_ok(1));

    let identity = format!("cgroup:{}", host.cgroup_path("other"));
    assert_eq!(agent.usage("identity", &[&identity], "datagrams_denied"), 5);
    assert_eq!(
        agent.usage("identity", &[&identity], "connections_denied"),
        1
    );
}

#[test]
fn a_nested_child_cgroup_has_its_parents_rights() {
    let host = host();
    let server = granted_server(&host);
    let _agent = host.agent().start();

    assert_eq!(
        host.workload("granted/deep/deeper").connect(server),
        Attempts::all_ok(1)
    );
    assert_eq!(
        host.workload("grantedly").connect(server),
        Attempts::all_refused(1)
    );
}

#[test]
fn two_workloads_at_once_have_their_own_verdicts() {
    let host = host();
    let server = granted_server(&host);
    let _agent = host.agent().start();
    let (granted, other) = (host.workload("granted"), host.workload("other"));

    let (allowed, refused) = (granted.busy(server), other.busy(server));
    assert_eq!(
        host.workload("third").connects(server, 50, 2),
        Attempts::all_refused(100)
    );
    let (allowed, refused) = (allowed.stop(), refused.stop());
    assert!(
        allowed.ok > 0 && refused.refused > 0,
        "{allowed:?} {refused:?}"
    );
    assert_eq!((allowed.refused, refused.ok), (0, 0));
}

#[test]
fn a_grant_ends_while_everything_runs() {
    let host = host();
    let server = host.tcp_server("127.0.0.1:0", 0);
    let policy = model("127.0.0.1/32", &server.port().to_string());
    let short = grant("short", &host.make_cgroup("granted"), "ttl: 2s");
    host.write_policy("p.yaml", &(policy + &short));
    let agent = host.agent().start();
    let workload = host.workload("granted");

    assert_eq!(workload.connect(server), Attempts::all_ok(1));
    eventually("the end of the grant", || {
        (workload.connect(server) == Attempts::all_refused(1)).then_some(())
    });
    let refusal = eventually("the event", || agent.events(&[("verdict", "deny")]).pop());
    assert_eq!(
        (&refusal["reason"], &refusal["rule"]),
        (&"expired".into(), &"short".into())
    );
}

#[test]
fn a_grant_ends_without_an_agent() {
    let host = host();
    let server = host.tcp_server("127.0.0.1:0", 0);
    let policy = model("127.0.0.1/32", &server.port().to_string());
    let short = grant("short", &host.make_cgroup("granted"), "ttl: 2s");
    host.write_policy("p.yaml", &(policy + &short));
    let agent = host.agent().start();
    let workload = host.workload("granted");

    assert_eq!(workload.connect(server), Attempts::all_ok(1));
    agent.kill();
    eventually("the end of the grant", || {
        (workload.connect(server) == Attempts::all_refused(1)).then_some(())
    });
}

#[test]
fn a_deny_rule_wins_over_a_grant() {
    let host = host();
    let server = granted_server(&host);
    let agent = host.agent().start();
    let workload = host.workload("granted");
    assert_eq!(workload.connect(server), Attempts::all_ok(1));

    let add = [
        "deny",
        "add",
        "freeze",
        "--any",
        "--endpoint",
        "model",
        "--reason",
        "leak",
    ];
    assert_eq!(agent.weir(&add).expect(0).stdout, "added freeze\n");
    assert_eq!(workload.connect(server), Attempts::all_refused(1));
    agent.weir(&["deny", "remove", "freeze"]).expect(0);
    assert_eq!(workload.connect(server), Attempts::all_ok(1));
}

#[test]
fn a_denied_network_is_refused_to_those_it_names_and_no_others() {
    let host = host();
    let server = host.tcp_server("127.7.0.1:0", 0);
    let cgroup = host.make_cgroup("named");
    let agent = host.agent().start();
    let add = [
        "deny",
        "add",
        "net",
        "--cgroup",
        &cgroup,
        "--cidr",
        "127.7.0.0/16",
        "--reason",
        "x",
    ];
    agent.weir(&add).expect(0);
    assert_eq!(
        host.workload("named").connect(server),
        Attempts::all_refused(1)
    );
    assert_eq!(host.workload("other").connect(server), Attempts::all_ok(1));
}

#[test]
fn a_denied_ipv6_network_does_not_reach_into_ipv4() {
    let host = host();
    let four = host.tcp_server("127.0.0.1:0", 0);
    let six = host.tcp_server("[::1]:0", 0);
    let deny = "---
apiVersion: weir.dev/v1alpha1
kind: EgressDeny
metadata: {name: six}
spec: {subjects: [{any: true}], cidrs: [\"::/0\"], reason: a test}
";
    host.write_policy("p.yaml", &(model("192.0.2.0/24", "443") + deny));
    let _agent = host.agent().start();
    let workload = host.workload("other");
    assert_eq!(workload.connect(six), Attempts::all_refused(1));
    assert_eq!(workload.connect(four), Attempts::all_ok(1));
}

/// Everything that `enforce` refuses above, in the modes that refuse nothing.
fn refuses_nothing(mode: &'static str, verdict: &str) {
    let host = host();
    let server = host.tcp_server("[::]:4443", 0);
    let (_socket, udp) = host.udp_server("127.0.0.1:4444");
    let policy = model("127.0.0.0/8, \"::1/128\"", "4443, 4444");
    let ended = grant(
        "ended",
        &host.make_cgroup("ended"),
        "notAfter: 2020-01-01T00:00:00Z",
    );
    let deny = "---
apiVersion: weir.dev/v1alpha1
kind: EgressDeny
metadata: {name: net}
spec: {subjects: [{any: true}], cidrs: [127.9.0.0/16], reason: a test}
";
    host.write_policy("p.yaml", &(policy + &ended + deny));
    let agent = host.agent().mode(mode).start();

    let other = host.workload("other");
    for address in [
        "127.0.0.1:4443",
        "[::1]:4443",
        "[::ffff:127.0.0.1]:4443",
        "127.9.0.1:4443",
    ] {
        let address = address.parse().expect("an address");
        assert_eq!(other.connect(address), Attempts::all_ok(1), "{address}");
    }
    assert_eq!(other.datagrams(udp, 2), Attempts::all_ok(2));
    assert_eq!(other.udp_connect(udp), Attempts::all_ok(1));
    let short = "127.0.0.1:4443".parse().expect("an address");
    assert_eq!(host.workload("ended").connect(short), Attempts::all_ok(1));
    assert_eq!(server.port(), 4443);

    for reason in ["no-grant", "expired", "denied-by-rule"] {
        let fields = [("verdict", verdict), ("reason", reason)];
        eventually(reason, || agent.events(&fields).pop());
    }
    assert!(agent.events(&[("verdict", "deny")]).is_empty());
}

#[test]
fn observe_refuses_nothing_whatever_the_policy() {
    refuses_nothing("observe", "allow");
}

#[test]
fn shadow_refuses_nothing_and_tells_what_it_would() {
    refuses_nothing("shadow", "would-deny");
}
