//! A real name server, for the names of one test.

use std::{
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
};

use super::super::eventually;

/// Where a stub resolver of the machine would listen; the network is the test's own.
const ADDRESS: &str = "127.0.0.53";

pub enum Record {
    /// A name and its addresses, of either family.
    Address(&'static str, &'static [&'static str]),
    /// A name and the one that it stands for.
    Alias(&'static str, &'static str),
}

impl Record {
    fn option(&self) -> String {
        match self {
            Self::Address(name, addresses) => {
                format!("--host-record={name},{}", addresses.join(","))
            }
            Self::Alias(name, target) => format!("--cname={name},{target}"),
        }
    }
}

/// A running dnsmasq; it ends with this.
pub struct Dns {
    child: Child,
}

impl Dns {
    /// Knows `records` and nothing else below `test`.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn start(records: &[Record]) -> Self {
        let child = Command::new("dnsmasq")
            .args(["--keep-in-foreground", "--conf-file=/dev/null"])
            .args(["--no-resolv", "--no-hosts", "--local=/test/"])
            .args(["--pid-file=", "--user=root", "--bind-interfaces"])
            .arg(format!("--listen-address={ADDRESS}"))
            .args(records.iter().map(Record::option))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("dnsmasq runs");
        let mut dns = Self { child };
        eventually("dnsmasq", || {
            let ended = dns.child.try_wait().expect("its state");
            assert!(ended.is_none(), "dnsmasq ended: {ended:?}");
            TcpStream::connect(dns.address()).ok()
        });
        dns
    }

    pub fn address(&self) -> SocketAddr {
        format!("{ADDRESS}:53").parse().expect("an address")
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
