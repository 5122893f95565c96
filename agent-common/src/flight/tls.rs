//! `ClientHello`: record layer, handshake header, extensions.

use super::{Flight, Outcome, Phase};

/// Content types.
pub(super) const CHANGE_CIPHER_SPEC: u8 = 0x14;
pub(super) const ALERT: u8 = 0x15;
pub(super) const HANDSHAKE: u8 = 0x16;
const CLIENT_HELLO: u64 = 1;
const SERVER_NAME: u64 = 0;
const ENCRYPTED_CLIENT_HELLO: u64 = 0xfe0d;
const MAX_MESSAGE: u64 = 16_384;
/// Largest record that is accepted anywhere (RFC 5246, section 6.2.3).
const MAX_RECORD: u32 = 16_384 + 2_048;
const RECORD_HEADER: u32 = 5;
const EXTENSION_HEADER: u32 = 4;
/// Length of the list, type and length of its first name.
const SERVER_NAME_HEADER: u32 = 5;
const MAX_SESSION_ID: u64 = 32;

#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// Type and length of the handshake message.
    Message = 0,
    /// Version and random.
    Fixed,
    SessionIdLen,
    SessionId,
    CiphersLen,
    Ciphers,
    CompressionLen,
    Compression,
    ExtensionsLen,
    Extension,
    ExtensionBody,
    ServerName,
    Name,
}

impl Field {
    #[inline(always)]
    const fn is_skipped(self) -> bool {
        matches!(
            self,
            Self::Fixed | Self::SessionId | Self::Ciphers | Self::Compression | Self::ExtensionBody
        )
    }
}

impl Flight {
    /// The first octet of a record has arrived. One that is no hello is no other protocol, either.
    #[inline(always)]
    pub(super) fn start_tls(&mut self, content_type: u8) {
        self.phase = Phase::Tls;
        self.record = 0;
        self.header_left = RECORD_HEADER - 1;
        self.header = content_type as u32;
        self.message = 0;
        self.begin(Field::Message, 4);
    }

    /// Octets of the present record that no field needs.
    #[inline(always)]
    pub(super) fn skippable_tls(&self) -> u32 {
        if self.record == 0 || !self.field.is_skipped() {
            return 0;
        }
        if self.left < self.record {
            self.left
        } else {
            self.record
        }
    }

    #[inline(always)]
    pub(super) fn skip_tls(&mut self, n: u32) -> Outcome {
        self.record -= n;
        self.message -= n;
        self.left -= n;
        if self.left == 0 {
            return self.end_field();
        }
        Outcome::More
    }

    #[inline(always)]
    pub(super) fn take_tls(&mut self, octet: u8) -> Outcome {
        if self.record == 0 {
            return self.take_record_header(octet);
        }
        self.record -= 1;
        if !matches!(self.field, Field::Message) {
            if self.message == 0 {
                return Outcome::Undecidable;
            }
            self.message -= 1;
        }
        if matches!(self.field, Field::Name) {
            self.name.push(octet);
        } else {
            self.word = self.word << 8 | octet as u64;
        }
        self.left -= 1;
        if self.left == 0 {
            return self.end_field();
        }
        Outcome::More
    }

    /// A record may end anywhere, so its header interrupts a field without touching it.
    #[inline(always)]
    fn take_record_header(&mut self, octet: u8) -> Outcome {
        if self.header_left == 0 {
            self.header_left = RECORD_HEADER;
            self.header = 0;
        }
        let is_second = self.header_left == RECORD_HEADER - 1;
        self.header = self.header << 8 | octet as u32;
        self.header_left -= 1;
        if is_second && octet != 3 {
            // No TLS at all if this is the very first record.
            let is_new = matches!(self.field, Field::Message) && self.left == 4;
            return if is_new {
                Outcome::Unrecognised
            } else {
                Outcome::Undecidable
            };
        }
        if is_second && self.header >> 8 != HANDSHAKE as u32 {
            return Outcome::Undecidable;
        }
        if self.header_left == 0 {
            let len = self.header & 0xffff;
            if len == 0 || len > MAX_RECORD {
                return Outcome::Undecidable;
            }
            self.record = len;
        }
        Outcome::More
    }

    #[inline(always)]
    fn begin(&mut self, field: Field, len: u32) {
        self.field = field;
        self.left = len;
        self.word = 0;
    }

    /// Passes over `len` octets, which may be none, before `field`.
    #[inline(always)]
    fn skip_before(&mut self, skipped: Field, len: u64, next: Field, next_len: u32) -> Outcome {
        if len > self.message as u64 {
            return Outcome::Undecidable;
        }
        if len == 0 {
            self.begin(next, next_len);
        } else {
            self.begin(skipped, len as u32);
        }
        Outcome::More
    }

    #[inline(always)]
    fn end_field(&mut self) -> Outcome {
        let value = self.word;
        match self.field {
            Field::Message => {
                let len = value & 0xff_ffff;
                if value >> 24 != CLIENT_HELLO || !(34..=MAX_MESSAGE).contains(&len) {
                    return Outcome::Undecidable;
                }
                self.message = len as u32;
                self.begin(Field::Fixed, 34);
            }
            Field::Fixed => self.begin(Field::SessionIdLen, 1),
            Field::SessionIdLen => {
                if value > MAX_SESSION_ID {
                    return Outcome::Undecidable;
                }
                return self.skip_before(Field::SessionId, value, Field::CiphersLen, 2);
            }
            Field::SessionId => self.begin(Field::CiphersLen, 2),
            Field::CiphersLen => {
                return self.skip_before(Field::Ciphers, value, Field::CompressionLen, 1);
            }
            Field::Ciphers => self.begin(Field::CompressionLen, 1),
            Field::CompressionLen => {
                if value == 0 {
                    return Outcome::Undecidable;
                }
                return self.skip_before(Field::Compression, value, Field::ExtensionsLen, 2);
            }
            Field::Compression => {
                if self.message == 0 {
                    return self.end_hello();
                }
                self.begin(Field::ExtensionsLen, 2);
            }
            Field::ExtensionsLen => {
                if value != self.message as u64 {
                    return Outcome::Undecidable;
                }
                return self.next_extension();
            }
            Field::Extension => return self.begin_extension(value >> 16, value & 0xffff),
            Field::ServerName => return self.begin_server_name(value),
            Field::Name => {
                self.name.end();
                return self.next_extension();
            }
            Field::ExtensionBody => return self.next_extension(),
        }
        Outcome::More
    }

    #[inline(always)]
    fn next_extension(&mut self) -> Outcome {
        if self.message == 0 {
            return self.end_hello();
        }
        self.begin(Field::Extension, EXTENSION_HEADER);
        Outcome::More
    }

    #[inline(always)]
    fn begin_extension(&mut self, kind: u64, len: u64) -> Outcome {
        if len > self.message as u64 {
            return Outcome::Undecidable;
        }
        if kind == SERVER_NAME {
            // A second one would leave open which of them counts.
            if self.flags & Self::SNI != 0 || len <= SERVER_NAME_HEADER as u64 {
                return Outcome::Undecidable;
            }
            self.flags |= Self::SNI;
            self.extension = len as u32;
            self.begin(Field::ServerName, SERVER_NAME_HEADER);
            return Outcome::More;
        }
        if kind == ENCRYPTED_CLIENT_HELLO {
            self.flags |= Self::ECH;
        }
        if len == 0 {
            return self.next_extension();
        }
        self.begin(Field::ExtensionBody, len as u32);
        Outcome::More
    }

    #[inline(always)]
    fn begin_server_name(&mut self, value: u64) -> Outcome {
        let name_len = (value & 0xffff) as u32;
        let name_type = (value >> 16) & 0xff;
        let list_len = (value >> 24) as u32;
        // More than one name would leave open which of them counts (RFC 6066 allows one).
        let in_list = self.extension - SERVER_NAME_HEADER;
        let is_well_formed = name_type == 0
            && name_len != 0
            && name_len == in_list
            && list_len == self.extension - 2;
        if !is_well_formed {
            return Outcome::Undecidable;
        }
        self.name.clear();
        self.begin(Field::Name, name_len);
        Outcome::More
    }

    #[inline(always)]
    fn end_hello(&mut self) -> Outcome {
        if self.flags & Self::SNI == 0 || self.name.is_address() && self.name.is_valid() {
            return Outcome::NoName;
        }
        if !self.name.is_valid() {
            return Outcome::Undecidable;
        }
        Outcome::LastName
    }
}
