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
        let labels = parse(path, &Layout::default());
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
            let outer = parse(workload, &Layout::default());
            let inner = parse(&format!("{workload}{path}"), &Layout::default());
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

/// Names in this directory count.
fn laid_out() -> Vec<String> {
    vec!["/jobs/runner".to_owned()]
}

#[test]
fn in_a_directory_that_somebody_was_given_there_are_no_names() {
    let parents = laid_out();
    let layout = |n_by_root| Layout {
        n_by_root,
        parents: &parents,
    };
    let check = |path: &str, n_by_root: usize, key: &str, of: Option<&str>| {
        assert_eq!(
            parse(path, &layout(n_by_root)).key(),
            key,
            "{path} {n_by_root}"
        );
        assert_eq!(given(path, &layout(n_by_root)), of, "{path} {n_by_root}");
    };
    let path = "/alice.slice/system.slice/nginx.service";
    check(path, 3, "unit:nginx.service", None);
    let own = format!("cgroup:{path}");
    check(path, 1, &own, Some("/alice.slice"));
    assert_eq!(
        parse(path, &layout(1)).slice.as_deref(),
        Some("alice.slice")
    );
    let part = "/system.slice/a.service/b.service";
    check(part, 2, "unit:a.service/b.service", None);
    let container = format!("/docker/x/{A}");
    check(
        &container,
        1,
        &format!("cgroup:{container}"),
        Some("/docker"),
    );
    let user = "/user.slice/user-7.slice/user@7.service/x.service";
    check(user, 3, "unit:user@7.service/x.service", None);
    let runtime = format!("/system.slice/k3s.service/{A}");
    check(&runtime, 2, &format!("unit:k3s.service/{A}"), None);
}

#[test]
fn names_count_only_where_systemd_and_runtimes_put_them() {
    let parents = laid_out();
    let layout = Layout {
        parents: &parents,
        ..Layout::default()
    };
    let pretended = [
        "granted.service".to_owned(),
        "system.slice/granted.service".to_owned(),
        format!("docker-{A}.scope"),
        format!("docker/{A}"),
        format!("kubepods/burstable/pod{UID}/{A}"),
        "lxc.payload.web".to_owned(),
        "user@0.service/x.service".to_owned(),
    ];
    let given_to_somebody = [
        "/default/c1",
        "/mycontainer",
        "/docker/buildkit",
        "/jobs/7",
        "/jobs/runners",
        "/system.slice/oddly",
        "/ecs/task",
    ];
    for directory in given_to_somebody {
        for pretended in &pretended {
            let path = format!("{directory}/{pretended}");
            assert_eq!(parse(&path, &layout).key(), format!("cgroup:{path}"));
            assert_eq!(given(&path, &layout), Some(directory), "{path}");
        }
        assert_eq!(given(directory, &layout), Some(directory));
    }
    let unit = parse("/jobs/runner/system.slice/a.service", &layout);
    assert_eq!(unit.key(), "unit:a.service");
    assert_eq!(
        parse(&format!("/jobs/runner/{A}"), &layout).key(),
        format!("container:{A}")
    );
    assert_eq!(given("/jobs/runner", &layout), None);
    assert_eq!(given("/jobs", &layout), None);
}

#[test]
fn parts_of_a_workload_have_its_account() {
    let check = |path: &str, account: &str| {
        let layout = Layout::default();
        let part = Labels {
            task: Some("t-1".to_owned()),
            exe: Some("/usr/bin/curl".to_owned()),
            user: Some(super::super::LocalUser { uid: 7, name: None }),
            ..parse(path, &layout)
        };
        assert_eq!(part.account(&layout).key(), account, "{path}");
    };
    check("/system.slice/a.service/b.service", "unit:a.service");
    check(
        "/user.slice/user-7.slice/user@7.service/app.slice/x.service/y.scope",
        "unit:user@7.service",
    );
    check(
        &format!("/docker/{A}/init.scope"),
        &format!("container:{A}"),
    );
    check("/jobs/7/x/y", "cgroup:/jobs");
    check("/default/c1/y", "cgroup:/default/c1");
    check("/system.slice", "cgroup:/system.slice");
    check("/", "cgroup:/");
}
