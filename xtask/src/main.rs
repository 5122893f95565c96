//! Development tasks, run as `cargo xtask <task>`: one file per task.
//!
//! Nothing here is part of the product, and nothing here is needed to run it.

mod apt;
mod bench;
mod build;
mod catalogue;
mod demo;
mod evade;
mod fuzz;
mod kube;
mod lint;
mod machine;
mod man;
mod paths;
mod prices;
mod process;
mod prometheus;
mod report;
mod run;
mod setup;
mod test;
mod toolchain;
mod vm;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "xtask",
    bin_name = "cargo xtask",
    about = "Development tasks of this repository"
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what building and testing need; does nothing when nothing is missing
    Setup(setup::Args),
    /// Build the kernel programs and the static release binary
    Build,
    /// Build, then run the agent in observe mode (as root)
    Run(run::Args),
    /// Watch the main job on real HTTPS, in half a minute and without Internet (as root)
    Demo,
    /// Measure what the kernel side costs, in interleaved pairs (as root)
    Bench(bench::Args),
    /// Try to get past the agent in every known way, here and in Debian kernels (as root)
    Evade(evade::Args),
    /// Fuzz the parsers of the kernel programs, each for a bounded time
    Fuzz(fuzz::Args),
    /// Compile the API server of Kubernetes that end-to-end tests run, unless that has been done
    Kube,
    /// Check format, lints, module layers, deployment files and licences
    Lint,
    /// Everything: set up, build, lint, host tests, end-to-end tests, kernel matrix
    Test,
    /// Boot Debian kernels in QEMU and run the agent's self-test on each
    Vm(vm::Args),
    /// Write the built-in catalogue of model endpoints from the tables in agent/data
    Catalogue {
        /// Change nothing; fail if the committed catalogue differs
        #[arg(long)]
        check: bool,
    },
    /// Write the table of model prices from a copy of the public file
    Prices(prices::Args),
    /// Generate the man pages and shell completions from the command line definition
    Man(man::Args),
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn dispatch(task: Task) -> Result<ExitCode> {
    match task {
        Task::Setup(args) => setup::run(&args).map(|()| ExitCode::SUCCESS),
        Task::Build => build::run().map(|_binary| ExitCode::SUCCESS),
        Task::Run(args) => run::run(&args),
        Task::Demo => demo::run(),
        Task::Bench(args) => bench::run(&args),
        Task::Evade(args) => evade::run(&args).map(|tally| tally.finish()),
        Task::Fuzz(args) => fuzz::run(&args).map(|tally| tally.finish()),
        Task::Kube => kube::ensure().map(|()| ExitCode::SUCCESS),
        Task::Lint => lint::run().map(|tally| tally.finish()),
        Task::Test => test::run().map(|tally| tally.finish()),
        Task::Vm(args) => vm::run(&args).map(|tally| tally.finish()),
        Task::Catalogue { check } => catalogue::run(check).map(|()| ExitCode::SUCCESS),
        Task::Prices(args) => prices::run(&args).map(|()| ExitCode::SUCCESS),
        Task::Man(args) => man::run(&args),
    }
}
