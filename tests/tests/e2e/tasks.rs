//! `weir run`: a right that belongs to one cgroup and ends with it.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Child,
};

use jiff::{SignedDuration, Timestamp};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use weir_tests::harness::{Agent, Attempts, Host, Ran, Workload, eventually};

use super::{closed_server, grant, granted_server, host, model};

/// A user without any rights.
const USER: u32 = 65_534;

/// What the client prints.
const ALLOWED: &str = "1 0 0";
const REFUSED: &str = "0 1 0";

/// A host, its agent, and where `weir run` is called.
struct Stage<'a> {
    host: &'a Host,
    agent: &'a Agent,
    workload: Workload,
    etc: PathBuf,
}

impl<'a> Stage<'a> {
    fn new(host: &'a Host, agent: &'a Agent, workload: &str) -> Self {
        let etc = host.path("etc");
        fs::create_dir_all(&etc).expect("a directory");
        Self {
            workload: host.workload(workload),
            host,
            agent,
            etc,
        }
    }

    fn line(&self, options: &[&str], command: &[&str]) -> Vec<String> {
        let fixed = ["run", "--endpoint", "model", "--purpose", "a test"];
        let ttl: &[&str] = if options.contains(&"--ttl") {
            &[]
        } else {
            &["--ttl", "10m"]
        };
        let parts = [&fixed, ttl, options, &["--"], command];
        self.agent.command_line(&parts.concat())
    }

    /// Runs `weir run OPTIONS -- COMMAND`.
    fn run(&self, options: &[&str], command: &[&str]) -> Ran {
        let line = self.line(options, command);
        self.workload.run_program(&self.etc, &line, &[], "")
    }

    fn run_as_user(&self, options: &[&str], command: &[&str]) -> Ran {
        let line = as_user(self.line(options, command));
        self.workload.run_program(&self.etc, &line, &[], "")
    }

    /// One connection by a command of a task.
    fn calls(&self, server: SocketAddr) -> Ran {
        let server = server.to_string();
        self.run(&[], &[&self.host.client(), "-", "tcp", &server, "1", "1"])
    }

    /// Connects again and again in a task; what came of it last is in the file.
    fn keep_calling(&self, options: &[&str], server: SocketAddr) -> Calling {
        let script = self.script(server);
        let program = self.line(options, &["sh", "-c", &script]);
        self.start(&program)
    }

    fn script(&self, server: SocketAddr) -> String {
        let (client, last) = (self.host.client(), self.last());
        let (draft, last) = (last.with_extension("draft"), last.display());
        let draft = draft.display();
        format!(
            "while sleep 0.05; do {client} - tcp {server} 1 1 > {draft} && mv {draft} {last}; done"
        )
    }

    fn last(&self) -> PathBuf {
        self.host.path("last")
    }

    fn start(&self, program: &[String]) -> Calling {
        // What an earlier one has written.
        let _ = fs::remove_file(self.last());
        Calling {
            child: self.workload.start(&self.etc, program, &[]),
            last: self.last(),
        }
    }

    fn grants(&self) -> Vec<serde_json::Value> {
        let list = self.agent.json(&["grant", "list"]);
        list["grants"].as_array().cloned().unwrap_or_default()
    }

    /// The only lease.
    fn lease(&self) -> serde_json::Value {
        let mut grants = self.grants();
        grants.retain(is_lease);
        assert_eq!(grants.len(), 1, "{grants:?}");
        grants.remove(0)
    }

    /// Why the lease that ended last did.
    fn end(&self) -> Option<String> {
        let list = self.agent.json(&["grant", "list", "--all"]);
        let grants = list["grants"].as_array()?;
        let ended = grants.iter().rfind(|grant| grant["state"] == "revoked")?;
        ended["revoked_why"].as_str().map(ToOwned::to_owned)
    }

    /// Cgroups below the one where `weir run` is called.
    fn cgroups(&self, workload: &str) -> Vec<String> {
        let entries = fs::read_dir(self.host.cgroup().join(workload)).expect("a cgroup");
        let directories = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        directories
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }
}

fn is_lease(grant: &serde_json::Value) -> bool {
    grant["name"]
        .as_str()
        .is_some_and(|name| name.starts_with("task-"))
}

fn as_user(line: Vec<String>) -> Vec<String> {
    let user = format!("--reuid={USER}");
    let fixed = ["setpriv", &user, "--regid=0", "--clear-groups"].map(ToOwned::to_owned);
    fixed.into_iter().chain(line).collect()
}

/// Lets the user reach socket, files and programs of the test.
fn open_to_user(host: &Host) {
    for path in [host.path(""), host.path("weir.sock")] {
        let mode = if path.is_dir() { 0o777 } else { 0o666 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
    }
}

/// A task that calls until it is told to stop.
struct Calling {
    child: Child,
    last: PathBuf,
}

impl Calling {
    fn eventually(&self, outcome: &str) {
        // One that was under way may still be of before.
        let _ = fs::remove_file(&self.last);
        eventually(outcome, || {
            let text = fs::read_to_string(&self.last).ok()?;
            (text.trim() == outcome).then_some(())
        });
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("it runs");
    }

    fn ends(&mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        // It may have ended; the host ends what it has left running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_limits_of_a_lease_count_before_those_of_what_is_around_it() {
    let host = host();
    let server = granted_server(&host);
    let agent = host.agent().start();
    let stage = Stage::new(&host, &agent, "granted");
    let (client, address) = (host.client(), server.to_string());
    let command = [client.as_str(), "-", "tcp", &address, "5", "1"];
    // The grant of the caller lasts longer.
    let ran = stage.run(&["--limit", "connections=2/day"], &command);
    assert_eq!(ran.stdout.trim(), "2 3 0", "{ran:?}");
    let ran = stage.run(&[], &command);
    assert_eq!(ran.stdout.trim(), "5 0 0", "{ran:?}");
}

#[test]
fn a_right_with_limits_is_not_leased_from_within() {
    let host = host();
    let server = host.tcp_server("127.0.0.1:0", 0);
    let policy = model("127.0.0.1/32", &server.port().to_string());
    let cgroup = host.make_cgroup("granted");
    let limits = "limits: {connections: {count: 3, per: 7d}}";
    host.write_policy("p.yaml", &(policy + &grant("limited", &cgroup, limits)));
    let agent = host.agent().start();
    let stage = Stage::new(&host, &agent, "granted");
    for _ in 0..2 {
        let ran = stage.run(&[], &["true"]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        let said = "grant `limited` limits what this workload may use";
        assert!(ran.stderr.contains(said), "{ran:?}");
    }
    assert_eq!(host.workload("granted").connects(server, 5, 1).ok, 3);
    let explained = agent.json_of(&["explain", "--cgroup", &cgroup, "--json"]);
    assert_eq!(explained["may_call"], serde_json::json!([]), "{explained}");
}

#[test]
fn a_lease_has_the_limits_that_were_asked_for() {
    let host = host();
    let server = closed_server(&host);
    let agent = host.agent().start();
    let stage = Stage::new(&host, &agent, "caller");
    let (client, address) = (host.client(), server.to_string());
    let command = [client.as_str(), "-", "tcp", &address, "5", "1"];
    let ran = stage.run(&["--limit", "connections=2/day"], &command);
    assert_eq!(ran.stdout.trim(), "2 3 0", "{ran:?}");
    for (limit, said) in [
        ("tokens=5/day", "tokens are not metered"),
        ("calls=1/week", "`week` is no time that this is reckoned by"),
        ("cost=1/day", "nothing tells what `model` costs"),
    ] {
        let ran = stage.run(&["--limit", limit], &["true"]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(said), "{ran:?}");
    }
}

#[test]
fn a_task_may_what_its_lease_says_and_only_as_long_as_it_lasts() {
    let host = host();
    let server = closed_server(&host);
    let agent = host.agent().start();
    let stage = Stage::new(&host, &agent, "other");

    let ran = stage.calls(server);
    assert_eq!((ran.code, ran.stdout.trim()), (Some(0), ALLOWED), "{ran:?}");
    assert_eq!(stage.workload.connect(server), Attempts::all_refused(1));
    assert_eq!(stage.end().as_deref(), Some("the task has ended"));
    assert!(stage.grants().is_empty());
    assert!(stage.cgroups("other").is_empty(), "the cgroup is removed");

    let allowed = eventually("the event", || agent.events(&[("reason", "granted")]).pop());
    let identity = allowed["identity"].as_str().unwrap_or_default();
    assert!(identity.starts_with("task:"), "{allowed}");
    assert_eq!(
        allowed["rule"].as_str(),
        Some(identity.replace("task:", "task-").as_str())
    );
}

#[test]
fn children_of_a_task_are_inside() {
    let host = host();
    let server = closed_server(&host);
    let agent = host.agent().start();
    let stage = Stage::new(&host, &agent, "other");
    let call = format!("{} - tcp {server} 1 1", host.client());
    let script = format!("{call}; ({call}) & wait; setsid sh -c '{call}'");
    let ran = stage.run(&[], &["sh", "-c", &script]);
    assert_eq!(
        ran.stdout.lines().collect::<Vec<_>>(),
        [ALLOWED; 3],
        "{ran:?}"
    );
}

#[test]
fn the_exit_code_is_the_commands() {
    let host = host();
    closed_server(&host);
    let agent = host.agent().start();
    let stage = Stage::new(&host, &agent, "other");
    let check = |command: &[&str], code: i32| {
        let ran = stage.run(&[], command);
        assert_eq!(ran.code, Some(code), "{command:?}: {ran:?}");
    };
    check(&["true"], 0);
    check(&["sh", "-c", "exit 7"], 7);
    check(&["sh", "-c", "kill -TERM $$"], 143);
    check(&["sh", "-c", "kill -KILL $$"], 137);
    check(&["/nonexistent"], 127);
    check(&["/etc"], 126);
    assert!(stage.grants().is_empty());
}

#[test]
fn standard_streams_pass_through() {
    let host = host();
    closed_server(&host);
    let agent = host.agent().start();
    let stage = Stage::new(&host, &agent, "other");
    let line = stage.line(&[], &["sh", "-c", "cat; echo to stderr >&2"]);
    let ran = stage
        .workload
        .run_program(&stage.etc, &line, &[], "in and out");
    assert_eq!(
        (ran.stdout.as_str(), ran.stderr.as_str()),
        ("in and out", "to stderr\n")
    );
}

#[test]
fn signals_reach_the_command() {
    let host = host();
    closed_server(&host);
    let agent = host.agent().start();
    let stage = Stage::new(&host, &agent, "other");
    let last = stage.last();
    let last = last.display();
    let script = format!("trap 'exit 9' TERM; echo ready > {last}; while :; do sleep 0.05; done");
    let mut calling = stage.start(&stage.line(&[], &["sh", "-c", &script]));
    eventually("the command", || fs::read(&calling.last).ok());
    calling.signal(Signal::SIGTERM);
    assert_eq!(calling.ends(), Some(9));
    assert!(stage.grants().is_empty());
}

#[test]
fn a_killed_caller_takes_the_right_with_it() {
    let host = host();
    let server = closed_server(&host);
    let agent = host.agent().start();
    let stage = Stage::new(&host, &agent, "other");
    let mut calling = stage.keep_calling(&[], server);
    calling.eventually(ALLOWED);
    let [cgroup] = stage.cgroups("other").try_into().expect("one cgroup");

    calling.signal(Signal::SIGKILL);
    assert_eq!(calling.ends(), None);
    calling.eventually(REFUSED);
    let why = stage.end();
    assert_eq!(
        why.as_deref(),
        Some("the process that asked for it has ended")
    );
    let directory = host.cgroup().join("other").join(&cgroup);
    fs::write(directory.join("cgroup.kill"), "1").expect("the rest is killed");
    eventually("its cgroup is removed", || {
        (!directory.exists()).then_some(())
    });

    // Neither here nor elsewhere does a name give a right.
    for place in ["other", "granted"] {
        let named = host.workload(&format!("{place}/{cgroup}"));
        assert_eq!(named.connect(server), Attempts::all_refused(1), "{place}");
    }
}

#[test]
fn a_cgroup_of_the_same_name_gets_nothing_while_the_task_runs() {
    let host = host();
    let server = closed_server(&host);
    let agent = host.agent().start();
    let stage = Stage::new(&host, &agent, "other");
    let calling = stage.keep_calling(&[], server);
    calling.eventually(ALLOWED);
    let [cgroup] = stage.cgroups("other").try_into().expect("one cgroup");
    let id = stage.lease()["subjects"][0]
        .as_str()
        .expect("a text")
        .replace("task ", "");
    for name in [cgroup, format!("weir-task-{id}"), format!("task-{id}"), id] {
        for place in ["granted", "granted/deeper"] {
            let named = host.workload(&format!("{place}/{name}"));
            assert_eq!(
                named.connect(server),
                Attempts::all_refused(1),
                "{place}/{name}"
            );
        }
    }
    calling.eventually(ALLOWED);
}

#[test]
fn what_a_task_leaves_running_has_no_right() {
    let host = host();
    let server = closed_server(&host);
    let agent = host.agent().start();
    let stage = Stage::new(&host, &agent, "other");
    let script = format!("({}) >/dev/null 2>&1 & sleep 0.2", stage.script(server));
    let ran = stage.run(&[], &["sh", "-c", &script]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("left, without the right"), "{ran:?}");
    let _ = fs::remove_file(stage.last());
    eventually("a refusal", || {
        let text = fs::read_to_string(stage.last()).ok()?;
        (text.trim() == REFUSED).then_some(())
    });
}

#[test]
fn a_lease_ends_on_time_with_or_without_an_agent() {
    let host = host();
    let server = closed_server(&host);
    let agent = host.agent().start();
    let stage = Stage::new(&host, &agent, "other");
    let calling = stage.keep_calling(&["--ttl", "2s"], server);
    calling.eventually(ALLOWED);
    calling.eventually(REFUSED);
    eventually("the event", || agent.events(&[("reason", "expired")]).pop());
    drop(calling);

    let calling = stage.keep_calling(&["--ttl", "3s"], server);
    calling.eventually(ALLOWED);
    agent.kill();
    calling.eventually(REFUSED);
}

#[test]
fn a_task_goes_on_when_the_agent_is_restarted() {
    let host = host();
    let server = closed_server(&host);
    let agent = host.agent().start();
    let mut calling = Stage::new(&host, &agent, "other").keep_calling(&[], server);
    calling.eventually(ALLOWED);
    agent.kill();
    calling.eventually(ALLOWED);
    let agent = host.agent().start();
    let stage = Stage::new(&host, &agent, "other");
    calling.eventually(ALLOWED);
    let refused = agent.events(&[("verdict", "deny")]);
    assert!(refused.is_empty(), "{refused:?}");

    calling.signal(Signal::SIGTERM);
    assert_eq!(calling.ends(), Some(143));
    assert!(
        stage.grants().is_empty(),
        "the new agent knows how to end it"
    );
}

#[test]
fn a_task_that_ended_without_the_agent_is_ended_by_the_next() {
    let host = host();
    let server = closed_server(&host);
    let agent = host.agent().start();
    let stage = Stage::new(&host, &agent, "other");
    let mut calling = stage.keep_calling(&[], server);
    calling.eventually(ALLOWED);
    agent.kill();
    calling.signal(Signal::SIGKILL);
    calling.ends();
    let agent = host.agent().start();
    calling.eventually(REFUSED);
    assert!(Stage::new(&host, &agent, "other").grants().is_empty());
}

#[test]
fn a_revoked_lease_ends_at_once() {
    let host = host();
    let server = closed_server(&host);
    let agent = host.agent().start();
    let stage = Stage::new(&host, &agent, "other");
    let calling = stage.keep_calling(&[], server);
    calling.eventually(ALLOWED);
    let name = stage.lease()["name"].as_str().expect("a name").to_owned();
    agent
        .weir(&["grant", "revoke", &name, "--why", "x"])
        .expect(0);
    calling.eventually(REFUSED);
}

#[test]
fn a_user_leases_what_its_cgroup_may_and_no_more() {
    let host = host();
    let server = granted_server(&host);
    let agent = host.agent().start();
    open_to_user(&host);
    let address = server.to_string();
    let client = host.client();
    let call = [client.as_str(), "-", "tcp", &address, "1", "1"];

    let granted = Stage::new(&host, &agent, "granted");
    let ran = granted.run_as_user(&[], &call);
    assert_eq!((ran.code, ran.stdout.trim()), (Some(0), ALLOWED), "{ran:?}");
    assert!(granted.grants().iter().all(|grant| !is_lease(grant)));
    eventually("the agent removes what it has made", || {
        granted.cgroups("granted").is_empty().then_some(())
    });

    let other = Stage::new(&host, &agent, "other");
    let marker = host.path("marker");
    let ran = other.run_as_user(&[], &["touch", &marker.display().to_string()]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let why = format!(
        "weir: cgroup:{} may not call model itself (no-grant), so it cannot lease that",
        host.cgroup_path("other")
    );
    assert!(ran.stderr.starts_with(&why), "{ran:?}");
    assert!(!marker.exists(), "the command is not run");
    assert!(other.cgroups("other").is_empty());
    let ran = granted.run_as_user(&["--endpoint", "*"], &["true"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
}

#[test]
fn a_users_lease_ends_with_the_right_that_it_was_made_of() {
    let host = host();
    let server = host.tcp_server("127.0.0.1:0", 0);
    host.write_policy("p.yaml", &model("127.0.0.1/32", &server.port().to_string()));
    let cgroup = host.make_cgroup("granted");
    host.write_policy("g.yaml", &grant("short", &cgroup, "ttl: 5s"));
    let agent = host.agent().start();
    open_to_user(&host);
    let stage = Stage::new(&host, &agent, "granted");
    let script = stage.script(server);
    let program = as_user(stage.line(&[], &["sh", "-c", &script]));
    let calling = stage.start(&program);
    calling.eventually(ALLOWED);
    let grants = stage.grants();
    assert_eq!(grants.len(), 2, "{grants:?}");
    let ends: Vec<_> = grants
        .iter()
        .map(|grant| {
            grant["not_after"]
                .as_str()
                .expect("an end")
                .parse::<Timestamp>()
        })
        .collect::<Result<_, _>>()
        .expect("times");
    let apart = ends[0].duration_since(ends[1]).abs();
    assert!(apart < SignedDuration::from_millis(100), "{grants:?}");
    calling.eventually(REFUSED);
    drop(calling);

    host.write_policy("g.yaml", &grant("long", &cgroup, "ttl: 1h"));
    eventually("the grant", || {
        (stage.workload.connect(server) == Attempts::all_ok(1)).then_some(())
    });
    let calling = stage.start(&program);
    calling.eventually(ALLOWED);
    host.write_policy("g.yaml", "");
    calling.eventually(REFUSED);
    eventually("no grant", || stage.grants().is_empty().then_some(()));
}

#[test]
fn a_user_who_may_less_than_others_of_its_cgroup_leases_less() {
    let host = host();
    let server = host.tcp_server("127.0.0.1:0", 0);
    let policy = model("127.0.0.1/32", &server.port().to_string());
    let granted = grant("a", &host.make_cgroup("granted"), "ttl: 1h");
    let strict = format!(
        "---
apiVersion: weir.dev/v1alpha1
kind: EgressDeny
metadata: {{name: strict}}
spec: {{subjects: [{{process: {{user: {USER}}}}}], endpoints: [model], reason: a test}}
"
    );
    host.write_policy("p.yaml", &(policy + &granted + &strict));
    let agent = host.agent().start();
    open_to_user(&host);
    let stage = Stage::new(&host, &agent, "granted");
    let ran = stage.run_as_user(&[], &["true"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("(denied-by-rule)"), "{ran:?}");
    assert_eq!(stage.calls(server).code, Some(0));
}

#[test]
fn a_user_may_use_a_directory_that_was_delegated_to_it() {
    let host = host();
    let server = granted_server(&host);
    let cgroup = host.cgroup().join("granted");
    for file in ["", "cgroup.procs", "cgroup.subtree_control"] {
        chown(cgroup.join(file), Some(USER), None).expect("delegated");
    }
    let agent = host.agent().start();
    open_to_user(&host);
    let stage = Stage::new(&host, &agent, "granted");
    let address = server.to_string();
    let client = host.client();
    let script = format!("cat /proc/self/cgroup; {client} - tcp {address} 1 1");
    let ran = stage.run_as_user(&[], &["sh", "-c", &script]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("/granted/weir-run-"), "{ran:?}");
    assert!(ran.stdout.contains(ALLOWED), "{ran:?}");
    assert!(stage.cgroups("granted").is_empty(), "it removes its own");
}

#[test]
fn without_an_agent_or_with_a_mistake_nothing_is_run() {
    let host = host();
    closed_server(&host);
    let agent = host.agent().start();
    let stage = Stage::new(&host, &agent, "other");
    let marker = host.path("marker");
    let marker_text = marker.display().to_string();
    let touch = ["touch", marker_text.as_str()];

    let ran = stage.run(&["--endpoint", "nonsense"], &touch);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.stderr
            .contains("unknown endpoint or provider `nonsense`"),
        "{ran:?}"
    );
    let ran = stage.run(&["--ttl", "soon"], &touch);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let line = stage.line(&[], &touch);
    let (workload, etc) = (host.workload("other"), stage.etc);
    agent.stop();
    let ran = workload.run_program(&etc, &line, &[], "");
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("no agent is listening on"), "{ran:?}");
    assert!(!marker.exists());
    let left = fs::read_dir(host.cgroup().join("other")).expect("a cgroup");
    let left = left.flatten().filter(|entry| Path::is_dir(&entry.path()));
    assert_eq!(left.count(), 0, "its cgroup is removed");
}
