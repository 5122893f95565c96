//! `[approval]`: which grants need a second person.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde::Deserialize;

use crate::{
    endpoint::{Plane, Risk},
    policy::{ApprovalRules, NamePattern},
};

/// The table's schema: every field may be left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Table {
    risks: Option<Vec<String>>,
    planes: Option<Vec<String>>,
    every_endpoint: Option<bool>,
    longest: Option<String>,
    endpoints: Vec<String>,
}

impl Table {
    /// # Errors
    ///
    /// When a word is not known, or the time is none: names the field.
    pub(super) fn resolve(self) -> Result<ApprovalRules, String> {
        let Self {
            risks,
            planes,
            every_endpoint,
            longest,
            endpoints,
        } = self;
        let defaults = ApprovalRules::default();
        let risks = risks.map(|risks| words("risks", &risks, &Risk::ALL, Risk::name));
        let planes = planes.map(|planes| words("planes", &planes, &Plane::ALL, Plane::name));
        Ok(ApprovalRules {
            risks: risks.transpose()?.unwrap_or(defaults.risks),
            planes: planes.transpose()?.unwrap_or(defaults.planes),
            every_endpoint: every_endpoint.unwrap_or(defaults.every_endpoint),
            longest: longest
                .map(|text| duration("approval.longest", &text))
                .transpose()?,
            endpoints: endpoints
                .iter()
                .map(|name| NamePattern::new(name))
                .collect(),
        })
    }
}

fn words<T: Copy + Ord>(
    field: &str,
    texts: &[String],
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<BTreeSet<T>, String> {
    let word = |text: &String| {
        let found = all.iter().copied().find(|word| name(*word) == text);
        found.ok_or_else(|| {
            let allowed: Vec<_> = all.iter().map(|word| name(*word)).collect();
            let allowed = allowed.join(", ");
            format!("approval.{field}: unknown value `{text}`; allowed are {allowed}")
        })
    };
    texts.iter().map(word).collect()
}

/// A time, for a field that is named where it is none.
pub(super) fn duration(field: &str, text: &str) -> Result<SignedDuration, String> {
    let span = text.parse::<Span>().ok();
    let duration = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let positive = duration.filter(SignedDuration::is_positive);
    positive
        .ok_or_else(|| format!("{field}: `{text}` is no time longer than zero: write 8h or 90d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        toml::from_str(text).expect("a table")
    }

    fn resolve(text: &str) -> Result<ApprovalRules, String> {
        table(text).resolve()
    }

    #[test]
    fn what_is_left_out_stays_as_it_is_and_what_is_empty_demands_nothing() {
        assert_eq!(resolve(""), Ok(ApprovalRules::default()));
        assert_eq!(
            resolve("risks = []\nplanes = []\nevery_endpoint = false"),
            Ok(ApprovalRules::none())
        );
        let rules = resolve("risks = ['high']\nlongest = '90d'\nendpoints = ['openai*']");
        let rules = rules.expect("rules");
        assert_eq!(rules.risks, BTreeSet::from([Risk::High]));
        assert_eq!(rules.longest, Some(SignedDuration::from_hours(90 * 24)));
        assert!(
            rules
                .endpoints
                .iter()
                .all(|pattern| pattern.matches("openai/manage"))
        );
    }

    #[test]
    fn a_mistake_names_the_field() {
        let check = |text: &str, expected: &str| {
            let error = resolve(text).expect_err(text);
            assert!(error.starts_with(expected), "{error}");
        };
        check(
            "risks = ['huge']",
            "approval.risks: unknown value `huge`; allowed are low,",
        );
        check("planes = ['x']", "approval.planes: unknown value `x`");
        check("longest = 'soon'", "approval.longest: `soon` is no time");
        check("longest = '-1h'", "approval.longest: ");
    }
}
