//! What another policy would change, before it is applied. Nothing of it is left behind.

use std::{collections::BTreeSet, sync::Arc};

use agent_common::{identity::IdentityId, policy::RuleId};
use jiff::{SignedDuration, Timestamp};

use super::{
    ChangeError, Core,
    lives::Origin,
    policy::{explain, lines},
    revision::{API_SOURCE, Admitting, Revision},
    sources::{self, Text},
};
use crate::{
    host::clock::now,
    identity::{Identity, Labels},
    policy::{Change, CompileError, Gain, Numbered, gains},
    store::StoreError,
};

/// How long identities that are gone are asked about.
const RECENT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Two policies and those whom they concern: made where the state is, evaluated elsewhere.
#[derive(Debug)]
pub struct Comparison {
    before: Revision,
    after: Revision,
    identities: Vec<Identity>,
    at: Timestamp,
    pub changes: Vec<Change>,
}

impl Comparison {
    /// Who gains or loses what.
    ///
    /// # Errors
    ///
    /// When a policy does not fit into the kernel.
    pub fn gains(&self) -> Result<Vec<Gain>, CompileError> {
        let numbered = |revision| -> Numbered<'_> {
            let Revision { set, numbers, .. }: &Revision = revision;
            Numbered { set, numbers }
        };
        let (before, after) = (numbered(&self.before), numbered(&self.after));
        gains(before, after, &self.identities, self.at)
    }

    /// The grant or deny rule of this number.
    #[must_use]
    pub fn rule(&self, rule: RuleId) -> Option<&str> {
        let numbers = [&self.after.numbers, &self.before.numbers];
        let rules = numbers
            .iter()
            .flat_map(|numbers| numbers.grants.iter().chain(&numbers.denies));
        let mut found = rules.filter(|(_, number)| **number == rule);
        found.next().map(|(name, _)| name.as_str())
    }
}

impl Core {
    /// Compares what runs with what would run if the objects of `texts` took the place of those of
    /// their names. With `whole`, the texts are all policy files that there are going to be.
    ///
    /// # Errors
    ///
    /// When the texts have mistakes, by themselves or together with what runs.
    pub fn compare(&mut self, texts: &[Text], whole: bool) -> Result<Comparison, ChangeError> {
        let new =
            sources::parse_all(texts).map_err(|errors| ChangeError::Invalid(lines(&errors)))?;
        let keys: BTreeSet<_> = new
            .iter()
            .map(|object| (object.value.kind(), object.value.name().to_owned()))
            .collect();
        let mut objects = self.objects().map_err(ChangeError::Invalid)?;
        objects.retain(|object| {
            let key = (object.value.kind(), object.value.name().to_owned());
            let goes = whole && object.file != API_SOURCE;
            !goes && !keys.contains(&key)
        });
        objects.extend(new);
        let at = now().wall;
        let admitting = Admitting {
            rules: &self.config.approval,
            lives: &self.lives,
            origin: Origin::Files,
            separation: self.config.separation_of_duties,
        };
        let after = Revision::imagine(objects, &mut self.store, at, &admitting)
            .map_err(|error| ChangeError::Invalid(explain(error)))?;
        Ok(Comparison {
            changes: self.changes_by(&after),
            before: self.running.revision.clone(),
            after,
            identities: self.asked_about(at)?,
            at,
        })
    }

    /// Whoever is there or was lately, and whoever may come.
    fn asked_about(&self, at: Timestamp) -> Result<Vec<Identity>, StoreError> {
        let since = at.saturating_sub(RECENT).unwrap_or(at);
        let known = self.store.identities()?.into_iter();
        let recent = known.filter(|known| {
            known.last_seen >= since || self.workloads.identity(known.id).is_some()
        });
        let mut identities: Vec<_> = recent
            .map(|known| Identity {
                id: known.id,
                labels: known.labels.into(),
            })
            .collect();
        identities.push(Identity {
            id: IdentityId::UNKNOWN,
            labels: Arc::new(Labels::default()),
        });
        Ok(identities)
    }
}
