//! Which rows an answer is about, and how they are added up.

use std::{collections::BTreeMap, slice};

use agent_common::identity::IdentityId;

use super::{Facts, Question, bad, domain_key, question, value_name};
use crate::{
    api::{error::ApiError, types::UsageKey},
    identity::Labels,
    policy::NamePattern,
    store::{Names, StoreError},
    usage::{
        Group, Grouping, Key, ProcessRow, Row, Untold, UsageRow, Value, adding::ByInterval,
        period::Plan,
    },
};

/// By key, the values of which one has to match.
pub(super) struct Filters {
    patterns: BTreeMap<UsageKey, Vec<NamePattern>>,
}

impl Filters {
    /// # Errors
    ///
    /// When one of `texts` is not `KEY=VALUE`.
    pub(super) fn parse(texts: &[String]) -> Result<Self, ApiError> {
        let mut patterns: BTreeMap<UsageKey, Vec<NamePattern>> = BTreeMap::new();
        for text in texts {
            let all = question::all_keys();
            let Some((key, value)) = text.split_once('=') else {
                return Err(bad(format!(
                    "filter `{text}`: write KEY=VALUE, where KEY is one of {all}"
                )));
            };
            let known = question::key(key);
            let known =
                known.ok_or_else(|| bad(format!("cannot filter by `{key}`: one of {all}")))?;
            patterns
                .entry(known)
                .or_default()
                .push(NamePattern::new(value));
        }
        Ok(Self { patterns })
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        self.patterns.keys().map(|key| domain_key(*key))
    }

    /// Leaves those rows that match all keys that are about processes, or all others.
    fn apply<R: Row>(&self, rows: &mut ByInterval<R>, of_processes: bool, facts: &Facts) {
        for (key, patterns) in &self.patterns {
            let key = domain_key(*key);
            if key.is_about_process() != of_processes {
                continue;
            }
            let mut filter = Filter {
                key,
                patterns,
                names: &facts.names,
                labels: &facts.labels,
                known: BTreeMap::new(),
            };
            for rows in rows.values_mut() {
                rows.retain(|row| filter.matches(row));
            }
        }
    }

    fn has_process(&self) -> bool {
        self.keys().any(Key::is_about_process)
    }
}

struct Filter<'f> {
    key: Key,
    patterns: &'f [NamePattern],
    names: &'f Names,
    labels: &'f BTreeMap<IdentityId, Labels>,
    /// Many rows have the same value.
    known: BTreeMap<Value, bool>,
}

impl Filter<'_> {
    fn matches(&mut self, row: &impl Row) -> bool {
        let value = row.value(self.key, self.labels);
        if let Some(known) = self.known.get(&value) {
            return *known;
        }
        let texts = texts(&value, self.names);
        let matches = |pattern: &NamePattern| texts.iter().any(|text| pattern.matches(text));
        let is_asked = self.patterns.iter().any(matches);
        self.known.insert(value, is_asked);
        is_asked
    }
}

/// What people may write for a value: as it is shown, and a user also by name or number alone.
fn texts(value: &Value, names: &Names) -> Vec<String> {
    let mut texts = vec![value_name(value, names)];
    if let Value::User(Some(uid)) = value {
        texts.push(uid.to_string());
        texts.extend(names.users.get(uid).cloned());
    }
    texts
}

/// The rows that an answer is about.
pub(super) struct Rows {
    counted: ByInterval<UsageRow>,
    told: Option<Told>,
}

struct Told {
    all: ByInterval<ProcessRow>,
    /// `None` if all are.
    asked: Option<ByInterval<ProcessRow>>,
}

impl Rows {
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(super) fn read(
        question: &Question,
        facts: &Facts,
        plan: &Plan,
    ) -> Result<Self, StoreError> {
        let (reader, filters) = (&facts.reader, &question.filters);
        let mut counted = reader.usage(plan, facts.identity, facts.endpoint)?;
        filters.apply(&mut counted, false, facts);
        let mut told = None;
        if question.is_about_processes() {
            let mut all = reader.process_usage(plan, facts.identity, facts.endpoint)?;
            filters.apply(&mut all, false, facts);
            let asked = filters.has_process().then(|| {
                let mut asked = all.clone();
                filters.apply(&mut asked, true, facts);
                asked
            });
            told = Some(Told { all, asked });
        }
        Ok(Self { counted, told })
    }

    /// Of the whole time.
    pub(super) fn groups(&self, grouping: &Grouping<'_>) -> Vec<Group> {
        let counted = self.counted.values().flatten();
        let Some(Told { all, asked }) = &self.told else {
            return grouping.group(counted);
        };
        let untold = Untold::of(all.values().flatten(), counted);
        match asked {
            Some(asked) => grouping.group_processes(asked.values().flatten(), untold.hidden()),
            None => grouping.group_processes(all.values().flatten(), untold),
        }
    }

    /// Of the interval that begins with a minute, and whether whoever is not among them has done
    /// nothing.
    pub(super) fn groups_of(&self, grouping: &Grouping<'_>, minute: i64) -> (Vec<Group>, bool) {
        let counted = of(&self.counted, minute);
        let Some(Told { all, asked }) = &self.told else {
            return (grouping.group(counted), true);
        };
        let untold = Untold::of(of(all, minute), counted);
        let is_complete = untold == Untold::Nothing;
        let groups = match asked {
            Some(asked) => grouping.group_processes(of(asked, minute), untold.hidden()),
            None => grouping.group_processes(of(all, minute), untold),
        };
        (groups, is_complete)
    }
}

fn of<R>(rows: &ByInterval<R>, minute: i64) -> slice::Iter<'_, R> {
    let rows = rows.get(&Some(minute)).map(Vec::as_slice);
    rows.unwrap_or_default().iter()
}
