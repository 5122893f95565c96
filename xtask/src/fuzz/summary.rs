//! What libFuzzer says about one run.

use std::fmt;

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    runs: u64,
    per_second: u64,
    /// Edges of the program that were reached, and inputs that together reach them.
    edges: u64,
    inputs: u64,
    /// The first line of the panic, or what libFuzzer calls it.
    pub failure: Option<String>,
    /// The input that it failed with.
    pub artifact: Option<String>,
}

impl Summary {
    pub(crate) fn of(log: &str) -> Self {
        let mut summary = Self::default();
        let mut lines = log.lines().peekable();
        while let Some(line) = lines.next() {
            if let Some(status) = line.strip_prefix('#') {
                summary.read_status(status);
            } else if line.contains("panicked at ") && summary.failure.is_none() {
                summary.failure = lines.peek().map(|said| shorten(said));
            } else if let Some(said) = line.strip_prefix("SUMMARY: ") {
                summary.failure.get_or_insert_with(|| said.to_owned());
            } else if let Some((_, file)) = line.split_once("Test unit written to ") {
                summary.artifact = Some(file.to_owned());
            }
        }
        summary
    }

    /// `2048  pulse  cov: 977 ft: 1824 corp: 203/4096b lim: 38 exec/s: 1024 rss: 40Mb`
    fn read_status(&mut self, status: &str) {
        let mut words = status.split_whitespace();
        if let Some(runs) = words.next().and_then(|word| word.parse().ok()) {
            self.runs = runs;
        }
        while let Some(word) = words.next() {
            let place = match word {
                "cov:" => &mut self.edges,
                "corp:" => &mut self.inputs,
                "exec/s:" => &mut self.per_second,
                _ => continue,
            };
            let number = words.next().and_then(|word| word.split('/').next());
            if let Some(number) = number.and_then(|number| number.parse().ok()) {
                *place = number;
            }
        }
    }
}

/// A panic shows whole values.
fn shorten(said: &str) -> String {
    const MOST: usize = 200;
    match said.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &said[..end]),
        None => said.to_owned(),
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            runs,
            per_second,
            edges,
            inputs,
            failure: _,
            artifact: _,
        } = self;
        write!(
            f,
            "{runs} runs, {per_second}/s, {edges} edges covered by {inputs} inputs"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_status_counts() {
        let log = "INFO: Seed: 1\n\
                   #28\tINITED cov: 500 ft: 700 corp: 20/8Kb exec/s: 0 rss: 30Mb\n\
                   #3191461\tDONE   cov: 1994 ft: 7046 corp: 1827/471Kb lim: 4096 exec/s: 77840 rss: 37Mb\n\
                   Done 3191461 runs in 41 second(s)\n";
        assert_eq!(
            Summary::of(log).to_string(),
            "3191461 runs, 77840/s, 1994 edges covered by 1827 inputs"
        );
    }

    #[test]
    fn a_failure_is_told_with_its_input() {
        let log = "thread '<unnamed>' (7) panicked at src/tls.rs:49:24:\n\
                   a.test is not all of it\n\
                   SUMMARY: libFuzzer: deadly signal\n\
                   artifact_prefix='a/'; Test unit written to a/crash-1\n";
        let summary = Summary::of(log);
        assert_eq!(summary.failure.as_deref(), Some("a.test is not all of it"));
        assert_eq!(summary.artifact.as_deref(), Some("a/crash-1"));
        let hang = Summary::of("SUMMARY: libFuzzer: timeout\n");
        assert_eq!(hang.failure.as_deref(), Some("libFuzzer: timeout"));
    }
}
