//! io_uring: requests that the caller, a worker or a thread of the kernel executes.

use std::{
    io::{self, Error},
    net::SocketAddr,
    os::fd::{AsRawFd, FromRawFd},
};

use io_uring::{IoUring, opcode, squeue, types};
use socket2::{SockAddr, Socket};

use super::{
    Technique,
    scene::{MODEL, MODEL_6, Scene, any},
    sys::{answer, connected, message_of, spawn, tcp, udp, until, wait},
};

pub(super) const LIST: &[Technique] = &[
    Technique::new("ring-connect", "`CONNECT` and `SEND`, at once", |scene| {
        connect_and_send(scene, MODEL, squeue::Flags::empty())
    }),
    Technique::new("ring-connect6", "`CONNECT` over IPv6", |scene| {
        connect_and_send(scene, MODEL_6, squeue::Flags::empty())
    }),
    Technique::new(
        "ring-async",
        "the same by a worker (`IOSQE_ASYNC`)",
        |scene| connect_and_send(scene, MODEL, squeue::Flags::ASYNC),
    ),
    Technique::new("ring-linked", "`CONNECT` linked with `SEND`", linked),
    Technique::new(
        "ring-polled",
        "a ring that a thread polls (`SQPOLL`)",
        polled,
    ),
    Technique::new(
        "ring-socket",
        "`SOCKET`, `CONNECT` and `SEND`",
        made_by_ring,
    ),
    Technique::new(
        "ring-direct",
        "a socket without a descriptor (direct)",
        direct,
    ),
    Technique::new("ring-fast-open", "`SENDMSG` with `MSG_FASTOPEN`", fast_open),
    Technique::new(
        "ring-datagram",
        "`SENDMSG` of UDP with an address",
        datagram,
    ),
    Technique::new(
        "ring-datagram-zerocopy",
        "`SEND_ZC` with an address",
        zerocopy,
    ),
    Technique::new(
        "ring-message-zerocopy",
        "`SENDMSG_ZC` with an address",
        message_zerocopy,
    ),
    Technique::new("ring-udp-connect", "`CONNECT` of UDP, `WRITE`", udp_connect),
    Technique::new(
        "ring-defer",
        "work that is done when the caller waits (`DEFER_TASKRUN`)",
        deferred,
    ),
    Technique::new(
        "ring-inherited",
        "a ring that an entitled parent has made",
        inherited,
    ),
    Technique::new(
        "ring-polled-parent",
        "a polled ring that an entitled parent has made and keeps",
        polled_by_parent,
    )
    .limit("a parent's SQPOLL ring"),
    Technique::new(
        "ring-polled-moved",
        "a polled ring, made before the process came here",
        polled_before,
    ),
];

const ENTRIES: u32 = 8;

fn ring() -> io::Result<IoUring> {
    IoUring::new(ENTRIES)
}

/// Hands in one request and waits for its result.
pub(super) fn submit(ring: &mut IoUring, entry: &squeue::Entry) -> io::Result<i32> {
    push(ring, entry)?;
    result(ring)
}

fn push(ring: &mut IoUring, entry: &squeue::Entry) -> io::Result<()> {
    // SAFETY: callers keep what the request points to until its result is there or the process ends.
    unsafe { ring.submission().push(entry) }.map_err(Error::other)?;
    hand_in(ring)
}

/// What is interrupted is handed in again by whoever waits for the result.
fn hand_in(ring: &IoUring) -> io::Result<()> {
    match ring.submit() {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn result(ring: &mut IoUring) -> io::Result<i32> {
    let found = until(|| {
        hand_in(ring)?;
        Ok(ring.completion().next())
    })?;
    match found.result() {
        error if error < 0 => Err(Error::from_raw_os_error(-error)),
        result => Ok(result),
    }
}

fn fd(socket: &Socket) -> types::Fd {
    types::Fd(socket.as_raw_fd())
}

fn connect(to: types::Fd, address: &SockAddr) -> squeue::Entry {
    opcode::Connect::new(to, address.as_ptr().cast(), address.len()).build()
}

fn send(to: types::Fd, bytes: &[u8]) -> squeue::Entry {
    opcode::Send::new(to, bytes.as_ptr(), bytes.len() as u32).build()
}

fn connect_and_send(scene: &Scene, to: &str, flags: squeue::Flags) -> io::Result<()> {
    let to = any(to)?;
    through(&mut ring()?, &tcp(to)?, to, flags, scene)
}

fn through(
    ring: &mut IoUring,
    socket: &Socket,
    to: SocketAddr,
    flags: squeue::Flags,
    scene: &Scene,
) -> io::Result<()> {
    let to = SockAddr::from(to);
    submit(ring, &connect(fd(socket), &to).flags(flags))?;
    submit(ring, &send(fd(socket), scene.token()).flags(flags))?;
    answer(socket)
}

fn linked(scene: &Scene) -> io::Result<()> {
    let to = any(MODEL)?;
    let (socket, address) = (tcp(to)?, SockAddr::from(to));
    let mut ring = ring()?;
    let first = connect(fd(&socket), &address).flags(squeue::Flags::IO_LINK);
    // SAFETY: address and token live until both results are there.
    unsafe {
        let mut queue = ring.submission();
        queue.push(&first).map_err(Error::other)?;
        queue
            .push(&send(fd(&socket), scene.token()))
            .map_err(Error::other)?;
    }
    result(&mut ring)?;
    result(&mut ring)?;
    answer(&socket)
}

fn polled_ring() -> io::Result<IoUring> {
    IoUring::builder().setup_sqpoll(1000).build(ENTRIES)
}

fn polled(scene: &Scene) -> io::Result<()> {
    let to = any(MODEL)?;
    through(
        &mut polled_ring()?,
        &tcp(to)?,
        to,
        squeue::Flags::empty(),
        scene,
    )
}

fn socket_entry() -> opcode::Socket {
    opcode::Socket::new(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_TCP)
}

fn made_by_ring(scene: &Scene) -> io::Result<()> {
    make_and_call(scene, &mut ring()?)
}

fn make_and_call(scene: &Scene, ring: &mut IoUring) -> io::Result<()> {
    let made = submit(ring, &socket_entry().build())?;
    // SAFETY: the kernel has just made it for this process.
    let socket = unsafe { Socket::from_raw_fd(made) };
    socket.set_read_timeout(Some(super::sys::PATIENCE))?;
    through(ring, &socket, any(MODEL)?, squeue::Flags::empty(), scene)
}

fn direct(scene: &Scene) -> io::Result<()> {
    let mut ring = ring()?;
    ring.submitter().register_files_sparse(1)?;
    call_directly(&mut ring, &SockAddr::from(any(MODEL)?), scene.token())
}

/// With a socket that only the ring has.
fn call_directly(ring: &mut IoUring, to: &SockAddr, token: &[u8]) -> io::Result<()> {
    let at = types::Fixed(0);
    submit(
        ring,
        &socket_entry().file_index(Some(first_slot()?)).build(),
    )?;
    let entry = opcode::Connect::new(at, to.as_ptr().cast(), to.len());
    submit(ring, &entry.build())?;
    let entry = opcode::Send::new(at, token.as_ptr(), token.len() as u32);
    submit(ring, &entry.build()).map(drop)
}

fn first_slot() -> io::Result<types::DestinationSlot> {
    types::DestinationSlot::try_from_slot_target(0).map_err(|_| Error::other("no first slot"))
}

fn fast_open(scene: &Scene) -> io::Result<()> {
    let to = any(MODEL)?;
    let socket = tcp(to)?;
    let flags = libc::MSG_FASTOPEN as u32;
    with_message(scene, to, |message| {
        opcode::SendMsg::new(fd(&socket), message)
            .flags(flags)
            .build()
    })?;
    answer(&socket)
}

fn datagram(scene: &Scene) -> io::Result<()> {
    let to = any(MODEL)?;
    let socket = udp(to)?;
    with_message(scene, to, |message| {
        opcode::SendMsg::new(fd(&socket), message).build()
    })
}

fn message_zerocopy(scene: &Scene) -> io::Result<()> {
    let to = any(MODEL)?;
    let socket = udp(to)?;
    with_message(scene, to, |message| {
        opcode::SendMsgZc::new(fd(&socket), message).build()
    })
}

fn with_message(
    scene: &Scene,
    to: SocketAddr,
    entry: impl FnOnce(*const libc::msghdr) -> squeue::Entry,
) -> io::Result<()> {
    let to = SockAddr::from(to);
    let mut message = message_of(Some(&to));
    let mut vector = libc::iovec {
        iov_base: scene.token().as_ptr().cast_mut().cast(),
        iov_len: scene.token().len(),
    };
    message.msg_iov = &raw mut vector;
    submit(&mut ring()?, &entry(&raw const message)).map(drop)
}

fn zerocopy(scene: &Scene) -> io::Result<()> {
    let to = any(MODEL)?;
    let (socket, address) = (udp(to)?, SockAddr::from(to));
    let token = scene.token();
    let entry = opcode::SendZc::new(fd(&socket), token.as_ptr(), token.len() as u32)
        .dest_addr(address.as_ptr().cast())
        .dest_addr_len(address.len());
    submit(&mut ring()?, &entry.build()).map(drop)
}

fn udp_connect(scene: &Scene) -> io::Result<()> {
    let to = any(MODEL)?;
    let (socket, address) = (udp(to)?, SockAddr::from(to));
    let mut ring = ring()?;
    submit(&mut ring, &connect(fd(&socket), &address))?;
    let token = scene.token();
    let entry = opcode::Write::new(fd(&socket), token.as_ptr(), token.len() as u32);
    submit(&mut ring, &entry.build()).map(drop)
}

fn deferred(scene: &Scene) -> io::Result<()> {
    let to = any(MODEL)?;
    let mut builder = IoUring::builder();
    let builder = builder.setup_single_issuer().setup_defer_taskrun();
    let mut ring: IoUring = builder.build(ENTRIES)?;
    let (socket, address) = (tcp(to)?, SockAddr::from(to));
    // SAFETY: the address lives until the result is there.
    unsafe { ring.submission().push(&connect(fd(&socket), &address)) }.map_err(Error::other)?;
    ring.submit_and_wait(1)?;
    result(&mut ring)?;
    push(&mut ring, &send(fd(&socket), scene.token()))?;
    ring.submit_and_wait(1)?;
    result(&mut ring)?;
    answer(&socket)
}

fn inherited(scene: &Scene) -> io::Result<()> {
    scene.enter_out()?;
    let mut ring = ring()?;
    wait(spawn(|| {
        scene.enter_own()?;
        make_and_call(scene, &mut ring)
    })?)
}

/// The thread that polls belongs to the parent, who stays where it is. It reads the parent's memory, so
/// what it is told lies there before there is a child.
fn polled_by_parent(scene: &Scene) -> io::Result<()> {
    scene.enter_out()?;
    let mut ring = polled_ring()?;
    ring.submitter().register_files_sparse(1)?;
    let to = SockAddr::from(any(MODEL)?);
    wait(spawn(|| {
        scene.enter_own()?;
        call_directly(&mut ring, &to, scene.token())
    })?)
}

fn polled_before(scene: &Scene) -> io::Result<()> {
    scene.enter_out()?;
    let to = any(MODEL)?;
    let (mut ring, socket) = (polled_ring()?, tcp(to)?);
    scene.enter_own()?;
    through(&mut ring, &socket, to, squeue::Flags::empty(), scene)
}

/// Connects a socket of somebody else and sends.
pub(super) fn call(scene: &Scene, socket: &Socket) -> io::Result<()> {
    through(
        &mut ring()?,
        socket,
        any(MODEL)?,
        squeue::Flags::empty(),
        scene,
    )
}

/// The connected socket's data through a ring of its user.
pub(super) fn send_through(socket: &Socket, bytes: &[u8], is_polled: bool) -> io::Result<()> {
    let mut ring = if is_polled { polled_ring()? } else { ring()? };
    submit(&mut ring, &send(fd(socket), bytes)).map(drop)
}

pub(super) fn write_through(socket: &Socket, bytes: &[u8]) -> io::Result<()> {
    let entry = opcode::Write::new(fd(socket), bytes.as_ptr(), bytes.len() as u32);
    submit(&mut ring()?, &entry.build()).map(drop)
}

pub(super) fn send_pages_through(socket: &Socket, bytes: &[u8]) -> io::Result<()> {
    let entry = opcode::SendZc::new(fd(socket), bytes.as_ptr(), bytes.len() as u32);
    submit(&mut ring()?, &entry.build()).map(drop)
}

/// A connection of the model's, in the table of a ring of this process.
pub(super) struct Kept {
    ring: IoUring,
}

/// Two rings: one of an entitled child, which sends its connection, as a file of the ring, to the
/// other (`MSG_RING`).
pub(super) fn by_message(scene: &Scene) -> io::Result<Kept> {
    let target = ring()?;
    target.submitter().register_files_sparse(1)?;
    let target_fd = target.as_raw_fd();
    wait(spawn(|| {
        scene.enter_out()?;
        let socket = connected(any(MODEL)?)?;
        let mut source = ring()?;
        source.submitter().register_files(&[socket.as_raw_fd()])?;
        let entry =
            opcode::MsgRingSendFd::new(types::Fd(target_fd), types::Fixed(0), first_slot()?, 1);
        submit(&mut source, &entry.build()).map(drop)
    })?)?;
    Ok(Kept { ring: target })
}

impl Kept {
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        // What tells that the connection has come.
        let _ = self.ring.completion().next();
        let entry = opcode::Send::new(types::Fixed(0), bytes.as_ptr(), bytes.len() as u32);
        submit(&mut self.ring, &entry.build()).map(drop)
    }
}
