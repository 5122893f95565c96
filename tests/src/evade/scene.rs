//! What one attempt has at hand: its token, its own cgroup, and that of an entitled workload.

use std::{
    fs, io,
    net::{SocketAddr, SocketAddrV4, SocketAddrV6},
    path::{Path, PathBuf},
};

/// The endpoint that is known by its addresses, over each family.
pub(super) const MODEL: &str = "127.8.0.1:443";
pub(super) const MODEL_6: &str = "[fd00:8::1]:443";
/// The same, as a model on the host itself has them.
pub(super) const LOCAL: &str = "127.0.0.1:11434";
pub(super) const LOCAL_6: &str = "[::1]:11434";
/// An address of a link, of the same endpoint.
pub(super) const LINK: &str = "fe80::8";
/// Where the endpoint that is known by its name answers, to whoever asks.
pub(super) const NAMED_TLS: &str = "127.8.0.2:443";
pub(super) const NAMED_HTTP: &str = "127.8.0.2:80";
/// Where it reads late.
pub(super) const NAMED_LATE: &str = "127.8.0.2:8443";
/// Somebody else's proxy, and somebody else's server.
pub(super) const PROXY: &str = "127.8.0.3:3128";
pub(super) const PLAIN: &str = "127.8.0.4:443";
/// A resolver that the agent believes; it tells the named endpoint's address for every name.
pub(super) const RESOLVER: &str = "127.8.0.53:53";
/// The named endpoint's name, and one that is nobody's endpoint.
pub(super) const NAME: &str = "api.model.test";
pub(super) const OTHER: &str = "www.other.test";

/// What begins something that need not arrive; the server answers to it.
pub(super) const LEAD: &str = "FIRST-";

pub struct Scene {
    token: String,
    own: PathBuf,
    out: PathBuf,
}

impl Scene {
    /// For a process that is going to live in the cgroup `own`.
    pub fn new(token: &str, own: &Path, out: &Path) -> Self {
        Self {
            token: token.to_owned(),
            own: own.to_owned(),
            out: out.to_owned(),
        }
    }

    /// The same, with something that need not arrive.
    pub(super) fn lead(&self) -> Self {
        Self::new(&self.token.replace("EVADE-", LEAD), &self.own, &self.out)
    }

    /// What has to arrive.
    pub(super) fn token(&self) -> &[u8] {
        self.token.as_bytes()
    }

    pub(super) fn text(&self) -> &str {
        &self.token
    }

    /// Cgroup of the workload that makes the attempt.
    pub(super) fn own(&self) -> &Path {
        &self.own
    }

    /// Cgroup of a workload that may call the endpoint.
    pub(super) fn out(&self) -> &Path {
        &self.out
    }

    /// Moves this process to where it is governed.
    ///
    /// # Errors
    ///
    /// When it may not.
    pub fn enter_own(&self) -> io::Result<()> {
        enter(&self.own)
    }

    /// Moves this process to the entitled workload.
    pub(super) fn enter_out(&self) -> io::Result<()> {
        enter(&self.out)
    }
}

pub(super) fn enter(cgroup: &Path) -> io::Result<()> {
    fs::write(cgroup.join("cgroup.procs"), "0")
}

pub(super) fn v4(text: &str) -> io::Result<SocketAddrV4> {
    text.parse().map_err(io::Error::other)
}

pub(super) fn v6(text: &str) -> io::Result<SocketAddrV6> {
    text.parse().map_err(io::Error::other)
}

pub(super) fn any(text: &str) -> io::Result<SocketAddr> {
    text.parse().map_err(io::Error::other)
}
