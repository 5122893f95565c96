//! Cgroups that come and go. The kernel wakes the reader: a workload may start at once.

use std::{io, os::fd::AsRawFd, time::Duration};

use agent_common::{abi::map, cgroup::CgroupRecord};
use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
};

use super::{KernelError, load::take, sys};

pub struct CgroupRing {
    ring: RingBuf<MapData>,
}

impl CgroupRing {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, KernelError> {
        let ring = RingBuf::try_from(take(ebpf, map::CGROUPS)?)
            .map_err(|source| KernelError::map(map::CGROUPS, "open", source))?;
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
    pub fn take(&mut self) -> Option<CgroupRecord> {
        let record = self.ring.next()?;
        CgroupRecord::from_bytes(&record)
    }
}
