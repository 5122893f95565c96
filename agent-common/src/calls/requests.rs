//! Requests of HTTP/1 (RFC 9112): where each begins, wherever the one before has ended.
//!
//! Two lengths that contradict each other are not noticed: this counts, it does not guard.

use crate::flight;

/// Longest method that is believed to be one.
const MAX_METHOD: u64 = 24;
/// Octets of a body beyond which its length is no longer added up.
const MAX_BODY: u64 = 1 << 56;
const HTTP_1: u64 = u64::from_be_bytes(*b"HTTP/1.0");
const HTTP_2: u64 = u64::from_be_bytes(*b"HTTP/2.0");
const CONNECT: u64 = u64::from_be_bytes(*b"\0CONNECT");

const FIRST_HASH: u64 = 0xcbf2_9ce4_8422_2325;
const CONTENT_LENGTH: u64 = hash_of(b"content-length");
const TRANSFER_ENCODING: u64 = hash_of(b"transfer-encoding");

/// FNV-1a of a name in lower case.
const fn hash_of(name: &[u8]) -> u64 {
    let mut hash = FIRST_HASH;
    let mut rest = name;
    while let [octet, others @ ..] = rest {
        hash = hash_with(hash, *octet);
        rest = others;
    }
    hash
}

#[inline(always)]
const fn hash_with(hash: u64, octet: u8) -> u64 {
    (hash ^ octet as u64).wrapping_mul(0x0100_0000_01b3)
}

/// What one octet has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    More,
    /// A request line is complete.
    Request,
    /// That is no request.
    Lost,
    /// A request to the proxy is complete: what follows goes through a tunnel.
    Tunnel,
    /// What follows is HTTP/2.
    Other,
}

#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Before a request.
    Start = 0,
    Method,
    Target,
    LineStart,
    Name,
    Length,
    LineRest,
    Body,
    ChunkSize,
    ChunkRest,
    ChunkData,
    ChunkEnd,
    TrailerStart,
    TrailerRest,
    /// It is not known where the next request begins.
    Lost,
}

/// What the caller of one connection sends. All zero is a valid beginning.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Requests {
    /// The last octets, or a hash, by phase.
    word: u64,
    /// Octets left of a body or chunk, or a length that is being read.
    left: u64,
    phase: Phase,
    flags: u32,
}

impl Requests {
    const IS_CONNECT: u32 = 1;
    const IS_CHUNKED: u32 = 2;
    /// It was not known all the time where requests begin.
    const IS_GUESSED: u32 = 4;

    /// A request begins here.
    #[inline(always)]
    pub(super) fn restart(&mut self) {
        self.phase = Phase::Start;
        self.flags = 0;
    }

    /// Looks for the next request only after an answer.
    #[inline(always)]
    pub(super) fn lose(&mut self) {
        self.phase = Phase::Lost;
        self.flags = Self::IS_GUESSED;
    }

    #[inline(always)]
    pub(super) const fn is_lost(&self) -> bool {
        matches!(self.phase, Phase::Lost)
    }

    /// An answer has come: the next request begins here.
    #[inline(always)]
    pub(super) fn find(&mut self) {
        self.phase = Phase::Start;
    }

    /// Whether no request can have been missed.
    #[inline(always)]
    pub(super) const fn is_certain(&self) -> bool {
        self.flags & Self::IS_GUESSED == 0
    }

    #[inline(always)]
    pub(super) const fn skippable(&self) -> u32 {
        match self.phase {
            Phase::Body | Phase::ChunkData if self.left < u32::MAX as u64 => self.left as u32,
            Phase::Body | Phase::ChunkData | Phase::Lost => u32::MAX,
            Phase::Start
            | Phase::Method
            | Phase::Target
            | Phase::LineStart
            | Phase::Name
            | Phase::Length
            | Phase::LineRest
            | Phase::ChunkSize
            | Phase::ChunkRest
            | Phase::ChunkEnd
            | Phase::TrailerStart
            | Phase::TrailerRest => 0,
        }
    }

    #[inline(always)]
    pub(super) fn skip(&mut self, n: u32) {
        if self.is_lost() {
            return;
        }
        self.left = self.left.wrapping_sub(n as u64);
        if self.left == 0 {
            self.phase = if matches!(self.phase, Phase::ChunkData) {
                Phase::ChunkEnd
            } else {
                Phase::Start
            };
        }
    }

    #[inline(always)]
    pub(super) fn take(&mut self, octet: u8) -> Step {
        let is_end = octet == b'\n';
        match self.phase {
            Phase::Start => return self.start(octet),
            Phase::Method => return self.method(octet),
            Phase::Target => return self.target(octet),
            Phase::LineStart => return self.line_start(octet),
            Phase::Name => self.name(octet),
            Phase::Length if octet.wrapping_sub(b'0') < 10 && self.left < MAX_BODY => {
                self.left = self.left * 10 + (octet - b'0') as u64;
            }
            Phase::Length | Phase::LineRest if is_end => self.phase = Phase::LineStart,
            Phase::ChunkSize | Phase::ChunkRest if is_end => self.begin_chunk(),
            Phase::ChunkSize => self.chunk_size(octet),
            Phase::ChunkEnd if is_end => self.next_chunk(),
            Phase::ChunkEnd if octet != b'\r' => return self.fail(),
            Phase::TrailerStart if is_end => self.phase = Phase::Start,
            Phase::TrailerStart if octet != b'\r' => self.phase = Phase::TrailerRest,
            Phase::TrailerRest if is_end => self.phase = Phase::TrailerStart,
            Phase::Length
            | Phase::LineRest
            | Phase::ChunkRest
            | Phase::ChunkEnd
            | Phase::TrailerStart
            | Phase::TrailerRest
            | Phase::Body
            | Phase::ChunkData
            | Phase::Lost => {}
        }
        Step::More
    }

    #[inline(always)]
    fn fail(&mut self) -> Step {
        self.lose();
        Step::Lost
    }

    #[inline(always)]
    fn start(&mut self, octet: u8) -> Step {
        if flight::is_token(octet) {
            self.phase = Phase::Method;
            self.word = octet as u64;
            self.left = 1;
            self.flags &= Self::IS_GUESSED;
        } else if octet != b'\r' && octet != b'\n' {
            return self.fail();
        }
        Step::More
    }

    #[inline(always)]
    fn method(&mut self, octet: u8) -> Step {
        if octet == b' ' {
            if self.word == CONNECT {
                self.flags |= Self::IS_CONNECT;
            }
            self.phase = Phase::Target;
            return Step::More;
        }
        self.word = self.word << 8 | octet as u64;
        self.left += 1;
        if !flight::is_token(octet) || self.left > MAX_METHOD {
            return self.fail();
        }
        Step::More
    }

    #[inline(always)]
    fn target(&mut self, octet: u8) -> Step {
        if octet == b'\r' {
            return Step::More;
        }
        if octet != b'\n' {
            self.word = self.word << 8 | octet as u64;
            return Step::More;
        }
        if self.word == HTTP_2 {
            return Step::Other;
        }
        if self.word & !1 != HTTP_1 {
            return self.fail();
        }
        self.phase = Phase::LineStart;
        self.left = 0;
        if self.flags & Self::IS_CONNECT != 0 {
            return Step::More;
        }
        Step::Request
    }

    #[inline(always)]
    fn line_start(&mut self, octet: u8) -> Step {
        if octet == b'\r' {
            return Step::More;
        }
        if octet != b'\n' {
            self.phase = Phase::Name;
            self.word = FIRST_HASH;
            self.name(octet);
            return Step::More;
        }
        if self.flags & Self::IS_CONNECT != 0 {
            return Step::Tunnel;
        }
        if self.flags & Self::IS_CHUNKED != 0 {
            self.next_chunk();
        } else if self.left == 0 {
            self.phase = Phase::Start;
        } else {
            self.phase = Phase::Body;
        }
        Step::More
    }

    #[inline(always)]
    fn name(&mut self, octet: u8) {
        if octet == b'\n' {
            self.phase = Phase::LineStart;
        } else if octet != b':' {
            let is_letter = octet.wrapping_sub(b'A') < 26;
            self.word = hash_with(self.word, octet | (is_letter as u8) << 5);
        } else if self.word == CONTENT_LENGTH {
            self.left = 0;
            self.phase = Phase::Length;
        } else {
            if self.word == TRANSFER_ENCODING {
                self.flags |= Self::IS_CHUNKED;
            }
            self.phase = Phase::LineRest;
        }
    }

    #[inline(always)]
    fn next_chunk(&mut self) {
        self.phase = Phase::ChunkSize;
        self.left = 0;
    }

    #[inline(always)]
    fn chunk_size(&mut self, octet: u8) {
        let (digit, letter) = (octet.wrapping_sub(b'0'), (octet | 0x20).wrapping_sub(b'a'));
        let value = if digit < 10 {
            digit
        } else if letter < 6 {
            letter + 10
        } else {
            self.phase = Phase::ChunkRest;
            return;
        };
        if self.left < MAX_BODY {
            self.left = self.left * 16 + value as u64;
        }
    }

    #[inline(always)]
    fn begin_chunk(&mut self) {
        self.phase = if self.left == 0 {
            Phase::TrailerStart
        } else {
            Phase::ChunkData
        };
    }
}
