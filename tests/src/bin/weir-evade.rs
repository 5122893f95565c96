//! The evasion suite: tries to reach model endpoints past the agent named in `WEIR_BIN`, and prints a
//! line of JSON for each technique and setting. Needs root. `cargo xtask evade` runs it.

use std::{
    io::{self, ErrorKind, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Parser;
use weir_tests::evade::{LIFE_SECONDS, Outcome, Scene, Setting, find, run};

#[derive(Parser)]
enum Cli {
    /// Run techniques with no agent, then against one
    Run {
        /// Only techniques whose name contains this
        #[arg(long, default_value = "")]
        only: String,
        /// `default`, `watch_sends` or `lsm`; repeat for more
        #[arg(long = "setting", default_values = ["default"])]
        settings: Vec<String>,
    },
    /// Make one attempt, in a cgroup
    Attempt {
        id: String,
        token: String,
        own: PathBuf,
        out: PathBuf,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse() {
        Cli::Run { only, settings } => run_all(&only, &settings),
        Cli::Attempt {
            id,
            token,
            own,
            out,
        } => {
            nix::unistd::alarm::set(LIFE_SECONDS);
            let technique = find(&id).with_context(|| format!("no technique `{id}`"))?;
            let scene = Scene::new(&token, &own, &out);
            scene.enter_own().context("enter the cgroup")?;
            let said = match (technique.attempt)(&scene) {
                Ok(()) => "nothing".to_owned(),
                Err(error) => name(&error),
            };
            writeln!(io::stdout(), "{said}")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// As the caller would look it up.
fn name(error: &io::Error) -> String {
    match (error.raw_os_error(), error.kind()) {
        // Of a call with a limited time.
        (Some(libc::EINPROGRESS | libc::EAGAIN | libc::ETIMEDOUT), _)
        | (None, ErrorKind::TimedOut | ErrorKind::WouldBlock) => "silence".into(),
        (Some(number), _) => format!("{:?}", nix::errno::Errno::from_raw(number)),
        (None, ErrorKind::UnexpectedEof) => "the end".into(),
        (None, _) => error.to_string(),
    }
}

/// Fails if anything is open that no stated limit leaves open.
fn run_all(only: &str, settings: &[String]) -> anyhow::Result<ExitCode> {
    let settings = settings.iter().map(|name| {
        let found = Setting::ALL
            .into_iter()
            .find(|setting| setting.name() == name);
        found.with_context(|| format!("no setting `{name}`"))
    });
    let settings: Vec<Setting> = settings.collect::<anyhow::Result<_>>()?;
    let mut problem = None;
    let findings = run(&settings, only, |finding| {
        let line = serde_json::to_string(finding).map_err(io::Error::from);
        let written = line.and_then(|line| writeln!(io::stdout(), "{line}"));
        problem = problem.take().or(written.err());
    })?;
    if let Some(problem) = problem {
        return Err(problem).context("print the findings");
    }
    if findings.is_empty() {
        bail!("no technique's name contains `{only}`");
    }
    let count =
        |is: fn(&Outcome) -> bool| findings.iter().filter(|found| is(&found.outcome)).count();
    let is_open = |outcome: &Outcome| matches!(outcome, Outcome::Open);
    let surprises = findings
        .iter()
        .filter(|found| is_open(&found.outcome) && found.limit.is_none());
    let n_surprises = surprises.count();
    writeln!(
        io::stdout(),
        "evade: {} stopped, {} open ({n_surprises} of them not by a stated limit), {} not possible here",
        count(|outcome| matches!(outcome, Outcome::Stopped { .. })),
        count(is_open),
        count(|outcome| matches!(outcome, Outcome::Impossible { .. })),
    )?;
    Ok(if n_surprises == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
