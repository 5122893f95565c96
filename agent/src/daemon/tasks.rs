//! Tasks: a cgroup each, with a lease that ends with it.
//!
//! The lease is a grant whose subject is the task's id. The daemon gives that id, as a label, to the
//! one cgroup that was registered for it, known by its own id and never by its name, and to all
//! below. How one begins is in `starting`, what ends it in
//! `ending`.

mod ending;
mod starting;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use thiserror::Error;

pub use self::ending::TaskEnded;
use super::{ChangeError, Core};
use crate::{
    audit::{Action, Actor, Entry, Target},
    host::{
        clock::{boot_id, now},
        incarnation::Incarnation,
        task_cgroup::{self, PlaceError},
    },
    policy::{InvocationGrant, Kind},
    store::{Removed, Store, StoreError, StoredTask},
};

/// Bounds what callers can make the agent look after.
const MOST_TASKS: usize = 4_096;

/// Every task whose cgroup may still be there, by the id of that cgroup.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    by_cgroup: BTreeMap<u64, Task>,
    /// Revision at which the callers' own rights were last looked at.
    checked: u64,
}

#[derive(Debug)]
struct Task {
    stored: StoredTask,
    /// A process has been seen in it: from then on an empty cgroup means that the task is over.
    was_populated: bool,
}

/// What is asked for, and by whom.
#[derive(Clone, Debug)]
pub struct TaskRequest {
    /// Cannot be guessed.
    pub id: String,
    /// Policy document of the lease, a grant called [`lease_name`] with the subject `task: ID`.
    pub lease: String,
    /// Cgroup that the caller has made, as a path below its own. `None`: make one and move the
    /// caller there.
    pub cgroup: Option<String>,
    pub actor: Actor,
    pub uid: u32,
    pub caller: Incarnation,
}

/// A task with its lease.
#[derive(Clone, Debug)]
pub struct TaskView {
    pub id: String,
    /// Path below the cgroup root, `/` first.
    pub cgroup: String,
    pub directory: PathBuf,
    pub uid: u32,
    pub pid: u32,
    /// Name of the lease among the grants.
    pub grant: String,
    /// `None` once the lease has been taken back.
    pub lease: Option<InvocationGrant>,
    pub not_after: Option<Timestamp>,
    pub is_over: bool,
    pub processes: usize,
}

#[derive(Debug, Error)]
pub enum TaskError {
    #[error("process {0}, which asks, has ended")]
    NoProcess(u32),
    #[error("cgroup {0} of the process that asks is outside the governed one")]
    Outside(String),
    #[error("cgroup {path} cannot hold the task: it {why}")]
    Unfit { path: String, why: String },
    #[error(
        "{identity} may not call {endpoint} itself ({reason}), so it cannot lease that: ask root \
         for a grant"
    )]
    Widening {
        identity: String,
        endpoint: String,
        reason: &'static str,
    },
    #[error(
        "grant `{grant}` limits what this workload may use, and a lease would begin anew: call \
         without a lease, or ask for a grant of the task's own"
    )]
    Limited { grant: String },
    #[error("there are {MOST_TASKS} tasks already: wait until some have ended")]
    TooMany,
    #[error("there is no task `{0}`")]
    NotFound(String),
    #[error("task `{0}` belongs to another user")]
    Foreign(String),
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error("keep the task")]
    Store(#[from] StoreError),
    #[error("name the cgroup of the task: {0}")]
    Name(String),
    #[error("read the id of this boot")]
    Boot(#[source] std::io::Error),
}

/// Name of a task's grant.
#[must_use]
pub fn lease_name(id: &str) -> String {
    format!("task-{id}")
}

impl Tasks {
    /// The tasks that an earlier agent registered and whose cgroups are still the same. The leases of
    /// all others end here.
    pub(super) fn recover(store: &mut Store, root: &Path) -> Result<Self, StoreError> {
        // Without an id of this boot no cgroup is known to be the same.
        let boot = boot_id().unwrap_or_default();
        let mut tasks = Self::default();
        for stored in store.tasks()? {
            let directory = root.join(stored.cgroup.trim_start_matches('/'));
            let is_there = task_cgroup::id(&directory).is_ok_and(|id| id == stored.cgroup_id);
            if stored.boot == boot && is_there {
                let task = Task {
                    stored,
                    was_populated: true,
                };
                tasks.by_cgroup.insert(task.stored.cgroup_id, task);
                continue;
            }
            store.at_once(|store| end_stale(store, &stored))?;
        }
        Ok(tasks)
    }

    /// The task that a cgroup belongs to: its own, or the innermost one that it lies below.
    pub(super) fn of_cgroup(&self, root: &Path, cgroup: u64, path: &str) -> Option<&str> {
        if let Some(task) = self.by_cgroup.get(&cgroup) {
            return Some(&task.stored.id);
        }
        let is_below = |task: &&Task| {
            let rest = path.strip_prefix(&task.stored.cgroup);
            rest.is_some_and(|rest| rest.starts_with('/'))
                // By now another cgroup may have the name.
                && task_cgroup::id(&task.directory(root)).is_ok_and(|id| id == task.stored.cgroup_id)
        };
        self.by_cgroup
            .values()
            .filter(is_below)
            .max_by_key(|task| task.stored.cgroup.len())
            .map(|task| task.stored.id.as_str())
    }

    fn by_id(&self, id: &str) -> Option<&Task> {
        self.by_cgroup.values().find(|task| task.stored.id == id)
    }
}

/// Ends the lease of a task whose cgroup is gone.
fn end_stale(store: &mut Store, stored: &StoredTask) -> Result<(), StoreError> {
    let why = "its cgroup is gone";
    let agent = Actor::agent();
    let at = now().wall;
    let removal = Removed {
        by: agent.name(),
        at,
        why: Some(why.to_owned()),
    };
    let (kind, name) = (Kind::InvocationGrant.name(), lease_name(&stored.id));
    if store.remove_object(kind, &name, &removal)?.is_some() {
        let target = Target::new(kind, &name);
        let revoked = Entry::new(Action::GrantRevoked, agent.clone(), target).because(why);
        store.audit(at, &revoked)?;
    }
    if !stored.is_over {
        store.audit(at, &told(Action::TaskEnded, stored, &agent, why))?;
    }
    store.remove_task(&stored.id).map(drop)
}

fn told(action: Action, task: &StoredTask, actor: &Actor, why: &str) -> Entry {
    Entry::new(action, actor.clone(), Target::new("task", &task.id))
        .because(why)
        .with("cgroup", task.cgroup.as_str())
        .with("uid", task.uid)
        .with("grant", lease_name(&task.id))
}

impl Task {
    fn directory(&self, root: &Path) -> PathBuf {
        root.join(self.stored.cgroup.trim_start_matches('/'))
    }

    fn caller(&self) -> Incarnation {
        Incarnation {
            pid: self.stored.pid,
            start_ns: self.stored.pid_start_ns,
        }
    }
}

impl Core {
    /// All tasks whose cgroups are there, those with an ended lease included.
    #[must_use]
    pub fn tasks(&self) -> Vec<TaskView> {
        let tasks = self.tasks.by_cgroup.values();
        tasks.map(|task| self.view_of(task)).collect()
    }

    fn task(&self, id: &str) -> Option<TaskView> {
        self.tasks.by_id(id).map(|task| self.view_of(task))
    }

    fn view_of(&self, task: &Task) -> TaskView {
        let StoredTask {
            id,
            boot: _,
            cgroup_id: _,
            cgroup,
            caller_cgroup: _,
            uid,
            pid,
            pid_start_ns: _,
            is_over,
        } = &task.stored;
        let grant = lease_name(id);
        let directory = task.directory(&self.host.cgroup_root);
        let set = &self.running.revision.set;
        TaskView {
            id: id.clone(),
            cgroup: cgroup.clone(),
            uid: *uid,
            pid: *pid,
            lease: set.grant(&grant).cloned(),
            not_after: set.span_of_grant(&grant).and_then(|span| span.not_after),
            is_over: *is_over,
            processes: task_cgroup::processes(&directory).len(),
            directory,
            grant,
        }
    }
}
