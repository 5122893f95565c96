//! Connections that live, and what goes through them.

use serde_json::Value;
use weir_tests::harness::{Agent, Attempts, Host, eventually};

use super::{grant, host, model, revocation::Stream};

/// A model that streams, which `granted` may call.
fn streaming(host: &Host) -> Stream {
    let stream = Stream::serve("127.0.0.1:0");
    let port = stream.address.port().to_string();
    let granted = grant("a", &host.make_cgroup("granted"), "ttl: 1h");
    host.write_policy("p.yaml", &(model("127.0.0.1/32", &port) + &granted));
    stream
}

fn list(agent: &Agent) -> Value {
    agent.json(&["connections"])
}

/// Waits for this many, of which all have sent and received more than `bytes`.
fn await_bytes(agent: &Agent, n: usize, bytes: u64) -> Value {
    eventually("the bytes", || {
        let list = list(agent);
        let connections = list["connections"].as_array()?;
        let is_more = |one: &Value, field: &str| one[field].as_u64() > Some(bytes);
        let grown = connections
            .iter()
            .all(|one| is_more(one, "bytes_out") && is_more(one, "bytes_in"));
        (connections.len() == n && grown).then_some(list)
    })
}

#[test]
fn bytes_of_a_stream_are_shown_while_it_lives() {
    let host = host();
    let stream = streaming(&host);
    for mode in ["observe", "enforce"] {
        let agent = host.agent().mode(mode).start();
        let held = host.workload("granted").hold(stream.address, 3);
        let first = await_bytes(&agent, 3, 0);
        let one = &first["connections"][0];
        let identity = format!("cgroup:{}", host.cgroup_path("granted"));
        assert_eq!(one["identity"], identity.as_str(), "{one}");
        assert_eq!(one["endpoint"], "model", "{one}");
        assert_eq!(one["rule"], "a", "{one}");
        assert_eq!(one["attribution_quality"], "exact", "{one}");
        assert!(one["since"].is_string() && one["pid"].is_u64(), "{one}");
        let most = one["bytes_out"].as_u64().expect("a number");
        await_bytes(&agent, 3, most);
        // The next agent has not seen it being made.
        agent.kill();
        let agent = host.agent().mode(mode).start();
        let later = await_bytes(&agent, 3, most);
        let one = &later["connections"][0];
        assert_eq!(one["identity"], identity.as_str(), "{one}");
        assert_eq!(one["attribution_quality"], "inferred", "{one}");
        assert!(one["since"].is_null(), "{one}");
        assert_eq!(held.stop(), Attempts::all_ok(3));
        eventually("the end of all", || {
            (list(&agent)["total"] == 0).then_some(())
        });
        agent.stop();
    }
}

#[test]
fn connections_are_listed_by_identity_and_endpoint_and_not_beyond_a_number() {
    let host = host();
    let stream = streaming(&host);
    let agent = host.agent().start();
    let held = host.workload("granted").hold(stream.address, 3);
    await_bytes(&agent, 3, 0);
    let total = |args: &[&str]| {
        let list = agent.json(&[&["connections"], args].concat());
        let shown = list["connections"].as_array().map(Vec::len);
        (list["total"].as_u64(), shown)
    };
    assert_eq!(total(&["--top", "2"]), (Some(3), Some(2)));
    assert_eq!(total(&["--endpoint", "model"]), (Some(3), Some(3)));
    assert_eq!(total(&["--endpoint", "openai"]), (Some(0), Some(0)));
    assert_eq!(total(&["--identity", "unit:x.service"]), (Some(0), Some(0)));
    let text = agent.weir(&["connections"]).expect(0).stdout;
    assert!(text.starts_with("SINCE"), "{text}");
    assert!(text.contains("3 live, "), "{text}");
    assert_eq!(held.stop(), Attempts::all_ok(3));
}
