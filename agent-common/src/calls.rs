//! Counts the calls on one connection to a model endpoint, from what passes in either direction.
//!
//! TLS hides requests, but not the lengths of its records: a call begins where the caller sends a
//! record that is long enough for a request, after an answer to what it sent before. Without TLS a
//! call begins with a segment that begins with a method of HTTP, after an answer. Segments that are
//! inside of a record cost one subtraction; what has been sent twice counts once.
//!
//! Left out: HTTP/2 without TLS, and calls that run at the same time on one connection, of which
//! only some are counted; [`Found::OVERLAP`] says that there may be more.

pub mod hello;
mod records;
mod requests;

use self::{
    records::{Records, Step},
    requests::{Beginning, beginning},
};
use crate::{abi::layout, counter::CounterKey};

/// Shortest record that may begin a request. Below are the frames by which HTTP/2 governs itself,
/// also several together, and what ends a handshake.
const MIN_REQUEST: u32 = 90;
/// Shortest record that may hold an answer. Below are such frames of the server.
const MIN_ANSWER: u32 = 100;
/// Octets of such records that answer the first request. Tickets for later sessions, which a server
/// sends after the handshake, have fewer.
const MIN_FIRST_ANSWER: u32 = 600;
/// Shortest segment that counts as an answer although its records cannot be told.
const MIN_UNREAD_ANSWER: u32 = 250;
/// Shortest answer without TLS: `100 Continue`, which answers nothing, is one octet shorter.
const MIN_PLAIN_ANSWER: u32 = 26;
/// A record of at least this length may have another of the same length before it in one body.
const MIN_CHUNK: u32 = 1_024;
/// A record of at least this length is full: the body goes on in the next.
const MIN_FULL: u32 = 16_384;
/// A request is a head and a body, of which the last record differs in length; before the first come
/// the settings of HTTP/2.
const MAX_PARTS: u32 = 2;
const MAX_PARTS_FIRST: u32 = 3;

/// What was found in a segment that is sent, as a set.
pub struct Found;

impl Found {
    pub const NOTHING: u32 = 0;
    pub const CALL: u32 = 1;
    /// More calls than are counted may have begun.
    pub const OVERLAP: u32 = 2;
}

/// A segment of TCP with payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Of the first octet of payload.
    pub sequence: u32,
    /// Octets of payload, at least one.
    pub len: u32,
    /// What comes before has arrived at its sender.
    pub acknowledged: u32,
}

impl Segment {
    #[inline(always)]
    const fn end(&self) -> u32 {
        self.sequence.wrapping_add(self.len)
    }
}

/// What has told the name of an endpoint, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstFlight {
    /// Of TLS: another record follows.
    Hello,
    /// Of HTTP: the rest of the request follows.
    Request,
    /// It could not be read.
    Other,
}

/// What is sent on the connection.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// None whose calls are counted.
    Other = 0,
    /// Nothing has been sent.
    Unseen,
    Tls,
    Http,
}

/// Calls on one connection: value of `CALLS`, in the socket's own storage. All zero counts nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls {
    sent: Records,
    received: Records,
    /// Where they are counted: the row of its `connect()`.
    pub counted: CounterKey,
    /// Up to where the caller has sent a request; an answer acknowledges it.
    request_end: u32,
    /// Octets of the answer to the first request so far.
    answered: u32,
    /// Length of the last record that belonged to a request.
    last_len: u32,
    /// Records of this request that differ in length from the one before.
    parts: u32,
    protocol: Protocol,
    flags: u32,
}

layout!(Calls, size = 88, align = 8);

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
    /// The next segment is the first one that is seen.
    const NEW: u32 = 32;
    /// Its request has been read by somebody else.
    const REQUESTED: u32 = 64;

    /// Begins with a connection whose first segment is still to come.
    #[inline(always)]
    pub fn begin(&mut self, counted: &CounterKey) {
        self.counted.identity = counted.identity;
        self.counted.endpoint = counted.endpoint;
        self.counted.rule = counted.rule;
        self.counted.reason = counted.reason;
        self.protocol = Protocol::Unseen;
        self.flags = Self::ANSWERED | Self::FIRST | Self::NEW;
        self.answered = 0;
        self.parts = 0;
        self.sent.restart(0);
    }

    /// Begins where a first flight has been looked at, with the octet of the sequence number `next`.
    #[inline(always)]
    pub fn begin_after(&mut self, flight: FirstFlight, counted: &CounterKey, next: u32) {
        self.begin(counted);
        self.flags |= Self::SYNCHRONISED;
        self.sent.restart(next);
        self.request_end = next;
        self.protocol = match flight {
            FirstFlight::Hello => Protocol::Tls,
            FirstFlight::Request | FirstFlight::Other => Protocol::Http,
        };
        if matches!(flight, FirstFlight::Request) {
            self.flags |= Self::REQUESTED;
        }
    }

    /// Whether anything is counted here.
    #[inline(always)]
    #[must_use]
    pub const fn is_counting(&self) -> bool {
        !matches!(self.protocol, Protocol::Other)
    }

    /// Whether segments that are received may change anything.
    #[inline(always)]
    #[must_use]
    pub const fn awaits_answer(&self) -> bool {
        matches!(self.protocol, Protocol::Tls | Protocol::Http) && self.flags & Self::ANSWERED == 0
    }

    /// The socket opens a connection whose first octet has the sequence number `next`: false if it is
    /// another one than this. `len` octets come with the opening.
    #[inline(always)]
    pub fn open(&mut self, next: u32, len: u32) -> bool {
        if self.flags & Self::SYNCHRONISED == 0 {
            self.flags |= Self::SYNCHRONISED;
            self.sent.restart(next);
            return true;
        }
        self.sent.next().wrapping_sub(next) <= len
    }

    /// Whether the first segment is still to be looked at by [`Calls::meet`].
    #[inline(always)]
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.flags & Self::NEW != 0
    }

    /// The first segment begins with the eight octets `first`, zero where there are fewer;
    /// `offers_http_2` as [`hello::offers_http_2`] tells.
    #[inline(always)]
    pub fn meet(&mut self, segment: &Segment, first: u64, offers_http_2: Option<bool>) {
        self.flags &= !Self::NEW;
        if self.flags & Self::SYNCHRONISED == 0 {
            self.flags |= Self::SYNCHRONISED;
            self.sent.restart(segment.sequence);
        }
        if matches!(offers_http_2, Some(false)) {
            self.flags |= Self::ONE_BY_ONE;
        }
        if matches!(self.protocol, Protocol::Unseen) {
            self.protocol = if records::is_type((first >> 56) as u8) {
                Protocol::Tls
            } else {
                Protocol::Http
            };
        }
    }

    /// Whether [`Calls::take_head`] wants the first octets of each segment that is sent; else records
    /// are looked at.
    #[inline(always)]
    #[must_use]
    pub const fn reads_heads(&self) -> bool {
        matches!(self.protocol, Protocol::Http)
    }

    /// A segment without TLS is sent, which begins with the eight octets `first`: a set of [`Found`].
    #[inline(always)]
    pub fn take_head(&mut self, segment: &Segment, first: u64) -> u32 {
        let was_requested = self.flags & Self::REQUESTED != 0;
        let is_known = self.sent.next().wrapping_sub(segment.end()) as i32 >= 0;
        if is_known && !was_requested {
            return Found::NOTHING;
        }
        self.sent.restart(segment.end());
        let beginning = beginning(first);
        if self.flags & Self::ANSWERED == 0 {
            return match beginning {
                Beginning::Request => self.overlap(),
                Beginning::Http2 | Beginning::Other => Found::NOTHING,
            };
        }
        if was_requested || matches!(beginning, Beginning::Request) {
            self.flags &= !(Self::REQUESTED | Self::ANSWERED | Self::OVERLAPS);
            self.request_end = segment.end();
            return Found::CALL;
        }
        if matches!(beginning, Beginning::Http2) {
            self.protocol = Protocol::Other;
        }
        self.overlap()
    }

    /// Where in a segment that is sent the next octets of a header are, and how many are wanted: 0 if
    /// none are in it.
    #[inline(always)]
    pub fn wanted_of_sent(&mut self, segment: &Segment) -> (u32, u32) {
        self.sent.wanted(segment)
    }

    /// Where they belong: room for eight.
    #[inline(always)]
    pub fn place_of_sent(&mut self) -> *mut u8 {
        self.sent.place()
    }

    /// The octets that were wanted are in their place: a set of [`Found`].
    #[inline(always)]
    pub fn take_sent(&mut self, segment: &Segment, n: u32) -> u32 {
        match self.sent.take(n) {
            Step::More => Found::NOTHING,
            Step::Lost => self.lose_sent(segment),
            Step::Data(len) if len < MIN_REQUEST => Found::NOTHING,
            Step::Data(len) => self.sent_data(segment, len),
        }
    }

    /// The rest of the segment cannot be looked at.
    #[inline(always)]
    pub fn lose_sent(&mut self, segment: &Segment) -> u32 {
        self.sent.restart(segment.end());
        self.overlap()
    }

    #[inline(always)]
    fn sent_data(&mut self, segment: &Segment, len: u32) -> u32 {
        self.request_end = self.sent.next();
        if self.flags & Self::ANSWERED != 0 {
            if self.parts != 0 {
                self.flags &= !Self::FIRST;
            }
            self.flags &= !(Self::ANSWERED | Self::OVERLAPS);
            self.parts = 1;
            self.last_len = len;
            self.received.restart(segment.acknowledged);
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
        if self.parts <= most || self.flags & Self::ONE_BY_ONE != 0 {
            return Found::NOTHING;
        }
        self.overlap()
    }

    /// Once for each answer.
    #[inline(always)]
    fn overlap(&mut self) -> u32 {
        if self.flags & Self::OVERLAPS != 0 {
            return Found::NOTHING;
        }
        self.flags |= Self::OVERLAPS;
        Found::OVERLAP
    }

    /// A segment is received while an answer is awaited: whether its records have to be looked at.
    #[inline(always)]
    pub fn receive(&mut self, segment: &Segment) -> bool {
        if matches!(self.protocol, Protocol::Tls) {
            return true;
        }
        if segment.len >= MIN_PLAIN_ANSWER && self.is_after_request(segment) {
            self.flags |= Self::ANSWERED;
        }
        false
    }

    /// As [`Calls::wanted_of_sent`], of what is received.
    #[inline(always)]
    pub fn wanted_of_received(&mut self, segment: &Segment) -> (u32, u32) {
        self.received.wanted(segment)
    }

    /// As [`Calls::place_of_sent`], of what is received.
    #[inline(always)]
    pub fn place_of_received(&mut self) -> *mut u8 {
        self.received.place()
    }

    /// As [`Calls::take_sent`], of what is received.
    #[inline(always)]
    pub fn take_received(&mut self, segment: &Segment, n: u32) {
        match self.received.take(n) {
            Step::More => {}
            Step::Lost => self.lose_received(segment),
            Step::Data(len) => {
                if len >= MIN_ANSWER && self.is_after_request(segment) {
                    self.answer(len);
                }
            }
        }
    }

    /// The rest of the segment cannot be looked at.
    #[inline(always)]
    pub fn lose_received(&mut self, segment: &Segment) {
        self.received.restart(segment.end());
        if segment.len >= MIN_UNREAD_ANSWER && self.is_after_request(segment) {
            self.answer(segment.len);
        }
    }

    #[inline(always)]
    fn answer(&mut self, len: u32) {
        self.answered = self.answered.saturating_add(len);
        if self.flags & Self::FIRST == 0 || self.answered >= MIN_FIRST_ANSWER {
            self.flags |= Self::ANSWERED;
        }
    }

    /// What was sent before all of the request had arrived is no answer to it.
    #[inline(always)]
    const fn is_after_request(&self, segment: &Segment) -> bool {
        segment.acknowledged.wrapping_sub(self.request_end) as i32 >= 0
    }
}

#[cfg(test)]
mod tests;
