//! Limits on calls and cost: they act on the next connection, and outlast the agent.

use std::net::SocketAddr;

use serde_json::{Value, json};
use weir_tests::harness::{Agent, Attempts, Client, Host, Site, eventually, site::Record};

use super::{grant, host, model, named_model};

const NAME: &str = "api.model.test";
const ADDRESS: &str = "127.0.0.23";

/// Of the workload `granted` at `model`.
fn explanation(agent: &Agent, host: &Host) -> Value {
    let cgroup = host.cgroup_path("granted");
    agent.json(&["explain", "--cgroup", &cgroup, "--endpoint", "model"])
}

fn reason(agent: &Agent, host: &Host) -> Value {
    explanation(agent, host)["reason"].clone()
}

fn write(host: &Host, limits: &str) {
    let limits = format!("limits: {limits}");
    let granted = grant("budgeted", &host.cgroup_path("granted"), &limits);
    host.write_policy("p.yaml", &(named_model(&[NAME]) + &granted));
}

#[test]
fn used_up_calls_refuse_the_next_connection_until_there_are_more() {
    let host = host();
    let site = Site::new(&host, &[NAME], &[Record::Address(NAME, &[ADDRESS])]);
    let model = site.serve_model(ADDRESS);
    write(&host, "{calls: {count: 3, per: 1d}}");
    let builder = || host.agent().name_server(&site.name_server());
    let agent = builder().start();
    let workload = host.workload("granted");
    // What runs is not interrupted: four calls on one connection.
    let url = format!("http://{NAME}/v1/chat?n=[1-4]");
    let call = |url: &str| {
        let client = Client::curl(&["--output", "/dev/null", "--max-time", "10"]);
        client.call(&workload, &site, url).ran
    };
    let first = call(&url);
    assert_eq!(first.code, Some(0), "{first:?}");
    assert_eq!(model.n_requests(), 4);
    eventually("the budget to be spent", || {
        (reason(&agent, &host) == "budget-spent").then_some(())
    });
    let limit = explanation(&agent, &host)["limits"][0].clone();
    let said = ["limit", "used", "most", "quality"].map(|field| limit[field].clone());
    assert_eq!(
        said,
        [json!("calls"), json!(4.0), json!(3.0), json!("inferred")]
    );
    let one = format!("http://{NAME}/v1/chat");
    let refused = call(&one);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    let event = eventually("the event", || {
        agent.events(&[("reason", "budget-spent")]).pop()
    });
    assert_eq!(
        (&event["verdict"], &event["rule"]),
        (&json!("deny"), &json!("budgeted"))
    );
    let audit = agent.weir(&["audit", "list", "--json"]).stdout;
    let of = |text: &str| text.matches("\"budget-spent\"").count();
    assert_eq!(of(&audit), 1, "{audit}");

    // Without an agent, and with another one.
    agent.kill();
    assert_ne!(call(&one).code, Some(0));
    let agent = builder().start();
    assert_ne!(call(&one).code, Some(0));
    assert_eq!(reason(&agent, &host), "budget-spent");
    assert_eq!(model.n_requests(), 4);

    // What was used stays used.
    write(&host, "{calls: {count: 6, per: 1d}}");
    eventually("more calls", || (call(&one).code == Some(0)).then_some(()));
    let audit = agent.weir(&["audit", "list", "--json"]).stdout;
    assert_eq!(of(&audit), 1, "{audit}");
}

/// A server that is `model`, and a grant with a limit on cost.
fn priced(host: &Host) -> SocketAddr {
    let server = host.tcp_server("127.0.0.1:0", 0);
    let limits = "limits: {cost: {usd: 2.5, per: 1d}}";
    let granted = grant("budgeted", &host.cgroup_path("granted"), limits);
    let policy = model("127.0.0.1/32", &server.port().to_string()) + &granted;
    host.write_policy("p.yaml", &policy);
    server
}

#[test]
fn an_estimated_cost_that_is_used_up_refuses_the_next_connection() {
    let host = host();
    let server = priced(&host);
    let agent = host
        .agent()
        .config("[[costs]]\nendpoint = \"model\"\nper_megabyte = 2000\n")
        .start();
    let workload = host.workload("granted");
    assert_eq!(workload.exchange(server, 1_000), Attempts::all_ok(1));
    eventually("the cost", || {
        let used = explanation(&agent, &host)["limits"][0]["used"].clone();
        (used == 2.0).then_some(())
    });
    assert_eq!(workload.exchange(server, 1_000), Attempts::all_ok(1));
    eventually("a refusal", || {
        (workload.connect(server).refused == 1).then_some(())
    });
    assert_eq!(reason(&agent, &host), "budget-spent");
}

#[test]
fn a_cost_that_nothing_tells_cannot_be_limited() {
    let host = host();
    priced(&host);
    let agent = host.agent().start();
    let said = "grant `budgeted`: limits.cost: nothing tells what `model` costs";
    let findings = agent.json(&["status"])["findings"].to_string();
    assert!(findings.contains(said), "{findings}");
    let file = host.path("more.yaml");
    let limits = "limits: {cost: {usd: 1, per: 1h}}";
    let more = grant("another", &host.cgroup_path("granted"), limits);
    std::fs::write(&file, more.trim_start_matches("---\n")).expect("a file");
    let applied = agent.weir(&["policy", "apply", &file.display().to_string()]);
    assert!(!applied.is(0), "{applied:?}");
    let said = "grant `another`: limits.cost: nothing tells what `model` costs";
    assert!(applied.stderr.contains(said), "{applied:?}");
}
