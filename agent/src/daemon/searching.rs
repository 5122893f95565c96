//! Looks for all cgroups on a thread of its own: where there are thousands, that takes longer than a
//! new one may wait for its name. What it has found is a moment old when it is taken.

use std::{collections::BTreeMap, io, path::Path, sync::mpsc::Sender, thread};

use super::{Core, Input};
use crate::host::{
    cgroups,
    clock::{boot_ns, now},
};

/// Whether a search is under way.
pub(super) struct Searching {
    inputs: Sender<Input>,
    is_running: bool,
    /// It has been asked for again meanwhile.
    is_wanted: bool,
}

/// By id, with paths below the root.
pub(super) struct Found {
    cgroups: io::Result<BTreeMap<u64, String>>,
    /// Boot-clock instant at which the search began.
    began_ns: u64,
}

impl Searching {
    pub(super) const fn new(inputs: Sender<Input>) -> Self {
        Self {
            inputs,
            is_running: false,
            is_wanted: false,
        }
    }
}

impl Found {
    pub(super) fn search(root: &Path, scope: &Path) -> Self {
        Self {
            began_ns: boot_ns(),
            cgroups: cgroups::scan(root, scope),
        }
    }
}

impl Core {
    /// Looks for cgroups that nobody has reported. Returns before they are found.
    pub(super) fn search(&mut self) {
        if self.searching.is_running {
            self.searching.is_wanted = true;
            return;
        }
        let inputs = self.searching.inputs.clone();
        let (root, scope) = (self.host.cgroup_root.clone(), self.scope.clone());
        let started = thread::Builder::new()
            .name("weir-search".to_owned())
            .spawn(move || {
                // Once the agent has stopped, nobody needs to know.
                let _ = inputs.send(Input::Found(Found::search(&root, &scope)));
            });
        match started {
            Ok(_) => self.searching.is_running = true,
            Err(error) => tracing::error!(%error, "cannot look for cgroups"),
        }
    }

    /// As [`Core::search`], but waits for it.
    pub(super) fn search_now(&mut self) {
        let found = Found::search(&self.host.cgroup_root, &self.scope);
        self.take_found(found);
    }

    pub(super) fn found(&mut self, found: Found) {
        self.searching.is_running = false;
        self.take_found(found);
        if std::mem::take(&mut self.searching.is_wanted) {
            self.search();
        }
    }

    fn take_found(&mut self, found: Found) {
        let Found { cgroups, began_ns } = found;
        let at = now();
        let cgroups = match cgroups {
            Ok(cgroups) => cgroups,
            Err(error) => {
                tracing::error!(%error, "cannot list cgroups");
                return;
            }
        };
        self.workloads.retain(&cgroups, began_ns, at.boot_ns);
        for (cgroup, path) in cgroups {
            let is_known = self.workloads.path(cgroup).is_some();
            if !is_known && cgroups::is_there(&self.host.cgroup_root, &path, cgroup) {
                self.name(cgroup, &path, &at);
            }
        }
    }
}
