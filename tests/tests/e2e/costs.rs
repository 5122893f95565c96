//! What usage is estimated to cost: marked as such, and unknown where no rule tells it.

use serde_json::{Value, json};
use weir_tests::harness::{Agent, Attempts, Host, eventually};

use super::{grant, host, model};

/// Three dollars for a thousand bytes at `model`; nothing is said of others.
const RULES: &str = "[[costs]]\nendpoint = \"model\"\nper_megabyte = 3000\n\
                     [[costs]]\nendpoint = \"nobody\"\nper_call = 1\n";

/// An agent and a workload that has sent a thousand bytes to `model` and to `other` each.
fn used(host: &Host) -> Agent {
    let servers = [(); 2].map(|()| host.tcp_server("127.0.0.1:0", 0));
    let other = format!(
        "---
apiVersion: weir.dev/v1alpha1
kind: ModelEndpoint
metadata: {{name: other}}
spec: {{provider: test, cidrs: [127.0.0.1/32], ports: [{}]}}
",
        servers[1].port()
    );
    let policy = model("127.0.0.1/32", &servers[0].port().to_string());
    let granted = grant("a", &host.cgroup_path("granted"), "ttl: 1h");
    let granted = granted.replace("[model]", "[model, other]");
    host.write_policy("p.yaml", &(policy + &other + &granted));
    let agent = host.agent().config(RULES).start();
    let workload = host.workload("granted");
    for server in servers {
        assert_eq!(workload.exchange(server, 1_000), Attempts::all_ok(1));
    }
    agent
}

/// Costs by key.
fn costs(agent: &Agent, by: &str) -> Vec<(Value, Value)> {
    let report = agent.json(&["usage", "--by", by]);
    let rows = report["rows"].as_array().cloned().unwrap_or_default();
    let mut costs: Vec<_> = rows
        .into_iter()
        .map(|row| (row["key"][0].clone(), row["cost"].clone()))
        .collect();
    costs.sort_by_key(|(key, _)| key.to_string());
    costs
}

fn estimate(usd: f64, partial: bool) -> Value {
    json!({"usd": usd, "quality": "estimate", "partial": partial})
}

#[test]
fn an_estimate_is_marked_and_what_no_rule_tells_stays_unknown() {
    let host = host();
    let agent = used(&host);
    let expected = [
        (json!("model"), estimate(3.0, false)),
        (json!("other"), Value::Null),
    ];
    eventually("the costs", || {
        (costs(&agent, "endpoint") == expected).then_some(())
    });
    // A sum with something unknown is no total.
    let both = costs(&agent, "grant");
    assert_eq!(both, [(json!("a"), estimate(3.0, true))]);

    let shown = agent.weir(&["usage", "--by", "endpoint"]).expect(0).stdout;
    assert!(shown.contains("~$3.00"), "{shown}");
    let shown = agent.weir(&["usage", "--by", "grant"]).expect(0).stdout;
    assert!(shown.contains(">=~$3.00"), "{shown}");
    let csv = agent.weir(&["usage", "--by", "endpoint", "--csv"]);
    let lines: Vec<_> = csv.stdout.lines().map(ToOwned::to_owned).collect();
    let ends = |line: &str| lines.iter().any(|found| found.ends_with(line));
    assert!(ends("3,estimate,false") && ends(",unknown,"), "{lines:?}");

    let findings = agent.json(&["status"])["findings"].clone();
    assert_eq!(
        findings,
        json!(["[[costs]] for `nobody` is for no known endpoint"])
    );
}

#[test]
fn a_mistake_in_a_rule_names_its_line_and_field() {
    let host = host();
    let failed = host
        .agent()
        .config("\n[[costs]]\nendpoint = \"openai\"\nmodel = \"gpt-0\"\ntokens_per_call = {input = 1, output = 1}\n")
        .fail();
    let said = "weir.toml:4:9: costs.model: no price of `gpt-0` is known";
    assert!(failed.stderr.contains(said), "{failed:?}");
}
