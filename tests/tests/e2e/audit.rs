//! Who decided what, and that nobody can make it otherwise unnoticed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use serde_json::Value;
use weir_tests::harness::{Agent, Attempts, Host, eventually};

use super::{closed_server, host};

fn issue(agent: &Agent, name: &str) -> bool {
    let args = [
        "grant",
        "issue",
        name,
        "--unit",
        "batch.service",
        "--endpoint",
        "model",
        "--purpose",
        "nightly summaries",
        "--ttl",
        "1h",
    ];
    agent.weir(&args).is(0)
}

fn records(agent: &Agent) -> Vec<Value> {
    let list = agent.json(&["audit", "list", "--limit", "10000"]);
    list["records"].as_array().cloned().unwrap_or_default()
}

fn actions(records: &[Value]) -> Vec<&str> {
    records
        .iter()
        .filter_map(|record| record["action"].as_str())
        .collect()
}

#[test]
fn each_decision_has_a_record_that_says_who_why_and_for_which_control() {
    let host = host();
    closed_server(&host);
    let agent = host.agent().start();
    assert!(issue(&agent, "nightly"));
    agent
        .weir(&["grant", "revoke", "nightly", "--why", "incident 4711"])
        .expect(0);
    let deny = [
        "deny",
        "add",
        "no-model",
        "--any",
        "--endpoint",
        "model",
        "--reason",
        "incident 4711",
    ];
    agent.weir(&deny).expect(0);
    agent
        .weir(&["deny", "remove", "no-model", "--why", "solved"])
        .expect(0);
    agent.stop();
    let agent = host.agent().mode("shadow").start();

    let records = records(&agent);
    let expected = [
        "policy-applied",
        "policy-applied",
        "agent-started",
        "coverage-changed",
        "grant-activated",
        "grant-revoked",
        "deny-added",
        "deny-removed",
        "agent-stopped",
        "agent-started",
        "mode-changed",
    ];
    assert_eq!(actions(&records), expected);
    let file = &records[0];
    assert_eq!(file["actor"]["via"], "file");
    assert!(
        file["details"]["source"]
            .as_str()
            .is_some_and(|source| source.ends_with("p.yaml")),
        "{file}"
    );
    let activated = &records[4];
    assert_eq!(activated["reason"], "nightly summaries");
    assert_eq!(activated["actor"]["name"], "root");
    assert!(activated["actor"]["pid"].is_u64(), "{activated}");
    let revoked = &records[5];
    assert_eq!(
        (&revoked["name"], &revoked["reason"]),
        (&"nightly".into(), &"incident 4711".into())
    );
    let controls = revoked["controls"].as_array().map_or(0, Vec::len);
    assert!(controls >= 4, "{revoked}");
    assert_eq!(records[9]["details"]["clean"], true);
    let mode = &records[10]["details"];
    assert_eq!(
        (&mode["from"], &mode["to"]),
        (&"enforce".into(), &"shadow".into())
    );
    let verified = agent.weir(&["audit", "verify"]).expect(0);
    assert!(
        verified
            .stdout
            .ends_with("nothing was changed, removed or added\n"),
        "{verified:?}"
    );
}

#[test]
fn refusals_have_records_with_exact_counts() {
    let host = host();
    let server = closed_server(&host);
    let agent = host.agent().start();
    let workload = host.workload("other");
    assert_eq!(workload.connects(server, 40, 1), Attempts::all_refused(40));
    let first = eventually("a record", || {
        let records = records(&agent);
        records
            .into_iter()
            .find(|record| record["action"] == "invocation-refused")
    });
    assert_eq!(first["reason"], "no-grant");
    assert_eq!(first["name"], "model");
    let identity = format!("cgroup:{}", host.cgroup_path("other"));
    assert_eq!(first["actor"]["identity"], identity);
    workload.connects(server, 7, 1);
    agent.kill();

    // What was counted before the kill is told after it.
    let agent = host.agent().start();
    agent.stop();
    let agent = host.agent().start();
    let told: u64 = records(&agent)
        .iter()
        .filter(|record| record["action"] == "invocation-refused")
        .filter_map(|record| record["details"]["count"].as_u64())
        .sum();
    assert_eq!(told, 47);
}

#[test]
fn a_killed_agent_leaves_no_change_without_its_record() {
    let host = host();
    closed_server(&host);
    let mut issued = 0;
    for round in 0..3 {
        let agent = host.agent().start();
        for number in 0..10 {
            assert!(issue(&agent, &format!("grant-{round}-{number}")));
            issued += 1;
        }
        agent.kill();
    }
    let agent = host.agent().start();
    let records = records(&agent);
    let activated = actions(&records)
        .iter()
        .filter(|action| **action == "grant-activated")
        .count();
    assert_eq!(activated, issued);
    let grants = agent.json(&["grant", "list"]);
    assert_eq!(grants["grants"].as_array().map(Vec::len), Some(issued));
    let starts: Vec<_> = records
        .iter()
        .filter(|record| record["action"] == "agent-started")
        .map(|record| record["details"]["clean"] == true)
        .collect();
    assert_eq!(starts, [true, false, false, false]);
    agent.weir(&["audit", "verify"]).expect(0);
}

/// A stopped agent's state with some records, and an older copy of it.
fn state(host: &Host) -> (PathBuf, PathBuf) {
    closed_server(host);
    let agent = host.agent().start();
    assert!(issue(&agent, "first"));
    agent.stop();
    let older = host.path("older");
    copy(&host.path("state"), &older);
    let agent = host.agent().start();
    assert!(issue(&agent, "second"));
    assert!(issue(&agent, "third"));
    agent.stop();
    (host.path("state"), older)
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

/// As somebody does who may write the file.
fn sql(directory: &Path, statements: &str) {
    let database = Connection::open(directory.join("weir.db")).expect("the database");
    database
        .execute_batch(
            "DROP TRIGGER audit_is_never_changed; DROP TRIGGER audit_is_never_shortened;",
        )
        .expect("no triggers");
    database.execute_batch(statements).expect("tampered");
}

#[test]
fn tampering_with_the_files_is_found_and_told_in_a_sentence() {
    let host = host();
    let (state, older) = state(&host);
    let agent = host.agent().start();
    let key = agent.json(&["audit", "verify"])["public_key"].clone();
    assert_eq!(key.as_str().map(str::len), Some(64));
    agent.stop();
    let tampered = host.path("tampered");
    let checkpoints = |directory: &Path| directory.join("audit-checkpoints.jsonl");
    let head = |directory: &Path| directory.join("audit-head.json");
    let shorten = |directory: &Path| {
        let text = fs::read_to_string(checkpoints(directory)).expect("checkpoints");
        let lines: Vec<_> = text.lines().take(3).collect();
        fs::write(checkpoints(directory), lines.join("\n") + "\n").expect("shortened");
    };
    type Case<'a> = (&'a str, &'a dyn Fn(&Path), &'a str);
    let cases: &[Case<'_>] = &[
        (
            "an edited reason",
            &|directory| sql(directory, "UPDATE audit SET reason = 'x' WHERE seq = 5"),
            "record 5 is not what was recorded",
        ),
        (
            "an edited time",
            &|directory| sql(directory, "UPDATE audit SET at = at + 1 WHERE seq = 5"),
            "record 5 is not what was recorded",
        ),
        (
            "an edited hash",
            &|directory| {
                sql(
                    directory,
                    "UPDATE audit SET hash = zeroblob(32) WHERE seq = 5",
                );
            },
            "record 5 is not what was recorded",
        ),
        (
            "a deleted record",
            &|directory| sql(directory, "DELETE FROM audit WHERE seq = 5"),
            "record 5 is missing",
        ),
        (
            "a record put in",
            &|directory| {
                sql(
                    directory,
                    "UPDATE audit SET seq = -seq WHERE seq > 4;
                     UPDATE audit SET seq = 1 - seq WHERE seq < 0;
                     INSERT INTO audit SELECT 5, at, action, outcome, via, uid, user, pid, cgroup,
                         identity, kind, 'forged', reason, details, hash FROM audit WHERE seq = 4",
                );
            },
            "record 5 is not what was recorded",
        ),
        (
            "two records changed places",
            &|directory| {
                sql(
                    directory,
                    "UPDATE audit SET seq = -1 WHERE seq = 5; UPDATE audit SET seq = 5 WHERE seq = 6;
                     UPDATE audit SET seq = 6 WHERE seq = -1",
                );
            },
            "record 5 is not what was recorded",
        ),
        (
            "an end that is cut off",
            &|directory| sql(directory, "DELETE FROM audit WHERE seq > 6"),
            "the end is missing: the last record is 6",
        ),
        (
            "table and checkpoints cut off",
            &|directory| {
                sql(directory, "DELETE FROM audit WHERE seq > 6");
                shorten(directory);
            },
            "the head says that there were",
        ),
        (
            "no table",
            &|directory| sql(directory, "DROP TABLE audit"),
            "the end is missing: the last record is 0",
        ),
        (
            "no database",
            &|directory| fs::remove_file(directory.join("weir.db")).expect("removed"),
            "the end is missing: the last record is 0",
        ),
        (
            "no checkpoints",
            &|directory| fs::remove_file(checkpoints(directory)).expect("removed"),
            "the head says that there were",
        ),
        (
            "no head",
            &|directory| fs::remove_file(head(directory)).expect("removed"),
            "the head that counts them was removed",
        ),
        (
            "no proof at all",
            &|directory| {
                fs::remove_file(checkpoints(directory)).expect("removed");
                fs::remove_file(head(directory)).expect("removed");
            },
            "there are records, but no checkpoint",
        ),
        (
            "another key",
            &|directory| {
                fs::write(directory.join("audit-key"), "11".repeat(32)).expect("replaced");
            },
            "is not signed with the key",
        ),
        (
            "an older database",
            &|directory| {
                fs::copy(older.join("weir.db"), directory.join("weir.db")).expect("restored");
            },
            "the end is missing",
        ),
        (
            "older checkpoints",
            &|directory| {
                fs::copy(checkpoints(&older), checkpoints(directory)).expect("restored");
            },
            "some were removed",
        ),
        (
            "a record added at the end",
            &|directory| {
                sql(
                    directory,
                    "INSERT INTO audit SELECT seq + 1, at, action, outcome, via, uid, user, pid,
                         cgroup, identity, kind, 'forged', reason, details, hash
                     FROM audit ORDER BY seq DESC LIMIT 1",
                );
            },
            "was added while no agent ran",
        ),
    ];
    let verify = |directory: &Path| {
        let directory = directory.display().to_string();
        agentless(&host, &["audit", "verify", "--state-dir", &directory])
    };
    copy(&state, &tampered);
    let untouched = verify(&tampered);
    assert_eq!(untouched.0, 0, "{}", untouched.1);
    for (what, tamper, told) in cases {
        copy(&state, &tampered);
        tamper(&tampered);
        let (code, text) = verify(&tampered);
        assert_eq!(code, 1, "{what}: {text}");
        assert!(text.contains(told), "{what}: {text}");
    }
    // What the directory itself cannot tell: all of it is an older copy. Another place can.
    let last = untouched
        .1
        .lines()
        .find_map(|line| line.strip_prefix("last record "))
        .expect("the last record")
        .to_owned();
    assert_eq!(verify(&older).0, 0);
    let older = older.display().to_string();
    let args = ["audit", "verify", "--state-dir", &older, "--expect", &last];
    let (code, text) = agentless(&host, &args);
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("is another one than was expected, or is missing"),
        "{text}"
    );
}

/// Exit code and output of a command that needs no agent.
fn agentless(host: &Host, args: &[&str]) -> (i32, String) {
    let output = host.weir(args);
    (output.code.unwrap_or(-1), output.stdout + &output.stderr)
}

#[test]
fn an_agent_that_runs_knows_what_no_checkpoint_proves() {
    let host = host();
    closed_server(&host);
    let agent = host.agent().start();
    assert!(issue(&agent, "first"));
    sql(
        &host.path("state"),
        "DELETE FROM audit WHERE seq = (SELECT MAX(seq) FROM audit)",
    );
    let found = agent.weir(&["audit", "verify"]).expect(1);
    let told = "is another one than the agent that runs has written, or is missing";
    assert!(found.stdout.contains(told), "{found:?}");
    // The next record tells it for ever.
    assert!(issue(&agent, "second"));
    assert!(actions(&records(&agent)).contains(&"audit-tampered"));
    agent.weir(&["audit", "verify"]).expect(1);
}

#[test]
fn an_agent_that_starts_tells_what_was_done_meanwhile() {
    let host = host();
    let (state, _) = state(&host);
    sql(
        &state,
        "DELETE FROM audit WHERE seq = (SELECT MAX(seq) FROM audit)",
    );
    let agent = host.agent().start();
    let records = records(&agent);
    let tampered = records
        .iter()
        .find(|record| record["action"] == "audit-tampered")
        .expect("a record");
    assert_eq!(tampered["reason"], "records at the end are gone");
    agent.weir(&["audit", "verify"]).expect(1);
}

#[test]
fn records_are_exported_in_full() {
    let host = host();
    closed_server(&host);
    let agent = host.agent().start();
    assert!(issue(&agent, "first"));
    let lines = |format| {
        let output = agent
            .weir(&["audit", "export", "--format", format])
            .expect(0);
        let lines = output.stdout.lines().map(|line| {
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{line}: {error}"))
        });
        lines.collect::<Vec<_>>()
    };
    let plain = lines("jsonl");
    let listed = records(&agent);
    assert_eq!(plain, listed);
    let ocsf = lines("ocsf");
    assert_eq!(ocsf.len(), listed.len());
    for (event, record) in ocsf.iter().zip(&listed) {
        assert_eq!(event["metadata"]["version"], "1.5.0");
        assert_eq!(event["metadata"]["sequence"], record["seq"]);
        assert_eq!(event["unmapped"]["hash"], record["hash"]);
        let class = event["class_uid"].as_u64().unwrap_or_default();
        let activity = event["activity_id"].as_u64().unwrap_or_default();
        assert_eq!(event["type_uid"], class * 100 + activity);
    }
}

#[test]
fn records_are_forwarded_to_a_file_each_of_them() {
    let host = host();
    closed_server(&host);
    let file = host.path("forwarded.jsonl");
    let config = format!("[audit]\nfile = \"{}\"\n", file.display());
    fs::write(host.path("weir.toml"), config).expect("a configuration");
    let agent = host.agent().start();
    assert!(issue(&agent, "first"));
    agent.kill();
    let agent = host.agent().start();
    let listed = records(&agent);
    let read = || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let lines = text.lines().map(|line| {
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{line}: {error}"))
        });
        lines.collect::<Vec<_>>()
    };
    eventually("all records", || {
        (read().len() >= listed.len()).then_some(())
    });
    let mut forwarded = read();
    forwarded.dedup();
    assert_eq!(forwarded, listed);
}

#[test]
fn a_report_says_who_could_invoke_what_and_what_was_used() {
    let host = host();
    let server = closed_server(&host);
    let agent = host.agent().start();
    let cgroup = host.make_cgroup("batch");
    let issue = |name: &str, endpoints: &[&str]| {
        let mut args = vec!["grant", "issue", name, "--cgroup", &cgroup];
        args.extend(["--purpose", "nightly summaries", "--ttl", "1h"]);
        args.extend(endpoints.iter().flat_map(|one| ["--endpoint", one]));
        agent.weir(&args).expect(0);
    };
    issue("broad", &["model", "anthropic"]);
    issue("idle", &["openai"]);
    let batch = host.workload("batch");
    assert_eq!(batch.connects(server, 3, 1), Attempts::all_ok(3));
    agent
        .weir(&["grant", "revoke", "idle", "--why", "nobody needs it"])
        .expect(0);

    let report = agent.json_of(&["report", "--since", "1d", "--format", "json"]);
    let grant = |name: &str| {
        let grants = report["grants"].as_array().cloned().unwrap_or_default();
        let found = grants.into_iter().find(|grant| grant["name"] == name);
        found.unwrap_or_else(|| panic!("{report:#}"))
    };
    let broad = grant("broad");
    assert_eq!(
        (&broad["calls"], &broad["state"]),
        (&3.into(), &"active".into())
    );
    assert_eq!(broad["endpoints_used"], serde_json::json!(["model"]));
    assert_eq!(broad["issued_by"], "root");
    let identity = format!("cgroup:{cgroup}");
    assert_eq!(broad["users"], serde_json::json!([identity]));
    let idle = grant("idle");
    assert_eq!(
        (&idle["state"], &idle["ended_why"], &idle["ended_by"]),
        (&"revoked".into(), &"nobody needs it".into(), &"root".into())
    );
    assert_eq!(report["endings"][0]["name"], "idle");
    assert_eq!(report["verification"]["problems"], serde_json::json!([]));

    let unused = agent.weir(&["grant", "unused"]).expect(0).stdout;
    assert!(unused.contains("broad"), "{unused}");
    assert!(unused.contains("used 1"), "{unused}");
    assert!(!unused.contains("idle"), "{unused}");
    let text = agent.weir(&["report"]).expect(0).stdout;
    assert!(text.contains("== Who could invoke what"), "{text}");
    assert!(
        text.contains("nothing was changed, removed or added"),
        "{text}"
    );
}
