//! Processes in a cgroup that call something.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use serde::{Deserialize, Serialize};

/// A cgroup in which the test's client program is run.
pub struct Workload {
    cgroup: PathBuf,
    client: PathBuf,
}

/// How many attempts went through, were refused with EPERM, or failed otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    pub ok: u32,
    pub refused: u32,
    pub other: u32,
}

/// Where one thing becomes another, in ns on the boot clock.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Edge {
    /// When the last call began that was let through; 0 if none was.
    pub allowed_ns: u64,
    /// When the first refusal had returned.
    pub refused_ns: u64,
}

impl Attempts {
    pub const fn all_ok(ok: u32) -> Self {
        Self {
            ok,
            refused: 0,
            other: 0,
        }
    }

    pub const fn all_refused(refused: u32) -> Self {
        Self {
            ok: 0,
            refused,
            other: 0,
        }
    }
}

impl Workload {
    pub(super) fn new(cgroup: PathBuf, client: PathBuf) -> Self {
        Self { cgroup, client }
    }

    pub(super) fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// One TCP connection.
    pub fn connect(&self, address: SocketAddr) -> Attempts {
        self.connects(address, 1, 1)
    }

    /// `count` TCP connections by each of `threads` threads.
    pub fn connects(&self, address: SocketAddr, count: u32, threads: u32) -> Attempts {
        self.run(&[
            "tcp",
            &address.to_string(),
            &count.to_string(),
            &threads.to_string(),
        ])
    }

    /// One connection that sends `out` bytes and reads to the end.
    pub fn exchange(&self, address: SocketAddr, out: usize) -> Attempts {
        self.run(&["exchange", &address.to_string(), &out.to_string()])
    }

    /// `count` datagrams without `connect()`.
    pub fn datagrams(&self, address: SocketAddr, count: u32) -> Attempts {
        self.run(&["udp", &address.to_string(), &count.to_string()])
    }

    /// One UDP `connect()`.
    pub fn udp_connect(&self, address: SocketAddr) -> Attempts {
        self.run(&["udp-connect", &address.to_string()])
    }

    /// Resolves the governed name `count` times, connecting at once each time, beside `busy` threads
    /// that do so with ordinary names.
    pub fn resolve_then_connect(&self, resolver: SocketAddr, count: u32, busy: u32) -> Attempts {
        self.run(&[
            "resolve",
            &resolver.to_string(),
            &count.to_string(),
            &busy.to_string(),
        ])
    }

    /// Keeps connecting until [`Running::stop`]; has tried once when this returns.
    ///
    /// # Panics
    ///
    /// When the client cannot be run.
    pub fn busy(&self, address: SocketAddr) -> Running {
        self.beside(&["busy", &address.to_string()], "busy")
    }

    /// Makes `count` connections and keeps them, sending and reading, until [`Running::stop`]: then
    /// `ok` still live, `refused` got an error, `other` were ended by the peer.
    ///
    /// # Panics
    ///
    /// When the client cannot be run or cannot connect.
    pub fn hold(&self, address: SocketAddr, count: u32) -> Running {
        let count = count.to_string();
        self.beside(&["hold", &address.to_string(), &count], &count)
    }

    /// Tries `connect()` of a datagram socket, which sends nothing, from an instant on the boot clock
    /// again and again until it is refused, or for some seconds.
    ///
    /// # Panics
    ///
    /// When the client cannot be run.
    pub fn edge(&self, address: SocketAddr, from_ns: u64) -> Edge {
        let args = ["edge", &address.to_string(), &from_ns.to_string()];
        let output = self.command(&args).output();
        let output = output.expect("the client runs");
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("two instants")
    }

    /// Runs the client beside the test, once it has printed `ready`.
    fn beside(&self, args: &[&str], ready: &str) -> Running {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the client runs");
        let mut output = BufReader::new(child.stdout.take().expect("its output"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        assert_eq!(line.trim(), ready, "what the client says when it is ready");
        Running { child, output }
    }

    fn run(&self, args: &[&str]) -> Attempts {
        let output = self.command(args).output().expect("the client runs");
        assert!(output.status.success(), "{output:?}");
        attempts(&output.stdout)
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.client);
        command.arg(&self.cgroup).args(args);
        command
    }
}

/// A client that runs beside the test.
pub struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Running {
    /// What has come of its connections.
    ///
    /// # Panics
    ///
    /// When the client failed.
    pub fn stop(mut self) -> Attempts {
        drop(self.child.stdin.take());
        let mut text = String::new();
        self.output.read_to_string(&mut text).expect("its output");
        assert!(self.child.wait().expect("the client ends").success());
        attempts(text.as_bytes())
    }
}

pub(super) fn attempts(stdout: &[u8]) -> Attempts {
    let text = String::from_utf8_lossy(stdout);
    let numbers: Vec<u32> = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    match numbers.as_slice() {
        [ok, refused, other] => Attempts {
            ok: *ok,
            refused: *refused,
            other: *other,
        },
        _ => panic!("the client printed `{text}`"),
    }
}
