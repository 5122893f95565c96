//! Resolvers of encrypted DNS are endpoints that only their own name entitles to.

use std::net::IpAddr;

use agent_common::{
    destination::{Destination, EndpointId},
    identity::IdentityId,
    policy::RuleId,
    verdict::decide,
};

use super::*;
use crate::{
    identity::{Identity, Labels},
    policy::{ClockAnchor, CompiledPolicy, Numbers, compile},
};

const CLOSED: &str = "{default: true, ungranted: deny}";
const AGENTS_CLOSED: &str = "{subjects: [{systemd: {unit: agent.service}}], ungranted: deny}";

fn identities() -> Vec<Identity> {
    let paths = ["/system.slice/agent.service", "/system.slice/sshd.service"];
    let identity = |(raw, path): (u32, &str)| Identity {
        id: IdentityId::from_raw(raw),
        labels: Labels::from_cgroup_path(path).into(),
    };
    (1..).zip(paths).map(identity).collect()
}

fn compiled(text: &str) -> (CompiledPolicy, Numbers) {
    let set = build(&[text], OnExpired::Refuse).expect("fits").set;
    let mut numbers = Numbers::default();
    for (raw, name) in (1..).zip(set.endpoint_names()) {
        numbers
            .endpoints
            .insert(name.to_owned(), EndpointId::from_raw(raw));
    }
    for (raw, name) in (1..).zip(set.grant_names().chain(set.deny_names())) {
        numbers
            .grants
            .insert(name.to_owned(), RuleId::from_raw(raw));
        numbers
            .denies
            .insert(name.to_owned(), RuleId::from_raw(raw));
    }
    let anchor = ClockAnchor {
        wall: now(),
        boot_ns: 1 << 62,
    };
    let policy = compile(&set, &numbers, &identities(), &anchor).expect("compiles");
    (policy, numbers)
}

/// Whether each of the identities is entitled to each of the endpoints.
fn check(text: &str, expected: &[(&str, [bool; 2])]) {
    let (policy, numbers) = compiled(text);
    for (endpoint, entitled) in expected {
        let id = numbers.endpoints.get(*endpoint).expect("a known endpoint");
        let found = identities().into_iter().map(|identity| {
            decide(&policy, identity.id, &Destination::one(*id), 1 << 62).is_entitled()
        });
        assert!(found.eq(*entitled), "{endpoint}: {text}");
    }
}

const GOOGLE: &str = "encrypted-dns/google-public-dns";
const QUAD9: &str = "encrypted-dns/quad9";

#[test]
fn a_posture_refuses_them_to_those_it_selects() {
    check(
        &object("Posture", "p", AGENTS_CLOSED),
        &[(GOOGLE, [false, true]), ("openai", [false, true])],
    );
}

#[test]
fn a_grant_that_names_them_entitles() {
    let closed = object("Posture", "p", CLOSED);
    check(
        &format!("{closed}{}", grant("g", "[encrypted-dns]", "")),
        &[
            (GOOGLE, [true; 2]),
            (QUAD9, [true; 2]),
            ("openai", [false; 2]),
        ],
    );
    check(
        &format!(
            "{closed}{}",
            grant("g", "[openai, encrypted-dns/quad9]", "")
        ),
        &[
            (GOOGLE, [false; 2]),
            (QUAD9, [true; 2]),
            ("openai", [true; 2]),
        ],
    );
    check(
        &format!("{closed}{}", grant("g", "[quad9]", "  planes: [resolve]\n")),
        &[(GOOGLE, [false; 2]), (QUAD9, [true; 2])],
    );
}

#[test]
fn a_grant_of_every_endpoint_does_not_include_them() {
    let closed = object("Posture", "p", CLOSED);
    check(
        &format!("{closed}{}", grant("g", "['*']", "")),
        &[(GOOGLE, [false; 2]), ("openai", [true; 2])],
    );
    check(
        &format!("{closed}{}", grant("g", "['*']", "  planes: [resolve]\n")),
        &[(GOOGLE, [true; 2]), ("openai", [false; 2])],
    );
}

#[test]
fn a_deny_rule_for_every_endpoint_includes_them() {
    let deny = "{subjects: [{any: true}], endpoints: ['*'], reason: x}";
    check(&object("EgressDeny", "d", deny), &[(GOOGLE, [false; 2])]);
    let calls = "{subjects: [{any: true}], endpoints: ['*'], planes: [invoke], reason: x}";
    check(&object("EgressDeny", "d", calls), &[(GOOGLE, [true; 2])]);
}

#[test]
fn plain_dns_at_their_addresses_is_nobodys_endpoint() {
    let (policy, numbers) = compiled(&object("Posture", "p", CLOSED));
    for address in ["8.8.8.8", "1.1.1.1", "9.9.9.9", "2001:4860:4860::8888"] {
        let address = address.parse::<IpAddr>().expect("an address");
        let rows = policy
            .prefixes
            .iter()
            .filter(|row| row.net.contains(&address));
        let mut ports = rows.map(|row| row.port).collect::<Vec<_>>();
        ports.sort_unstable();
        assert_eq!(ports, [443, 853], "{address}");
    }
    let id = numbers.endpoints.get(GOOGLE).expect("a known endpoint");
    let of_google = policy
        .prefixes
        .iter()
        .filter(|row| row.destination == Destination::one(*id));
    assert_eq!(of_google.count(), 12);
}
