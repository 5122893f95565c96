//! Counting checks of every kind: lints, host tests, end-to-end tests, checks in a guest.

use std::{fmt, process::ExitCode};

/// How one check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Pass,
    Fail(String),
    Skip(String),
}

/// Sum of all checks. A stage that broke before it could count adds one failure.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub passed: usize,
    /// Name and reason of each check that failed.
    pub failures: Vec<String>,
    /// Name and reason of each check that did not run.
    pub skips: Vec<String>,
}

impl Tally {
    pub(crate) fn record(&mut self, name: &str, outcome: Outcome) {
        match outcome {
            Outcome::Pass => self.passed += 1,
            Outcome::Fail(why) => self.failures.push(format!("{name}: {why}")),
            Outcome::Skip(why) => self.skips.push(format!("{name}: {why}")),
        }
    }

    /// Takes over another stage's counts; a stage that could not even start is a failure.
    pub(crate) fn absorb(&mut self, stage: &str, result: anyhow::Result<Self>) {
        match result {
            Ok(Self {
                passed,
                failures,
                skips,
            }) => {
                self.passed += passed;
                self.failures.extend(failures);
                self.skips.extend(skips);
            }
            Err(error) => self.record(stage, Outcome::Fail(format!("{error:#}"))),
        }
    }

    /// Prints what failed, what was skipped, and the totals as the last line.
    pub(crate) fn finish(&self) -> ExitCode {
        println!("{self}");
        if self.failures.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failures,
            skips,
        } = self;
        for failure in failures {
            writeln!(f, "FAIL {failure}")?;
        }
        for skip in skips {
            writeln!(f, "SKIP {skip}")?;
        }
        let (failed, skipped) = (failures.len(), skips.len());
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn the_last_line_is_the_total_and_the_lines_before_say_why() {
        let mut tally = Tally::default();
        tally.record("format", Outcome::Pass);
        tally.record("licences", Outcome::Skip("cargo-deny is absent".into()));
        let mut stage = Tally::default();
        stage.record("6.1 connect4", Outcome::Fail("EPERM".into()));
        tally.absorb("vm", Ok(stage));
        tally.absorb("build", Err(anyhow!("no linker").context("link")));
        assert_eq!(
            tally.to_string(),
            "FAIL 6.1 connect4: EPERM\n\
             FAIL build: link: no linker\n\
             SKIP licences: cargo-deny is absent\n\
             1 passed, 2 failed, 1 skipped"
        );
    }
}
