//! From rows to endpoints, and what the committed tables promise.

use super::{
    marks::{FRAGMENTS, RESELLERS, SHARED},
    *,
};

fn check(rows: &str, expected: &[(&str, &[&str], Plane, bool)]) {
    let table = format!("provider\thost\tplane\tsource\n{rows}");
    let (rows, _) = read(&table).expect("a table");
    let groups = group(rows).expect("consistent groups");
    let plain = groups.iter().map(|(name, group)| {
        let hosts = group.hosts.iter().map(String::as_str).collect::<Vec<_>>();
        (name.as_str(), hosts, group.plane, group.is_shared)
    });
    let expected = expected
        .iter()
        .map(|(name, hosts, plane, is_shared)| (*name, hosts.to_vec(), *plane, *is_shared));
    assert_eq!(plain.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

#[test]
fn rows_become_endpoints_by_plane_and_use() {
    check(
        "acme (eu)\tapi.acme.ai\tinvoke\ta/b:c\n\
         acme\t<resource>.llm.acme.ai\tboth\ta/b\n\
         acme\tacme.ai\tboth\ta/b\n\
         acme\tconsole.acme.ai\tmanage\ta/b\n",
        &[
            (
                "acme",
                &["*.llm.acme.ai", "api.acme.ai"],
                Plane::Invoke,
                false,
            ),
            ("acme/manage", &["console.acme.ai"], Plane::Manage, false),
            ("acme/shared", &["acme.ai"], Plane::Invoke, true),
        ],
    );
}

#[test]
fn aws_services_are_named_by_service_and_region() {
    check(
        "aws-bedrock (aws)\tbedrock-fips.us-east-1.amazonaws.com\tmanage\ta/b\n\
         aws-bedrock (aws)\tbedrock.{region}.amazonaws.com\tmanage\ta/b\n\
         aws-privatelink\t*.bedrock.*.vpce.amazonaws.com\tmanage\ta/b\n",
        &[
            (
                "bedrock",
                &["*.bedrock.*.vpce.amazonaws.com", "bedrock.*.amazonaws.com"],
                Plane::Manage,
                false,
            ),
            (
                "bedrock/us-east-1",
                &["bedrock-fips.us-east-1.amazonaws.com"],
                Plane::Manage,
                false,
            ),
        ],
    );
}

#[test]
fn what_nobody_can_look_up_or_resolve_is_left_out_and_counted() {
    let table = "provider\thost\tplane\tsource\n\
                 a\tx.a.ai\tinvoke\tRECALLED (not verified in source)\n\
                 a\ty.a.ai\tinvoke\ta search hit (7)\n\
                 a\thttp://z\tinvoke\ta/b\n";
    let (rows, dropped) = read(table).expect("a table");
    assert!(rows.is_empty());
    assert_eq!(dropped.values().copied().collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn a_remark_that_something_is_only_remembered_counts() {
    let table = "provider\thost\tplane\tsource\n\
                 a\tx.a.ai\tinvoke\ta/b:c (the region RECALLED)\n";
    let (rows, dropped) = read(table).expect("a table");
    assert!(rows.is_empty());
    assert_eq!(
        dropped.into_iter().collect::<Vec<_>>(),
        [(Dropped::Recalled, 1)]
    );
}

#[test]
fn a_sentence_with_a_slash_is_no_source() {
    let evidence = row::evidence("a/b@1:c + d/e; web/API share a host | docs f.org/g (h/i)");
    assert_eq!(evidence, ["a/b@1:c", "d/e", "f.org/g"]);
}

#[test]
fn a_host_of_both_planes_is_one_to_invoke_that_says_so() {
    let table = "provider\thost\tplane\tsource\n\
                 openrouter\tx.a.ai\tboth\ta/b\n\
                 openrouter\ty.a.ai\tinvoke\ta/b\n";
    let (rows, _) = read(table).expect("a table");
    let text = render(&group(rows).expect("one endpoint")).expect("YAML");
    let expected = "    weir.dev/also-manage: x.a.ai\n    \
                    weir.dev/reseller: 'true'\n    weir.dev/source: a/b\n";
    assert!(text.replace('"', "'").contains(expected), "{text}");
    assert!(text.contains("plane: invoke\n"), "{text}");
}

#[test]
fn a_provider_of_models_is_not_one_of_resolvers() {
    let models = BTreeMap::from([("a".to_owned(), Group::new("a", Plane::Invoke))]);
    let resolvers = BTreeMap::from([(
        "encrypted-dns/a".to_owned(),
        Group::new("a", Plane::Resolve),
    )]);
    let error = with_resolvers(models, resolvers).expect_err("a clash");
    assert!(
        error.to_string().contains("`a` also provides models"),
        "{error}"
    );
}

fn committed() -> BTreeMap<String, Group> {
    let (rows, _) = read(include_str!("../../../agent/data/provider_hosts.tsv")).expect("a table");
    let resolvers = resolver::read(include_str!("../../../agent/data/encrypted_dns.tsv"));
    let groups = group(rows).expect("consistent groups");
    with_resolvers(groups, resolvers.expect("a table")).expect("no clash")
}

#[test]
fn the_order_of_rows_does_not_matter() {
    let table = include_str!("../../../agent/data/provider_hosts.tsv");
    let (mut rows, _) = read(table).expect("a table");
    rows.reverse();
    let backwards = render(&group(rows).expect("consistent groups")).expect("YAML");
    let (rows, _) = read(table).expect("a table");
    assert!(backwards == render(&group(rows).expect("consistent groups")).expect("YAML"));
}

#[test]
fn every_host_that_is_listed_once_has_a_source_that_can_be_looked_up() {
    let (rows, _) = read(include_str!("../../../agent/data/provider_hosts.tsv")).expect("a table");
    let mut hosts = BTreeSet::new();
    for row in rows {
        assert!(!row.evidence.is_empty(), "{}", row.host);
        for source in &row.evidence {
            let is_place = !source.contains(char::is_whitespace) && !source.contains("RECALLED");
            assert!(is_place, "{}: {source}", row.host);
        }
        assert!(
            hosts.insert(row.host.clone()),
            "{} is listed twice",
            row.host
        );
    }
}

#[test]
fn marks_are_about_what_the_table_has() {
    let table = include_str!("../../../agent/data/provider_hosts.tsv");
    let has = |host: &str| table.contains(&format!("\t{host}\t"));
    for host in SHARED.iter().chain(&FRAGMENTS) {
        assert!(has(host), "{host}");
    }
    let groups = committed();
    for provider in RESELLERS {
        let of_provider = groups.values().filter(|group| group.provider == provider);
        assert!(of_provider.clone().count() > 0, "{provider}");
        assert!(
            of_provider.clone().all(|group| group.is_reseller),
            "{provider}"
        );
    }
}

#[test]
fn the_committed_catalogue_is_what_the_tables_say() {
    run(true).expect("up to date");
}
