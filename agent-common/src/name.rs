//! Host names as they are compared: label by label from the right, without a copy of the name.
//!
//! A name arrives byte by byte, from a DNS message, a `ClientHello` or a request header. Of each
//! label only hashes are kept. [`resolve`] then walks a tree of labels that the agent has compiled
//! from all host patterns, so a wildcard can only match whole labels, and a name of nobody's
//! concern is left after two or three look-ups.

mod tree;

use crate::abi::layout;

pub use tree::{
    ENDPOINTS_PER_NAME, LabelKind, NameKey, NameNode, NameSet, NameTree, ROOT, hash_both, resolve,
};

/// How many labels, from the right, are kept: no pattern has more.
pub const MAX_LABELS: usize = 16;
/// Longest name in octets, without a trailing dot.
pub const MAX_NAME: u32 = 253;
const MAX_LABEL: u32 = 63;

/// Hashes of one label in lower case.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Label {
    pub whole: u64,
    /// Up to and including the first `-`; 0 without one.
    pub head: u64,
    /// From the last `-` to the end; 0 without one.
    pub tail: u64,
}

/// The hash of no octets.
const SEED: u64 = 0xcbf2_9ce4_8422_2325;

#[inline(always)]
const fn mix(hash: u64, octet: u8) -> u64 {
    let mixed = (hash ^ octet as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

/// The hash of a whole label, or of a part of one, in lower case.
#[must_use]
pub fn hash(text: &str) -> u64 {
    text.bytes().fold(SEED, mix)
}

/// A name that is arriving.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Name {
    /// Label number `n`, counted from the left, is at `n % MAX_LABELS`.
    labels: [Label; MAX_LABELS],
    label: Label,
    n_labels: u32,
    label_len: u32,
    len: u32,
    flags: u32,
}

layout!(Name, size = 424, align = 8);

impl Name {
    pub const EMPTY: Self = Self {
        labels: [Label {
            whole: 0,
            head: 0,
            tail: 0,
        }; MAX_LABELS],
        label: Label {
            whole: SEED,
            head: 0,
            tail: 0,
        },
        n_labels: 0,
        label_len: 0,
        len: 0,
        flags: 0,
    };

    /// An octet that no host name has, or an empty label, or too long.
    const INVALID: u32 = 1;
    /// The present label has something else than digits.
    const NOT_NUMERIC: u32 = 2;
    /// So had the label before it.
    const LAST_NOT_NUMERIC: u32 = 4;

    /// Begins a new name.
    #[inline(always)]
    pub fn clear(&mut self) {
        self.n_labels = 0;
        self.len = 0;
        self.flags = 0;
        self.begin_label();
    }

    #[inline(always)]
    fn begin_label(&mut self) {
        self.label.whole = SEED;
        self.label.head = 0;
        self.label.tail = 0;
        self.label_len = 0;
    }

    /// The next octet of a name in text form.
    #[inline(always)]
    pub fn push(&mut self, octet: u8) {
        if octet == b'.' {
            self.end_label();
        } else {
            self.push_octet(octet);
        }
    }

    /// The next octet of a label.
    #[inline(always)]
    pub fn push_octet(&mut self, octet: u8) {
        let octet = lower(octet);
        let is_digit = octet.wrapping_sub(b'0') < 10;
        let is_letter = octet.wrapping_sub(b'a') < 26;
        if octet == b'-' {
            let whole = mix(self.label.whole, octet);
            if self.label.head == 0 {
                self.label.head = whole;
            }
            self.label.whole = whole;
            self.label.tail = mix(SEED, octet);
            self.flags |= Self::NOT_NUMERIC;
        } else {
            self.label.whole = mix(self.label.whole, octet);
            if self.label.tail != 0 {
                self.label.tail = mix(self.label.tail, octet);
            }
            if !is_digit {
                self.flags |= Self::NOT_NUMERIC;
                if !is_letter && octet != b'_' {
                    self.flags |= Self::INVALID;
                }
            }
        }
        self.label_len += 1;
        self.len += 1;
        if self.label_len > MAX_LABEL || self.len > MAX_NAME {
            self.flags |= Self::INVALID;
        }
    }

    /// A label is complete.
    #[inline(always)]
    pub fn end_label(&mut self) {
        if self.label_len == 0 {
            self.flags |= Self::INVALID;
            return;
        }
        let place = &mut self.labels[(self.n_labels as usize) & (MAX_LABELS - 1)];
        place.whole = self.label.whole;
        place.head = self.label.head;
        place.tail = self.label.tail;
        self.n_labels += 1;
        self.len += 1;
        self.flags = self.flags & Self::INVALID
            | if self.flags & Self::NOT_NUMERIC != 0 {
                Self::LAST_NOT_NUMERIC
            } else {
                0
            };
        self.begin_label();
    }

    /// The name is complete; a trailing dot means the same name.
    #[inline(always)]
    pub fn end(&mut self) {
        if self.label_len != 0 {
            self.end_label();
        }
    }

    /// Whether nothing has arrived.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.n_labels == 0 && self.label_len == 0
    }

    /// Whether it is a host name at all. After [`Name::end`].
    #[inline(always)]
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.flags & Self::INVALID == 0 && self.n_labels != 0
    }

    /// Whether it is written like an IPv4 address, which names nothing. After [`Name::end`].
    #[inline(always)]
    #[must_use]
    pub const fn is_address(&self) -> bool {
        self.flags & Self::LAST_NOT_NUMERIC == 0
    }

    /// Whether both are the same name, as far as hashes tell. For tests and fuzz targets: a former
    /// name leaves something behind that makes no difference.
    #[cfg(not(target_arch = "bpf"))]
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        let n_kept = (self.n_labels as usize).min(MAX_LABELS);
        self.n_labels == other.n_labels
            && self.is_valid() == other.is_valid()
            && self.labels.get(..n_kept) == other.labels.get(..n_kept)
    }

    /// A whole name, for tests and for the agent.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut name = Self::EMPTY;
        for octet in text.bytes() {
            name.push(octet);
        }
        name.end();
        name
    }
}

#[inline(always)]
const fn lower(octet: u8) -> u8 {
    if octet.wrapping_sub(b'A') < 26 {
        octet | 0x20
    } else {
        octet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_a_trailing_dot_make_no_difference() {
        let name = Name::of("api.example.com");
        for same in ["API.Example.COM", "api.example.com."] {
            let other = Name::of(same);
            assert!(other.is_valid() && !other.is_address());
            assert_eq!(other.n_labels, 3);
            assert_eq!(other.labels[..3], name.labels[..3], "{same}");
        }
        assert_eq!(name.labels[0].whole, hash("api"));
    }

    #[test]
    fn heads_end_at_the_first_dash_and_tails_begin_at_the_last() {
        let name = Name::of("Model-7-x.api");
        assert_eq!(name.labels[0].head, hash("model-"));
        assert_eq!(name.labels[0].tail, hash("-x"));
        assert_eq!((name.labels[1].head, name.labels[1].tail), (0, 0));
    }

    #[test]
    fn what_is_no_host_name_is_invalid() {
        let long_label = "a".repeat(64);
        let long_name = "a.".repeat(130);
        for bad in [
            "",
            ".",
            "a..b",
            ".a",
            "a\0b",
            "a b",
            "a/b",
            &long_label,
            &long_name,
        ] {
            assert!(!Name::of(bad).is_valid(), "{bad:?}");
        }
        for good in ["a", "_dns.a-b", &long_label[1..], "1.2.3.4"] {
            assert!(Name::of(good).is_valid(), "{good:?}");
        }
    }

    #[test]
    fn an_address_is_known_by_its_last_label() {
        for (text, expected) in [
            ("1.2.3.4", true),
            ("a.b.4", true),
            ("4.b", false),
            ("b4", false),
        ] {
            assert_eq!(Name::of(text).is_address(), expected, "{text}");
        }
    }

    #[test]
    fn more_labels_than_are_kept_keep_the_last_ones() {
        let name = Name::of(&"x.".repeat(30));
        assert!(name.is_valid());
        assert_eq!(name.n_labels, 30);
    }
}
