//! Ends one socket of another process, in whatever network namespace it lives, so that its owner
//! gets an error at once instead of waiting for a timeout of its own.
//!
//! Two ways. `SOCK_DESTROY` asks the kernel: callers that wait on the socket get `ECONNABORTED`, a
//! TCP peer gets a reset. Where that is not to be had, the socket is borrowed from its process and
//! shut down: readers see the end of the stream, writers `EPIPE`. Which flows are refused is
//! decided elsewhere, and the refusal must already hold: an ended UDP socket can be used again.

mod diag;
mod namespaces;
mod shut_down;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::fd::{AsFd, BorrowedFd},
    time::Instant,
};

pub(super) use self::diag::open as open_diag;
use self::{diag::DiagSocket, namespaces::Namespaces};

/// Transport protocol of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// One socket, as the kernel program that refused its flow reported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    pub protocol: Protocol,
    /// Address and port that the socket is bound to.
    pub local: SocketAddr,
    /// Address and port that the socket is connected to.
    pub remote: SocketAddr,
    /// Identifies the socket on this host (`bpf_get_socket_cookie`, `SO_COOKIE`): no other socket is
    /// ever touched, whatever else in here is out of date. Never 0.
    pub cookie: u64,
    /// Process that connected: it leads to the network namespace, and may be gone.
    pub pid: u32,
    /// The socket is `AF_INET6`, be it connected to an IPv4 address: such a socket shows
    /// `::ffff:` addresses in inet_diag. Addresses may be given in either form.
    pub is_v6_socket: bool,
    /// Index of the only interface that the socket may use, 0 for any (`bpf_sock.bound_dev_if`;
    /// `SO_BINDTODEVICE`, or connected to a link-local address). A bound socket is found by it only.
    pub bound_interface: u32,
}

/// What became of the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destroyed {
    /// The kernel aborted it.
    Done,
    /// Shut down in both directions through its process; the kernel could not be asked to abort it.
    ShutDown,
    /// It is not there (any more): closed meanwhile, or its process is gone and it lives in a
    /// network namespace that is not known from others.
    Gone,
}

/// Why a socket may still be alive.
#[derive(Debug, thiserror::Error)]
pub enum DestroyError {
    #[error(
        "{protocol} sockets cannot be ended (needs a kernel with CONFIG_INET_DIAG_DESTROY and \
         {protocol} diagnostics, or else pidfd_getfd(2) and CAP_SYS_PTRACE): refused {protocol} \
         connections send nothing, but wait for a timeout of their own"
    )]
    Unsupported {
        protocol: Protocol,
        #[source]
        source: io::Error,
    },
    #[error("end a socket (needs CAP_NET_ADMIN in its network namespace)")]
    NotPermitted {
        #[source]
        source: io::Error,
    },
    #[error("enter the network namespace of process {pid} (needs CAP_SYS_ADMIN, CAP_SYS_PTRACE)")]
    Namespace {
        pid: u32,
        #[source]
        source: io::Error,
    },
    #[error("open a socket for NETLINK_SOCK_DIAG")]
    Open {
        #[source]
        source: io::Error,
    },
    #[error("ask the kernel to end a socket")]
    Request {
        #[source]
        source: io::Error,
    },
    #[error("the kernel did not answer within {} ms", diag::ANSWER_TIMEOUT.as_millis())]
    NoAnswer,
    #[error("make a {protocol} socket to try the kernel with")]
    Trial {
        protocol: Protocol,
        #[source]
        source: io::Error,
    },
    #[error("the flow has no socket cookie, so another socket could be hit")]
    NoCookie,
}

/// Ends sockets one by one. A call takes microseconds, and a few hundred more on the first in a
/// network namespace; as it may wait for the owner of a socket to leave a system call, and looks through the
/// descriptors of a process at worst, it belongs on a thread that has nothing else to do.
pub struct SocketDestroyer {
    tcp: Way,
    udp: Way,
    namespaces: Namespaces,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    AskKernel,
    ShutDown,
}

impl Default for SocketDestroyer {
    fn default() -> Self {
        Self::new()
    }
}

impl SocketDestroyer {
    /// Finds out for each protocol which way works, with a socket of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::with(way(Protocol::Tcp), way(Protocol::Udp))
    }

    fn with(tcp: Way, udp: Way) -> Self {
        Self {
            tcp,
            udp,
            namespaces: Namespaces::default(),
        }
    }

    /// Ends the socket of `flow`.
    ///
    /// The agent's own network namespace is asked first, then that of the process, then those that
    /// are known from earlier calls: a process may have moved on, or be gone. If one of them cannot
    /// be entered or asked, the process itself is looked through.
    ///
    /// # Errors
    ///
    /// When the socket may still be alive. A socket that has ended already is no error.
    pub fn destroy(&mut self, flow: &Flow) -> Result<Destroyed, DestroyError> {
        // All ones mean "whatever the cookie" (`sock_diag_check_cookie`), 0 is no socket's.
        if matches!(flow.cookie, 0 | u64::MAX) {
            return Err(DestroyError::NoCookie);
        }
        let way = match flow.protocol {
            Protocol::Tcp => self.tcp,
            Protocol::Udp => self.udp,
        };
        match way {
            Way::AskKernel => {
                self.namespaces
                    .destroy(flow)
                    .or_else(|problem| match shut_down::shut_down(flow) {
                        Ok(Some(destroyed)) => Ok(destroyed),
                        Ok(None) | Err(_) => Err(problem),
                    })
            }
            Way::ShutDown => match shut_down::shut_down(flow) {
                Ok(destroyed) => Ok(destroyed.unwrap_or(Destroyed::Gone)),
                Err(source) => Err(DestroyError::Unsupported {
                    protocol: flow.protocol,
                    source,
                }),
            },
        }
    }

    /// Lets go of network namespaces where nothing was ended for a while, so that the agent does not
    /// keep that of a dead container alive.
    pub fn forget_idle(&mut self, now: Instant) {
        self.namespaces.forget_idle(now);
    }
}

/// Tells whether the kernel can end TCP and UDP sockets in the agent's own network namespace.
///
/// It ends two sockets of its own. The answer to a request for a socket that does not exist would
/// say too little: the kernel gives `ENOENT` also if it has no diagnostics for the protocol
/// (`inet_diag_cmd_exact` in `net/ipv4/inet_diag.c`). Without `CONFIG_INET_DIAG_DESTROY` it gives
/// `EOPNOTSUPP`.
///
/// # Errors
///
/// [`DestroyError::Unsupported`] names the protocol whose refused connections will wait;
/// [`DestroyError::NotPermitted`] without `CAP_NET_ADMIN`.
pub fn probe() -> Result<(), DestroyError> {
    try_out(Protocol::Tcp)?;
    try_out(Protocol::Udp)
}

fn way(protocol: Protocol) -> Way {
    match try_out(protocol) {
        Err(DestroyError::Unsupported { .. }) => Way::ShutDown,
        // Each call will name what is wrong, and fall back by itself.
        Ok(()) | Err(_) => Way::AskKernel,
    }
}

fn try_out(protocol: Protocol) -> Result<(), DestroyError> {
    let trial = |source| DestroyError::Trial { protocol, source };
    let socket = TrialSocket::open(protocol).map_err(trial)?;
    let flow = socket.flow(protocol).map_err(trial)?;
    let unsupported = |errno: nix::Error| DestroyError::Unsupported {
        protocol,
        source: errno.into(),
    };
    match DiagSocket::open()?.destroy(&flow)? {
        diag::Answer::Done => Ok(()),
        diag::Answer::NotFound => Err(unsupported(nix::Error::ENOENT)),
        diag::Answer::NotSupported => Err(unsupported(nix::Error::EOPNOTSUPP)),
    }
}

/// A socket on loopback that sends nothing.
enum TrialSocket {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl TrialSocket {
    fn open(protocol: Protocol) -> io::Result<Self> {
        let any_port = (Ipv4Addr::LOCALHOST, 0);
        match protocol {
            Protocol::Tcp => TcpListener::bind(any_port).map(Self::Tcp),
            Protocol::Udp => {
                let socket = UdpSocket::bind(any_port)?;
                socket.connect(socket.local_addr()?)?;
                Ok(Self::Udp(socket))
            }
        }
    }

    fn flow(&self, protocol: Protocol) -> io::Result<Flow> {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let (local, remote) = match self {
            Self::Tcp(socket) => (socket.local_addr()?, nowhere),
            Self::Udp(socket) => (socket.local_addr()?, socket.peer_addr()?),
        };
        Ok(Flow {
            protocol,
            local,
            remote,
            cookie: rustix::net::sockopt::socket_cookie(self)?,
            pid: std::process::id(),
            is_v6_socket: false,
            bound_interface: 0,
        })
    }
}

impl AsFd for TrialSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Udp(socket) => socket.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests;
