//! Dashboard and rules against a real Prometheus that scrapes a real agent.

use std::{fs, time::Duration};

use serde_json::Value;
use weir_tests::harness::{
    Attempts, eventually, eventually_within,
    prometheus::{METRICS, Prometheus, program},
};

use super::{grant, host, model};

/// Expressions of all panels, also those in rows.
fn expressions(panels: &Value) -> Vec<String> {
    let panels = panels.as_array().into_iter().flatten();
    let of = |panel: &Value| {
        let targets = panel["targets"].as_array().into_iter().flatten();
        let own = targets.filter_map(|target| target["expr"].as_str());
        let mut all: Vec<_> = own.map(ToOwned::to_owned).collect();
        all.extend(expressions(&panel["panels"]));
        all
    };
    panels.flat_map(of).collect()
}

/// What only agents that know pods have, or changes that nobody has made.
fn may_be_empty(expression: &str) -> bool {
    expression.contains("weir_kubernetes_") || expression.starts_with("changes(")
}

#[test]
fn every_query_of_the_dashboard_finds_something() {
    let program = match program() {
        Ok(program) => program,
        Err(why) => {
            println!("SKIP monitoring::every_query_of_the_dashboard_finds_something: {why}");
            return;
        }
    };
    let host = host();
    let server = host.tcp_server("127.0.0.1:0", 100);
    let policy = model("127.0.0.1/32", &server.port().to_string());
    let granted = grant("a", &host.make_cgroup("granted"), "ttl: 1h");
    host.write_policy("p.yaml", &(policy + &granted));
    let agent = host.agent().arg("--metrics-listen").arg(METRICS).start();
    assert_eq!(
        host.workload("other").connects(server, 3, 1),
        Attempts::all_refused(3)
    );
    assert_eq!(
        host.workload("granted").exchange(server, 1_000),
        Attempts::all_ok(1)
    );
    eventually("the bytes", || {
        (agent.usage("endpoint", &["model"], "bytes_in") == 100).then_some(())
    });

    let prometheus = Prometheus::start(&host, program);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/grafana/weir.json");
    let text = fs::read_to_string(path).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let mut all = expressions(&dashboard["panels"]);
    let annotations = dashboard["annotations"]["list"]
        .as_array()
        .into_iter()
        .flatten();
    let annotations = annotations.filter_map(|annotation| annotation["expr"].as_str());
    all.extend(annotations.map(ToOwned::to_owned));
    assert!(all.len() >= 10, "{all:?}");
    for expression in all {
        let asked = expression
            .replace("$instance", ".*")
            .replace("$__rate_interval", "1m")
            .replace("$__range", "1h");
        assert!(!asked.contains('$'), "an unknown variable in {asked}");
        if may_be_empty(&asked) {
            prometheus
                .query(&asked)
                .unwrap_or_else(|error| panic!("{asked}: {error}"));
            continue;
        }
        // A rate takes two scrapes.
        eventually_within(Duration::from_secs(30), &asked, || {
            let found = prometheus.query(&asked);
            let found = found.unwrap_or_else(|error| panic!("{asked}: {error}"));
            (!found.is_empty()).then_some(())
        });
    }
    let denied = format!(
        "weir_connections_total{{identity=\"cgroup:{}\",verdict=\"deny\"}} == 3",
        host.cgroup_path("other")
    );
    assert_eq!(prometheus.query(&denied).map(|found| found.len()), Ok(1));
    let firing = prometheus
        .query("ALERTS{alertstate=\"firing\"}")
        .expect("an answer");
    assert_eq!(firing, Vec::<Value>::new());
    let variables = dashboard["templating"]["list"]
        .as_array()
        .expect("variables");
    let names: Vec<_> = variables.iter().map(|variable| &variable["name"]).collect();
    assert_eq!(names, ["datasource", "instance"]);
}
