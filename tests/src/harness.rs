//! A host of its own for each test: network namespace, cgroup, agent, workloads.
//!
//! Everything has a name made of the test's and is removed when it is dropped. Nothing outside is
//! touched: programs are attached at the test's own cgroup only.

mod agent;
mod births;
mod client;
mod container;
mod engine;
mod flight;
mod hello;
mod host;
pub mod kube;
mod machine;
mod program;
pub mod prometheus;
mod receiver;
mod recorder;
pub mod resolver;
pub mod site;
pub mod traffic;
pub mod wire;
mod workload;

pub use self::{
    agent::{Agent, AgentBuilder, Output, Who, binary},
    births::Births,
    client::{Absent, Answer, Client, installed},
    container::{Container, Runtime},
    engine::{Containerd, Podman},
    flight::{Flier, Flight, How, Landing},
    hello::Hello,
    host::{Host, enter_network},
    machine::{Machine, Unit},
    program::Ran,
    receiver::Receiver,
    recorder::{ANSWER, Recorder},
    site::Site,
    workload::{Attempts, Edge, Workload},
};

use std::time::{Duration, Instant};

/// Longest time that anything may take to become true.
const PATIENCE: Duration = Duration::from_secs(20);

/// Polls `probe` until it answers.
///
/// # Panics
///
/// When it does not answer in time: with `what` was waited for.
pub fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, probe)
}

/// As [`eventually`], for what waits for more than the agent.
///
/// # Panics
///
/// As [`eventually`].
pub fn eventually_within<T>(
    patience: Duration,
    what: &str,
    mut probe: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "callers have a deadline")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}
