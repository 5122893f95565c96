//! A filter in front of the address tables: most connections go to addresses of which nothing is
//! known, and find that out by one read of an array instead of a look-up in each table.
//!
//! Places are marked before the entry is added and never unmarked, so a place without a mark says
//! "nothing" for certain, and one with a mark says "look".

use crate::{address::Address, destination::ANY_PORT};

/// Places for one kind of entry.
const PLACES: u32 = 1 << 16;
/// Number of elements of `PRESENT`.
pub const COUNT: u32 = 3 * PLACES;

/// Where `PRESENT` tells of entries of `ADDRESSES` for this address and port (network order).
#[inline(always)]
#[must_use]
pub const fn of_address(address: Address, port: u16) -> u32 {
    place(address, port)
}

/// Where `PRESENT` tells of entries of `LEARNED` for this address.
#[inline(always)]
#[must_use]
pub const fn of_learned(address: Address) -> u32 {
    PLACES + place(address, ANY_PORT)
}

/// Where `PRESENT` tells of entries of `ORDINARY` for this address.
#[inline(always)]
#[must_use]
pub const fn of_ordinary(address: Address) -> u32 {
    2 * PLACES + place(address, ANY_PORT)
}

/// Multiplies by odd constants, whose high bits depend on all bits of the address.
#[inline(always)]
const fn place(address: Address, port: u16) -> u32 {
    let (high, low) = address.halves();
    let mixed = (high ^ port as u64)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(low)
        .wrapping_mul(0xd6e8_feb8_6659_fd93);
    (mixed >> 48) as u32
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, net::IpAddr};

    use super::*;

    #[test]
    fn neighbours_have_places_of_their_own() {
        let mut places = BTreeSet::new();
        for last in 0..=255_u8 {
            for port in [0_u16, 443, 8000] {
                let address = Address::from_ip(IpAddr::from([104, 18, 6, last]));
                let place = of_address(address, port.to_be());
                assert!(place < PLACES);
                places.insert(place);
                let learned = of_learned(address);
                assert!((PLACES..2 * PLACES).contains(&learned));
                assert!((2 * PLACES..COUNT).contains(&of_ordinary(address)));
            }
        }
        assert!(places.len() > 750, "{} of 768", places.len());
    }
}
