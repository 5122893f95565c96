//! Limits of grants, and what has been used of them. Not in slots: a grant keeps its number, and what
//! was used stays used whatever else changes.

use std::collections::BTreeMap;

use agent_common::{
    abi::{self, map},
    identity::IdentityId,
    limit::{Limit, UsedKey},
    policy::RuleId,
};

use super::{KernelError, PolicyMaps, full_or, remove, slot::keys};

/// What an account has used on a grant.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    pub limit: Limit,
    pub connections: u64,
    pub bytes: u64,
}

impl PolicyMaps {
    /// Whether the live revision limits anything.
    #[must_use]
    pub fn has_limits(&self) -> bool {
        !self.live.limits.is_empty()
    }

    /// Says whose limits an identity uses up; to be called before anybody has the identity.
    ///
    /// # Errors
    ///
    /// When the map is full.
    pub fn set_account(
        &mut self,
        identity: IdentityId,
        account: IdentityId,
    ) -> Result<(), KernelError> {
        let known = self.accounts.get(&identity, 0).unwrap_or(identity);
        if known == account {
            return Ok(());
        }
        self.accounts
            .insert(identity, account, 0)
            .map_err(|source| full_or(map::ACCOUNTS, abi::MAX_ACCOUNTS, source))
    }

    /// Forgets the accounts of identities that are not wanted any more.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn retain_accounts(
        &mut self,
        is_wanted: impl Fn(IdentityId) -> bool,
    ) -> Result<(), KernelError> {
        for identity in keys(map::ACCOUNTS, self.accounts.keys())? {
            if !is_wanted(identity) {
                remove(&mut self.accounts, map::ACCOUNTS, &identity)?;
            }
        }
        Ok(())
    }

    pub(super) fn set_limits(
        &mut self,
        limits: &BTreeMap<RuleId, Limit>,
    ) -> Result<(), KernelError> {
        for (grant, limit) in limits {
            let known = self.limits.get(grant, 0).ok();
            // Windows that have begun go on where the clock has been set since.
            let unix_ns = known.map_or(limit.unix_ns, |known| known.unix_ns);
            let limit = Limit { unix_ns, ..*limit };
            if known != Some(limit) {
                self.limits
                    .insert(grant, limit, 0)
                    .map_err(|source| full_or(map::LIMITS, abi::MAX_LIMITS, source))?;
            }
        }
        Ok(())
    }

    /// Removes the limits that the live revision has not.
    pub(super) fn forget_limits(&mut self) -> Result<(), KernelError> {
        for grant in keys(map::LIMITS, self.limits.keys())? {
            if !self.live.limits.contains_key(&grant) {
                remove(&mut self.limits, map::LIMITS, &grant)?;
            }
        }
        Ok(())
    }

    /// Lets go of what was used in windows that are over, and on grants without limits. How many
    /// windows are left.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn forget_past_windows(&mut self, now_ns: u64) -> Result<usize, KernelError> {
        let mut n_left = 0;
        for key in keys(map::USED, self.used.keys())? {
            let until_ns = || self.used.get(&key, 0).unwrap_or(0);
            let limit = self.limits.get(&key.grant, 0).ok();
            let is_current = limit.is_some_and(|limit| {
                let length_ns = match key.what {
                    UsedKey::SPENT => return until_ns() > now_ns,
                    UsedKey::BYTES => Limit::DAY_NS,
                    _ => limit.window_ns,
                };
                key.window >= limit.window(now_ns, length_ns)
            });
            if is_current {
                n_left += 1;
            } else {
                remove(&mut self.used, map::USED, &key)?;
            }
        }
        Ok(n_left)
    }

    /// Refuses connections of an account on a grant until this instant of the boot clock, or with `None`
    /// no longer.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn set_spent(
        &mut self,
        account: IdentityId,
        grant: RuleId,
        until_ns: Option<u64>,
    ) -> Result<(), KernelError> {
        let key = UsedKey::spent(account, grant);
        match until_ns {
            Some(until_ns) => self
                .used
                .insert(key, until_ns, 0)
                .map_err(|source| full_or(map::USED, abi::MAX_USED, source)),
            None => remove(&mut self.used, map::USED, &key),
        }
    }

    /// Whose connections are refused on which grant, until when on the boot clock: also what another
    /// agent has said.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn spent(&self) -> Result<BTreeMap<(IdentityId, RuleId), u64>, KernelError> {
        let keys = keys(map::USED, self.used.keys())?.into_iter();
        let spent = keys.filter(|key| key.what == UsedKey::SPENT);
        let spent = spent.filter_map(|key| {
            let until_ns = self.used.get(&key, 0).ok()?;
            Some(((key.account, key.grant), until_ns))
        });
        Ok(spent.collect())
    }

    /// Connections of this window and octets of this day that the account has used on the grant, as far
    /// as the grant limits them; `None` if it limits nothing.
    #[must_use]
    pub fn used(&self, account: IdentityId, grant: RuleId, now_ns: u64) -> Option<Used> {
        let limit = self.limits.get(&grant, 0).ok()?;
        let of = |what, length_ns| {
            let key = UsedKey {
                account,
                grant,
                window: limit.window(now_ns, length_ns),
                what,
                _pad: 0,
            };
            self.used.get(&key, 0).unwrap_or(0)
        };
        Some(Used {
            limit,
            connections: of(UsedKey::CONNECTIONS, limit.window_ns),
            bytes: of(UsedKey::BYTES, Limit::DAY_NS),
        })
    }
}
