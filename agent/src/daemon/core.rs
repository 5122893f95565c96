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

use agent_common::{abi::program, settings::CloseSource};
use jiff::Timestamp;
use nix::fcntl::{Flock, FlockArg};
use tokio::sync::watch;

use super::{
    Input, StartError,
    addresses::{AddressBook, Wanted},
    ending::EndedCounts,
    labels::Labeller,
    latency::Latency,
    narrowing::Narrowing,
    pods::Pods,
    policy::Running,
    processes::{KnownExes, ProcessReader},
    sources,
    tasks::Tasks,
    telling::Telling,
    workloads::Workloads,
};
use crate::{
    bpf::{
        Attached, ForeignSends, KernelError, Loaded, Maps, Options, detach_all, detach_programs,
        probe,
    },
    config::{Config, Lsm},
    error_chain,
    host::{
        cgroups::{self, Change},
        clock::{Now, now},
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
/// How often all cgroups and processes are looked for, although the kernel tells of them.
const SEARCH_EVERY: Duration = Duration::from_secs(60);

/// Everything that the agent knows.
pub struct Core {
    pub(super) config: Config,
    pub(super) host: probe::Host,
    pub(super) store: Store,
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
    /// Paths of executables that were running before the hooks were attached.
    pub(super) known_exes: KnownExes,
    /// How long new cgroups waited for their names.
    pub(super) naming: Latency,
    /// The kernel tells of cgroups, so that nobody has to look for them.
    pub(super) hears_of_cgroups: bool,
    /// The first policy of this agent has been installed.
    pub(super) is_in_force: bool,
    pub(super) started_at: Timestamp,
    /// Mistakes in the newest policy files, while an older revision stays.
    pub(super) policy_errors: Vec<String>,
    files_seen: FilesSeen,
    hosts: watch::Sender<BTreeSet<String>>,
    pub(super) scope: PathBuf,
    _lock: Flock<File>,
}

/// What tells whether a file has changed.
type FilesSeen = Vec<(PathBuf, Option<SystemTime>, u64)>;

impl Core {
    /// Store, kernel programs, policy, identities, and only then attach.
    pub(super) fn start(
        config: Config,
        hosts: watch::Sender<BTreeSet<String>>,
    ) -> Result<Self, StartError> {
        let host = probe::check()?;
        let lock = lock_state_dir(&config.state_dir)?;
        let mut store = Store::open(&config.state_dir.join("weir.db"))?;
        let scope = config
            .cgroup
            .clone()
            .unwrap_or_else(|| host.cgroup_root.clone());
        probe::check_cgroup(&scope)?;
        if probe::prepare_pin_dir(&config.pin_dir)? {
            tracing::info!("mounted a BPF file system at /sys/fs/bpf");
        }
        let (mut loaded, maps) = Loaded::load(Options {
            pin_dir: config.pin_dir.clone(),
            cgroup: scope.clone(),
            scoped: scope != host.cgroup_root,
            mode: config.mode,
            inspect: config.inspect,
            arguments: config.arguments,
            foreign_sends: ForeignSends {
                watch: config.watch_sends,
                lsm: config.lsm == Lsm::Auto,
            },
        })?;
        let pods = Pods::recall(config.kubernetes.as_ref(), &store, now().wall)?;
        let tasks = Tasks::recover(&mut store, &host.cgroup_root)?;
        let (running, policy_errors) = Running::first(&config.policy_dir, &mut store)?;
        let mut core = Self {
            files_seen: files_seen(&config.policy_dir),
            close_source: loaded.close_source,
            close_fallback: loaded.close_fallback.clone(),
            inspection: loaded.inspection.clone(),
            ended: Arc::default(),
            name_servers: BTreeMap::new(),
            attached: Attached::none(),
            workloads: Workloads::default(),
            labels: Labeller::new(&host.cgroup_root, pods),
            tasks,
            book: AddressBook::default(),
            installed_addresses: Wanted::new(),
            named_addresses: Wanted::new(),
            telling: Telling::default(),
            narrowing: Narrowing::default(),
            known_exes: KnownExes::new(),
            naming: Latency::default(),
            hears_of_cgroups: false,
            is_in_force: false,
            started_at: now().wall,
            config,
            host,
            store,
            maps,
            running,
            policy_errors,
            hosts,
            scope,
            _lock: lock,
        };
        core.forget_stale_cgroups()?;
        core.remember_addresses()?;
        core.expect_known_identities()?;
        core.rescan();
        core.narrowing.look(&core.running.revision.set);
        core.install()
            .map_err(|error| StartError::Policy(vec![error_chain(&error)]))?;
        for (cgroup, identity) in core.workloads.cgroups() {
            core.maps.identities.set(cgroup, identity)?;
        }
        core.maps.paths.replace(&core.workloads.expected())?;
        core.believe_name_servers();
        core.is_in_force = true;
        core.attached = loaded.attach()?;
        core.hears_of_cgroups = [program::CGROUP_MADE, program::CGROUP_REMOVED]
            .iter()
            .all(|hook| core.attached.covers(hook));
        if core.attached.covers(program::EXITED) {
            core.adopt_processes();
        }
        tracing::info!(
            mode = core.config.mode.name(),
            revision = core.running.number,
            cgroup = %core.scope.display(),
            "in force"
        );
        crate::host::memory::give_back();
        Ok(core)
    }

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
            Input::Reload => self.reload(),
            Input::Stop => {}
        }
    }

    fn do_what_is_due(&mut self, due: &mut Due) {
        let at = Instant::now();
        if due.drain <= at {
            due.drain = at + DRAIN_EVERY;
            self.drain();
        }
        if due.look <= at {
            due.look = at + LOOK_EVERY;
            self.check_tasks();
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

    /// Makes the running revision what the kernel looks up.
    pub(super) fn install(&mut self) -> Result<(), KernelError> {
        let uses = self.running.revision.hosts();
        let at = now();
        let unsuitable =
            |error: &dyn std::error::Error| KernelError::Unsuitable(error_chain(error));
        let before: Vec<_> = self.workloads.cgroups().collect();
        let moves = self.regroup(at.wall).map_err(|error| unsuitable(&error))?;
        if let Err(error) = self.install_for_groups(&at) {
            for (cgroup, identity) in before {
                self.workloads.move_to(cgroup, identity);
            }
            return Err(error);
        }
        for (cgroup, identity) in moves {
            self.maps.identities.set(cgroup, identity)?;
        }
        self.hosts.send_replace(uses.into_keys().collect());
        Ok(())
    }

    fn install_for_groups(&mut self, at: &Now) -> Result<(), KernelError> {
        let identities = self.workloads.identities();
        self.narrowing.begin();
        let derived = self
            .narrowing
            .derive(
                &identities,
                &self.running.revision.set,
                &mut self.maps.classes,
                &mut self.store,
                at.wall,
            )
            .map_err(|error| KernelError::Unsuitable(error_chain(&error)))?;
        let all = [identities, derived.identities].concat();
        let mut tables = self.running.tables(&all, at)?;
        tables.narrowed = derived.narrowed;
        let named = std::mem::take(&mut tables.addresses);
        tables.addresses = self.wanted_addresses(&named);
        self.maps.policy.install(&tables)?;
        self.narrowing.forget_numbers(&mut self.maps.classes);
        self.installed_addresses = tables.addresses;
        self.named_addresses = named;
        Ok(())
    }

    /// Reads again which resolvers this host asks.
    fn believe_name_servers(&mut self) {
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
        for cgroup in self.workloads.sweep(at.boot_ns) {
            if let Err(error) = self.maps.identities.remove(cgroup) {
                tracing::warn!(error = error_chain(&error), cgroup, "cgroup not forgotten");
            }
        }
        self.note_pods(at.wall);
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
        let result = self
            .maps
            .counters
            .read()
            .map_err(|error| error_chain(&error))
            .and_then(|rows| {
                let clock = |boot_ns| at.wall_of(boot_ns);
                self.store
                    .drain(self.maps.generation, &rows, &clock, at.wall)
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

fn files_seen(directory: &Path) -> FilesSeen {
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

fn lock_state_dir(directory: &Path) -> Result<Flock<File>, StartError> {
    let failed = |source| StartError::StateDir {
        path: directory.display().to_string(),
        source,
    };
    fs::create_dir_all(directory).map_err(failed)?;
    let file = File::create(directory.join("lock")).map_err(failed)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|(_, _)| StartError::Running(directory.to_owned()))
}
