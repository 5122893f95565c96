//! The running agent: the only writer of the kernel's maps and of the store.
//!
//! One thread owns all state and takes one input at a time; everybody else sends questions to it.
//! Start-up is visible step by step in [`start`]: store, kernel programs, policy, identities, and
//! only then attach. It knows nothing of HTTP.

mod accounts;
mod address_map;
mod addresses;
mod anomalies;
mod approving;
mod audit;
mod births;
mod budgets;
mod changers;
mod changes;
mod chores;
mod comparing;
mod core;
mod crowds;
mod ending;
mod explain;
mod findings;
mod grants;
mod grouping;
mod installing;
mod labels;
mod latency;
mod limits;
mod live;
mod lives;
mod naming;
mod narrowing;
mod open;
mod pods;
mod policy;
mod processes;
mod recognition;
mod report;
mod review;
mod revision;
mod rights;
mod searching;
pub mod sources;
mod starting;
mod suggesting;
mod sweeping;
mod tasks;
mod telling;
mod testing;
mod usage;
mod who;
mod workloads;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::mpsc,
    thread::{self, JoinHandle},
};

use agent_common::cgroup::CgroupRecord;
use thiserror::Error;
use tokio::sync::{oneshot, watch};

pub use self::{
    anomalies::{AnomalyError, AnomalyView, Watching},
    approving::Decision,
    audit::{Author, VerifyError, verify_audit},
    changers::ChangerError,
    changes::{ChangeError, Changed, Checked, Waiting},
    comparing::{Comparison, Recorded},
    core::Core,
    explain::{Explained, Place, Question, QuestionError, Subject, sentence},
    grants::GrantView,
    latency::LatencyView,
    limits::LimitView,
    open::OpenConnection,
    pods::KubernetesView,
    policy::check_files,
    processes::ProcessView,
    recognition::{Certainty, Recognised},
    report::{CapacityUse, StatusView},
    review::{GrantReview, recorded_grant},
    revision::RevisionError,
    rights::RightsView,
    suggesting::SuggestionError,
    tasks::{TaskEnded, TaskError, TaskRequest, TaskView, lease_name},
    testing::{CaseOutcome, test_files},
    who::{Aim, FormerTalker, LiveTalker, TalkedTo, Talkers, WhoError},
};
use crate::{
    bpf::KernelError,
    config::Config,
    host::{
        cgroups::{CgroupWatcher, Change},
        checkpoints::CheckpointError,
        priority,
        resolver::{self, Answer},
        sockets::Connection,
        webhooks::Delivered,
    },
    kube::{Update, run as follow_pods},
    store::StoreError,
};

/// Why the agent could not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("another agent is running with `{}`", .0.display())]
    Running(PathBuf),
    #[error("prepare the state directory `{path}`")]
    StateDir {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("prove the audit")]
    Checkpoints(#[from] CheckpointError),
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error("read the policy directory `{path}`")]
    PolicyDir {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("no policy can be installed: {}", .0.join("; "))]
    Policy(Vec<String>),
    #[error("watch cgroups below `{path}`")]
    Watch {
        path: String,
        #[source]
        source: notify::Error,
    },
    #[error("start a thread")]
    Thread(#[source] std::io::Error),
}

/// What can happen to the agent.
enum Input {
    Ask(Box<dyn FnOnce(&mut Core) + Send>),
    Cgroup(Change),
    /// The kernel tells of cgroups.
    Cgroups(Vec<CgroupRecord>),
    /// All cgroups have been looked for.
    Found(searching::Found),
    Resolved(Answer),
    Pods(Update),
    /// All connections of the host.
    Connections(Vec<Connection>),
    /// Of notices about anomalies.
    Told(Delivered),
    /// Read the policy files again, whether they changed or not.
    Reload,
    Stop,
}

/// Sends questions to the thread that owns the state.
#[derive(Clone)]
pub struct Handle {
    inputs: mpsc::Sender<Input>,
}

/// The agent has stopped.
#[derive(Clone, Copy, Debug, Error)]
#[error("the agent is stopping")]
pub struct Stopped;

impl Handle {
    /// Runs `question` where the state is, between two other inputs.
    ///
    /// # Errors
    ///
    /// When the agent is stopping.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Core) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (sender, answer) = oneshot::channel();
        let question = Box::new(move |core: &mut Core| {
            // Nobody waits any more when a client has hung up.
            let _ = sender.send(question(core));
        });
        self.inputs
            .send(Input::Ask(question))
            .map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// Reads the policy files again.
    pub fn reload(&self) {
        // An agent that has stopped has nothing to reload.
        let _ = self.inputs.send(Input::Reload);
    }
}

/// A started agent: in force, and answering through its handle.
pub struct Daemon {
    pub handle: Handle,
    thread: JoinHandle<()>,
    /// Where the kernel does not tell of cgroups.
    _watcher: Option<CgroupWatcher>,
}

/// Puts the agent in force. Must be called within a tokio runtime, which resolves names and
/// follows pods.
///
/// # Errors
///
/// When anything that the promise depends on is missing; nothing is attached then that was not
/// attached before.
pub fn start(config: Config) -> Result<Daemon, StartError> {
    let (inputs, received) = mpsc::channel();
    let (hosts, wanted_hosts) = watch::channel(BTreeSet::new());
    let mut core = Core::start(config, hosts, inputs.clone())?;

    let watcher = match core.maps.cgroups.take() {
        Some(ring) if core.hears_of_cgroups => {
            births::start(ring, inputs.clone()).map_err(StartError::Thread)?;
            None
        }
        Some(_) | None => Some(watch(core.cgroup_directory(), inputs.clone())?),
    };
    // What has come between the first scan and the watch.
    core.search_now();
    if core.resolves() {
        let answers = inputs.clone();
        tokio::spawn(resolver::run(wanted_hosts, move |answer| {
            // As above.
            let _ = answers.send(Input::Resolved(answer));
        }));
    }
    if let Some(options) = core.labels.pods.options() {
        let updates = inputs.clone();
        tokio::spawn(follow_pods(options, move |update| {
            // As above.
            let _ = updates.send(Input::Pods(update));
        }));
    }
    if let Some(anomalies) = &mut core.anomalies {
        anomalies.tellers.start(&inputs);
    }
    core.tell_the_rest();
    if let Some(ring) = core.maps.refusals.take() {
        ending::start(ring, core.ended.clone()).map_err(StartError::Thread)?;
    }
    if let Some(jobs) = core.live.received.take() {
        sweeping::start(jobs, inputs.clone(), core.ended.clone()).map_err(StartError::Thread)?;
    }
    let thread = thread::Builder::new()
        .name("weir-core".to_owned())
        .spawn(move || {
            priority::prefer_this_thread();
            core.run(&received);
        })
        .map_err(StartError::Thread)?;
    Ok(Daemon {
        handle: Handle { inputs },
        thread,
        _watcher: watcher,
    })
}

fn watch(directory: &Path, inputs: mpsc::Sender<Input>) -> Result<CgroupWatcher, StartError> {
    let report = move |change| {
        // Once the agent has stopped, nobody needs to know.
        let _ = inputs.send(Input::Cgroup(change));
    };
    CgroupWatcher::start(directory, report).map_err(|source| StartError::Watch {
        path: directory.display().to_string(),
        source,
    })
}

impl Daemon {
    /// Takes over what the kernel has counted and ends. The programs stay attached unless the
    /// configuration says otherwise.
    pub fn stop(self) {
        let Self {
            handle,
            thread,
            _watcher,
        } = self;
        // An error means that the thread has ended already.
        let _ = handle.inputs.send(Input::Stop);
        if thread.join().is_err() {
            tracing::error!("the agent's thread panicked");
        }
    }
}
