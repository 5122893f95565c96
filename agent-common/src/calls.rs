//! Counts the calls on one connection to a model endpoint, from what passes in either direction.
//!
//! Plain HTTP/1 is read: each request line is a call, bodies are passed over by their length. TLS
//! hides requests, but not the lengths of its records: a call begins where the caller sends a record
//! that is long enough for a request, after an answer to what it sent before. Octets go in wherever
//! segments have cut them; what has been sent twice counts once.
//!
//! Left out: HTTP/2 without TLS, and calls that run at the same time on one connection, of which
//! only some are counted; [`Found::OVERLAP`] says that there may be more.

pub mod hello;
mod records;
mod requests;

use self::{
    records::{APPLICATION_DATA, Records},
    requests::Requests,
};

/// Octets that are taken from a segment at once.
pub const CHUNK: usize = 32;

/// Shortest record that may begin a request. Below are the frames by which HTTP/2 governs itself,
/// also several together, and what ends a handshake.
const MIN_REQUEST: u32 = 90;
/// Shortest record that may hold an answer. Below are such frames of the server.
const MIN_ANSWER: u32 = 100;
/// A record of at least this length may have another of the same length before it in one body.
const MIN_CHUNK: u32 = 1_024;
/// A record of at least this length is full: the body goes on in the next.
const MIN_FULL: u32 = 16_384;
/// A request is a head and a body, of which the last record differs in length; before the first come
/// the settings of HTTP/2.
const MAX_PARTS: u32 = 2;
const MAX_PARTS_FIRST: u32 = 3;

/// What an octet that was sent has brought, as a set.
pub struct Found;

impl Found {
    pub const NOTHING: u32 = 0;
    /// A call, inferred from lengths and order.
    pub const CALL: u32 = 1;
    /// A call whose request line was read.
    pub const REQUEST: u32 = 2;
    /// More calls than are counted may have begun.
    pub const OVERLAP: u32 = 4;
}

/// What is sent on the connection.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// Its calls are not counted.
    None = 0,
    /// Nothing has been sent.
    Unseen,
    Tls,
    Http,
    /// Another one, or nothing that could be read any more.
    Other,
}

/// Calls on one connection. All zero counts nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls {
    requests: Requests,
    sent: Records,
    received: Records,
    /// Sequence number of the octet that is looked at next.
    sent_next: u32,
    received_next: u32,
    /// Up to where the caller has sent a request; an answer acknowledges it.
    request_end: u32,
    /// What the segment that is being looked at acknowledges.
    acknowledged: u32,
    /// Length of the last record that belonged to a request.
    last_len: u32,
    /// Records of this request that differ in length from the one before.
    parts: u32,
    protocol: Protocol,
    flags: u32,
    pub chunk: [u8; CHUNK],
}

const _: () = assert!(size_of::<Calls>() == 120 && align_of::<Calls>() == 8);

impl Calls {
    /// The sequence numbers are known.
    const SYNCHRONISED: u32 = 1;
    /// What was sent last has been answered, or nothing was sent yet.
    const ANSWERED: u32 = 2;
    /// No call yet, or only one.
    const FIRST: u32 = 4;
    /// The caller offers nothing but HTTP/1, so calls follow each other.
    const ONE_BY_ONE: u32 = 8;
    /// More calls than this one may have begun since the last answer.
    const OVERLAPS: u32 = 16;

    /// Begins with a connection whose first segment is still to come.
    #[inline(always)]
    pub fn begin(&mut self) {
        self.protocol = Protocol::Unseen;
        self.flags = Self::ANSWERED | Self::FIRST;
        self.sent.restart();
        self.requests.restart();
    }

    /// Counts nothing.
    #[inline(always)]
    pub fn stop(&mut self) {
        self.protocol = Protocol::None;
    }

    /// Begins where a first flight has been read to the end of its name: after `next`, with another
    /// record or with the rest of a request.
    #[inline(always)]
    pub fn begin_after_hello(&mut self, next: u32, is_tls: bool) {
        self.begin();
        self.flags |= Self::SYNCHRONISED;
        self.sent_next = next;
        self.request_end = next;
        if is_tls {
            self.protocol = Protocol::Tls;
        } else {
            self.protocol = Protocol::Http;
            self.requests.lose();
        }
    }

    /// The hello of the caller offers no protocol with calls at the same time.
    #[inline(always)]
    pub fn are_one_by_one(&mut self) {
        self.flags |= Self::ONE_BY_ONE;
    }

    /// Whether anything is counted here.
    #[inline(always)]
    #[must_use]
    pub const fn is_counting(&self) -> bool {
        !matches!(self.protocol, Protocol::None | Protocol::Other)
    }

    /// Whether nothing has been sent, so that what comes next is the first flight.
    #[inline(always)]
    #[must_use]
    pub const fn is_new(&self) -> bool {
        matches!(self.protocol, Protocol::Unseen)
    }

    /// Whether segments that are received may change anything.
    #[inline(always)]
    #[must_use]
    pub fn awaits_answer(&self) -> bool {
        match self.protocol {
            Protocol::Tls => self.flags & Self::ANSWERED == 0,
            Protocol::Http => self.requests.is_lost(),
            Protocol::None | Protocol::Unseen | Protocol::Other => false,
        }
    }

    /// The connection is opened: `next` is the sequence number of the first octet.
    #[inline(always)]
    pub fn open(&mut self, next: u32) {
        self.begin();
        self.flags |= Self::SYNCHRONISED;
        self.sent_next = next;
    }

    /// A segment of `len` octets is sent, which acknowledges what comes before `acknowledged`: how
    /// many of its octets are known already.
    #[inline(always)]
    pub fn send(&mut self, sequence: u32, len: u32, acknowledged: u32) -> u32 {
        self.acknowledged = acknowledged;
        let known = self.sent_next.wrapping_sub(sequence);
        if self.flags & Self::SYNCHRONISED == 0 || (known as i32) < 0 {
            // Where a segment begins, a record mostly does, too.
            self.flags |= Self::SYNCHRONISED;
            self.sent_next = sequence;
            self.sent.restart();
            if matches!(self.protocol, Protocol::Http) {
                self.requests.lose();
            }
            return 0;
        }
        if known as i32 >= len as i32 {
            return len;
        }
        if self.sent.is_lost() {
            self.sent.restart();
        }
        known
    }

    /// As [`Calls::send`], of a segment that is received.
    #[inline(always)]
    pub fn receive(&mut self, sequence: u32, len: u32, acknowledged: u32) -> u32 {
        self.acknowledged = acknowledged;
        if matches!(self.protocol, Protocol::Http) {
            if is_after(acknowledged, self.sent_next) {
                self.requests.find();
            }
            return len;
        }
        let known = self.received_next.wrapping_sub(sequence);
        if known as i32 >= len as i32 {
            return len;
        }
        if self.received.is_lost() || (known as i32) < 0 {
            self.received.restart();
            self.received_next = sequence;
            return 0;
        }
        known
    }

    /// How many of the next octets that are sent need not be looked at.
    #[inline(always)]
    #[must_use]
    pub fn skippable_sent(&self) -> u32 {
        match self.protocol {
            Protocol::Unseen => 0,
            Protocol::Tls => self.sent.skippable(),
            Protocol::Http => self.requests.skippable(),
            Protocol::None | Protocol::Other => u32::MAX,
        }
    }

    /// Passes over `n` octets, at most [`Calls::skippable_sent`].
    #[inline(always)]
    pub fn skip_sent(&mut self, n: u32) {
        self.sent_next = self.sent_next.wrapping_add(n);
        match self.protocol {
            Protocol::Tls => self.sent.skip(n),
            Protocol::Http => self.requests.skip(n),
            Protocol::None | Protocol::Unseen | Protocol::Other => {}
        }
    }

    /// Takes the next octet that is sent: a set of [`Found`].
    #[inline(always)]
    pub fn take_sent(&mut self, octet: u8) -> u32 {
        self.sent_next = self.sent_next.wrapping_add(1);
        if matches!(self.protocol, Protocol::Unseen) {
            self.protocol = if records::is_type(octet) {
                Protocol::Tls
            } else {
                Protocol::Http
            };
        }
        if matches!(self.protocol, Protocol::Tls) {
            let record = self.sent.take(octet);
            return self.sent_record(record);
        }
        match self.requests.take(octet) {
            requests::Step::More => Found::NOTHING,
            requests::Step::Request if self.requests.is_certain() => Found::REQUEST,
            requests::Step::Request => Found::CALL,
            requests::Step::Lost => Found::OVERLAP,
            requests::Step::Tunnel => {
                self.begin();
                self.flags |= Self::SYNCHRONISED;
                Found::NOTHING
            }
            requests::Step::Other => {
                self.protocol = Protocol::Other;
                Found::OVERLAP
            }
        }
    }

    #[inline(always)]
    fn sent_record(&mut self, record: u32) -> u32 {
        if record == records::LOST {
            return Found::OVERLAP;
        }
        let len = records::len(record);
        if records::content(record) != APPLICATION_DATA || len < MIN_REQUEST {
            return Found::NOTHING;
        }
        self.request_end = self.sent_next.wrapping_add(len);
        if self.flags & Self::ANSWERED != 0 {
            if self.parts != 0 {
                self.flags &= !Self::FIRST;
            }
            self.flags &= !(Self::ANSWERED | Self::OVERLAPS);
            self.parts = 1;
            self.last_len = len;
            self.received.restart();
            self.received_next = self.acknowledged;
            return Found::CALL;
        }
        let goes_on = len >= MIN_FULL || len == self.last_len && len >= MIN_CHUNK;
        if !goes_on {
            self.parts = self.parts.wrapping_add(1);
        }
        self.last_len = len;
        let most = if self.flags & Self::FIRST != 0 {
            MAX_PARTS_FIRST
        } else {
            MAX_PARTS
        };
        if self.parts <= most || self.flags & (Self::ONE_BY_ONE | Self::OVERLAPS) != 0 {
            return Found::NOTHING;
        }
        self.flags |= Self::OVERLAPS;
        Found::OVERLAP
    }

    /// How many of the next octets that are received need not be looked at.
    #[inline(always)]
    #[must_use]
    pub fn skippable_received(&self) -> u32 {
        if self.awaits_answer() {
            self.received.skippable()
        } else {
            u32::MAX
        }
    }

    /// Passes over `n` octets, at most [`Calls::skippable_received`].
    #[inline(always)]
    pub fn skip_received(&mut self, n: u32) {
        self.received_next = self.received_next.wrapping_add(n);
        self.received.skip(n);
    }

    /// Takes the next octet that is received.
    #[inline(always)]
    pub fn take_received(&mut self, octet: u8) {
        self.received_next = self.received_next.wrapping_add(1);
        let record = self.received.take(octet);
        let is_answer =
            records::content(record) == APPLICATION_DATA && records::len(record) >= MIN_ANSWER;
        // What was sent before all of the request had arrived is no answer to it.
        if is_answer && is_after(self.acknowledged, self.request_end) {
            self.flags |= Self::ANSWERED;
        }
    }
}

/// Whether a sequence number is another one or comes after it.
#[inline(always)]
const fn is_after(sequence: u32, other: u32) -> bool {
    sequence.wrapping_sub(other) as i32 >= 0
}

#[cfg(test)]
mod tests;
