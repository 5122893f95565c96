//! The command line: definitions, and one function that runs them.
//!
//! Commands that read or change a running agent go through its API; the others work by themselves.

mod agent;
mod anomalies;
mod args;
mod audit;
mod connections;
mod deny;
mod endpoints;
mod events;
mod explain;
mod grant;
mod host;
mod identities;
mod output;
mod policy;
mod prices;
mod report;
mod run;
mod status;
mod top;
mod usage;
mod who;

use std::{io, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use self::output::Out;
use crate::{
    api::client::{Client, ClientError},
    config::Config,
    error_chain,
};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the answer is no: refused, mistakes found, nothing matches, differences
  2  error";

/// Which process may call which AI model endpoint, and how much has it used
#[derive(Debug, Parser)]
#[command(name = "weir", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Cli {
    /// Socket of the running agent
    ///
    /// [default: /run/weir/weir.sock]
    #[arg(long, global = true, env = "WEIR_SOCKET", value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Agent(agent::Args),
    Status(status::Args),
    Usage(usage::Args),
    Top(top::Args),
    Events(events::Args),
    Grant(grant::Args),
    Deny(deny::Args),
    Policy(policy::Args),
    Endpoints(endpoints::Args),
    Prices(prices::Args),
    Identities(identities::Args),
    Explain(explain::Args),
    Who(who::Args),
    Connections(connections::Args),
    Audit(audit::Args),
    Report(report::Args),
    Anomalies(anomalies::Args),
    Run(run::Args),
    Selftest(host::SelftestArgs),
    Detach(host::DetachArgs),
    Completions(host::CompletionsArgs),
    #[command(hide = true)]
    Man(host::ManArgs),
}

/// What a command ends with when nothing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Done,
    /// Exit code 1.
    No,
    /// The exit code of a command that was run.
    Code(u8),
}

/// Parses the arguments, runs the command and says what went wrong.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help that nobody reads any more is no error.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let stdout = io::stdout();
    let mut out = Out::new(&stdout);
    match run(cli, &mut out) {
        Ok(Answer::Done) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Ok(Answer::Code(code)) => ExitCode::from(code),
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stderr, reason = "this is where errors are told")]
fn report(error: &anyhow::Error) {
    eprintln!("weir: {}", error_chain(&**error));
    if let Some(ClientError::Api(error)) = error.downcast_ref() {
        for detail in &error.details {
            eprintln!("  {detail}");
        }
    }
}

fn run(cli: Cli, out: &mut Out<'_>) -> anyhow::Result<Answer> {
    let default = Config::default().socket;
    let socket = cli.socket.as_deref().unwrap_or(&default);
    let client = Client::new(socket);
    match cli.command {
        Command::Agent(args) => args.run(cli.socket.clone()),
        Command::Selftest(args) => args.run(out),
        Command::Detach(args) => args.run(socket, out),
        Command::Completions(args) => args.run(out),
        Command::Man(args) => args.run(),
        Command::Prices(args) => args.run(out),
        Command::Status(args) => ask(args.run(&client, out)),
        Command::Usage(args) => ask(args.run(&client, out)),
        Command::Top(args) => ask(args.run(&client)),
        Command::Events(args) => ask(args.run(&client, out)),
        Command::Grant(args) => ask(args.run(&client, out)),
        Command::Deny(args) => ask(args.run(&client, out)),
        Command::Policy(args) => ask(args.run(&client, out)),
        Command::Endpoints(args) => ask(args.run(&client, out)),
        Command::Identities(args) => ask(args.run(&client, out)),
        Command::Explain(args) => ask(args.run(&client, out)),
        Command::Who(args) => ask(args.run(&client, out)),
        Command::Connections(args) => ask(args.run(&client, out)),
        Command::Audit(args) => ask(args.run(&client, out)),
        Command::Report(args) => ask(args.run(&client, out)),
        Command::Anomalies(args) => args.run(&client, out),
        Command::Run(args) => args.run(&client),
    }
}

fn ask<T>(question: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(question)
}

#[cfg(test)]
mod tests;
