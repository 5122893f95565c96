//! Where the demo happens: namespaces, certificates, servers, cgroups, the agent.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{output, run};

/// The providers, under the names and ports that programs use, at addresses that only exist here.
pub(super) const OPENAI: (&str, &str) = ("api.openai.com", "127.0.0.11");
pub(super) const ANTHROPIC: (&str, &str) = ("api.anthropic.com", "127.0.0.12");

/// Workloads, each with a cgroup of its own.
pub(super) const WORKLOADS: [&str; 3] = ["reports", "notebook", "trial"];

/// How long the trial's grant holds.
pub(super) const TRIAL: Duration = Duration::from_secs(8);

pub(super) struct Site {
    weir: PathBuf,
    directory: TempDir,
    cgroup: PathBuf,
    name: String,
    children: Vec<Child>,
}

impl Site {
    pub(super) fn enter(weir: &Path) -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
            .context("make a network and a mount namespace")?;
        run(Command::new("ip").args(["link", "set", "lo", "up"]))?;
        let name = format!("weir-demo-{}", std::process::id());
        let mut site = Self {
            weir: weir.to_owned(),
            directory: TempDir::new().context("make a directory")?,
            cgroup: cgroup_root()?.join(&name),
            name,
            children: Vec::new(),
        };
        for workload in WORKLOADS {
            fs::create_dir_all(site.cgroup.join(workload)).context("make a cgroup")?;
        }
        site.name_hosts()?;
        site.certify()?;
        for (_, address) in [OPENAI, ANTHROPIC] {
            site.serve(address)?;
        }
        site.start_agent()?;
        Ok(site)
    }

    /// The system's resolver finds both providers in the hosts file, for this process tree only.
    fn name_hosts(&self) -> Result<()> {
        let hosts = self.path("hosts");
        let lines = [("localhost", "127.0.0.1"), OPENAI, ANTHROPIC]
            .map(|(host, address)| format!("{address} {host}\n"));
        fs::write(&hosts, lines.concat()).context("write a hosts file")?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
            .context("keep mounts to this process")?;
        mount(
            Some(&hosts),
            "/etc/hosts",
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .context("put the hosts file in place")
    }

    fn certify(&self) -> Result<()> {
        let names = format!("subjectAltName=DNS:{},DNS:{}", OPENAI.0, ANTHROPIC.0);
        output(
            Command::new("openssl")
                .args([
                    "req",
                    "-x509",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-256",
                ])
                .args([
                    "-nodes",
                    "-days",
                    "1",
                    "-subj",
                    "/CN=weir demo",
                    "-addext",
                    &names,
                ])
                .arg("-keyout")
                .arg(self.path("key.pem"))
                .arg("-out")
                .arg(self.certificate()),
        )
        .map(drop)
    }

    fn serve(&mut self, address: &str) -> Result<()> {
        let child = Command::new("python3")
            .args(["-c", include_str!("server.py"), address])
            .arg(self.certificate())
            .arg(self.path("key.pem"))
            .spawn()
            .context("start a server")?;
        self.children.push(child);
        wait("a server", || {
            let stream = std::net::TcpStream::connect((address, 443));
            Ok(stream.is_ok().then_some(()))
        })
    }

    fn start_agent(&mut self) -> Result<()> {
        let policy = self.path("policy.d");
        fs::create_dir(&policy).context("make a policy directory")?;
        fs::write(policy.join("demo.yaml"), self.policy()).context("write a policy")?;
        let log = fs::File::create(self.path("agent.log")).context("make a log file")?;
        let child = Command::new(&self.weir)
            .args(["agent", "--mode", "enforce", "--detach-on-exit", "--cgroup"])
            .arg(&self.cgroup)
            .arg("--policy-dir")
            .arg(policy)
            .arg("--state-dir")
            .arg(self.path("state"))
            .arg("--socket")
            .arg(self.socket())
            .arg("--pin-dir")
            .arg(self.pin_dir())
            .stderr(log)
            .spawn()
            .context("start the agent")?;
        self.children.push(child);
        let both = [OPENAI, ANTHROPIC].map(|(_, address)| Value::from(address));
        wait("the agent to know both providers' addresses", || {
            let Ok(list) = self.json(&["endpoints", "list"]) else {
                return Ok(None);
            };
            let known: Vec<_> = list["endpoints"]
                .as_array()
                .into_iter()
                .flatten()
                .flat_map(|endpoint| {
                    endpoint["addresses"]
                        .as_array()
                        .cloned()
                        .unwrap_or_default()
                })
                .collect();
            Ok(both
                .iter()
                .all(|address| known.contains(address))
                .then_some(()))
        })
    }

    /// What the demo's rules are, as somebody would write them.
    pub(super) fn policy(&self) -> String {
        let name = &self.name;
        let trial = TRIAL.as_secs();
        format!(
            "apiVersion: weir.dev/v1alpha1
kind: Posture
metadata: {{name: closed}}
spec: {{default: true, ungranted: deny}}
---
apiVersion: weir.dev/v1alpha1
kind: InvocationGrant
metadata: {{name: weekly-reports}}
spec:
  subjects: [{{cgroup: /{name}/reports}}]
  endpoints: [openai]
  purpose: weekly reports for the board
  ttl: 8h
---
apiVersion: weir.dev/v1alpha1
kind: InvocationGrant
metadata: {{name: trial}}
spec:
  subjects: [{{cgroup: /{name}/trial}}]
  endpoints: [anthropic]
  purpose: try a new model
  ttl: {trial}s
"
        )
    }

    /// Runs a command in a workload's cgroup: whether it succeeded, and the last line it printed.
    pub(super) fn call(&self, workload: &str, command: &[&str]) -> Result<(bool, String)> {
        // The shell enters the cgroup and becomes the program, as a service manager does.
        let output = Command::new("sh")
            .args(["-c", "echo $$ > \"$0\" && exec \"$@\""])
            .arg(self.cgroup.join(workload).join("cgroup.procs"))
            .args(command)
            .stdin(Stdio::null())
            .output()
            .context("run a workload")?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let last = text
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or("");
        Ok((output.status.success(), last.trim().to_owned()))
    }

    /// What `weir ARGS` prints; a negative answer is an answer.
    pub(super) fn weir(&self, args: &[&str]) -> Result<String> {
        let output = Command::new(&self.weir)
            .env("WEIR_SOCKET", self.socket())
            .args(args)
            .output()
            .context("run weir")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.code() < Some(2),
            "weir {}: {error}",
            args.join(" ")
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub(super) fn json(&self, args: &[&str]) -> Result<Value> {
        let args: Vec<_> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.weir(&args)?).context("read JSON")
    }

    /// Name that the agent gives a workload.
    pub(super) fn identity(&self, workload: &str) -> String {
        format!("cgroup:/{}/{workload}", self.name)
    }

    pub(super) fn certificate(&self) -> PathBuf {
        self.path("cert.pem")
    }

    fn socket(&self) -> PathBuf {
        self.path("weir.sock")
    }

    fn pin_dir(&self) -> PathBuf {
        Path::new("/sys/fs/bpf").join(&self.name)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // The agent last in, first out: it detaches its programs. Everything is tried.
        if let Some(mut agent) = self.children.pop() {
            let pid = nix::unistd::Pid::from_raw(agent.id().cast_signed());
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
            let _ = agent.wait();
        }
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = Command::new(&self.weir)
            .arg("detach")
            .arg("--pin-dir")
            .arg(self.pin_dir())
            .output();
        for workload in WORKLOADS {
            let _ = fs::remove_dir(self.cgroup.join(workload));
        }
        let _ = fs::remove_dir(&self.cgroup);
    }
}

fn cgroup_root() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("read /proc/self/mounts")?;
    let mut mounts = mounts.lines().map(|line| line.split(' '));
    let found = mounts.find_map(|mut fields| {
        let point = fields.nth(1)?;
        (fields.next()? == "cgroup2").then(|| PathBuf::from(point))
    });
    found.context("cgroup v2 is not mounted: run `mount -t cgroup2 none /sys/fs/cgroup`")
}

/// Tries for ten seconds.
#[expect(clippy::disallowed_methods, reason = "the loop has a deadline")]
pub(super) fn wait<T>(what: &str, mut probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = probe()? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("waited in vain for {what}");
        }
        thread::sleep(Duration::from_millis(100));
    }
}
