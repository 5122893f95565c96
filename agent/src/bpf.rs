//! The kernel side as the agent sees it: verbs on programs and maps. The only user of aya.
//!
//! Four visible steps: [`probe`](probe::check) the host, [`load`](Loaded::load) the programs,
//! let the daemon fill the maps, then [`attach`](Loaded::attach). Nothing here knows what a policy
//! file or a grant is.

pub mod btf;
pub mod cgroups;
pub mod classes;
pub mod counters;
pub mod events;
pub mod identities;
pub mod learned;
pub mod paths;
pub mod pin_lock;
pub mod policy;
pub mod probe;
pub mod processes;
pub mod refusals;
pub mod resolvers;

mod attach;
mod load;
mod sys;

use std::{io, path::PathBuf};

use agent_common::settings::{CloseSource, Mode};
use thiserror::Error;

pub use self::{
    attach::{Attached, Attachment, Coverage, detach_all, detach_programs},
    load::{Loaded, OPTIONAL_HOOKS},
};

/// What to load and where to attach it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory of this agent's pins, on a bpffs.
    pub pin_dir: PathBuf,
    /// Directory of the cgroup below which connections are governed.
    pub cgroup: PathBuf,
    /// Whether `cgroup` is less than the whole host.
    pub scoped: bool,
    pub mode: Mode,
    /// Whether names are found out in the kernel, at a small cost for every packet.
    pub inspect: bool,
    /// Whether the first bytes of a process's arguments are kept.
    pub arguments: bool,
    pub foreign_sends: ForeignSends,
}

/// How data on connections that another workload has made is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForeignSends {
    /// By a tracepoint, after it has left.
    pub watch: bool,
    /// By a security module, before it leaves.
    pub lsm: bool,
}

/// What the kernel side cannot do.
#[derive(Debug, Error)]
pub enum KernelError {
    #[error("{0}")]
    Unsuitable(String),
    #[error("load kernel programs")]
    Load(#[source] Box<aya::EbpfError>),
    #[error("load program `{program}`")]
    LoadProgram {
        program: &'static str,
        #[source]
        source: Box<aya::programs::ProgramError>,
    },
    #[error("attach program `{program}` to `{cgroup}`")]
    Attach {
        program: &'static str,
        cgroup: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("pin `{path}`: remove it, or run `weir detach`, if it is not this agent's")]
    Pin {
        path: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("map `{map}`: {action}")]
    Map {
        map: &'static str,
        action: &'static str,
        #[source]
        source: Box<aya::maps::MapError>,
    },
    #[error(
        "map `{map}` holds {limit} entries at most and this policy needs more: the running revision stays"
    )]
    Full { map: &'static str, limit: u32 },
    #[error("`{path}`")]
    Io {
        path: String,
        #[source]
        source: io::Error,
    },
}

impl KernelError {
    fn map(map: &'static str, action: &'static str, source: aya::maps::MapError) -> Self {
        Self::Map {
            map,
            action,
            source: Box::new(source),
        }
    }

    fn io(path: &std::path::Path, source: io::Error) -> Self {
        Self::Io {
            path: path.display().to_string(),
            source,
        }
    }
}

/// The errno behind a failed map operation, if the kernel gave one.
fn errno(error: &aya::maps::MapError) -> Option<i32> {
    if let aya::maps::MapError::SyscallError(error) = error {
        return error.io_error.raw_os_error();
    }
    matches!(error, aya::maps::MapError::KeyNotFound).then_some(libc::ENOENT)
}

/// Everything that the daemon holds of a running kernel side.
pub struct Maps {
    pub policy: policy::PolicyMaps,
    pub identities: identities::IdentityMap,
    pub counters: counters::CounterMaps,
    pub events: events::EventRing,
    pub resolvers: resolvers::ResolverMap,
    pub learned: learned::LearnedMaps,
    /// Until the thread that ends refused connections takes it.
    pub refusals: Option<refusals::RefusalRing>,
    /// Until the thread that names cgroups takes it.
    pub cgroups: Option<cgroups::CgroupRing>,
    /// Identities that cgroups get as soon as they are made.
    pub paths: paths::PathMap,
    pub processes: processes::ProcessMaps,
    pub classes: classes::ClassMaps,
    /// Random number of this set of maps: counters of another set started from zero.
    pub generation: u64,
}

/// How the bytes of closed connections are obtained, for people.
#[must_use]
pub fn close_source_name(source: CloseSource) -> &'static str {
    match source {
        CloseSource::None => "none",
        CloseSource::SockState => "inet_sock_set_state",
        CloseSource::SockOps => "sock_ops",
    }
}
