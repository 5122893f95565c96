//! Programs that are not the harness's own, run in a workload's cgroup.

use std::{
    io::{self, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::Workload;

/// After so many seconds a program is killed; it then ends with 124 or 137.
const LIMIT: &str = "40";

/// How a program ended and what it printed.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub elapsed: Duration,
}

impl Workload {
    /// Runs `program` with the files in `etc` in the place of those in `/etc`.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    pub fn run_program(
        &self,
        etc: &Path,
        program: &[String],
        env: &[(&str, &Path)],
        input: &str,
    ) -> Ran {
        let mut command = self.exec(etc);
        command
            .args(["timeout", "--kill-after=1", LIMIT])
            .args(program)
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for name in ["http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        ran(&mut command, input).expect("the program runs")
    }

    /// Starts `program`, whose process has the number of the child.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    pub fn start(&self, etc: &Path, program: &[String], env: &[(&str, &Path)]) -> Child {
        let mut command = self.exec(etc);
        command
            .args(program)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().expect("the program runs")
    }

    pub(super) fn exec(&self, etc: &Path) -> Command {
        let mut command = self.command(&["exec"]);
        command.arg(etc);
        command
    }
}

fn ran(command: &mut Command, input: &str) -> io::Result<Ran> {
    let start = Instant::now();
    let mut child = command.spawn()?;
    let stdin = child.stdin.take();
    let output = thread::scope(|scope| {
        scope.spawn(move || {
            // A program need not read what it is given.
            stdin.map(|mut stdin| stdin.write_all(input.as_bytes()))
        });
        child.wait_with_output()
    })?;
    Ok(Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        elapsed: start.elapsed(),
    })
}
