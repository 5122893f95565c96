//! TLS records (RFC 8446, section 5.1), of which only the headers are looked at.

const HEADER: u32 = 5;
/// Largest record that is accepted anywhere (RFC 5246, section 6.2.3).
const MAX_RECORD: u32 = 16_384 + 2_048;
const CHANGE_CIPHER_SPEC: u8 = 20;
const HEARTBEAT: u8 = 24;
pub(super) const APPLICATION_DATA: u32 = 23;

/// What [`Records::take`] returns where no record can begin.
pub(super) const LOST: u32 = 1;

/// Whether a record may begin with this octet.
#[inline(always)]
pub(super) const fn is_type(octet: u8) -> bool {
    octet.wrapping_sub(CHANGE_CIPHER_SPEC) <= HEARTBEAT - CHANGE_CIPHER_SPEC
}

/// Content type and length of what [`Records::take`] returned; 0 of everything else.
#[inline(always)]
pub(super) const fn content(record: u32) -> u32 {
    record >> 16
}

#[inline(always)]
pub(super) const fn len(record: u32) -> u32 {
    record & 0xffff
}

/// One direction of a connection. All zero begins with a record.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Records {
    header: u64,
    /// Octets of the header that have arrived.
    n_header: u32,
    /// Octets left of the record; [`u32::MAX`] where it is not known where one begins.
    left: u32,
}

impl Records {
    /// A record begins here.
    #[inline(always)]
    pub(super) fn restart(&mut self) {
        self.n_header = 0;
        self.left = 0;
    }

    #[inline(always)]
    pub(super) const fn is_lost(&self) -> bool {
        self.left == u32::MAX
    }

    #[inline(always)]
    pub(super) const fn skippable(&self) -> u32 {
        self.left
    }

    #[inline(always)]
    pub(super) fn skip(&mut self, n: u32) {
        if !self.is_lost() {
            self.left = self.left.wrapping_sub(n);
        }
    }

    /// The octet completes the header of a record: its content type, above 16 bits of its length. 0
    /// if not yet, [`LOST`] if that is no header.
    #[inline(always)]
    pub(super) fn take(&mut self, octet: u8) -> u32 {
        self.header = self.header << 8 | octet as u64;
        self.n_header = self.n_header.wrapping_add(1);
        if self.n_header < HEADER {
            return 0;
        }
        self.n_header = 0;
        let (kind, version) = ((self.header >> 32) as u8, self.header >> 24 & 0xff);
        let len = self.header as u32 & 0xffff;
        if !is_type(kind) || version != 3 || len == 0 || len > MAX_RECORD {
            self.left = u32::MAX;
            return LOST;
        }
        self.left = len;
        (kind as u32) << 16 | len
    }
}
