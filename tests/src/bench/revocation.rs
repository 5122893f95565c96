//! How soon a revocation is felt: from the command typed to the last octet through.

use std::{
    env,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::Serialize;

use super::measure::Distribution;
use crate::harness::{Agent, Attempts, Host, eventually};

/// Live connections of the identity whose grant is revoked, and of another one.
const OWN: u32 = 1_000;
const OTHERS: u32 = 4_000;
/// Nothing has arrived for so long: it is over.
const SILENCE: Duration = Duration::from_millis(500);

#[derive(Clone, Debug, Serialize)]
pub struct RevocationFigures {
    pub own: u32,
    pub others: u32,
    /// From the start of `weir grant revoke` until the last octet arrived at the model, by round.
    pub through_ms: Distribution,
    /// From there until the agent has ended all of them.
    pub ended_ms: Distribution,
    /// Connections of others that did not live on.
    pub harmed: u32,
}

/// A server that reads from all its callers, and remembers when it read something last.
struct Model {
    address: SocketAddr,
    last_ns: Arc<AtomicU64>,
}

impl Model {
    fn serve(epoch: Instant) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let last_ns = Arc::new(AtomicU64::new(0));
        let last = last_ns.clone();
        thread::spawn(move || {
            let mut callers = Vec::new();
            loop {
                while let Ok((caller, _)) = listener.accept() {
                    // One that cannot be told so is gone.
                    if caller.set_nonblocking(true).is_ok() {
                        callers.push(caller);
                    }
                }
                callers.retain_mut(|caller| match caller.read(&mut [0; 4096]) {
                    Ok(0) => false,
                    Ok(_) => {
                        let now_ns = epoch.elapsed().as_nanos() as u64;
                        last.store(now_ns, Ordering::Relaxed);
                        // The caller may be gone.
                        let _ = caller.write(b"y");
                        true
                    }
                    Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
                });
                thread::park_timeout(Duration::from_millis(1));
            }
        });
        Ok(Self { address, last_ns })
    }

    fn last(&self) -> Duration {
        Duration::from_nanos(self.last_ns.load(Ordering::Relaxed))
    }
}

/// # Errors
///
/// When something else than what is measured fails.
pub fn figures(rounds: usize) -> anyhow::Result<RevocationFigures> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let client = env::current_exe()?.with_file_name("weir-client");
    let epoch = Instant::now();
    let host = Host::new(&client);
    let (own, others) = (Model::serve(epoch)?, Model::serve(epoch)?);
    let ports = format!("{}, {}", own.address.port(), others.address.port());
    host.write_policy("p.yaml", &policy(&ports, &host.cgroup_path("other")));
    let agent = host.agent().start();
    let kept = host.workload("other").hold(others.address, OTHERS);
    let (mut through_ms, mut ended_ms) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let cgroup = host.cgroup_path("granted");
        let whom = ["grant", "issue", "first", "--cgroup", &cgroup];
        let what = ["--endpoint", "model", "--purpose", "a bench", "--ttl", "1h"];
        agent.weir(&[&whom[..], &what].concat()).expect(0);
        let held = host.workload("granted").hold(own.address, OWN);
        let typed = epoch.elapsed();
        let revoke = ["grant", "revoke", "first", "--why", "a bench"];
        agent.weir(&revoke).expect(0);
        eventually("the end of all", || {
            (ended(&agent)? >= u64::from(OWN) * round as u64).then_some(())
        });
        let ended_at = epoch.elapsed();
        while epoch.elapsed() < own.last().max(typed) + SILENCE {
            thread::park_timeout(Duration::from_millis(10));
        }
        let left = held.stop();
        ensure!(
            left == Attempts::all_refused(OWN),
            "{left:?} instead of errors"
        );
        let ms = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64() * 1e3;
        through_ms.push(ms(typed, own.last()));
        ended_ms.push(ms(typed, ended_at));
    }
    Ok(RevocationFigures {
        own: OWN,
        others: OTHERS,
        through_ms: Distribution::of(through_ms),
        ended_ms: Distribution::of(ended_ms),
        harmed: OTHERS - kept.stop().ok,
    })
}

fn ended(agent: &Agent) -> Option<u64> {
    agent.json(&["status"])["refused"]["ended"].as_u64()
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
