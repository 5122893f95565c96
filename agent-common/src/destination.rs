//! What an address and a port lead to: the keys and values of `ADDRESSES` and `PREFIXES`.

use crate::{abi::layout, address::Address, settings::Slot};

/// Number of a model endpoint, or of a prefix that a deny rule names.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(u32);

layout!(EndpointId, size = 4, align = 4);

impl EndpointId {
    /// No endpoint; in a rule key it stands for every endpoint.
    pub const ANY: Self = Self(0);
    /// An address with more endpoints than one entry can list.
    pub const OVERFLOW: Self = Self(Self::FIRST_PREFIX - 1);
    /// Stands in a rule key for addresses of which no endpoint is known: whether the name has to be
    /// found out, and what happens if it cannot.
    pub const UNNAMED: Self = Self(Self::FIRST_PREFIX - 2);
    /// Numbers from here on are prefixes named by deny rules. They govern nobody else: an
    /// identity without a rule for such a prefix passes.
    pub const FIRST_PREFIX: u32 = 1 << 25;
    /// Bits of a number.
    pub const BITS: u32 = 26;
    const END: u32 = 1 << Self::BITS;

    #[inline(always)]
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw & (Self::END - 1))
    }

    #[inline(always)]
    #[must_use]
    pub const fn to_raw(self) -> u32 {
        self.0
    }

    #[inline(always)]
    #[must_use]
    pub const fn is_denied_prefix(self) -> bool {
        self.0 >= Self::FIRST_PREFIX
    }
}

/// How many endpoints one address can stand for before it is [`EndpointId::OVERFLOW`].
pub const ENDPOINTS_PER_ADDRESS: usize = 4;

/// The endpoints behind an address: filled from the left, the rest [`EndpointId::ANY`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    pub endpoints: [EndpointId; ENDPOINTS_PER_ADDRESS],
    /// [`Destination::SHARED`], [`Destination::BY_ADDRESS`].
    pub flags: u32,
}

layout!(Destination, size = 20, align = 4);

impl Destination {
    /// Other services answer at this address, too: the name decides.
    pub const SHARED: u32 = 1;
    /// Policy names this address itself: it decides, whatever the name.
    pub const BY_ADDRESS: u32 = 2;
    /// Nobody else answers at this address, whatever other names lead there.
    pub const EXCLUSIVE: u32 = 4;

    #[must_use]
    pub fn one(endpoint: EndpointId) -> Self {
        let mut endpoints = [EndpointId::ANY; ENDPOINTS_PER_ADDRESS];
        endpoints[0] = endpoint;
        Self {
            endpoints,
            flags: 0,
        }
    }

    /// The set of all `endpoints`; one that does not fit makes it an overflow.
    #[must_use]
    pub fn of(endpoints: impl IntoIterator<Item = EndpointId>) -> Self {
        let mut set = [EndpointId::ANY; ENDPOINTS_PER_ADDRESS];
        let mut used = 0;
        for endpoint in endpoints {
            if set.iter().take(used).any(|known| *known == endpoint) {
                continue;
            }
            match set.get_mut(used) {
                Some(place) => *place = endpoint,
                None => {
                    set[ENDPOINTS_PER_ADDRESS - 1] = EndpointId::OVERFLOW;
                    break;
                }
            }
            used += 1;
        }
        Self {
            endpoints: set,
            flags: 0,
        }
    }

    /// The endpoints and flags of both.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        let endpoints = self.endpoints.into_iter().chain(other.endpoints);
        let set = Self::of(endpoints.filter(|endpoint| *endpoint != EndpointId::ANY));
        Self {
            flags: self.flags | other.flags,
            ..set
        }
    }

    /// Whether the address alone does not tell which endpoint is meant.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.endpoints[1] != EndpointId::ANY
    }
}

/// Key of `ADDRESSES`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressKey {
    address: Address,
    /// Port in network order in the low half as stored in memory, then the slot, then zero.
    port_and_slot: u32,
}

layout!(AddressKey, size = 20, align = 4);

/// Stands for every port in a key.
pub const ANY_PORT: u16 = 0;

impl AddressKey {
    /// `port` in network order, as the kernel hands it over.
    #[inline(always)]
    #[must_use]
    pub const fn new(address: Address, port: u16, slot: Slot) -> Self {
        Self {
            address,
            port_and_slot: port_and_slot(port, slot),
        }
    }

    #[must_use]
    pub const fn address(self) -> Address {
        self.address
    }

    /// Port in host order.
    #[must_use]
    pub const fn port(self) -> u16 {
        let [high, low, _, _] = self.port_and_slot.to_ne_bytes();
        u16::from_be_bytes([high, low])
    }

    #[must_use]
    pub const fn slot(self) -> Slot {
        slot(self.port_and_slot)
    }
}

/// Data part of the key of `PREFIXES`: slot and port are matched in full, then the address.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrefixKey {
    port_and_slot: u32,
    address: Address,
}

layout!(PrefixKey, size = 20, align = 4);

impl PrefixKey {
    /// Length in bits of everything before the address.
    pub const HEADER_BITS: u32 = 32;
    /// Length in bits of a key that names one address.
    pub const FULL_BITS: u32 = Self::HEADER_BITS + 128;

    /// `port` in network order, as the kernel hands it over.
    #[inline(always)]
    #[must_use]
    pub const fn new(address: Address, port: u16, slot: Slot) -> Self {
        Self {
            port_and_slot: port_and_slot(port, slot),
            address,
        }
    }

    #[must_use]
    pub const fn slot(self) -> Slot {
        slot(self.port_and_slot)
    }
}

#[inline(always)]
const fn port_and_slot(port: u16, slot: Slot) -> u32 {
    let [first, second] = port.to_ne_bytes();
    u32::from_ne_bytes([first, second, slot as u8, 0])
}

const fn slot(port_and_slot: u32) -> Slot {
    match port_and_slot.to_ne_bytes() {
        [_, _, 0, _] => Slot::A,
        [_, _, _, _] => Slot::B,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_keeps_each_endpoint_once_and_says_when_it_is_full() {
        let ids = |raw: &[u32]| {
            raw.iter()
                .copied()
                .map(EndpointId::from_raw)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            Destination::of(ids(&[7, 7])),
            Destination::one(EndpointId::from_raw(7))
        );
        assert!(Destination::of(ids(&[7, 8])).is_shared());
        assert_eq!(
            Destination::of(ids(&[1, 2, 3, 4, 5])).endpoints[3],
            EndpointId::OVERFLOW
        );
    }

    #[test]
    fn a_key_reads_back_its_port() {
        let key = AddressKey::new(Address::LOCALHOST_V4, 443_u16.to_be(), Slot::B);
        let parts = (key.address(), key.port(), key.slot());
        assert_eq!(parts, (Address::LOCALHOST_V4, 443, Slot::B));
        assert_ne!(
            key,
            AddressKey::new(Address::LOCALHOST_V4, 443_u16.to_be(), Slot::A)
        );
    }
}
