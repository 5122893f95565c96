//! What is asked about usage: parsed before anybody is asked.

use jiff::{Span, SpanRelativeTo, Timestamp};

use super::{
    bad, domain_key,
    filter::Filters,
    page::{Cursor, Part},
};
use crate::{
    api::{
        error::ApiError,
        types::{UsageKey, UsageQuery},
    },
    usage::Key,
};

pub(super) struct Question {
    pub(super) by: Vec<UsageKey>,
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
    pub(super) identity: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) filters: Filters,
    /// Minutes, at least one.
    pub(super) interval: Option<i64>,
    pub(super) part: Part,
}

impl Question {
    /// # Errors
    ///
    /// When the query says what nobody can answer.
    pub(super) fn new(query: UsageQuery) -> Result<Self, ApiError> {
        let UsageQuery {
            by,
            since,
            until,
            identity,
            endpoint,
            filter,
            interval,
            top,
            limit,
            after,
        } = query;
        let by = keys(by.as_deref().unwrap_or("identity"))?;
        let filters = Filters::parse(&filter)?;
        let part = Part::new(top, limit, after.as_deref())?;
        let until = until.or_else(|| part.cursor().map(Cursor::until));
        if let (Some(since), Some(until)) = (since, until)
            && until < since
        {
            return Err(bad(format!("until {until} is before since {since}")));
        }
        let question = Self {
            by,
            since,
            until,
            identity,
            endpoint,
            filters,
            interval: interval.as_deref().map(minutes).transpose()?,
            part,
        };
        let decides = |key: Key| matches!(key, Key::Rule | Key::Reason);
        if question.is_about_processes() && question.all_keys().any(decides) {
            return Err(bad(
                "events do not tell grant and reason of a process: ask for exe or user with \
                 something else",
            ));
        }
        Ok(question)
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        self.by.iter().map(|key| domain_key(*key)).collect()
    }

    fn all_keys(&self) -> impl Iterator<Item = Key> {
        let by = self.by.iter().map(|key| domain_key(*key));
        by.chain(self.filters.keys())
    }

    /// Grouped or filtered by what only events tell.
    pub(super) fn is_about_processes(&self) -> bool {
        self.all_keys().any(Key::is_about_process)
    }

    pub(super) fn needs_labels(&self) -> bool {
        self.all_keys().any(|key| matches!(key, Key::Label(_)))
    }
}

fn keys(by: &str) -> Result<Vec<UsageKey>, ApiError> {
    let keys = by
        .split(',')
        .map(|word| {
            let word = word.trim();
            key(word).ok_or_else(|| {
                let all = all_keys();
                bad(format!("cannot group by `{word}`: one or two of {all}"))
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    match keys.as_slice() {
        [_] => Ok(keys),
        [first, second] if first != second => Ok(keys),
        _ => Err(bad("group by one key, or by two different ones")),
    }
}

pub(super) fn key(word: &str) -> Option<UsageKey> {
    UsageKey::ALL.into_iter().find(|key| key.name() == word)
}

/// For people who have taken another one.
pub(super) fn all_keys() -> String {
    UsageKey::ALL.map(UsageKey::name).join(", ")
}

fn minutes(interval: &str) -> Result<i64, ApiError> {
    let span = interval.parse::<Span>().ok();
    let duration = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let whole = duration.filter(|duration| {
        duration.is_positive() && duration.as_secs() % 60 == 0 && duration.subsec_nanos() == 0
    });
    whole.map(|duration| duration.as_mins()).ok_or_else(|| {
        bad(format!(
            "interval `{interval}`: write whole minutes, hours or days, as in 5m, 1h or 7d"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query() -> UsageQuery {
        UsageQuery::default()
    }

    #[test]
    fn what_cannot_be_answered_says_what_can() {
        let check = |query: UsageQuery, start: &str| {
            let error = Question::new(query).err().expect("a mistake");
            assert!(error.message.starts_with(start), "{}", error.message);
        };
        let by = |by: &str| UsageQuery {
            by: Some(by.to_owned()),
            ..query()
        };
        check(
            by("colour"),
            "cannot group by `colour`: one or two of identity, endpoint, grant,",
        );
        check(by("exe,grant"), "events do not tell grant");
        check(by("exe,exe"), "group by one key, or by two different ones");
        let filter = |filter: &str| UsageQuery {
            filter: vec![filter.to_owned()],
            ..query()
        };
        check(
            filter("colour=red"),
            "cannot filter by `colour`: one of identity, endpoint, grant,",
        );
        check(filter("identity"), "filter `identity`: write KEY=VALUE");
        let with_grant = UsageQuery {
            by: Some("grant".to_owned()),
            ..filter("user=root")
        };
        check(with_grant, "events do not tell grant");
        for interval in ["5s", "90s", "0m", "-5m", "soon", "1mo"] {
            let query = UsageQuery {
                interval: Some(interval.to_owned()),
                ..query()
            };
            check(
                query,
                &format!("interval `{interval}`: write whole minutes"),
            );
        }
        let at = |text: &str| text.parse::<Timestamp>().ok();
        let backwards = UsageQuery {
            since: at("2026-01-02T00:00:00Z"),
            until: at("2026-01-01T00:00:00Z"),
            ..query()
        };
        check(backwards, "until 2026-01-01T00:00:00Z is before since");
    }

    #[test]
    fn intervals_are_minutes() {
        assert_eq!(
            ["5m", "1h", "1h30m", "7d"].map(|text| minutes(text).ok()),
            [Some(5), Some(60), Some(90), Some(7 * 1_440)]
        );
    }
}
