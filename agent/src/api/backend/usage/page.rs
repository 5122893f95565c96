//! Which of the rows an answer tells one by one.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Question, bad, value_name};
use crate::{api::error::ApiError, store::Names, usage::Group};

pub(super) enum Part {
    All,
    /// Those with the most connections; the others as one.
    Top(usize),
    Page {
        limit: usize,
        after: Option<Cursor>,
    },
}

/// The last row of a page. Several rows may have the same key, as those of names that are not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    until: Timestamp,
    key: Vec<String>,
    /// How many rows of this key have been told.
    told: usize,
}

impl Cursor {
    pub(super) const fn until(&self) -> Timestamp {
        self.until
    }

    fn parse(text: &str) -> Result<Self, ApiError> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let cursor = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        cursor.ok_or_else(|| {
            bad(format!(
                "after `{text}`: give the `next` of an answer, or leave it out to begin anew"
            ))
        })
    }

    fn text(&self) -> String {
        // Texts and numbers always serialise.
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

impl Part {
    /// # Errors
    ///
    /// When the parameters exclude each other, or one is none.
    pub(super) fn new(
        top: Option<u64>,
        limit: Option<u64>,
        after: Option<&str>,
    ) -> Result<Self, ApiError> {
        if top == Some(0) || limit == Some(0) {
            return Err(bad("top and limit: ask for 1 row at least"));
        }
        let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        match (top, limit, after) {
            (None, None, None) => Ok(Self::All),
            (Some(top), None, None) => Ok(Self::Top(number(top))),
            (None, limit, after) => Ok(Self::Page {
                limit: limit.map_or(usize::MAX, number),
                after: after.map(Cursor::parse).transpose()?,
            }),
            (Some(_), _, _) => Err(bad(
                "top has one page: leave out top, or else limit and after",
            )),
        }
    }

    pub(super) const fn cursor(&self) -> Option<&Cursor> {
        match self {
            Self::Page { after, .. } => after.as_ref(),
            Self::All | Self::Top(_) => None,
        }
    }
}

pub(super) struct Selected {
    pub(super) groups: Vec<Group>,
    /// How many more there are that are told as one.
    pub(super) other: Option<u64>,
    pub(super) next: Option<String>,
}

/// `groups` are ordered, most connections first.
pub(super) fn select(
    question: &Question,
    mut groups: Vec<Group>,
    names: &Names,
    now: Timestamp,
) -> Selected {
    match &question.part {
        Part::All => Selected {
            groups,
            other: None,
            next: None,
        },
        Part::Top(top) => {
            let more = groups.len().saturating_sub(*top);
            groups.truncate(*top);
            Selected {
                groups,
                other: (more > 0).then_some(more as u64),
                next: None,
            }
        }
        Part::Page { limit, after } => {
            let name = |group: Group| {
                let values = group.values.iter();
                let key = values.map(|value| value_name(value, names)).collect();
                (key, group)
            };
            let named = groups.into_iter().map(name).collect();
            let until = question.until.unwrap_or(now);
            let (groups, next) = page(named, *limit, after.as_ref(), until);
            Selected {
                groups,
                other: None,
                next: next.map(|next| next.text()),
            }
        }
    }
}

fn page(
    mut named: Vec<(Vec<String>, Group)>,
    limit: usize,
    after: Option<&Cursor>,
    until: Timestamp,
) -> (Vec<Group>, Option<Cursor>) {
    named.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.values.cmp(&y.values)));
    let begin = after.map_or(0, |Cursor { key, told, .. }| {
        let before = named.partition_point(|(other, _)| other < key);
        let same = named.partition_point(|(other, _)| other <= key) - before;
        before + same.min(*told)
    });
    let end = begin.saturating_add(limit).min(named.len());
    let is_more = end < named.len();
    let last = end.checked_sub(1).and_then(|last| named.get(last));
    let next = last.filter(|_| is_more).map(|(key, _)| Cursor {
        until,
        key: key.clone(),
        told: end - named.partition_point(|(other, _)| other < key),
    });
    let rows = named.into_iter().take(end).skip(begin);
    (rows.map(|(_, group)| group).collect(), next)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use agent_common::{
        counter::Counts, destination::EndpointId, identity::IdentityId, policy::RuleId,
        verdict::Reason,
    };

    use super::*;
    use crate::usage::{Grouping, Key, UsageRow};

    fn named(names: &[&str]) -> Vec<(Vec<String>, Group)> {
        let row = |(number, _): (usize, &&str)| UsageRow {
            identity: IdentityId::from_raw(number as u32),
            endpoint: EndpointId::from_raw(1),
            rule: RuleId::NONE,
            reason: Reason::Granted,
            counts: Counts::default(),
            first_seen: Timestamp::UNIX_EPOCH,
            last_seen: Timestamp::UNIX_EPOCH,
        };
        let rows: Vec<_> = names.iter().enumerate().map(row).collect();
        let labels = BTreeMap::new();
        let groups = Grouping::new(&[Key::Identity], &labels).group(&rows);
        let names = names.iter().map(|name| vec![(*name).to_owned()]);
        names.zip(groups).collect()
    }

    #[test]
    fn pages_tell_each_row_once_whatever_comes_between_them() {
        let mut names = vec!["d", "unknown", "b", "unknown", "unknown", "z"];
        let mut after: Option<Cursor> = None;
        let mut told = 0;
        for expected in [2, 2, 2, 0] {
            let (rows, next) = page(named(&names), 2, after.as_ref(), Timestamp::UNIX_EPOCH);
            told += rows.len();
            if expected == 0 {
                break;
            }
            assert_eq!(rows.len(), expected);
            let text = next.as_ref().map(Cursor::text);
            let Some(text) = text else { break };
            let parsed = Cursor::parse(&text).expect("a cursor");
            assert_eq!(Some(&parsed), next.as_ref());
            after = Some(parsed);
            // One that has its place before what was told moves nothing.
            names.push("a");
        }
        assert_eq!(told, 6);
    }

    #[test]
    fn a_cursor_that_nobody_gave_is_refused() {
        for text in ["", "x y", "e30"] {
            let error = Part::new(None, None, Some(text)).err().expect("refused");
            assert!(error.message.contains("give the `next` of an answer"));
        }
        assert!(Part::new(Some(3), Some(3), None).is_err());
        assert!(Part::new(Some(0), None, None).is_err());
    }
}
