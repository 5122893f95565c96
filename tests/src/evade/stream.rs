//! TCP: every way to begin a connection, and every spelling of an address.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV6},
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::{
    Technique,
    scene::{LINK, LOCAL, LOCAL_6, MODEL, MODEL_6, PLAIN, Scene, any, v4, v6},
    sys::{
        answer, ask, check, connected, message_of, nowhere, send_message, set, set_number, socket,
        tcp, until, v4_of_family,
    },
};

pub(super) const LIST: &[Technique] = &[
    Technique::new("tcp4", "`connect` over IPv4", |scene| call(scene, MODEL)),
    Technique::new("tcp6", "`connect` over IPv6", |scene| call(scene, MODEL_6)),
    Technique::new(
        "tcp-nonblocking",
        "`connect` that does not wait",
        nonblocking,
    ),
    Technique::new(
        "tcp-bound",
        "from an address and port of its own choice",
        bound,
    ),
    Technique::new("tcp-late-port", "`IP_BIND_ADDRESS_NO_PORT`", late_port),
    Technique::new(
        "tcp-reuse",
        "from a port that is shared (`SO_REUSEPORT`)",
        reuse,
    ),
    Technique::new("tcp-device", "bound to a device and marked", device),
    Technique::new(
        "tcp-again",
        "connected elsewhere, dissolved, connected anew",
        again,
    ),
    Technique::new("tcp-mapped", "the IPv4 address as `::ffff:a.b.c.d`", mapped),
    Technique::new("tcp-local", "a model at 127.0.0.1", |scene| {
        call(scene, LOCAL)
    }),
    Technique::new("tcp-zero", "0.0.0.0, which is the host itself", |scene| {
        call(scene, "0.0.0.0:11434")
    }),
    Technique::new("tcp6-local", "a model at ::1", |scene| call(scene, LOCAL_6)),
    Technique::new("tcp6-zero", "`::`, which is the host itself", |scene| {
        call(scene, "[::]:11434")
    }),
    Technique::new("tcp6-zero-mapped", "`::ffff:0.0.0.0`", |scene| {
        call(scene, "[::ffff:0.0.0.0]:11434")
    }),
    Technique::new(
        "tcp6-zero-bound",
        "`::` from a socket bound to `::ffff:127.0.0.1`",
        zero_bound,
    ),
    Technique::new(
        "tcp6-label",
        "a flow label and a scope beside the address",
        label,
    ),
    Technique::new("tcp6-link", "an address of a link, `fe80::8%lo`", link),
    Technique::new(
        "tcp-long-address",
        "a `sockaddr` longer than its family's",
        long_address,
    ),
    Technique::new(
        "tcp-source-route",
        "IP options that lead through another hop",
        source_route,
    ),
    Technique::new(
        "tcp-deferred",
        "`TCP_DEFER_ACCEPT` and `TCP_SYNCNT` before `connect`",
        tuned,
    ),
    Technique::new("fast-open", "`sendto` with `MSG_FASTOPEN`", fast_open),
    Technique::new(
        "fast-open-message",
        "`sendmsg` with `MSG_FASTOPEN`",
        fast_open_message,
    ),
    Technique::new(
        "fast-open-many",
        "`sendmmsg` with `MSG_FASTOPEN`",
        fast_open_many,
    ),
    Technique::new(
        "fast-open-mapped",
        "`MSG_FASTOPEN` to `::ffff:a.b.c.d`",
        fast_open_mapped,
    ),
    Technique::new(
        "fast-open-deferred",
        "`TCP_FASTOPEN_CONNECT`: the SYN leaves with the data",
        deferred,
    ),
    Technique::new("fast-open-no-cookie", "`TCP_FASTOPEN_NO_COOKIE`", no_cookie),
    Technique::new(
        "fast-open-after",
        "`MSG_FASTOPEN` on a socket that was connected elsewhere",
        after,
    ),
];

fn call(scene: &Scene, to: &str) -> io::Result<()> {
    ask(&connected(any(to)?)?, scene.token())
}

fn nonblocking(scene: &Scene) -> io::Result<()> {
    let to = any(MODEL)?;
    let socket = tcp(to)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
        Ok(()) | Err(_) => {}
    }
    until(|| match socket.take_error()? {
        Some(error) => Err(error),
        None => Ok(socket.peer_addr().ok()),
    })?;
    socket.set_nonblocking(false)?;
    ask(&socket, scene.token())
}

fn from(scene: &Scene, prepare: impl FnOnce(&Socket) -> io::Result<()>) -> io::Result<()> {
    let to = any(MODEL)?;
    let socket = tcp(to)?;
    prepare(&socket)?;
    socket.connect(&to.into())?;
    ask(&socket, scene.token())
}

fn bound(scene: &Scene) -> io::Result<()> {
    from(scene, |socket| {
        socket.set_reuse_address(true)?;
        socket.bind(&any("127.8.0.9:4001")?.into())
    })
}

fn late_port(scene: &Scene) -> io::Result<()> {
    from(scene, |socket| {
        set_number(socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
        socket.bind(&any("127.8.0.9:0")?.into())
    })
}

/// Another socket of this workload listens at the port.
fn reuse(scene: &Scene) -> io::Result<()> {
    let at: SockAddr = any("127.8.0.9:4002")?.into();
    let other = tcp(any(MODEL)?)?;
    other.set_reuse_port(true)?;
    other.bind(&at)?;
    other.listen(1)?;
    from(scene, |socket| {
        socket.set_reuse_port(true)?;
        socket.bind(&at)
    })
}

fn device(scene: &Scene) -> io::Result<()> {
    from(scene, |socket| {
        socket.bind_device(Some(b"lo"))?;
        socket.set_mark(7)
    })
}

fn again(scene: &Scene) -> io::Result<()> {
    let socket = connected(any(PLAIN)?)?;
    socket.connect(&nowhere()?)?;
    socket.connect(&any(MODEL)?.into())?;
    ask(&socket, scene.token())
}

fn six() -> io::Result<Socket> {
    socket(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))
}

fn mapped(scene: &Scene) -> io::Result<()> {
    call(scene, "[::ffff:127.8.0.1]:443")
}

fn zero_bound(scene: &Scene) -> io::Result<()> {
    let socket = six()?;
    socket.bind(&any("[::ffff:127.0.0.1]:0")?.into())?;
    socket.connect(&any("[::]:11434")?.into())?;
    ask(&socket, scene.token())
}

fn label(scene: &Scene) -> io::Result<()> {
    let to = v6(MODEL_6)?;
    let to = SocketAddrV6::new(*to.ip(), to.port(), 0x12345_u32.to_be(), loopback()?);
    let socket = six()?;
    socket.connect(&SocketAddr::V6(to).into())?;
    ask(&socket, scene.token())
}

fn link(scene: &Scene) -> io::Result<()> {
    let to = v6(&format!("[{LINK}]:443"))?;
    let to = SocketAddrV6::new(*to.ip(), to.port(), 0, loopback()?);
    let socket = six()?;
    socket.connect(&SocketAddr::V6(to).into())?;
    ask(&socket, scene.token())
}

/// Number of the loopback device.
pub(super) fn loopback() -> io::Result<u32> {
    Ok(nix::net::if_::if_nametoindex("lo")?)
}

fn long_address(scene: &Scene) -> io::Result<()> {
    let to = v4_of_family(libc::AF_INET, v4(MODEL)?)?;
    let socket = tcp(any(MODEL)?)?;
    // SAFETY: a `SockAddr` has room for the longest address.
    let result = unsafe {
        libc::connect(
            std::os::fd::AsRawFd::as_raw_fd(&socket),
            to.as_ptr().cast(),
            128,
        )
    };
    check(result as isize)?;
    ask(&socket, scene.token())
}

/// The packet is addressed to a hop that puts the model's address in its place.
fn source_route(scene: &Scene) -> io::Result<()> {
    let options = hop(*v4(PLAIN)?.ip());
    from(scene, |socket| {
        set(socket, libc::IPPROTO_IP, libc::IP_OPTIONS, &options)
    })
}

/// A loose source route through one hop.
pub(super) fn hop(hop: Ipv4Addr) -> [u8; 8] {
    let [a, b, c, d] = hop.octets();
    [1, 131, 7, 4, a, b, c, d]
}

fn tuned(scene: &Scene) -> io::Result<()> {
    from(scene, |socket| {
        set_number(socket, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 1)?;
        set_number(socket, libc::IPPROTO_TCP, libc::TCP_SYNCNT, 1)
    })
}

fn fast_open(scene: &Scene) -> io::Result<()> {
    let to = any(MODEL)?;
    let socket = tcp(to)?;
    socket.send_to_with_flags(scene.token(), &to.into(), libc::MSG_FASTOPEN)?;
    answer(&socket)
}

fn fast_open_message(scene: &Scene) -> io::Result<()> {
    let to = any(MODEL_6)?;
    let socket = tcp(to)?;
    send_message(
        &socket,
        scene.token(),
        Some(&to.into()),
        &[],
        libc::MSG_FASTOPEN,
    )?;
    answer(&socket)
}

fn fast_open_many(scene: &Scene) -> io::Result<()> {
    let to = any(MODEL)?;
    let socket = tcp(to)?;
    send_many(&socket, &[scene.token()], &to.into(), libc::MSG_FASTOPEN)?;
    answer(&socket)
}

/// `sendmmsg` of messages that all go to one address.
pub(super) fn send_many(
    socket: &Socket,
    messages: &[&[u8]],
    to: &SockAddr,
    flags: libc::c_int,
) -> io::Result<()> {
    let vector = |bytes: &&[u8]| libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let mut vectors: Vec<libc::iovec> = messages.iter().map(vector).collect();
    let headers = vectors.iter_mut().map(|vector| {
        let mut header = message_of(Some(to));
        header.msg_iov = vector;
        libc::mmsghdr {
            msg_hdr: header,
            msg_len: 0,
        }
    });
    let mut headers: Vec<libc::mmsghdr> = headers.collect();
    // SAFETY: headers and what they point to live until the call has returned.
    check(unsafe {
        libc::sendmmsg(
            std::os::fd::AsRawFd::as_raw_fd(socket),
            headers.as_mut_ptr(),
            headers.len() as libc::c_uint,
            flags,
        )
    } as isize)
    .map(drop)
}

fn fast_open_mapped(scene: &Scene) -> io::Result<()> {
    let to = any("[::ffff:127.8.0.1]:443")?;
    let socket = six()?;
    socket.send_to_with_flags(scene.token(), &to.into(), libc::MSG_FASTOPEN)?;
    answer(&socket)
}

fn deferred(scene: &Scene) -> io::Result<()> {
    from(scene, |socket| {
        set_number(socket, libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT, 1)
    })
}

fn no_cookie(scene: &Scene) -> io::Result<()> {
    let to = any(MODEL)?;
    let socket = tcp(to)?;
    set_number(&socket, libc::IPPROTO_TCP, libc::TCP_FASTOPEN_NO_COOKIE, 1)?;
    socket.send_to_with_flags(scene.token(), &to.into(), libc::MSG_FASTOPEN)?;
    answer(&socket)
}

fn after(scene: &Scene) -> io::Result<()> {
    let socket = connected(any(PLAIN)?)?;
    socket.connect(&nowhere()?)?;
    socket.send_to_with_flags(scene.token(), &any(MODEL)?.into(), libc::MSG_FASTOPEN)?;
    answer(&socket)
}
