//! Containers of real runtimes, in cgroups as engines and kubelets name them.

use std::{collections::BTreeMap, thread};

use weir_tests::harness::{
    Absent, Agent, Attempts, Container, Containerd, Host, Podman, Runtime, eventually,
};

use super::{grant_for, host, server_for};

const UID: &str = "6f1c9c1e-5d0a-4d43-9a3b-0c1d2e3f4a5b";

/// Containers of the test with many, and how many are started at the same time.
/// How many, unless `WEIR_FULL` asks for a thousand.
const COUNT: usize = 200;
const AT_ONCE: usize = 20;

/// The id of a container: nothing but its number tells it from the next one.
fn id(number: usize) -> String {
    format!("c{number:063x}")
}

fn uid(number: usize) -> String {
    format!("6f1c9c1e-5d0a-4d43-9a3b-{number:012x}")
}

fn runtime<'h>(host: &'h Host, program: &'static str, test: &str) -> Option<Runtime<'h>> {
    or_skip(test, Runtime::new(host, program))
}

fn or_skip<T>(test: &str, component: Result<T, Absent>) -> Option<T> {
    match component {
        Ok(component) => Some(component),
        Err(why) => {
            println!("SKIP identities::containers::{test}: {why}");
            None
        }
    }
}

/// Cgroups of a container in a pod, or of none, as those who make them name them.
fn shapes(uid: &str, id: &str) -> [(&'static str, String); 10] {
    let flat = uid.replace('-', "_");
    let slice =
        format!("kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{flat}.slice");
    [
        (
            "kubelet, cgroupfs",
            format!("kubepods/burstable/pod{uid}/{id}"),
        ),
        ("guaranteed", format!("kubepods/pod{uid}/{id}")),
        (
            "kubelet, systemd",
            format!("{slice}/cri-containerd-{id}.scope"),
        ),
        ("CRI-O", format!("{slice}/crio-{id}.scope")),
        ("cri-dockerd", format!("{slice}/docker-{id}.scope")),
        ("Docker, cgroupfs", format!("docker/{id}")),
        ("Docker, systemd", format!("system.slice/docker-{id}.scope")),
        ("Podman, cgroupfs", format!("libpod_parent/libpod-{id}")),
        (
            "Podman, systemd",
            format!("machine.slice/libpod-{id}.scope"),
        ),
        ("containerd", format!("default/{id}")),
    ]
}

#[test]
fn a_container_is_itself_in_every_shape_of_cgroup() {
    let host = host();
    let Some(runc) = runtime(
        &host,
        "runc",
        "a_container_is_itself_in_every_shape_of_cgroup",
    ) else {
        return;
    };
    let granted: Vec<_> = (0..10)
        .map(|n| format!("container: {{id: {}}}", id(n)))
        .collect();
    let server = server_for(&host, &grant_for(&granted));
    let agent = host.agent().start();
    for (number, expected) in (0..20).map(|n| (n, n < 10)) {
        let id = id(number);
        let (shape, cgroup) = shapes(UID, &id)[number % 10].clone();
        let container = Container {
            cgroup,
            id: id.clone(),
        };
        let (all, field) = if expected {
            (Attempts::all_ok(1), "connections_allowed")
        } else {
            (Attempts::all_refused(1), "connections_denied")
        };
        assert_eq!(runc.connect(&container, server), all, "{shape}");
        let identity = format!("container:{id}");
        assert_eq!(agent.usage("identity", &[&identity], field), 1, "{shape}");
    }
}

#[test]
fn a_pod_is_known_by_its_uid() {
    let host = host();
    let Some(runc) = runtime(&host, "runc", "a_pod_is_known_by_its_uid") else {
        return;
    };
    let server = server_for(
        &host,
        &grant_for(&[format!("kubernetes: {{podUid: {UID}}}")]),
    );
    let _agent = host.agent().start();
    for (number, uid, expected) in [
        (1, UID.to_owned(), Attempts::all_ok(1)),
        (2, uid(2), Attempts::all_refused(1)),
    ] {
        let id = id(number);
        for (shape, cgroup) in shapes(&uid, &id).into_iter().take(5) {
            let container = Container {
                cgroup,
                id: id.clone(),
            };
            assert_eq!(runc.connect(&container, server), expected, "{shape}");
        }
    }
}

#[test]
fn the_child_that_crun_makes_is_its_container() {
    let host = host();
    let test = "the_child_that_crun_makes_is_its_container";
    let Some(crun) = runtime(&host, "crun", test) else {
        return;
    };
    let server = server_for(
        &host,
        &grant_for(&[format!("container: {{id: {}}}", id(1))]),
    );
    let agent = host.agent().start();
    for (number, expected) in [(1, Attempts::all_ok(1)), (2, Attempts::all_refused(1))] {
        let id = id(number);
        let cgroup = format!("machine.slice/libpod-{id}.scope/container");
        let container = Container {
            cgroup,
            id: id.clone(),
        };
        // How soon it has its name is another test's business.
        let judged = (0..5).find(|_| crun.connect(&container, server) == expected);
        assert!(judged.is_some(), "{id}: never {expected:?}");
        eventually("the event", || {
            let identity = format!("container:{id}");
            agent.events(&[("identity", &identity)]).pop()
        });
    }
}

/// Each with another right than its neighbour, half of them with another one than what is around.
#[test]
fn every_new_container_is_judged_right() {
    let host = host();
    let test = "every_new_container_is_judged_right";
    let Some(runc) = runtime(&host, "runc", test) else {
        return;
    };
    let count = if std::env::var_os("WEIR_FULL").is_some() {
        1_000
    } else {
        COUNT
    };
    let is_granted = |number: usize| number.is_multiple_of(2);
    // Half of those that may are known by their id, half by their pod.
    let subjects = (0..count)
        .filter(|number| is_granted(*number))
        .map(|number| {
            if number.is_multiple_of(4) {
                format!("container: {{id: {}}}", id(number))
            } else {
                format!("kubernetes: {{podUid: {}}}", uid(number))
            }
        });
    let server = server_for(&host, &grant_for(&subjects.collect::<Vec<_>>()));
    let agent = host.agent().start();

    let run = |number: usize| {
        let id = id(number);
        let (_, cgroup) = shapes(&uid(number), &id)[number % 5].clone();
        (number, runc.connect(&Container { cgroup, id }, server))
    };
    let verdicts: BTreeMap<_, _> = thread::scope(|scope| {
        let workers = (0..AT_ONCE).map(|worker| {
            let run = &run;
            scope.spawn(move || {
                (worker..count)
                    .step_by(AT_ONCE)
                    .map(run)
                    .collect::<Vec<_>>()
            })
        });
        let workers: Vec<_> = workers.collect();
        let done = workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("it ran"));
        done.collect()
    });
    let expected = (0..count).map(|number| {
        if is_granted(number) {
            (number, Attempts::all_ok(1))
        } else {
            (number, Attempts::all_refused(1))
        }
    });
    let wrong: Vec<_> = expected
        .filter(|(number, all)| verdicts[number] != *all)
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {count} wrong: {wrong:?}",
        wrong.len()
    );
    assert!(!agent.log().contains("ERROR"), "{}", agent.log());
}

/// The identity `name`, as `weir identities` tells of it.
fn identity(agent: &Agent, name: &str) -> serde_json::Value {
    eventually(name, || {
        let list = agent.json(&["identities"])["identities"].clone();
        let mut found = list.as_array()?.iter();
        found.find(|identity| identity["name"] == name).cloned()
    })
}

#[test]
fn podman_names_its_containers_before_they_run() {
    let host = host();
    let test = "podman_names_its_containers_before_they_run";
    let Some(podman) = or_skip(test, Podman::new(&host)) else {
        return;
    };
    let subject = "container: {name: \"crawler-*\", image: \"localhost/tiny:*\"}";
    let server = server_for(&host, &grant_for(&[subject.to_owned()]));
    let agent = host.agent().start();
    assert_eq!(podman.connect("crawler-1", server), Attempts::all_ok(1));
    assert_eq!(podman.connect("other", server), Attempts::all_refused(1));
    for name in ["crawler-1", "other"] {
        let identity = identity(&agent, &format!("container:{name}"));
        assert_eq!(identity["container_name"], name);
        assert_eq!(identity["image"], "localhost/tiny:1");
    }
}

#[test]
fn containerd_names_its_containers_before_they_run() {
    let host = host();
    let test = "containerd_names_its_containers_before_they_run";
    let Some(containerd) = or_skip(test, Containerd::start(&host)) else {
        return;
    };
    let by_image = "container: {name: server, image: \"registry.example/shop/*\"}";
    let by_name = "container: {name: crawler}";
    let subjects = [by_image.to_owned(), by_name.to_owned()];
    let server = server_for(&host, &grant_for(&subjects));
    let agent = host.agent().start();

    let pod = |image| {
        [
            ("io.kubernetes.cri.container-type", "container"),
            ("io.kubernetes.cri.container-name", "server"),
            ("io.kubernetes.cri.image-name", image),
            ("io.kubernetes.cri.sandbox-namespace", "shop"),
            ("io.kubernetes.cri.sandbox-name", "api-1"),
            ("io.kubernetes.cri.sandbox-uid", UID),
        ]
    };
    for (number, image, expected) in [
        (1, "registry.example/shop/api:1", Attempts::all_ok(1)),
        (2, "registry.example/other/api:1", Attempts::all_refused(1)),
    ] {
        let cgroup = format!("kubepods/burstable/pod{UID}/{}", id(number));
        let found = containerd.connect(&cgroup, &id(number), &pod(image), server);
        assert_eq!(found, expected, "{image}");
        let identity = identity(&agent, "pod:shop/pod/api-1/server");
        assert_eq!(identity["image"], image);
        assert_eq!(identity["namespace"], "shop");
    }
    for (number, name, expected) in [
        (3, "crawler", Attempts::all_ok(1)),
        (4, "other", Attempts::all_refused(1)),
    ] {
        let cgroup = format!("default/{}", id(number));
        let annotations = [("nerdctl/name", name)];
        let found = containerd.connect(&cgroup, &id(number), &annotations, server);
        assert_eq!(found, expected, "{name}");
        identity(&agent, &format!("container:{name}"));
    }
}
