//! One netlink socket for inet_diag's `SOCK_DESTROY`. It reaches the sockets of the network
//! namespace that it was opened in, and no others.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    os::fd::{AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::{
    SockDiagDestroy, SockDiagMessage,
    inet::{ExtensionFlags, InetRequest, SocketId, StateFlags},
};
use nix::{
    libc,
    sys::{
        socket::{
            AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv,
            send, setsockopt, socket, sockopt,
        },
        time::TimeVal,
    },
};

use super::{DestroyError, Flow, Protocol};

/// The kernel answers before `send` returns; this is for an answer that was lost.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    /// No socket of this address, port and cookie in this network namespace.
    NotFound,
    /// By the kernel at all, or by an older one in the socket's state: before Linux 6.0 `tcp_abort`
    /// refuses a connection that has ended and only waits for stray packets (`TIME_WAIT`).
    NotSupported,
}

pub(super) struct DiagSocket {
    fd: OwnedFd,
    sequence: u32,
}

/// A socket for inet_diag in the network namespace of the calling thread.
pub(in crate::host) fn open() -> io::Result<OwnedFd> {
    let fd = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )?;
    let timeout = TimeVal::new(0, ANSWER_TIMEOUT.subsec_micros().into());
    setsockopt(&fd, sockopt::ReceiveTimeout, &timeout)?;
    // Connected to the kernel, so nobody else can send to it (`netlink_getsockbyportid`).
    connect(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    Ok(fd)
}

impl DiagSocket {
    /// Opens a socket in the network namespace of the calling thread.
    pub(super) fn open() -> Result<Self, DestroyError> {
        match open() {
            Ok(fd) => Ok(Self { fd, sequence: 0 }),
            Err(source) => Err(DestroyError::Open { source }),
        }
    }

    pub(super) fn destroy(&mut self, flow: &Flow) -> Result<Answer, DestroyError> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = encode(flow, self.sequence);
        send(self.fd.as_raw_fd(), &request, MsgFlags::empty()).map_err(request_error)?;
        let Some(source) = self.receive()? else {
            return Ok(Answer::Done);
        };
        match source.raw_os_error() {
            Some(libc::ENOENT) => Ok(Answer::NotFound),
            Some(libc::EOPNOTSUPP) => Ok(Answer::NotSupported),
            Some(libc::EPERM | libc::EACCES) => Err(DestroyError::NotPermitted { source }),
            Some(_) | None => Err(DestroyError::Request { source }),
        }
    }

    /// The kernel's answer to the last request: `None` is success.
    fn receive(&self) -> Result<Option<io::Error>, DestroyError> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        // An error repeats the request: 20 and 72 bytes.
        let mut buffer = [0; 512];
        loop {
            match recv(self.fd.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(n) => {
                    let bytes = buffer.get(..n).unwrap_or_default();
                    if let Some(answer) = decode(bytes, self.sequence) {
                        return Ok(answer);
                    }
                }
                Err(nix::Error::EINTR) => {}
                Err(nix::Error::EAGAIN) => return Err(DestroyError::NoAnswer),
                Err(errno) => return Err(request_error(errno)),
            }
            if Instant::now() >= deadline {
                return Err(DestroyError::NoAnswer);
            }
        }
    }
}

fn request_error(errno: nix::Error) -> DestroyError {
    DestroyError::Request {
        source: errno.into(),
    }
}

/// A `struct inet_diag_req_v2` behind a netlink header, 72 bytes in all (`linux/inet_diag.h`).
fn encode(flow: &Flow, sequence: u32) -> Vec<u8> {
    let (source_address, destination_address) = addresses(flow);
    let request = InetRequest {
        family: match source_address {
            IpAddr::V4(_) => libc::AF_INET as u8,
            IpAddr::V6(_) => libc::AF_INET6 as u8,
        },
        protocol: match flow.protocol {
            Protocol::Tcp => libc::IPPROTO_TCP as u8,
            Protocol::Udp => libc::IPPROTO_UDP as u8,
        },
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all(),
        socket_id: SocketId {
            source_port: flow.local.port(),
            destination_port: flow.remote.port(),
            source_address,
            destination_address,
            interface_id: interface(flow),
            cookie: cookie(flow.cookie),
        },
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK;
    header.sequence_number = sequence;
    let destroy = SockDiagDestroy::new(SockDiagMessage::InetRequest(request));
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(destroy));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Both addresses in the form that the socket's family has. The kernel finds a socket with
/// v4-mapped addresses by either form (`inet_diag_find_one_icsk`, `__udp_diag_destroy`).
fn addresses(flow: &Flow) -> (IpAddr, IpAddr) {
    let local = flow.local.ip().to_canonical();
    let remote = flow.remote.ip().to_canonical();
    if local.is_ipv4() && remote.is_ipv4() && !flow.is_v6_socket {
        return (local, remote);
    }
    (IpAddr::V6(to_v6(local)), IpAddr::V6(to_v6(remote)))
}

fn to_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn interface(flow: &Flow) -> u32 {
    match flow.remote {
        SocketAddr::V6(remote) if flow.bound_interface == 0 => remote.scope_id(),
        SocketAddr::V4(_) | SocketAddr::V6(_) => flow.bound_interface,
    }
}

/// Two words in host order, the lower first.
fn cookie(cookie: u64) -> [u8; 8] {
    let [low, high] = [cookie as u32, (cookie >> 32) as u32].map(u32::to_ne_bytes);
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&low);
    bytes[4..].copy_from_slice(&high);
    bytes
}

/// What the message says about request `sequence`; `None` if it is about another one.
fn decode(bytes: &[u8], sequence: u32) -> Option<Option<io::Error>> {
    let message = NetlinkMessage::<SockDiagDestroy>::deserialize(bytes).ok()?;
    if message.header.sequence_number != sequence {
        return None;
    }
    let NetlinkPayload::Error(error) = message.payload else {
        return None;
    };
    Some(error.code.map(|_| error.to_io()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_kernels_layout() {
        let flow = Flow {
            protocol: Protocol::Udp,
            local: "10.0.0.1:258".parse().expect("an address"),
            remote: "[::ffff:10.0.0.2]:443".parse().expect("an address"),
            cookie: 0x1122_3344_5566_7788,
            pid: 1,
            is_v6_socket: false,
            bound_interface: 7,
        };
        let mut expected = Vec::new();
        expected.extend(72_u32.to_ne_bytes()); // nlmsg_len
        expected.extend(21_u16.to_ne_bytes()); // SOCK_DESTROY
        expected.extend(5_u16.to_ne_bytes()); // NLM_F_REQUEST | NLM_F_ACK
        expected.extend(9_u32.to_ne_bytes()); // nlmsg_seq
        expected.extend(0_u32.to_ne_bytes()); // nlmsg_pid: the kernel
        expected.extend([2, 17, 0, 0]); // AF_INET, IPPROTO_UDP, no extensions, padding
        expected.extend((StateFlags::all().bits()).to_ne_bytes());
        expected.extend([1, 2, 1, 187]); // ports in network order
        expected.extend([10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend(7_u32.to_ne_bytes());
        expected.extend(0x5566_7788_u32.to_ne_bytes());
        expected.extend(0x1122_3344_u32.to_ne_bytes());
        assert_eq!(encode(&flow, 9), expected);
    }

    #[test]
    fn only_the_answer_to_the_last_request_counts() {
        let answer = |sequence: u32, errno: i32| {
            let mut bytes = Vec::new();
            bytes.extend(36_u32.to_ne_bytes());
            bytes.extend(2_u16.to_ne_bytes()); // NLMSG_ERROR
            bytes.extend(0_u16.to_ne_bytes());
            bytes.extend(sequence.to_ne_bytes());
            bytes.extend(0_u32.to_ne_bytes());
            bytes.extend((-errno).to_ne_bytes());
            bytes.extend([0; 16]);
            bytes
        };
        let errno = |bytes: &[u8]| decode(bytes, 3).map(|e| e.and_then(|e| e.raw_os_error()));
        assert_eq!(errno(&answer(3, 0)), Some(None));
        assert_eq!(errno(&answer(3, libc::ENOENT)), Some(Some(libc::ENOENT)));
        assert_eq!(errno(&answer(2, 0)), None);
        assert_eq!(errno(&[1, 2, 3]), None);
    }
}
