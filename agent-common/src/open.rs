//! Open connections, for the `sock_ops` fallback only: the value of `OPEN`, keyed by cookie.

use crate::{abi::layout, address::Address, counter::CounterKey};

/// What `connect4/6` knew and a `sock_ops` callback cannot find out.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenConnection {
    pub key: CounterKey,
    pub address: Address,
    /// Port in network order as stored in memory.
    pub port: u16,
    /// As in [`crate::event::Event`].
    pub kind_and_verdict: u8,
    pub reason_and_flags: u8,
}

layout!(OpenConnection, size = 36, align = 4);
