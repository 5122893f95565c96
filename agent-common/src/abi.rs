//! Names, sizes and the version of everything that the agent and its kernel programs share.
//!
//! Pinned maps outlive the agent, so a layout change must raise [`VERSION`]: an agent that finds
//! pins of another version replaces them instead of reading them wrongly.

/// Layout version of all pinned maps. Raise it with every change of a key, a value or a record.
pub const VERSION: u32 = 6;

/// Names of the maps, as in the object file and in the pin directory.
pub mod map {
    /// Whose limits an identity uses up, where they are not its own.
    pub const ACCOUNTS: &str = "ACCOUNTS";
    pub const ADDRESSES: &str = "ADDRESSES";
    pub const ARGUMENTS: &str = "ARGUMENTS";
    /// Calls on connections, with their sockets.
    pub const CALLS: &str = "CALLS";
    pub const CGROUPS: &str = "CGROUPS";
    pub const CONFIG: &str = "CONFIG";
    /// Identities of whose new cgroups nobody wants to know.
    pub const CROWDED: &str = "CROWDED";
    pub const COUNTERS: &str = "COUNTERS";
    pub const ENDED: &str = "ENDED";
    pub const EVENTS: &str = "EVENTS";
    pub const EXE_CLASSES: &str = "EXE_CLASSES";
    pub const EXES: &str = "EXES";
    /// Not pinned: another agent tells again.
    pub const FOREIGN: &str = "FOREIGN";
    pub const IDENTITIES: &str = "IDENTITIES";
    pub const INSPECTED: &str = "INSPECTED";
    pub const LEARNED: &str = "LEARNED";
    pub const LIMITS: &str = "LIMITS";
    pub const LIVE: &str = "LIVE";
    pub const LOSSES: &str = "LOSSES";
    pub const NAMES: &str = "NAMES";
    pub const NARROWED: &str = "NARROWED";
    pub const OPEN: &str = "OPEN";
    pub const ORDINARY: &str = "ORDINARY";
    pub const PATHS: &str = "PATHS";
    pub const PREFIXES: &str = "PREFIXES";
    pub const PRESENT: &str = "PRESENT";
    pub const PROCESSES: &str = "PROCESSES";
    pub const REFUSALS: &str = "REFUSALS";
    pub const RESOLVERS: &str = "RESOLVERS";
    pub const RULES: &str = "RULES";
    pub const SCRIPTS: &str = "SCRIPTS";
    pub const USED: &str = "USED";
    pub const USER_CLASSES: &str = "USER_CLASSES";

    /// Every map, in the order in which the agent opens them.
    pub const ALL: [&str; 32] = [
        ACCOUNTS,
        ADDRESSES,
        ARGUMENTS,
        CALLS,
        CGROUPS,
        CONFIG,
        COUNTERS,
        CROWDED,
        ENDED,
        EVENTS,
        EXE_CLASSES,
        EXES,
        IDENTITIES,
        INSPECTED,
        LEARNED,
        LIMITS,
        LIVE,
        LOSSES,
        NAMES,
        NARROWED,
        OPEN,
        ORDINARY,
        PATHS,
        PREFIXES,
        PRESENT,
        PROCESSES,
        REFUSALS,
        RESOLVERS,
        RULES,
        SCRIPTS,
        USED,
        USER_CLASSES,
    ];
}

/// Names of the programs, as in the object file and in the pin directory.
pub mod program {
    pub const CONNECT4: &str = "connect4";
    pub const CONNECT6: &str = "connect6";
    pub const SENDMSG4: &str = "sendmsg4";
    pub const SENDMSG6: &str = "sendmsg6";
    pub const SOCK_CREATE: &str = "sock_create";
    pub const SOCKET_CREATE: &str = "socket_create";
    pub const TUN_CREATE: &str = "tun_create";
    pub const INGRESS: &str = "ingress";
    pub const EGRESS: &str = "egress";
    pub const CALLS_SENT: &str = "calls_sent";
    pub const CALLS_RECEIVED: &str = "calls_received";
    pub const SOCK_STATE: &str = "sock_state";
    pub const SOCK_OPS: &str = "sock_ops";
    pub const CGROUP_MADE: &str = "cgroup_made";
    pub const CGROUP_REMOVED: &str = "cgroup_removed";
    pub const FORKED: &str = "forked";
    pub const EXECUTED: &str = "executed";
    pub const EXITED: &str = "exited";
    pub const FOREIGN_SEND: &str = "foreign_send";
    pub const FOREIGN_SENDMSG: &str = "foreign_sendmsg";
}

/// Names of the constants that the loader writes into the programs.
pub mod global {
    pub const SETTINGS: &str = "SETTINGS";
    pub const OFFSETS: &str = "OFFSETS";
}

/// Largest number of (address, port) pairs of one revision.
pub const MAX_ADDRESSES: u32 = 65_536;
/// Largest number of prefixes of one revision.
pub const MAX_PREFIXES: u32 = 16_384;
/// Largest number of rule entries (identity × endpoint) of one revision.
pub const MAX_RULES: u32 = 131_072;
/// Grants with limits, and what identities have used of them.
pub const MAX_LIMITS: u32 = 65_536;
pub const MAX_USED: u32 = 131_072;
/// Identities that use up the limits of another one.
pub const MAX_ACCOUNTS: u32 = 131_072;
/// Largest number of cgroups with an identity.
pub const MAX_CGROUPS: u32 = 65_536;
/// Identities that have more cgroups than are named.
pub const MAX_CROWDED: u32 = 16_384;
/// Largest number of counter rows; later rows are counted in the overflow row.
pub const MAX_COUNTERS: u32 = 65_536;
/// Largest number of open connections whose close needs to be told what was decided.
pub const MAX_OPEN: u32 = 65_536;
/// Sockets of others whose use has been judged.
pub const MAX_FOREIGN: u32 = 16_384;
/// Nodes of one revision's tree of names.
pub const MAX_NAMES: u32 = 65_536;
/// Addresses learnt from answers of the DNS, and those of ordinary names.
pub const MAX_LEARNED: u32 = 65_536;
pub const MAX_ORDINARY: u32 = 32_768;
/// Resolvers whose answers are believed.
pub const MAX_RESOLVERS: u32 = 256;
/// Paths of cgroups whose identity is known before they are made.
pub const MAX_PATHS: u32 = 16_384;
/// Living processes that are remembered, and some that have ended.
pub const MAX_PROCESSES: u32 = 131_072;
pub const MAX_ENDED: u32 = 16_384;
/// Executables whose path is remembered.
pub const MAX_EXES: u32 = 4_096;
/// Processes whose script, and whose arguments, are remembered.
pub const MAX_TEXTS: u32 = 4_096;
/// Executables, and users, that policy names.
pub const MAX_CLASSES: u32 = 4_096;
/// Identities of processes within one workload.
pub const MAX_NARROWED: u32 = 65_536;
/// Size of the ring of cgroups that come and go in bytes.
pub const CGROUP_RING_BYTES: u32 = 1 << 20;
/// Size of the ring of refused connections in bytes.
pub const REFUSAL_RING_BYTES: u32 = 256 << 10;
/// Size of the event ring in bytes.
pub const EVENT_RING_BYTES: u32 = 4 << 20;

/// `unsafe impl aya::Pod`, and compile-time proof of size and alignment, for a shared layout.
macro_rules! layout {
    ($type:ty, size = $size:expr, align = $align:expr) => {
        const _: () = assert!(size_of::<$type>() == $size && align_of::<$type>() == $align);

        // SAFETY: the type is `repr(C)`, made of integers only, and the assertion above together
        // with explicit padding fields leaves no uninitialised byte.
        #[cfg(feature = "user")]
        unsafe impl aya::Pod for $type {}
    };
}
pub(crate) use layout;
