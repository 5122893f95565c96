//! A real agent: the release binary, run as an operator would.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use super::{Host, eventually, eventually_within};

/// Longest time until it is in force: an emulated machine takes long to check kernel programs.
const START: Duration = Duration::from_secs(120);

/// The binary under test: set by `cargo xtask test`.
///
/// # Panics
///
/// When it is not set.
#[must_use]
pub fn binary() -> PathBuf {
    let path = std::env::var_os("WEIR_BIN").map(PathBuf::from);
    path.expect("WEIR_BIN names the weir binary: run `cargo xtask test`")
}

pub struct AgentBuilder<'a> {
    host: &'a Host,
    mode: &'static str,
    extra: Vec<String>,
    environment: Vec<(String, PathBuf)>,
    binary: PathBuf,
    /// Before the names of what it has for itself alone.
    prefix: &'static str,
}

impl<'a> AgentBuilder<'a> {
    pub(super) fn new(host: &'a Host) -> Self {
        Self {
            host,
            mode: "enforce",
            extra: Vec::new(),
            environment: Vec::new(),
            binary: binary(),
            prefix: "",
        }
    }

    pub fn mode(self, mode: &'static str) -> Self {
        Self { mode, ..self }
    }

    pub fn arg(mut self, argument: &str) -> Self {
        self.extra.push(argument.to_owned());
        self
    }

    /// Also believes what this server says about names.
    pub fn name_server(self, address: &str) -> Self {
        self.arg("--name-server").arg(address)
    }

    /// Replaces the configuration file, which is empty otherwise.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn config(self, text: &str) -> Self {
        fs::write(self.host.path("weir.toml"), text).expect("a configuration file");
        self
    }

    /// Is killed at this place, if the binary has it: `cargo xtask test` builds one.
    pub fn fault(mut self, point: &str) -> Self {
        if let Some(faulty) = std::env::var_os("WEIR_FAULT_BIN") {
            self.binary = faulty.into();
        }
        self.env("WEIR_FAULT", point.into())
    }

    pub fn env(mut self, name: &str, value: PathBuf) -> Self {
        self.environment.push((name.to_owned(), value));
        self
    }

    /// With a state and a socket of its own, at the pins of the host's agent.
    pub fn apart(self) -> Self {
        Self {
            prefix: "apart-",
            ..self
        }
    }

    fn own(&self, name: &str) -> PathBuf {
        self.host.path(&format!("{}{name}", self.prefix))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(["agent", "--no-resolve", "--mode", self.mode])
            .arg("--cgroup")
            .arg(self.host.cgroup())
            .arg("--policy-dir")
            .arg(self.host.path("policy.d"))
            .arg("--state-dir")
            .arg(self.own("state"))
            .arg("--pin-dir")
            .arg(self.host.pin_dir())
            .arg("--socket")
            .arg(self.own("weir.sock"))
            .arg("--config")
            .arg(self.empty_config())
            .args(&self.extra)
            .envs(self.environment.iter().cloned());
        command
    }

    /// The test must not depend on a configuration of the machine.
    fn empty_config(&self) -> PathBuf {
        let path = self.host.path("weir.toml");
        if !path.exists() {
            fs::write(&path, "").expect("a configuration file");
        }
        path
    }

    /// Starts the agent and waits until it is in force.
    ///
    /// # Panics
    ///
    /// When it ends instead: with its log.
    pub fn start(self) -> Agent {
        let log = self.host.path("agent.log");
        let file = fs::OpenOptions::new().create(true).append(true).open(&log);
        let child = self
            .command()
            .stderr(file.expect("a log file"))
            .stdout(Stdio::null())
            .spawn()
            .expect("the agent runs");
        let mut agent = Agent {
            child,
            socket: self.host.path("weir.sock"),
            log,
        };
        eventually_within(START, "the agent's API", || {
            let ended = agent.child.try_wait().expect("its state");
            assert!(ended.is_none(), "the agent ended:\n{}", agent.log());
            agent.weir(&["status", "--json"]).is(0).then_some(())
        });
        agent
    }

    /// Runs an agent that is expected to refuse to start.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    pub fn fail(self) -> Output {
        Output::of(&mut self.command())
    }
}

/// Somebody who runs a command.
#[derive(Clone, Copy, Debug)]
pub struct Who {
    pub uid: u32,
    pub gid: u32,
    pub login: Option<u32>,
}

pub struct Agent {
    child: Child,
    socket: PathBuf,
    log: PathBuf,
}

impl Agent {
    /// Runs `weir ARGS` against this agent.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    pub fn weir(&self, args: &[&str]) -> Output {
        Output::of(
            Command::new(binary())
                .env("WEIR_SOCKET", &self.socket)
                .args(args),
        )
    }

    /// Runs `weir ARGS` as somebody else, with the user that its session was opened for.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    pub fn weir_as(&self, who: Who, args: &[&str]) -> Output {
        let Who { uid, gid, login } = who;
        let login = login.map_or(String::new(), |login| {
            format!("echo {login} > /proc/self/loginuid && ")
        });
        let user = format!("--reuid={uid}");
        let group = format!("--regid={gid}");
        let script = format!("{login}exec setpriv {user} {group} --clear-groups \"$@\"");
        let line = self.command_line(args);
        Output::of(Command::new("sh").args(["-c", &script, "sh"]).args(line))
    }

    /// What `weir ARGS --json` prints.
    ///
    /// # Panics
    ///
    /// When it prints something else.
    pub fn json(&self, args: &[&str]) -> Value {
        let args: Vec<_> = args.iter().copied().chain(["--json"]).collect();
        self.json_of(&args)
    }

    /// What `weir ARGS` prints, which is JSON.
    ///
    /// # Panics
    ///
    /// When it is something else.
    pub fn json_of(&self, args: &[&str]) -> Value {
        let output = self.weir(args);
        serde_json::from_str(&output.stdout)
            .unwrap_or_else(|error| panic!("{args:?}: {error}: {output:?}\n{}", self.log()))
    }

    /// Sum of a field over the usage rows whose keys are these.
    pub fn usage(&self, by: &str, key: &[&str], field: &str) -> u64 {
        let report = self.json(&["usage", "--by", by]);
        let rows = report["rows"].as_array().cloned().unwrap_or_default();
        let is_asked = |row: &&Value| {
            let found: Vec<_> = row["key"].as_array().into_iter().flatten().collect();
            found.len() == key.len() && found.iter().zip(key).all(|(found, key)| *found == key)
        };
        rows.iter()
            .filter(is_asked)
            .filter_map(|row| row[field].as_u64())
            .sum()
    }

    /// Events with all of these fields.
    pub fn events(&self, fields: &[(&str, &str)]) -> Vec<Value> {
        let output = self.weir(&["events", "--json", "--limit", "10000"]);
        let events = output.stdout.lines().map(|line| {
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{line}: {error}"))
        });
        events
            .filter(|event| fields.iter().all(|(name, value)| event[*name] == *value))
            .collect()
    }

    /// A program's argument list that runs `weir ARGS` against this agent.
    pub fn command_line(&self, args: &[&str]) -> Vec<String> {
        let fixed = [
            binary().display().to_string(),
            "--socket".to_owned(),
            self.socket.display().to_string(),
        ];
        let args = args.iter().map(|arg| (*arg).to_owned());
        fixed.into_iter().chain(args).collect()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it without a chance to do anything.
    ///
    /// # Panics
    ///
    /// When it is not there.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    ///
    /// When it has not.
    pub fn ended(mut self) {
        eventually("the end of the agent", || {
            self.child.try_wait().expect("its state").map(drop)
        });
    }

    /// Asks it to end and waits.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}:\n{}", self.log());
    }

    /// # Panics
    ///
    /// When it is not there.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("it runs");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            report(&self.log());
        }
    }
}

#[expect(clippy::print_stderr, reason = "the log of an agent whose test fails")]
fn report(log: &str) {
    let lines: Vec<_> = log.lines().collect();
    let tail = lines.len().saturating_sub(40);
    eprintln!(
        "--- end of the agent's log\n{}\n---",
        lines[tail..].join("\n")
    );
}

/// Runs `weir ARGS` without any agent.
pub(super) fn run(args: &[&str]) -> Output {
    Output::of(
        Command::new(binary())
            .env("WEIR_SOCKET", "/nonexistent")
            .args(args),
    )
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
    pub code: Option<i32>,
}

impl Output {
    /// Runs a command to its end.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    #[must_use]
    pub fn of(command: &mut Command) -> Self {
        let output = command
            .stdin(Stdio::null())
            .output()
            .expect("the command runs");
        Self {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output
                .status
                .code()
                .or(output.status.signal().map(|signal| -signal)),
        }
    }

    pub fn is(&self, code: i32) -> bool {
        self.code == Some(code)
    }

    /// # Panics
    ///
    /// When it ended otherwise.
    pub fn expect(self, code: i32) -> Self {
        assert!(self.is(code), "expected exit code {code}: {self:?}");
        self
    }
}
