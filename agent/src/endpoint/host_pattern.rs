//! Host names with wildcards that match whole labels, never across a label boundary.

use std::{cmp::Reverse, fmt, net::IpAddr};

/// A host name, in lower case and without trailing dot, in which `*` may stand for
/// - any number of labels, at least one, as the whole first label: `*.example.com`;
/// - exactly one label, or a part of one, elsewhere: `bedrock.*.amazonaws.com`, `eu-*.example.com`.
///
/// A wildcard therefore never matches the name that follows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPattern(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPatternError {
    #[error("`{0}` is an address: write it under `cidrs`")]
    Address(String),
    #[error("`{0}` is not a host name: leave out scheme, port and path")]
    NotOnlyHost(String),
    #[error(
        "`{0}` has a label that is empty, longer than 63 characters or not made of letters, \
         digits, `-` and `_`: write international names in their `xn--` form"
    )]
    Label(String),
    #[error("`{0}` has more than one `*` in a label")]
    TwoWildcards(String),
    #[error("`{0}` names no domain: write at least the last label without `*`")]
    NoDomain(String),
    #[error("a host name has at most 253 characters")]
    TooLong,
}

/// How closely a pattern describes a host; smaller is closer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Closeness {
    Exact,
    Inner(Reverse<usize>),
    Leading(Reverse<usize>),
}

impl HostPattern {
    /// # Errors
    /// If `text` is not a host name with optional wildcards.
    pub fn parse(text: &str) -> Result<Self, HostPatternError> {
        let host = normalise(text);
        if host.parse::<IpAddr>().is_ok() {
            return Err(HostPatternError::Address(host));
        }
        if host.contains([':', '/', '?', '#', '[', '@']) {
            return Err(HostPatternError::NotOnlyHost(host));
        }
        if host.len() > 253 {
            return Err(HostPatternError::TooLong);
        }
        if host.split('.').any(|label| !is_label(label)) {
            return Err(HostPatternError::Label(host));
        }
        if host.split('.').any(|label| label.matches('*').count() > 1) {
            return Err(HostPatternError::TwoWildcards(host));
        }
        if host
            .rsplit('.')
            .next()
            .is_some_and(|last| last.contains('*'))
        {
            return Err(HostPatternError::NoDomain(host));
        }
        Ok(Self(host))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether exactly one host matches, so that it can be resolved.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether the kernel matches exactly this: it knows a part of a label only beside a single `-`.
    #[must_use]
    pub fn is_exact_in_kernel(&self) -> bool {
        self.0.split('.').all(|label| {
            let Some((before, after)) = label.split_once('*') else {
                return true;
            };
            let is_head = before.is_empty() || before.find('-') == Some(before.len() - 1);
            let is_tail = after.is_empty() || after.rfind('-') == Some(0);
            is_head && is_tail
        })
    }

    /// `host` as [`normalise`] returns it.
    pub(super) fn matches(&self, host: &str) -> bool {
        let Some(suffix) = self.0.strip_prefix("*.") else {
            return labels_match(&self.0, host);
        };
        let n_labels = suffix.split('.').count();
        let n_extra = host.split('.').count().checked_sub(n_labels);
        let tail_start = n_extra.filter(|extra| *extra > 0);
        tail_start.is_some_and(|extra| {
            let tail = host.splitn(extra + 1, '.').last();
            !host.starts_with('.') && tail.is_some_and(|tail| labels_match(suffix, tail))
        })
    }

    pub(super) fn closeness(&self) -> Closeness {
        let n_literal = Reverse(self.0.bytes().filter(|byte| *byte != b'*').count());
        if self.is_exact() {
            Closeness::Exact
        } else if self.0.starts_with("*.") {
            Closeness::Leading(n_literal)
        } else {
            Closeness::Inner(n_literal)
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The spelling in which host names are compared.
pub(super) fn normalise(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

fn is_label(label: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'*');
    (1..=63).contains(&label.len()) && label.bytes().all(allowed)
}

fn labels_match(pattern: &str, host: &str) -> bool {
    let mut host_labels = host.split('.');
    let all = pattern.split('.').all(|label| {
        host_labels
            .next()
            .is_some_and(|own| label_matches(label, own))
    });
    all && host_labels.next().is_none()
}

fn label_matches(pattern: &str, label: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else {
        return pattern == label;
    };
    // The wildcard stands for at least one character.
    label.len() > before.len() + after.len() && label.starts_with(before) && label.ends_with(after)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let parsed = HostPattern::parse(pattern).expect("a pattern");
        for host in matching {
            assert!(parsed.matches(&normalise(host)), "{pattern} {host}");
        }
        for host in others {
            assert!(!parsed.matches(&normalise(host)), "{pattern} {host}");
        }
    }

    #[test]
    fn an_exact_host_matches_itself_in_any_spelling() {
        check(
            "API.OpenAI.com.",
            &["api.openai.com", "api.openai.com.", "Api.OPENAI.com"],
            &[
                "openai.com",
                "eu.api.openai.com",
                "api.openai.com.evil.org",
                "xapi.openai.com",
                "",
            ],
        );
    }

    #[test]
    fn a_leading_wildcard_matches_any_depth_but_not_the_apex() {
        check(
            "*.openai.azure.com",
            &["a.openai.azure.com", "b.a.openai.azure.com"],
            &[
                "openai.azure.com",
                ".openai.azure.com",
                "aopenai.azure.com",
                "a.openai.azure.com.x",
            ],
        );
    }

    #[test]
    fn an_inner_wildcard_matches_one_label() {
        check(
            "bedrock-runtime.*.amazonaws.com",
            &["bedrock-runtime.eu-west-1.amazonaws.com"],
            &[
                "bedrock-runtime.amazonaws.com",
                "bedrock-runtime..amazonaws.com",
                "bedrock-runtime.a.b.amazonaws.com",
                "x.bedrock-runtime.a.amazonaws.com",
            ],
        );
        check(
            "*.endpoints.*.ai.ovh.net",
            &[
                "x.endpoints.kepler.ai.ovh.net",
                "y.x.endpoints.k.ai.ovh.net",
            ],
            &["endpoints.kepler.ai.ovh.net", "x.endpoints.ai.ovh.net"],
        );
    }

    #[test]
    fn a_wildcard_inside_a_label_stands_for_at_least_one_character() {
        check(
            "*-aiplatform.googleapis.com",
            &["us-central1-aiplatform.googleapis.com"],
            &[
                "-aiplatform.googleapis.com",
                "aiplatform.googleapis.com",
                "a.b-aiplatform.googleapis.com",
            ],
        );
        check(
            "model-*.api.baseten.co",
            &["model-7.api.baseten.co"],
            &["model-.api.baseten.co"],
        );
    }

    fn check_error(pattern: &str, message: &str) {
        let error = HostPattern::parse(pattern).expect_err(pattern);
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn what_is_not_a_host_is_refused_with_the_way_out() {
        check_error(
            "10.0.0.1",
            "`10.0.0.1` is an address: write it under `cidrs`",
        );
        check_error("::1", "`::1` is an address: write it under `cidrs`");
        let not_only_host = "is not a host name: leave out scheme, port and path";
        check_error("https://a.b/", &format!("`https://a.b/` {not_only_host}"));
        check_error("a.b:443", &format!("`a.b:443` {not_only_host}"));
        let label = "has a label that is empty, longer than 63 characters or not made of letters, \
                     digits, `-` and `_`: write international names in their `xn--` form";
        for bad in ["", "a..b", ".a", "bücher.de", "a b.c"] {
            check_error(bad, &format!("`{bad}` {label}"));
        }
        check_error("a*b*.c", "`a*b*.c` has more than one `*` in a label");
        check_error(
            "*",
            "`*` names no domain: write at least the last label without `*`",
        );
        check_error(
            "*.*",
            "`*.*` names no domain: write at least the last label without `*`",
        );
        check_error(&"a.".repeat(130), "a host name has at most 253 characters");
    }

    proptest! {
        #[test]
        fn a_leading_wildcard_is_a_suffix_test_on_label_boundaries(
            labels in proptest::collection::vec("[ab]{1,2}", 1..5),
            suffix in proptest::collection::vec("[ab]{1,2}", 1..4),
        ) {
            let (host, suffix) = (labels.join("."), suffix.join("."));
            let pattern = HostPattern::parse(&format!("*.{suffix}")).expect("a pattern");
            prop_assert_eq!(pattern.matches(&host), host.ends_with(&format!(".{suffix}")));
        }
    }
}
