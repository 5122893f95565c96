//! Sockets that somebody else has connected: the key of `FOREIGN`.

use crate::{abi::layout, identity::IdentityId};

/// One identity that sends on one socket of another's.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignUse {
    pub cookie: u64,
    pub identity: IdentityId,
    /// The socket's peer, folded: a socket can be connected again.
    pub peer: u32,
}

layout!(ForeignUse, size = 16, align = 8);
