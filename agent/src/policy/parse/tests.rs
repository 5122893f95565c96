//! Every error has its place and says what is allowed.

mod round_trip;

use super::parse;
use crate::{
    endpoint::{Catalogue, Source},
    policy::Spec,
    usage::period::Period,
};

const GRANT: &str = "\
apiVersion: weir.dev/v1alpha1
kind: InvocationGrant
metadata:
  name: nightly
spec:
  subjects:
  - systemd: {unit: batch.service}
  endpoints: [openai]
  purpose: nightly report
";

fn check_errors(text: &str, expected: &[&str]) {
    let errors = parse("p.yaml", text).expect_err("bad input");
    let shown = errors.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(shown, expected, "{text}");
}

/// `GRANT` with one piece replaced.
fn check_grant(old: &str, new: &str, expected: &str) {
    assert!(GRANT.contains(old));
    check_errors(&GRANT.replace(old, new), &[expected]);
}

fn check_kind(kind: &str, spec: &str, expected: &[&str]) {
    let text = format!(
        "apiVersion: weir.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: x}}\nspec: {spec}\n"
    );
    check_errors(&text, expected);
}

#[test]
fn several_documents_are_several_objects_with_their_places() {
    let objects = parse("p.yaml", &format!("# head\n---\n{GRANT}---\n{GRANT}")).expect("valid");
    let lines = objects.iter().map(|object| object.at.line);
    assert_eq!(lines.collect::<Vec<_>>(), [3, 13]);
    assert!(parse("p.yaml", "").expect("nothing").is_empty());
}

#[test]
fn syntax_errors_have_a_place() {
    check_grant(
        "{unit: batch.service}",
        "{unit: batch.service",
        "p.yaml:8:12: yaml: while parsing a flow mapping, did not find expected ',' or '}'",
    );
    check_grant(
        "  endpoints: [openai]\n",
        "  endpoints: [openai]\n  endpoints: [openai]\n",
        "p.yaml:9:3: yaml: duplicate mapping key `endpoints` is not allowed here",
    );
}

#[test]
fn all_errors_are_told_at_once() {
    let other = GRANT.replace("kind: InvocationGrant", "kind: Grant");
    let text = format!(
        "{}---\n{other}",
        GRANT.replace("purpose: nightly report", "ttl: soon")
    );
    check_errors(
        &text,
        &[
            "p.yaml:6:3: spec.purpose: is missing: say why the subjects may do this",
            "p.yaml:9:8: spec.ttl: `soon` is not a duration longer than zero: write weeks, days, \
             hours, minutes or seconds, as in 90m, 8h or 7d",
            "p.yaml:12:7: kind: unknown value `Grant`; allowed are ModelEndpoint, \
             InvocationGrant, EgressDeny, Posture, PolicyTest",
        ],
    );
}

#[test]
fn a_document_has_four_fields() {
    check_errors(
        "kind: Posture\n",
        &[
            "p.yaml:1:1: apiVersion: is missing: write `weir.dev/v1alpha1`",
            "p.yaml:1:1: metadata: is missing: give the object a name",
            "p.yaml:1:1: spec: is missing: say what the object does",
        ],
    );
    check_errors(
        "- a\n",
        &["p.yaml:1:1: document: must be a mapping, found a list"],
    );
    check_grant(
        "v1alpha1",
        "v2",
        "p.yaml:1:13: apiVersion: unknown value `weir.dev/v2`; allowed are weir.dev/v1alpha1",
    );
    check_grant(
        "metadata:",
        "status: {}\nmetadata:",
        "p.yaml:3:1: status: unknown field; allowed are apiVersion, kind, metadata, spec",
    );
    check_grant(
        "nightly\nspec",
        "Nightly Run\nspec",
        "p.yaml:4:9: metadata.name: `Nightly Run` is not a name: write lower-case letters, \
         digits, `.`, `_` and `-`, at most 253, with a letter or digit at both ends",
    );
    check_grant(
        "name: nightly\n",
        "name: nightly\n  annotations: {a: 1}\n",
        "p.yaml:5:20: metadata.annotations.a: must be text, found a number: put it in quotes",
    );
}

#[test]
fn subjects_must_select_something_that_can_be_enforced() {
    let subject = "systemd: {unit: batch.service}";
    let check = |new: &str, expected: &str| check_grant(subject, new, expected);
    check(
        "{}",
        "p.yaml:7:5: spec.subjects[0]: selects nothing: give at least one part, or `any: true` \
         for every identity",
    );
    check(
        "any: false",
        "p.yaml:7:10: spec.subjects[0].any: can only be true: leave it out otherwise",
    );
    check(
        "{any: true, cgroup: /a}",
        "p.yaml:7:11: spec.subjects[0].any: cannot be combined with other parts: it selects every \
         identity",
    );
    check(
        "systemd: {}",
        "p.yaml:7:14: spec.subjects[0].systemd: must not be empty; allowed are unit, slice, \
         userUnit",
    );
    check(
        "systemd: {unit: batch}",
        "p.yaml:7:21: spec.subjects[0].systemd.unit: `batch` is not a full unit name: write it \
         with its .service or .scope; `*` stands for any characters",
    );
    check(
        "systemd: {slice: a.service}",
        "p.yaml:7:22: spec.subjects[0].systemd.slice: `a.service` is not a full unit name: write \
         it with its .slice; `*` stands for any characters",
    );
    check(
        "container: {id: abc}",
        "p.yaml:7:21: spec.subjects[0].container.id: `abc` is not a container id: write all 64 \
         hexadecimal digits",
    );
    check(
        "kubernetes: {podUid: x}",
        "p.yaml:7:26: spec.subjects[0].kubernetes.podUid: `x` is not a pod UID: write it as in \
         6f1c9c1e-5d0a-4d43-9a3b-0c1d2e3f4a5b",
    );
    check(
        "cgroup: a/b",
        "p.yaml:7:13: spec.subjects[0].cgroup: `a/b` is not a cgroup path: write it from `/`, \
         without `.`, `..` and a slash at the end",
    );
    check(
        "cgroup: /sys/fs/cgroup/a",
        "p.yaml:7:13: spec.subjects[0].cgroup: `/sys/fs/cgroup/a` includes the mount point: write \
         the path below it, as in /system.slice",
    );
    check_grant(
        "subjects:\n  - systemd: {unit: batch.service}",
        "subjects: []",
        "p.yaml:6:13: spec.subjects: must not be empty",
    );
    check_grant(
        "  subjects:\n  - systemd: {unit: batch.service}\n",
        "",
        "p.yaml:6:3: spec.subjects: is missing: say who is meant; `- any: true` is every identity",
    );
}

#[test]
fn parts_of_subjects_have_their_forms() {
    let subject = "systemd: {unit: batch.service}";
    let check = |new: &str, column: u64, field: &str, message: &str| {
        let expected = format!("p.yaml:7:{column}: spec.subjects[0].{field}: {message}");
        check_grant(subject, new, &expected);
    };
    check(
        "container: {name: a b}",
        23,
        "container.name",
        "`a b` is not the name of a container: write letters, digits, `_`, `.` and `-`; `*` stands \
         for any characters",
    );
    check(
        "container: {image: nginx}",
        24,
        "container.image",
        "`nginx` is not the full name of an image: write it as in docker.io/library/nginx:1.27; \
         `*` stands for any characters",
    );
    check(
        "kubernetes: {namespace: A}",
        29,
        "kubernetes.namespace",
        "`A` is not a namespace: write at most 63 lower-case letters, digits and `-`, with a letter \
         or digit at both ends",
    );
    check(
        "kubernetes: {serviceAccount: 'ns:x'}",
        34,
        "kubernetes.serviceAccount",
        "`ns:x` is not a service account: write lower-case letters, digits, `-` and `.`, without \
         its namespace",
    );
    check(
        "kubernetes: {podLabels: {a: 1}}",
        33,
        "kubernetes.podLabels.a",
        "must be text, found a number: put it in quotes",
    );
    check(
        "kubernetes: {podLabels: {}}",
        29,
        "kubernetes.podLabels",
        "must not be empty",
    );
    for exe in ["curl", "/usr/../bin/curl", "/", "/a//b", "/bin/"] {
        check(
            &format!("process: {{exe: {exe}}}"),
            20,
            "process.exe",
            &format!(
                "`{exe}` is not the path of an executable: write it from `/`, without `.` and \
                 `..`, as in /usr/bin/curl"
            ),
        );
    }
    for user in ["-1", "a:b", "4294967295", "'1x'", "'a b'"] {
        check(
            &format!("process: {{user: {user}}}"),
            21,
            "process.user",
            &format!(
                "`{}` is neither the name of a user nor a UID: write it as in www-data or 1000",
                user.trim_matches('\'')
            ),
        );
    }
    check(
        "process: {user: [root]}",
        21,
        "process.user",
        "must be the name of a user or a UID, found a list",
    );
    check(
        "task: a/b",
        11,
        "task",
        "`a/b` is not the id of a task: write the id that its registration returned",
    );
}

#[test]
fn what_this_version_cannot_enforce_is_refused() {
    check_grant(
        "purpose:",
        "limits: {tokens: 5}\n  purpose:",
        "p.yaml:9:20: spec.limits.tokens: tokens are not metered: connections are encrypted. Limit \
         connections, bytesPerDay, calls or cost instead",
    );
}

#[test]
fn limits_are_read_and_rendered() {
    let check = |limits: &str, expected: &str| {
        check_grant(
            "purpose:",
            &format!("limits: {limits}\n  purpose:"),
            expected,
        );
    };
    check(
        "{}",
        "p.yaml:9:11: spec.limits: limits nothing: give connections, bytesPerDay, calls or cost",
    );
    check(
        "{connections: {count: 0, per: 1h}}",
        "p.yaml:9:33: spec.limits.connections.count: must be 1 or more; without a grant there is \
         nothing",
    );
    check(
        "{connections: {count: 5}}",
        "p.yaml:9:25: spec.limits.connections.per: is missing: say within what time, as in 1h",
    );
    check(
        "{bytesPerDay: 5 apples}",
        "p.yaml:9:25: spec.limits.bytesPerDay: `5 apples` is no size: write a number of bytes, or as \
         in 500MB or 2GiB",
    );
    check(
        "{calls: {count: 5, per: 90m}}",
        "p.yaml:9:35: spec.limits.calls.per: `90m` is no time that this is reckoned by: write 1h or 1d \
         (/hour or /day on a command line)",
    );
    check(
        "{cost: {usd: 0, per: 1d}}",
        "p.yaml:9:24: spec.limits.cost.usd: must be more than 0, and 1000000 at most",
    );
    check(
        "{cost: {usd: much, per: 1d}}",
        "p.yaml:9:24: spec.limits.cost.usd: must be a number of US dollars, found text",
    );
    let text = GRANT.replace(
        "purpose:",
        "limits: {connections: {count: 5, per: 90m}, bytesPerDay: 2GiB, calls: {count: 9, per: hour}, \
         cost: {usd: 2.5, per: day}}\n  purpose:",
    );
    let read = |text: &str| parse("p.yaml", text).expect("a grant").remove(0).value;
    let object = read(&text);
    let Spec::InvocationGrant(grant) = &object.spec else {
        panic!("a grant");
    };
    assert_eq!(grant.limits.bytes_per_day, Some(2 << 30));
    let (calls, cost) = (grant.limits.calls, grant.limits.cost);
    let calls = calls.map(|calls| (calls.most, calls.per));
    assert_eq!(calls, Some((9, Period::Hour)));
    let cost = cost.map(|cost| (cost.most.to_f64(), cost.per));
    assert_eq!(cost, Some((2.5, Period::Day)));
    let connections = grant.limits.connections.expect("a limit");
    assert_eq!((connections.count, connections.per.as_secs()), (5, 5_400));
    assert_eq!(read(&object.to_yaml().expect("YAML")), object);
}

#[test]
fn a_grant_needs_a_purpose_and_a_possible_time() {
    let purpose = "purpose: nightly report";
    let check = |new: &str, expected: &str| check_grant(purpose, new, expected);
    check(
        "purpose: \" \"",
        "p.yaml:9:12: spec.purpose: must not be blank",
    );
    check(
        "purpose: 2024",
        "p.yaml:9:12: spec.purpose: must be text, found a number: put it in quotes",
    );
    check(
        "purpose:",
        "p.yaml:9:10: spec.purpose: must be text, found nothing",
    );
    check(
        "purpose: x\n  notAfter: tomorrow",
        "p.yaml:10:13: spec.notAfter: `tomorrow` is not a time: write RFC 3339, as in \
         2026-01-31T18:00:00Z",
    );
    check(
        "purpose: x\n  ttl: 8h\n  notAfter: 2026-01-01T00:00:00Z",
        "p.yaml:10:8: spec.ttl: cannot be combined with notAfter: write one of them",
    );
    check(
        "purpose: x\n  notBefore: 2026-01-02T00:00:00Z\n  notAfter: 2026-01-02T00:00:00Z",
        "p.yaml:11:13: spec.notAfter: must be later than notBefore",
    );
    let duration = "is not a duration longer than zero: write weeks, days, hours, minutes or \
                    seconds, as in 90m, 8h or 7d";
    for bad in ["0s", "-8h", "1 month", "8"] {
        let expected = format!("p.yaml:10:8: spec.ttl: `{bad}` {duration}");
        check(&format!("purpose: x\n  ttl: '{bad}'"), &expected);
    }
}

#[test]
fn an_endpoint_has_hosts_or_prefixes() {
    check_kind(
        "ModelEndpoint",
        "{provider: vllm}",
        &["p.yaml:4:7: spec: reaches nothing: give hosts or cidrs"],
    );
    check_kind(
        "ModelEndpoint",
        "{provider: vllm, hosts: ['https://a'], ports: [65536, x], risk: low, shared: 'no'}",
        &[
            "p.yaml:4:32: spec.hosts[0]: `https://a` is not a host name: leave out scheme, port \
             and path",
            "p.yaml:4:54: spec.ports[0]: 65536 is not a port: write 1 to 65535, or 0 for every port",
            "p.yaml:4:61: spec.ports[1]: must be a port number, found text",
            "p.yaml:4:84: spec.shared: must be true or false, found text",
        ],
    );
    check_kind(
        "ModelEndpoint",
        "{provider: vllm, cidrs: [10.0.0.1/8, x, '::ffff:10.0.0.0/104', '64:ff9b::/96', '2002:a00::/24']}",
        &[
            "p.yaml:4:32: spec.cidrs[0]: `10.0.0.1/8` has bits set beyond its prefix: write \
             `10.0.0.0/8`",
            "p.yaml:4:44: spec.cidrs[1]: `x` is not a prefix: write it as in 10.0.0.0/8",
            "p.yaml:4:47: spec.cidrs[2]: `::ffff:10.0.0.0/104` stands for IPv4 addresses, which \
             are matched as such: write the IPv4 prefix",
            "p.yaml:4:70: spec.cidrs[3]: `64:ff9b::/96` stands for IPv4 addresses, which are \
             matched as such: write the IPv4 prefix",
            "p.yaml:4:86: spec.cidrs[4]: `2002:a00::/24` stands for IPv4 addresses, which are \
             matched as such: write the IPv4 prefix",
        ],
    );
}

#[test]
fn a_deny_rule_refuses_something_for_a_reason() {
    let subjects = "subjects: [{any: true}]";
    check_kind(
        "EgressDeny",
        &format!("{{{subjects}}}"),
        &[
            "p.yaml:4:7: spec: refuses nothing: give endpoints or cidrs",
            "p.yaml:4:7: spec.reason: is missing: say why this is refused",
        ],
    );
    check_kind(
        "EgressDeny",
        &format!("{{{subjects}, cidrs: [10.0.0.0/8], planes: [manage], reason: x}}"),
        &["p.yaml:4:62: spec.planes: belongs to endpoints: give endpoints, or leave it out"],
    );
    check_kind(
        "EgressDeny",
        &format!("{{{subjects}, endpoints: [openai], ports: [1], reason: x}}"),
        &["p.yaml:4:61: spec.ports: belongs to cidrs: give cidrs, or leave it out"],
    );
}

#[test]
fn a_posture_concerns_somebody() {
    check_kind(
        "Posture",
        "{ungranted: refuse}",
        &[
            "p.yaml:4:7: spec: concerns nobody: give subjects, or `default: true`",
            "p.yaml:4:19: spec.ungranted: unknown value `refuse`; allowed are allow, deny",
        ],
    );
    check_kind(
        "Posture",
        "{subjects: [{any: true}], default: true, ungranted: deny}",
        &["p.yaml:4:42: spec.default: cannot be combined with subjects: write one of them"],
    );
}

#[test]
fn the_built_in_catalogue_is_a_valid_policy_file() {
    let text = include_str!("../../../data/catalogue.yaml");
    let objects = parse("catalogue.yaml", text).expect("valid");
    assert_eq!(objects.len(), Catalogue::builtin().iter().count());
    for object in objects {
        let Spec::ModelEndpoint(mut endpoint) = object.value.spec else {
            panic!("{} is no endpoint", object.value.metadata.name);
        };
        let builtin = Catalogue::builtin().get(&endpoint.name).expect("built in");
        endpoint.source = builtin.source.clone();
        assert_eq!(&endpoint, builtin);
        assert!(matches!(builtin.source, Source::Catalogue { .. }));
    }
}
