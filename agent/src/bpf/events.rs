//! The event ring. The kernel never wakes the reader, so somebody has to poll.

use agent_common::{abi::map, event::Event};
use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
};

use super::{KernelError, load::take};

pub struct EventRing {
    ring: RingBuf<MapData>,
}

impl EventRing {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, KernelError> {
        let ring = RingBuf::try_from(take(ebpf, map::EVENTS)?)
            .map_err(|source| KernelError::map(map::EVENTS, "open", source))?;
        Ok(Self { ring })
    }

    /// Takes up to `limit` records, the oldest first.
    pub fn take(&mut self, limit: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < limit
            && let Some(record) = self.ring.next()
        {
            events.extend(Event::from_bytes(&record));
        }
        events
    }
}
