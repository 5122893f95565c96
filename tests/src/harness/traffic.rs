//! Everything at once that a workload may have open with a model: streams of events, HTTP/2,
//! WebSockets and datagrams, all of which go on until somebody ends them.
//!
//! Octets that are sent tell when that was, so that those which arrive tell whether anything was sent
//! after an instant and got through.

mod client;
mod server;
mod watched;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::{Child, ChildStdout, Stdio},
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir::host::clock::boot_ns;

pub use self::{client::run, server::Traffic};

use super::Workload;

/// Between two messages of one connection.
const BETWEEN: Duration = Duration::from_millis(20);

/// Ways to be connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// Server-sent events over HTTP/1.1
    Events,
    /// The same over TLS
    EventsTls,
    /// A request that goes on for ever, and its answer that does, among others of a connection
    Http2,
    WebSocket,
    /// Datagrams of a socket that is not connected
    Udp,
    UdpConnected,
}

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::Events,
        Self::EventsTls,
        Self::Http2,
        Self::WebSocket,
        Self::Udp,
        Self::UdpConnected,
    ];
}

/// Where the model is, for clients.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Places {
    pub plain: SocketAddr,
    pub tls: SocketAddr,
    pub web_socket: SocketAddr,
    pub udp: SocketAddr,
    /// File of the authority that the model's certificate is of.
    pub ca: PathBuf,
}

/// What one client is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    places: Places,
    /// Address of the client itself, by which the model tells clients apart.
    source: IpAddr,
    /// How many of each kind.
    each: u32,
}

/// What a client waits for before it reports.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Until {
    /// Nothing goes on any more.
    Over,
    /// Everything has arrived that was sent at this instant, in ns on the boot clock.
    Arrived(u64),
}

/// What has become of the connections of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub live: u32,
    /// Those whose socket said what was wrong, with how often it said what.
    pub failed: u32,
    pub errors: BTreeMap<String, u32>,
    /// Those that ended without an error.
    pub ended: u32,
    /// When the newest of what arrived was sent, in ns on the boot clock: of all, and of that one to
    /// which nothing has come for longest.
    pub newest_ns: u64,
    pub stalest_ns: u64,
}

/// Connections that were tried meanwhile, one after another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tries {
    pub ok: u32,
    /// With EPERM.
    pub refused: u32,
    pub other: u32,
    /// When the last one began that went through, in ns on the boot clock.
    pub last_ok_ns: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub kinds: BTreeMap<Kind, Told>,
    pub tries: Tries,
}

/// A client that goes on beside the test.
pub struct Talking {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Workload {
    /// Opens `each` connections of every kind from this address, and goes on trying to make more;
    /// something has come over each when this returns.
    ///
    /// # Panics
    ///
    /// When the client cannot be run or cannot connect.
    pub fn talk(&self, places: &Places, source: IpAddr, each: u32) -> Talking {
        let order = Order {
            places: places.clone(),
            source,
            each,
        };
        let order = serde_json::to_string(&order).expect("JSON");
        let mut child = self
            .command(&["talk", &order])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the client runs");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut talking = Talking { child, output };
        assert_eq!(talking.line(), "talking");
        talking
    }
}

impl Talking {
    /// Waits until nothing goes on any more, or in vain for some seconds.
    ///
    /// # Panics
    ///
    /// When the client fails.
    pub fn over(self) -> Report {
        self.report(Until::Over)
    }

    /// Waits until over each connection something has come that was sent after this, or in vain for
    /// some seconds.
    ///
    /// # Panics
    ///
    /// When the client fails.
    pub fn arrived(self, sent_ns: u64) -> Report {
        self.report(Until::Arrived(sent_ns))
    }

    fn report(mut self, until: Until) -> Report {
        let until = serde_json::to_string(&until).expect("JSON");
        let mut stdin = self.child.stdin.take().expect("its input");
        writeln!(stdin, "{until}").expect("the client reads");
        let report = self.line();
        assert!(self.child.wait().expect("the client ends").success());
        serde_json::from_str(&report).expect("a report")
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }
}

/// A message that says when it was sent.
fn stamp() -> Bytes {
    Bytes::from(format!("data: {}\n\n", boot_ns()))
}

/// Reads such messages from octets in pieces of any length.
#[derive(Debug, Default)]
struct Stamps {
    digits: u64,
    newest_ns: u64,
}

impl Stamps {
    /// When the newest message was sent that has arrived whole.
    fn read(&mut self, octets: &[u8]) -> u64 {
        for octet in octets {
            match octet {
                b'0'..=b'9' => {
                    let digit = u64::from(octet - b'0');
                    self.digits = self.digits.wrapping_mul(10).wrapping_add(digit);
                }
                b'\n' => self.newest_ns = self.newest_ns.max(std::mem::take(&mut self.digits)),
                _ => {}
            }
        }
        self.newest_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_read_from_pieces() {
        let mut stamps = Stamps::default();
        assert_eq!(stamps.read(b"data: 12"), 0);
        assert_eq!(stamps.read(b"3\n\nda"), 123);
        assert_eq!(stamps.read(b"ta: 7\n\n"), 123);
        let sent = boot_ns();
        assert!(stamps.read(&stamp()) >= sent);
    }
}
