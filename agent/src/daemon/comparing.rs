//! What another policy would change, before it is applied. Nothing of it is left behind.

use std::{collections::BTreeSet, sync::Arc};

use agent_common::{destination::EndpointId, identity::IdentityId, policy::RuleId};
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
    policy::{Change, CompileError, Gain, Numbers, Rehearsal, gains, rehearse},
    store::{KnownIdentity, StoreError},
    usage::UsageRow,
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
        let (before, after) = (self.before.numbered(), self.after.numbered());
        gains(before, after, &self.identities, self.at)
    }

    /// The grant or deny rule of this number.
    #[must_use]
    pub fn rule(&self, rule: RuleId) -> Option<&str> {
        rule_name([&self.after.numbers, &self.before.numbers], rule)
    }
}

/// A policy and what was counted: made where the state is, evaluated elsewhere.
#[derive(Debug)]
pub struct Recorded {
    after: Revision,
    identities: Vec<Identity>,
    rows: Vec<UsageRow>,
    at: Timestamp,
}

impl Recorded {
    /// What the policy would have refused, were the mode to enforce.
    ///
    /// # Errors
    ///
    /// When the policy does not fit into the kernel.
    pub fn rehearse(&self) -> Result<Rehearsal, CompileError> {
        rehearse(self.after.numbered(), &self.identities, &self.rows, self.at)
    }

    #[must_use]
    pub fn identity(&self, id: IdentityId) -> Option<&Identity> {
        self.identities.iter().find(|identity| identity.id == id)
    }

    #[must_use]
    pub fn endpoint(&self, id: EndpointId) -> Option<&str> {
        let mut endpoints = self.after.numbers.endpoints.iter();
        let found = endpoints.find(|(_, number)| **number == id);
        found.map(|(name, _)| name.as_str())
    }

    #[must_use]
    pub fn rule(&self, rule: RuleId) -> Option<&str> {
        rule_name([&self.after.numbers], rule)
    }
}

/// The grant or deny rule of this number.
fn rule_name<'n>(numbers: impl IntoIterator<Item = &'n Numbers>, rule: RuleId) -> Option<&'n str> {
    let rules = numbers
        .into_iter()
        .flat_map(|numbers| numbers.grants.iter().chain(&numbers.denies));
    let mut found = rules.filter(|(_, number)| **number == rule);
    found.next().map(|(name, _)| name.as_str())
}

impl Core {
    /// What was counted since then, to be judged by what would run if the objects of `texts` took
    /// the place of those of their names; `whole` as in [`Core::compare`].
    ///
    /// # Errors
    ///
    /// When the texts have mistakes, by themselves or together with what runs.
    pub fn recorded(
        &mut self,
        texts: &[Text],
        whole: bool,
        since: Timestamp,
    ) -> Result<Recorded, ChangeError> {
        let at = now().wall;
        let after = self.imagine(texts, whole)?;
        let rows = self.usage(Some(since), None, None, None)?;
        let callers: BTreeSet<_> = rows.iter().map(|row| row.identity).collect();
        let known = self.store.identities()?.into_iter();
        let known = known.filter(|known| callers.contains(&known.id));
        Ok(Recorded {
            after,
            identities: known.map(KnownIdentity::into).collect(),
            rows,
            at,
        })
    }

    /// Compares what runs with what would run if the objects of `texts` took the place of those of
    /// their names. With `whole`, the texts are all policy files that there are going to be.
    ///
    /// # Errors
    ///
    /// When the texts have mistakes, by themselves or together with what runs.
    pub fn compare(&mut self, texts: &[Text], whole: bool) -> Result<Comparison, ChangeError> {
        let at = now().wall;
        let after = self.imagine(texts, whole)?;
        Ok(Comparison {
            changes: self.changes_by(&after),
            before: self.running.revision.clone(),
            after,
            identities: self.asked_about(at)?,
            at,
        })
    }

    /// What would run if the objects of `texts` took the place of those of their names.
    fn imagine(&mut self, texts: &[Text], whole: bool) -> Result<Revision, ChangeError> {
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
        let admitting = Admitting {
            rules: &self.config.approval,
            lives: &self.lives,
            origin: Origin::Files,
            separation: self.config.separation_of_duties,
        };
        Revision::imagine(objects, &mut self.store, &now(), &admitting)
            .map_err(|error| ChangeError::Invalid(explain(error)))
    }

    /// Whoever is there or was lately, and whoever may come.
    fn asked_about(&self, at: Timestamp) -> Result<Vec<Identity>, StoreError> {
        let since = at.saturating_sub(RECENT).unwrap_or(at);
        let known = self.store.identities()?.into_iter();
        let recent = known.filter(|known| {
            known.last_seen >= since || self.workloads.identity(known.id).is_some()
        });
        let mut identities: Vec<_> = recent.map(KnownIdentity::into).collect();
        identities.push(Identity {
            id: IdentityId::UNKNOWN,
            labels: Arc::new(Labels::default()),
        });
        Ok(identities)
    }
}
