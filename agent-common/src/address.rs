//! Addresses in the one form in which they are looked up.
//!
//! The same host can be named in several ways: `1.2.3.4`, `::ffff:1.2.3.4`, NAT64
//! `64:ff9b::102:304`, 6to4 `2002:102:304::`. A rule for one of them must hold for all, so both
//! sides normalise before they store or look up.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::abi::layout;

/// An IPv6 or v4-mapped IPv6 address: four words whose bytes are in network order.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    words: [u32; 4],
}

layout!(Address, size = 16, align = 4);

/// `::ffff:0:0/96` as the third word.
const MAPPED: u32 = u32::from_ne_bytes([0, 0, 0xff, 0xff]);
/// `64:ff9b::/96` (RFC 6052) as the first word.
const NAT64: u32 = u32::from_ne_bytes([0x00, 0x64, 0xff, 0x9b]);

impl Address {
    /// `127.0.0.1`, to which the kernel sends a connection to `0.0.0.0`.
    pub const LOCALHOST_V4: Self = Self::v4_unchecked(u32::from_ne_bytes([127, 0, 0, 1]));
    /// `::1`, to which the kernel sends a connection to `::`.
    pub const LOCALHOST_V6: Self = Self {
        words: [0, 0, 0, u32::from_ne_bytes([0, 0, 0, 1])],
    };

    /// From an IPv4 address as the kernel hands it over: bytes in network order.
    #[inline(always)]
    #[must_use]
    pub const fn from_v4(word: u32) -> Self {
        if word == 0 {
            return Self::LOCALHOST_V4;
        }
        Self::v4_unchecked(word)
    }

    /// From an IPv6 address as the kernel hands it over, with every embedded IPv4 form unwrapped.
    ///
    /// `::` becomes `::1`; see [`Address::from_v6_for_socket`] for when the kernel means another.
    #[inline(always)]
    #[must_use]
    pub const fn from_v6(words: [u32; 4]) -> Self {
        let [first, second, third, fourth] = words;
        if first == 0 && second == 0 && third == MAPPED {
            return Self::from_v4(fourth);
        }
        if first == NAT64 && second == 0 && third == 0 {
            return Self::from_v4(fourth);
        }
        let [high, low, a, b] = first.to_ne_bytes();
        if high == 0x20 && low == 0x02 {
            let [c, d, _, _] = second.to_ne_bytes();
            return Self::from_v4(u32::from_ne_bytes([a, b, c, d]));
        }
        if first == 0 && second == 0 && third == 0 && fourth == 0 {
            return Self::LOCALHOST_V6;
        }
        Self { words }
    }

    /// Like [`Address::from_v6`], for a socket whose own address is `own`: the kernel turns `::`
    /// into `127.0.0.1` instead of `::1` when the socket is bound to a v4-mapped address.
    #[inline(always)]
    #[must_use]
    pub const fn from_v6_for_socket(words: [u32; 4], own: [u32; 4]) -> Self {
        let is_any = words[0] == 0 && words[1] == 0 && words[2] == 0 && words[3] == 0;
        if is_any && own[0] == 0 && own[1] == 0 && own[2] == MAPPED {
            return Self::LOCALHOST_V4;
        }
        Self::from_v6(words)
    }

    /// The normalised form of any address.
    #[must_use]
    pub fn from_ip(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::from_v4(u32::from_ne_bytes(ip.octets())),
            IpAddr::V6(ip) => Self::from_v6(words(ip.octets())),
        }
    }

    /// The address without normalisation: for the network part of a prefix.
    #[must_use]
    pub fn from_network(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::v4_unchecked(u32::from_ne_bytes(ip.octets())),
            IpAddr::V6(ip) => Self {
                words: words(ip.octets()),
            },
        }
    }

    /// As the standard library's type, v4-mapped addresses as IPv4.
    #[must_use]
    pub fn to_ip(self) -> IpAddr {
        let octets = self.octets();
        if self.is_v4() {
            let [.., a, b, c, d] = octets;
            return IpAddr::V4(Ipv4Addr::new(a, b, c, d));
        }
        IpAddr::V6(Ipv6Addr::from(octets))
    }

    /// The words two by two, as a function with few arguments takes them.
    #[inline(always)]
    #[must_use]
    pub const fn halves(self) -> (u64, u64) {
        let [a, b, c, d] = self.words();
        (a as u64 | (b as u64) << 32, c as u64 | (d as u64) << 32)
    }

    #[inline(always)]
    #[must_use]
    pub const fn from_halves(high: u64, low: u64) -> Self {
        Self {
            words: [
                high as u32,
                (high >> 32) as u32,
                low as u32,
                (low >> 32) as u32,
            ],
        }
    }

    #[inline(always)]
    #[must_use]
    pub const fn words(self) -> [u32; 4] {
        self.words
    }

    #[inline(always)]
    #[must_use]
    pub const fn from_words(words: [u32; 4]) -> Self {
        Self { words }
    }

    const fn is_v4(self) -> bool {
        self.words[0] == 0 && self.words[1] == 0 && self.words[2] == MAPPED
    }

    #[inline(always)]
    const fn v4_unchecked(word: u32) -> Self {
        Self {
            words: [0, 0, MAPPED, word],
        }
    }

    fn octets(self) -> [u8; 16] {
        let mut octets = [0; 16];
        for (chunk, word) in octets.chunks_exact_mut(4).zip(self.words) {
            chunk.copy_from_slice(&word.to_ne_bytes());
        }
        octets
    }
}

fn words(octets: [u8; 16]) -> [u32; 4] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = octets;
    [
        u32::from_ne_bytes([a, b, c, d]),
        u32::from_ne_bytes([e, f, g, h]),
        u32::from_ne_bytes([i, j, k, l]),
        u32::from_ne_bytes([m, n, o, p]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(written: &str, normalised: &str) {
        let written: IpAddr = written.parse().expect("an address");
        let normalised: IpAddr = normalised.parse().expect("an address");
        assert_eq!(Address::from_ip(written).to_ip(), normalised, "{written}");
    }

    #[test]
    fn every_form_of_an_ipv4_address_is_the_same_key() {
        for form in [
            "1.2.3.4",
            "::ffff:1.2.3.4",
            "64:ff9b::1.2.3.4",
            "2002:102:304::",
            "2002:102:304:7:8::9",
        ] {
            check(form, "1.2.3.4");
        }
    }

    #[test]
    fn unspecified_addresses_mean_loopback() {
        check("0.0.0.0", "127.0.0.1");
        check("::ffff:0.0.0.0", "127.0.0.1");
        check("64:ff9b::", "127.0.0.1");
        check("2002::", "127.0.0.1");
        check("::", "::1");
        let mapped = Address::LOCALHOST_V4.words();
        let any = [0; 4];
        let bound_to_v4 = Address::from_v6_for_socket(any, mapped);
        assert_eq!(bound_to_v4, Address::LOCALHOST_V4);
        assert_eq!(Address::from_v6_for_socket(any, any), Address::LOCALHOST_V6);
        let other = Address::from_v6_for_socket([1; 4], mapped);
        assert_eq!(other, Address::from_v6([1; 4]));
    }

    #[test]
    fn other_ipv6_addresses_stay_as_they_are() {
        for same in [
            "::1",
            "2001:db8::1",
            "64:ff9b:1::1.2.3.4",
            "fe80::1",
            "::1.2.3.4",
            "2003::1",
        ] {
            check(same, same);
        }
    }
}
