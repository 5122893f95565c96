//! Finds the rules that select an identity without asking every rule.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    identity::Labels,
    policy::{Parts, Subject},
};

/// Rules, by their place in a list, under the most telling part of each of their subjects.
#[derive(Debug, Default)]
pub(super) struct SubjectIndex<'p> {
    by_part: BTreeMap<Part<'p>, Vec<Entry<'p>>>,
    /// Subjects without an exact part.
    others: Vec<Entry<'p>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part<'p> {
    Container(&'p str),
    Pod(&'p str),
    Unit(&'p str),
    Cgroup(&'p str),
    Slice(&'p str),
}

#[derive(Clone, Copy, Debug)]
struct Entry<'p> {
    rule: usize,
    subject: &'p Subject,
}

impl<'p> SubjectIndex<'p> {
    pub(super) fn new(rules: impl IntoIterator<Item = &'p [Subject]>) -> Self {
        let mut index = Self::default();
        for (rule, subjects) in rules.into_iter().enumerate() {
            for subject in subjects {
                let entry = Entry { rule, subject };
                match part_of(subject) {
                    Some(part) => index.by_part.entry(part).or_default().push(entry),
                    None => index.others.push(entry),
                }
            }
        }
        index
    }

    /// The rules that select an identity with these labels.
    pub(super) fn select(&self, labels: Option<&Labels>) -> BTreeSet<usize> {
        let parts = labels.map_or_else(Vec::new, parts_of);
        let indexed = parts
            .into_iter()
            .filter_map(|part| self.by_part.get(&part))
            .flatten();
        indexed
            .chain(&self.others)
            .filter(|entry| entry.subject.matches(labels))
            .map(|entry| entry.rule)
            .collect()
    }
}

fn part_of(subject: &Subject) -> Option<Part<'_>> {
    let Subject::Parts(parts) = subject else {
        return None;
    };
    let Parts {
        unit,
        slice,
        container,
        pod,
        cgroup,
    } = parts;
    let exact = |pattern: &'_ Option<crate::policy::NamePattern>| {
        pattern
            .as_ref()
            .is_some_and(crate::policy::NamePattern::is_exact)
    };
    None.or(container.as_deref().map(Part::Container))
        .or(pod.as_deref().map(Part::Pod))
        .or(unit
            .as_ref()
            .filter(|_| exact(unit))
            .map(|unit| Part::Unit(unit.as_str())))
        .or(cgroup.as_deref().map(Part::Cgroup))
        .or(slice
            .as_ref()
            .filter(|_| exact(slice))
            .map(|slice| Part::Slice(slice.as_str())))
}

/// Every part under which a subject that selects these labels can stand.
fn parts_of(labels: &Labels) -> Vec<Part<'_>> {
    let Labels {
        cgroup,
        unit,
        slice,
        container,
        pod,
    } = labels;
    let mut parts = Vec::new();
    parts.extend(container.as_deref().map(Part::Container));
    parts.extend(pod.as_deref().map(Part::Pod));
    parts.extend(unit.as_deref().map(Part::Unit));
    parts.extend(slice.as_deref().map(Part::Slice));
    parts.extend(["/", cgroup].map(Part::Cgroup));
    let ends = cgroup
        .match_indices('/')
        .map(|(index, _)| index)
        .filter(|index| *index > 0);
    parts.extend(ends.filter_map(|end| cgroup.get(..end)).map(Part::Cgroup));
    parts.sort_unstable();
    parts.dedup();
    parts
}
