//! Paths as they are found on hosts, and paths that pretend.

use super::*;

const A: &str = "3f4a1c0e9b7d2a5568f0c1d2e3b4a5968778695a4b3c2d1e0f9e8d7c6b5a4938";
const B: &str = "b0c1d2e3f4a5968778695a4b3c2d1e0f9e8d7c6b5a49383f4a1c0e9b7d2a5568";
const UID: &str = "6f1c9c1e-5d0a-4d43-9a3b-0c1d2e3f4a5b";
const STATIC: &str = "0c1d2e3f4a5b6f1c9c1e5d0a4d439a3b";

/// All labels that a path can give, as the table spells them.
fn told(labels: &Labels) -> String {
    let named = [
        ("unit", &labels.unit),
        ("slice", &labels.slice),
        ("user_unit", &labels.user_unit),
        ("container", &labels.container),
        ("container_name", &labels.container_name),
        ("pod", &labels.pod),
        ("nested", &labels.nested),
    ];
    let told = named
        .into_iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={value}")));
    told.collect::<Vec<_>>().join(" ")
}

#[test]
fn paths_are_who_their_makers_say() {
    let table = include_str!("paths.txt")
        .replace("{A}", A)
        .replace("{B}", B)
        .replace("{UPPER}", &A.to_uppercase())
        .replace("{U}", UID)
        .replace("{U_}", &UID.replace('-', "_"))
        .replace("{S}", STATIC);
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    let mut n_rows = 0;
    for row in rows {
        let [path, key, expected] = row.split('|').collect::<Vec<_>>()[..] else {
            panic!("three columns: {row}");
        };
        let path = path.trim_end();
        let labels = parse(path, usize::MAX);
        assert_eq!(labels.key(), key.trim(), "{path}");
        assert_eq!(told(&labels), expected.trim(), "{path}");
        let cgroup = if path.is_empty() { "/" } else { path };
        let only_these = Labels {
            cgroup: cgroup.to_owned(),
            unit: labels.unit.clone(),
            slice: labels.slice.clone(),
            user_unit: labels.user_unit.clone(),
            nested: labels.nested.clone(),
            container: labels.container.clone(),
            container_name: labels.container_name.clone(),
            pod: labels.pod.clone(),
            ..Labels::default()
        };
        assert_eq!(labels, only_these, "{path}");
        n_rows += 1;
    }
    assert!(n_rows >= 70, "{n_rows}");
}

#[test]
fn nothing_below_a_workload_changes_who_it_is() {
    let workloads = [
        "/system.slice/evil.service",
        "/user.slice/user-1000.slice/user@1000.service",
        "/docker/3f4a1c0e9b7d2a5568f0c1d2e3b4a5968778695a4b3c2d1e0f9e8d7c6b5a4938",
        "/lxc.payload.web",
        "/machine.slice/machine-x.scope",
    ];
    let table = include_str!("paths.txt");
    let below = table
        .lines()
        .filter(|line| line.starts_with('/'))
        .filter_map(|line| line.split('|').next());
    for path in below.map(str::trim_end) {
        for workload in workloads {
            let outer = parse(workload, usize::MAX);
            let inner = parse(&format!("{workload}{path}"), usize::MAX);
            let trusted = Labels {
                cgroup: outer.cgroup.clone(),
                user_unit: None,
                nested: None,
                ..inner.clone()
            };
            assert_eq!(trusted, outer, "{workload}{path}");
            let (key, start) = (inner.key(), outer.key());
            let is_its_own = key
                .strip_prefix(&start)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            assert!(is_its_own, "{key} {workload}{path}");
        }
    }
}

#[test]
fn in_a_directory_that_somebody_was_given_there_are_no_names() {
    let check = |path: &str, n_trusted: usize, key: &str| {
        assert_eq!(parse(path, n_trusted).key(), key, "{path} {n_trusted}");
    };
    let path = "/alice/system.slice/nginx.service";
    check(path, 3, "unit:nginx.service");
    check(path, 1, "cgroup:/alice/system.slice/nginx.service");
    assert_eq!(parse(path, 1).slice, None);
    check(
        "/system.slice/a.service/b.service",
        2,
        "unit:a.service/b.service",
    );
    check(
        &format!("/x/docker/{A}"),
        1,
        &format!("cgroup:/x/docker/{A}"),
    );
    let user = "/user.slice/user-7.slice/user@7.service/x.service";
    check(user, 3, "unit:user@7.service/x.service");
    let runtime = format!("/system.slice/k3s.service/{A}");
    check(&runtime, 2, &format!("unit:k3s.service/{A}"));
}
