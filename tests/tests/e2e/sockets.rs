//! Sockets that are neither TCP nor UDP.

use weir_tests::harness::{Agent, Host, eventually};

use super::{host, model};

/// Asks for one socket of each kind and prints what came of it.
const ASK: &str = "
import socket
for name, kind in [
    ('raw', (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)),
    ('raw6', (socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_TCP)),
    ('udplite', (socket.AF_INET, socket.SOCK_DGRAM, 136)),
    ('tcp', (socket.AF_INET, socket.SOCK_STREAM, 0)),
    ('udp', (socket.AF_INET6, socket.SOCK_DGRAM, 0)),
    ('ping', (socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)),
    ('unix', (socket.AF_UNIX, socket.SOCK_STREAM, 0)),
]:
    try:
        socket.socket(*kind)
        print(name, 'made')
    except OSError as error:
        print(name, error.errno)
";

fn ask(host: &Host, workload: &str) -> Vec<String> {
    let line = ["python3", "-c", ASK].map(ToOwned::to_owned);
    let etc = host.path("etc");
    std::fs::create_dir_all(&etc).expect("a directory");
    let ran = host.workload(workload).run_program(&etc, &line, &[], "");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.stdout.lines().map(ToOwned::to_owned).collect()
}

fn told(host: &Host, agent: &Agent, workload: &str, n: usize) -> Vec<(String, String)> {
    let identity = format!("cgroup:{}", host.cgroup_path(workload));
    let fields = [("kind", "socket"), ("identity", identity.as_str())];
    let events = eventually("the events", || {
        let events = agent.events(&fields);
        (events.len() == n).then_some(events)
    });
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mut told: Vec<_> = events
        .iter()
        .map(|event| {
            assert_eq!(event["reason"], "raw-socket", "{event}");
            (text(&event["address"]), text(&event["verdict"]))
        })
        .collect();
    told.sort();
    told
}

/// A ping socket depends on a setting of the kernel.
fn without_ping(lines: Vec<String>) -> Vec<String> {
    let lines = lines.into_iter();
    lines.filter(|line| !line.starts_with("ping")).collect()
}

#[test]
fn what_nothing_can_judge_is_refused_when_it_is_asked_for() {
    let host = host();
    let free = format!(
        "---
apiVersion: weir.dev/v1alpha1
kind: Posture
metadata: {{name: routers}}
spec: {{subjects: [{{cgroup: {}}}], ungranted: deny, rawSockets: allow}}
",
        host.make_cgroup("router")
    );
    host.write_policy("p.yaml", &(model("127.0.0.1/32", "443") + &free));
    let made = ["raw", "raw6", "udplite", "tcp", "udp", "unix"];
    let made = made.map(|name| format!("{name} made")).to_vec();
    assert_eq!(without_ping(ask(&host, "other")), made, "without an agent");
    let agent = host.agent().start();
    let mut refused = made.clone();
    for line in &mut refused[..3] {
        *line = line.replace("made", "1");
    }
    let asked = ask(&host, "other");
    assert!(!asked.contains(&"ping 1".to_owned()), "{asked:?}");
    assert_eq!(without_ping(asked), refused);
    let told = told(&host, &agent, "other", 3);
    let expected = [
        ("ipv4 raw, protocol 17", "deny"),
        ("ipv4, protocol 136", "deny"),
        ("ipv6 raw, protocol 6", "deny"),
    ];
    let expected = expected.map(|(what, verdict)| (what.to_owned(), verdict.to_owned()));
    assert_eq!(told, expected);
    assert_eq!(without_ping(ask(&host, "router")), made);
    agent.kill();
    assert_eq!(
        without_ping(ask(&host, "other")),
        refused,
        "without an agent"
    );
}

#[test]
fn an_observing_agent_refuses_no_socket_and_names_who_asked() {
    let host = host();
    host.write_policy("p.yaml", &model("127.0.0.1/32", "443"));
    let agent = host.agent().mode("observe").start();
    let asked = ask(&host, "other");
    assert!(asked.iter().all(|line| !line.ends_with(" 1")), "{asked:?}");
    let told = told(&host, &agent, "other", 3);
    assert!(
        told.iter().all(|(_, verdict)| verdict == "allow"),
        "{told:?}"
    );
}
