//! What the host knows besides the kernel's maps: cgroups, processes, names, clocks.
//!
//! One module per outside world; nothing here decides anything.

pub mod accounts;
pub mod cgroups;
pub mod checkpoints;
pub mod clock;
pub mod containers;
pub mod executable;
pub mod fault;
pub mod forward;
mod generation;
pub mod incarnation;
pub mod memory;
pub mod name;
pub mod name_servers;
mod net_namespace;
pub mod peer;
pub mod priority;
pub mod process;
pub mod resolver;
pub mod sock_destroy;
pub mod sockets;
pub mod task_cgroup;
pub mod webhooks;
