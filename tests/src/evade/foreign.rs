//! Sockets that an entitled workload has made and that are connected here, or the other way round.

use std::io;

use socket2::{Domain, Protocol, Socket, Type};

use super::{
    Technique,
    handing::{Way, hand},
    packets, raw,
    scene::{MODEL, MODEL_6, PLAIN, Scene, any},
    sys::{answer, ask, connected, nowhere, send_message, socket, spawn, tcp, udp, wait},
};

pub(super) const LIST: &[Technique] = &[
    Technique::new(
        "foreign-inherited",
        "inherited from a parent, connected here",
        |scene| hand(scene, Way::Inherited, stream, connect),
    ),
    Technique::new(
        "foreign-joined",
        "made before the process came here",
        |scene| hand(scene, Way::Joined, stream, connect),
    ),
    Technique::new(
        "foreign-passed",
        "passed over a Unix socket (`SCM_RIGHTS`)",
        |scene| hand(scene, Way::Passed, stream, connect),
    ),
    Technique::new("foreign-fetched", "fetched by `pidfd_getfd`", |scene| {
        hand(scene, Way::Fetched, stream, connect)
    }),
    Technique::new(
        "foreign-reopened",
        "opened through `/proc/PID/fd`",
        |scene| hand(scene, Way::Reopened, stream, connect),
    ),
    Technique::new(
        "foreign-shared",
        "in a shared table of descriptors (`CLONE_FILES`)",
        |scene| hand(scene, Way::Shared, stream, connect),
    ),
    Technique::new("foreign6", "over IPv6", |scene| {
        hand(scene, Way::Passed, stream6, connect6)
    }),
    Technique::new(
        "foreign-again",
        "connected elsewhere, dissolved, connected anew here",
        |scene| hand(scene, Way::Passed, plain, again),
    ),
    Technique::new("foreign-fast-open", "used with `MSG_FASTOPEN`", |scene| {
        hand(scene, Way::Passed, stream, fast_open)
    }),
    Technique::new("foreign-mptcp", "of Multipath TCP", |scene| {
        hand(scene, Way::Passed, mptcp, connect)
    }),
    Technique::new("foreign-udp", "of UDP, `sendto`", |scene| {
        hand(scene, Way::Passed, datagrams, send_to)
    }),
    Technique::new(
        "foreign-udp-message",
        "of UDP, `sendmsg`, joined",
        |scene| hand(scene, Way::Joined, datagrams, message),
    ),
    Technique::new("foreign-udp-connect", "of UDP, connected here", |scene| {
        hand(scene, Way::Joined, datagrams, connect_udp)
    }),
    Technique::new(
        "foreign-udp-elsewhere",
        "of UDP, connected elsewhere, `sendto`",
        |scene| hand(scene, Way::Passed, plain_udp, send_to),
    ),
    Technique::new("foreign-raw", "a raw socket", |scene| {
        hand(scene, Way::Passed, raw_socket, whole)
    }),
    Technique::new("foreign-ping", "a ping socket", |scene| {
        hand(scene, Way::Passed, ping_socket, ping)
    }),
    Technique::new("foreign-ring", "connected by a ring of its user", |scene| {
        hand(scene, Way::Passed, stream, by_ring)
    }),
    Technique::new(
        "foreign-out",
        "made here, connected by a process that has moved away",
        moved_out,
    ),
    Technique::new(
        "foreign-out-passed",
        "made here, connected by an entitled helper",
        passed_out,
    ),
];

fn stream() -> io::Result<Socket> {
    tcp(any(MODEL)?)
}

fn stream6() -> io::Result<Socket> {
    tcp(any(MODEL_6)?)
}

fn plain() -> io::Result<Socket> {
    connected(any(PLAIN)?)
}

fn mptcp() -> io::Result<Socket> {
    socket(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP))
}

fn datagrams() -> io::Result<Socket> {
    udp(any(MODEL)?)
}

fn plain_udp() -> io::Result<Socket> {
    let socket = datagrams()?;
    socket.connect(&any(PLAIN)?.into())?;
    Ok(socket)
}

fn raw_socket() -> io::Result<Socket> {
    raw::raw(libc::IPPROTO_RAW)
}

fn ping_socket() -> io::Result<Socket> {
    socket(Domain::IPV4, Type::DGRAM, Some(Protocol::ICMPV4))
}

fn connect(scene: &Scene, socket: &Socket) -> io::Result<()> {
    socket.connect(&any(MODEL)?.into())?;
    ask(socket, scene.token())
}

fn connect6(scene: &Scene, socket: &Socket) -> io::Result<()> {
    socket.connect(&any(MODEL_6)?.into())?;
    ask(socket, scene.token())
}

fn again(scene: &Scene, socket: &Socket) -> io::Result<()> {
    socket.connect(&nowhere()?)?;
    connect(scene, socket)
}

fn fast_open(scene: &Scene, socket: &Socket) -> io::Result<()> {
    socket.send_to_with_flags(scene.token(), &any(MODEL)?.into(), libc::MSG_FASTOPEN)?;
    answer(socket)
}

fn send_to(scene: &Scene, socket: &Socket) -> io::Result<()> {
    socket.send_to(scene.token(), &any(MODEL)?.into()).map(drop)
}

fn message(scene: &Scene, socket: &Socket) -> io::Result<()> {
    let to = any(MODEL)?.into();
    send_message(socket, scene.token(), Some(&to), &[], 0).map(drop)
}

fn connect_udp(scene: &Scene, socket: &Socket) -> io::Result<()> {
    socket.connect(&any(MODEL)?.into())?;
    socket.send(scene.token()).map(drop)
}

fn whole(scene: &Scene, socket: &Socket) -> io::Result<()> {
    socket
        .send_to(&raw::whole(scene)?, &any("127.8.0.1:0")?.into())
        .map(drop)
}

fn ping(scene: &Scene, socket: &Socket) -> io::Result<()> {
    socket
        .send_to(&packets::echo(scene.token()), &any("127.8.0.1:0")?.into())
        .map(drop)
}

fn by_ring(scene: &Scene, socket: &Socket) -> io::Result<()> {
    super::ring::call(scene, socket)
}

/// Entitled is who calls; who made it is not.
fn moved_out(scene: &Scene) -> io::Result<()> {
    let made = stream()?;
    wait(spawn(|| {
        scene.enter_out()?;
        connect(scene, &made)
    })?)
}

fn passed_out(scene: &Scene) -> io::Result<()> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    let helper = spawn(|| {
        scene.enter_out()?;
        let taken = Socket::from(super::handing::take(&theirs)?);
        connect(scene, &taken)
    })?;
    let made = stream()?;
    super::handing::pass(&ours, std::os::fd::AsRawFd::as_raw_fd(&made))?;
    wait(helper)
}
