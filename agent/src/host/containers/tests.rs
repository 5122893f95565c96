//! State of runtimes as they write it, and state that is none.

use std::fs;

use nix::unistd::geteuid;
use tempfile::TempDir;

use super::*;

const ID: &str = "56be4436a0c4ede2ffd9b58b45fba236dfa34fbc71d4bbc832156da53ea6f49f";
const UID: &str = "6f1c9c1e-5d0a-4d43-9a3b-0c1d2e3f4a5b";

struct Host {
    root: TempDir,
    runtimes: ContainerRuntimes,
}

impl Host {
    fn new() -> Self {
        let root = TempDir::new().expect("a directory");
        let runtimes = ContainerRuntimes::below(root.path(), geteuid().as_raw());
        Self { root, runtimes }
    }

    fn with(self, path: &str, text: &str) -> Self {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        // As runtimes do: a new file in place of the old one.
        let new = path.with_extension("new");
        fs::write(&new, text).expect("a file");
        fs::rename(&new, &path).expect("a file");
        self
    }

    /// As after a restart of the agent.
    fn again(self) -> Self {
        let runtimes = ContainerRuntimes::below(self.root.path(), geteuid().as_raw());
        Self { runtimes, ..self }
    }

    fn name(&self) -> Option<String> {
        self.runtimes.look_up(ID)?.name
    }
}

fn info(name: &str, image: Option<&str>, pod: Option<&str>) -> ContainerInfo {
    ContainerInfo {
        name: Some(name.to_owned()),
        image: image.map(ToOwned::to_owned),
        pod: pod.map(|name| PodInfo {
            uid: Some(UID.to_owned()),
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        }),
    }
}

fn docker(name: &str) -> String {
    format!(
        r#"{{"StreamConfig":{{}},"State":{{"Running":true,"Pid":812,"StartedAt":"2026-01-31T08:00:00Z"}},
        "ID":"{ID}","Created":"2026-01-31T08:00:00Z","Path":"/docker-entrypoint.sh","Args":["nginx"],
        "Config":{{"Hostname":"56be4436a0c4","Env":["PATH=/bin"],"Cmd":["nginx"],"Image":"nginx:1.27",
        "Labels":{{"maintainer":"x"}}}},"Image":"sha256:055b17b7","Name":"{name}","Driver":"overlay2"}}"#
    )
}

fn storage(name: &str) -> String {
    format!(
        r#"[{{"id":"{other}","names":["other"],"image":"0","layer":"0","metadata":"not JSON","created":"2026-11-24T15:43:25Z"}},
        {{"id":"{ID}","names":["{name}"],"image":"055b17b7df34","layer":"7b1f589248d3",
        "metadata":"{{\"image-name\":\"localhost/tiny:1\",\"image-id\":\"055b17b7df34\",\"name\":\"{name}\",\"created-at\":1795535005}}",
        "created":"2026-11-24T15:43:25.823360248Z","flags":{{"MountLabel":"","ProcessLabel":""}}}}]"#,
        other = ID.replace('5', "0"),
    )
}

fn bundle(annotations: &str) -> String {
    format!(
        r#"{{"ociVersion":"1.1.0","process":{{"args":["/server"]}},"root":{{"path":"rootfs"}},
        "annotations":{{{annotations}}},"linux":{{"cgroupsPath":"/kubepods/x"}}}}"#
    )
}

fn bundle_path(namespace: &str) -> String {
    format!("run/containerd/io.containerd.runtime.v2.task/{namespace}/{ID}/config.json")
}

fn cri(kind: &str) -> String {
    let of_container = r#""io.kubernetes.cri.container-name":"server","io.kubernetes.cri.image-name":"ghcr.io/shop/api:7","#;
    let more = if kind == "container" {
        of_container
    } else {
        ""
    };
    bundle(&format!(
        r#"{more}"io.kubernetes.cri.container-type":"{kind}","io.kubernetes.cri.sandbox-id":"0",
        "io.kubernetes.cri.sandbox-name":"api-5d8f-x7k2p","io.kubernetes.cri.sandbox-namespace":"shop",
        "io.kubernetes.cri.sandbox-uid":"{UID}""#
    ))
}

#[test]
fn every_runtime_tells_what_it_calls_a_container() {
    let kubernetes_name = format!("k8s_server_api-5d8f-x7k2p_shop_{UID}_0");
    let docker_path = format!("var/lib/docker/containers/{ID}/config.v2.json");
    let list = |place: &str| format!("{place}/overlay-containers/containers.json");
    let nginx = Some("docker.io/library/nginx:1.27");
    let tiny = Some("localhost/tiny:1");
    let pod = Some("api-5d8f-x7k2p");
    for (path, text, expected) in [
        (
            docker_path.clone(),
            docker("/web"),
            info("web", nginx, None),
        ),
        (
            docker_path,
            docker(&format!("/{kubernetes_name}")),
            info("server", nginx, pod),
        ),
        (
            list("var/lib/containers/storage"),
            storage("web1"),
            info("web1", tiny, None),
        ),
        (
            "run/containers/storage/overlay-containers/volatile-containers.json".to_owned(),
            storage(&kubernetes_name),
            info("server", tiny, pod),
        ),
        (
            "var/lib/containers/storage/vfs-containers/containers.json".to_owned(),
            storage("web1"),
            info("web1", tiny, None),
        ),
        (
            bundle_path("k8s.io"),
            cri("container"),
            info("server", Some("ghcr.io/shop/api:7"), pod),
        ),
        (
            bundle_path("k8s.io"),
            cri("sandbox"),
            info("POD", None, pod),
        ),
        (
            bundle_path("default"),
            bundle(r#""nerdctl/name":"web","nerdctl/namespace":"default""#),
            info("web", None, None),
        ),
    ] {
        let host = Host::new().with(&path, &text);
        assert_eq!(host.runtimes.look_up(ID), Some(expected), "{path}");
        let other = ID.replace('6', "1");
        assert_eq!(host.runtimes.look_up(&other), None, "{path}");
    }
}

#[test]
fn an_older_containerd_leaves_out_the_uid_of_the_pod() {
    let uid = format!(r#","io.kubernetes.cri.sandbox-uid":"{UID}""#);
    let text = cri("container").replace(['\n', ' '], "").replace(&uid, "");
    assert!(!text.contains(UID));
    let host = Host::new().with(&bundle_path("k8s.io"), &text);
    let pod = host.runtimes.look_up(ID).and_then(|info| info.pod);
    let expected = PodInfo {
        uid: None,
        namespace: "shop".to_owned(),
        name: "api-5d8f-x7k2p".to_owned(),
    };
    assert_eq!(pod, Some(expected));
}

#[test]
fn runtimes_whose_state_was_moved_are_found() {
    let path = format!("srv/docker/containers/{ID}/config.v2.json");
    let moved = Host::new()
        .with("etc/docker/daemon.json", r#"{"data-root": "/srv/docker"}"#)
        .with(&path, &docker("/web"))
        .again();
    assert_eq!(moved.name().as_deref(), Some("web"));
    let list = "srv/graph/overlay-containers/containers.json";
    let settings =
        "[storage]\ndriver = \"overlay\"\ngraphroot = \"/srv/graph\"\n[storage.options]\n";
    let moved = Host::new()
        .with("etc/containers/storage.conf", settings)
        .with(list, &storage("web1"))
        .again();
    assert_eq!(moved.name().as_deref(), Some("web1"));
}

#[test]
fn docker_is_asked_even_though_it_runs_on_containerd() {
    let path = format!("var/lib/docker/containers/{ID}/config.v2.json");
    let host = Host::new()
        .with(&bundle_path("moby"), &bundle(""))
        .with(&path, &docker("/web"));
    assert_eq!(host.name().as_deref(), Some("web"));
}

#[test]
fn a_list_is_read_again_when_it_has_changed() {
    let path = "var/lib/containers/storage/overlay-containers/containers.json";
    let host = Host::new();
    assert_eq!(host.name(), None);
    let host = host.with(path, &storage("one"));
    assert_eq!(host.name().as_deref(), Some("one"));
    let host = host.with(path, &storage("two"));
    assert_eq!(host.name().as_deref(), Some("two"));
    fs::remove_file(host.root.path().join(path)).expect("removed");
    assert_eq!(host.name(), None);
}

#[test]
fn what_is_no_state_of_a_runtime_tells_nothing() {
    let docker_path = format!("var/lib/docker/containers/{ID}/config.v2.json");
    let list = "var/lib/containers/storage/overlay-containers/containers.json";
    let deep = "[".repeat(100_000);
    let other = docker("/web").replace(ID, &ID.replace('5', "0"));
    for text in [
        "",
        "{",
        "[]",
        "null",
        "{\"ID\":7}",
        "\u{0}\u{1}",
        &deep,
        &other,
        &docker("/we\\u0007b").replace("nginx:1.27", ""),
    ] {
        for path in [docker_path.as_str(), list, &bundle_path("k8s.io")] {
            let host = Host::new().with(path, text);
            assert_eq!(host.name(), None, "{path} {text:.80}");
        }
    }
    let odd = Host::new().with(&docker_path, &docker("/web"));
    for id in ["", "x", "../../../../etc", &ID[1..], &format!("{ID}/")] {
        assert_eq!(odd.runtimes.look_up(id), None, "{id}");
    }
}

#[test]
fn only_small_files_of_root_are_believed() {
    let path = format!("var/lib/docker/containers/{ID}/config.v2.json");
    let host = Host::new().with(&path, &docker("/web"));
    let someone = geteuid().as_raw() + 1;
    let strict = ContainerRuntimes::below(host.root.path(), someone);
    assert_eq!(strict.look_up(ID), None);

    let file = host.root.path().join(&path);
    let elsewhere = host.root.path().join("elsewhere");
    fs::rename(&file, &elsewhere).expect("moved");
    std::os::unix::fs::symlink(&elsewhere, &file).expect("a link");
    assert_eq!(host.name(), None);
    fs::remove_file(&file).expect("removed");
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    assert_eq!(host.name(), None);
    let text = docker("/web") + &" ".repeat(17 << 20);
    assert_eq!(host.with(&path, &text).name(), None);
}
