//! How a policy comes into force and stays there.

use nix::sys::signal::Signal;
use weir_tests::harness::{Attempts, eventually};

use super::{grant, granted_server, host, model};

#[test]
fn a_changed_file_is_in_force_by_itself() {
    let host = host();
    let server = host.tcp_server("127.0.0.1:0", 0);
    let policy = model("127.0.0.1/32", &server.port().to_string());
    host.write_policy("p.yaml", &policy);
    let agent = host.agent().start();
    let workload = host.workload("late");
    assert_eq!(workload.connect(server), Attempts::all_refused(1));

    let granted = grant("late", &host.make_cgroup("late"), "ttl: 1h");
    host.write_policy("p.yaml", &(policy.clone() + &granted));
    eventually("the new grant", || {
        (workload.connect(server) == Attempts::all_ok(1)).then_some(())
    });
    host.write_policy("p.yaml", &policy);
    eventually("its removal", || {
        (workload.connect(server) == Attempts::all_refused(1)).then_some(())
    });
    assert!(agent.json(&["status"])["revision"].as_u64() >= Some(3));
}

#[test]
fn sighup_reads_the_files_again() {
    let host = host();
    host.write_policy("p.yaml", &model("127.0.0.1/32", "443"));
    let agent = host.agent().start();
    let before = agent.json(&["status"])["revision"]
        .as_u64()
        .expect("a number");
    agent.signal(Signal::SIGHUP);
    eventually("another revision", || {
        (agent.json(&["status"])["revision"].as_u64() > Some(before)).then_some(())
    });
}

#[test]
fn a_mistake_never_replaces_the_running_revision() {
    let host = host();
    let server = host.tcp_server("127.0.0.1:0", 0);
    let policy = model("127.0.0.1/32", &server.port().to_string());
    let granted = grant("a", &host.make_cgroup("granted"), "ttl: 1h");
    host.write_policy("p.yaml", &(policy.clone() + &granted));
    let agent = host.agent().start();

    host.write_policy("p.yaml", &(policy + "---\nkind: Nonsense\n"));
    let errors = eventually("the mistake in the status", || {
        let status = agent.json(&["status"]);
        let errors = status["policy_errors"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        (!errors.is_empty()).then_some(errors)
    });
    let text = errors
        .iter()
        .filter_map(|error| error.as_str())
        .collect::<Vec<_>>()
        .join("\n");
    assert!(text.contains("p.yaml:11:7: kind: "), "{text}");
    assert_eq!(
        host.workload("granted").connect(server),
        Attempts::all_ok(1)
    );
    assert_eq!(
        host.workload("other").connect(server),
        Attempts::all_refused(1)
    );

    // Also not over a restart.
    agent.kill();
    let agent = host.agent().start();
    assert_eq!(
        host.workload("granted").connect(server),
        Attempts::all_ok(1)
    );
    assert!(
        !agent.json(&["status"])["policy_errors"]
            .as_array()
            .expect("a list")
            .is_empty()
    );
}

#[test]
fn a_reload_under_load_never_gives_a_wrong_verdict() {
    let host = host();
    let server = granted_server(&host);
    let agent = host.agent().start();
    let (allowed, refused) = (
        host.workload("granted").busy(server),
        host.workload("other").busy(server),
    );
    for _ in 0..20 {
        let before = agent.json(&["status"])["revision"].as_u64();
        agent.signal(Signal::SIGHUP);
        eventually("another revision", || {
            (agent.json(&["status"])["revision"].as_u64() > before).then_some(())
        });
    }
    let (allowed, refused) = (allowed.stop(), refused.stop());
    assert!(
        allowed.ok > 0 && refused.refused > 0,
        "{allowed:?} {refused:?}"
    );
    assert_eq!((allowed.refused, refused.ok), (0, 0));
}

#[test]
fn check_works_without_an_agent_and_tells_every_mistake() {
    let host = host();
    let agent = host.agent().start();
    host.write_policy("good.yaml", &model("127.0.0.1/32", "443"));
    let directory = host.path("policy.d").display().to_string();
    let good = agent.weir(&["policy", "check", &directory]).expect(0);
    assert_eq!(good.stdout, "2 objects in 1 files are valid\n");

    let bad = host.path("bad.yaml");
    let text = "apiVersion: weir.dev/v1alpha1
kind: InvocationGrant
metadata: {name: x}
spec: {subjects: [], endpoints: [opnai], purpose: \"\", ttl: 8h}
";
    std::fs::write(&bad, text).expect("a file");
    let bad = bad.display().to_string();
    let found = agent.weir(&["policy", "check", &bad]).expect(1);
    assert!(
        found
            .stdout
            .contains(&format!("{bad}:4:18: spec.subjects: ")),
        "{}",
        found.stdout
    );
    assert!(
        found.stdout.contains("spec.purpose: must not be blank"),
        "{}",
        found.stdout
    );
    agent
        .weir(&["policy", "check", "/nonexistent.yaml"])
        .expect(2);
}

#[test]
fn every_example_of_the_documentation_is_valid() {
    let host = host();
    let agent = host.agent().start();
    let documents = [
        include_str!("../../../docs/policy.md"),
        include_str!("../../../README.md"),
    ];
    let mut n_examples = 0;
    for text in documents {
        for example in text.split("```yaml\n").skip(1) {
            let (example, _) = example.split_once("```").expect("an end");
            // Names of examples stand for what a reader has.
            let file = host.path("example.yaml");
            std::fs::write(&file, example).expect("a file");
            agent
                .weir(&["policy", "check", &file.display().to_string()])
                .expect(0);
            n_examples += 1;
        }
    }
    assert!(n_examples >= 5, "{n_examples} examples");
}
