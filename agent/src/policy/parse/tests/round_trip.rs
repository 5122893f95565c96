//! What is rendered reads back.

use proptest::prelude::*;

use super::parse;
use crate::policy::{Object, Spec};

fn subject() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("any: true".to_owned()),
        "[a-z]{1,5}[*]?\\.service".prop_map(|unit| format!("systemd: {{unit: '{unit}'}}")),
        "[a-z]{1,5}\\.slice"
            .prop_map(|slice| format!("{{systemd: {{slice: {slice}}}, cgroup: /a b}}")),
        "[0-9a-f]{64}".prop_map(|id| format!("container: {{id: '{id}'}}")),
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
            .prop_map(|uid| format!("kubernetes: {{podUid: '{uid}'}}")),
        "[a-z]{1,5}[*]?".prop_map(|name| format!(
            "{{container: {{name: '{name}', image: '*/{name}'}}, systemd: {{userUnit: {name}*}}}}"
        )),
        "[a-z0-9]{1,5}".prop_map(|name| format!(
            "kubernetes: {{namespace: '{name}', serviceAccount: 'x.{name}', podLabels: {{a/b: '{name}', c: ''}}}}"
        )),
        "[a-z0-9]{1,5}".prop_map(|name| format!("{{task: 'x-{name}', process: {{exe: '/a {name}'}}}}")),
        "0|[1-9][0-9]{0,6}|[a-z]{1,5}".prop_map(|user| format!("process: {{user: '{user}'}}")),
    ]
}

fn spec() -> impl Strategy<Value = (&'static str, String)> {
    let time = prop_oneof![
        Just(String::new()),
        Just(
            "  notBefore: 2026-01-01T00:00:00+02:00\n  notAfter: 2026-02-01T00:00:00.5Z\n"
                .to_owned()
        ),
        (1..500_u32).prop_map(|hours| format!("  ttl: {hours}h 7m\n")),
    ];
    let words = "[a-zA-Z0-9:#' \\-\"]{0,12}[a-z]";
    let quoted = |text: String| {
        serde_saphyr::to_string(&text)
            .expect("text")
            .trim_end()
            .to_owned()
    };
    let grant = (subject(), words, time).prop_map(move |(subject, purpose, time)| {
        let purpose = quoted(purpose);
        (
            "InvocationGrant",
            format!(
                "  subjects:\n  - {subject}\n  endpoints: ['*', a/b]\n  purpose: {purpose}\n{time}"
            ),
        )
    });
    let deny = (subject(), proptest::collection::btree_set(0..3_u16, 1..3)).prop_map(|(subject, ports)| {
        let ports = ports.into_iter().collect::<Vec<_>>();
        ("EgressDeny", format!("  subjects:\n  - {subject}\n  cidrs: [10.0.0.0/8, 'fc00::/7', 1.2.3.4]\n  ports: {ports:?}\n  reason: 'no: never'\n"))
    });
    let posture = subject().prop_map(|subject| {
        (
            "Posture",
            format!(
                "  subjects:\n  - {subject}\n  ungranted: deny\n  foreignSockets: allow\n  unresolved: deny\n"
            ),
        )
    });
    let endpoint = Just((
        "ModelEndpoint",
        "  provider: vllm\n  plane: manage\n  hosts: ['*.a.b', x.y]\n  ports: [0]\n  risk: low\n  shared: true\n".to_owned(),
    ));
    prop_oneof![grant, deny, posture, endpoint]
}

fn one(text: &str) -> Object {
    let objects = parse("p.yaml", text).unwrap_or_else(|errors| panic!("{errors:?}\n{text}"));
    objects.into_iter().next().expect("one object").value
}

proptest! {
    #[test]
    fn what_is_rendered_reads_back((kind, spec) in spec()) {
        let text = format!(
            "apiVersion: weir.dev/v1alpha1\nkind: {kind}\nmetadata:\n  name: x\n  annotations: {{a: 'b: c'}}\nspec:\n{spec}"
        );
        let object = one(&text);
        let rendered = object.to_yaml().expect("renders");
        let mut again = one(&rendered);
        if let (Spec::ModelEndpoint(old), Spec::ModelEndpoint(new)) = (&object.spec, &mut again.spec) {
            new.source = old.source.clone();
        }
        prop_assert_eq!(&again, &object, "{}", rendered);
        prop_assert_eq!(again.digest().expect("digest"), object.digest().expect("digest"));
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in "[a-z:\\-\\[\\]{}\"'#&*!|> \n]{0,60}") {
        let _ = parse("p.yaml", &text);
    }
}
