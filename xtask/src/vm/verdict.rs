//! Reads the console of a guest: one line a check, and a last line that must agree with them.

use super::qemu::Exit;
use crate::report::{Outcome, Tally};

/// `ok NAME`, `FAIL NAME: why`, `SKIP NAME: why`, then `selftest: N passed, N failed, N skipped`.
/// A guest that says less than that has failed, whatever it said before.
pub(crate) fn parse(kernel: &str, serial: &str, exit: &Exit) -> Tally {
    let mut tally = Tally::default();
    for line in serial.lines() {
        if let Some((name, outcome)) = check_line(line) {
            tally.record(&format!("{kernel} {name}"), outcome);
        }
    }
    let said = serial
        .lines()
        .find_map(|line| line.trim_end().strip_prefix("selftest: "));
    let counted = format!(
        "{} passed, {} failed, {} skipped",
        tally.passed,
        tally.failures.len(),
        tally.skips.len()
    );
    let code = serial
        .lines()
        .find_map(|line| line.trim_end().strip_prefix("guest: exit "));
    let problem = match (said, code) {
        (None, None) => Some(format!("no self-test result: {}", exit.explain())),
        (None, Some(code)) => Some(format!("the self-test gave up with exit code {code}")),
        (Some(said), _) if said != counted => Some(format!(
            "the self-test says {said}, its lines say {counted}"
        )),
        (Some(_), Some(code)) if code != "0" && tally.failures.is_empty() => {
            Some(format!("nothing failed, but the exit code is {code}"))
        }
        (Some(_), _) => None,
    };
    if let Some(problem) = problem {
        tally.record(kernel, Outcome::Fail(problem));
    }
    tally
}

/// The last lines, where a kernel says why it stopped.
pub(crate) fn tail(serial: &str, n_lines: usize) -> String {
    let lines: Vec<&str> = serial.lines().collect();
    let start = lines.len().saturating_sub(n_lines);
    lines.into_iter().skip(start).collect::<Vec<_>>().join("\n")
}

fn check_line(line: &str) -> Option<(&str, Outcome)> {
    let line = line.trim_end();
    if let Some(name) = line.strip_prefix("ok ") {
        return Some((name, Outcome::Pass));
    }
    if let Some(rest) = line.strip_prefix("FAIL ") {
        let (name, why) = named(rest);
        return Some((name, Outcome::Fail(why)));
    }
    let (name, why) = named(line.strip_prefix("SKIP ")?);
    Some((name, Outcome::Skip(why)))
}

fn named(rest: &str) -> (&str, String) {
    let (name, why) = rest.split_once(": ").unwrap_or((rest, "no reason given"));
    (name, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(serial: &str, exit: &Exit, expected: &str) {
        assert_eq!(parse("6.1", serial, exit).to_string(), expected);
    }

    #[test]
    fn every_check_counts_and_kernel_messages_do_not() {
        check(
            "[    0.1] Linux\nguest: kernel 6.1.0\nok load connect4\nok allow\n\
             SKIP close: no BTF\nselftest: 2 passed, 0 failed, 1 skipped\nguest: exit 0\n",
            &Exit::PoweredOff,
            "SKIP 6.1 close: no BTF\n2 passed, 0 failed, 1 skipped",
        );
        check(
            "ok allow\nFAIL deny: connected\nselftest: 1 passed, 1 failed, 0 skipped\n\
             guest: exit 1\n",
            &Exit::PoweredOff,
            "FAIL 6.1 deny: connected\n1 passed, 1 failed, 0 skipped",
        );
    }

    #[test]
    fn silence_is_a_failure_that_says_how_it_ended() {
        check(
            "ok allow\nKernel panic - not syncing\n",
            &Exit::PoweredOff,
            "FAIL 6.1: no self-test result: it ended early\n1 passed, 1 failed, 0 skipped",
        );
        check(
            "",
            &Exit::TimedOut,
            "FAIL 6.1: no self-test result: its time was up\n\
             0 passed, 1 failed, 0 skipped",
        );
        check(
            "",
            &Exit::Failed("exit status: 1".into()),
            "FAIL 6.1: no self-test result: QEMU failed (exit status: 1)\n\
             0 passed, 1 failed, 0 skipped",
        );
        check(
            "guest: exit 127\n",
            &Exit::PoweredOff,
            "FAIL 6.1: the self-test gave up with exit code 127\n0 passed, 1 failed, 0 skipped",
        );
    }

    #[test]
    fn lines_total_and_exit_code_must_agree() {
        check(
            "ok allow\nselftest: 2 passed, 0 failed, 0 skipped\nguest: exit 0\n",
            &Exit::PoweredOff,
            "FAIL 6.1: the self-test says 2 passed, 0 failed, 0 skipped, its lines say 1 passed, \
             0 failed, 0 skipped\n1 passed, 1 failed, 0 skipped",
        );
        check(
            "ok allow\nselftest: 1 passed, 0 failed, 0 skipped\nguest: exit 139\n",
            &Exit::PoweredOff,
            "FAIL 6.1: nothing failed, but the exit code is 139\n1 passed, 1 failed, 0 skipped",
        );
    }

    #[test]
    fn the_tail_is_the_end() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a\n", 5), "a");
    }
}
