//! What is known about a process: what the kernel remembers, and what `/proc` adds.

use std::{collections::BTreeMap, fs, path::Path};

use agent_common::{
    identity::IdentityId,
    process::{ExeKey, Process},
};

use super::Core;
use crate::{
    bpf::processes::ProcessMaps,
    error_chain,
    host::{
        clock::now,
        executable::{self, Mounts},
        process::{self, Snapshot},
    },
    identity::Identity,
};

/// Parents that are followed.
const MAX_LINEAGE: usize = 32;
/// Rounding of the start times that `/proc` tells.
const TICK_NS: u64 = 10_000_000;

/// One process, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessView {
    pub pid: u32,
    pub comm: Option<String>,
    pub exe: Option<String>,
    /// Of an interpreter: the file that it was started for.
    pub script: Option<String>,
    pub arguments: Option<Vec<String>>,
    /// User that it acted as when it was started.
    pub user: Option<u32>,
    pub has_ended: bool,
}

/// Paths of executables that were running before the kernel could note them.
pub(super) type KnownExes = BTreeMap<ExeKey, String>;

/// Reads what the kernel remembers of a process.
pub(super) struct ProcessReader<'a> {
    pub(super) maps: &'a ProcessMaps,
    pub(super) known: &'a KnownExes,
}

impl ProcessReader<'_> {
    /// What process `pid` was at `at_ns`.
    pub(super) fn at(&self, pid: u32, at_ns: u64) -> Option<ProcessView> {
        let process = self.maps.at(pid, at_ns)?;
        let mut view = self.view(pid, &process);
        view.exe = self.exe(&process.exe_at(at_ns));
        if at_ns < process.exec_ns {
            view.script = None;
            view.arguments = None;
        }
        Some(view)
    }

    pub(super) fn exe(&self, key: &ExeKey) -> Option<String> {
        if key.is_none() {
            return None;
        }
        let known = || self.known.get(key).cloned();
        self.maps.exe_path(key).or_else(known)
    }

    fn view(&self, pid: u32, process: &Process) -> ProcessView {
        let end = process.comm.iter().position(|byte| *byte == 0);
        let comm = process.comm.get(..end.unwrap_or(process.comm.len()));
        ProcessView {
            pid,
            comm: comm.map(|comm| String::from_utf8_lossy(comm).into_owned()),
            exe: self.exe(&process.exe),
            script: self.maps.script(pid, process),
            arguments: self.maps.arguments(pid, process),
            user: Some(process.user),
            has_ended: process.end_ns != 0,
        }
    }

    /// The process and those that led to it, also when they have ended: nearest first.
    pub(super) fn lineage(&self, pid: u32) -> Vec<ProcessView> {
        let mut lineage = Vec::new();
        let mut next = self.maps.living(pid).map(|process| (pid, process));
        while let Some((pid, process)) = next {
            lineage.push(self.view(pid, &process));
            if lineage.len() == MAX_LINEAGE || process.parent == 0 {
                break;
            }
            next = self.parent(&process).map(|parent| (process.parent, parent));
        }
        lineage
    }

    fn parent(&self, process: &Process) -> Option<Process> {
        if process.parent_start_ns == 0 {
            return self.maps.living(process.parent);
        }
        self.maps
            .started_at(process.parent, process.parent_start_ns)
    }
}

impl Core {
    pub(super) const fn process_reader(&self) -> ProcessReader<'_> {
        ProcessReader {
            maps: &self.maps.processes,
            known: &self.known_exes,
        }
    }

    /// The identity of this process, where it is another than that of its cgroup.
    pub(super) fn narrowed(&self, of_cgroup: IdentityId, pid: u32) -> Option<&Identity> {
        let living = self.maps.processes.living(pid);
        let exe = living.map_or(0, |process| self.maps.classes.exe(&process.exe));
        let user = process::real_user(pid);
        let user = user.map_or(0, |user| self.maps.classes.users.known(&user));
        let id = self.maps.policy.narrowed(of_cgroup, exe, user);
        (id != of_cgroup).then(|| self.narrowing.identity(id))?
    }

    /// Adds the processes that were there before the hooks, which must be attached by now.
    pub(super) fn adopt_processes(&mut self) {
        let scope = crate::host::cgroups::path_below(&self.host.cgroup_root, &self.scope);
        let mounts = Mounts::read().ok();
        for snapshot in process::all() {
            let cgroup = process::cgroup_path(snapshot.pid).unwrap_or_default();
            if !is_within(&cgroup, &scope) {
                continue;
            }
            let process = self.process_of(&snapshot, mounts.as_ref());
            if let Err(error) = self.maps.processes.add(snapshot.pid, &process) {
                tracing::warn!(error = error_chain(&error), "not all processes are known");
                return;
            }
        }
    }

    fn process_of(&mut self, snapshot: &Snapshot, mounts: Option<&Mounts>) -> Process {
        let link = format!("/proc/{}/exe", snapshot.pid);
        let exe = mounts.and_then(|mounts| executable::open(Path::new(&link), mounts).ok());
        let exe = exe.map_or(ExeKey::NONE, |exe| exe.key);
        if !exe.is_none()
            && let Ok(path) = fs::read_link(Path::new(&link))
        {
            self.known_exes.insert(exe, path.display().to_string());
        }
        let mut process = Process {
            start_ns: snapshot.start_ns,
            parent: snapshot.parent,
            user: snapshot.user,
            exe,
            former_exe: exe,
            ..Process::ZERO
        };
        for (place, byte) in process.comm.iter_mut().zip(snapshot.comm.bytes().take(15)) {
            *place = byte;
        }
        process
    }

    /// Forgets those of these processes that ended without a hook to tell of it.
    pub(super) fn forget_those_that_ended(&mut self, numbers: &[u32]) {
        let at_ns = now().boot_ns;
        for pid in numbers {
            let Some(process) = self.maps.processes.living(*pid) else {
                continue;
            };
            // `/proc` may not have one that has just been forked.
            let lives = process.start_ns + TICK_NS > at_ns
                || process::start_ns(*pid)
                    .is_some_and(|start_ns| start_ns.abs_diff(process.start_ns) <= TICK_NS);
            if !lives {
                self.maps.processes.forget(*pid);
            }
        }
    }
}

fn is_within(path: &str, scope: &str) -> bool {
    let scope = scope.trim_end_matches('/');
    path.strip_prefix(scope)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
