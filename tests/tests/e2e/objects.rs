//! Objects made over the API, through the command line as people use it.

use weir_tests::harness::{Attempts, eventually};

use super::{closed_server, host, model};

#[test]
fn a_grant_is_in_force_when_issue_returns_and_gone_when_revoke_returns() {
    let host = host();
    let server = closed_server(&host);
    let agent = host.agent().start();
    let workload = host.workload("task");
    let cgroup = host.make_cgroup("task");
    let issue = [
        "grant",
        "issue",
        "task",
        "--cgroup",
        &cgroup,
        "--endpoint",
        "model",
        "--purpose",
        "t",
        "--ttl",
        "1h",
    ];

    let issued = agent.weir(&issue).expect(0);
    assert!(
        issued.stdout.starts_with("issued task, until 20"),
        "{issued:?}"
    );
    assert_eq!(workload.connect(server), Attempts::all_ok(1));
    let again = agent.weir(&issue).expect(2);
    assert_eq!(
        again.stderr,
        "weir: the name `task` is taken by another InvocationGrant (api)\n"
    );
    let revoked = agent
        .weir(&["grant", "revoke", "task", "--why", "done"])
        .expect(0);
    assert_eq!(revoked.stdout, "revoked task\n");
    assert_eq!(workload.connect(server), Attempts::all_refused(1));

    let list = agent.json(&["grant", "list", "--all"]);
    let grant = &list["grants"][0];
    assert_eq!(
        (&grant["state"], &grant["revoked_why"]),
        (&"revoked".into(), &"done".into())
    );
    let none = agent.weir(&["grant", "list"]).expect(0).stdout;
    assert_eq!(
        none,
        "no grants: `weir grant issue --help` shows how to issue one\n"
    );
}

#[test]
fn a_grant_that_is_over_can_be_issued_again() {
    let host = host();
    host.write_policy("p.yaml", &model("127.0.0.1/32", "443"));
    let agent = host.agent().start();
    let issue = [
        "grant",
        "issue",
        "daily",
        "--any",
        "--endpoint",
        "model",
        "--purpose",
        "t",
        "--ttl",
        "1s",
    ];
    agent.weir(&issue).expect(0);
    eventually("its end", || {
        let list = agent.json(&["grant", "list", "--all"]);
        (list["grants"][0]["state"] == "expired").then_some(())
    });
    agent.weir(&issue).expect(0);
    agent
        .weir(&["grant", "revoke", "daily", "--why", "x"])
        .expect(0);
    let longer: Vec<_> = issue[..9].iter().copied().chain(["1h"]).collect();
    agent.weir(&longer).expect(0);
    let grant = agent.json(&["grant", "list"])["grants"][0].clone();
    assert_eq!(grant["state"], "active", "{grant}");
}

#[test]
fn issued_grants_survive_a_restart() {
    let host = host();
    let server = closed_server(&host);
    let agent = host.agent().start();
    let cgroup = host.make_cgroup("task");
    let issue = [
        "grant",
        "issue",
        "task",
        "--cgroup",
        &cgroup,
        "--endpoint",
        "model",
        "--purpose",
        "t",
        "--ttl",
        "1h",
    ];
    agent.weir(&issue).expect(0);
    let before = agent.json(&["grant", "list"])["grants"][0]["not_after"].clone();
    agent.stop();
    let agent = host.agent().start();
    let after = agent.json(&["grant", "list"])["grants"][0]["not_after"].clone();
    assert_eq!(before, after, "the end does not move");
    assert_eq!(host.workload("task").connect(server), Attempts::all_ok(1));
}

#[test]
fn apply_diff_show_and_remove_work_on_files() {
    let host = host();
    let agent = host.agent().start();
    let file = host.path("team.yaml");
    std::fs::write(&file, model("127.0.0.1/32", "443")).expect("a file");
    let file = file.display().to_string();

    let diff = agent.weir(&["policy", "diff", &file]).expect(1).stdout;
    assert!(
        diff.starts_with("+ ModelEndpoint model\n+ Posture closed\nanybody else loses "),
        "{diff}"
    );
    let applied = agent.weir(&["policy", "apply", &file]).expect(0).stdout;
    assert!(applied.ends_with("revision 2 is in force\n"), "{applied}");
    assert_eq!(
        agent.weir(&["policy", "diff", &file]).expect(0).stdout,
        "no change\n"
    );
    let shown = agent.weir(&["policy", "show"]).expect(0).stdout;
    assert!(shown.contains("name: closed"), "{shown}");
    agent
        .weir(&["policy", "remove", "Posture", "closed"])
        .expect(0);
    let diff = agent.weir(&["policy", "diff", &file]).expect(1).stdout;
    assert!(
        diff.starts_with("+ Posture closed\nanybody else loses "),
        "{diff}"
    );
}

#[test]
fn an_object_of_a_file_is_changed_in_the_file() {
    let host = host();
    host.write_policy("p.yaml", &model("127.0.0.1/32", "443"));
    let agent = host.agent().start();
    let refused = agent
        .weir(&["policy", "remove", "Posture", "closed"])
        .expect(2);
    let path = host.path("policy.d/p.yaml").display().to_string();
    let expected = format!("weir: Posture `closed` stands in {path}: change it there\n");
    assert_eq!(refused.stderr, expected);
}

#[test]
fn explain_tells_what_the_kernel_did_and_how_to_change_it() {
    let host = host();
    let server = closed_server(&host);
    let agent = host.agent().start();
    assert_eq!(
        host.workload("other").connect(server),
        Attempts::all_refused(1)
    );
    let event = eventually("the event", || agent.events(&[("verdict", "deny")]).pop());

    let id = event["id"].to_string();
    let cgroup = host.cgroup_path("other");
    let by_event = agent.weir(&["explain", "--event", &id]).expect(1).stdout;
    let suggestion = format!("weir grant issue NAME --cgroup {cgroup} --endpoint model ");
    assert!(
        by_event.contains("verdict   deny (no-grant) in mode enforce"),
        "{by_event}"
    );
    assert!(by_event.contains(&suggestion), "{by_event}");
    let address = server.to_string();
    let by_address = ["explain", "--cgroup", &cgroup, "--address", &address];
    assert_eq!(agent.json(&by_address)["reason"], "no-grant");
    let by_endpoint = ["explain", "--cgroup", &cgroup, "--endpoint", "openai"];
    agent.weir(&by_endpoint).expect(1);
    agent
        .weir(&["explain", "--pid", "4194304", "--endpoint", "openai"])
        .expect(2);
}

#[test]
fn endpoints_are_listed_and_matched_with_their_source() {
    let host = host();
    host.write_policy("p.yaml", &model("127.0.0.1/32", "443"));
    let agent = host.agent().start();
    let found = agent
        .weir(&["endpoints", "match", "API.OpenAI.com."])
        .expect(0)
        .stdout;
    assert!(
        found.starts_with("endpoint  openai\nprovider  openai\nplane     invoke\n"),
        "{found}"
    );
    agent.weir(&["endpoints", "match", "example.org"]).expect(1);
    let list = agent.json(&["endpoints", "list"]);
    let endpoints = list["endpoints"].as_array().expect("a list");
    let providers: std::collections::BTreeSet<_> = endpoints
        .iter()
        .filter_map(|endpoint| endpoint["provider"].as_str())
        .collect();
    assert!(providers.len() >= 25, "{} providers", providers.len());
    let model = endpoints
        .iter()
        .find(|endpoint| endpoint["name"] == "model")
        .expect("model");
    let source = format!("{}:1", host.path("policy.d/p.yaml").display());
    assert_eq!(model["source"], source);
}
