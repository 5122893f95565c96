//! Running other programs: says what runs, and names it when it fails.

use std::{
    env,
    ffi::OsStr,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// Cargo of the toolchain that built this program, in the repository's root.
pub(crate) fn cargo(subcommand: &str) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.arg(subcommand).current_dir(crate::paths::root());
    command
}

/// Runs with inherited output; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    announce(command);
    run_quietly(command)
}

/// Runs with inherited output, without saying so.
pub(crate) fn run_quietly(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("run `{}`", render(command)))?;
    expect_success(command, status)
}

/// Runs quietly and returns what was printed on standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run `{}`", render(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` failed ({}): {}",
            render(command),
            output.status,
            said.trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs and hands over standard output line by line, as it appears.
pub(crate) fn lines(command: &mut Command, mut each: impl FnMut(&str)) -> Result<ExitStatus> {
    announce(command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("run `{}`", render(command)))?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.with_context(|| format!("read output of `{}`", render(command)))?;
            each(&String::from_utf8_lossy(&line));
        }
    }
    child
        .wait()
        .with_context(|| format!("wait for `{}`", render(command)))
}

pub(crate) fn expect_success(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("`{}` failed ({status})", render(command));
    }
    Ok(())
}

/// As a person would type it, the program by its name and without the environment.
pub(crate) fn render(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    [name]
        .into_iter()
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .map(|word| quote(&word))
        .collect::<Vec<_>>()
        .join(" ")
}

fn announce(command: &Command) {
    eprintln!("$ {}", render(command));
}

fn quote(word: &str) -> String {
    if word.is_empty() || word.contains(|c: char| c.is_whitespace() || c == '"' || c == '\'') {
        format!("'{}'", word.replace('\'', r"'\''"))
    } else {
        word.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["test", "a b", r#"--cfg=x="y""#, "it's"]);
        assert_eq!(
            render(&command),
            r#"cargo test 'a b' '--cfg=x="y"' 'it'\''s'"#
        );
    }

    #[test]
    fn a_failure_names_the_command_and_repeats_what_it_said() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such thing >&2; exit 3"]);
        let error = output(&mut command).expect_err("exit 3");
        assert_eq!(
            error.to_string(),
            "`sh -c 'echo no such thing >&2; exit 3'` failed (exit status: 3): no such thing"
        );
    }

    #[test]
    fn lines_arrive_whole_and_in_order() {
        let mut seen = Vec::new();
        let mut command = Command::new("printf");
        command.arg(r"one\ntwo\nthree");
        let status = lines(&mut command, |line| seen.push(line.to_owned())).expect("printf");
        assert!(status.success());
        assert_eq!(seen, ["one", "two", "three"]);
    }
}
