//! Weir's agent: layers downward only.
//!
//! `cli` → `api` → `daemon` → adapters (`bpf`, `store`, `host`, `kube`, `config`) → pure domain
//! (`policy`, `identity`, `endpoint`, `usage`, `anomaly`, `audit`). Domain code has no clock, no I/O, no tokio
//! and no aya.

#![deny(unsafe_code)]

pub mod anomaly;
pub mod api;
pub mod audit;
pub mod bpf;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod endpoint;
pub mod host;
pub mod identity;
pub mod kube;
pub mod policy;
pub mod run;
pub mod selftest;
pub mod store;
pub mod usage;

/// An error and its causes in one line, as printed and logged at the edge.
///
/// Some libraries repeat a cause in their own text: it is then said once. Of a text with many
/// lines, a verifier log above all, only the first is said.
#[must_use]
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let first_line = |error: &dyn std::error::Error| {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        let said = line.split(" Verifier output: ").next().unwrap_or_default();
        said.to_owned()
    };
    let mut text = first_line(error);
    for cause in std::iter::successors(error.source(), |cause| cause.source()) {
        let cause = first_line(cause);
        if !text.contains(cause.trim_end_matches('.')) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{error::Error, fmt};

    use super::*;

    #[derive(Debug)]
    struct Failure(&'static str, Option<Box<Failure>>);

    impl fmt::Display for Failure {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Failure {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as &dyn Error)
        }
    }

    fn check(texts: &[&'static str], expected: &str) {
        let chain = texts
            .iter()
            .rfold(None, |cause, text| Some(Box::new(Failure(text, cause))));
        assert_eq!(error_chain(&*chain.expect("a text")), expected);
    }

    #[test]
    fn a_chain_is_one_line_and_says_nothing_twice() {
        check(
            &["load it", "refused", "not permitted"],
            "load it: refused: not permitted",
        );
        check(&["load it: refused", "refused"], "load it: refused");
        let log = "refused. Verifier output: 0: R1=ctx()\n1: (61) r2 = 0";
        check(&["load it", log, "refused"], "load it: refused.");
    }
}
