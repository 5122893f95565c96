//! Pods, named by a real API server: where nobody has compiled one, these are skipped.

use std::{fs, net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use weir_tests::harness::{
    Agent, Attempts, Host, Workload, eventually, eventually_within,
    kube::{self, Cluster, NODE, Pod},
};

use super::{host, model};

/// What the DaemonSet is installed with.
const MANIFEST: &str = include_str!("../../../deploy/kubernetes/weir.yaml");

/// Longer than the agent waits between two attempts to reach the API server.
const A_PAUSE: Duration = Duration::from_secs(60);

#[test]
fn pods_are_judged_by_what_the_api_server_says() {
    let Some((host, cluster)) = cluster("pods_are_judged_by_what_the_api_server_says") else {
        return;
    };
    let (api_id, other_id) = ("a".repeat(64), "b".repeat(64));
    let api = cluster.make_pod(&api_pod(&api_id));
    let other = cluster.make_pod(&other_pod("other", Some(&other_id)));
    let (api, other) = (
        workload(&host, &api, &api_id),
        workload(&host, &other, &other_id),
    );
    let unknown_id = "c".repeat(64);
    let unknown = workload(&host, "00000000-1111-4222-8333-444444444444", &unknown_id);
    let server = host.tcp_server("127.0.0.1:0", 0);
    let by_account = "{kubernetes: {namespace: team, serviceAccount: reader}}";
    write_policy(&host, server, "ungranted: deny", by_account);
    let agent = host.agent().start();

    let why = eventually("the refusal of the API server", || {
        let state = agent.json(&["status"])["kubernetes"].clone();
        let why = state["why"].as_str()?.to_owned();
        why.starts_with("not allowed").then_some(why)
    });
    assert!(why.contains("may get, list and watch pods"), "{why}");
    assert_eq!(api.connect(server), Attempts::all_refused(1));
    install(&cluster);
    wait_for_identity(&agent, "pod:team/deployment/api/main");
    wait_for_identity(&agent, "pod:team/pod/other/main");
    let status = agent.weir(&["status"]).expect(0).stdout;
    let line = format!("kubernetes  api, 2 pods of {NODE}, 1 UNRESOLVED, current");
    assert!(
        status.lines().any(|found| found == line),
        "{line} in\n{status}"
    );
    assert_eq!(api.connect(server), Attempts::all_ok(1));
    assert_eq!(other.connect(server), Attempts::all_refused(1));
    assert_eq!(unknown.connect(server), Attempts::all_refused(1));

    write_policy(
        &host,
        server,
        "ungranted: allow, unresolved: deny",
        by_account,
    );
    eventually("the other posture", || {
        (other.connect(server) == Attempts::all_ok(1)).then_some(())
    });
    assert_eq!(unknown.connect(server), Attempts::all_refused(1));

    // A cgroup that is there before its pod has a container id, and then has one.
    let late_id = "d".repeat(64);
    let late = cluster.make_pod(&other_pod("late", None));
    let late = workload(&host, &late, &late_id);
    wait_for_identity(&agent, &format!("pod:team/pod/late/{late_id}"));
    assert_eq!(late.connect(server), Attempts::all_ok(1));
    let started = json!({"status": {"containerStatuses": [{
        "name": "main", "containerID": format!("containerd://{late_id}"),
        "image": "", "imageID": "", "ready": true, "restartCount": 0,
    }]}});
    cluster.change("/api/v1/namespaces/team/pods/late/status", &started);
    wait_for_identity(&agent, "pod:team/pod/late/main");
    assert_eq!(agent.json(&["status"])["kubernetes"]["unresolved"], 1);
}

#[test]
fn what_is_known_stays_while_the_api_server_is_away() {
    let Some((host, mut cluster)) = cluster("what_is_known_stays_while_the_api_server_is_away")
    else {
        return;
    };
    install(&cluster);
    let id = "a".repeat(64);
    let api = workload(&host, &cluster.make_pod(&api_pod(&id)), &id);
    let server = host.tcp_server("127.0.0.1:0", 0);
    let by_label = "{kubernetes: {podLabels: {tier: trusted}}}";
    write_policy(&host, server, "ungranted: deny", by_label);
    let agent = host.agent().start();
    wait_for_identity(&agent, "pod:team/deployment/api/main");
    assert_eq!(api.connect(server), Attempts::all_ok(1));

    // The server only keeps what has happened since it was started.
    let later = json!({"metadata": {"name": "later"}});
    cluster.make("/api/v1/namespaces", &later.to_string());
    cluster.kill_server();
    let state = away(&agent);
    assert!(
        state["why"].as_str().is_some_and(|why| !why.is_empty()),
        "{state}"
    );
    assert_eq!(state["pods"], 1);
    let text = agent.weir(&["status"]).expect(0).stdout;
    assert!(text.contains("AWAY for "), "{text}");
    assert_eq!(api.connect(server), Attempts::all_ok(1));

    cluster.restart_server();
    let pod = "/api/v1/namespaces/team/pods/api-7d9f8b6c5d-x2x4z";
    cluster.change(pod, &json!({"metadata": {"labels": {"tier": "other"}}}));
    eventually_within(A_PAUSE, "the new labels", || {
        (api.connect(server) == Attempts::all_refused(1)).then_some(())
    });
    assert_eq!(agent.json(&["status"])["kubernetes"]["connected"], true);
    let log = agent.log();
    assert!(log.contains("listing pods again"), "{log}");
    cluster.change(pod, &json!({"metadata": {"labels": {"tier": "trusted"}}}));
    eventually("the old labels", || {
        (api.connect(server) == Attempts::all_ok(1)).then_some(())
    });

    cluster.kill_server();
    away(&agent);
    agent.kill();
    let agent = host.agent().start();
    assert_eq!(api.connect(server), Attempts::all_ok(1));
    wait_for_identity(&agent, "pod:team/deployment/api/main");
    let state = away(&agent);
    assert_eq!(state["pods"], 1);
    assert!(state["age_seconds"].as_u64() < Some(300), "{state}");
    // The labels were recalled with everything else.
    cluster.restart_server();
    cluster.change(pod, &json!({"metadata": {"labels": {"tier": null}}}));
    eventually_within(A_PAUSE, "no labels", || {
        (api.connect(server) == Attempts::all_refused(1)).then_some(())
    });
}

/// A kubelet answers like an API server that is asked for pods once, so this stands for one.
#[test]
fn a_kubelet_is_asked_over_tls() {
    let Some((host, mut cluster)) = cluster("a_kubelet_is_asked_over_tls") else {
        return;
    };
    install(&cluster);
    let anybody = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "anybody"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "weir"},
        "subjects": [{"kind": "User", "name": "system:anonymous"}],
    });
    cluster.make(
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        &anybody.to_string(),
    );
    let id = "a".repeat(64);
    let _api = workload(&host, &cluster.make_pod(&api_pod(&id)), &id);
    let agent = |trust: &str| {
        let config = format!(
            "[kubernetes]\nsource = \"kubelet\"\nnode = \"{NODE}\"\n\
             kubelet_url = \"{}/api/v1/pods\"\n{trust}\n",
            kube::SERVER
        );
        fs::write(host.path("weir.toml"), config).expect("a configuration file");
        host.agent().start()
    };

    let distrusting = agent("");
    let why = eventually("a certificate of nobody", || {
        let why = away(&distrusting)["why"].as_str()?.to_owned();
        why.contains("certificate").then_some(why)
    });
    assert!(why.contains("UnknownIssuer"), "{why}");
    distrusting.stop();
    for trust in [
        "kubelet_insecure = true".to_owned(),
        format!("kubelet_ca = \"{}\"", cluster.authority().display()),
    ] {
        let agent = agent(&trust);
        wait_for_identity(&agent, "pod:team/deployment/api/main");
        assert_eq!(agent.json(&["status"])["kubernetes"]["source"], "kubelet");
        agent.stop();
    }
    cluster.kill_server();
    let agent = agent("kubelet_insecure = true");
    wait_for_identity(&agent, "pod:team/deployment/api/main");
    let why = eventually("nobody", || {
        let why = away(&agent)["why"].as_str()?.to_owned();
        why.contains("refused").then_some(why)
    });
    assert!(why.contains("os error 111"), "{why}");
}

/// A host with an API server, whose agents ask it; nothing where there is none to run.
fn cluster(test: &str) -> Option<(Host, Cluster)> {
    let programs = match kube::programs() {
        Ok(programs) => programs,
        Err(why) => {
            println!("SKIP kubernetes::{test}: {why}");
            return None;
        }
    };
    let host = host();
    let cluster = Cluster::start(&host, programs);
    cluster.make(
        "/api/v1/namespaces",
        &json!({"metadata": {"name": "team"}}).to_string(),
    );
    let config = format!(
        "[kubernetes]\nsource = \"api\"\nnode = \"{NODE}\"\nkubeconfig = \"{}\"\n",
        cluster.kubeconfig().display()
    );
    fs::write(host.path("weir.toml"), config).expect("a configuration file");
    Some((host, cluster))
}

fn api_pod(id: &str) -> Pod<'_> {
    Pod {
        namespace: "team",
        name: "api-7d9f8b6c5d-x2x4z",
        service_account: "reader",
        labels: json!({"tier": "trusted", "pod-template-hash": "7d9f8b6c5d"}),
        owner: Some(("ReplicaSet", "api-7d9f8b6c5d")),
        container: ("main", Some(id)),
    }
}

fn other_pod<'a>(name: &'a str, id: Option<&'a str>) -> Pod<'a> {
    Pod {
        namespace: "team",
        name,
        service_account: "default",
        labels: json!({}),
        owner: None,
        container: ("main", id),
    }
}

/// In a cgroup as a kubelet makes it.
fn workload(host: &Host, uid: &str, id: &str) -> Workload {
    host.workload(&format!("kubepods/burstable/pod{uid}/{id}"))
}

fn write_policy(host: &Host, server: SocketAddr, posture: &str, subject: &str) {
    let policy = model("127.0.0.1/32", &server.port().to_string());
    let grant = format!(
        "---
apiVersion: weir.dev/v1alpha1
kind: InvocationGrant
metadata: {{name: a}}
spec:
  subjects: [{subject}]
  endpoints: [model]
  purpose: a test
  ttl: 1h
"
    );
    host.write_policy(
        "p.yaml",
        &(policy.replace("ungranted: deny", posture) + &grant),
    );
}

/// Installs the manifest.
fn install(cluster: &Cluster) {
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    for (kind, path) in [
        ("Namespace", "/api/v1/namespaces"),
        ("ServiceAccount", "/api/v1/namespaces/weir/serviceaccounts"),
        ("ClusterRole", &format!("{rbac}/clusterroles")),
        ("ClusterRoleBinding", &format!("{rbac}/clusterrolebindings")),
        ("DaemonSet", "/apis/apps/v1/namespaces/weir/daemonsets"),
    ] {
        cluster.make(path, document(kind));
    }
}

/// The document of this kind in the manifest.
fn document(kind: &str) -> &'static str {
    let is_it = |document: &&str| {
        let mut lines = document.lines();
        lines.any(|line| line == format!("kind: {kind}"))
    };
    let mut documents = MANIFEST.split("\n---\n");
    documents.find(is_it).expect("it is in the manifest")
}

fn wait_for_identity(agent: &Agent, name: &str) {
    eventually(name, || {
        let list = agent.json(&["identities", "--live"]);
        let names = list["identities"].as_array()?;
        names.iter().any(|one| one["name"] == name).then_some(())
    });
}

fn away(agent: &Agent) -> Value {
    eventually("the absence of the API server", || {
        let state = agent.json(&["status"])["kubernetes"].clone();
        (state["connected"] == false).then_some(state)
    })
}
