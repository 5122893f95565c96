//! Single cases: how few entries there are, what the clock does, which limit is named.

use agent_common::{
    destination::EndpointId,
    identity::IdentityId,
    policy::{Posture, RuleEntry, RuleId, Window},
    verdict::decide_endpoint,
};
use jiff::Timestamp;

use super::{
    super::{ClockAnchor, CompileError, CompiledPolicy, check_addresses, compile},
    world::{World, catalogue, instant, number},
};
use crate::{
    endpoint::Catalogue,
    identity::{Identity, Labels},
    policy::{ApprovalRules, BuildOptions, OnExpired, PolicySet, Separation, Span, explain, parse},
};

fn build(catalogue: &Catalogue, text: &str) -> PolicySet {
    let objects = parse("p.yaml", text).unwrap_or_else(|errors| panic!("{errors:?}"));
    let issued_at = |_: &str, _: &str| instant(0);
    let options = BuildOptions {
        now: instant(0),
        on_expired: OnExpired::Warn,
        issued_at: &issued_at,
        approval: &ApprovalRules::none(),
        life: &|_, _| None,
        separation: Separation::Report,
    };
    PolicySet::build(objects, catalogue, &options)
        .unwrap_or_else(|errors| panic!("{errors:?}"))
        .set
}

fn object(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: weir.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

fn compiled(world: &World) -> Result<CompiledPolicy, CompileError> {
    compile(&world.set, &world.numbers, &world.identities, &world.anchor)
}

/// `rules` is the number of entries, with the one for everybody and everything, and without those
/// for addresses that no endpoint is known for.
fn check_entries(text: &str, rules: usize) {
    let world = World::new(build(&catalogue(), text));
    let policy = compiled(&world).expect("compiles");
    let endpoints = policy.rules.keys().map(|(_, endpoint)| *endpoint);
    let n_rules = endpoints
        .filter(|endpoint| *endpoint != EndpointId::UNNAMED)
        .count();
    assert_eq!(n_rules, rules, "{text} {:#?}", policy.rules);
}

const DENY_ALL: &str = "{default: true, ungranted: deny}";
const FOR_U1: &str = "subjects: [{systemd: {unit: u1.service}}]";

#[test]
fn entries_are_few() {
    let posture = object("Posture", "p", DENY_ALL);
    let grant = |subjects: &str, endpoints: &str| {
        object(
            "InvocationGrant",
            "g",
            &format!(
                "{{{subjects}, endpoints: {endpoints}, planes: [invoke, manage], purpose: x}}"
            ),
        )
    };
    check_entries(&posture, 1);
    check_entries(&(posture.clone() + &grant(FOR_U1, "['*']")), 2);
    check_entries(&(posture.clone() + &grant(FOR_U1, "[b]")), 2);
    check_entries(
        &(posture.clone() + &grant("subjects: [{any: true}]", "[b]")),
        2,
    );
    // All five endpoints and the overfull address share one entry.
    check_entries(&(posture + &grant(FOR_U1, "[p, q]")), 2);
    // The rule for one endpoint, and the overfull address.
    check_entries(
        &object(
            "EgressDeny",
            "d",
            &format!("{{{FOR_U1}, endpoints: [b], reason: x}}"),
        ),
        3,
    );
    check_entries(
        &object(
            "EgressDeny",
            "d",
            &format!("{{{FOR_U1}, cidrs: [10.0.0.0/8], reason: x}}"),
        ),
        2,
    );
}

#[test]
fn the_first_deny_rule_by_name_is_the_one_told() {
    let deny = |name: &str, subjects: &str| {
        let spec = format!("{{{subjects}, cidrs: [192.0.2.0/24], reason: x}}");
        object("EgressDeny", name, &spec)
    };
    let text = deny("all", "subjects: [{any: true}]") + &deny("a", FOR_U1);
    let world = World::new(build(&catalogue(), &text));
    let policy = compiled(&world).expect("compiles");
    let prefix = world.numbers.prefixes["192.0.2.0/24"];
    let told = |identity| {
        let decision = decide_endpoint(&policy, identity, prefix, 1);
        decision.rule()
    };
    assert_eq!(told(world.identities[0].id), world.numbers.denies["a"]);
    assert_eq!(told(world.identities[1].id), world.numbers.denies["all"]);
    assert_eq!(told(IdentityId::UNKNOWN), world.numbers.denies["all"]);
}

fn check_window(
    not_before: Option<i64>,
    not_after: Option<i64>,
    boot_ns: u64,
    expected: (u64, u64),
) {
    let anchor = ClockAnchor {
        wall: instant(0),
        boot_ns,
    };
    let span = Span {
        not_before: not_before.map(instant),
        not_after: not_after.map(instant),
    };
    let window = anchor.window(span, RuleId::from_raw(1));
    assert_eq!((window.not_before_ns, window.not_after_ns), expected);
    assert!(!window.is_unused());
}

#[test]
fn wall_time_becomes_boot_time() {
    let second = 1_000_000_000;
    check_window(Some(-1), Some(2), 5 * second, (4 * second, 7 * second));
    check_window(None, None, second, (0, Window::FOREVER));
    check_window(Some(-9), Some(-3), second, (1, 1));
    check_window(None, Some(-3), second, (0, 1));
    let anchor = ClockAnchor {
        wall: Timestamp::MIN,
        boot_ns: u64::MAX - 1,
    };
    assert_eq!(anchor.to_boot_ns(Timestamp::MAX), Window::FOREVER);
}

#[test]
fn a_missing_number_is_named() {
    let mut world = World::new(build(&catalogue(), &object("Posture", "p", DENY_ALL)));
    world.numbers.endpoints.remove("a/x");
    assert_eq!(
        compiled(&world).expect_err("no number").to_string(),
        "ModelEndpoint `a/x` has no number: number every name of the set before compiling it"
    );
}

#[test]
fn too_many_endpoints_on_one_prefix_are_named() {
    let text = (1..=5).map(|index| {
        let spec = format!(
            "{{provider: v, cidrs: [10.0.0.0/{}], ports: [8000]}}",
            8 + index
        );
        object("ModelEndpoint", &format!("v{index}"), &spec)
    });
    let world = World::new(build(&Catalogue::default(), &text.collect::<String>()));
    assert_eq!(
        compiled(&world).expect_err("too many").to_string(),
        "10.0.0.0/13 belongs to `v1`, `v2`, `v3`, `v4`, `v5`, 4 fit on one address and port 8000: \
         let fewer prefixes overlap there"
    );
}

#[test]
fn a_limit_says_what_is_needed_and_what_to_do() {
    let ports = (1..=1600)
        .map(|port| port.to_string())
        .collect::<Vec<_>>()
        .join(", ");
    let nets = (0..11)
        .map(|net| format!("10.{net}.0.0/16"))
        .collect::<Vec<_>>()
        .join(", ");
    let spec = format!("{{provider: v, cidrs: [{nets}], ports: [{ports}]}}");
    let world = World::new(build(
        &Catalogue::default(),
        &object("ModelEndpoint", "v", &spec),
    ));
    assert_eq!(
        compiled(&world).expect_err("too many").to_string(),
        "the policy needs 17600 prefixes (CIDR × port), 16384 fit: combine CIDRs, or list fewer \
         ports"
    );
    assert_eq!(check_addresses(65_536), Ok(()));
    assert_eq!(
        check_addresses(65_537).expect_err("too many").to_string(),
        "the endpoints have 65537 addresses (address × port), 65536 fit: remove ModelEndpoint \
         objects, or list fewer ports"
    );
}

/// What the entry for unknown addresses says about the unit `u1` and about everybody else.
fn check_unnamed(text: &str, u1: Option<[bool; 3]>, others: Option<[bool; 3]>) {
    let world = World::new(build(&catalogue(), text));
    let policy = compiled(&world).expect("compiles");
    let said = |identity| {
        let own = policy.rules.get(&(identity, EndpointId::UNNAMED));
        let entry = own.or_else(|| {
            policy
                .rules
                .get(&(IdentityId::UNKNOWN, EndpointId::UNNAMED))
        });
        let entry = entry.filter(|entry| entry.posture() == Posture::Deny)?;
        let flags = [
            RuleEntry::REFUSE_UNDECIDABLE,
            RuleEntry::REFUSE_QUIC,
            RuleEntry::REFUSE_FOREIGN,
        ];
        Some(flags.map(|flag| entry.has(flag)))
    };
    let of_u1 = world
        .identities
        .iter()
        .find(|identity| identity.labels.unit.as_deref() == Some("u1.service"));
    let of_u1 = of_u1.expect("the world has u1").id;
    assert_eq!(
        (said(of_u1), said(IdentityId::UNKNOWN)),
        (u1, others),
        "{text}"
    );
}

#[test]
fn of_several_postures_the_strictest_counts_in_each_respect() {
    let shadow = "{subjects: [{any: true}], mode: shadow, ungranted: deny}";
    let text = object("Posture", "p", shadow)
        + &object(
            "Posture",
            "q",
            "{subjects: [{any: true}], ungranted: allow, quic: deny}",
        )
        + &object(
            "Posture",
            "r",
            "{subjects: [{any: true}], mode: observe, ungranted: deny}",
        );
    let world = World::new(build(&catalogue(), &text));
    let policy = compiled(&world).expect("compiles");
    let unnamed = policy.rules[&(IdentityId::UNKNOWN, EndpointId::UNNAMED)];
    let shadowed = RuleEntry::SHADOW
        | RuleEntry::REFUSE_UNDECIDABLE
        | RuleEntry::SHADOW_UNDECIDABLE
        | RuleEntry::REFUSE_FOREIGN
        | RuleEntry::SHADOW_FOREIGN
        | RuleEntry::REFUSE_RAW
        | RuleEntry::SHADOW_RAW;
    let expected = Posture::Deny as u32 | shadowed | RuleEntry::REFUSE_QUIC;
    assert_eq!(unnamed.posture, expected);
    let plain = policy.rules[&(IdentityId::UNKNOWN, EndpointId::ANY)];
    assert_eq!(plain.posture, Posture::Deny as u32 | RuleEntry::SHADOW);
}

#[test]
fn names_matter_to_whom_something_can_be_refused() {
    let posture = |spec: &str| object("Posture", "p", spec);
    let all = Some([true; 3]);
    let none = Some([false; 3]);
    check_unnamed(&posture(DENY_ALL), all, all);
    check_unnamed(
        &posture(&format!("{{{FOR_U1}, ungranted: deny}}")),
        all,
        None,
    );
    check_unnamed(
        &posture(
            "{default: true, ungranted: deny, undecidable: allow, quic: allow, foreignSockets: allow}",
        ),
        none,
        none,
    );
    check_unnamed(
        &posture(&format!(
            "{{{FOR_U1}, ungranted: allow, quic: deny, foreignSockets: deny}}"
        )),
        None,
        None,
    );
    let deny = object(
        "EgressDeny",
        "d",
        &format!("{{{FOR_U1}, endpoints: [a], reason: x}}"),
    );
    check_unnamed(&deny, none, None);
    let strict = posture("{default: true, ungranted: allow, undecidable: deny}");
    check_unnamed(&(deny.clone() + &strict), Some([true, false, false]), None);
    let foreign = posture("{default: true, ungranted: allow, foreignSockets: deny}");
    check_unnamed(&(deny + &foreign), Some([false, false, true]), None);
}

#[test]
fn pods_that_nobody_knows_may_be_refused_although_others_are_not() {
    let pod = Labels {
        is_unresolved: true,
        ..Labels::from_cgroup_path("/kubepods/pod6f1c9c1e-5d0a-4d43-9a3b-0c1d2e3f4a5b")
    };
    let known = Labels {
        is_unresolved: false,
        ..pod.clone()
    };
    let check = |spec: &str, expected: [(Posture, bool); 2]| {
        let mut world = World::new(build(&catalogue(), &object("Posture", "p", spec)));
        let identity = |raw, labels: &Labels| Identity {
            id: IdentityId::from_raw(raw),
            labels: labels.clone().into(),
        };
        world.identities = vec![identity(1, &pod), identity(2, &known)];
        let policy = compiled(&world).expect("compiles");
        let endpoint = world.numbers.endpoints["a"];
        let found = [1, 2].map(|raw| {
            let id = IdentityId::from_raw(raw);
            let is_entitled = decide_endpoint(&policy, id, endpoint, 1).is_entitled();
            let keys = [id, IdentityId::UNKNOWN].map(|id| (id, EndpointId::UNNAMED));
            let unnamed = keys.iter().find_map(|key| policy.rules.get(key));
            (
                if is_entitled {
                    Posture::Allow
                } else {
                    Posture::Deny
                },
                unnamed.is_some_and(|entry| entry.has(RuleEntry::REFUSE_UNDECIDABLE)),
            )
        });
        assert_eq!(found, expected, "{spec}");
        let told = explain(
            &world.set,
            &world.numbers,
            &world.identities[0],
            "a",
            instant(0),
        );
        let told = told.expect("an explanation").posture.ungranted;
        assert_eq!(told, expected[0].0, "{spec}");
    };
    let (allow, deny) = ((Posture::Allow, false), (Posture::Deny, true));
    check("{default: true, ungranted: allow}", [allow, allow]);
    check(
        "{default: true, ungranted: allow, unresolved: deny}",
        [deny, allow],
    );
    check(
        "{subjects: [{any: true}], ungranted: allow, unresolved: deny, undecidable: allow}",
        [(Posture::Deny, false), allow],
    );
    check(
        "{default: true, ungranted: deny, unresolved: allow}",
        [deny, deny],
    );
}

#[test]
fn too_many_entries_are_counted_to_the_end() {
    let deny = object(
        "EgressDeny",
        "d",
        &format!("{{{FOR_U1}, endpoints: [a, b], reason: x}}"),
    );
    let mut world = World::new(build(&catalogue(), &deny));
    let labels = Labels::from_cgroup_path("/u1.service");
    let identity = |raw| Identity {
        id: IdentityId::from_raw(raw),
        labels: labels.clone().into(),
    };
    world.identities = (1..=40_000).map(identity).collect();
    // `a` and what is below it, `b`, the overfull address, and unknown addresses.
    assert_eq!(
        compiled(&world).expect_err("too many").to_string(),
        "the policy needs 200001 rule entries (identity × endpoint), 131072 fit: select endpoints \
         by provider or `*`, or give fewer identities rules of their own"
    );
}

#[test]
fn an_explanation_lists_what_was_considered_and_the_verdict() {
    let ended = format!(
        "{{{FOR_U1}, endpoints: [p], purpose: x, notAfter: {}}}",
        instant(-60)
    );
    let text = object("Posture", "closed", DENY_ALL)
        + &object("InvocationGrant", "ended", &ended)
        + &object(
            "InvocationGrant",
            "elsewhere",
            &format!("{{{FOR_U1}, endpoints: [b], purpose: x}}"),
        )
        + &object(
            "InvocationGrant",
            "others",
            "{subjects: [{cgroup: /z}], endpoints: [a], purpose: x}",
        )
        + &object(
            "EgressDeny",
            "unrelated",
            "{subjects: [{cgroup: /z}], endpoints: [b], reason: x}",
        );
    let set = build(&catalogue(), &text);
    let numbers = number(&set);
    let world = World::new(set);
    let explanation = explain(&world.set, &numbers, &world.identities[0], "a", instant(0));
    let explanation = explanation.expect("known names");
    let lines = explanation
        .considered
        .iter()
        .map(|one| format!("{} {}: {}", one.kind.name(), one.name, one.text));
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [
            "InvocationGrant elsewhere: does not select this endpoint".to_owned(),
            format!("InvocationGrant ended: ended at {}", instant(-60)),
            "InvocationGrant others: does not select this identity".to_owned(),
        ]
    );
    assert_eq!(explanation.posture.name.as_deref(), Some("closed"));
    let decision = explanation.decision;
    assert_eq!(
        (decision.reason().name(), decision.rule()),
        ("expired", numbers.grants["ended"])
    );
    let unknown = explain(&world.set, &numbers, &world.identities[0], "zz", instant(0));
    assert_eq!(
        unknown.expect_err("unknown").to_string(),
        "unknown endpoint `zz`; `weir endpoints list` shows all"
    );
}
