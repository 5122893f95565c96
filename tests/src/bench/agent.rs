//! The agent itself: how soon it is in force, what it weighs, how fast it takes a large policy.

use std::{fmt::Write, fs, path::Path, time::Instant};

use anyhow::{Context, ensure};
use serde::Serialize;

use super::measure::median;
use crate::harness::{Agent, Host};

#[derive(Clone, Debug, Serialize)]
pub struct AgentFigures {
    /// From its start until its API says that it is in force.
    pub start_ms: f64,
    /// Resident memory when idle.
    pub rss_mib: f64,
    /// `weir policy apply` of a file of 10,000 grants, from start to end of the command.
    pub apply_10k_grants_ms: f64,
    /// Resident memory after that.
    pub rss_10k_grants_mib: f64,
}

const GRANTS: u32 = 10_000;

/// # Errors
///
/// When the agent cannot be measured.
pub fn figures(rounds: usize) -> anyhow::Result<AgentFigures> {
    let (mut starts, mut idle, mut applies, mut full) = (vec![], vec![], vec![], vec![]);
    for _ in 0..rounds {
        // The bench has no workloads: nobody runs the client.
        let host = Host::new(Path::new("/nonexistent"));
        let begin = Instant::now();
        let agent = host.agent().start();
        starts.push(begin.elapsed().as_secs_f64() * 1e3);
        idle.push(rss_mib(&agent)?);
        let file = host.path("grants.yaml");
        fs::write(&file, grants()).context("write grants")?;
        let begin = Instant::now();
        let output = agent.weir(&["policy", "apply", &file.display().to_string()]);
        applies.push(begin.elapsed().as_secs_f64() * 1e3);
        ensure!(output.is(0), "{}", output.stderr);
        full.push(rss_mib(&agent)?);
        agent.stop();
    }
    Ok(AgentFigures {
        start_ms: median(&mut starts),
        rss_mib: median(&mut idle),
        apply_10k_grants_ms: median(&mut applies),
        rss_10k_grants_mib: median(&mut full),
    })
}

fn grants() -> String {
    let mut text = String::new();
    for number in 0..GRANTS {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "---
apiVersion: weir.dev/v1alpha1
kind: InvocationGrant
metadata: {{name: g{number}}}
spec:
  subjects: [{{systemd: {{unit: job-{number}.service}}}}]
  endpoints: [openai]
  purpose: a benchmark
  ttl: 8h
"
        );
    }
    text
}

pub(super) fn rss_mib(agent: &Agent) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid()))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .context("VmRSS")?;
    Ok(kib.trim().parse::<f64>()? / 1024.0)
}
