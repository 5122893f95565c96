//! Finds the rules that select an identity without asking every rule.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, RandomState},
};

use crate::{
    identity::Labels,
    policy::{NamePattern, Parts, Subject},
};

/// Rules, by their place in a list, under the most telling part of each of their subjects.
#[derive(Debug, Default)]
pub(super) struct SubjectIndex {
    /// By hash: what collides is asked in vain.
    by_part: BTreeMap<u64, Vec<Entry>>,
    hasher: RandomState,
    /// Subjects without an exact part.
    others: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Part<'p> {
    Task(&'p str),
    Container(&'p str),
    Pod(&'p str),
    ContainerName(&'p str),
    UserUnit(&'p str),
    Unit(&'p str),
    Exe(&'p str),
    ServiceAccount(&'p str, &'p str),
    Cgroup(&'p str),
    Namespace(&'p str),
    Slice(&'p str),
}

#[derive(Clone, Debug)]
struct Entry {
    rule: usize,
    subject: Subject,
}

impl SubjectIndex {
    pub(super) fn new<'p>(rules: impl IntoIterator<Item = &'p [Subject]>) -> Self {
        let mut index = Self::default();
        for (rule, subjects) in rules.into_iter().enumerate() {
            for subject in subjects {
                let entry = Entry {
                    rule,
                    subject: subject.clone(),
                };
                let place = match part_of(subject) {
                    Some(part) => index
                        .by_part
                        .entry(index.hasher.hash_one(part))
                        .or_default(),
                    None => &mut index.others,
                };
                place.push(entry);
            }
        }
        index
    }

    /// The rules that select an identity with these labels.
    pub(super) fn select(&self, labels: Option<&Labels>) -> BTreeSet<usize> {
        let parts = labels.map_or_else(Vec::new, parts_of);
        let indexed = parts
            .into_iter()
            .filter_map(|part| self.by_part.get(&self.hasher.hash_one(part)))
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
        user_unit,
        container,
        container_name,
        image: _,
        pod,
        namespace,
        service_account,
        pod_labels: _,
        cgroup,
        task,
        exe,
        user: _,
    } = &**parts;
    let candidates = [
        task.as_deref().map(Part::Task),
        container.as_deref().map(Part::Container),
        pod.as_deref().map(Part::Pod),
        exact(container_name).map(Part::ContainerName),
        exact(user_unit).map(Part::UserUnit),
        exact(unit).map(Part::Unit),
        exe.as_deref().map(Part::Exe),
        part_of_account(namespace.as_ref(), service_account.as_ref()),
        cgroup.as_deref().map(Part::Cgroup),
        namespace.as_deref().map(Part::Namespace),
        exact(slice).map(Part::Slice),
    ];
    candidates.into_iter().flatten().next()
}

fn exact(pattern: &Option<NamePattern>) -> Option<&str> {
    let pattern = pattern.as_ref().filter(|pattern| pattern.is_exact());
    pattern.map(NamePattern::as_str)
}

fn part_of_account<'p>(
    namespace: Option<&'p String>,
    account: Option<&'p String>,
) -> Option<Part<'p>> {
    let (namespace, account) = namespace.zip(account)?;
    Some(Part::ServiceAccount(namespace, account))
}

/// Every part under which a subject that selects these labels can stand.
fn parts_of(labels: &Labels) -> Vec<Part<'_>> {
    let Labels {
        cgroup,
        unit,
        slice,
        user_unit,
        nested: _,
        container,
        container_name,
        image: _,
        pod,
        pod_name: _,
        namespace,
        service_account,
        owner: _,
        pod_labels: _,
        is_unresolved: _,
        task,
        exe,
        user: _,
    } = labels;
    let mut parts = Vec::new();
    parts.extend(task.as_deref().map(Part::Task));
    parts.extend(container.as_deref().map(Part::Container));
    parts.extend(pod.as_deref().map(Part::Pod));
    parts.extend(container_name.as_deref().map(Part::ContainerName));
    parts.extend(user_unit.as_deref().map(Part::UserUnit));
    parts.extend(unit.as_deref().map(Part::Unit));
    parts.extend(exe.as_deref().map(Part::Exe));
    parts.extend(part_of_account(
        namespace.as_ref(),
        service_account.as_ref(),
    ));
    parts.extend(namespace.as_deref().map(Part::Namespace));
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
