//! HTTP/1 requests: request line, `Host`, `CONNECT`.
//!
//! Lenient where servers are: bare line feeds, spaces before the colon, folded lines, several
//! `Host` lines. Every name that a server might act on is given out.

use super::{Flight, Outcome, Phase};

/// In any case: who takes another spelling for `CONNECT` makes a tunnel, too.
const CONNECT: u64 = u64::from_be_bytes(*b"\0connect");
const LOWER_CASE: u64 = u64::from_be_bytes(*b"\0\x20\x20\x20\x20\x20\x20\x20");
const SCHEME_END: u64 = u64::from_be_bytes(*b"\0\0\0\0\0://");
/// `HTTP/` in any case, as far as the last five octets tell.
const HTTP: u64 = u64::from_be_bytes(*b"\0\0\0http/");
const FIVE_LOWER: u64 = 0x20_2020_2020;
const FIVE_OCTETS: u64 = 0xff_ffff_ffff;
/// What has been seen in brackets: a colon, which every address has, and a zone.
const LITERAL: u32 = 1;
const ZONE: u32 = 2;
const HTTPS_PORT: u32 = 443;
const HTTP_PORT: u32 = 80;

impl Flight {
    #[inline(always)]
    pub(super) fn start_http(&mut self, octet: u8) {
        self.phase = Phase::Method;
        self.flags &= Self::TUNNEL;
        self.word = octet as u64;
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the caller passes phases of this protocol only"
    )]
    #[inline(always)]
    pub(super) fn take_http(&mut self, octet: u8) -> Outcome {
        match self.phase {
            Phase::Method => self.method(octet),
            Phase::TargetStart => self.target_start(octet),
            Phase::Scheme => self.scheme(octet),
            Phase::Authority | Phase::AddressLiteral | Phase::Port => self.authority(octet),
            Phase::TargetRest => self.target_rest(octet),
            Phase::LineStart => self.line_start(octet),
            Phase::HeaderName => self.header_name(octet),
            Phase::HostStart => self.host_start(octet),
            Phase::HostFold => self.host_fold(octet),
            _ => self.header_rest(octet),
        }
    }

    #[inline(always)]
    fn method(&mut self, octet: u8) -> Outcome {
        if is_separator(octet) {
            if self.word | LOWER_CASE == CONNECT {
                self.flags |= Self::CONNECT;
            }
            self.phase = Phase::TargetStart;
            return Outcome::More;
        }
        self.word = self.word << 8 | octet as u64;
        if !is_token(octet) {
            return Outcome::Unrecognised;
        }
        Outcome::More
    }

    #[inline(always)]
    fn target_start(&mut self, octet: u8) -> Outcome {
        if is_separator(octet) {
            return Outcome::More;
        }
        if is_line_end(octet) {
            return Outcome::Unrecognised;
        }
        self.word = octet as u64;
        if self.flags & Self::CONNECT != 0 {
            self.begin_authority();
            return self.authority(octet);
        }
        self.phase = if octet.is_ascii_alphabetic() {
            Phase::Scheme
        } else {
            Phase::TargetRest
        };
        Outcome::More
    }

    /// Up to `://`, after which an absolute target names its host.
    #[inline(always)]
    fn scheme(&mut self, octet: u8) -> Outcome {
        self.word = self.word << 8 | octet as u64;
        if self.word & 0xff_ffff == SCHEME_END {
            if (self.word >> 24) as u8 | 0x20 == b's' {
                self.flags |= Self::SECURE;
            }
            self.begin_authority();
        } else if is_space(octet) || is_line_end(octet) {
            return self.end_target(octet);
        }
        Outcome::More
    }

    #[inline(always)]
    fn begin_authority(&mut self) {
        self.name.clear();
        self.port = self.default_port();
        self.word = 0;
        self.phase = Phase::Authority;
    }

    #[inline(always)]
    const fn default_port(&self) -> u32 {
        let is_host = self.flags & Self::HOST != 0;
        if self.flags & (Self::CONNECT | Self::SECURE) != 0 && !is_host {
            HTTPS_PORT
        } else if self.flags & Self::TUNNEL != 0 && is_host {
            // Where a request comes through a tunnel, its `Host` may leave the port out.
            self.tunnel
        } else {
            HTTP_PORT
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the caller passes phases of this protocol only"
    )]
    #[inline(always)]
    fn authority(&mut self, octet: u8) -> Outcome {
        match octet {
            b'/' | b'?' | b'#' | b' ' | b'\t' | b'\r' | b'\n' => return self.end_authority(octet),
            // What came before was a user's name.
            b'@' => self.begin_authority(),
            b'[' => {
                self.phase = Phase::AddressLiteral;
                self.left = 0;
            }
            b']' => {
                // Whoever only strips the brackets would find a name in them.
                if self.left & LITERAL == 0 {
                    return Outcome::Undecidable;
                }
                self.flags |= Self::ADDRESSED;
                self.phase = Phase::Port;
            }
            b':' if !matches!(self.phase, Phase::AddressLiteral) => {
                self.phase = Phase::Port;
                self.word = 0;
            }
            _ => match self.phase {
                Phase::Authority => self.name.push(octet),
                Phase::AddressLiteral => return self.literal(octet),
                Phase::Port if octet.is_ascii_digit() => {
                    self.word = (self.word * 10 + (octet - b'0') as u64) & 0xffff;
                    self.port = self.word as u32;
                }
                _ => {}
            },
        }
        Outcome::More
    }

    /// An IPv6 address, perhaps with a zone.
    #[inline(always)]
    fn literal(&mut self, octet: u8) -> Outcome {
        match octet {
            b':' => self.left |= LITERAL,
            b'%' => self.left |= ZONE,
            b'.' => {}
            _ if octet.is_ascii_hexdigit() || self.left & ZONE != 0 => {}
            _ => return Outcome::Undecidable,
        }
        Outcome::More
    }

    #[inline(always)]
    fn end_authority(&mut self, octet: u8) -> Outcome {
        let is_host = self.flags & Self::HOST != 0;
        self.flags &= !Self::HOST;
        if self.flags & Self::CONNECT != 0 && !is_host {
            // Whoever takes it for another method would find another host in it.
            if !is_space(octet) && !is_line_end(octet) {
                return Outcome::Undecidable;
            }
            self.tunnel = self.port;
        }
        self.word = 0;
        self.phase = match (is_host, octet) {
            (_, b'\n') => Phase::LineStart,
            (true, _) => Phase::HeaderRest,
            (false, _) => Phase::TargetRest,
        };
        self.name.end();
        if self.name.is_empty() {
            // An address in brackets names nobody; `Host:` without a value neither.
            return Outcome::More;
        }
        if !self.name.is_valid() {
            return Outcome::Undecidable;
        }
        if self.name.is_address() {
            self.flags |= Self::ADDRESSED;
            return Outcome::More;
        }
        self.flags |= Self::NAMED;
        Outcome::Name
    }

    /// The rest of the request line, in which the version must appear.
    #[inline(always)]
    fn target_rest(&mut self, octet: u8) -> Outcome {
        self.word = self.word << 8 | octet as u64;
        if (self.word | FIVE_LOWER) & FIVE_OCTETS == HTTP {
            self.flags |= Self::HTTP;
        }
        if octet != b'\n' {
            return Outcome::More;
        }
        self.end_target(octet)
    }

    #[inline(always)]
    fn end_target(&mut self, octet: u8) -> Outcome {
        if octet != b'\n' {
            self.phase = Phase::TargetRest;
            return Outcome::More;
        }
        if self.flags & (Self::HTTP | Self::NAMED | Self::ADDRESSED) == 0 {
            return Outcome::Unrecognised;
        }
        self.phase = Phase::LineStart;
        Outcome::More
    }

    #[inline(always)]
    fn line_start(&mut self, octet: u8) -> Outcome {
        match octet {
            b'\n' => return self.end_headers(),
            b'\r' => {}
            _ => {
                self.left = 0;
                self.phase = Phase::HeaderName;
                return self.header_name(octet);
            }
        }
        Outcome::More
    }

    #[inline(always)]
    fn end_headers(&mut self) -> Outcome {
        if self.flags & Self::CONNECT != 0 {
            self.enter_tunnel(self.tunnel);
            return Outcome::More;
        }
        if self.flags & Self::NAMED == 0 {
            return Outcome::NoName;
        }
        Outcome::End
    }

    #[inline(always)]
    fn header_name(&mut self, octet: u8) -> Outcome {
        const HOST: [u8; 4] = *b"host";
        let at = self.left;
        if at < 4 {
            if octet | 0x20 == HOST[(at & 3) as usize] {
                self.left = at + 1;
                return Outcome::More;
            }
        } else if octet == b':' {
            self.phase = Phase::HostStart;
            return Outcome::More;
        } else if is_space(octet) {
            return Outcome::More;
        }
        self.header_rest(octet)
    }

    #[inline(always)]
    fn header_rest(&mut self, octet: u8) -> Outcome {
        self.phase = if octet == b'\n' {
            Phase::LineStart
        } else {
            Phase::HeaderRest
        };
        Outcome::More
    }

    #[inline(always)]
    fn host_start(&mut self, octet: u8) -> Outcome {
        if octet == b'\n' {
            self.phase = Phase::HostFold;
            return Outcome::More;
        }
        if is_space(octet) || octet == b'\r' {
            return Outcome::More;
        }
        self.flags |= Self::HOST;
        self.begin_authority();
        self.authority(octet)
    }

    /// A line that begins with a space continues the one before (RFC 9112, section 5.2).
    #[inline(always)]
    fn host_fold(&mut self, octet: u8) -> Outcome {
        if is_space(octet) {
            self.phase = Phase::HostStart;
            return Outcome::More;
        }
        self.phase = Phase::LineStart;
        self.line_start(octet)
    }
}

/// Of what a method is made (RFC 9110, section 5.6.2).
#[inline(always)]
pub(super) const fn is_token(octet: u8) -> bool {
    let is_letter = (octet | 0x20).wrapping_sub(b'a') < 26;
    let is_digit = octet.wrapping_sub(b'0') < 10;
    is_letter
        || is_digit
        || octet.wrapping_sub(b'#') < 5
        || octet.wrapping_sub(b'*') < 2
        || octet.wrapping_sub(b'-') < 2
        || octet.wrapping_sub(b'^') < 3
        || octet == b'!'
        || octet == b'|'
        || octet == b'~'
}

/// What some servers take for the end of the method, or pass over before it.
#[inline(always)]
pub(super) const fn is_separator(octet: u8) -> bool {
    matches!(
        octet,
        b' ' | b'\t' | 0x0b | 0x0c | 0x1c..=0x1f | 0x85 | 0xa0
    )
}

#[inline(always)]
const fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

#[inline(always)]
const fn is_line_end(octet: u8) -> bool {
    matches!(octet, b'\r' | b'\n')
}
