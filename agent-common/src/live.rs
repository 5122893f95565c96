//! What the kernel keeps with a connection that it let through, so that it can be ended.

use crate::{
    abi::layout, address::Address, destination::EndpointId, identity::IdentityId, policy::RuleId,
};

/// Value of `LIVE`, in the socket's own storage. All zero is not watched.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// What [`crate::settings::config::EPOCH`] was when the connection was judged last; 0 before
    /// the first packet.
    pub epoch: u64,
    /// Boot clock: judged again from then on.
    pub until_ns: u64,
    /// When the agent was told to end it, 0 while it may go on.
    pub told_ns: u64,
    /// When it was connected.
    pub since_ns: u64,
    pub cookie: u64,
    /// Cgroups of the caller of `connect()` and of whoever made the socket.
    pub cgroup: u64,
    pub maker_cgroup: u64,
    pub identity: IdentityId,
    pub maker: IdentityId,
    /// Who they were when it was judged last.
    pub identity_now: IdentityId,
    pub maker_now: IdentityId,
    pub address: Address,
    pub endpoint: EndpointId,
    /// Peer's port in network order.
    pub port: u32,
    pub pid: u32,
    pub user: u32,
    pub flags: u32,
    /// The grant that it rests on, where grants have limits.
    pub grant: RuleId,
}

layout!(Live, size = 112, align = 8);

impl Live {
    /// The name decided which endpoint it is; else the address did.
    pub const NAMED: u32 = 1;
    pub const UDP: u32 = 2;
    /// The identity is that of certain processes of the cgroup.
    pub const NARROWED: u32 = 4;
    /// Nothing passes any more.
    pub const REFUSED: u32 = 8;
    /// ... because a limit of the grant is reached.
    pub const LIMIT: u32 = 16;
}
