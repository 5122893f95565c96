//! `bench`: what the kernel side costs, in interleaved pairs on this machine.

use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::{build, paths, process, setup};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to measure
    #[arg(value_enum, default_value = "connect")]
    what: What,
    /// Interleaved rounds of each comparison
    #[arg(long, default_value_t = 31)]
    rounds: usize,
    /// A minute instead of ten seconds where a rate is kept
    #[arg(long)]
    full: bool,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum What {
    /// One connection: unattached, not a model endpoint, granted, denied, unknown; the policy's size
    Connect,
    /// Cgroups and processes with a real agent: how soon they have names, what each pays
    Identities,
    /// Names with a real agent: answers in time, how soon refusals are felt, false refusals
    Names,
    /// Packets: of no concern, answers of the DNS, first flights
    Packets,
    /// The agent itself: start, memory, installing 10,000 grants
    Agent,
    /// How soon a revocation and the end of a ttl are felt by 1,000 live connections among 5,000, with a
    /// real agent
    Revocation,
    /// The audit: records a second, verification; a million records with `--full`
    Audit,
    /// Anomalies found and false alarms in labelled series, and what an update costs; 20 seeds instead
    /// of 3 with `--full`
    Anomaly,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the benchmark loads kernel programs: run `cargo xtask bench` as root");
    }
    setup::ensure(&[setup::Group::Build, setup::Group::Test].into())?;
    let weir = build::run()?;
    let mut cargo = process::cargo("build");
    process::run(cargo.args([
        "--quiet",
        "--release",
        "--package",
        "weir-tests",
        "--bin",
        "weir-bench",
        "--bin",
        "weir-client",
    ]))?;
    let what = match args.what {
        What::Connect => "connect",
        What::Identities => "identities",
        What::Names => "names",
        What::Packets => "packets",
        What::Agent => "agent",
        What::Revocation => "revocation",
        What::Audit => "audit",
        What::Anomaly => "anomaly",
    };
    let mut bench = Command::new(paths::root().join("target/release/weir-bench"));
    bench
        .args([what, "--rounds", &args.rounds.to_string()])
        .env("WEIR_BIN", weir);
    if args.full {
        bench.arg("--full");
    }
    if args.json {
        bench.arg("--json");
    }
    process::run(&mut bench)?;
    Ok(ExitCode::SUCCESS)
}
