//! Who a workload is, from its first instruction on.

mod containers;
mod crowds;
mod machines;
mod pretenders;
mod processes;
mod restarts;

use std::net::SocketAddr;

use weir_tests::harness::{Agent, Host, eventually};

use super::{host, model};

/// A TCP server that is the endpoint `model`, and a policy with `documents` beside it: nobody else
/// may call it.
fn server_for(host: &Host, documents: &str) -> SocketAddr {
    let server = host.tcp_server("127.0.0.1:0", 0);
    let policy = model("127.0.0.1/32", &server.port().to_string());
    host.write_policy("p.yaml", &(policy + documents));
    server
}

/// A grant of `model` for these subjects, each in YAML.
fn grant_for(subjects: &[String]) -> String {
    let lines: String = subjects
        .iter()
        .map(|subject| format!("    - {subject}\n"))
        .collect();
    format!(
        "---
apiVersion: weir.dev/v1alpha1
kind: InvocationGrant
metadata: {{name: a}}
spec:
  subjects:
{lines}  endpoints: [model]
  purpose: a test
"
    )
}

fn live(agent: &Agent) -> Vec<String> {
    let list = agent.json(&["identities", "--live"]);
    let names = list["identities"].as_array().into_iter().flatten();
    names
        .filter_map(|identity| identity["name"].as_str().map(ToOwned::to_owned))
        .collect()
}

fn wait_for(agent: &Agent, identity: &str) {
    eventually(identity, || {
        live(agent)
            .iter()
            .any(|name| name == identity)
            .then_some(())
    });
}
