//! Whose limits an identity uses up.
//!
//! A workload may be many identities: cgroups that it has made and named, executables and users that
//! policy tells apart. All of them use up the limits of the workload: nobody gets more by being more.

use std::collections::{BTreeMap, BTreeSet};

use agent_common::identity::IdentityId;
use jiff::Timestamp;

use super::Core;
use crate::{
    identity::{Identity, Labels},
    store::StoreError,
};

/// Accounts of the identities that have not one of their own.
#[derive(Debug, Default)]
pub(super) struct Accounts(BTreeMap<IdentityId, IdentityId>);

impl Accounts {
    /// The identity whose limits this one uses up.
    pub(super) fn of(&self, identity: IdentityId) -> IdentityId {
        self.0.get(&identity).copied().unwrap_or(identity)
    }
}

impl Core {
    /// Finds out whose limits the identity uses up, and keeps it.
    fn find_account(
        &mut self,
        id: IdentityId,
        labels: &Labels,
        now: Timestamp,
    ) -> Result<IdentityId, StoreError> {
        let account = self.labels.account(labels);
        let key = account.key();
        let known = self.store.identity_called(&key)?;
        let account = match known {
            Some(known) => known,
            None => self.store.identity_number(&key, &account, now)?,
        };
        if account == id {
            self.accounts.0.remove(&id);
        } else {
            self.accounts.0.insert(id, account);
        }
        Ok(account)
    }

    /// Tells the kernel whose limits these identities use up; to be called before anybody has them.
    pub(super) fn tell_accounts<'i>(
        &mut self,
        identities: impl IntoIterator<Item = &'i Identity>,
        now: Timestamp,
    ) -> Result<(), Box<dyn std::error::Error>> {
        for identity in identities {
            let account = self.find_account(identity.id, &identity.labels, now)?;
            self.maps.policy.set_account(identity.id, account)?;
        }
        Ok(())
    }

    /// Finds the accounts of identities that have used something and may be gone, and forgets those of
    /// others.
    pub(super) fn recall_accounts(
        &mut self,
        users: &BTreeSet<IdentityId>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let live = self.workloads.identities().into_iter();
        let live: BTreeSet<_> = live.map(|identity| identity.id).collect();
        let is_wanted = |id: &IdentityId| {
            users.contains(id) || live.contains(id) || self.narrowing.identity(*id).is_some()
        };
        self.accounts.0.retain(|id, _| is_wanted(id));
        for known in self.store.identities()? {
            // Of what is gone, less is known than was.
            if users.contains(&known.id) && !self.accounts.0.contains_key(&known.id) {
                self.find_account(known.id, &known.labels, now)?;
            }
        }
        Ok(())
    }
}
