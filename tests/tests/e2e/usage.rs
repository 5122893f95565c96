//! Questions about usage: groups, filters, intervals, pages.

use std::process::Command;

use serde_json::Value;
use weir_tests::harness::{Agent, Attempts, Host, Output};

use super::{closed_server, host};

/// Three workloads that were refused six times, three times and once.
fn refused(host: &Host) -> Agent {
    let server = closed_server(host);
    let agent = host.agent().start();
    for (name, times) in [("a", 6), ("b", 3), ("c", 1)] {
        assert_eq!(
            host.workload(name).connects(server, times, 1),
            Attempts::all_refused(times)
        );
    }
    agent
}

fn denied(row: &Value) -> u64 {
    row["connections_denied"].as_u64().unwrap_or(0)
}

fn rows(report: &Value) -> Vec<Value> {
    report["rows"].as_array().cloned().unwrap_or_default()
}

#[test]
fn sums_hold_whatever_is_left_out_and_filters_take_globs() {
    let host = host();
    let agent = refused(&host);
    let report = agent.json(&["usage", "--top", "1", "--by", "identity,reason"]);
    let told: Vec<_> = rows(&report).iter().map(denied).collect();
    assert_eq!(told, [6]);
    assert_eq!(report["other"]["rows"], 2);
    assert_eq!(denied(&report["other"]["sum"]), 4);
    let rate = &report["rows"][0]["connections_per_minute"];
    assert!(rate.as_f64().is_some_and(|rate| rate > 0.0), "{report}");

    let csv = agent.weir(&["usage", "--top", "1", "--csv"]).stdout;
    let line = csv.lines().last().unwrap_or_default();
    assert!(line.starts_with("other (2 more),0,4,0,exact,"), "{csv}");

    let (a, b) = (host.cgroup_path("a"), host.cgroup_path("b"));
    let filter = |value: &str| format!("identity=cgroup:{value}");
    let filters = [filter(&a), filter(&format!("*{}", &b[1..]))];
    let args = ["usage", "--filter", &filters[0], "--filter", &filters[1]];
    let told: Vec<_> = rows(&agent.json(&args)).iter().map(denied).collect();
    assert_eq!(told, [6, 3]);
    let args = [&args[..], &["--filter", "reason=granted"]].concat();
    assert_eq!(rows(&agent.json(&args)), Vec::<Value>::new());
    let by_user = ["usage", "--by", "exe", "--filter", "user=root"];
    let told: u64 = rows(&agent.json(&by_user)).iter().map(denied).sum();
    assert_eq!(told, 10);
}

#[test]
fn intervals_before_the_agent_was_there_are_unknown_and_not_zero() {
    let host = host();
    let agent = refused(&host);
    let report = agent.json(&["usage", "--since", "10m", "--interval", "1m"]);
    let intervals = report["intervals"].as_array().expect("intervals");
    assert_eq!(intervals[0]["coverage"], "none", "{report}");
    for row in rows(&report) {
        let points = row["points"].as_array().expect("points");
        assert_eq!(points.len(), intervals.len());
        assert!(points[0]["connections_denied"].is_null(), "{row}");
        assert_eq!(points[0]["connections_quality"], "unknown");
        assert_eq!(points.iter().map(denied).sum::<u64>(), denied(&row));
    }
    let table = agent
        .weir(&["usage", "--since", "10m", "--interval", "1m"])
        .stdout;
    let legend = "; · is none, ? is not known";
    assert!(table.contains("connections in each 1m from ") && table.contains(legend));
    assert!(table.contains("  ????????"), "{table}");
}

#[test]
fn pages_tell_every_row_once_in_the_order_of_their_keys() {
    let host = host();
    let agent = refused(&host);
    let page = |after: &str| -> Value {
        let url = format!("http://weir/v1/usage?limit=2{after}");
        let socket = host.path("weir.sock");
        let curl = Command::new("curl")
            .args(["--silent", "--fail", "--unix-socket"])
            .arg(&socket)
            .arg(url)
            .output();
        let text = curl.expect("curl runs").stdout;
        serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{error}\n{}", agent.log()))
    };
    let first = page("");
    let next = first["next"].as_str().expect("another page");
    let second = page(&format!("&after={next}"));
    assert!(second["next"].is_null(), "{second}");
    let told: Vec<_> = [first, second]
        .iter()
        .flat_map(rows)
        .map(|row| denied(&row))
        .collect();
    assert_eq!(told, [6, 3, 1]);
}

#[test]
fn a_question_that_nobody_can_answer_has_one_clear_error() {
    let host = host();
    let agent = host.agent().start();
    let check = |args: &[&str], expected: &str| {
        let args = [&["usage"], args].concat();
        let Output { stderr, .. } = agent.weir(&args).expect(2);
        assert!(stderr.contains(expected), "{args:?}: {stderr}");
        assert!(stderr.lines().count() <= 4, "{args:?}: {stderr}");
    };
    check(
        &["--by", "colour"],
        "[possible values: identity, endpoint, grant,",
    );
    check(
        &["--by", "exe,exe"],
        "weir: --by exe,exe: group by two different ones",
    );
    check(
        &["--filter", "colour=red"],
        "weir: cannot filter by `colour`: one of identity, endpoint, grant,",
    );
    check(
        &["--filter", "pod"],
        "weir: filter `pod`: write KEY=VALUE, where KEY is one of",
    );
    check(
        &["--since", "30d", "--interval", "5m"],
        "intervals are more than the 3000 that one answer may have: take an interval of 15m,",
    );
    check(
        &["--since", "1h", "--interval", "7s"],
        "weir: interval `7s`: write whole minutes, hours or days",
    );
    check(
        &["--interval", "1m"],
        "weir: intervals need a beginning: say since when",
    );
    check(
        &["--by", "exe", "--filter", "grant=*"],
        "weir: events do not tell grant and reason of a process",
    );
}
