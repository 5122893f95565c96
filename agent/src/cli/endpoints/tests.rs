//! Exact text and JSON of `weir endpoints match`.

use jiff::Timestamp;

use super::*;
use crate::{
    endpoint::Catalogue,
    policy::{Spec, parse},
};

fn printed(found: &EndpointMatches) -> String {
    let mut bytes = Vec::new();
    let mut out = Out::to(&mut bytes, Timestamp::UNIX_EPOCH);
    print_matches(found, &mut out).expect("memory can be written to");
    drop(out);
    String::from_utf8(bytes).expect("UTF-8")
}

fn check(catalogue: &Catalogue, host: &str, expected: &str) {
    assert_eq!(
        printed(&backend::matches(catalogue, host)),
        expected,
        "{host}"
    );
}

/// As `weir endpoints match` answers it, but for the sources, which change with the table.
fn check_builtin(host: &str, expected: &str) {
    let mut found = backend::matches(Catalogue::builtin(), host);
    for matched in &mut found.matches {
        assert!(matched.source.starts_with("catalogue: "), "{host}");
        "S".clone_into(&mut matched.source);
    }
    assert_eq!(printed(&found), expected, "{host}");
}

#[test]
fn a_match_names_endpoint_provider_plane_rule_and_source() {
    check_builtin(
        "bedrock-runtime.xx-new-1.amazonaws.com",
        "\
endpoint  bedrock-runtime
provider  aws-bedrock
plane     invoke
rule      bedrock-runtime.*.amazonaws.com, port 443
source    S
",
    );
    check_builtin(
        "openrouter.ai",
        "\
endpoint  openrouter/shared
provider  openrouter
plane     invoke
rule      openrouter.ai, port 443; the host serves other things too
reseller  passes calls on to models of other makers
source    S
",
    );
    check_builtin(
        "x.openai.azure.us",
        "\
endpoint  azure-openai
provider  azure-openai
plane     invoke; management goes to this host too
rule      *.openai.azure.us, port 443
source    S
",
    );
}

#[test]
fn an_address_is_found_by_its_network() {
    let expected = "\
endpoint  encrypted-dns/google-public-dns
provider  google-public-dns
plane     resolve
rule      8.8.8.8/32, port 443, 853
source    S
";
    check_builtin("8.8.8.8", expected);
    check_builtin(
        "192.0.2.1",
        "192.0.2.1 belongs to no endpoint that is known\n",
    );
}

#[test]
fn a_host_that_nobody_has_says_so_and_what_it_looks_like() {
    check_builtin(
        "api.opanai.com",
        "api.opanai.com belongs to no endpoint that is known\nsimilar   api.openai.com (openai)\n",
    );
    for host in ["openai.com.evil.org", "www.example.com"] {
        check_builtin(
            host,
            &format!("{host} belongs to no endpoint that is known\n"),
        );
    }
}

#[test]
fn a_file_adds_an_endpoint_and_replaces_a_built_in_one_as_a_whole() {
    let text = "\
apiVersion: weir.dev/v1alpha1
kind: ModelEndpoint
metadata: {name: openai}
spec: {provider: mine, plane: manage, hosts: [llm.internal], ports: [0]}
---
apiVersion: weir.dev/v1alpha1
kind: ModelEndpoint
metadata: {name: wide}
spec: {provider: mine, hosts: ['*.internal'], ports: [8000, 443]}
";
    let objects = parse("mine.yaml", text).expect("valid");
    let endpoints = objects
        .into_iter()
        .filter_map(|object| match object.value.spec {
            Spec::ModelEndpoint(endpoint) => Some(endpoint),
            Spec::InvocationGrant(_) | Spec::EgressDeny(_) | Spec::Posture(_) => None,
        });
    let catalogue = Catalogue::builtin().with(endpoints);
    check(
        &catalogue,
        "llm.internal",
        "\
endpoint  openai
provider  mine
plane     manage
rule      llm.internal, every port
source    mine.yaml:1

endpoint  wide
provider  mine
plane     invoke
rule      *.internal, port 443, 8000
source    mine.yaml:6
",
    );
    let former = backend::matches(&catalogue, "api.openai.com");
    assert!(former.matches.is_empty(), "{former:?}");
}

#[test]
fn json_has_the_same_fields() {
    let found = backend::matches(Catalogue::builtin(), "api.opanai.com");
    let json = serde_json::to_value(&found).expect("JSON");
    let expected = serde_json::json!({
        "host": "api.opanai.com",
        "matches": [],
        "similar": [{"pattern": "api.openai.com", "endpoint": "openai"}],
    });
    assert_eq!(json, expected);
    let found = backend::matches(Catalogue::builtin(), "openrouter.ai");
    let json = serde_json::to_value(&found).expect("JSON");
    let first = json.pointer("/matches/0").expect("a match");
    for field in [
        "endpoint", "provider", "plane", "pattern", "ports", "source", "reseller",
    ] {
        assert!(first.get(field).is_some(), "{field}");
    }
}
