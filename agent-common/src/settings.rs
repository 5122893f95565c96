//! Constants that the loader writes into the programs before the kernel verifies them.
//!
//! They live in frozen read-only memory, so the verifier knows their values and removes the
//! branches that they rule out. In [`Mode::Observe`] the instructions that return a denial are
//! gone from the loaded program: an observing agent cannot refuse, whatever its maps say.

use crate::abi::layout;

/// What becomes of a denial.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Everything is allowed and counted as allowed.
    #[default]
    Observe = 0,
    /// Everything is allowed; what policy refuses is counted as `would-deny`.
    Shadow = 1,
    /// What policy refuses is refused.
    Enforce = 2,
}

impl Mode {
    pub const ALL: [Self; 3] = [Self::Observe, Self::Shadow, Self::Enforce];

    /// Unknown numbers are [`Mode::Observe`]: a mode that cannot harm.
    #[inline(always)]
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            1 => Self::Shadow,
            2 => Self::Enforce,
            _ => Self::Observe,
        }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Shadow => "shadow",
            Self::Enforce => "enforce",
        }
    }
}

/// Who folds the bytes of a closed connection into the counters.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CloseSource {
    /// Nobody: byte counts are unknown.
    #[default]
    None = 0,
    /// The BTF tracepoint `inet_sock_set_state`: exact, also for aborted connections.
    SockState = 1,
    /// `sock_ops` callbacks: exact, for connections that the agent saw being made.
    SockOps = 2,
}

impl CloseSource {
    #[inline(always)]
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        match raw {
            1 => Self::SockState,
            2 => Self::SockOps,
            _ => Self::None,
        }
    }
}

/// The `SETTINGS` constant.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// [`Mode`] as a number.
    pub mode: u32,
    /// [`CloseSource`] as a number.
    pub close_source: u32,
    /// 1 when the programs are attached below the cgroup root: global hooks then ignore cgroups
    /// without an identity.
    pub scoped: u32,
    /// Which load of the close hook this is; only the one that `CONFIG` names counts. While an
    /// agent replaces another, both hooks are attached: a tracepoint link cannot be updated.
    pub close_id: u32,
    /// 1 when first flights are looked at: connections to addresses whose name is not certain are
    /// then judged by their first packets.
    pub inspects: u32,
    /// Inode of the agent's network namespace. Answers of the DNS that arrive in another one are
    /// hints: whoever owns that one can put any address on an interface of its own.
    pub netns: u32,
    /// 1 when the first bytes of a process's arguments are kept.
    pub arguments: u32,
}

layout!(Settings, size = 28, align = 4);

/// The `OFFSETS` constant: byte offsets of kernel structure members, from the kernel's BTF.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    pub sock_cookie: u32,
    pub sock_cgroup: u32,
    /// Not an offset: 1 where the verifier lets the programs follow pointers from socket and task.
    pub is_typed: u32,
    pub sock_family: u32,
    pub sock_daddr: u32,
    pub sock_v6_daddr: u32,
    pub sock_dport: u32,
    pub sock_flags: u32,
    pub sock_protocol: u32,
    pub sock_rcv_saddr: u32,
    pub sock_v6_rcv_saddr: u32,
    pub sock_num: u32,
    pub sock_bound_if: u32,
    pub socket_sk: u32,
    pub tcp_bytes_acked: u32,
    pub tcp_bytes_received: u32,
    pub tcp_snd_una: u32,
    pub tcp_write_seq: u32,
    pub cgroup_kn: u32,
    pub kernfs_node_id: u32,
    pub sock_net: u32,
    pub net_inum: u32,
    pub skb_head: u32,
    pub skb_end: u32,
    pub shared_info_flags: u32,
    /// Not an offset: 1 where the flags are those of kernels before 5.12.
    pub shared_info_is_old: u32,
    pub cgroup_self: u32,
    pub cgroup_parent: u32,
    pub cgroup_root: u32,
    pub root_hierarchy: u32,
    pub task_tgid: u32,
    pub task_start: u32,
    pub task_parent: u32,
    pub task_signal: u32,
    pub task_flags: u32,
    pub task_mm: u32,
    pub task_cgroups: u32,
    pub task_cred: u32,
    pub cred_user: u32,
    pub css_set_cgroup: u32,
    pub signal_live: u32,
    pub mm_arg_start: u32,
    pub mm_arg_end: u32,
    pub binary_file: u32,
    pub binary_filename: u32,
    pub binary_interpreter: u32,
    pub file_inode: u32,
    pub file_dentry: u32,
    pub file_mount: u32,
    pub inode_number: u32,
    pub inode_super: u32,
    pub inode_generation: u32,
    pub inode_changed_s: u32,
    pub inode_changed_ns: u32,
    pub super_device: u32,
    pub dentry_parent: u32,
    pub dentry_name: u32,
    pub mount_parent: u32,
    pub mount_point: u32,
    pub mount_own: u32,
    pub mount_root: u32,
}

layout!(Offsets, size = 244, align = 4);

impl Offsets {
    /// Before the loader has written them.
    pub const ZERO: Self = Self {
        sock_cookie: 0,
        sock_cgroup: 0,
        is_typed: 0,
        sock_family: 0,
        sock_daddr: 0,
        sock_v6_daddr: 0,
        sock_dport: 0,
        sock_flags: 0,
        sock_protocol: 0,
        sock_rcv_saddr: 0,
        sock_v6_rcv_saddr: 0,
        sock_num: 0,
        sock_bound_if: 0,
        socket_sk: 0,
        tcp_bytes_acked: 0,
        tcp_bytes_received: 0,
        tcp_snd_una: 0,
        tcp_write_seq: 0,
        cgroup_kn: 0,
        kernfs_node_id: 0,
        sock_net: 0,
        net_inum: 0,
        skb_head: 0,
        skb_end: 0,
        shared_info_flags: 0,
        shared_info_is_old: 0,
        cgroup_self: 0,
        cgroup_parent: 0,
        cgroup_root: 0,
        root_hierarchy: 0,
        task_tgid: 0,
        task_start: 0,
        task_parent: 0,
        task_signal: 0,
        task_flags: 0,
        task_mm: 0,
        task_cgroups: 0,
        task_cred: 0,
        cred_user: 0,
        css_set_cgroup: 0,
        signal_live: 0,
        mm_arg_start: 0,
        mm_arg_end: 0,
        binary_file: 0,
        binary_filename: 0,
        binary_interpreter: 0,
        file_inode: 0,
        file_dentry: 0,
        file_mount: 0,
        inode_number: 0,
        inode_super: 0,
        inode_generation: 0,
        inode_changed_s: 0,
        inode_changed_ns: 0,
        super_device: 0,
        dentry_parent: 0,
        dentry_name: 0,
        mount_parent: 0,
        mount_point: 0,
        mount_own: 0,
        mount_root: 0,
    };
}

/// Values of `RESOLVERS`.
pub mod resolver {
    /// What it answers in the agent's network namespace decides at `connect()`.
    pub const TRUSTED: u32 = 1;
    /// What it answers moves decisions to the name: anybody may listen there.
    pub const HINT: u32 = 2;
}

/// Index into `CONFIG`, an array of 64-bit words.
pub mod config {
    /// [`super::ActivePolicy`].
    pub const ACTIVE_POLICY: u32 = 0;
    /// [`super::Settings::close_id`] of the hook that counts.
    pub const CLOSE_ID: u32 = 1;
    /// Random number of this set of maps: counters of another set start again from zero.
    pub const GENERATION: u32 = 2;
    /// Counts changes after which a connection may not be entitled any more; never 0 while an agent
    /// has installed a policy.
    pub const EPOCH: u32 = 3;
    /// 1 while the programs that count calls are in force.
    pub const COUNTS_CALLS: u32 = 4;
    /// Number of words.
    pub const COUNT: u32 = 5;
}

/// The first word of `CONFIG`: one word of which only the lowest byte is used, so that a reader never
/// sees half of an update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActivePolicy {
    pub slot: Slot,
    /// `PREFIXES` holds something.
    pub has_prefixes: bool,
    /// `ADDRESSES` or `PREFIXES` holds an entry for every port.
    pub has_any_port: bool,
    /// Some identity can be refused something, so that names behind unknown addresses matter.
    pub names_matter: bool,
    /// Policy names executables or users.
    pub has_narrowed: bool,
    /// `LIMITS` holds something.
    pub has_limits: bool,
}

/// Which half of the policy maps is live: the other is free to be filled.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slot {
    #[default]
    A = 0,
    B = 1,
}

impl Slot {
    #[inline(always)]
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        if raw & 1 == 0 { Self::A } else { Self::B }
    }

    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl ActivePolicy {
    const SLOT: u64 = 1;
    const HAS_PREFIXES: u64 = 2;
    const HAS_ANY_PORT: u64 = 4;
    const NAMES_MATTER: u64 = 8;
    const HAS_NARROWED: u64 = 16;
    const HAS_LIMITS: u64 = 32;

    #[inline(always)]
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self {
            slot: if raw & Self::SLOT == 0 {
                Slot::A
            } else {
                Slot::B
            },
            has_prefixes: raw & Self::HAS_PREFIXES != 0,
            has_any_port: raw & Self::HAS_ANY_PORT != 0,
            names_matter: raw & Self::NAMES_MATTER != 0,
            has_narrowed: raw & Self::HAS_NARROWED != 0,
            has_limits: raw & Self::HAS_LIMITS != 0,
        }
    }

    #[must_use]
    pub const fn to_raw(self) -> u64 {
        self.slot as u64
            | if self.has_prefixes {
                Self::HAS_PREFIXES
            } else {
                0
            }
            | if self.has_any_port {
                Self::HAS_ANY_PORT
            } else {
                0
            }
            | if self.names_matter {
                Self::NAMES_MATTER
            } else {
                0
            }
            | if self.has_narrowed {
                Self::HAS_NARROWED
            } else {
                0
            }
            | if self.has_limits { Self::HAS_LIMITS } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn active_policy_survives_the_map() {
        for raw in 0..64 {
            assert_eq!(ActivePolicy::from_raw(raw).to_raw(), raw);
        }
    }

    #[test]
    fn an_unknown_mode_cannot_deny() {
        assert_eq!(Mode::from_raw(3), Mode::Observe);
        for mode in Mode::ALL {
            assert_eq!(Mode::from_raw(mode as u32), mode);
        }
    }
}
