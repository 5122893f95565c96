//! A [`Message`] over octets in memory, for tests, fuzz targets and the agent.
//!
//! Its limits are those of `agent-ebpf/src/dns.rs`, number by number: what this reads and what it
//! gives up on is what the kernel reads and gives up on.

use super::{Message, Record, addresses, hints, list, names};
use crate::{
    address::Address,
    name::{Name, NameSet, NameTree, resolve},
    settings::Slot,
};

const MAX_LABEL: u8 = 63;
/// Labels and jumps of one name that are followed.
pub const MAX_STEPS: u32 = 48;
/// Labels of a name that is passed over.
pub const MAX_LABELS: u32 = 128;
/// Governed names of one answer that are kept.
pub const MAX_SETS: usize = 2;
const POINTER: u8 = 0xc0;
/// The kernel keeps offsets in 16 bits.
const OFFSET: u32 = 0xffff;

/// One address of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Told<'s> {
    pub address: Address,
    pub ttl: u32,
    /// What the names of the answer stand for; empty if all of them are ordinary.
    pub sets: &'s [NameSet],
}

/// A message, the tree that says which names matter, and what becomes of the addresses.
pub struct Octets<'o, T, F> {
    octets: &'o [u8],
    tree: &'o T,
    learn: F,
    name: Name,
    sets: [NameSet; MAX_SETS],
    n_sets: usize,
}

impl<'o, T: NameTree, F: FnMut(Told<'_>)> Octets<'o, T, F> {
    /// The nodes of `tree` are in slot A.
    pub const fn new(octets: &'o [u8], tree: &'o T, learn: F) -> Self {
        Self {
            octets,
            tree,
            learn,
            name: Name::EMPTY,
            sets: [NameSet::NONE; MAX_SETS],
            n_sets: 0,
        }
    }

    fn slice(&self, at: u32, len: u32) -> Option<&'o [u8]> {
        let start = at as usize;
        self.octets.get(start..start.checked_add(len as usize)?)
    }

    fn array<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        self.slice(at, N as u32)?.try_into().ok()
    }

    fn u8_at(&self, at: u32) -> Option<u8> {
        self.array::<1>(at).map(|[octet]| octet)
    }

    fn add_set(&mut self) {
        if self.n_sets >= MAX_SETS {
            return;
        }
        let found = resolve(self.tree, &self.name, Slot::A).filter(|set| set.is_governed());
        if let (Some(found), Some(place)) = (found, self.sets.get_mut(self.n_sets)) {
            *place = *found;
            let [first, second] = &self.sets;
            if self.n_sets == 0 || !first.has_endpoints_of(second) {
                self.n_sets += 1;
            }
        }
    }
}

impl<T: NameTree, F: FnMut(Told<'_>)> Message for Octets<'_, T, F> {
    fn u16_at(&mut self, at: u32) -> Option<u16> {
        self.array(at).map(u16::from_be_bytes)
    }

    fn record_at(&mut self, at: u32) -> Option<Record> {
        Some(Record {
            kind: self.u16_at(at)?,
            ttl: self.array(at + 4).map(u32::from_be_bytes)?,
            len: self.u16_at(at + 8)?,
        })
    }

    fn after_name(&mut self, at: u32) -> Option<u32> {
        let mut at = at & OFFSET;
        for _ in 0..MAX_LABELS {
            match self.u8_at(at)? {
                0 => return Some((at + 1) & OFFSET),
                POINTER.. => return Some((at + 2) & OFFSET),
                len @ 1..=MAX_LABEL => at = (at + u32::from(len) + 1) & OFFSET,
                _ => return None,
            }
        }
        None
    }

    fn name_at(&mut self, at: u32) -> Option<()> {
        self.name.clear();
        let mut at = at & OFFSET;
        for _ in 0..MAX_STEPS {
            match self.u8_at(at)? {
                0 => {
                    self.add_set();
                    return Some(());
                }
                high @ POINTER.. => {
                    let low = self.u8_at(at + 1)?;
                    at = u32::from(u16::from_be_bytes([high & !POINTER, low]));
                }
                len @ 1..=MAX_LABEL => {
                    for octet in self.slice(at + 1, u32::from(len))? {
                        self.name.push_octet(*octet);
                    }
                    self.name.end_label();
                    at = (at + 1 + u32::from(len)) & OFFSET;
                }
                _ => return None,
            }
        }
        None
    }

    fn address_at(&mut self, at: u32, len: u32, ttl: u32) -> Option<()> {
        let at = at & OFFSET;
        let address = if len == 4 {
            Address::from_v4(self.array(at).map(u32::from_ne_bytes)?)
        } else {
            let octets = self.array::<16>(at)?;
            let mut words = [0; 4];
            for (word, part) in words.iter_mut().zip(octets.chunks_exact(4)) {
                *word = u32::from_ne_bytes(part.try_into().ok()?);
            }
            Address::from_v6(words)
        };
        (self.learn)(Told {
            address,
            ttl,
            sets: self.sets.get(..self.n_sets)?,
        });
        Some(())
    }

    fn names_of(&mut self, at: u32) -> Option<u32> {
        names(self, at & OFFSET).map(|next| next & OFFSET)
    }

    fn addresses_of(&mut self, at: u32) -> Option<u32> {
        addresses(self, at & OFFSET).map(|next| next & OFFSET)
    }

    fn hints_at(&mut self, data: u32, end: u32, ttl: u32) -> Option<()> {
        hints(self, data & OFFSET, end, ttl)
    }

    fn list_at(&mut self, first: u32, len: u32, size: u32, ttl: u32) -> Option<()> {
        list(self, first & OFFSET, len, size, ttl)
    }
}
