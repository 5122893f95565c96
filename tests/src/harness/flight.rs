//! The first bytes of a connection, sent in a given way by a workload.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{Workload, recorder::ANSWER};

/// How bytes are handed to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// `send`, and for datagrams `sendto` without `connect`
    Plain,
    /// `send` with `MSG_MORE` on all pieces but the last
    More,
    /// `send` with `MSG_ZEROCOPY`
    Zerocopy,
    Sendfile,
    /// `send`, and before the last piece an octet with `MSG_OOB`
    Urgent,
    /// In the SYN, by `sendto` with `MSG_FASTOPEN`
    Fastopen,
    /// Datagrams: `connect`, then `send`
    Connected,
    /// Datagrams: `sendmsg`, which the kernel cuts into datagrams as long as the first piece
    Segments,
}

/// Something to send, and how long the answer to it is.
#[derive(Clone, Debug, Serialize)]
struct Step {
    pieces: Vec<String>,
    answer: usize,
}

/// What one connection, or one socket for datagrams, sends.
#[derive(Clone, Debug, Serialize)]
pub struct Flight {
    to: SocketAddr,
    udp: bool,
    how: How,
    max_segment: Option<u32>,
    steps: Vec<Step>,
}

/// How a flight ended for the workload.
#[derive(Debug, Deserialize)]
pub struct Landing {
    /// Name of the error, `timeout`, or `end` for a connection that ended without an answer
    pub error: Option<String>,
    /// All that was answered
    pub answer: String,
    seconds: f64,
}

impl Flight {
    /// Over TCP to `address`, nothing yet.
    ///
    /// # Panics
    ///
    /// When `address` is none.
    pub fn to(address: &str) -> Self {
        Self {
            to: address.parse().expect("an address"),
            udp: false,
            how: How::Plain,
            max_segment: None,
            steps: Vec::new(),
        }
    }

    /// Datagrams to `address`, none yet; nothing is answered.
    pub fn udp_to(address: &str) -> Self {
        Self {
            udp: true,
            ..Self::to(address)
        }
    }

    pub fn how(self, how: How) -> Self {
        Self { how, ..self }
    }

    /// With segments of so many bytes at most.
    pub fn max_segment(self, bytes: u32) -> Self {
        Self {
            max_segment: Some(bytes),
            ..self
        }
    }

    /// Then `bytes`, to which so many bytes are answered.
    pub fn ask(mut self, bytes: &[u8], answer: usize) -> Self {
        self.steps.push(Step {
            pieces: vec![hex(bytes)],
            answer,
        });
        self
    }

    /// Last the bytes that the recorder answers when it has them all.
    pub fn send(self, bytes: &[u8]) -> Self {
        self.ask(bytes, ANSWER.len())
    }

    /// As [`Flight::send`], in pieces of their own.
    pub fn send_pieces<'a>(mut self, pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        self.steps.push(Step {
            pieces: pieces.into_iter().map(hex).collect(),
            answer: ANSWER.len(),
        });
        self
    }

    /// As [`Flight::send`], cut before each of these offsets.
    pub fn send_cut(self, bytes: &[u8], offsets: &[usize]) -> Self {
        let starts = [0].iter().chain(offsets);
        let ends = offsets.iter().copied().chain([bytes.len()]);
        self.send_pieces(starts.zip(ends).map(|(start, end)| &bytes[*start..end]))
    }

    /// These datagrams, with [`How::Segments`] in one call.
    pub fn datagrams(mut self, datagrams: &[&[u8]]) -> Self {
        self.steps.push(Step {
            pieces: datagrams.iter().copied().map(hex).collect(),
            answer: 0,
        });
        self
    }
}

impl Landing {
    /// Whether all was sent and answered.
    pub fn is_through(&self) -> bool {
        self.error.is_none()
    }

    pub fn elapsed(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// A program that sends flights, each as the workload that it is told.
pub struct Flier {
    child: Child,
    orders: ChildStdin,
    landings: BufReader<ChildStdout>,
}

#[derive(Serialize)]
struct Order<'a> {
    cgroup: &'a Path,
    names: &'a [&'a str],
    flight: &'a Flight,
}

impl Flier {
    /// With the files in `etc` in the place of those in `/etc`.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    pub fn start(workload: &Workload, etc: &Path) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/flight.py");
        let mut command = workload.exec(etc);
        command
            .args(["python3", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 runs");
        Self {
            orders: child.stdin.take().expect("a pipe"),
            landings: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
        }
    }

    /// As `workload`: asks for the addresses of `names`, then sends.
    ///
    /// # Panics
    ///
    /// When the program fails.
    pub fn fly(&mut self, workload: &Workload, names: &[&str], flight: &Flight) -> Landing {
        let order = Order {
            cgroup: workload.cgroup(),
            names,
            flight,
        };
        let order = serde_json::to_string(&order).expect("text");
        writeln!(self.orders, "{order}").expect("an order");
        let mut landing = String::new();
        self.landings.read_line(&mut landing).expect("a landing");
        serde_json::from_str(&landing).unwrap_or_else(|error| panic!("{error}: {landing}"))
    }
}

impl Drop for Flier {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
