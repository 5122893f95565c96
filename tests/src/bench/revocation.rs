//! How soon the end of a right is felt: of a revocation from the command typed, of an expiry from its
//! instant, to the last octet through, to the last caller told, and to the first connection refused.

use std::{
    env,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::Serialize;
use weir::host::clock::{boot_ns, now};

use super::measure::Distribution;
use crate::harness::{Agent, Attempts, Host, eventually};

/// Live connections of the identity whose grant is revoked, and of another one.
const OWN: u32 = 1_000;
const OTHERS: u32 = 4_000;
/// What has been sent is read by then.
const SILENCE: Duration = Duration::from_millis(500);
/// Enough for all connections to be made.
const TTL_SECONDS: u32 = 8;
/// For a grant that nobody is connected by.
const SHORT_TTL_SECONDS: u32 = 1;
/// So long before its end a connection is tried: whoever is busy for longer has to wait for others.
const BEFORE_NS: u64 = 2_000_000;

#[derive(Clone, Debug, Serialize)]
pub struct RevocationFigures {
    pub own: u32,
    pub others: u32,
    /// From the start of `weir grant revoke`.
    pub revoked: Felt,
    /// From the instant at which a `ttl` has passed.
    pub expired: Felt,
    /// From there until the first refusal of a `connect()` that is made again and again has returned,
    /// by round.
    pub refused_us: Distribution,
    /// How many of those calls began after the instant and were let through.
    pub late: u32,
    /// Connections of others that did not live on.
    pub harmed: u32,
}

/// How the end of a right is felt by those that are connected, by round.
#[derive(Clone, Debug, Serialize)]
pub struct Felt {
    /// Until the last octet was sent that has arrived at the model: over loopback that takes no time, while
    /// the model reads it whenever the machine lets it.
    pub through_ms: Distribution,
    /// Until the last of the connections has ended with an error, as the model sees.
    pub ended_ms: Distribution,
}

/// A server that reads from all its callers, and remembers when what it has read was sent, and when it
/// lost one of them.
struct Model {
    address: SocketAddr,
    seen: Arc<Seen>,
}

/// Instants are in ns on the boot clock.
#[derive(Default)]
struct Seen {
    sent_ns: AtomicU64,
    lost_ns: AtomicU64,
    n_lost: AtomicU32,
}

impl Model {
    fn serve() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let seen = Arc::new(Seen::default());
        let noted = seen.clone();
        thread::spawn(move || {
            let mut callers = Vec::new();
            loop {
                while let Ok((caller, _)) = listener.accept() {
                    // One that cannot be told so is gone.
                    if caller.set_nonblocking(true).is_ok() {
                        callers.push(caller);
                    }
                }
                callers.retain_mut(|caller| noted.read(caller));
                thread::park_timeout(Duration::from_millis(1));
            }
        });
        Ok(Self { address, seen })
    }
}

impl Seen {
    /// Whether the caller is still there.
    fn read(&self, caller: &mut TcpStream) -> bool {
        let mut buffer = [0; 4096];
        match caller.read(&mut buffer) {
            Ok(length @ 1..) => {
                // The callers write them whole.
                if let Some(last) = buffer[..length].last_chunk() {
                    let sent_ns = u64::from_le_bytes(*last);
                    self.sent_ns.fetch_max(sent_ns, Ordering::Relaxed);
                }
                // The caller may be gone.
                let _ = caller.write(b"y");
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => true,
            Ok(0) | Err(_) => {
                self.lost_ns.store(boot_ns(), Ordering::Relaxed);
                self.n_lost.fetch_add(1, Ordering::Release);
                false
            }
        }
    }
}

/// Where all of it takes place.
struct Stage {
    host: Host,
    agent: Agent,
    own: Model,
}

/// # Errors
///
/// When something else than what is measured fails.
pub fn figures(rounds: usize) -> anyhow::Result<RevocationFigures> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let client = env::current_exe()?.with_file_name("weir-client");
    let host = Host::new(&client);
    let (own, others) = (Model::serve()?, Model::serve()?);
    let ports = format!("{}, {}", own.address.port(), others.address.port());
    host.write_policy("p.yaml", &policy(&ports, &host.cgroup_path("other")));
    let agent = host.agent().start();
    let stage = Stage { host, agent, own };
    // Before there is any load: whoever waits for a processor is late by himself.
    let (refused_us, late) = stage.refused(rounds)?;
    let kept = stage.host.workload("other").hold(others.address, OTHERS);
    let revoked = stage.felt(rounds, "1h", |_| {
        let typed_ns = boot_ns();
        stage.revoke();
        typed_ns
    })?;
    let expired = stage.felt(rounds, &format!("{TTL_SECONDS}s"), |end_ns| end_ns)?;
    Ok(RevocationFigures {
        own: OWN,
        others: OTHERS,
        revoked,
        expired,
        refused_us,
        late,
        harmed: OTHERS - kept.stop().ok,
    })
}

impl Stage {
    fn issue(&self, ttl: &str) {
        let cgroup = self.host.cgroup_path("granted");
        let whom = ["grant", "issue", "first", "--cgroup", &cgroup];
        let what = ["--endpoint", "model", "--purpose", "a bench", "--ttl", ttl];
        self.agent.weir(&[&whom[..], &what].concat()).expect(0);
    }

    fn revoke(&self) {
        let revoke = ["grant", "revoke", "first", "--why", "a bench"];
        self.agent.weir(&revoke).expect(0);
    }

    /// When the grant ends, in ns on the boot clock.
    fn end_ns(&self) -> anyhow::Result<u64> {
        let list = self.agent.json(&["grant", "list"]);
        let grants = list["grants"].as_array().context("grants")?;
        let first = grants.iter().find(|grant| grant["name"] == "first");
        let end = first.and_then(|grant| grant["not_after"].as_str());
        let end: Timestamp = end.context("the end of the grant")?.parse()?;
        let at = now();
        let left = end.duration_since(at.wall).as_nanos();
        Ok(u64::try_from(i128::from(at.boot_ns) + left)?)
    }

    /// Connects by a grant. From when on its right is gone, `ends` says: it is told the end of the `ttl`.
    fn felt(&self, rounds: usize, ttl: &str, ends: impl Fn(u64) -> u64) -> anyhow::Result<Felt> {
        let (mut through_ms, mut ended_ms) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            self.issue(ttl);
            let end_ns = self.end_ns()?;
            let lost_before = self.own.seen.n_lost.load(Ordering::Acquire);
            let held = self.host.workload("granted").hold(self.own.address, OWN);
            ensure!(
                boot_ns() < end_ns,
                "the grant ended before all were connected"
            );
            let from_ns = ends(end_ns);
            let lost = |n_lost: u32| (n_lost - lost_before >= OWN).then_some(());
            eventually("the end of all", || {
                lost(self.own.seen.n_lost.load(Ordering::Acquire))
            });
            thread::park_timeout(SILENCE);
            let left = held.stop();
            ensure!(
                left == Attempts::all_refused(OWN),
                "{left:?} instead of errors"
            );
            let ms = |to_ns: u64| to_ns.saturating_sub(from_ns) as f64 / 1e6;
            through_ms.push(ms(self.own.seen.sent_ns.load(Ordering::Relaxed)));
            ended_ms.push(ms(self.own.seen.lost_ns.load(Ordering::Relaxed)));
        }
        Ok(Felt {
            through_ms: Distribution::of(through_ms),
            ended_ms: Distribution::of(ended_ms),
        })
    }

    /// How late the kernel refuses, and how many calls began late and were let through.
    fn refused(&self, rounds: usize) -> anyhow::Result<(Distribution, u32)> {
        let (mut refused_us, mut late) = (Vec::new(), 0);
        for _ in 0..rounds {
            self.issue(&format!("{SHORT_TTL_SECONDS}s"));
            let end_ns = self.end_ns()?;
            let workload = self.host.workload("granted");
            let edge = workload.edge(self.own.address, end_ns - BEFORE_NS);
            ensure!(
                edge.allowed_ns < end_ns + SILENCE.as_nanos() as u64,
                "not refused at all"
            );
            refused_us.push(edge.refused_ns.saturating_sub(end_ns) as f64 / 1e3);
            late += u32::from(edge.allowed_ns > end_ns);
        }
        Ok((Distribution::of(refused_us), late))
    }
}

fn policy(ports: &str, other: &str) -> String {
    format!(
        "apiVersion: weir.dev/v1alpha1
kind: ModelEndpoint
metadata: {{name: model}}
spec: {{provider: test, cidrs: [127.0.0.1/32], ports: [{ports}]}}
---
apiVersion: weir.dev/v1alpha1
kind: Posture
metadata: {{name: closed}}
spec: {{default: true, ungranted: deny}}
---
apiVersion: weir.dev/v1alpha1
kind: InvocationGrant
metadata: {{name: other}}
spec: {{subjects: [{{cgroup: {other}}}], endpoints: [model], purpose: a bench}}
"
    )
}
