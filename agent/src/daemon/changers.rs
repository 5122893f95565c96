//! Who may change the policy, as far as the caller's own workload tells: nobody for itself.

use thiserror::Error;

use super::Core;
use crate::{
    host::{clock::now, incarnation::Incarnation, process},
    identity::Identity,
    policy::Kind,
};

/// Why a caller may not change anything, whoever it is.
#[derive(Debug, Error)]
pub enum ChangerError {
    #[error(
        "the process that asks has ended, or is in a pid namespace that the agent cannot see: who \
         may change the policy is told from its cgroup"
    )]
    NoProcess,
    #[error(
        "the process that asks is in a user namespace of its own, in which one person may be many \
         users: ask from outside"
    )]
    OtherUsers,
    #[error(
        "{identity} is governed by {} `{name}`, and who is governed cannot change the policy: ask \
         from elsewhere", kind.name()
    )]
    Governed {
        identity: String,
        kind: Kind,
        name: String,
    },
    #[error("{identity} would be entitled by `{name}` itself: ask from elsewhere")]
    ForItself { identity: String, name: String },
}

impl Core {
    /// Refuses whoever holds a grant, or runs where a posture of its own refuses. `approves` names a
    /// grant that the caller decides about.
    ///
    /// # Errors
    ///
    /// As [`ChangerError`] says.
    pub fn check_changer(
        &mut self,
        caller: Option<Incarnation>,
        approves: Option<&str>,
    ) -> Result<(), ChangerError> {
        let caller = caller.ok_or(ChangerError::NoProcess)?;
        if !process::shares_users(caller.pid) && caller.is_running() {
            return Err(ChangerError::OtherUsers);
        }
        let Some(identity) = self.changer(caller)? else {
            return Ok(());
        };
        let set = &self.running.revision.set;
        if let Some((kind, name)) = set.governs(&identity.labels, now().wall) {
            return Err(ChangerError::Governed {
                identity: identity.key(),
                kind,
                name: name.to_owned(),
            });
        }
        match approves {
            Some(name) if set.is_for(name, &identity.labels) => Err(ChangerError::ForItself {
                identity: identity.key(),
                name: name.to_owned(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// The identity of a caller below the governed cgroup.
    fn changer(&mut self, caller: Incarnation) -> Result<Option<Identity>, ChangerError> {
        let path = process::cgroup_path(caller.pid).map_err(|_| ChangerError::NoProcess)?;
        if !caller.is_running() {
            return Err(ChangerError::NoProcess);
        }
        let directory = self.host.cgroup_root.join(path.trim_start_matches('/'));
        let leads_out = path.split('/').any(|part| part == "..");
        if leads_out || !directory.starts_with(&self.scope) {
            return Ok(None);
        }
        // It may be newer than its name.
        self.discover(&directory);
        let Some((base, _)) = self.workloads.at_path(&path) else {
            return Ok(None);
        };
        let narrowed = self.narrowed(base.id, caller.pid);
        Ok(Some(narrowed.unwrap_or(base).clone()))
    }
}
