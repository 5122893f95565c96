//! What a task needs before it begins: a caller that may have the lease, a cgroup, rules, a name.

use std::path::{Path, PathBuf};

use agent_common::destination::Destination;
use jiff::SignedDuration;

use super::{MOST_TASKS, Task, TaskError, TaskRequest, TaskView, lease_name, told};
use crate::{
    audit::{Action, Actor, Entry, Outcome, Target},
    daemon::{Author, ChangeError, Core, changes},
    error_chain,
    host::{
        cgroups::path_below,
        clock::{boot_id, now},
        incarnation::Incarnation,
        process, task_cgroup,
    },
    identity::Identity,
    policy::{ApprovalRules, End, InvocationGrant, Kind, Object, Spec},
    store::{StoreError, StoredTask},
};

/// Where a task is going to be.
struct Place {
    directory: PathBuf,
    cgroup: u64,
    is_made: bool,
}

impl Core {
    /// Starts a task: when this returns, its cgroup has the lease. A caller that brought no cgroup is
    /// in it.
    ///
    /// # Errors
    ///
    /// When the caller may not have the lease, or something cannot be done: then nothing is left.
    pub fn start_task(&mut self, request: &TaskRequest) -> Result<TaskView, TaskError> {
        let TaskRequest {
            id,
            lease,
            cgroup,
            actor,
            uid,
            caller,
        } = request;
        if self.tasks.by_cgroup.len() >= MOST_TASKS {
            return Err(TaskError::TooMany);
        }
        let above = self.directory_of(*caller)?;
        let caller_cgroup =
            task_cgroup::id(&above).map_err(|_| TaskError::NoProcess(caller.pid))?;
        let lease = self.checked_lease(lease, *uid, &above)?;
        let place = self.place(&above, cgroup.as_deref(), id, *uid)?;
        let stored = StoredTask {
            id: id.clone(),
            boot: boot_id().map_err(TaskError::Boot)?,
            cgroup_id: place.cgroup,
            cgroup: path_below(&self.host.cgroup_root, &place.directory),
            caller_cgroup,
            uid: *uid,
            pid: caller.pid,
            pid_start_ns: caller.start_ns,
            is_over: false,
        };
        match self.set_up(stored, &lease, &place, *caller, actor) {
            Ok(()) => self
                .task(id)
                .ok_or_else(|| TaskError::NotFound(id.to_owned())),
            Err(error) => {
                self.take_back(id, &place, actor);
                Err(error)
            }
        }
    }

    /// The directory of the cgroup that a process is in, and which has its own name from here on.
    fn directory_of(&mut self, process: Incarnation) -> Result<PathBuf, TaskError> {
        let gone = || TaskError::NoProcess(process.pid);
        let path = process::cgroup_path(process.pid).map_err(|_| gone())?;
        if !process.is_running() {
            return Err(gone());
        }
        let root = &self.host.cgroup_root;
        let directory = root.join(path.trim_start_matches('/'));
        if !directory.starts_with(&self.scope) || path.split('/').any(|part| part == "..") {
            return Err(TaskError::Outside(path));
        }
        self.discover(&directory);
        Ok(directory)
    }

    /// The lease as an object. For others than root it lasts no longer than what they may themselves.
    fn checked_lease(&self, text: &str, uid: u32, above: &Path) -> Result<Object, TaskError> {
        let mut object = changes::one(Kind::InvocationGrant, text)?;
        let Spec::InvocationGrant(lease) = &mut object.spec else {
            return Err(ChangeError::Unexpected(Kind::InvocationGrant).into());
        };
        if uid == 0 && self.is_free_for_root(lease, above)? {
            return Ok(object);
        }
        let at = now();
        let until_ns = self.entitled_until(above, lease, uid, at.boot_ns)?;
        let left = SignedDuration::from_nanos(
            i64::try_from(until_ns.saturating_sub(at.boot_ns)).unwrap_or(i64::MAX),
        );
        let ends_first = match lease.validity.end {
            End::Never => true,
            End::At(end) => at.wall.duration_until(end) > left,
            End::After(ttl) => ttl > left,
        };
        if ends_first && let Ok(end) = at.wall.checked_add(left) {
            lease.validity.end = End::At(end);
        }
        Ok(object)
    }

    /// Whether root may lease this without a right of its own: not from a workload that is governed,
    /// and nothing that another person would have to approve.
    fn is_free_for_root(&self, lease: &InvocationGrant, above: &Path) -> Result<bool, TaskError> {
        let base = self.identity_in(above)?;
        let set = &self.running.revision.set;
        let at = now().wall;
        // Whatever it is that root runs there.
        let narrower = self.narrowing.of_user(base.id, 0);
        let mut own = narrower.filter(|identity| identity.labels.exe.is_none());
        let is_governed = set.governs(&base.labels, at).is_some()
            || own.any(|identity| set.governs(&identity.labels, at).is_some());
        Ok(!is_governed && !self.needs_right(lease))
    }

    /// Whether another person would have to approve this, were it no lease.
    pub(super) fn needs_right(&self, lease: &InvocationGrant) -> bool {
        let rules = ApprovalRules {
            // A lease ends with its task.
            longest: None,
            ..self.config.approval.clone()
        };
        let catalogue = self.running.revision.set.catalogue();
        !rules.needs(lease, catalogue, now().wall).is_empty()
    }

    /// Until when whatever the user `uid` runs in the cgroup `above` may itself call all that `lease`
    /// is about.
    pub(super) fn entitled_until(
        &self,
        above: &Path,
        lease: &InvocationGrant,
        uid: u32,
        now_ns: u64,
    ) -> Result<u64, TaskError> {
        let base = self.identity_in(above)?;
        let narrower = self.narrowing.of_user(base.id, uid);
        let ends = std::iter::once(base)
            .chain(narrower)
            .map(|identity| self.identity_entitled_until(identity, lease, now_ns));
        ends.collect::<Result<Vec<_>, _>>()
            .map(|ends| ends.into_iter().min().unwrap_or(now_ns))
    }

    fn identity_entitled_until(
        &self,
        identity: &Identity,
        lease: &InvocationGrant,
        now_ns: u64,
    ) -> Result<u64, TaskError> {
        let revision = &self.running.revision;
        let policy = &self.maps.policy;
        let mut until_ns = u64::MAX;
        for endpoint in revision.set.endpoints_of(lease) {
            let Some(number) = revision.numbers.endpoints.get(&endpoint.name) else {
                continue;
            };
            let decision = policy.decide(identity.id, &Destination::one(*number), now_ns);
            let Some(end) = policy.entitled_until(identity.id, *number, now_ns) else {
                return Err(TaskError::Widening {
                    identity: identity.key(),
                    endpoint: endpoint.name.clone(),
                    reason: decision.reason().name(),
                });
            };
            if let Some(grant) = self.limiting(decision.rule()) {
                return Err(TaskError::Limited { grant });
            }
            until_ns = until_ns.min(end);
        }
        Ok(until_ns)
    }

    /// The identity that the kernel gives to processes in a cgroup.
    fn identity_in(&self, directory: &Path) -> Result<&Identity, TaskError> {
        directory
            .ancestors()
            .take_while(|directory| directory.starts_with(&self.scope))
            .filter_map(|directory| task_cgroup::id(directory).ok())
            .find_map(|cgroup| self.workloads.of_cgroup(cgroup))
            .ok_or_else(|| TaskError::Outside(directory.display().to_string()))
    }

    fn place(
        &self,
        above: &Path,
        brought: Option<&str>,
        id: &str,
        uid: u32,
    ) -> Result<Place, TaskError> {
        let Some(below) = brought else {
            let directory = task_cgroup::make(above, &format!("weir-task-{id}"))?;
            let cgroup = task_cgroup::id(&directory);
            let cgroup = cgroup.map_err(|_| TaskError::NotFound(id.to_owned()))?;
            return Ok(Place {
                directory,
                cgroup,
                is_made: true,
            });
        };
        let unfit = |why| TaskError::Unfit {
            path: below.to_owned(),
            why,
        };
        let (directory, cgroup) = task_cgroup::adopt(above, below, uid).map_err(unfit)?;
        if self.tasks.by_cgroup.contains_key(&cgroup) {
            return Err(unfit("holds a task already".to_owned()));
        }
        Ok(Place {
            directory,
            cgroup,
            is_made: false,
        })
    }

    /// Rules first, then the name, and only then a process.
    fn set_up(
        &mut self,
        stored: StoredTask,
        lease: &Object,
        place: &Place,
        caller: Incarnation,
        actor: &Actor,
    ) -> Result<(), TaskError> {
        let begun = told(Action::TaskBegun, &stored, actor, purpose(lease));
        let at = now().wall;
        self.store.at_once(|store| {
            store.put_task(&stored)?;
            store.audit(at, &begun)
        })?;
        let text = lease.to_yaml().map_err(ChangeError::from)?;
        let author = Author {
            actor: actor.clone(),
            login: None,
        };
        self.create_lease(&text, &author)?;
        let path = stored.cgroup.clone();
        let task = Task {
            stored,
            was_populated: false,
        };
        self.tasks.by_cgroup.insert(place.cgroup, task);
        self.name_again(place.cgroup, &path, &now())
            .map_err(|error| TaskError::Name(error_chain(&*error)))?;
        if place.is_made {
            task_cgroup::enter(&place.directory, caller)?;
        }
        Ok(())
    }

    /// After a start that failed half-way.
    fn take_back(&mut self, id: &str, place: &Place, actor: &Actor) {
        self.tasks.by_cgroup.remove(&place.cgroup);
        let why = "the task did not start";
        let name = lease_name(id);
        if self.source(Kind::InvocationGrant, &name).is_some() {
            let why = Some(why.to_owned());
            if let Err(error) = self.remove(Kind::InvocationGrant, &name, &Author::agent(), why) {
                tracing::error!(error = error_chain(&error), name, "lease not removed");
            }
        }
        let at = now().wall;
        let target = Target::new("task", id);
        let ended = Entry::new(Action::TaskEnded, actor.clone(), target)
            .because(why)
            .ended(Outcome::Failed);
        let forgotten = self.store.at_once(|store| -> Result<(), StoreError> {
            // One that did not come so far was not told of.
            if store.remove_task(id)? {
                store.audit(at, &ended)?;
            }
            Ok(())
        });
        if let Err(error) = forgotten {
            tracing::error!(error = error_chain(&error), id, "task not forgotten");
        }
        if !place.is_made {
            let path = path_below(&self.host.cgroup_root, &place.directory);
            if let Err(error) = self.name_again(place.cgroup, &path, &now()) {
                tracing::error!(
                    error = error_chain(&*error),
                    path,
                    "cgroup keeps its task's name"
                );
            }
        } else {
            // Whoever has been moved there already is left where it is, without the right.
            let _ = task_cgroup::remove(&place.directory);
        }
    }
}

fn purpose(lease: &Object) -> &str {
    match &lease.spec {
        Spec::InvocationGrant(grant) => &grant.purpose,
        Spec::ModelEndpoint(_) | Spec::EgressDeny(_) | Spec::Posture(_) => "",
    }
}
