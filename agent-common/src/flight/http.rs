//! HTTP/1 requests: request line, `Host`, `CONNECT`.
//!
//! Lenient where servers are: bare line feeds, spaces before the colon, folded lines, several
//! `Host` lines. Every name that a server might act on is given out.

use super::{Flight, Outcome, Phase};

const MAX_METHOD: u32 = 24;
const CONNECT: u64 = u64::from_be_bytes(*b"\0CONNECT");
const SCHEME_END: u64 = u64::from_be_bytes(*b"\0\0\0\0\0://");
/// `HTTP/`, as far as the last five octets tell.
const HTTP: u64 = u64::from_be_bytes(*b"\0\0\0HTTP/");
const FIVE_OCTETS: u64 = 0xff_ffff_ffff;
const HTTPS_PORT: u32 = 443;
const HTTP_PORT: u32 = 80;

impl Flight {
    #[inline(always)]
    pub(super) fn start_http(&mut self, octet: u8) {
        self.phase = Phase::Method;
        self.flags &= Self::TUNNEL;
        self.word = octet as u64;
        self.left = 1;
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
        if is_space(octet) {
            if self.word == CONNECT {
                self.flags |= Self::CONNECT;
            }
            self.phase = Phase::TargetStart;
            return Outcome::More;
        }
        self.left += 1;
        self.word = self.word << 8 | octet as u64;
        let is_token = octet.is_ascii_alphabetic() || octet == b'-' || octet == b'_';
        if !is_token || self.left > MAX_METHOD {
            return Outcome::Unrecognised;
        }
        Outcome::More
    }

    #[inline(always)]
    fn target_start(&mut self, octet: u8) -> Outcome {
        if is_space(octet) {
            return Outcome::More;
        }
        if is_line_end(octet) {
            return Outcome::Unrecognised;
        }
        self.word = octet as u64;
        if self.flags & Self::CONNECT != 0 {
            self.begin_authority(HTTPS_PORT);
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
            self.begin_authority(HTTP_PORT);
        } else if is_space(octet) || is_line_end(octet) {
            return self.end_target(octet);
        }
        Outcome::More
    }

    #[inline(always)]
    fn begin_authority(&mut self, port: u32) {
        self.name.clear();
        self.port = port;
        self.word = 0;
        self.phase = Phase::Authority;
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
            b'@' => self.begin_authority(self.port),
            b'[' => self.phase = Phase::AddressLiteral,
            b']' => self.phase = Phase::Port,
            b':' if !matches!(self.phase, Phase::AddressLiteral) => {
                self.phase = Phase::Port;
                self.word = 0;
            }
            _ => match self.phase {
                Phase::Authority => self.name.push(octet),
                Phase::Port if octet.is_ascii_digit() => {
                    self.word = self.word.wrapping_mul(10) + (octet - b'0') as u64;
                    self.port = (self.word & 0xffff) as u32;
                }
                _ => {}
            },
        }
        Outcome::More
    }

    #[inline(always)]
    fn end_authority(&mut self, octet: u8) -> Outcome {
        let is_host = self.flags & Self::HOST != 0;
        self.flags &= !Self::HOST;
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
        self.flags |= Self::NAMED;
        if self.name.is_address() {
            return Outcome::More;
        }
        Outcome::Name
    }

    /// The rest of the request line, in which the version must appear.
    #[inline(always)]
    fn target_rest(&mut self, octet: u8) -> Outcome {
        self.word = self.word << 8 | octet as u64;
        if self.word & FIVE_OCTETS == HTTP {
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
        if self.flags & (Self::HTTP | Self::NAMED) == 0 {
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
            self.enter_tunnel();
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
        // Where a request comes through a tunnel, its `Host` may leave the port out.
        let port = if self.flags & Self::TUNNEL != 0 {
            self.port
        } else {
            HTTP_PORT
        };
        self.flags |= Self::HOST;
        self.begin_authority(port);
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

#[inline(always)]
const fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

#[inline(always)]
const fn is_line_end(octet: u8) -> bool {
    matches!(octet, b'\r' | b'\n')
}
