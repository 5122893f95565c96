//! Help with giving no more than is used: suggestions, tests of policies, what a change would do.

use std::fs;

use weir_tests::harness::{Attempts, eventually};

use super::{closed_server, grant, host, model};

const OPEN: &str = "---
apiVersion: weir.dev/v1alpha1
kind: Posture
metadata: {name: open}
spec: {default: true, ungranted: allow}
";

#[test]
fn a_suggestion_entitles_to_what_was_done_and_passes_the_check() {
    let host = host();
    let server = host.tcp_server("127.0.0.1:0", 0);
    let closed = model("127.0.0.1/32", &server.port().to_string());
    let endpoint = closed.split("---").next().expect("an endpoint").to_owned();
    host.write_policy("p.yaml", &format!("{endpoint}{OPEN}"));
    let agent = host.agent().start();
    let batch = host.workload("batch");
    assert_eq!(batch.connects(server, 3, 1), Attempts::all_ok(3));
    let identity = format!("cgroup:{}", host.cgroup_path("batch"));
    let suggest = ["grant", "suggest", "--identity", &identity];
    let text = eventually("the evidence", || {
        let output = agent.weir(&suggest);
        let is_complete = output.stdout.contains("model: 3 calls");
        is_complete.then_some(output.stdout)
    });
    let path = host.path("suggestion.yaml");
    fs::write(&path, &text).expect("written");
    let policy = host.path("policy.d").display().to_string();
    let path = path.display().to_string();
    let checked = host.weir(&["policy", "check", &policy, &path]);
    assert!(checked.is(0), "{checked:?}\n{text}");

    // It holds once nothing is allowed without a grant.
    host.write_policy("p.yaml", &closed);
    eventually("the closed posture", || {
        batch
            .connect(server)
            .eq(&Attempts::all_refused(1))
            .then_some(())
    });
    agent.weir(&["policy", "apply", &path]).expect(0);
    assert_eq!(batch.connect(server), Attempts::all_ok(1));
    assert_eq!(
        host.workload("other").connect(server),
        Attempts::all_refused(1)
    );
    let nobody = agent
        .weir(&["grant", "suggest", "--identity", "unit:none.service"])
        .expect(2);
    assert_eq!(
        nobody.stderr,
        "weir: no identity `unit:none.service`; `weir identities` lists all\n"
    );
}

#[test]
fn a_diff_says_who_gains_and_who_loses_and_leaves_nothing_behind() {
    let host = host();
    closed_server(&host);
    let before = fs::read_to_string(host.path("policy.d/p.yaml")).expect("a policy");
    let (a, b) = (host.make_cgroup("a"), host.make_cgroup("b"));
    host.write_policy("p.yaml", &(before.clone() + &grant("moved", &a, "ttl: 1h")));
    let agent = host.agent().start();
    eventually("both identities", || {
        let list = agent.weir(&["identities"]).stdout;
        (list.contains(&a) && list.contains(&b)).then_some(())
    });
    let checkout = host.path("checkout");
    fs::create_dir(&checkout).expect("a directory");
    let moved = before + &grant("moved", &b, "ttl: 1h");
    fs::write(checkout.join("p.yaml"), moved).expect("written");
    let checkout = checkout.display().to_string();

    let diff = agent.weir(&["policy", "diff", &checkout]).expect(1).stdout;
    let expected = format!(
        "~ InvocationGrant moved (spec.subjects)\n\
         cgroup:{a} loses model (no-grant)\n\
         cgroup:{b} gains model (granted by moved)\n"
    );
    assert_eq!(diff, expected);
    let whole = agent.weir(&["policy", "diff", "--whole", &checkout]);
    assert_eq!(whole.expect(1).stdout, expected);
    let list = agent.weir(&["grant", "list"]).expect(0).stdout;
    assert!(list.contains(&a), "{list}");
    let policy = host.path("policy.d").display().to_string();
    let same = agent
        .weir(&["policy", "diff", "--whole", &policy])
        .expect(0);
    assert_eq!(same.stdout, "no change\n");
}

#[test]
fn what_was_recorded_says_what_enforce_would_have_refused() {
    let host = host();
    let server = closed_server(&host);
    let agent = host.agent().mode("observe").start();
    let workload = host.workload("other");
    assert_eq!(workload.connects(server, 3, 1), Attempts::all_ok(3));
    let against = ["policy", "diff", "--against", "enforce"];
    let found = agent.weir(&against).expect(1).stdout;
    let cgroup = host.cgroup_path("other");
    let row = found.lines().find(|line| line.contains(&cgroup));
    let cells: Vec<_> = row.expect("a row").split_whitespace().collect();
    assert_eq!(cells[1..5], ["model", "no-grant", "-", "3"], "{found}");
    let sum = "enforce would refuse 3 of 3 calls that went through since 7d\n";
    assert!(found.ends_with(sum), "{found}");

    let file = host.path("new.yaml").display().to_string();
    fs::write(&file, grant("new", &cgroup, "ttl: 1h")).expect("written");
    let with = [&against[..], &[file.as_str()]].concat();
    let sum = "enforce would refuse 0 of 3 calls that went through since 7d\n";
    assert_eq!(agent.weir(&with).expect(0).stdout, sum);
    fs::write(&file, "kind: Nothing\n").expect("written");
    let wrong = agent.weir(&with).expect(1).stdout;
    assert!(wrong.starts_with(&file), "{wrong}");
}

#[test]
fn tests_beside_a_policy_hold_or_are_told_with_their_place() {
    let host = host();
    let policy = model("127.0.0.1/32", "443") + &grant("batch", "/batch", "ttl: 1h");
    let test = "---
apiVersion: weir.dev/v1alpha1
kind: PolicyTest
metadata: {name: batch}
spec:
  cases:
  - {subject: {cgroup: /batch}, endpoint: model, verdict: allow, reason: granted}
  - {subject: {cgroup: /other}, endpoint: model, verdict: deny, reason: no-grant}
";
    host.write_policy("p.yaml", &format!("{policy}{test}"));
    let path = host.path("policy.d/p.yaml").display().to_string();
    let holds = host.weir(&["policy", "test", &path]).expect(0);
    assert_eq!(holds.stdout, "2 of 2 cases hold\n");

    let wrong = test.replace("verdict: deny, reason: no-grant", "verdict: allow");
    host.write_policy("p.yaml", &format!("{policy}{wrong}"));
    let fails = host.weir(&["policy", "test", &path]).expect(1);
    let line = policy.lines().count() + wrong.lines().count();
    let expected = format!(
        "{path}:{line}: batch: cgroup /other, endpoint model\n  \
         - allow\n  \
         + deny, no-grant\n    \
         no grant entitles the identity, and its posture refuses that\n\
         1 of 2 cases hold\n"
    );
    assert_eq!(fails.stdout, expected);
    // An agent reads the same file, and its tests are no part of the policy.
    let agent = host.agent().start();
    let objects = agent.json(&["policy", "show"])["objects"].clone();
    assert_eq!(objects.as_array().map(Vec::len), Some(3), "{objects}");
}
