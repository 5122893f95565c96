//! Which protocols a `ClientHello` offers (RFC 7301), as far as it is in one segment.

const HANDSHAKE: u32 = 0x16;
const CLIENT_HELLO: u32 = 1;
const ALPN: u32 = 16;
/// Before the length of the session id: headers of record and message, version, random.
const FIXED: u32 = 5 + 4 + 2 + 32;
/// Extensions, and names of protocols, that are looked at.
const MAX_EXTENSIONS: u32 = 32;
const MAX_NAMES: u32 = 8;
/// `h2`, and its length before it.
const H2: u32 = 0x02_6832;

/// Octets that can be read, from the beginning of a segment's payload.
pub trait Octets {
    fn u8_at(&self, at: u32) -> Option<u32>;
    fn u16_at(&self, at: u32) -> Option<u32>;
}

/// Whether HTTP/2 is offered. `None` if that cannot be told: no hello, or not all of it.
#[inline(always)]
pub fn offers_http_2(octets: &impl Octets) -> Option<bool> {
    if octets.u8_at(0)? != HANDSHAKE || octets.u8_at(5)? != CLIENT_HELLO {
        return None;
    }
    let end = 5 + octets.u16_at(3)?;
    let ciphers = FIXED + 1 + octets.u8_at(FIXED)?;
    let compression = ciphers + 2 + octets.u16_at(ciphers)?;
    let mut at = compression + 1 + octets.u8_at(compression)? + 2;
    let mut index = 0;
    while index < MAX_EXTENSIONS {
        if at + 4 > end {
            // The last octet shows that all is there.
            octets.u8_at(end - 1)?;
            return Some(false);
        }
        let (kind, len) = (octets.u16_at(at)?, octets.u16_at(at + 2)?);
        if kind == ALPN {
            return has_http_2(octets, at + 6, at + 4 + len);
        }
        at = (at + 4 + len) & 0xffff;
        index += 1;
    }
    None
}

#[inline(always)]
fn has_http_2(octets: &impl Octets, first: u32, end: u32) -> Option<bool> {
    let mut at = first;
    let mut index = 0;
    while index < MAX_NAMES {
        if at >= end {
            return Some(false);
        }
        let len = octets.u8_at(at)?;
        if len << 16 | octets.u16_at(at + 1)? == H2 {
            return Some(true);
        }
        at = (at + 1 + len) & 0xffff;
        index += 1;
    }
    None
}
