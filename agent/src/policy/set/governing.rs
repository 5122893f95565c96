//! Which rule makes a workload one that others decide about.

use agent_common::policy::Posture;
use jiff::Timestamp;

use super::PolicySet;
use crate::{
    identity::Labels,
    policy::{Kind, PostureScope, Subject},
};

impl PolicySet {
    /// The grant, the deny rule, or the posture that refuses, by which `labels` are governed. What is
    /// meant for everybody does not count: somebody must be left who can change it. What is meant for
    /// some processes of a workload counts for all of it: who runs one of them may run another.
    #[must_use]
    pub fn governs(&self, labels: &Labels, now: Timestamp) -> Option<(Kind, &str)> {
        let live = self
            .grants
            .iter()
            .filter(|(_, rule)| rule.window().not_after.is_none_or(|end| now < end));
        let mut grants = live.filter(|(_, rule)| selects(&rule.grant.subjects, labels));
        if let Some((name, _)) = grants.next() {
            return Some((Kind::InvocationGrant, name));
        }
        let mut denies = self.denies.iter();
        if let Some((name, _)) = denies.find(|(_, rule)| selects(&rule.subjects, labels)) {
            return Some((Kind::EgressDeny, name));
        }
        let mut postures = self.postures.iter().filter(|(_, rule)| match &rule.scope {
            PostureScope::Default => false,
            PostureScope::Subjects(subjects) => {
                let refuses = rule.without_grant(labels.is_unresolved) == Posture::Deny;
                refuses && selects(subjects, labels)
            }
        });
        let (name, _) = postures.next()?;
        Some((Kind::Posture, name))
    }

    /// Whether the grant `name` is for `labels`, and not for everybody.
    #[must_use]
    pub fn is_for(&self, name: &str, labels: &Labels) -> bool {
        let standing = self.standing(name);
        standing.is_some_and(|standing| selects(&standing.grant.subjects, labels))
    }
}

/// Whether one of the subjects is meant for `labels`, or for some processes of that workload.
fn selects(subjects: &[Subject], labels: &Labels) -> bool {
    let mut own = subjects.iter().filter(|subject| **subject != Subject::Any);
    own.any(|subject| subject.matches(Some(labels)) || subject.is_within(labels))
}
