//! Nobody whom a rule concerns changes policy, whatever it runs there.

use std::fs;

use super::super::{host, model};

/// Asks for a grant of `model` for a cgroup.
const fn issuing(cgroup: &str) -> [&str; 11] {
    [
        "grant",
        "issue",
        "own",
        "--cgroup",
        cgroup,
        "--endpoint",
        "model",
        "--purpose",
        "x",
        "--ttl",
        "1h",
    ]
}

#[test]
fn a_rule_for_some_processes_of_a_workload_governs_all_of_it() {
    let host = host();
    let server = host.tcp_server("127.0.0.1:0", 0);
    let [by_exe, by_user, denied, free] =
        ["by-exe", "by-user", "denied", "free"].map(|name| host.make_cgroup(name));
    let rules = format!(
        "---
apiVersion: weir.dev/v1alpha1
kind: InvocationGrant
metadata: {{name: by-exe}}
spec:
  subjects: [{{cgroup: {by_exe}, process: {{exe: {}}}}}]
  endpoints: [model]
  purpose: a test
---
apiVersion: weir.dev/v1alpha1
kind: Posture
metadata: {{name: by-user}}
spec:
  subjects: [{{cgroup: {by_user}, process: {{user: \"0\"}}}}]
  ungranted: deny
---
apiVersion: weir.dev/v1alpha1
kind: EgressDeny
metadata: {{name: denied}}
spec:
  subjects: [{{cgroup: {denied}}}]
  endpoints: [model]
  reason: a test
",
        host.client()
    );
    let policy = model("127.0.0.1/32", &server.port().to_string());
    host.write_policy("p.yaml", &(policy + &rules));
    let agent = host.agent().start();
    let etc = host.path("etc");
    fs::create_dir_all(&etc).expect("a directory");
    let inside = |name: &str, args: &[&str]| {
        let line = agent.command_line(args);
        host.workload(name).run_program(&etc, &line, &[], "")
    };
    for (name, rule, cgroup) in [
        ("by-exe", "InvocationGrant `by-exe`", &by_exe),
        ("by-user", "Posture `by-user`", &by_user),
        ("denied", "EgressDeny `denied`", &denied),
    ] {
        let issue = issuing(cgroup);
        let refused = inside(name, &issue);
        let said = format!("is governed by {rule}");
        assert!(refused.stderr.contains(&said), "{name}: {refused:?}");
        let run = [
            "run",
            "--endpoint",
            "model",
            "--purpose",
            "x",
            "--ttl",
            "1m",
            "--",
            "true",
        ];
        let refused = inside(name, &run);
        assert_ne!(refused.code, Some(0), "{name}: {refused:?}");
        let removed = inside(name, &["deny", "remove", "denied"]);
        assert!(removed.stderr.contains(&said), "{name}: {removed:?}");
    }
    let issue = issuing(&free);
    let line = [
        vec!["unshare".to_owned(), "--user".to_owned()],
        agent.command_line(&issue),
    ];
    let elsewhere = host
        .workload("free")
        .run_program(&etc, &line.concat(), &[], "");
    let said = "in a user namespace of its own";
    assert!(elsewhere.stderr.contains(said), "{elsewhere:?}");
    let issued = inside("free", &issue);
    assert_eq!(issued.code, Some(0), "{issued:?}");
}
