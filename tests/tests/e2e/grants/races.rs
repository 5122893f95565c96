//! Two admins act at once, again and again: what comes of it is what would have come of one after the
//! other, and kernel, store and audit agree about it, also after a kill.

use std::{fs, net::SocketAddr, sync::Barrier, thread};

use weir_tests::harness::{Agent, Attempts, Host, Output, Who};

use super::{ALICE, ALLOWED, BOB, CAROL, REFUSED, open, roles};
use crate::e2e::{grant, host, model};

const ROUNDS: u32 = 12;

/// An endpoint that everybody may be granted, and one that takes two people.
const CRITICAL: &str = "---
apiVersion: weir.dev/v1alpha1
kind: ModelEndpoint
metadata: {name: critical}
spec: {provider: critical, risk: critical, cidrs: [127.0.0.1/32], ports: [PORT]}
";

struct Stage {
    host: Host,
    agent: Agent,
    model: SocketAddr,
    critical: SocketAddr,
}

/// Who does what.
type Act<'a> = (Who, &'a [&'a str]);

impl Stage {
    fn new() -> Self {
        let host = host();
        let [ordinary, critical] = [(); 2].map(|()| host.tcp_server("127.0.0.1:0", 0));
        let policy = model("127.0.0.1/32", &ordinary.port().to_string())
            + &CRITICAL.replace("PORT", &critical.port().to_string());
        host.write_policy("p.yaml", &policy);
        let agent = start(&host);
        Self {
            host,
            agent,
            model: ordinary,
            critical,
        }
    }

    /// Both at the same time.
    fn race(&self, one: Act<'_>, other: Act<'_>) -> [Output; 2] {
        let barrier = Barrier::new(2);
        let act = |(who, args): Act<'_>| {
            barrier.wait();
            self.agent.weir_as(who, args)
        };
        thread::scope(|scope| {
            let one = scope.spawn(|| act(one));
            let other = act(other);
            [one.join().expect("it ends"), other]
        })
    }

    fn issue(&self, endpoint: &str) -> Output {
        let cgroup = self.host.cgroup_path("granted");
        self.agent.weir_as(ALICE, &issue(&cgroup, endpoint))
    }

    /// Steps of the newest life of `task`.
    fn steps(&self) -> Vec<String> {
        let history = self.agent.json(&["grant", "show", "task"]);
        let life = history["lives"].as_array().and_then(|lives| lives.last());
        let steps = life.and_then(|life| life["steps"].as_array()).cloned();
        let step = |step: &serde_json::Value| step["step"].as_str().map(ToOwned::to_owned);
        steps.iter().flatten().filter_map(step).collect()
    }

    /// Whether kernel and agent say the same about this workload, and that.
    fn check(&self, workload: &str, endpoint: &str, expected: Attempts, round: &str) {
        let address = if endpoint == "critical" {
            self.critical
        } else {
            self.model
        };
        let calls = self.host.workload(workload).connect(address);
        assert_eq!(calls, expected, "{round}: {workload} calls {endpoint}");
        let cgroup = self.host.cgroup_path(workload);
        let explain = ["explain", "--cgroup", &cgroup, "--endpoint", endpoint];
        let explained = self.agent.weir(&explain);
        let code = i32::from(expected == REFUSED);
        assert!(explained.is(code), "{round}: {workload}: {explained:?}");
    }

    /// Nothing was lost on the way: neither in the audit nor for the next agent.
    fn killed_and_started_again(mut self) -> Self {
        self.agent.weir(&["audit", "verify"]).expect(0);
        self.agent.kill();
        self.agent = start(&self.host);
        self.agent.weir(&["audit", "verify"]).expect(0);
        self
    }
}

fn start(host: &Host) -> Agent {
    let agent = host.agent().config(&roles("")).start();
    open(host);
    agent
}

fn issue<'a>(cgroup: &'a str, endpoint: &'a str) -> Vec<&'a str> {
    let whom = ["grant", "issue", "task", "--cgroup", cgroup];
    let what = ["--endpoint", endpoint, "--purpose", "t", "--ttl", "1h"];
    [&whom[..], &what].concat()
}

const REVOKE: &[&str] = &["grant", "revoke", "task", "--why", "enough"];

#[test]
fn an_approval_and_a_revocation_at_once_end_revoked() {
    let mut stage = Stage::new();
    for round in 0..ROUNDS {
        stage.issue("critical").expect(1);
        let approve = ["grant", "approve", "task", "--reason", "yes"];
        let [approved, revoked] = stage.race((BOB, &approve), (CAROL, REVOKE));
        assert!(revoked.is(0), "{revoked:?}");
        let steps = stage.steps();
        if approved.is(0) {
            assert_eq!(steps, ["request", "approve", "activate", "revoke"]);
        } else {
            assert!(approved.is(2), "{approved:?}");
            assert_eq!(steps, ["request", "revoke"], "{approved:?}");
        }
        let round = format!("round {round}: {steps:?}");
        stage.check("granted", "critical", REFUSED, &round);
    }
    stage = stage.killed_and_started_again();
    stage.check("granted", "critical", REFUSED, "after a kill");
}

#[test]
fn an_approval_and_a_rejection_at_once_are_one_of_them() {
    let mut stage = Stage::new();
    let mut last = REFUSED;
    for round in 0..ROUNDS {
        stage.issue("critical").expect(1);
        let approve = ["grant", "approve", "task", "--reason", "yes"];
        let reject = ["grant", "reject", "task", "--reason", "no"];
        let [approved, rejected] = stage.race((BOB, &approve), (CAROL, &reject));
        let (loser, expected, steps) = match (approved.code, rejected.code) {
            (Some(0), Some(2)) => (rejected, ALLOWED, &["request", "approve", "activate"][..]),
            (Some(2), Some(0)) => (approved, REFUSED, &["request", "reject"][..]),
            other => panic!("{other:?}: {approved:?} {rejected:?}"),
        };
        assert!(loser.stderr.contains("so it cannot be"), "{loser:?}");
        assert_eq!(stage.steps(), steps);
        stage.check("granted", "critical", expected, &format!("round {round}"));
        last = expected;
        if round + 1 < ROUNDS {
            stage.agent.weir_as(CAROL, REVOKE).expect(0);
        }
    }
    stage = stage.killed_and_started_again();
    stage.check("granted", "critical", last, "after a kill");
}

#[test]
fn a_grant_and_a_deny_rule_at_once_end_refused() {
    let mut stage = Stage::new();
    let cgroup = stage.host.cgroup_path("granted");
    let issue = issue(&cgroup, "model");
    let whom = ["deny", "add", "no", "--cgroup", &cgroup];
    let deny = [&whom[..], &["--endpoint", "model", "--reason", "r"]].concat();
    for round in 0..ROUNDS {
        let [issued, denied] = stage.race((ALICE, &issue), (CAROL, &deny));
        assert!(issued.is(0) && denied.is(0), "{issued:?} {denied:?}");
        let is_half = round == ROUNDS / 2;
        let round = format!("round {round}");
        stage.check("granted", "model", REFUSED, &round);
        if is_half {
            stage = stage.killed_and_started_again();
            stage.check("granted", "model", REFUSED, "after a kill");
        }
        // Both are there: without the one, the other shows.
        stage
            .agent
            .weir_as(CAROL, &["deny", "remove", "no"])
            .expect(0);
        stage.check("granted", "model", ALLOWED, &round);
        stage.agent.weir_as(CAROL, REVOKE).expect(0);
    }
    stage = stage.killed_and_started_again();
    stage.check("granted", "model", REFUSED, "after a kill");
}

#[test]
fn of_two_revocations_at_once_one_finds_nothing() {
    let mut stage = Stage::new();
    for round in 0..ROUNDS {
        stage.issue("model").expect(0);
        stage.check("granted", "model", ALLOWED, &format!("round {round}"));
        let both = stage.race((ALICE, REVOKE), (CAROL, REVOKE));
        let loser = match both {
            [one, other] if one.is(0) && other.is(2) => other,
            [one, other] if one.is(2) && other.is(0) => one,
            both => panic!("{both:?}"),
        };
        let nothing = "there is no InvocationGrant `task`";
        assert!(loser.stderr.contains(nothing), "{loser:?}");
        assert_eq!(
            stage.steps(),
            ["request", "approve-by-rules", "activate", "revoke"]
        );
        stage.check("granted", "model", REFUSED, &format!("round {round}"));
    }
    stage = stage.killed_and_started_again();
    stage.check("granted", "model", REFUSED, "after a kill");
}

#[test]
fn of_two_policies_applied_at_once_one_is_in_force_whole() {
    let mut stage = Stage::new();
    // The same two names: each file gives both to its own workload.
    let files = ["granted", "other"].map(|workload| {
        let cgroup = stage.host.cgroup_path(workload);
        let both = grant("task", &cgroup, "ttl: 1h")
            + &grant("more", &cgroup, "ttl: 1h").replace("[model]", "[model-2]");
        let file = stage.host.path(&format!("{workload}.yaml"));
        fs::write(&file, both).expect("a file");
        file.display().to_string()
    });
    let second = stage.host.tcp_server("127.0.0.1:0", 0);
    let text = model("127.0.0.1/32", &second.port().to_string());
    let text = text.split("---").next().unwrap_or_default();
    let text = text.replace("{name: model}", "{name: model-2}");
    let endpoint = stage.host.path("second.yaml");
    fs::write(
        &endpoint,
        text.replace("provider: test", "provider: second"),
    )
    .expect("a file");
    let endpoint = endpoint.display().to_string();
    let apply = ["policy", "apply", &endpoint];
    stage.agent.weir_as(CAROL, &apply).expect(0);

    let winner = |stage: &Stage, round: &str| {
        let calls = ["granted", "other"].map(|workload| {
            let workload = stage.host.workload(workload);
            [stage.model, second].map(|address| workload.connect(address))
        });
        let (winner, loser) = match calls {
            [[ALLOWED, ALLOWED], [REFUSED, REFUSED]] => ("granted", "other"),
            [[REFUSED, REFUSED], [ALLOWED, ALLOWED]] => ("other", "granted"),
            calls => panic!("{round}: a part of each: {calls:?}"),
        };
        stage.check(winner, "model", ALLOWED, round);
        stage.check(loser, "model", REFUSED, round);
        winner
    };
    for round in 0..ROUNDS {
        let [one, other] = [0, 1].map(|index| ["policy", "apply", files[index].as_str()]);
        let [one, other] = stage.race((CAROL, &one), (CAROL, &other));
        assert!(one.is(0) && other.is(0), "{one:?} {other:?}");
        winner(&stage, &format!("round {round}"));
    }
    let before = winner(&stage, "at last");
    stage = stage.killed_and_started_again();
    assert_eq!(winner(&stage, "after a kill"), before);
}
