//! Addresses that answers of the DNS have told: filled by the kernel, hints that may be forgotten.

use crate::{abi::layout, address::Address, destination::EndpointId};

/// Key of `LEARNED`. The names of one address follow each other from index 0, so that two
/// processors that learn at the same time cannot overwrite each other.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LearnedKey {
    pub address: Address,
    pub index: u32,
}

layout!(LearnedKey, size = 20, align = 4);

/// How many endpoints and ports one address can have before it is [`Learned::OVERFLOW`].
pub const MAX_PER_ADDRESS: u32 = 8;

/// Value of `LEARNED`: one endpoint at one port of the address.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learned {
    pub endpoint: EndpointId,
    /// Network order; [`crate::destination::ANY_PORT`] for every port.
    pub port: u16,
    pub flags: u16,
    /// Boot clock.
    pub expires_ns: u64,
}

layout!(Learned, size = 16, align = 8);

impl Learned {
    /// Other services answer at this address, too.
    pub const SHARED: u16 = 1;
    /// Nobody else answers at this address, whatever other names lead there.
    pub const EXCLUSIVE: u16 = 4;
    /// The address has more endpoints than are kept.
    pub const OVERFLOW: u16 = 2;
}
