//! What answers of the DNS make known.

use weir_tests::harness::{Attempts, resolver};

use super::host;

#[test]
fn an_answer_is_known_before_its_reader_can_connect() {
    let host = host();
    let resolver = host.resolver();
    host.write_policy("p.yaml", &resolver::policy());
    let agent = host.agent().arg("--name-server");
    let _agent = agent.arg(&resolver.ip().to_string()).start();

    let attempts = host
        .workload("other")
        .resolve_then_connect(resolver, 2_000, 2);

    assert_eq!(attempts, Attempts::all_refused(2_000));
}
