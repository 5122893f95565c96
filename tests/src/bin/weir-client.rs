//! What workloads of the end-to-end tests run: enters a cgroup, calls something, prints three
//! numbers: attempts that went through, were refused with EPERM, or failed otherwise. Or becomes
//! another program, which finds files of the test in the place of the machine's.

use std::{
    fs,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream, UdpSocket},
    os::{fd::AsRawFd, unix::process::CommandExt},
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, Pid, fork},
};
use weir::host::clock::boot_ns;
use weir_tests::harness::{Attempts, Edge, resolver::Pairs, traffic};

/// In the place of a cgroup: the one that it has been started in.
const STAY: &str = "-";

#[derive(Default)]
struct Tally {
    ok: AtomicU32,
    refused: AtomicU32,
    other: AtomicU32,
}

impl Tally {
    fn note<T>(&self, result: io::Result<T>) {
        let counter = match result {
            Ok(_) => &self.ok,
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => &self.refused,
            Err(_) => &self.other,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

#[expect(clippy::print_stdout, reason = "the test reads it")]
fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [_, cgroup, what, address, rest @ ..] = args.as_slice() else {
        bail!("usage: weir-client CGROUP WHAT ADDRESS ...");
    };
    if *cgroup != STAY {
        fs::write(
            Path::new(cgroup).join("cgroup.procs"),
            std::process::id().to_string(),
        )
        .context("enter the cgroup")?;
    }
    if *what == "exec" {
        return exec(Path::new(address), rest);
    }
    if *what == "talk" {
        return traffic::run(address);
    }
    let address: SocketAddr = address.parse()?;
    let number = |index: usize| -> anyhow::Result<u32> {
        Ok(rest.get(index).context("a number is missing")?.parse()?)
    };
    if *what == "edge" {
        let from_ns = rest.first().context("an instant is missing")?.parse()?;
        println!("{}", serde_json::to_string(&edge(address, from_ns)?)?);
        return Ok(());
    }
    let tally = Tally::default();
    match *what {
        "tcp" => {
            let (count, threads) = (number(0)?, number(1)?);
            thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        for _ in 0..count {
                            tally.note(TcpStream::connect(address));
                        }
                    });
                }
            });
        }
        "exchange" => tally.note(exchange(address, number(0)? as usize)),
        "udp" => {
            for _ in 0..number(0)? {
                tally.note(any_udp(address).and_then(|socket| socket.send_to(b"prompt", address)));
            }
        }
        "udp-connect" => tally.note(any_udp(address).and_then(|socket| socket.connect(address))),
        "resolve" => {
            let pairs = Pairs {
                resolver: address,
                count: number(0)?,
                busy: number(1)?,
            };
            let Attempts { ok, refused, other } = pairs.run()?;
            tally.ok.store(ok, Ordering::Relaxed);
            tally.refused.store(refused, Ordering::Relaxed);
            tally.other.store(other, Ordering::Relaxed);
        }
        "busy" => {
            let stop = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    tally.note(TcpStream::connect(address));
                    println!("busy");
                    while !stop.load(Ordering::Relaxed) {
                        tally.note(TcpStream::connect(address));
                    }
                });
                // Ends when the test closes its end.
                let _ = io::stdin().read_to_end(&mut Vec::new());
                stop.store(true, Ordering::Relaxed);
            });
        }
        "hold" => hold(address, number(0)?, &tally)?,
        "restart" => restart(address, number(0)?, rest, &tally)?,
        other => bail!("unknown `{other}`"),
    }
    let Tally { ok, refused, other } = tally;
    println!(
        "{} {} {}",
        ok.into_inner(),
        refused.into_inner(),
        other.into_inner()
    );
    Ok(())
}

/// Keeps `count` connections and reads from each until the test closes its end: then those that live
/// are `ok`, those that ended with an error `refused`, those that the peer ended `other`. Says how
/// many there are once they are made.
#[expect(clippy::print_stdout, reason = "the test reads it")]
fn hold(address: SocketAddr, count: u32, tally: &Tally) -> anyhow::Result<()> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let stream = TcpStream::connect(address)?;
        stream.set_nonblocking(true)?;
        streams.push(stream);
    }
    println!("{count}");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                streams.retain_mut(|stream| !is_over(stream, tally));
                thread::park_timeout(Duration::from_millis(1));
            }
        });
        // Ends when the test closes its end.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        stop.store(true, Ordering::Relaxed);
    });
    // What has ended by now has, whenever it was looked at last.
    streams.retain_mut(|stream| !is_over(stream, tally));
    tally.ok.store(streams.len() as u32, Ordering::Relaxed);
    Ok(())
}

/// Connects from this instant on, until that is refused. The same socket again and again, so that
/// nothing is used up.
fn edge(address: SocketAddr, from_ns: u64) -> anyhow::Result<Edge> {
    const LONGEST_NS: u64 = 20_000_000_000;
    let socket = any_udp(address)?;
    let mut edge = Edge::default();
    let left_ns = from_ns.saturating_sub(boot_ns());
    thread::park_timeout(Duration::from_nanos(left_ns));
    while edge.refused_ns < from_ns + LONGEST_NS {
        let began_ns = boot_ns();
        let result = socket.connect(address);
        edge.refused_ns = boot_ns();
        match result {
            Ok(()) => edge.allowed_ns = began_ns,
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => return Ok(edge),
            Err(error) => return Err(error).context("connect"),
        }
    }
    bail!("not refused")
}

/// Sends when that is, in ns on the boot clock, and reads what is there.
fn is_over(stream: &mut TcpStream, tally: &Tally) -> bool {
    let mut buffer = [0; 4096];
    let result = stream
        .write(&boot_ns().to_le_bytes())
        .and_then(|_| stream.read(&mut buffer));
    let counter = match result {
        Ok(0) => &tally.other,
        Ok(_) => return false,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
        Err(_) => &tally.refused,
    };
    counter.fetch_add(1, Ordering::Relaxed);
    true
}

/// Becomes `program`, for which each file of `etc` lies over the one of its name in `/etc`.
fn exec(etc: &Path, program: &[&str]) -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("a mount namespace")?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("keep mounts")?;
    for entry in fs::read_dir(etc).context("list the files")? {
        let entry = entry.context("list the files")?;
        let place = Path::new("/etc").join(entry.file_name());
        mount(Some(&entry.path()), &place, none, MsFlags::MS_BIND, none)
            .with_context(|| format!("lay a file over {}", place.display()))?;
    }
    let (program, args) = program.split_first().context("a program is missing")?;
    Err(Command::new(program).args(args).exec()).with_context(|| format!("run {program}"))
}

/// Makes the cgroup that is named last, connects in it at once and removes it, again and again.
fn restart(address: SocketAddr, count: u32, rest: &[&str], tally: &Tally) -> anyhow::Result<()> {
    let cgroup = Path::new(rest.get(1).context("a cgroup is missing")?);
    for round in 0..count {
        let missing = cgroup.ancestors().take_while(|path| !path.exists());
        let missing: Vec<&Path> = missing.collect();
        fs::create_dir_all(cgroup).context("make the cgroup")?;
        let child = if round.is_multiple_of(2) {
            fork_into(cgroup)?
        } else {
            fork_and_move(cgroup)?
        };
        let Some(child) = child else {
            let result = TcpStream::connect(address);
            let errno = result.err().and_then(|error| error.raw_os_error());
            // SAFETY: ends this process, which has nothing to clean up.
            unsafe { libc::_exit(errno.unwrap_or(0)) };
        };
        let status = waitpid(child, None).context("wait for the child")?;
        let WaitStatus::Exited(_, errno) = status else {
            bail!("the child: {status:?}");
        };
        tally.note(match errno {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        });
        for directory in missing {
            // Others may be making and removing what is above.
            let is_own = directory == cgroup;
            if let Err(error) = fs::remove_dir(directory)
                && is_own
            {
                return Err(error).context("remove the cgroup");
            }
        }
    }
    Ok(())
}

/// Of `linux/sched.h`; that of the library has too narrow a type.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// A child that has never been anywhere else; `None` in the child.
fn fork_into(cgroup: &Path) -> anyhow::Result<Option<Pid>> {
    let directory = fs::File::open(cgroup).context("open the cgroup")?;
    // SAFETY: all zero is valid: integers only.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = CLONE_INTO_CGROUP;
    args.exit_signal = libc::SIGCHLD as u64;
    args.cgroup = directory.as_raw_fd() as u64;
    // SAFETY: a fork of a process of one thread: no stack and no memory is shared.
    let child = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of_val(&args)) };
    match child {
        0 => Ok(None),
        1.. => Ok(Some(Pid::from_raw(i32::try_from(child)?))),
        _ => Err(io::Error::last_os_error()).context("fork into the cgroup"),
    }
}

/// A child that moves itself; `None` in the child.
fn fork_and_move(cgroup: &Path) -> anyhow::Result<Option<Pid>> {
    // SAFETY: this process has one thread.
    match unsafe { fork() }.context("fork")? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => {
            fs::write(cgroup.join("cgroup.procs"), "0").context("enter the cgroup")?;
            Ok(None)
        }
    }
}

fn exchange(address: SocketAddr, out: usize) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(&vec![1; out])?;
    stream.shutdown(Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}

fn any_udp(peer: SocketAddr) -> io::Result<UdpSocket> {
    UdpSocket::bind(if peer.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    })
}
