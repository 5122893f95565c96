//! Somebody entitled who calls for the attempt: what it hears it from differs.

use std::{
    fs::{self, File},
    io::{self, Error, Read, Write},
    net::TcpListener,
    os::linux::net::SocketAddrExt,
    os::{
        fd::OwnedFd,
        unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream},
    },
};

use nix::unistd::Pid;

use super::{
    HELPER, Technique,
    scene::{MODEL, Scene, any},
    sys::{PATIENCE, ask, check, connected, socket, spawn, until, wait},
};

pub(super) const LIST: &[Technique] = &[
    Technique::new("helper-stream", "a stream over a Unix socket", |scene| {
        let place = tempfile::tempdir()?;
        let path = place.path().join("helper");
        let listener = UnixListener::bind(&path)?;
        with_helper(
            scene,
            || received(listener.accept()?.0),
            || UnixStream::connect(&path)?.write_all(scene.token()),
        )
    })
    .limit(HELPER),
    Technique::new("helper-abstract", "an abstract Unix socket", |scene| {
        let name = SocketAddr::from_abstract_name(scene.token())?;
        let listener = UnixListener::bind_addr(&name)?;
        with_helper(
            scene,
            || received(listener.accept()?.0),
            || UnixStream::connect_addr(&name)?.write_all(scene.token()),
        )
    })
    .limit(HELPER),
    Technique::new("helper-datagram", "datagrams over a Unix socket", |scene| {
        let place = tempfile::tempdir()?;
        let path = place.path().join("helper");
        let server = UnixDatagram::bind(&path)?;
        server.set_read_timeout(Some(PATIENCE))?;
        with_helper(
            scene,
            || {
                let mut buffer = vec![0; 64];
                let length = server.recv(&mut buffer)?;
                buffer.truncate(length);
                Ok(buffer)
            },
            || {
                UnixDatagram::unbound()?
                    .send_to(scene.token(), &path)
                    .map(drop)
            },
        )
    })
    .limit(HELPER),
    Technique::new("helper-proxy", "a proxy on the host, over TCP", |scene| {
        let listener = TcpListener::bind("127.8.0.9:0")?;
        let address = listener.local_addr()?;
        with_helper(
            scene,
            || received(listener.accept()?.0),
            || std::net::TcpStream::connect(address)?.write_all(scene.token()),
        )
    })
    .limit(HELPER),
    Technique::new("helper-fifo", "a named pipe", |scene| {
        let place = tempfile::tempdir()?;
        let path = place.path().join("helper");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU)?;
        with_helper(
            scene,
            || received(File::open(&path)?),
            || {
                File::options()
                    .write(true)
                    .open(&path)?
                    .write_all(scene.token())
            },
        )
    })
    .limit(HELPER),
    Technique::new("helper-file", "a file that it looks for", |scene| {
        let place = tempfile::tempdir()?;
        let path = place.path().join("task");
        with_helper(
            scene,
            || until(|| Ok(fs::read(&path).ok().filter(|bytes| !bytes.is_empty()))),
            || fs::write(&path, scene.token()),
        )
    })
    .limit(HELPER),
    Technique::new("helper-memory", "memory that both have", memory).limit(HELPER),
    Technique::new("helper-queue", "a queue of System V", queue).limit(HELPER),
    Technique::new("helper-vsock", "`AF_VSOCK` on the host itself", vsock).limit(HELPER),
];

fn received(mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// `hear` runs in the entitled workload, which then calls; `tell` in the attempt's own.
fn with_helper(
    scene: &Scene,
    hear: impl FnOnce() -> io::Result<Vec<u8>>,
    tell: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let helper: Pid = spawn(|| {
        scene.enter_out()?;
        let heard = hear()?;
        ask(&connected(any(MODEL)?)?, &heard)
    })?;
    tell()?;
    wait(helper)
}

fn memory(scene: &Scene) -> io::Result<()> {
    const PAGE: usize = 4096;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping of one page.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), PAGE, protection, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return Err(Error::last_os_error());
    }
    let (flag, text) = (page.cast::<u64>(), page.cast::<u8>().wrapping_add(64));
    let length = scene.token().len();
    with_helper(
        scene,
        || {
            // SAFETY: the flag is aligned and in the page.
            until(|| Ok((unsafe { flag.read_volatile() } != 0).then_some(())))?;
            // SAFETY: the token is in the page and no longer changes.
            Ok(unsafe { std::slice::from_raw_parts(text, length) }.to_vec())
        },
        || {
            // SAFETY: as above; nobody reads before the flag is set.
            unsafe {
                std::ptr::copy_nonoverlapping(scene.token().as_ptr(), text, length);
                flag.write_volatile(1);
            }
            Ok(())
        },
    )
}

fn queue(scene: &Scene) -> io::Result<()> {
    // SAFETY: numbers only.
    let queue = check(unsafe { libc::msgget(libc::IPC_PRIVATE, 0o600) } as isize)? as libc::c_int;
    let result = with_helper(
        scene,
        || {
            let mut message = [0_u64; 16];
            let into = message.as_mut_ptr().cast();
            // SAFETY: room for a kind and 120 octets.
            let n = check(unsafe { libc::msgrcv(queue, into, 120, 0, 0) })?;
            let bytes = message[1..].iter().flat_map(|word| word.to_ne_bytes());
            Ok(bytes.take(n).collect())
        },
        || {
            let message = [&1_u64.to_ne_bytes()[..], scene.token()].concat();
            let length = scene.token().len();
            // SAFETY: a kind and so many octets.
            check(unsafe { libc::msgsnd(queue, message.as_ptr().cast(), length, 0) } as isize)
                .map(drop)
        },
    );
    // SAFETY: numbers only.
    check(unsafe { libc::msgctl(queue, libc::IPC_RMID, std::ptr::null_mut()) } as isize)?;
    result
}

fn vsock(scene: &Scene) -> io::Result<()> {
    const LOCAL: u32 = 1;
    const PORT: u32 = 4777;
    let kind = socket2::Type::STREAM;
    let address = socket2::SockAddr::vsock(LOCAL, PORT);
    let listener = socket(socket2::Domain::VSOCK, kind, None)?;
    listener.bind(&socket2::SockAddr::vsock(u32::MAX, PORT))?;
    listener.listen(1)?;
    with_helper(
        scene,
        || received(File::from(OwnedFd::from(listener.accept()?.0))),
        || {
            let caller = socket(socket2::Domain::VSOCK, kind, None)?;
            caller.connect(&address)?;
            caller.send(scene.token())?;
            drop(caller);
            Ok(())
        },
    )
}
