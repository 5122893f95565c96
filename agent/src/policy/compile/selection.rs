//! Which rules select an identity, without what they say.

use std::collections::BTreeSet;

use super::subjects::SubjectIndex;
use crate::{
    identity::Labels,
    policy::{PolicySet, PostureScope},
};

/// Asks one policy about many identities.
#[derive(Debug)]
pub struct Selections {
    grants: SubjectIndex,
    denies: SubjectIndex,
    postures: SubjectIndex,
}

/// Of one policy: two identities with the same selection are judged alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selection {
    /// Places in the order of names.
    pub(super) grants: BTreeSet<usize>,
    pub(super) denies: BTreeSet<usize>,
    /// Places among those that are not the default.
    pub(super) postures: BTreeSet<usize>,
    pub(super) is_unresolved: bool,
}

impl Selections {
    #[must_use]
    pub fn new(set: &PolicySet) -> Self {
        let grants = set.grants.values();
        let denies = set.denies.values();
        let postures = set.postures.values().filter_map(|rule| match &rule.scope {
            PostureScope::Default => None,
            PostureScope::Subjects(subjects) => Some(subjects.as_slice()),
        });
        Self {
            grants: SubjectIndex::new(grants.map(|rule| rule.grant.subjects.as_slice())),
            denies: SubjectIndex::new(denies.map(|rule| rule.subjects.as_slice())),
            postures: SubjectIndex::new(postures),
        }
    }

    /// `None` stands for the unknown identity.
    #[must_use]
    pub fn of(&self, labels: Option<&Labels>) -> Selection {
        Selection {
            grants: self.grants.select(labels),
            denies: self.denies.select(labels),
            postures: self.postures.select(labels),
            is_unresolved: labels.is_some_and(|labels| labels.is_unresolved),
        }
    }
}
