//! System calls as the techniques need them: every wait is bounded.

use std::{
    io::{self, Error, ErrorKind},
    mem::MaybeUninit,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, Pid, fork},
};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Longest wait of one call.
pub(super) const PATIENCE: Duration = Duration::from_millis(1500);

/// Longest life of a process of an attempt.
pub const LIFE_SECONDS: u32 = 10;

/// A socket whose calls end by themselves.
pub(super) fn socket(domain: Domain, kind: Type, protocol: Option<Protocol>) -> io::Result<Socket> {
    let socket = Socket::new(domain, kind, protocol)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

pub(super) fn tcp(to: SocketAddr) -> io::Result<Socket> {
    socket(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))
}

pub(super) fn udp(to: SocketAddr) -> io::Result<Socket> {
    socket(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))
}

pub(super) fn connected(to: SocketAddr) -> io::Result<Socket> {
    let socket = tcp(to)?;
    socket.connect(&to.into())?;
    Ok(socket)
}

/// Sends all and waits until the server has said that it has the token.
pub(super) fn ask(socket: &Socket, bytes: &[u8]) -> io::Result<()> {
    send_all(socket, bytes)?;
    answer(socket)
}

pub(super) fn send_all(socket: &Socket, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let n = socket.send(bytes)?;
        bytes = bytes.get(n..).unwrap_or_default();
    }
    Ok(())
}

/// Waits for whatever the peer says.
pub(super) fn answer(socket: &Socket) -> io::Result<()> {
    let mut buffer = [MaybeUninit::uninit(); 512];
    match socket.recv(&mut buffer)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// An address as the kernel gets it, whatever it says.
pub(super) fn address_of(bytes: &[u8]) -> io::Result<SockAddr> {
    if bytes.len() > size_of::<libc::sockaddr_storage>() {
        return Err(ErrorKind::InvalidInput.into());
    }
    // SAFETY: no more octets than there is room for, and all others are zero.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, length| {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), storage.cast(), bytes.len());
            *length = bytes.len() as libc::socklen_t;
            Ok(())
        })
    }?;
    Ok(address)
}

/// A `sockaddr_in` with another number of a family.
pub(super) fn v4_of_family(
    family: libc::c_int,
    to: std::net::SocketAddrV4,
) -> io::Result<SockAddr> {
    let family = (family as u16).to_ne_bytes();
    let port = to.port().to_be_bytes();
    address_of(&[&family[..], &port, &to.ip().octets(), &[0; 8]].concat())
}

/// What undoes a connection.
pub(super) fn nowhere() -> io::Result<SockAddr> {
    address_of(&[0; 16])
}

pub(super) fn set(
    socket: &impl AsRawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: &[u8],
) -> io::Result<()> {
    // SAFETY: the kernel reads that many octets of a slice.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    } as isize)
    .map(drop)
}

pub(super) fn set_number(
    socket: &impl AsRawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    set(socket, level, name, &value.to_ne_bytes())
}

/// `sendmsg` with an address and control messages, of which each is level, kind and content.
pub(super) fn send_message(
    socket: &impl AsRawFd,
    bytes: &[u8],
    to: Option<&SockAddr>,
    control: &[(libc::c_int, libc::c_int, &[u8])],
    flags: libc::c_int,
) -> io::Result<usize> {
    let mut control = control_of(control);
    let mut message = message_of(to);
    let mut vector = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    message.msg_iov = &raw mut vector;
    if !control.is_empty() {
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(control.as_slice());
    }
    // SAFETY: everything that the header points to lives until the call has returned.
    check(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) })
}

/// A header with an address and room for one vector.
pub(super) fn message_of(to: Option<&SockAddr>) -> libc::msghdr {
    // SAFETY: all zero is valid: integers and null pointers only.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iovlen = 1;
    if let Some(to) = to {
        message.msg_name = to.as_ptr().cast_mut().cast();
        message.msg_namelen = to.len();
    }
    message
}

/// In words, so that it is aligned as the kernel wants it.
fn control_of(parts: &[(libc::c_int, libc::c_int, &[u8])]) -> Vec<u64> {
    let mut bytes = Vec::new();
    for (level, kind, content) in parts {
        bytes.extend_from_slice(&(16 + content.len()).to_ne_bytes());
        bytes.extend_from_slice(&level.to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    let words = bytes.chunks_exact(8);
    words
        .map(|word| u64::from_ne_bytes(word.try_into().unwrap_or_default()))
        .collect()
}

/// What the kernel returned, or its error.
pub(super) fn check(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| Error::last_os_error())
}

/// A descriptor that the kernel returned.
pub(super) fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = check(result as isize)?;
    // SAFETY: the kernel has just made it for this process.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

/// One command of `bpf(2)`.
pub(super) fn bpf(command: libc::c_int, attributes: &[u64; 16]) -> io::Result<usize> {
    // SAFETY: the kernel reads the attributes and what they point to, which lives until then.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_ptr(),
            size_of_val(attributes),
        )
    };
    check(result as isize)
}

/// Loads a kernel program of a type, by its instructions.
pub(super) fn load_program(kind: u64, program: &[u64]) -> io::Result<OwnedFd> {
    const LOAD: libc::c_int = 5;
    let mut attributes = [0_u64; 16];
    attributes[0] = kind | (program.len() as u64) << 32;
    attributes[1] = program.as_ptr() as u64;
    attributes[2] = c"GPL".as_ptr() as u64;
    owned(bpf(LOAD, &attributes)? as libc::c_long)
}

/// Runs `act` in a child, which ends with its error.
pub(super) fn spawn(act: impl FnOnce() -> io::Result<()>) -> io::Result<Pid> {
    // SAFETY: an attempt has one thread when it forks.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            // Whoever waits for it may be gone.
            nix::unistd::alarm::set(LIFE_SECONDS);
            leave(act())
        }
    }
}

/// Ends this process with the number of its error.
pub(super) fn leave(result: io::Result<()>) -> ! {
    let code = match result {
        Ok(()) => 0,
        Err(error) => match (error.raw_os_error(), error.kind()) {
            (Some(number), _) => number,
            (None, ErrorKind::TimedOut | ErrorKind::WouldBlock) => libc::ETIMEDOUT,
            (None, _) => UNKNOWN,
        },
    };
    // SAFETY: ends this process, which has nothing to clean up.
    unsafe { libc::_exit(code) };
}

/// Of an error that has no number.
const UNKNOWN: libc::c_int = 255;

/// Waits for a child and returns its error.
pub(super) fn wait(child: Pid) -> io::Result<()> {
    let status = waitpid(child, None)?;
    let WaitStatus::Exited(_, code) = status else {
        return Err(Error::other(format!("the child: {status:?}")));
    };
    match code {
        0 => Ok(()),
        UNKNOWN => Err(Error::other("the child failed")),
        code => Err(Error::from_raw_os_error(code)),
    }
}

/// Asks `probe` until it answers, for as long as a call may take.
pub(super) fn until<T>(mut probe: impl FnMut() -> io::Result<Option<T>>) -> io::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe()? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(ErrorKind::TimedOut.into());
        }
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// A file in memory with this content, read from its beginning.
pub(super) fn file_with(bytes: &[u8]) -> io::Result<std::fs::File> {
    use std::io::{Seek, Write};
    // SAFETY: a name that ends with a zero.
    let made = unsafe { libc::memfd_create(c"evade".as_ptr(), 0) };
    let mut file = std::fs::File::from(owned(made.into())?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// Moves all of a file to a socket without this process seeing it.
pub(super) fn send_file(to: BorrowedFd<'_>, file: &std::fs::File) -> io::Result<()> {
    let length = usize::try_from(file.metadata()?.len()).map_err(Error::other)?;
    nix::sys::sendfile::sendfile(to, file.as_fd(), None, length)?;
    Ok(())
}
