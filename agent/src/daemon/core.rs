//! The state, and the loop that changes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    iter,
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
    accounts::Accounts,
    addresses::{AddressBook, Wanted},
    anomalies::Anomalies,
    audit::{Prover, Refusals, risky_endpoints},
    budgets::Budgets,
    chores::Chores,
    crowds::Crowds,
    ending::EndedCounts,
    labels::Labeller,
    latency::Latency,
    live::LiveFlows,
    lives::Lives,
    narrowing::Narrowing,
    policy::Running,
    processes::{KnownExes, ProcessReader},
    searching::Searching,
    sources,
    tasks::Tasks,
    telling::Telling,
    workloads::Workloads,
};
use crate::{
    bpf::{Attached, Maps, detach_all, detach_programs, pin_lock::PinLock, probe},
    config::Config,
    error_chain,
    host::{
        cgroups::{self, Change},
        clock::now,
        name_servers::Trust,
    },
    store::Store,
};

/// How often the event ring is looked at while there are events, and while there are none.
const POLL_BUSY: Duration = Duration::from_millis(5);
const POLL_IDLE: Duration = Duration::from_millis(10);
/// Events that are stored at once, and inputs that are taken before: neither keeps a new cgroup
/// waiting for long.
const BATCH: usize = 256;
/// What fits in the ring of events.
const MOST_EVENTS: usize = 65_536;

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
    pub(super) lives: Lives,
    pub(super) refusals: Refusals,
    /// `None`: nobody looks for any.
    pub(super) anomalies: Option<Anomalies>,
    pub(super) budgets: Budgets,
    pub(super) accounts: Accounts,
    pub(super) crowds: Crowds,
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
    pub(super) searching: Searching,
    /// The first policy of this agent has been installed.
    pub(super) is_in_force: bool,
    pub(super) started_at: Timestamp,
    /// When counts were taken over last; `None` before the first time.
    pub(super) taken_over_at: Option<Timestamp>,
    /// Mistakes in the newest policy files, while an older revision stays.
    pub(super) policy_errors: Vec<String>,
    pub(super) files_seen: FilesSeen,
    pub(super) hosts: watch::Sender<BTreeSet<String>>,
    pub(super) scope: PathBuf,
    /// Of the state and of the pins: nobody else uses them.
    pub(super) _locks: (Flock<File>, PinLock),
}

/// What tells whether a file has changed.
pub(super) type FilesSeen = Vec<(PathBuf, Option<SystemTime>, u64)>;

impl Core {
    /// Takes inputs until it is told to stop.
    pub(super) fn run(mut self, inputs: &Receiver<Input>) {
        let mut chores = Chores::new(Instant::now());
        let mut poll = POLL_IDLE;
        while self.take_inputs(inputs, poll) {
            poll = match self.take_events() {
                0 => POLL_IDLE,
                BATCH.. => Duration::ZERO,
                _ => POLL_BUSY,
            };
            self.do_what_is_due(&mut chores);
        }
        if self.config.detach_on_exit
            && let Err(error) = detach_programs(&self.config.pin_dir)
        {
            tracing::error!(error = error_chain(&error), "not detached");
        }
        // The programs run as long as this agent holds them, even without pins.
        self.attached = Attached::none();
        self.take_all_events();
        self.drain();
        self.keep_what_was_learnt(true);
        self.record_stop();
        if self.config.detach_on_exit {
            match detach_all(&self.config.pin_dir) {
                Ok(_) => tracing::info!("detached"),
                Err(error) => tracing::error!(error = error_chain(&error), "not detached"),
            }
        }
    }

    /// Takes what has come, or waits for something. False once the agent has to stop.
    fn take_inputs(&mut self, inputs: &Receiver<Input>, wait: Duration) -> bool {
        let first = match inputs.recv_timeout(wait) {
            Ok(input) => input,
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        };
        for input in iter::once(first).chain(inputs.try_iter()).take(BATCH) {
            if matches!(input, Input::Stop) {
                return false;
            }
            self.take(input);
        }
        true
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Ask(question) => question(self),
            Input::Cgroup(Change::Made(path)) => self.discover(&path),
            Input::Cgroup(Change::Removed(path)) => {
                let below = cgroups::path_below(&self.host.cgroup_root, &path);
                self.workloads.remove_below(&below, now().boot_ns);
            }
            Input::Cgroup(Change::Missed) => self.search(),
            Input::Cgroups(records) => self.hear(&records),
            Input::Found(found) => self.found(found),
            Input::Resolved(answer) => self.learn(&answer),
            Input::Pods(update) => self.take_pods(update),
            Input::Connections(found) => self.judge_connections(&found),
            Input::Told(delivered) => self.note_delivery(&delivered),
            Input::Reload => self.reload(),
            Input::Stop => {}
        }
    }

    pub(super) fn cgroup_directory(&self) -> &Path {
        &self.scope
    }

    pub(super) const fn resolves(&self) -> bool {
        self.config.resolve
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
        match result {
            Ok(added) => {
                self.taken_over_at = Some(at.wall);
                self.watch_counts(&added, at.wall);
                self.reckon(&added, &at);
            }
            // Nothing is lost: the kernel keeps counting and the next drain takes it all.
            Err(error) => tracing::error!(error, "counters not taken over"),
        }
    }

    /// Stores the oldest of what the kernel has told, and says how much that was.
    fn take_events(&mut self) -> usize {
        let events = self.maps.events.take(BATCH);
        if events.is_empty() {
            return 0;
        }
        self.note_flows(&events);
        self.note_versions(&events);
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
        events.len()
    }

    /// As much as the kernel can have told by now.
    pub(super) fn take_all_events(&mut self) {
        let mut n_taken = 0;
        while n_taken < MOST_EVENTS {
            match self.take_events() {
                0 => break,
                n_more => n_taken += n_more,
            }
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
