//! What the kernel keeps with a socket until its first flight has told a name.

use crate::{
    abi::layout, address::Address, flight::Flight, identity::IdentityId, name::NameSet,
    policy::RuleEntry,
};

/// Octets that are taken from a packet at once.
pub const CHUNK: usize = 32;

/// Value of `INSPECTED`, in the socket's own storage. All zero is valid.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Inspected {
    pub flight: Flight,
    pub chunk: [u8; CHUNK],
    /// What the last name stands for.
    pub set: NameSet,
    /// Decision about the names so far, as in [`crate::verdict::Decision`].
    pub packed: u64,
    /// What the address decides by itself, in the same form, and its endpoint below.
    pub address_packed: u64,
    /// The decision that has been counted, or 0.
    pub counted: u64,
    pub cookie: u64,
    /// Cgroup and thread group of the caller of `connect()`.
    pub cgroup: u64,
    /// Cgroup that the socket was made in.
    pub maker_cgroup: u64,
    pub pid: u32,
    /// User that the caller acts as.
    pub user: u32,
    pub identity: IdentityId,
    /// Whose socket it is: another identity than the caller's, or the same.
    pub maker: IdentityId,
    pub address: Address,
    pub endpoint: u32,
    pub address_endpoint: u32,
    pub _pad: u32,
    /// Peer's port in network order.
    pub port: u32,
    /// [`State`] as a number.
    pub state: u32,
    pub flags: u32,
    /// Sequence number of the octet that comes next, in host order.
    pub next: u32,
    /// How many octets of `chunk` hold something.
    pub n_chunk: u32,
}

const _: () = assert!(size_of::<Inspected>() == 656 && align_of::<Inspected>() == 8);

/// What becomes of a socket's packets.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Octets are read until a name is found.
    Undecided = 0,
    /// Every payload is dropped.
    Refused = 1,
    /// A UDP socket: only QUIC is refused.
    Datagrams = 2,
}

impl Inspected {
    /// The address belongs to an endpoint.
    pub const KNOWN: u32 = 1;
    /// Other services answer at the address, too, so an ordinary name is believed.
    pub const SHARED: u32 = 2;
    /// Posture refuses what cannot be decided.
    pub const REFUSE_UNDECIDABLE: u32 = 4;
    /// [`Inspected::next`] is known.
    pub const SYNCHRONISED: u32 = 8;
    /// The socket is another identity's, and posture refuses that.
    pub const REFUSE_FOREIGN: u32 = 16;
    /// The caller's [`RuleEntry::SHADOWS`].
    pub const SHADOWS: u32 = RuleEntry::SHADOWS;
}

/// Record in `REFUSALS`: a connection that was refused after it had been made, for the agent to end.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub cookie: u64,
    /// The socket's own address and its peer's, in network order; IPv4 in the first word.
    pub local: [u32; 4],
    pub remote: [u32; 4],
    /// Host order.
    pub local_port: u16,
    pub remote_port: u16,
    /// `AF_INET` or `AF_INET6`.
    pub family: u16,
    /// `IPPROTO_UDP`, or else TCP.
    pub protocol: u16,
    pub pid: u32,
    /// Interface that the socket is bound to, or 0.
    pub interface: u32,
}

layout!(Refusal, size = 56, align = 8);

impl Refusal {
    /// Reads a record from the bytes of a ring entry.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < size_of::<Self>() {
            return None;
        }
        // SAFETY: the length was checked, every bit pattern is a valid `Refusal`, and the read does
        // not require alignment.
        Some(unsafe { bytes.as_ptr().cast::<Self>().read_unaligned() })
    }
}
