//! Connections whose first flight was refused. The kernel wakes the reader: a caller waits.

use std::{io, os::fd::AsRawFd, time::Duration};

use agent_common::{abi::map, inspected::Refusal};
use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
};

use super::{KernelError, load::take, sys};

pub struct RefusalRing {
    ring: RingBuf<MapData>,
}

impl RefusalRing {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, KernelError> {
        let ring = RingBuf::try_from(take(ebpf, map::REFUSALS)?)
            .map_err(|source| KernelError::map(map::REFUSALS, "open", source))?;
        Ok(Self { ring })
    }

    /// Waits until there is a record, at most for `timeout`.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to wait; a signal is no error.
    pub fn wait(&self, timeout: Duration) -> io::Result<()> {
        sys::wait_readable(self.ring.as_raw_fd(), timeout)
    }

    /// Takes the oldest record.
    pub fn take(&mut self) -> Option<Refusal> {
        let record = self.ring.next()?;
        Refusal::from_bytes(&record)
    }
}
