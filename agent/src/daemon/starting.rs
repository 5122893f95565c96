//! How the agent comes into force, step by step.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::Path,
    sync::{Arc, mpsc},
};

use agent_common::abi::program;
use nix::fcntl::{Flock, FlockArg};
use tokio::sync::watch;

use super::{
    Core, Input, StartError,
    accounts::Accounts,
    addresses::{AddressBook, Wanted},
    anomalies::Anomalies,
    audit::{DATABASE, Prover, Refusals},
    budgets::Budgets,
    core::files_seen,
    crowds::Crowds,
    labels::Labeller,
    latency::Latency,
    live::LiveFlows,
    lives::{Lives, Origin},
    narrowing::Narrowing,
    pods::Pods,
    policy::Running,
    processes::KnownExes,
    searching::Searching,
    tasks::Tasks,
    telling::Telling,
    workloads::Workloads,
};
use crate::{
    bpf::{Attached, ForeignSends, Loaded, Options, pin_lock::PinLock, probe},
    config::{CgroupParent, Config, Lsm},
    error_chain,
    host::{cgroups, clock::now},
    store::Store,
};

impl Core {
    /// Store, kernel programs, policy, identities, and only then attach.
    pub(super) fn start(
        config: Config,
        hosts: watch::Sender<BTreeSet<String>>,
        inputs: mpsc::Sender<Input>,
    ) -> Result<Self, StartError> {
        let host = probe::check()?;
        let lock = lock_state_dir(&config.state_dir)?;
        let mut store = Store::open_to_keep(&config.state_dir.join(DATABASE), config.usage)?;
        let last_record = store.last_record()?;
        let prover = Prover::start(&config, &mut store)?;
        let scope = config
            .cgroup
            .clone()
            .unwrap_or_else(|| host.cgroup_root.clone());
        probe::check_cgroup(&scope)?;
        if probe::prepare_pin_dir(&config.pin_dir)? {
            tracing::info!("mounted a BPF file system at /sys/fs/bpf");
        }
        let Some(pins) = PinLock::take(&config.pin_dir)? else {
            return Err(StartError::Running(config.pin_dir));
        };
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
        // Whoever governs a part of the host knows what is in it.
        let parents = config.cgroup_parents.iter().cloned();
        let parents = parents.map(CgroupParent::into_path);
        let parents = parents.chain([cgroups::path_below(&host.cgroup_root, &scope)]);
        let parents = parents.collect();
        let tasks = Tasks::recover(&mut store, &host.cgroup_root)?;
        let lives = Lives::recover(&mut store)?;
        let budgets = Budgets::recover(&maps.policy);
        let anomalies = Anomalies::recover(&config, &store, now().wall)?;
        let (running, policy_errors) = Running::first(&config, &mut store, &lives)?;
        let mut core = Self {
            files_seen: files_seen(&config.policy_dir),
            close_source: loaded.close_source,
            close_fallback: loaded.close_fallback.clone(),
            inspection: loaded.inspection.clone(),
            ended: Arc::default(),
            name_servers: BTreeMap::new(),
            attached: Attached::none(),
            workloads: Workloads::default(),
            labels: Labeller::new(&host.cgroup_root, parents, pods),
            tasks,
            book: AddressBook::default(),
            installed_addresses: Wanted::new(),
            named_addresses: Wanted::new(),
            telling: Telling::default(),
            narrowing: Narrowing::default(),
            live: LiveFlows::new(),
            known_exes: KnownExes::new(),
            n_left_rules: 0,
            naming: Latency::default(),
            hears_of_cgroups: false,
            searching: Searching::new(inputs),
            is_in_force: false,
            started_at: now().wall,
            taken_over_at: None,
            config,
            host,
            store,
            prover,
            maps,
            running,
            lives,
            refusals: Refusals::default(),
            anomalies,
            budgets,
            accounts: Accounts::default(),
            crowds: Crowds::default(),
            policy_errors,
            hosts,
            scope,
            _locks: (lock, pins),
        };
        core.forget_stale_cgroups()?;
        core.remember_addresses()?;
        core.expect_known_identities()?;
        core.search_now();
        core.narrowing.look(&core.running.revision.set);
        let revision = core.running.revision.clone();
        core.begin_lives(&revision, Origin::Files)?;
        core.install()
            .map_err(|error| StartError::Policy(vec![error_chain(&error)]))?;
        for (cgroup, identity) in core.workloads.cgroups() {
            core.maps.identities.set(cgroup, identity)?;
        }
        core.maps.paths.replace(&core.workloads.expected())?;
        core.settle_lives(Origin::Files)?;
        core.believe_name_servers();
        core.reckon(&[], &now());
        core.is_in_force = true;
        core.attached = loaded.attach()?;
        core.hears_of_cgroups = [program::CGROUP_MADE, program::CGROUP_REMOVED]
            .iter()
            .all(|hook| core.attached.covers(hook));
        if core.attached.covers(program::EXITED) {
            core.forget_those_that_ended(&core.maps.processes.numbers());
            core.adopt_processes();
        }
        tracing::info!(
            mode = core.config.mode.name(),
            revision = core.running.number,
            cgroup = %core.scope.display(),
            "in force"
        );
        if let Some(finding) = core.absent_policy() {
            tracing::warn!("{finding}");
        }
        core.record_start(last_record.as_ref())?;
        crate::host::memory::give_back();
        Ok(core)
    }
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
