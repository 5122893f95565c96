//! Connections whose first flight was refused. The kernel wakes the reader: a caller waits.

use std::{io, os::fd::AsRawFd, time::Duration};

use agent_common::{abi::map, inspected::Refusal};
use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{KernelError, load::take};

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
        // SAFETY: the ring owns the descriptor and outlives this borrow.
        #[expect(unsafe_code, reason = "aya hands out the descriptor as a number only")]
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(self.ring.as_raw_fd()) };
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the oldest record.
    pub fn take(&mut self) -> Option<Refusal> {
        let record = self.ring.next()?;
        Refusal::from_bytes(&record)
    }
}
