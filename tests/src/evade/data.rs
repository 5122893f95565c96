//! Connections that an entitled workload has made and that carry data from here.

use std::{
    io::{self, IoSlice, Write},
    net::TcpListener,
    os::fd::{AsFd, AsRawFd},
    thread,
    time::{Duration, Instant},
};

use socket2::Socket;

use super::{
    Technique,
    handing::{Make, Way, hand},
    ring,
    scene::{MODEL, MODEL_6, Scene, any},
    stream::send_many,
    sys::{
        answer, ask, check, connected as tcp_connected, file_with, load_program, send_all,
        send_file, send_message, set_number, udp,
    },
};

pub(super) const LIST: &[Technique] = &[
    Technique::new("data-inherited", "inherited", |scene| {
        later(scene, Way::Inherited, connected, say)
    }),
    Technique::new(
        "data-joined",
        "made before the process came here",
        |scene| later(scene, Way::Joined, connected, say),
    ),
    Technique::new("data-passed", "passed, `send`", |scene| {
        later(scene, Way::Passed, connected, say)
    }),
    Technique::new("data-fetched", "fetched", |scene| {
        later(scene, Way::Fetched, connected, say)
    }),
    Technique::new("data-shared", "in a shared table of descriptors", |scene| {
        later(scene, Way::Shared, connected, say)
    }),
    Technique::new(
        "data-executed",
        "as the standard input of another program",
        |scene| later(scene, Way::Executed, connected, say),
    ),
    Technique::new(
        "data-ring-message",
        "sent from ring to ring (`MSG_RING`)",
        |scene| ring::by_message(scene)?.send(scene.token()),
    ),
    Technique::new("data6", "over IPv6", |scene| {
        later(scene, Way::Passed, connected6, say)
    }),
    Technique::new("data-write", "`write`", |scene| {
        later(scene, Way::Passed, connected, write)
    }),
    Technique::new("data-writev", "`writev`", |scene| {
        later(scene, Way::Passed, connected, vectored)
    }),
    Technique::new("data-sendmsg", "`sendmsg`", |scene| {
        later(scene, Way::Passed, connected, message)
    }),
    Technique::new("data-sendmmsg", "`sendmmsg`", |scene| {
        later(scene, Way::Passed, connected, many)
    }),
    Technique::new("data-urgent", "urgent octets (`MSG_OOB`)", |scene| {
        later(scene, Way::Passed, connected, urgent)
    }),
    Technique::new("data-sendfile", "`sendfile`", |scene| {
        later(scene, Way::Passed, connected, from_file)
    }),
    Technique::new("data-splice", "`splice` from a pipe", |scene| {
        later(scene, Way::Passed, connected, spliced)
    }),
    Technique::new("data-zerocopy", "`MSG_ZEROCOPY`", |scene| {
        later(scene, Way::Passed, connected, zerocopy)
    }),
    Technique::new("data-aio", "`io_submit`", |scene| {
        later(scene, Way::Passed, connected, aio)
    }),
    Technique::new("data-ring", "a ring, `SEND`", |scene| {
        later(scene, Way::Passed, connected, |scene, socket| {
            ring::send_through(socket, scene.token(), false)?;
            answer(socket)
        })
    }),
    Technique::new("data-ring-polled", "a polled ring", |scene| {
        later(scene, Way::Passed, connected, |scene, socket| {
            ring::send_through(socket, scene.token(), true)?;
            answer(socket)
        })
    }),
    Technique::new("data-ring-write", "a ring, `WRITE`", |scene| {
        later(scene, Way::Passed, connected, |scene, socket| {
            ring::write_through(socket, scene.token())?;
            answer(socket)
        })
    }),
    Technique::new("data-ring-zerocopy", "a ring, `SEND_ZC`", |scene| {
        later(scene, Way::Passed, connected, |scene, socket| {
            ring::send_pages_through(socket, scene.token())?;
            answer(socket)
        })
    }),
    Technique::new("data-ktls", "TLS by the kernel (`TCP_ULP`)", |scene| {
        later(scene, Way::Passed, connected, ktls)
    }),
    Technique::new(
        "data-kcm",
        "a socket of `AF_KCM` over the connection",
        |scene| later(scene, Way::Passed, connected, kcm),
    ),
    Technique::new("data-mptcp", "Multipath TCP", |scene| {
        later(scene, Way::Passed, mptcp, say)
    }),
    Technique::new("data-udp", "a connected socket of UDP, `send`", |scene| {
        later(scene, Way::Passed, connected_udp, |scene, socket| {
            socket.send(scene.token()).map(drop)
        })
    }),
    Technique::new(
        "data-udp-joined",
        "the same, made before the process came here",
        |scene| later(scene, Way::Joined, connected_udp, write_only),
    ),
    Technique::new(
        "data-accepted",
        "accepted by a listener of an entitled workload",
        accepted,
    ),
    Technique::new(
        "data-first",
        "all of it at once, in the first call",
        |scene| hand(scene, Way::Passed, connected, say),
    ),
    Technique::new(
        "data-first-udp",
        "the same on a connected socket of UDP",
        |scene| hand(scene, Way::Passed, connected_udp, write_only),
    ),
    Technique::new(
        "data-shut",
        "sent together with the end of the connection",
        |scene| {
            hand(scene, Way::Passed, connected, |scene, socket| {
                send_all(socket, scene.token())?;
                socket.shutdown(std::net::Shutdown::Write)?;
                answer(socket)
            })
        },
    ),
    Technique::new(
        "data-more",
        "`MSG_MORE`, which leaves later, without its sender",
        |scene| later(scene, Way::Passed, connected, more),
    ),
];

/// What is sent first goes before anybody who watches can end the connection: the token comes later.
fn later(
    scene: &Scene,
    way: Way,
    make: Make,
    use_it: fn(&Scene, &Socket) -> io::Result<()>,
) -> io::Result<()> {
    hand(scene, way, make, |scene, socket| {
        use_it(&scene.lead(), socket)?;
        pause();
        use_it(scene, socket)
    })
}

/// Long beside what it takes to end a connection.
fn pause() {
    let deadline = Instant::now() + Duration::from_millis(500);
    while let Some(rest) = deadline.checked_duration_since(Instant::now()) {
        thread::park_timeout(rest);
    }
}

fn connected() -> io::Result<Socket> {
    tcp_connected(any(MODEL)?)
}

fn connected6() -> io::Result<Socket> {
    tcp_connected(any(MODEL_6)?)
}

fn mptcp() -> io::Result<Socket> {
    use socket2::{Domain, Protocol, Type};
    let socket = super::sys::socket(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP))?;
    socket.connect(&any(MODEL)?.into())?;
    Ok(socket)
}

fn connected_udp() -> io::Result<Socket> {
    let to = any(MODEL)?;
    let socket = udp(to)?;
    socket.connect(&to.into())?;
    Ok(socket)
}

fn say(scene: &Scene, socket: &Socket) -> io::Result<()> {
    ask(socket, scene.token())
}

fn write_only(scene: &Scene, mut socket: &Socket) -> io::Result<()> {
    socket.write_all(scene.token())
}

fn write(scene: &Scene, socket: &Socket) -> io::Result<()> {
    write_only(scene, socket)?;
    answer(socket)
}

fn vectored(scene: &Scene, mut socket: &Socket) -> io::Result<()> {
    let (head, rest) = scene.token().split_at(4);
    match socket.write_vectored(&[IoSlice::new(head), IoSlice::new(rest)])? {
        n if n == scene.token().len() => answer(socket),
        n => Err(io::Error::other(format!("only {n} octets were taken"))),
    }
}

fn message(scene: &Scene, socket: &Socket) -> io::Result<()> {
    send_message(socket, scene.token(), None, &[], 0)?;
    answer(socket)
}

fn many(scene: &Scene, socket: &Socket) -> io::Result<()> {
    send_many(socket, &[scene.token()], &any(MODEL)?.into(), 0)?;
    answer(socket)
}

fn urgent(scene: &Scene, socket: &Socket) -> io::Result<()> {
    // The last octet alone is urgent, and the peer reads it elsewhere.
    let bytes = [scene.token(), b"!"].concat();
    socket.send_out_of_band(&bytes)?;
    answer(socket)
}

fn from_file(scene: &Scene, socket: &Socket) -> io::Result<()> {
    send_file(socket.as_fd(), &file_with(scene.token())?)?;
    answer(socket)
}

fn spliced(scene: &Scene, socket: &Socket) -> io::Result<()> {
    let (read, write) = nix::unistd::pipe()?;
    let length = nix::unistd::write(&write, scene.token())?;
    let flags = nix::fcntl::SpliceFFlags::empty();
    nix::fcntl::splice(read, None, socket.as_fd(), None, length, flags)?;
    answer(socket)
}

fn zerocopy(scene: &Scene, socket: &Socket) -> io::Result<()> {
    set_number(socket, libc::SOL_SOCKET, libc::SO_ZEROCOPY, 1)?;
    socket.send_with_flags(scene.token(), libc::MSG_ZEROCOPY)?;
    answer(socket)
}

/// Requests that the kernel keeps (`io_setup`, `io_submit`).
fn aio(scene: &Scene, socket: &Socket) -> io::Result<()> {
    const WRITE: u16 = 1;
    let mut context: libc::c_ulong = 0;
    // SAFETY: the kernel writes the context.
    check(unsafe { libc::syscall(libc::SYS_io_setup, 4, &raw mut context) } as isize)?;
    let token = scene.token();
    // `struct iocb`: data, key and flags, operation and descriptor, buffer, length, offset.
    let operation = u64::from(WRITE) | (socket.as_raw_fd() as u64) << 32;
    let request: [u64; 8] = [
        0,
        0,
        operation,
        token.as_ptr() as u64,
        token.len() as u64,
        0,
        0,
        0,
    ];
    let list = [request.as_ptr()];
    // SAFETY: one request, which lives as long as this process waits for the answer.
    check(unsafe { libc::syscall(libc::SYS_io_submit, context, 1, list.as_ptr()) } as isize)?;
    answer(socket)
}

fn ktls(scene: &Scene, socket: &Socket) -> io::Result<()> {
    match super::sys::set(socket, libc::IPPROTO_TCP, libc::TCP_ULP, b"tls") {
        Err(error) if error.raw_os_error() != Some(libc::EEXIST) => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // Without keys the kernel sends what it gets.
    ask(socket, scene.token())
}

fn kcm(scene: &Scene, socket: &Socket) -> io::Result<()> {
    const AF_KCM: i32 = 41;
    const ATTACH: libc::Ioctl = 0x89e0;
    let kind = socket2::Type::DGRAM;
    let multiplexor = super::sys::socket(AF_KCM.into(), kind, Some(0.into()))?;
    let program = all_of_it()?;
    let attach = [socket.as_raw_fd(), program.as_raw_fd()];
    // SAFETY: the kernel reads two descriptors.
    check(unsafe { libc::ioctl(multiplexor.as_raw_fd(), ATTACH, attach.as_ptr()) } as isize)?;
    multiplexor.send(scene.token())?;
    answer(&multiplexor)
}

/// A socket filter that takes each message whole: KCM needs one.
fn all_of_it() -> io::Result<std::os::fd::OwnedFd> {
    const SOCKET_FILTER: u64 = 1;
    /// `r0 = *(u32 *)(r1 + 0); exit`
    const PROGRAM: [u64; 2] = [0x0000_0000_0000_1061, 0x95];
    load_program(SOCKET_FILTER, &PROGRAM)
}

/// As socket activation does: the listener is somebody's who is entitled.
fn accepted(scene: &Scene) -> io::Result<()> {
    scene.enter_out()?;
    let listener = TcpListener::bind("127.8.0.9:4009")?;
    // The endpoint's server calls back.
    let call = tcp_connected(any(MODEL)?)?;
    send_all(&call, b"CALL-BACK 127.8.0.9:4009\n")?;
    scene.enter_own()?;
    let (stream, _) = listener.accept()?;
    let socket = Socket::from(stream);
    ask(&socket, scene.lead().token())?;
    pause();
    ask(&socket, scene.token())
}

fn more(scene: &Scene, socket: &Socket) -> io::Result<()> {
    socket.send_with_flags(scene.token(), libc::MSG_MORE)?;
    // The kernel waits for a fifth of a second, or for the end.
    answer(socket)
}
