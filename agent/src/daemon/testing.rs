//! Runs the tests of policy files, without an agent.

use std::path::PathBuf;

use agent_common::verdict::Decision;
use jiff::Timestamp;

use super::{
    policy::lines,
    sources::{self, Text},
};
use crate::{
    endpoint::Catalogue,
    policy::{
        ApprovalRules, BuildOptions, By, Case, Life, Located, Numbers, OnExpired, PolicySet,
        PolicyTest, Separation, decide_case, parse_tests,
    },
};

/// How one case came out.
#[derive(Clone, Debug)]
pub struct CaseOutcome {
    pub file: String,
    pub test: String,
    pub case: Case,
    /// What was decided, and the grant or deny rule behind it; or why nothing was.
    pub found: Result<(Decision, Option<String>), String>,
}

impl CaseOutcome {
    #[must_use]
    pub fn holds(&self) -> bool {
        let found = self.found.as_ref();
        found.is_ok_and(|(decision, _)| self.case.expected.fits(*decision))
    }
}

/// Decides the cases of all files by the objects of all files. A `ttl` begins at `now`.
///
/// # Errors
///
/// Every mistake in the files, one line each.
pub fn test_files(files: &[PathBuf], now: Timestamp) -> Result<Vec<CaseOutcome>, Vec<String>> {
    let texts = sources::read(files).map_err(|errors| lines(&errors))?;
    let objects = sources::parse_all(&texts).map_err(|errors| lines(&errors))?;
    let options = BuildOptions {
        now,
        on_expired: OnExpired::Warn,
        issued_at: &|_, _| now,
        approval: &ApprovalRules::none(),
        // Whether somebody approves it is not what is tested.
        life: &|_, _| Life::lease(By::Agent, now),
        separation: Separation::Report,
    };
    let built = PolicySet::build(objects, Catalogue::builtin(), &options);
    let set = built.map_err(|errors| lines(&errors))?.set;
    let numbers = Numbers::in_order(&set);
    let mut outcomes = Vec::new();
    for test in tests(&texts)? {
        let Located { file, value, .. } = test;
        let PolicyTest { name, cases } = value;
        for case in cases {
            let found = decide_case(&set, &numbers, &case, now)
                .map(|decision| (decision, rule(&numbers, decision)))
                .map_err(|error| error.to_string());
            outcomes.push(CaseOutcome {
                file: file.clone(),
                test: name.clone(),
                case,
                found,
            });
        }
    }
    Ok(outcomes)
}

fn tests(texts: &[Text]) -> Result<Vec<Located<PolicyTest>>, Vec<String>> {
    let mut tests = Vec::new();
    for (file, text) in texts {
        tests.extend(parse_tests(file, text).map_err(|errors| lines(&errors))?);
    }
    Ok(tests)
}

fn rule(numbers: &Numbers, decision: Decision) -> Option<String> {
    let rules = numbers.grants.iter().chain(&numbers.denies);
    let mut found = rules.filter(|(_, number)| **number == decision.rule());
    found.next().map(|(name, _)| name.clone())
}
