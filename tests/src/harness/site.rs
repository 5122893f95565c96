//! A small Internet for one test: names, a certificate authority, servers of many names at one
//! address, a proxy. Loopback of the test's own network is all that it uses.

mod certificate;
mod dns;
mod http;
mod model;
mod proxy;
mod server;

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
};

pub use self::{
    dns::{Dns, Record},
    model::Model,
    proxy::Proxy,
    server::{Log, Request},
};

pub(super) use self::certificate::Authority;
use super::Host;

/// Where all names lead, and where they lead over IPv6.
pub const ADDRESS: &str = "127.0.0.20";
pub const ADDRESS_6: &str = "fd00::20";
/// Another address, at which no name is known.
pub const PROXY: &str = "127.0.0.30:3128";

/// Names, files and the servers behind the names.
pub struct Site {
    dns: Dns,
    etc: PathBuf,
    home: PathBuf,
    ca: PathBuf,
    authority: Authority,
    log: Log,
    proxy: Proxy,
}

impl Site {
    /// Serves `names` over HTTPS and HTTP at [`ADDRESS`] and [`ADDRESS_6`], and a proxy to there
    /// at [`PROXY`].
    ///
    /// # Panics
    ///
    /// When any part of it cannot be started.
    pub fn new(host: &Host, names: &[&str], records: &[Record]) -> Self {
        let authority = Authority::new(names, ADDRESS);
        let ca = host.path("ca.pem");
        fs::write(&ca, authority.pem()).expect("a file");
        let log = Log::default();
        // The C library asks for addresses of a family only if the host has one beyond loopback's.
        add_address(&["192.0.2.1"]);
        add_address(&[ADDRESS_6, "nodad"]);
        for address in [ADDRESS, "[fd00::20]"] {
            server::serve_https(&format!("{address}:443"), authority.config(), &log);
            server::serve_http(&format!("{address}:80"), &log);
        }
        let dns = Dns::start(records);
        Self {
            etc: etc(host, dns.address()),
            dns,
            home: home(host),
            ca,
            authority,
            log,
            proxy: Proxy::start(PROXY, address()),
        }
    }

    /// A model at this address, over HTTPS and HTTP, with the names of the site.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn serve_model(&self, address: &str) -> Model {
        let (tls, plain) = (format!("{address}:443"), format!("{address}:80"));
        Model::start(&tls, &plain, &self.authority.config())
    }

    /// Where the names are asked for.
    pub fn name_server(&self) -> String {
        self.dns.address().ip().to_string()
    }

    /// What reached the servers.
    pub fn log(&self) -> &Log {
        &self.log
    }

    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// Files that programs find in the place of the machine's.
    pub fn etc(&self) -> &Path {
        &self.etc
    }

    /// Where programs may leave what they like.
    pub fn home(&self) -> &Path {
        &self.home
    }

    pub fn ca(&self) -> &Path {
        &self.ca
    }
}

/// All of 127.0.0.0/8 is there; other addresses are not.
fn add_address(address: &[&str]) {
    let add = Command::new("ip")
        .args(["address", "add", "dev", "lo"])
        .args(address)
        .status();
    assert!(add.expect("`ip` runs").success(), "an address on loopback");
}

fn home(host: &Host) -> PathBuf {
    let home = host.path("home");
    fs::create_dir_all(&home).expect("a directory");
    home
}

/// [`ADDRESS`], parsed.
fn address() -> IpAddr {
    ADDRESS.parse().expect("an address")
}

/// What makes the C library, and others that read the same files, ask this server and nobody else.
pub fn etc(host: &Host, dns: SocketAddr) -> PathBuf {
    let etc = host.path("etc");
    fs::create_dir_all(&etc).expect("a directory");
    for (name, text) in [
        ("resolv.conf", format!("nameserver {}\n", dns.ip())),
        ("hosts", String::new()),
        ("nsswitch.conf", "hosts: dns\n".into()),
    ] {
        fs::write(etc.join(name), text).expect("a file");
    }
    etc
}
