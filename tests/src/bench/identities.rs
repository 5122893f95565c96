//! What it costs to know who is who: how soon new cgroups have names, what the agent needs for it,
//! and what each new process pays.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde::Serialize;

use super::{
    agent::rss_mib,
    measure::{Comparison, compare},
    stats::{Measuring, Runs},
};
use crate::harness::{Agent, Host, eventually, installed};

#[derive(Clone, Debug, Serialize)]
pub struct IdentityFigures {
    /// Cgroups that are there all the time.
    pub cgroups: usize,
    pub naming: Naming,
    pub hooks: Vec<Hook>,
    /// `fork`, `exec` and `exit` of one process, without an agent and with one.
    pub process: Vec<Comparison>,
}

/// While new cgroups are made at a steady rate.
#[derive(Clone, Debug, Serialize)]
pub struct Naming {
    pub seconds: f64,
    pub made: u64,
    /// From `mkdir` until the kernel has rules and name.
    pub median_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
    /// Of one processor.
    pub cpu_percent: f64,
    pub rss_mib: f64,
}

/// One kernel program, by the kernel's own clock.
#[derive(Clone, Debug, Serialize)]
pub struct Hook {
    pub program: String,
    pub runs: u64,
    pub ns: f64,
}

const CGROUPS: usize = 5_000;
const PER_SECOND: u32 = 100;
const PROCESSES: u32 = 1_000;
const PROGRAMS: [&str; 5] = [
    "forked",
    "executed",
    "exited",
    "cgroup_made",
    "cgroup_removed",
];

/// # Errors
///
/// When something else than what is measured fails.
pub fn figures(rounds: usize, duration: Duration) -> anyhow::Result<IdentityFigures> {
    // The bench has no workloads: nobody runs the client.
    let host = Host::new(Path::new("/nonexistent"));
    for number in 0..CGROUPS {
        host.make_cgroup(&format!("there.slice/s{number}.service"));
    }
    let agent = host.agent().start();
    let measuring = Measuring::start()?;
    let before = runs(&agent)?;
    let naming = naming(&host, &agent, duration)?;
    spawn_many(&host, PROCESSES)?;
    let after = runs(&agent)?;
    drop(measuring);
    agent.stop();
    let hooks = after.into_iter().map(|(program, after)| {
        let runs = after.since(before.get(&program).copied().unwrap_or_default());
        Hook {
            program,
            runs: runs.count,
            ns: runs.mean_ns(),
        }
    });
    Ok(IdentityFigures {
        cgroups: CGROUPS,
        naming,
        hooks: hooks.collect(),
        process: process(&host, rounds)?,
    })
}

/// Makes cgroups, each of which is gone a second later.
fn naming(host: &Host, agent: &Agent, duration: Duration) -> anyhow::Result<Naming> {
    let ticks = cpu_ticks(agent)?;
    let start = Instant::now();
    let gap = Duration::from_secs(1) / PER_SECOND;
    let mut made: u32 = 0;
    let name = |number| host.cgroup_directory(&format!("new.slice/n{number}.service"));
    fs::create_dir(host.cgroup_directory("new.slice"))?;
    while start.elapsed() < duration {
        fs::create_dir(name(made))?;
        if let Some(past) = made.checked_sub(PER_SECOND) {
            fs::remove_dir(name(past))?;
        }
        made += 1;
        wait_until(start + gap * made);
    }
    let seconds = start.elapsed().as_secs_f64();
    let used = cpu_ticks(agent)? - ticks;
    // The one above is a cgroup, too.
    let made = u64::from(made) + 1;
    let told = eventually("all names", || {
        let naming = agent.json(&["status"])["naming"].clone();
        (naming["count"].as_u64()? >= made).then_some(naming)
    });
    let us = |field: &str| told[field].as_u64().context("a number");
    Ok(Naming {
        seconds,
        made,
        median_us: us("median_us")?,
        p99_us: us("p99_us")?,
        max_us: us("max_us")?,
        // Ticks are hundredths of a second.
        cpu_percent: used as f64 / seconds,
        rss_mib: rss_mib(agent)?,
    })
}

#[expect(clippy::disallowed_methods, reason = "a rate is measured")]
fn wait_until(instant: Instant) {
    thread::sleep(instant.saturating_duration_since(Instant::now()));
}

/// User and system time of a process.
fn cpu_ticks(agent: &Agent) -> anyhow::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", agent.pid()))?;
    let (_, fields) = stat.rsplit_once(") ").context("a name")?;
    let fields = fields.split(' ').skip(11).take(2);
    fields.map(|ticks| Ok(ticks.parse::<u64>()?)).sum()
}

/// Of the programs that the agent holds.
fn runs(agent: &Agent) -> anyhow::Result<BTreeMap<String, Runs>> {
    let mut runs = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{}/fdinfo", agent.pid()))?.flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let id = text.lines().find_map(|line| line.strip_prefix("prog_id:"));
        let Some(id) = id else {
            continue;
        };
        let id = id.trim().parse()?;
        let name = Runs::name_of(id)?;
        if PROGRAMS.iter().any(|program| program.starts_with(&name)) {
            runs.insert(name, Runs::of(id)?);
        }
    }
    ensure!(runs.len() == PROGRAMS.len(), "found only {runs:?}");
    Ok(runs)
}

/// Processes one after the other, in a cgroup of the host.
fn spawn_many(host: &Host, count: u32) -> anyhow::Result<f64> {
    let busybox = installed("busybox").map_err(anyhow::Error::msg)?;
    // With a slash in its name it is executed, and not taken for the shell's own.
    let script = format!(
        "i=0; while [ $i -lt {count} ]; do {} true; i=$((i+1)); done",
        busybox.display()
    );
    let mut shell = host.command_in("other", &busybox);
    shell.args(["sh", "-c", &script]).stdin(Stdio::null());
    let start = Instant::now();
    let status = shell.status().context("busybox runs")?;
    ensure!(status.success(), "busybox ended with {status}");
    Ok(start.elapsed().as_nanos() as f64 / f64::from(count))
}

fn process(host: &Host, rounds: usize) -> anyhow::Result<Vec<Comparison>> {
    let mut times = Vec::new();
    for round in 0..rounds {
        let mut row = vec![0.0; 2];
        for step in 0..2 {
            let with = (round + step) % 2;
            let agent = (with == 1).then(|| host.agent().arg("--detach-on-exit").start());
            row[with] = spawn_many(host, PROCESSES)?;
            if let Some(agent) = agent {
                agent.stop();
            }
        }
        times.push(row);
    }
    Ok(compare(&["no agent", "an agent"], &times))
}
