//! Which rule makes a workload one that others decide about.

use agent_common::policy::Posture;
use jiff::Timestamp;

use super::PolicySet;
use crate::{
    identity::Labels,
    policy::{Kind, PostureScope, Subject},
};

impl PolicySet {
    /// The grant, or the posture that refuses, by which `labels` are governed. What is meant for
    /// everybody does not count: somebody must be left who can change it.
    #[must_use]
    pub fn governs(&self, labels: &Labels, now: Timestamp) -> Option<(Kind, &str)> {
        let selects = |subjects: &[Subject]| {
            let mut own = subjects.iter().filter(|subject| **subject != Subject::Any);
            own.any(|subject| subject.matches(Some(labels)))
        };
        let live = self
            .grants
            .iter()
            .filter(|(_, rule)| rule.window().not_after.is_none_or(|end| now < end));
        let mut grants = live.filter(|(_, rule)| selects(&rule.grant.subjects));
        if let Some((name, _)) = grants.next() {
            return Some((Kind::InvocationGrant, name));
        }
        let mut postures = self.postures.iter().filter(|(_, rule)| match &rule.scope {
            PostureScope::Default => false,
            PostureScope::Subjects(subjects) => {
                rule.without_grant(labels.is_unresolved) == Posture::Deny && selects(subjects)
            }
        });
        let (name, _) = postures.next()?;
        Some((Kind::Posture, name))
    }

    /// Whether the grant `name` is for `labels`, and not for everybody.
    #[must_use]
    pub fn is_for(&self, name: &str, labels: &Labels) -> bool {
        let standing = self.standing(name);
        let subjects = standing.map_or(&[][..], |standing| &standing.grant.subjects);
        let mut own = subjects.iter().filter(|subject| **subject != Subject::Any);
        own.any(|subject| subject.matches(Some(labels)))
    }
}
