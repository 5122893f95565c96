//! What ends a task: whoever asked for it, or what became of it.

use std::io::ErrorKind;

use super::{Core, Task, TaskError, lease_name, told};
use crate::{
    audit::{Action, Actor},
    daemon::Author,
    error_chain,
    host::{clock::now, task_cgroup},
    policy::Kind,
    store::{StoreError, StoredTask},
};

/// A task that was ended on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskEnded {
    /// Processes that are left in its cgroup, besides the one that asked for the task.
    pub processes_left: usize,
}

/// What has become of a task.
enum Fate {
    GoesOn,
    /// Its cgroup is no more, or another one.
    Gone,
    /// The lease ends, as a clause.
    Over(&'static str),
}

impl Core {
    /// Ends the lease of a task. Its cgroup is removed once it is empty.
    ///
    /// # Errors
    ///
    /// When there is none, or it is another user's.
    pub fn end_task(&mut self, id: &str, actor: &Actor) -> Result<TaskEnded, TaskError> {
        let Some(task) = self.tasks.by_id(id) else {
            return Err(TaskError::NotFound(id.to_owned()));
        };
        if !actor
            .uid
            .is_some_and(|uid| uid == 0 || uid == task.stored.uid)
        {
            return Err(TaskError::Foreign(id.to_owned()));
        }
        let (cgroup, caller) = (task.stored.cgroup_id, task.stored.pid);
        let directory = task.directory(&self.host.cgroup_root);
        self.end_lease(cgroup, actor, "the task has ended")?;
        let left = task_cgroup::processes(&directory);
        let left = left.into_iter().filter(|pid| *pid != caller).count();
        self.remove_cgroup(cgroup);
        Ok(TaskEnded {
            processes_left: left,
        })
    }

    /// Whether the rights that leases rest on may have changed.
    pub(in crate::daemon) fn tasks_are_unchecked(&self) -> bool {
        self.tasks.checked != self.running.number && !self.tasks.by_cgroup.is_empty()
    }

    /// Ends the leases of tasks that are over, and removes cgroups that nobody is left in.
    pub(in crate::daemon) fn check_tasks(&mut self) {
        // What ends here may be what another lease rests on.
        self.tasks.checked = self.running.number;
        let cgroups: Vec<u64> = self.tasks.by_cgroup.keys().copied().collect();
        for cgroup in cgroups {
            match self.fate_of(cgroup) {
                Fate::GoesOn => {}
                Fate::Gone => {
                    self.end_or_tell(cgroup, "its cgroup is gone");
                    self.forget(cgroup);
                }
                Fate::Over(why) => self.end_or_tell(cgroup, why),
            }
            self.remove_cgroup(cgroup);
        }
    }

    fn fate_of(&mut self, cgroup: u64) -> Fate {
        let root = &self.host.cgroup_root;
        let Some(task) = self.tasks.by_cgroup.get_mut(&cgroup) else {
            return Fate::GoesOn;
        };
        let directory = task.directory(root);
        if !task_cgroup::id(&directory).is_ok_and(|id| id == cgroup) {
            return Fate::Gone;
        }
        if task.stored.is_over {
            return Fate::GoesOn;
        }
        let is_populated = task_cgroup::is_populated(&directory).unwrap_or(false);
        if !task.caller().is_running() {
            return Fate::Over("the process that asked for it has ended");
        }
        if task.was_populated && !is_populated {
            return Fate::Over("its last process has ended");
        }
        task.was_populated |= is_populated;
        match self.tasks.by_cgroup.get(&cgroup) {
            Some(task) if self.may_still(task) => Fate::GoesOn,
            Some(_) | None => Fate::Over("whoever asked for it may not call that any more"),
        }
    }

    /// A lease never outlasts the right that it was made of.
    fn may_still(&self, task: &Task) -> bool {
        let set = &self.running.revision.set;
        let Some(lease) = set.grant(&lease_name(&task.stored.id)) else {
            return false;
        };
        if task.stored.uid == 0 && !self.needs_right(lease) {
            return true;
        }
        let directory = task.directory(&self.host.cgroup_root);
        // The caller's own cgroup, which lies above, cannot go before the task's.
        let above = directory
            .ancestors()
            .find(|above| task_cgroup::id(above).is_ok_and(|id| id == task.stored.caller_cgroup));
        let uid = task.stored.uid;
        above.is_some_and(|above| {
            self.entitled_until(above, lease, uid, now().boot_ns)
                .is_ok()
        })
    }

    fn end_or_tell(&mut self, cgroup: u64, why: &'static str) {
        if let Err(error) = self.end_lease(cgroup, &Actor::agent(), why) {
            // The next look tries again.
            tracing::error!(error = error_chain(&error), cgroup, "lease not ended");
        }
    }

    fn end_lease(&mut self, cgroup: u64, actor: &Actor, why: &str) -> Result<(), TaskError> {
        let Some(task) = self.tasks.by_cgroup.get(&cgroup) else {
            return Ok(());
        };
        let over = StoredTask {
            is_over: true,
            ..task.stored.clone()
        };
        let ended = (!task.stored.is_over).then(|| told(Action::TaskEnded, &over, actor, why));
        let name = lease_name(&over.id);
        if self.source(Kind::InvocationGrant, &name).is_some() {
            let author = Author {
                actor: actor.clone(),
                login: None,
            };
            self.remove(Kind::InvocationGrant, &name, &author, Some(why.to_owned()))?;
        }
        let at = now().wall;
        self.store.at_once(|store| -> Result<(), StoreError> {
            store.put_task(&over)?;
            ended.map_or(Ok(()), |ended| store.audit(at, &ended).map(drop))
        })?;
        if let Some(task) = self.tasks.by_cgroup.get_mut(&cgroup) {
            task.stored = over;
        }
        Ok(())
    }

    /// Removes the cgroup of a task that is over, if nobody is left in it.
    fn remove_cgroup(&mut self, cgroup: u64) {
        let Some(task) = self.tasks.by_cgroup.get(&cgroup) else {
            return;
        };
        let directory = task.directory(&self.host.cgroup_root);
        let is_same = task_cgroup::id(&directory).is_ok_and(|id| id == cgroup);
        let is_empty = task_cgroup::is_populated(&directory).is_ok_and(|populated| !populated);
        let is_done = task.stored.is_over && is_same && is_empty;
        if !is_done {
            return;
        }
        match task_cgroup::remove(&directory) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {}
            // One that its user must remove has no lease in any case.
            Ok(()) | Err(_) => self.forget(cgroup),
        }
    }

    fn forget(&mut self, cgroup: u64) {
        let Some(task) = self.tasks.by_cgroup.get(&cgroup) else {
            return;
        };
        if let Err(error) = self.store.remove_task(&task.stored.id) {
            tracing::error!(error = error_chain(&error), cgroup, "task not forgotten");
            return;
        }
        self.tasks.by_cgroup.remove(&cgroup);
    }
}
