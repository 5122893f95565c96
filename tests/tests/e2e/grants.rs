//! The life of a grant: who asks, who else approves, and what a killed agent makes of it.

mod faults;
mod governed;
mod races;

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{PermissionsExt, chown},
};

use weir::{
    audit::Record,
    store::{AuditFilter, Store},
};
use weir_tests::harness::{Agent, Attempts, Host, Output, Who, eventually};

use super::{grant, host, model};

const OPERATORS: u32 = 62_001;
const APPROVERS: u32 = 62_002;
const ADMINS: u32 = 62_003;

/// May ask.
const ALICE: Who = person(61_001, OPERATORS);
/// May ask and approve, were it not for herself.
const CAROL: Who = person(61_003, ADMINS);
const BOB: Who = person(61_002, APPROVERS);
const ROOT: Who = Who {
    uid: 0,
    gid: 0,
    login: None,
};

const fn person(uid: u32, gid: u32) -> Who {
    Who {
        uid,
        gid,
        login: Some(uid),
    }
}

/// As `sudo` leaves it.
const fn sudo(who: Who) -> Who {
    Who {
        uid: 0,
        gid: 0,
        login: who.login,
    }
}

/// A host on which calls of `model` are critical, its agent, and a cgroup.
struct Stage {
    host: Host,
    agent: Agent,
    server: SocketAddr,
    cgroup: String,
}

impl Stage {
    fn new() -> Self {
        let host = host();
        let server = host.tcp_server("127.0.0.1:0", 0);
        let policy = model("127.0.0.1/32", &server.port().to_string());
        let policy = policy.replace("provider: test", "provider: test, risk: critical");
        host.write_policy("p.yaml", &policy);
        let cgroup = host.make_cgroup("task");
        let agent = host.agent().config(&roles("")).start();
        open(&host);
        Self {
            host,
            agent,
            server,
            cgroup,
        }
    }

    fn ask(&self, who: Who) -> Output {
        let fixed = ["grant", "issue", "task", "--cgroup", &self.cgroup];
        let rest = ["--endpoint", "model", "--purpose", "t", "--ttl", "8h"];
        self.agent.weir_as(who, &[&fixed[..], &rest].concat())
    }

    fn approve(&self, who: Who) -> Output {
        let args = ["grant", "approve", "task", "--reason", "agreed"];
        self.agent.weir_as(who, &args)
    }

    fn calls(&self) -> Attempts {
        self.host.workload("task").connect(self.server)
    }

    /// Empty before there is one.
    fn history(&self) -> serde_json::Value {
        let output = self.agent.weir(&["grant", "show", "task", "--json"]);
        serde_json::from_str(&output.stdout).unwrap_or_default()
    }

    fn state(&self) -> String {
        let state = self.history()["grant"]["state"]
            .as_str()
            .map(ToOwned::to_owned);
        state.unwrap_or_else(|| "none".to_owned())
    }
}

fn roles(more: &str) -> String {
    format!(
        "{more}\n[roles]\noperator = [\"{OPERATORS}\"]\napprover = [\"{APPROVERS}\"]\n\
         admin = [\"{ADMINS}\"]\n"
    )
}

/// What the audit of an agent that has ended tells of a name.
fn audited(host: &Host, name: &str) -> Vec<Record> {
    let store = Store::open(&host.path("state/weir.db")).expect("the store");
    let filter = AuditFilter {
        name: Some(name.to_owned()),
        limit: 100,
        ..AuditFilter::default()
    };
    store.audit_records(&filter).expect("records")
}

/// Lets others than root reach the socket.
fn open(host: &Host) {
    for path in [host.path(""), host.path("weir.sock")] {
        let mode = if path.is_dir() { 0o755 } else { 0o666 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
    }
}

const REFUSED: Attempts = Attempts::all_refused(1);
const ALLOWED: Attempts = Attempts::all_ok(1);

#[test]
fn a_critical_endpoint_takes_two_people() {
    let stage = Stage::new();
    let asked = stage.ask(ALICE).expect(1);
    assert_eq!(
        asked.stdout,
        "task waits for approval (risk critical) and entitles nobody until another person runs\n  \
         weir grant approve task --reason WHY\n"
    );
    assert_eq!(
        (stage.state().as_str(), stage.calls()),
        ("requested", REFUSED)
    );
    let status = stage.agent.weir(&["status"]).expect(0).stdout;
    assert!(
        status.contains("waiting   1 grants wait for approval"),
        "{status}"
    );
    let explained = ["explain", "--cgroup", &stage.cgroup, "--endpoint", "model"];
    let explained = stage.agent.weir(&explained).expect(1).stdout;
    assert!(
        explained.contains("a grant that waits for approval would allow this")
            && explained.contains("weir grant approve task --reason"),
        "{explained}"
    );

    let approved = stage.approve(BOB).expect(0);
    assert!(
        approved.stdout.starts_with("approved task, until 20"),
        "{approved:?}"
    );
    assert_eq!((stage.state().as_str(), stage.calls()), ("active", ALLOWED));
    let life = stage.history()["lives"][0].clone();
    let steps: Vec<_> = life["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|step| ["step", "by", "why"].map(|field| step[field].as_str().unwrap_or_default()))
        .collect();
    let expected = [
        ["request", "uid 61001", "t"],
        ["approve", "uid 61002", "agreed"],
        ["activate", "the agent", "in force"],
    ];
    assert_eq!(steps, expected);
    let twice = stage.approve(CAROL).expect(2);
    assert!(
        twice.stderr.contains("so it cannot be approved any more"),
        "{twice:?}"
    );
    let revoke = ["grant", "revoke", "task", "--why", "done"];
    stage.agent.weir(&revoke).expect(0);
    assert_eq!((stage.state().as_str(), stage.calls()), ("none", REFUSED));

    let Stage { host, agent, .. } = stage;
    agent.stop();
    let told = audited(&host, "task");
    let expected = [
        ("grant-requested", Some(61_001), "t"),
        ("grant-approved", Some(61_002), "agreed"),
        ("grant-activated", Some(61_002), "t"),
        ("grant-revoked", Some(0), "done"),
    ];
    let told: Vec<_> = told
        .iter()
        .map(|record| {
            let action = record.action.as_str();
            (action, record.actor.uid, record.reason.as_str())
        })
        .collect();
    assert_eq!(told, expected);
}

#[test]
fn nobody_approves_what_he_has_asked_for_himself() {
    let stage = Stage::new();
    let check = |who: Who, why: &str| {
        let refused = stage.approve(who).expect(2);
        assert!(refused.stderr.contains(why), "{refused:?}");
        assert_eq!(
            (stage.state().as_str(), stage.calls()),
            ("requested", REFUSED)
        );
    };
    stage.ask(CAROL).expect(1);
    check(CAROL, "uid 61003 has asked for it");
    check(sudo(CAROL), "uid 61003 has asked for it");
    check(
        Who {
            login: CAROL.login,
            ..BOB
        },
        "uid 61003 has asked for it",
    );
    check(
        ROOT,
        "root without a login cannot be told from whoever asked for it",
    );
    check(ALICE, "uid 61001 lacks the role approver");
    stage.approve(sudo(BOB)).expect(0);
    assert_eq!(stage.calls(), ALLOWED);

    let Stage { host, agent, .. } = stage;
    agent.stop();
    let told = audited(&host, "approve a grant");
    let count = |record: &Record| record.detail("count").and_then(|count| count.as_u64());
    assert_eq!(told.iter().filter_map(count).sum::<u64>(), 5, "{told:?}");
    assert!(told.iter().all(|record| record.action == "change-refused"));
}

#[test]
fn a_file_is_no_way_around() {
    let stage = Stage::new();
    let write = |rest: &str| {
        let text = grant("task", &stage.cgroup, rest);
        stage.host.write_policy("task.yaml", &text);
    };
    let waits = |what: &str| eventually(what, || (stage.state() == "requested").then_some(()));
    write("ttl: 8h");
    waits("the file");
    assert_eq!(stage.calls(), REFUSED);
    let refused = stage.approve(sudo(CAROL)).expect(2);
    assert!(
        refused
            .stderr
            .contains("root without a login has asked for it"),
        "{refused:?}"
    );
    stage.approve(BOB).expect(0);
    assert_eq!((stage.state().as_str(), stage.calls()), ("active", ALLOWED));

    write("ttl: 9h");
    waits("the change");
    assert_eq!(stage.calls(), REFUSED, "what was approved is no more");
    write("ttl: 8h");
    eventually("the former content", || {
        let history = stage.history();
        (history["lives"].as_array()?.len() == 3).then_some(())
    });
    assert_eq!(
        (stage.state().as_str(), stage.calls()),
        ("requested", REFUSED)
    );

    // Whoever owns a file has asked for what stands there.
    let file = stage.host.path("bob.yaml");
    fs::write(&file, grant("task", &stage.cgroup, "ttl: 7h")).expect("a file");
    chown(&file, Some(BOB.uid), None).expect("an owner");
    fs::rename(&file, stage.host.path("policy.d/task.yaml")).expect("a policy file");
    eventually("bob's file", || {
        (stage.history()["grant"]["requested_by"] == "uid 61002").then_some(())
    });
    let refused = stage.approve(BOB).expect(2);
    assert!(
        refused.stderr.contains("uid 61002 has asked for it"),
        "{refused:?}"
    );
    stage.approve(CAROL).expect(0);
    assert_eq!(stage.calls(), ALLOWED);
}

#[test]
fn an_approval_is_for_exactly_what_was_seen() {
    let stage = Stage::new();
    stage.ask(ALICE).expect(1);
    let approve = |digest: &str| {
        let fixed = [
            "grant", "approve", "task", "--reason", "x", "--digest", digest,
        ];
        stage.agent.weir_as(BOB, &fixed)
    };
    let other = approve("00000000").expect(2);
    assert!(
        other.stderr.contains("is not as you have seen it"),
        "{other:?}"
    );
    let requests = stage.agent.json(&["grant", "requests"]);
    let digest = requests["grants"][0]["digest"]
        .as_str()
        .expect("a digest")
        .to_owned();
    approve(&digest[..12]).expect(0);
    assert_eq!(stage.calls(), ALLOWED);

    let file = stage.host.path("wider.yaml");
    let wider = grant("task", &stage.cgroup, "ttl: 80h");
    fs::write(&file, wider).expect("a file");
    let file = file.display().to_string();
    let applied = stage
        .agent
        .weir_as(CAROL, &["policy", "apply", &file])
        .expect(0);
    assert!(
        applied
            .stdout
            .contains("task waits for approval (risk critical)"),
        "{applied:?}"
    );
    assert_eq!(
        (stage.state().as_str(), stage.calls()),
        ("requested", REFUSED)
    );
}

#[test]
fn broken_glass_is_loud_and_lasts_an_hour() {
    let stage = Stage::new();
    stage.ask(CAROL).expect(1);
    let breaks = |who: Who, reason: &str| {
        let fixed = [
            "grant",
            "approve",
            "task",
            "--break-glass",
            "--reason",
            reason,
        ];
        stage.agent.weir_as(who, &fixed)
    };
    let refused = breaks(BOB, "I want it").expect(2);
    assert!(
        refused.stderr.contains("uid 61002 lacks the role admin"),
        "{refused:?}"
    );
    let refused = breaks(CAROL, " ").expect(2);
    assert!(refused.stderr.contains("say why"), "{refused:?}");
    breaks(CAROL, "incident 4711").expect(0);
    assert_eq!((stage.state().as_str(), stage.calls()), ("active", ALLOWED));
    let grant = stage.agent.json(&["grant", "list"])["grants"][0].clone();
    let end: jiff::Timestamp = grant["not_after"]
        .as_str()
        .expect("an end")
        .parse()
        .expect("a time");
    let left = end.duration_since(jiff::Timestamp::now());
    assert!(left <= jiff::SignedDuration::from_hours(1), "{left}");
    let status = stage.agent.weir(&["status"]).expect(0).stdout;
    assert!(
        status.contains("BROKEN GLASS  task holds until 20"),
        "{status}"
    );
    assert!(stage.agent.log().contains("GLASS BROKEN"));
}

#[test]
fn roles_come_from_groups() {
    let host = host();
    host.write_policy("p.yaml", &model("127.0.0.1/32", "443"));
    let cgroup = host.make_cgroup("task");
    let config = roles("").replace(
        "[roles]",
        "[roles]\nroot = \"viewer\"\nviewer = [\"62004\"]",
    );
    let agent = host.agent().config(&config).start();
    open(&host);
    let check = |who: Who, args: &[&str], missing: Option<&str>| {
        let output = agent.weir_as(who, args);
        match missing {
            Some(role) => assert!(
                output.is(2) && output.stderr.contains(&format!("lacks the role {role}")),
                "{who:?} {args:?}: {output:?}"
            ),
            None => assert!(
                !output.stderr.contains("lacks the role"),
                "{who:?} {args:?}: {output:?}"
            ),
        }
    };
    let nobody = person(61_009, 62_009);
    let viewer = person(61_004, 62_004);
    let issue = [
        "grant",
        "issue",
        "x",
        "--cgroup",
        &cgroup,
        "--endpoint",
        "model",
    ];
    let issue = [&issue[..], &["--purpose", "t", "--ttl", "1h"]].concat();
    let deny = [
        "deny",
        "add",
        "d",
        "--any",
        "--endpoint",
        "model",
        "--reason",
        "r",
    ];
    let lift = ["deny", "remove", "d"];
    let remove = ["policy", "remove", "Posture", "closed"];
    check(nobody, &["status"], Some("viewer"));
    check(viewer, &["grant", "list"], None);
    for who in [viewer, BOB, ROOT] {
        check(who, &issue, Some("operator"));
        check(who, &deny, Some("operator"));
    }
    check(ALICE, &issue, None);
    check(ALICE, &deny, None);
    check(ALICE, &lift, Some("admin"));
    check(ALICE, &remove, Some("admin"));
    check(CAROL, &lift, None);
    check(CAROL, &["grant", "revoke", "x", "--why", "done"], None);
}

#[test]
fn who_is_governed_changes_nothing_and_leases_no_more_than_it_has() {
    let stage = Stage::new();
    let server = stage.host.tcp_server("127.0.0.1:0", 0);
    let port = server.port();
    stage.host.write_policy(
        "other.yaml",
        &format!(
            "apiVersion: weir.dev/v1alpha1\nkind: ModelEndpoint\nmetadata: {{name: low}}\n\
             spec: {{provider: low, cidrs: [127.0.0.1/32], ports: [{port}], risk: low}}\n"
        ),
    );
    eventually("the endpoint", || {
        stage
            .agent
            .weir(&["endpoints", "match", "127.0.0.1"])
            .stdout
            .contains("low")
            .then_some(())
    });
    let issue = |name: &'static str, endpoint: &'static str| {
        let fixed = [
            "grant",
            "issue",
            name,
            "--cgroup",
            &stage.cgroup,
            "--endpoint",
            endpoint,
        ];
        [&fixed[..], &["--purpose", "t", "--ttl", "1h"]].concat()
    };
    let etc = stage.host.path("etc");
    fs::create_dir_all(&etc).expect("a directory");
    let inside = |args: &[&str]| {
        let line = stage.agent.command_line(args);
        stage
            .host
            .workload("task")
            .run_program(&etc, &line, &[], "")
    };
    // A default that refuses does not make anybody governed: somebody must be left.
    stage.ask(ALICE).expect(1);
    let refused = inside(&["grant", "approve", "task", "--reason", "me"]);
    assert!(
        refused
            .stderr
            .contains("would be entitled by `task` itself"),
        "{refused:?}"
    );
    let run = [
        "run",
        "--endpoint",
        "model",
        "--purpose",
        "t",
        "--ttl",
        "1m",
        "--",
        "true",
    ];
    let leased = inside(&run);
    assert!(
        leased.code == Some(2) && leased.stderr.contains("may not call model itself"),
        "{leased:?}"
    );

    stage.agent.weir(&issue("low", "low")).expect(0);
    for args in [
        issue("more", "low"),
        vec![
            "deny",
            "add",
            "d",
            "--any",
            "--endpoint",
            "low",
            "--reason",
            "r",
        ],
        vec!["grant", "revoke", "low", "--why", "x"],
        vec!["policy", "remove", "InvocationGrant", "low"],
    ] {
        let refused = inside(&args);
        assert!(
            refused.code == Some(2)
                && refused
                    .stderr
                    .contains("is governed by InvocationGrant `low`"),
            "{args:?}: {refused:?}"
        );
    }
    let low = [
        "run",
        "--endpoint",
        "low",
        "--purpose",
        "t",
        "--ttl",
        "1m",
        "--",
        "true",
    ];
    let leased = inside(&low);
    assert_eq!(leased.code, Some(0), "{leased:?}");
    let more = [
        "run",
        "--endpoint",
        "openai",
        "--purpose",
        "t",
        "--ttl",
        "1m",
        "--",
        "true",
    ];
    let leased = inside(&more);
    assert!(
        leased.stderr.contains("may not call openai itself"),
        "{leased:?}"
    );
}

#[test]
fn who_manages_does_not_invoke_where_that_is_refused() {
    let host = host();
    let cgroup = host.make_cgroup("task");
    let config = |separation: &str| roles(&format!("separation_of_duties = \"{separation}\"\n"));
    let issue = |agent: &Agent, name: &str, plane: &str| {
        let fixed = [
            "grant",
            "issue",
            name,
            "--cgroup",
            &cgroup,
            "--endpoint",
            "openai",
        ];
        let args = [
            &fixed[..],
            &["--plane", plane, "--purpose", "t", "--ttl", "1h"],
        ]
        .concat();
        agent.weir(&args)
    };
    let agent = host.agent().config(&config("refuse")).start();
    open(&host);
    issue(&agent, "calls", "invoke").expect(0);
    issue(&agent, "keys", "manage").expect(1);
    let approve = ["grant", "approve", "keys", "--reason", "agreed"];
    let refused = agent.weir_as(BOB, &approve).expect(2);
    let both = "lets the same subject both manage and invoke models";
    let both = both.replace("lets", "together let");
    assert!(refused.stderr.contains(&both), "{refused:?}");
    agent.stop();

    let agent = host.agent().config(&config("report")).start();
    open(&host);
    agent.weir_as(BOB, &approve).expect(0);
    let status = agent.json(&["status"]);
    let findings = status["findings"].as_array().cloned().unwrap_or_default();
    assert!(!findings.is_empty(), "{status}");
    let status = agent.weir(&["status"]).expect(0).stdout;
    assert!(
        status.contains(&format!("finding   grants `keys` and `calls` {both}")),
        "{status}"
    );
    agent.stop();

    // What holds already is no reason not to start, and every change is refused until it is undone.
    let agent = host.agent().config(&config("refuse")).start();
    open(&host);
    let status = agent.weir(&["status"]).expect(0).stdout;
    assert!(status.contains("MISTAKE"), "{status}");
    issue(&agent, "more", "invoke").expect(2);
    agent
        .weir(&["grant", "revoke", "calls", "--why", "undone"])
        .expect(0);
    let status = agent.json(&["status"]);
    assert_eq!(
        status["findings"].as_array().map(Vec::len),
        Some(0),
        "{status}"
    );
}
