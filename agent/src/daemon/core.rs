//! The state, and the loop that changes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant, SystemTime},
};

use agent_common::settings::CloseSource;
use jiff::Timestamp;
use nix::fcntl::Flock;
use tokio::sync::watch;

use super::{
    Input,
    addresses::{AddressBook, Wanted},
    audit::{Prover, risky_endpoints},
    ending::EndedCounts,
    labels::Labeller,
    latency::Latency,
    live::LiveFlows,
    narrowing::Narrowing,
    policy::Running,
    processes::{KnownExes, ProcessReader},
    sources,
    tasks::Tasks,
    telling::Telling,
    workloads::Workloads,
};
use crate::{
    audit::Occasion,
    bpf::{Attached, Maps, detach_all, detach_programs, probe},
    config::Config,
    error_chain,
    host::{
        cgroups::{self, Change},
        clock::now,
        name_servers::{self, Trust},
    },
    store::Store,
};

/// How often the event ring is looked at while there are events, and while there are none.
const POLL_BUSY: Duration = Duration::from_millis(5);
const POLL_IDLE: Duration = Duration::from_millis(10);
/// How often the kernel's counters are taken over.
const DRAIN_EVERY: Duration = Duration::from_secs(2);
/// How often the policy directory is compared with what was read.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often everything is checked that should have been noticed by itself.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// How many identities that are gone may leave their rules in the kernel.
const MOST_LEFT_RULES: usize = 4_096;
/// How often all cgroups and processes are looked for, although the kernel tells of them.
const SEARCH_EVERY: Duration = Duration::from_secs(60);

/// Everything that the agent knows.
pub struct Core {
    pub(super) config: Config,
    pub(super) host: probe::Host,
    pub(super) store: Store,
    pub(super) prover: Prover,
    pub(super) maps: Maps,
    pub(super) attached: Attached,
    pub(super) close_source: CloseSource,
    pub(super) close_fallback: Option<String>,
    /// Whether names are found out in the kernel; else why not.
    pub(super) inspection: Result<(), String>,
    /// What became of connections that were refused after they had been made.
    pub(super) ended: Arc<EndedCounts>,
    /// Resolvers whose answers the kernel believes.
    pub(super) name_servers: BTreeMap<IpAddr, Trust>,
    pub(super) running: Running,
    pub(super) workloads: Workloads,
    pub(super) tasks: Tasks,
    pub(super) labels: Labeller,
    pub(super) book: AddressBook,
    pub(super) installed_addresses: Wanted,
    /// Addresses that the policy itself names.
    pub(super) named_addresses: Wanted,
    pub(super) telling: Telling,
    pub(super) narrowing: Narrowing,
    pub(super) live: LiveFlows,
    /// Paths of executables that were running before the hooks were attached.
    pub(super) known_exes: KnownExes,
    /// Identities that are gone since the policy was installed, with rules left in the kernel.
    pub(super) n_left_rules: usize,
    /// How long new cgroups waited for their names.
    pub(super) naming: Latency,
    /// The kernel tells of cgroups, so that nobody has to look for them.
    pub(super) hears_of_cgroups: bool,
    /// The first policy of this agent has been installed.
    pub(super) is_in_force: bool,
    pub(super) started_at: Timestamp,
    /// Mistakes in the newest policy files, while an older revision stays.
    pub(super) policy_errors: Vec<String>,
    pub(super) files_seen: FilesSeen,
    pub(super) hosts: watch::Sender<BTreeSet<String>>,
    pub(super) scope: PathBuf,
    pub(super) _lock: Flock<File>,
}

/// What tells whether a file has changed.
pub(super) type FilesSeen = Vec<(PathBuf, Option<SystemTime>, u64)>;

impl Core {
    /// Takes inputs until it is told to stop.
    pub(super) fn run(mut self, inputs: &Receiver<Input>) {
        let mut due = Due::new();
        let mut poll = POLL_IDLE;
        loop {
            match inputs.recv_timeout(poll) {
                Ok(Input::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(input) => self.take(input),
                Err(RecvTimeoutError::Timeout) => {}
            }
            poll = if self.take_events() {
                POLL_BUSY
            } else {
                POLL_IDLE
            };
            self.do_what_is_due(&mut due);
        }
        if self.config.detach_on_exit
            && let Err(error) = detach_programs(&self.config.pin_dir)
        {
            tracing::error!(error = error_chain(&error), "not detached");
        }
        // The programs run as long as this agent holds them, even without pins.
        self.attached = Attached::none();
        self.take_events();
        self.drain();
        self.record_stop();
        if self.config.detach_on_exit {
            match detach_all(&self.config.pin_dir) {
                Ok(_) => tracing::info!("detached"),
                Err(error) => tracing::error!(error = error_chain(&error), "not detached"),
            }
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Ask(question) => question(self),
            Input::Cgroup(Change::Made(path)) => self.discover(&path),
            Input::Cgroup(Change::Removed(path)) => {
                let below = cgroups::path_below(&self.host.cgroup_root, &path);
                self.workloads.remove_below(&below, now().boot_ns);
            }
            Input::Cgroup(Change::Missed) => self.rescan(),
            Input::Cgroups(records) => self.hear(&records),
            Input::Resolved(answer) => self.learn(&answer),
            Input::Pods(update) => self.take_pods(update),
            Input::Connections(found) => self.judge_connections(&found),
            Input::Reload => self.reload(),
            Input::Stop => {}
        }
    }

    fn do_what_is_due(&mut self, due: &mut Due) {
        self.end_expired_flows();
        let at = Instant::now();
        if due.drain <= at {
            due.drain = at + DRAIN_EVERY;
            self.drain();
        }
        if due.look <= at {
            due.look = at + LOOK_EVERY;
            self.check_tasks();
            self.prove(Occasion::Running);
            self.forward();
            if files_seen(&self.config.policy_dir) != self.files_seen {
                self.reload();
            } else if self.narrowing.look(&self.running.revision.set) {
                self.reinstall("executables or users that policy names have changed");
            } else if self.running.needs_refill(now().boot_ns) {
                self.reinstall("windows of grants have passed");
            }
        }
        if self.tasks_are_unchecked() {
            self.check_tasks();
        }
        if due.sweep <= at {
            due.sweep = at + SWEEP_EVERY;
            self.sweep();
        }
        if due.search <= at {
            due.search = at + SEARCH_EVERY;
            self.rescan();
            self.forget_ended_processes();
        }
    }

    pub(super) fn cgroup_directory(&self) -> &Path {
        &self.scope
    }

    pub(super) const fn resolves(&self) -> bool {
        self.config.resolve
    }

    /// Reads again which resolvers this host asks.
    pub(super) fn believe_name_servers(&mut self) {
        let found = name_servers::discover(&self.config.name_servers);
        if found == self.name_servers {
            return;
        }
        let hints = found.iter().map(|(ip, trust)| (*ip, *trust == Trust::Hint));
        match self.maps.resolvers.replace(&hints.collect()) {
            Ok(()) => self.name_servers = found,
            Err(error) => tracing::error!(error = error_chain(&error), "resolvers not believed"),
        }
    }

    pub(super) fn reinstall(&mut self, why: &str) {
        match self.install() {
            Ok(()) => tracing::info!(why, "installed the running revision again"),
            Err(error) => tracing::error!(error = error_chain(&error), why, "not installed"),
        }
    }

    /// Reads the policy files again; one with a mistake never replaces the running revision.
    pub(super) fn reload(&mut self) {
        self.files_seen = files_seen(&self.config.policy_dir);
        match self.replace_files() {
            Ok(()) => {
                self.policy_errors.clear();
                tracing::info!(revision = self.running.number, "installed a new revision");
            }
            Err(errors) => {
                tracing::error!(
                    ?errors,
                    revision = self.running.number,
                    "policy not installed"
                );
                self.policy_errors = errors;
            }
        }
    }

    fn sweep(&mut self) {
        let at = now();
        if !self.hears_of_cgroups {
            self.rescan();
        }
        self.rename(&at);
        let n_before = self.workloads.n_live();
        for cgroup in self.workloads.sweep(at.boot_ns) {
            if let Err(error) = self.maps.identities.remove(cgroup) {
                tracing::warn!(error = error_chain(&error), cgroup, "cgroup not forgotten");
            }
        }
        self.n_left_rules += n_before.saturating_sub(self.workloads.n_live());
        if self.n_left_rules > MOST_LEFT_RULES {
            self.reinstall("many workloads are gone whose rules are not");
        }
        self.note_pods(at.wall);
        self.record_coverage();
        self.record_tallies(false);
        self.labels.forget_names(self.workloads.labels());
        if let Err(error) = self.maps.paths.replace(&self.workloads.expected()) {
            tracing::warn!(error = error_chain(&error), "paths of cgroups not expected");
        }
        self.believe_name_servers();
        self.book.expire(at.boot_ns);
        self.update_addresses();
        self.telling.forget_old(at.boot_ns);
    }

    /// Takes over what the kernel has counted since the last time.
    pub(super) fn drain(&mut self) {
        let at = now();
        let risky = risky_endpoints(&self.running.revision);
        let is_risky = |endpoint| risky.contains(&endpoint);
        let result = self
            .maps
            .counters
            .read()
            .map_err(|error| error_chain(&error))
            .and_then(|rows| {
                let clock = |boot_ns| at.wall_of(boot_ns);
                self.store
                    .drain(self.maps.generation, &rows, &clock, &is_risky, at.wall)
                    .map_err(|error| error_chain(&error))
            });
        if let Err(error) = result {
            // Nothing is lost: the kernel keeps counting and the next drain takes it all.
            tracing::error!(error, "counters not taken over");
        }
    }

    /// Stores what the kernel has told. True if there was anything.
    pub(super) fn take_events(&mut self) -> bool {
        const BATCH: usize = 8_192;
        let events = self.maps.events.take(BATCH);
        if events.is_empty() {
            return false;
        }
        self.note_flows(&events);
        let at = now();
        let processes = ProcessReader {
            maps: &self.maps.processes,
            known: &self.known_exes,
        };
        let past = |pid, at_ns| processes.at(pid, at_ns);
        let records = self.telling.records(&events, &self.workloads, &past, &at);
        if let Err(error) = self.store.add_events(&records, self.config.kept_events) {
            tracing::error!(error = error_chain(&error), "events not stored");
        }
        true
    }
}

struct Due {
    drain: Instant,
    look: Instant,
    sweep: Instant,
    search: Instant,
}

impl Due {
    fn new() -> Self {
        let at = Instant::now();
        Self {
            drain: at + DRAIN_EVERY,
            look: at + LOOK_EVERY,
            sweep: at + SWEEP_EVERY,
            search: at + SEARCH_EVERY,
        }
    }
}

pub(super) fn files_seen(directory: &Path) -> FilesSeen {
    // A directory that cannot be read is reported when it is read for its content.
    sources::list(directory)
        .unwrap_or_default()
        .into_iter()
        .map(|path| {
            let metadata = fs::metadata(&path).ok();
            let modified = metadata
                .as_ref()
                .and_then(|metadata| metadata.modified().ok());
            let length = metadata.map_or(0, |metadata| metadata.len());
            (path, modified, length)
        })
        .collect()
}
