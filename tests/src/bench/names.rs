//! Names, with a real agent: is an answer of the DNS known in time, how soon does a refused caller
//! learn of it, is anybody refused who asks for another name?

use std::{
    fs,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use nix::sys::socket::{setsockopt, sockopt};
use serde::Serialize;
use weir::{bpf::probe, host::process::cgroup_path};

use super::measure::Distribution;
use crate::harness::{
    Agent, Host,
    resolver::{self, GOVERNED, ORDINARY, PORT, Pairs},
    wire,
};

#[derive(Clone, Debug, Serialize)]
pub struct NamesFigures {
    /// Of five runs.
    pub pairs: Vec<PairsRun>,
    pub refusal: Refusals,
    pub shared: SharedAddress,
}

/// Resolved and connected at once, beside two threads that do so with other names.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PairsRun {
    pub pairs: u32,
    pub missed: u32,
    pub seconds: f64,
}

/// From `write()` of a hello that is refused until its caller has an error.
#[derive(Clone, Debug, Serialize)]
pub struct Refusals {
    pub us: Distribution,
    /// Saw no error within a second.
    pub silent: u32,
    /// Saw something else than `ECONNABORTED`.
    pub other: u32,
}

/// Connections to one address of several names.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SharedAddress {
    pub ordinary: u32,
    pub falsely_refused: u32,
    pub governed: u32,
    pub missed: u32,
    pub seconds: f64,
}

const RUNS: usize = 5;
const PAIRS: u32 = 10_000;
const BUSY: u32 = 2;
const REFUSALS: u32 = 1_000;
const CALLERS: u32 = 4;
const CALLS: u32 = 100_000;
/// One in so many asks for the governed name.
const GOVERNED_EACH: u32 = 100;
/// Nothing is known of this address but what its callers ask for.
const UNKNOWN: Ipv4Addr = Ipv4Addr::new(127, 54, 0, 1);
const SHARED: Ipv4Addr = Ipv4Addr::new(127, 54, 0, 2);
/// Sends answers that nobody has asked for.
const TELLER: Ipv4Addr = Ipv4Addr::new(127, 53, 0, 2);
const SILENCE: Duration = Duration::from_secs(1);

/// # Errors
///
/// When something else than what is measured fails.
pub fn figures() -> anyhow::Result<NamesFigures> {
    // The bench is its own workload: nobody runs the client.
    let host = Host::new(Path::new("/nonexistent"));
    let resolver = host.resolver();
    host.write_policy("p.yaml", &resolver::policy());
    let agent = [resolver.ip(), TELLER.into()]
        .iter()
        .fold(host.agent(), |agent, address| {
            agent.arg("--name-server").arg(&address.to_string())
        })
        .start();
    let inside = Inside::enter(&host)?;
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        runs.push(pairs(resolver)?);
    }
    let figures = NamesFigures {
        pairs: runs,
        refusal: refusals(&agent)?,
        shared: shared_address()?,
    };
    drop(inside);
    agent.stop();
    Ok(figures)
}

/// This process is in the cgroup of a workload that may do nothing.
struct Inside {
    home: PathBuf,
}

impl Inside {
    fn enter(host: &Host) -> anyhow::Result<Self> {
        let root = probe::cgroup_root()?;
        let below = |path: &str| root.join(path.trim_start_matches('/'));
        let home = below(&cgroup_path(process::id())?);
        join(&below(&host.cgroup_path("other"))).context("enter a cgroup")?;
        Ok(Self { home })
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // A failure leaves the cgroup behind.
        let _ = join(&self.home);
    }
}

fn join(cgroup: &Path) -> io::Result<()> {
    fs::write(cgroup.join("cgroup.procs"), process::id().to_string())
}

fn pairs(resolver: SocketAddr) -> anyhow::Result<PairsRun> {
    let begin = Instant::now();
    let pairs = Pairs {
        resolver,
        count: PAIRS,
        busy: BUSY,
    };
    let attempts = pairs.run().context("resolve and connect")?;
    Ok(PairsRun {
        pairs: PAIRS,
        missed: PAIRS - attempts.refused,
        seconds: begin.elapsed().as_secs_f64(),
    })
}

fn refusals(agent: &Agent) -> anyhow::Result<Refusals> {
    let place = serve(UNKNOWN, 1)?;
    let hello = wire::client_hello(GOVERNED);
    let (mut times, mut silent, mut other) = (vec![], 0, 0);
    for _ in 0..REFUSALS {
        let mut stream = connect(place)?;
        let begin = Instant::now();
        let result = exchange(&mut stream, &hello);
        let took = begin.elapsed();
        match result {
            Err(error) if error.raw_os_error() == Some(libc::ECONNABORTED) => {
                times.push(took.as_nanos() as f64 / 1e3);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => silent += 1,
            Ok(_) | Err(_) => other += 1,
        }
    }
    ensure!(!times.is_empty(), "nobody was refused:\n{}", agent.log());
    Ok(Refusals {
        us: Distribution::of(times),
        silent,
        other,
    })
}

fn shared_address() -> anyhow::Result<SharedAddress> {
    for name in [GOVERNED, ORDINARY] {
        tell(name, SHARED)?;
    }
    let place = serve(SHARED, CALLERS)?;
    let (falsely_refused, missed, next) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    let call = || -> anyhow::Result<()> {
        let (ordinary, governed) = (wire::client_hello(ORDINARY), wire::client_hello(GOVERNED));
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= CALLS {
                return Ok(());
            }
            let mut stream = connect(place)?;
            let is_governed = number % GOVERNED_EACH == 0;
            let hello = if is_governed { &governed } else { &ordinary };
            let passed = exchange(&mut stream, hello).is_ok();
            if is_governed && passed {
                missed.fetch_add(1, Ordering::Relaxed);
            }
            if !is_governed && !passed {
                falsely_refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let begin = Instant::now();
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(call)).collect();
        callers
            .into_iter()
            .try_for_each(|caller| caller.join().expect("a caller ends"))
    })?;
    let governed = CALLS.div_ceil(GOVERNED_EACH);
    Ok(SharedAddress {
        ordinary: CALLS - governed,
        falsely_refused: falsely_refused.into_inner(),
        governed,
        missed: missed.into_inner(),
        seconds: begin.elapsed().as_secs_f64(),
    })
}

/// As if this process had resolved `name`.
fn tell(name: &str, address: Ipv4Addr) -> anyhow::Result<()> {
    let server = UdpSocket::bind((TELLER, 53))?;
    let client = UdpSocket::bind((TELLER, 0))?;
    client.set_read_timeout(Some(SILENCE))?;
    let answer = wire::dns_answer(&wire::dns_query(1, name), &[address]);
    server.send_to(&answer, client.local_addr()?)?;
    client.recv(&mut [0; 512]).context("the answer arrives")?;
    Ok(())
}

/// Answers each hello with an octet, by as many threads as there are callers.
fn serve(address: Ipv4Addr, threads: u32) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((address, PORT))?;
    for _ in 0..threads {
        let listener = listener.try_clone()?;
        thread::spawn(move || {
            let mut hello = wire::client_hello(ORDINARY);
            for mut stream in listener.incoming().flatten() {
                // A refused caller resets the connection.
                let _ = stream
                    .read_exact(&mut hello)
                    .and_then(|()| stream.write_all(b"!"));
            }
        });
    }
    Ok(listener.local_addr()?)
}

/// Closing it resets it: no port stays taken.
fn connect(place: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(place).context("connect to an unknown address")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&stream, sockopt::Linger, &linger)?;
    Ok(stream)
}

fn exchange(stream: &mut TcpStream, hello: &[u8]) -> io::Result<()> {
    stream.write_all(hello)?;
    stream.read_exact(&mut [0])
}
