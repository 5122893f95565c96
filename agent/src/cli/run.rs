//! `weir run`

mod limits;
mod supervise;

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use anyhow::Context;

use super::{Answer, ask};
use crate::{
    api::{
        client::Client,
        types::{TaskEnded, TaskRequest, TaskStarted},
    },
    bpf::probe,
    host::{incarnation::Incarnation, task_cgroup},
};

/// Run a command as a task: with a right of its own that ends with it
///
/// Puts the command into a cgroup of its own below that of the caller and leases it the right to
/// call the endpoints. Its children stay inside. The lease ends with the command, after its time,
/// or when the caller may no longer call the endpoints itself. Without the lease the command is not
/// run. The exit code is the command's, 128 and the number of the signal that killed it, 126 or 127
/// if it cannot be run, and 2 if weir fails.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  weir run --endpoint openai --purpose \"nightly summaries\" --ttl 10m -- ./summarise --all"
)]
pub(super) struct Args {
    /// Endpoint or provider; several with commas or given again
    #[arg(
        long = "endpoint",
        value_name = "NAME",
        required = true,
        value_delimiter = ','
    )]
    endpoints: Vec<String>,
    /// invoke, manage or resolve [default: invoke; and resolve, for encrypted-dns]
    #[arg(long = "plane", value_name = "PLANE")]
    planes: Vec<String>,
    /// What for
    #[arg(long, value_name = "TEXT")]
    purpose: String,
    /// How long at most, as in 10m
    #[arg(long, value_name = "DURATION")]
    ttl: String,
    /// How much at most, as in connections=20/hour, bytes=5MB/day, calls=100/hour or cost=2.50/day
    ///
    /// May be given again. Limits on calls and cost act on the next connection.
    #[arg(long = "limit", value_name = "LIMIT", value_parser = limits::parse)]
    limits: Vec<limits::Limit>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// A cgroup that this process has made below its own.
struct Own {
    above: PathBuf,
    directory: PathBuf,
    name: String,
}

impl Args {
    pub(super) fn run(self, client: &Client) -> anyhow::Result<Answer> {
        let limits = limits::all(self.limits)?;
        let own = Own::make();
        let request = TaskRequest {
            endpoints: self.endpoints,
            planes: self.planes,
            purpose: self.purpose,
            ttl: self.ttl,
            limits,
            cgroup: own.as_ref().map(|own| own.name.clone()),
        };
        let started = ask(async { Ok(client.start_task(&request).await?) });
        let result = started.and_then(|task| {
            let result = run_inside(&self.command, own.as_ref());
            end(&task, client)?;
            result
        });
        if let Some(own) = own {
            own.leave();
        }
        result.map(Answer::Code)
    }
}

fn run_inside(command: &[OsString], own: Option<&Own>) -> anyhow::Result<u8> {
    if let Some(own) = own {
        enter(&own.directory).context("the command is not run")?;
    }
    supervise::run(command)
}

/// Says what is left of a task. A lease that cannot be ended now ends when this process does.
fn end(task: &TaskStarted, client: &Client) -> anyhow::Result<()> {
    let ended: anyhow::Result<TaskEnded> = ask(async { Ok(client.end_task(&task.id).await?) });
    let ended = match ended {
        Ok(ended) => ended,
        Err(error) => {
            tell(&format!(
                "the lease {} ends when the agent has noticed that the command has: {error}",
                task.grant
            ));
            return Ok(());
        }
    };
    match ended.processes_left {
        0 => {}
        1 => tell("1 process is left, without the right"),
        n => tell(&format!("{n} processes are left, without the right")),
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "standard output is the command's")]
fn tell(text: &str) {
    eprintln!("weir: {text}");
}

fn enter(directory: &Path) -> anyhow::Result<()> {
    let this = Incarnation::of(std::process::id());
    let this = this.ok_or_else(|| io::Error::other("/proc does not show this process"))?;
    Ok(task_cgroup::enter(directory, this)?)
}

impl Own {
    /// `None` where that is not allowed: then the agent makes one.
    fn make() -> Option<Self> {
        let above = task_cgroup::own(&probe::cgroup_root().ok()?)?;
        let name = format!("weir-run-{}", task_cgroup::new_id().ok()?);
        let directory = task_cgroup::make_where_allowed(&above, &name)?;
        Some(Self {
            above,
            directory,
            name,
        })
    }

    /// What cannot be removed yet, the agent removes once it is empty.
    fn leave(self) {
        let _ = enter(&self.above);
        let _ = task_cgroup::remove(&self.directory);
    }
}
