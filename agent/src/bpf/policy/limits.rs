//! Limits of grants, and what has been used of them. Not in slots: a grant keeps its number, and what
//! was used stays used whatever else changes.

use std::collections::BTreeMap;

use agent_common::{
    abi::{self, map},
    limit::{Limit, UsedKey},
    policy::RuleId,
};

use super::{KernelError, PolicyMaps, full_or, ignore_absent, slot::keys};

impl PolicyMaps {
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
                ignore_absent(self.limits.remove(&grant))
                    .map_err(|source| KernelError::map(map::LIMITS, "remove an entry", source))?;
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
            let limit = self.limits.get(&key.grant, 0).ok();
            let is_current = limit.is_some_and(|limit| {
                let length_ns = match key.what {
                    UsedKey::BYTES => Limit::DAY_NS,
                    _ => limit.window_ns,
                };
                key.window >= limit.window(now_ns, length_ns)
            });
            if is_current {
                n_left += 1;
            } else {
                ignore_absent(self.used.remove(&key))
                    .map_err(|source| KernelError::map(map::USED, "remove an entry", source))?;
            }
        }
        Ok(n_left)
    }
}
