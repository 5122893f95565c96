//! Records in the event ring: telemetry, never the basis of a verdict or a count.

use crate::{
    abi::layout, address::Address, destination::EndpointId, identity::IdentityId, policy::RuleId,
};

/// What happened.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// A `connect()` to a model endpoint was decided.
    Connect = 1,
    /// A datagram to a model endpoint was decided without `connect()`: the first of its counter
    /// row, and each one that is refused or would be.
    Datagram = 2,
    /// A TCP connection to a model endpoint ended.
    Close = 3,
    /// The socket of the record with the same cookie was made by this other identity.
    Foreign = 4,
    /// Data was sent on a connection that another workload had made: the first of each sender.
    Send = 5,
    /// A connection that had been let through was ended: its right is gone.
    Cut = 6,
    /// A socket that is neither TCP nor UDP was asked for: see [`Event::pack_socket`].
    Socket = 7,
}

impl EventKind {
    #[must_use]
    pub const fn from_raw(raw: u8) -> Option<Self> {
        match raw {
            1 => Some(Self::Connect),
            2 => Some(Self::Datagram),
            3 => Some(Self::Close),
            4 => Some(Self::Foreign),
            5 => Some(Self::Send),
            6 => Some(Self::Cut),
            7 => Some(Self::Socket),
            _ => None,
        }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Datagram => "datagram",
            Self::Close => "close",
            Self::Foreign => "foreign",
            Self::Send => "send",
            Self::Cut => "cut",
            Self::Socket => "socket",
        }
    }
}

/// One record. `detail` depends on the kind: cgroup id and [`Event::pack_caller`] for a decision,
/// bytes out and in for a close.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub at_ns: u64,
    /// Kernel-wide number of the socket: joins a close to its connect.
    pub cookie: u64,
    pub detail: [u64; 2],
    pub address: Address,
    pub identity: IdentityId,
    pub endpoint: EndpointId,
    pub rule: RuleId,
    /// Port in network order as stored in memory.
    pub port: u16,
    /// [`EventKind`] in the low four bits, [`crate::verdict::Verdict`] in the high four.
    pub kind_and_verdict: u8,
    /// [`crate::verdict::Reason`] in the low five bits, flags in the high three.
    pub reason_and_flags: u8,
}

layout!(Event, size = 64, align = 8);

impl Event {
    /// The socket is UDP.
    pub const UDP: u8 = 0x20;
    /// The address stands for several endpoints.
    pub const SHARED: u8 = 0x40;
    /// The first flight of the connection told the name.
    pub const NAMED: u8 = 0x80;

    #[inline(always)]
    #[must_use]
    pub const fn pack_kind(kind: EventKind, verdict: u8) -> u8 {
        kind as u8 | (verdict << 4)
    }

    /// Family of a TUN or TAP device, which is no socket.
    pub const TUN: u32 = 0;

    /// For [`Event::port`]: address family and protocol of a socket, and whether it is raw.
    #[inline(always)]
    #[must_use]
    pub const fn pack_socket(family: u32, is_raw: bool, protocol: u32) -> u16 {
        (family << Self::FAMILY_SHIFT | (is_raw as u32) << Self::RAW_SHIFT | protocol & 0x1ff)
            as u16
    }

    const RAW_SHIFT: u32 = 9;
    const FAMILY_SHIFT: u32 = 10;

    /// What [`Event::pack_socket`] was given.
    #[must_use]
    pub const fn socket(&self) -> (u32, bool, u32) {
        let packed = self.port as u32;
        (
            packed >> Self::FAMILY_SHIFT,
            packed >> Self::RAW_SHIFT & 1 != 0,
            packed & 0x1ff,
        )
    }

    /// Process id, and the user that it acts as.
    #[inline(always)]
    #[must_use]
    pub const fn pack_caller(pid: u32, user: u32) -> u64 {
        pid as u64 | (user as u64) << 32
    }

    /// Process id and user of a decision's caller.
    #[must_use]
    pub const fn caller(&self) -> (u32, u32) {
        let packed = self.detail[1];
        (packed as u32, (packed >> 32) as u32)
    }

    #[must_use]
    pub const fn kind(&self) -> Option<EventKind> {
        EventKind::from_raw(self.kind_and_verdict & 0x0f)
    }

    #[must_use]
    pub const fn verdict(&self) -> Option<crate::verdict::Verdict> {
        crate::verdict::Verdict::from_raw(self.kind_and_verdict >> 4)
    }

    #[must_use]
    pub const fn reason(&self) -> Option<crate::verdict::Reason> {
        crate::verdict::Reason::from_raw(self.reason_and_flags & 0x1f)
    }

    #[must_use]
    pub const fn has(&self, flag: u8) -> bool {
        self.reason_and_flags & flag != 0
    }

    /// Port in host order.
    #[must_use]
    pub const fn port(&self) -> u16 {
        u16::from_be(self.port)
    }

    /// Reads a record from the bytes of a ring entry.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < size_of::<Self>() {
            return None;
        }
        // SAFETY: the length was checked, every bit pattern is a valid `Event`, and the read does
        // not require alignment.
        Some(unsafe { bytes.as_ptr().cast::<Self>().read_unaligned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Reason, Verdict};

    #[test]
    fn kind_verdict_and_reason_share_two_bytes() {
        let bytes = [0_u8; 64];
        let mut event = Event::from_bytes(&bytes).expect("64 bytes");
        assert_eq!((event.kind(), event.verdict()), (None, None));
        assert_eq!(event.reason(), Some(Reason::Ungoverned));
        event.kind_and_verdict = Event::pack_kind(EventKind::Datagram, Verdict::WouldDeny as u8);
        event.reason_and_flags = Reason::NoGrant as u8 | Event::SHARED;
        assert_eq!(event.kind(), Some(EventKind::Datagram));
        assert_eq!(event.verdict(), Some(Verdict::WouldDeny));
        assert_eq!(event.reason(), Some(Reason::NoGrant));
        assert!(event.has(Event::SHARED) && !event.has(Event::UDP));
        assert_eq!(Event::from_bytes(&bytes[..63]), None);
        event.port = Event::pack_socket(10, true, 255);
        assert_eq!(event.socket(), (10, true, 255));
        event.port = Event::pack_socket(2, false, 262);
        assert_eq!(event.socket(), (2, false, 262));
    }
}
