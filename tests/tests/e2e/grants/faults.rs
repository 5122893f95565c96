//! The agent is killed between any two steps, and started again.

use weir_tests::harness::{Agent, Attempts, Host, eventually};

use super::{ALLOWED, BOB, REFUSED, open, roles};
use crate::e2e::{grant, host, model};

/// A host, and a cgroup that wants to call.
struct Stage {
    host: Host,
    cgroup: String,
    server: std::net::SocketAddr,
}

impl Stage {
    fn new() -> Self {
        let host = host();
        let server = host.tcp_server("127.0.0.1:0", 0);
        host.write_policy("p.yaml", &model("127.0.0.1/32", &server.port().to_string()));
        let cgroup = host.make_cgroup("task");
        Self {
            host,
            cgroup,
            server,
        }
    }

    fn start(&self, fault: &str) -> Agent {
        let agent = self.host.agent().config(&roles(""));
        let agent = agent.fault(fault).start();
        open(&self.host);
        agent
    }

    fn issue(&self, agent: &Agent, more: &[&str]) -> Option<i32> {
        let fixed = [
            "grant",
            "issue",
            "task",
            "--cgroup",
            &self.cgroup,
            "--endpoint",
            "model",
        ];
        let args = [&fixed[..], &["--purpose", "t", "--ttl", "1h"], more].concat();
        agent.weir(&args).code
    }

    fn calls(&self) -> Attempts {
        self.host.workload("task").connect(self.server)
    }

    /// States of all lives of the grant, by their last steps.
    fn lives(agent: &Agent) -> Vec<String> {
        let output = agent.weir(&["grant", "show", "task", "--json"]);
        let history: serde_json::Value = serde_json::from_str(&output.stdout).unwrap_or_default();
        let lives = history["lives"].as_array().cloned().unwrap_or_default();
        let last = |life: &serde_json::Value| {
            let step = life["steps"].as_array().and_then(|steps| steps.last());
            step.and_then(|step| step["step"].as_str())
                .map(ToOwned::to_owned)
        };
        lives.iter().filter_map(last).collect()
    }
}

/// Whether the binary under test has fault points at all.
#[expect(
    clippy::print_stdout,
    reason = "this is how a test says that it was skipped"
)]
fn is_armed(agent: &Agent, test: &str) -> bool {
    let is_armed = agent.log().contains("is armed");
    if !is_armed {
        println!("SKIP {test}: the binary is a release build, which has no fault points");
    }
    is_armed
}

#[test]
fn a_grant_that_is_being_issued_is_in_force_or_was_never() {
    for (fault, expected) in [
        ("issue-recorded", REFUSED),
        ("issue-installed", REFUSED),
        ("issue-kept", ALLOWED),
    ] {
        let stage = Stage::new();
        let agent = stage.start(fault);
        if !is_armed(
            &agent,
            "a_grant_that_is_being_issued_is_in_force_or_was_never",
        ) {
            return;
        }
        assert_eq!(stage.issue(&agent, &[]), Some(2), "{fault}");
        agent.ended();
        let agent = stage.start("");
        assert_eq!(stage.calls(), expected, "{fault}");
        let lives = Stage::lives(&agent);
        let last = if expected == ALLOWED {
            "activate"
        } else {
            "revoke"
        };
        assert_eq!(lives, [last], "{fault}");
        if expected == REFUSED {
            assert_eq!(
                stage.issue(&agent, &[]),
                Some(0),
                "{fault}: it can be issued again"
            );
            assert_eq!(stage.calls(), ALLOWED, "{fault}");
        }
    }
}

#[test]
fn a_request_that_is_being_made_waits_or_was_never() {
    for (fault, expected) in [
        ("issue-recorded", "reject"),
        ("issue-installed", "reject"),
        ("issue-kept", "request"),
    ] {
        let stage = Stage::new();
        let agent = stage.start(fault);
        if !is_armed(&agent, "a_request_that_is_being_made_waits_or_was_never") {
            return;
        }
        assert_eq!(
            stage.issue(&agent, &["--needs-approval"]),
            Some(2),
            "{fault}"
        );
        agent.ended();
        let agent = stage.start("");
        assert_eq!(stage.calls(), REFUSED, "{fault}");
        assert_eq!(Stage::lives(&agent), [expected], "{fault}");
    }
}

#[test]
fn an_approval_that_is_recorded_is_in_force_after_a_restart() {
    for fault in ["approve-recorded", "approve-installed", "approve-kept"] {
        let stage = Stage::new();
        let agent = stage.start(fault);
        if !is_armed(
            &agent,
            "an_approval_that_is_recorded_is_in_force_after_a_restart",
        ) {
            return;
        }
        assert_eq!(
            stage.issue(&agent, &["--needs-approval"]),
            Some(1),
            "{fault}"
        );
        let approve = ["grant", "approve", "task", "--reason", "agreed"];
        agent.weir_as(BOB, &approve).expect(2);
        agent.ended();
        let agent = stage.start("");
        assert_eq!(stage.calls(), ALLOWED, "{fault}");
        assert_eq!(Stage::lives(&agent), ["activate"], "{fault}");
    }
}

#[test]
fn a_revocation_that_has_begun_is_completed() {
    for fault in ["revoke-recorded", "revoke-installed", "revoke-kept"] {
        let stage = Stage::new();
        let agent = stage.start(fault);
        if !is_armed(&agent, "a_revocation_that_has_begun_is_completed") {
            return;
        }
        assert_eq!(stage.issue(&agent, &[]), Some(0), "{fault}");
        assert_eq!(stage.calls(), ALLOWED, "{fault}");
        let held = stage.host.workload("task").hold(stage.server, 3);
        let revoke = ["grant", "revoke", "task", "--why", "leaked"];
        agent.weir(&revoke).expect(2);
        agent.ended();
        let agent = stage.start("");
        assert_eq!(stage.calls(), REFUSED, "{fault}");
        // By either agent.
        eventually("the end of its connections", || {
            let live = agent.json(&["connections"]);
            (live["connections"].as_array().map(Vec::len) == Some(0)).then_some(())
        });
        assert_eq!(held.stop(), Attempts::all_refused(3), "{fault}");
        assert_eq!(Stage::lives(&agent), ["revoke"], "{fault}");
        let list = agent.json(&["grant", "list", "--all"]);
        let found = (
            &list["grants"][0]["state"],
            &list["grants"][0]["revoked_why"],
        );
        assert_eq!(found, (&"revoked".into(), &"leaked".into()), "{fault}");
        assert_eq!(list["grants"].as_array().map(Vec::len), Some(1), "{fault}");
    }
}

#[test]
fn a_panic_button_that_was_killed_is_in_force_or_whoever_pressed_it_was_told() {
    for (fault, expected) in [
        ("issue-recorded", ALLOWED),
        ("issue-installed", ALLOWED),
        ("issue-kept", REFUSED),
    ] {
        let stage = Stage::new();
        // From a file, so that nothing is issued before the button is pressed.
        let granted = grant("task", &stage.cgroup, "");
        stage.host.write_policy("task.yaml", &granted);
        let agent = stage.start(fault);
        if !is_armed(
            &agent,
            "a_panic_button_that_was_killed_is_in_force_or_whoever_pressed_it_was_told",
        ) {
            return;
        }
        assert_eq!(stage.calls(), ALLOWED, "{fault}");
        let identity = format!("cgroup:{}", stage.cgroup);
        let revoke = ["grant", "revoke", "--identity", &identity];
        let revoke = [&revoke[..], &["--all", "--why", "leaked"]].concat();
        agent.weir(&revoke).expect(2);
        agent.ended();
        let agent = stage.start("");
        assert_eq!(stage.calls(), expected, "{fault}");
        let list = agent.json(&["deny", "list"]);
        let n_rules = list["denies"].as_array().map(Vec::len);
        assert_eq!(n_rules, Some(usize::from(expected == REFUSED)), "{list}");
        // Pressed again, if it was not in force.
        if expected == ALLOWED {
            agent.weir(&revoke).expect(0);
            assert_eq!(stage.calls(), REFUSED, "{fault}");
        }
        agent.weir(&["audit", "verify"]).expect(0);
    }
}
