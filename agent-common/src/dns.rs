//! Answers of the DNS, as far as they tell which addresses a name has.
//!
//! Offsets are octets from the start of the message (RFC 1035, section 4). The walk is the same in
//! the kernel and on the host; how octets are read and what is done with an address is the
//! [`Message`]'s business.

#[cfg(not(target_arch = "bpf"))]
pub mod host;

/// Records of the answer section that are looked at.
pub const MAX_RECORDS: u32 = 96;
/// Parameters of one HTTPS or SVCB record that are looked at.
const MAX_PARAMETERS: u32 = 16;

/// Priority and the shortest target of an HTTPS or SVCB record.
const MIN_SERVICE: u16 = 3;

const HEADER: u32 = 12;
/// `QR` set, `OPCODE` query, no truncation judged, `RCODE` no error.
const FLAGS_MASK: u16 = 0xf80f;
const FLAGS_ANSWER: u16 = 0x8000;

/// Record types (IANA DNS parameters).
pub mod kind {
    pub const A: u16 = 1;
    pub const CNAME: u16 = 5;
    pub const AAAA: u16 = 28;
    pub const SVCB: u16 = 64;
    pub const HTTPS: u16 = 65;
}

/// Service parameter keys (RFC 9460, section 14.3.2).
const IPV4_HINT: u16 = 4;
const IPV6_HINT: u16 = 6;

/// The fixed part of a record after its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub kind: u16,
    pub ttl: u32,
    pub len: u16,
}

/// A message that can be read, and what becomes of its addresses.
///
/// The methods that only call a function of this module are there so that the kernel can put each
/// into a function that its verifier checks once.
pub trait Message {
    fn u16_at(&mut self, at: u32) -> Option<u16>;

    /// The ten octets after a record's name.
    fn record_at(&mut self, at: u32) -> Option<Record>;

    /// Where the name that begins at `at` ends. Its first compression pointer is its end.
    fn after_name(&mut self, at: u32) -> Option<u32>;

    /// Reads the name at `at`, compressed or not, and adds what it stands for to the names of this
    /// answer. `None` if it is malformed.
    fn name_at(&mut self, at: u32) -> Option<()>;

    /// An address of `len` octets, 4 or 16, for all names of this answer.
    fn address_at(&mut self, at: u32, len: u32, ttl: u32) -> Option<()>;

    /// Calls [`names`].
    fn names_of(&mut self, at: u32) -> Option<u32>;

    /// Calls [`addresses`].
    fn addresses_of(&mut self, at: u32) -> Option<u32>;

    /// The parameters of an HTTPS or SVCB record whose data is `data..end`: calls [`hints`].
    fn hints_at(&mut self, data: u32, end: u32, ttl: u32) -> Option<()>;

    /// `len` octets of addresses of `size` octets each: calls [`list`].
    fn list_at(&mut self, first: u32, len: u32, size: u32, ttl: u32) -> Option<()>;
}

/// Walks one answer. `None` if it is malformed or too long: what came before stays learnt. What is
/// no answer, or has no records, is nothing to walk.
#[inline(always)]
pub fn answer(message: &mut impl Message) -> Option<()> {
    if message.u16_at(2)? & FLAGS_MASK != FLAGS_ANSWER || message.u16_at(4)? != 1 {
        return Some(());
    }
    let n_records = u32::from(message.u16_at(6)?);
    if n_records == 0 {
        return Some(());
    }
    message.name_at(HEADER)?;
    let first = message.after_name(HEADER)? + 4;
    // An alias counts wherever it stands, so names come before addresses.
    let mut at = first;
    let mut index = 0;
    while index < MAX_RECORDS && index < n_records {
        at = message.names_of(at)?;
        index += 1;
    }
    at = first;
    index = 0;
    while index < MAX_RECORDS && index < n_records {
        at = message.addresses_of(at)?;
        index += 1;
    }
    (n_records <= MAX_RECORDS).then_some(())
}

/// Takes the names that the record at `at` makes known; where the next record begins.
#[inline(always)]
pub fn names(message: &mut impl Message, at: u32) -> Option<u32> {
    let fixed = message.after_name(at)?;
    let record = message.record_at(fixed)?;
    let data = fixed + 10;
    // A record without data says nothing; the octets after it are not its own.
    if record.kind == kind::CNAME && record.len != 0 {
        message.name_at(data)?;
    }
    let is_service = record.kind == kind::HTTPS || record.kind == kind::SVCB;
    if is_service && record.len >= MIN_SERVICE {
        // A target of `.` is the owner itself.
        let target = data + 2;
        if message.after_name(target)? != target + 1 {
            message.name_at(target)?;
        }
    }
    Some(data + u32::from(record.len))
}

/// Takes the addresses of the record at `at`; where the next record begins.
#[inline(always)]
pub fn addresses(message: &mut impl Message, at: u32) -> Option<u32> {
    let fixed = message.after_name(at)?;
    let record = message.record_at(fixed)?;
    let data = fixed + 10;
    let len = u32::from(record.len);
    match record.kind {
        kind::A if len == 4 => message.address_at(data, 4, record.ttl)?,
        kind::AAAA if len == 16 => message.address_at(data, 16, record.ttl)?,
        kind::HTTPS | kind::SVCB if record.len >= MIN_SERVICE => {
            message.hints_at(data, data + len, record.ttl)?
        }
        _ => {}
    }
    Some(data + len)
}

/// The addresses in the parameters of an HTTPS or SVCB record.
#[inline(always)]
pub fn hints(message: &mut impl Message, data: u32, end: u32, ttl: u32) -> Option<()> {
    let mut at = message.after_name(data + 2)?;
    let mut index = 0;
    while index < MAX_PARAMETERS {
        if at + 4 > end {
            break;
        }
        let key = message.u16_at(at)?;
        let len = u32::from(message.u16_at(at + 2)?);
        let value = at + 4;
        if value + len > end {
            break;
        }
        if key == IPV4_HINT {
            message.list_at(value, len, 4, ttl)?;
        }
        if key == IPV6_HINT {
            message.list_at(value, len, 16, ttl)?;
        }
        at = value + len;
        index += 1;
    }
    Some(())
}

/// Addresses one after the other.
#[inline(always)]
pub fn list(message: &mut impl Message, first: u32, len: u32, size: u32, ttl: u32) -> Option<()> {
    let mut at = 0;
    let mut index = 0;
    while index < MAX_HINTS {
        if at + size > len {
            break;
        }
        message.address_at(first + at, size, ttl)?;
        at += size;
        index += 1;
    }
    Some(())
}

/// Addresses of one hint that are looked at.
const MAX_HINTS: u32 = 8;

/// The shortest time for which an answer is believed, in seconds: callers keep what they resolved
/// for a while, whatever the answer says.
pub const MIN_TTL: u32 = 60;
/// The longest.
pub const MAX_TTL: u32 = 86_400;

/// Nanoseconds for which an address of an ordinary name is remembered. It only moves a decision from
/// the address to the name, so long is safe, and callers may use for long what they once resolved.
pub const ORDINARY_NS: u64 = 24 * 3600 * 1_000_000_000;

/// Nanoseconds for which an answer with `ttl` seconds is believed.
#[inline(always)]
#[must_use]
pub const fn lifetime_ns(ttl: u32) -> u64 {
    let seconds = if ttl < MIN_TTL {
        MIN_TTL
    } else if ttl > MAX_TTL {
        MAX_TTL
    } else {
        ttl
    };
    seconds as u64 * 1_000_000_000
}

#[cfg(test)]
mod tests;
