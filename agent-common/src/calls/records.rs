//! TLS records (RFC 8446, section 5.1) in one direction of a connection: from header to header,
//! whatever segments have cut; what is between is never read.

use super::Segment;

pub(super) const HEADER: u32 = 5;
/// Largest record that is accepted anywhere (RFC 5246, section 6.2.3).
const MAX_RECORD: u32 = 16_384 + 2_048;
const CHANGE_CIPHER_SPEC: u8 = 20;
const HEARTBEAT: u8 = 24;
const APPLICATION_DATA: u8 = 23;

/// What the octets of a header have brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing that matters.
    More,
    /// A record of application data with this many octets begins.
    Data(u32),
    /// That is no header: it is not known where records begin.
    Lost,
}

/// One direction of a connection. All zero begins with a record.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Records {
    /// The header as far as it has arrived, and room for what a helper might write beyond.
    header: [u64; 2],
    n_header: u32,
    /// Sequence number of the next octet of a header.
    next: u32,
}

/// Whether a record may begin with this octet.
#[inline(always)]
pub(super) const fn is_type(octet: u8) -> bool {
    octet.wrapping_sub(CHANGE_CIPHER_SPEC) <= HEARTBEAT - CHANGE_CIPHER_SPEC
}

impl Records {
    /// A record begins with the octet of this sequence number.
    #[inline(always)]
    pub(super) fn restart(&mut self, next: u32) {
        self.n_header = 0;
        self.next = next;
    }

    #[inline(always)]
    pub(super) const fn next(&self) -> u32 {
        self.next
    }

    /// Where in the segment the next octets of a header are, and how many; the length of the segment
    /// and none if it has none. What has been missed is passed over: where a segment begins, a record
    /// mostly does, too.
    #[inline(always)]
    pub(super) fn wanted(&mut self, segment: &Segment) -> (u32, u32) {
        let mut at = self.next.wrapping_sub(segment.sequence);
        if (at as i32) < 0 {
            self.restart(segment.sequence);
            at = 0;
        }
        if at >= segment.len {
            return (segment.len, 0);
        }
        let (missing, left) = (HEADER.wrapping_sub(self.n_header), segment.len - at);
        (at, if missing < left { missing } else { left })
    }

    /// Where the octets belong that are wanted: room for eight.
    #[inline(always)]
    pub(super) fn place(&mut self) -> *mut u8 {
        let at = core::hint::black_box(self.n_header) & 7;
        self.header
            .as_mut_ptr()
            .cast::<u8>()
            .wrapping_add(at as usize)
    }

    /// As many octets as were wanted are in their place.
    #[inline(always)]
    pub(super) fn take(&mut self, n: u32) -> Step {
        self.n_header = self.n_header.wrapping_add(n);
        self.next = self.next.wrapping_add(n);
        if self.n_header < HEADER {
            return Step::More;
        }
        self.n_header = 0;
        let header = u64::from_be(self.header[0]);
        let (kind, version) = ((header >> 56) as u8, (header >> 48) as u8);
        let len = (header >> 24) as u32 & 0xffff;
        if !is_type(kind) || version != 3 || len == 0 || len > MAX_RECORD {
            return Step::Lost;
        }
        self.next = self.next.wrapping_add(len);
        if kind == APPLICATION_DATA {
            Step::Data(len)
        } else {
            Step::More
        }
    }
}
