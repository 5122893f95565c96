//! Checks across objects, what they complain about, and what changed between two sets.

mod resolvers;

use jiff::{Timestamp, ToSpan};

use super::*;
use crate::policy::{Change, Kind, What, diff, parse};

const NOW: &str = "2026-01-15T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().expect("a time")
}

fn grant(name: &str, endpoints: &str, extra: &str) -> String {
    format!(
        "---\napiVersion: weir.dev/v1alpha1\nkind: InvocationGrant\nmetadata: {{name: {name}}}\n\
         spec:\n  subjects: [{{any: true}}]\n  endpoints: {endpoints}\n  purpose: test\n{extra}"
    )
}

fn object(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: weir.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

fn objects(files: &[&str]) -> Vec<Located<Object>> {
    let named = ('a'..='z').zip(files);
    let parsed = named.map(|(letter, text)| parse(&format!("{letter}.yaml"), text));
    parsed
        .flat_map(|objects| objects.expect("valid files"))
        .collect()
}

fn build(files: &[&str], on_expired: OnExpired) -> Result<Built, Vec<PolicyError>> {
    let issued_at = |_: &str, _: &str| now() - 1.hour();
    let options = BuildOptions {
        now: now(),
        on_expired,
        issued_at: &issued_at,
        approval: &ApprovalRules::none(),
        life: &|_, _| None,
        separation: Separation::Report,
    };
    PolicySet::build(objects(files), Catalogue::builtin(), &options)
}

fn shown(errors: &[PolicyError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn check(files: &[&str], expected: &[&str]) {
    let errors = build(files, OnExpired::Refuse).expect_err("does not fit");
    assert_eq!(shown(&errors), expected);
}

#[test]
fn a_grant_for_a_name_that_any_user_can_take_is_warned_about() {
    let check = |subject: &str, expected: &[&str]| {
        let spec = format!("{{subjects: [{subject}], endpoints: [openai], purpose: x}}");
        let text = object("InvocationGrant", "g", &spec);
        let built = build(&[&text], OnExpired::Refuse).expect("fits");
        assert_eq!(shown(&built.warnings), expected, "{subject}");
    };
    check(
        "{any: true}, {systemd: {userUnit: a.service}}",
        &[
            "a.yaml:5:53: spec.subjects[1].systemd.userUnit: selects a unit of that name of every \
             user, and users name their units: add `unit: user@UID.service`",
        ],
    );
    check(
        "{systemd: {userUnit: a.service, unit: user@7.service}}",
        &[],
    );
    check(
        "{systemd: {userUnit: a.service}, process: {user: bob}}",
        &[],
    );
}

#[test]
fn unknown_endpoints_are_named_with_what_was_probably_meant() {
    check(
        &[&grant("a", "[anthropc, openai, zzzzzz]", "")],
        &[
            "a.yaml:7:15: spec.endpoints[0]: unknown endpoint or provider `anthropc`; did you \
             mean `anthropic`?",
            "a.yaml:7:33: spec.endpoints[2]: unknown endpoint or provider `zzzzzz`; `weir \
             endpoints list` shows all, and a ModelEndpoint adds one",
        ],
    );
    check(
        &[&grant("a", "[openai/manage]", "")],
        &[
            "a.yaml:7:15: spec.endpoints[0]: no endpoint of `openai/manage` is of the plane invoke: \
           add manage to planes",
        ],
    );
}

#[test]
fn an_endpoint_of_a_file_is_known_to_all_files() {
    let endpoint = object(
        "ModelEndpoint",
        "vllm.prod",
        "{provider: vllm, hosts: [llm.internal]}",
    );
    let built = build(
        &[&grant("a", "[vllm.prod, vllm]", ""), &endpoint],
        OnExpired::Refuse,
    );
    let set = built.expect("fits").set;
    assert!(set.endpoint_names().any(|name| name == "vllm.prod"));
}

#[test]
fn names_are_unique_within_a_kind_and_across_files() {
    let first = grant("a", "[openai]", "");
    let second = grant("b", "[openai]", "") + &grant("a", "[openai]", "");
    check(
        &[&first, &second],
        &[
            "b.yaml:12:18: metadata.name: the InvocationGrant at a.yaml:2 has the same name: give one \
             another",
        ],
    );
    let same_name = object("Posture", "a", "{default: true, ungranted: deny}");
    assert!(build(&[&first, &same_name], OnExpired::Refuse).is_ok());
    let another = object("Posture", "b", "{default: true, ungranted: allow}");
    check(
        &[&same_name, &another],
        &["b.yaml:5:17: spec.default: there is already a default at a.yaml:2: keep one"],
    );
}

#[test]
fn an_ended_grant_is_an_error_for_its_writer_and_a_warning_at_start() {
    let ended = grant("a", "[openai]", "  notAfter: 2026-01-15T12:00:00Z\n");
    let message = "a.yaml:9:13: spec.notAfter: the grant ended at 2026-01-15T12:00:00Z: renew or \
                   remove it";
    check(&[&ended], &[message]);
    let built = build(&[&ended], OnExpired::Warn).expect("fits");
    assert_eq!(shown(&built.warnings), [message]);
    check(
        &[&grant("a", "[openai]", "  ttl: 60m\n")],
        &["a.yaml:9:8: spec.ttl: the grant ended at 2026-01-15T12:00:00Z: renew or remove it"],
    );
    check(
        &[&grant(
            "a",
            "[openai]",
            "  notBefore: 2026-01-15T13:00:00Z\n  ttl: 2h\n",
        )],
        &["a.yaml:10:8: spec.ttl: ends before notBefore: the grant would never hold"],
    );
}

#[test]
fn a_ttl_counts_from_when_the_grant_was_first_seen() {
    let built = build(&[&grant("a", "[openai]", "  ttl: 7d\n")], OnExpired::Refuse);
    let span = built
        .expect("fits")
        .set
        .span_of_grant("a")
        .expect("a grant");
    assert_eq!(
        span.not_after,
        Some("2026-01-22T11:00:00Z".parse().expect("a time"))
    );
}

#[test]
fn prefixes_are_numbered_by_net_and_port() {
    let deny = object(
        "EgressDeny",
        "d",
        "{subjects: [{any: true}], cidrs: [10.0.0.0/8, 'fc00::/7'], ports: [443, 0], reason: x}",
    );
    let set = build(&[&deny], OnExpired::Refuse).expect("fits").set;
    let names = set.prefix_names().into_iter().collect::<Vec<_>>();
    assert_eq!(
        names,
        ["10.0.0.0/8", "10.0.0.0/8:443", "fc00::/7", "fc00::/7:443"]
    );
}

#[test]
fn a_difference_names_objects_and_fields() {
    let old = grant("changed", "[openai]", "")
        + &grant("removed", "[openai]", "")
        + &grant("same", "[openai]", "");
    let new = grant("changed", "[anthropic]", "  ttl: 8h\n")
        + &grant("added", "[openai]", "")
        + &grant("same", "[openai]", "");
    let set = |text: &str| build(&[text], OnExpired::Refuse).expect("fits").set;
    let change = |name: &str, what| Change {
        kind: Kind::InvocationGrant,
        name: name.to_owned(),
        what,
    };
    assert_eq!(
        diff(&set(&old), &set(&new)),
        [
            change("added", What::Added),
            change(
                "changed",
                What::Changed {
                    fields: vec!["spec.endpoints", "spec.notAfter or ttl"]
                }
            ),
            change("removed", What::Removed),
        ]
    );
    assert_eq!(diff(&set(&new), &set(&new)), []);
}

#[test]
fn a_grant_that_has_ended_once_stays_ended_when_the_clock_is_set_back() {
    use crate::policy::{Basis, By, Entry, Step};

    let entry = |step, at| Entry {
        step,
        by: By::Agent,
        at,
        why: "t".to_owned(),
    };
    let later = now() + 2.hours();
    let steps = [
        entry(Step::Request, now()),
        entry(Step::Approve(Basis::Rules), now()),
        entry(Step::Expire, later),
    ];
    let life = Life::replay(false, &steps).expect("a life");
    let options = BuildOptions {
        now: now(),
        on_expired: OnExpired::Warn,
        issued_at: &|_, _| now(),
        approval: &ApprovalRules::none(),
        life: &|_, _| Some(life.clone()),
        separation: Separation::Report,
    };
    // Its own end is not reached on this clock.
    let text = grant("g", "[openai]", "  ttl: 2h\n");
    let built = PolicySet::build(objects(&[&text]), Catalogue::builtin(), &options).expect("fits");
    let rule = built.set.grants.get("g").expect("it explains refusals");
    assert_eq!(rule.span.not_after, Some(later));
    assert_eq!(rule.window().not_after, Some(Timestamp::MIN));
}

#[test]
fn what_waits_is_held_and_counts_for_nobody() {
    let issued_at = |_: &str, _: &str| now();
    let options = BuildOptions {
        now: now(),
        on_expired: OnExpired::Refuse,
        issued_at: &issued_at,
        approval: &ApprovalRules::default(),
        life: &|_, _| None,
        separation: Separation::Report,
    };
    let text = grant("all", "['*']", "") + &grant("one", "[openai]", "");
    let built = PolicySet::build(objects(&[&text]), Catalogue::builtin(), &options).expect("fits");
    let set = built.set;
    assert_eq!(set.waiting().collect::<Vec<_>>(), ["all"]);
    assert_eq!(set.grant_names().collect::<Vec<_>>(), ["one"]);
    assert_eq!(set.grant("all"), None);
    let standing = set.standing("all").expect("it is there");
    assert_eq!(standing.held, Some(Stage::Requested));
    assert_eq!(standing.needs, ["every endpoint"]);
}
