//! A real API server of Kubernetes with its database, on loopback: nobody runs the pods.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};

use super::{Host, eventually_within};

/// Where the agent and the test find the server.
pub const SERVER: &str = "https://127.0.0.1:26443";
const DATABASE: &str = "http://127.0.0.1:22379";
const ADMIN: &str = "admin-token";
/// The token of the account that the manifest of the DaemonSet makes.
const AGENT: &str = "agent-token";
/// On a machine that does other things, too.
const START: Duration = Duration::from_secs(60);
pub const NODE: &str = "n1";

/// One at a time: a server takes a processor for some seconds, and a lot of memory.
static TURN: Mutex<()> = Mutex::new(());

pub struct Cluster {
    programs: PathBuf,
    directory: PathBuf,
    database: Child,
    server: Child,
    _turn: MutexGuard<'static, ()>,
}

/// A pod as the API server knows it.
pub struct Pod<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    pub service_account: &'a str,
    pub labels: Value,
    /// Kind and name of the controller.
    pub owner: Option<(&'a str, &'a str)>,
    /// Name and id of the only container; without an id it has not been started.
    pub container: (&'a str, Option<&'a str>),
}

/// The programs that `cargo xtask kube` compiles; else why there are none.
///
/// # Errors
///
/// Says what to do.
pub fn programs() -> Result<PathBuf, String> {
    let missing = "there is no kube-apiserver: run `cargo xtask kube`, then `cargo xtask test`";
    let programs = std::env::var_os("WEIR_KUBE").map(PathBuf::from);
    programs
        .filter(|directory| directory.join("kube-apiserver").is_file())
        .ok_or_else(|| missing.to_owned())
}

impl Cluster {
    /// # Panics
    ///
    /// When it does not become ready.
    pub fn start(host: &Host, programs: PathBuf) -> Self {
        // Whoever failed before has left nothing behind.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = host.path("kube");
        fs::create_dir_all(&directory).expect("a directory");
        let tokens =
            format!("{ADMIN},admin,1,system:masters\n{AGENT},system:serviceaccount:weir:weir,2\n");
        fs::write(directory.join("tokens.csv"), tokens).expect("tokens");
        let key = Command::new("openssl")
            .args(["genrsa", "-out"])
            .arg(directory.join("sa.key"))
            .stderr(Stdio::null())
            .status();
        assert!(key.expect("`openssl` runs").success(), "a key");
        let database = spawn(
            Command::new(programs.join("etcd"))
                .arg("--unsafe-no-fsync")
                .arg("--data-dir")
                .arg(directory.join("etcd"))
                .args(["--listen-client-urls", DATABASE])
                .args(["--advertise-client-urls", DATABASE])
                .args(["--listen-peer-urls", "http://127.0.0.1:22380"]),
            &directory.join("etcd.log"),
        );
        let server = serve(&programs, &directory);
        let cluster = Self {
            programs,
            directory,
            database,
            server,
            _turn: turn,
        };
        cluster.wait();
        cluster
    }

    /// Kills the server, and only it.
    ///
    /// # Panics
    ///
    /// When it is not there.
    pub fn kill_server(&mut self) {
        self.server.kill().expect("it runs");
        self.server.wait().expect("it ends");
    }

    /// Starts it again, with what it knew.
    ///
    /// # Panics
    ///
    /// When it does not become ready.
    pub fn restart_server(&mut self) {
        self.server = serve(&self.programs, &self.directory);
        self.wait();
    }

    fn wait(&self) {
        eventually_within(START, "the API server", || {
            (self.curl("GET", "/readyz", "", None)? == "ok").then_some(())
        });
    }

    /// A kubeconfig file for the agent's account.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn kubeconfig(&self) -> PathBuf {
        let path = self.directory.join("kubeconfig");
        let authority = self.authority();
        let text = format!(
            "apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: '{SERVER}', certificate-authority: '{}'}}}}]
users: [{{name: u, user: {{token: {AGENT}}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
current-context: x
",
            authority.display()
        );
        fs::write(&path, text).expect("a kubeconfig");
        path
    }

    /// Makes an object from YAML or JSON and returns it.
    ///
    /// # Panics
    ///
    /// When the server refuses it.
    pub fn make(&self, path: &str, object: &str) -> Value {
        self.ask("POST", path, "application/yaml", object)
    }

    /// Changes an object.
    ///
    /// # Panics
    ///
    /// When the server refuses it.
    pub fn change(&self, path: &str, patch: &Value) -> Value {
        let kind = "application/merge-patch+json";
        self.ask("PATCH", path, kind, &patch.to_string())
    }

    /// Makes a pod on the node and returns its UID.
    ///
    /// # Panics
    ///
    /// When the server refuses it.
    pub fn make_pod(&self, pod: &Pod<'_>) -> String {
        let (container, id) = pod.container;
        let owners = pod.owner.map(|(kind, name)| {
            json!({
                "apiVersion": "apps/v1", "kind": kind, "name": name, "controller": true,
                "uid": "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
            })
        });
        let object = json!({
            "metadata": {
                "name": pod.name,
                "labels": pod.labels,
                "ownerReferences": owners.into_iter().collect::<Vec<_>>(),
            },
            "spec": {
                "serviceAccountName": pod.service_account,
                "nodeName": NODE,
                "containers": [{"name": container, "image": "registry.example/image:7"}],
            },
        });
        let pods = format!("/api/v1/namespaces/{}/pods", pod.namespace);
        let made = self.make(&pods, &object.to_string());
        if let Some(id) = id {
            let status = json!({"status": {"phase": "Running", "containerStatuses": [{
                "name": container, "containerID": format!("containerd://{id}"),
                "image": "sha256:7", "imageID": "", "ready": true, "restartCount": 0,
            }]}});
            self.change(&format!("{pods}/{}/status", pod.name), &status);
        }
        let uid = made["metadata"]["uid"].as_str();
        uid.expect("a UID").to_owned()
    }

    fn ask(&self, method: &str, path: &str, kind: &str, body: &str) -> Value {
        let answer = self.curl(method, path, kind, Some(body));
        let answer = answer.expect("the API server answers");
        let object: Value = serde_json::from_str(&answer)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}: {answer}"));
        assert_ne!(object["status"], "Failure", "{method} {path}: {object}");
        object
    }

    /// `None` when nobody answers.
    fn curl(&self, method: &str, path: &str, kind: &str, body: Option<&str>) -> Option<String> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--noproxy", "*", "--max-time", "10"])
            .args(["--request", method])
            .arg("--cacert")
            .arg(self.authority())
            .args(["--header", &format!("Authorization: Bearer {ADMIN}")])
            .arg(format!("{SERVER}{path}"));
        if let Some(body) = body {
            curl.args(["--header", &format!("Content-Type: {kind}")])
                .args(["--data-binary", body]);
        }
        let output = curl.output().expect("curl runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(text)
    }

    /// What the server's certificate is signed by.
    pub fn authority(&self) -> PathBuf {
        self.directory.join("certs/apiserver.crt")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in [&mut self.server, &mut self.database] {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn serve(programs: &Path, directory: &Path) -> Child {
    let key = directory.join("sa.key");
    spawn(
        Command::new(programs.join("kube-apiserver"))
            .arg(format!("--etcd-servers={DATABASE}"))
            .args(["--bind-address=127.0.0.1", "--secure-port=26443"])
            // Told to nobody; it only must not be looked for, where there is no route.
            .arg("--advertise-address=192.0.2.1")
            .arg("--endpoint-reconciler-type=none")
            .arg("--cert-dir")
            .arg(directory.join("certs"))
            .arg("--token-auth-file")
            .arg(directory.join("tokens.csv"))
            .arg("--authorization-mode=RBAC")
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .arg("--service-account-signing-key-file")
            .arg(&key)
            .arg("--service-account-key-file")
            .arg(&key)
            .arg("--service-cluster-ip-range=10.96.0.0/24")
            .arg("--disable-admission-plugins=ServiceAccount"),
        &directory.join("kube-apiserver.log"),
    )
}

fn spawn(command: &mut Command, log: &Path) -> Child {
    let log = fs::OpenOptions::new().create(true).append(true).open(log);
    let log = log.expect("a log file");
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log file"))
        .stderr(log)
        .spawn()
        .expect("it runs")
}
