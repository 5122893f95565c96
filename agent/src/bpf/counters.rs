//! Reads the counters and the losses. They only grow; the store remembers what it has taken over.

use agent_common::{
    abi::map,
    counter::{CounterKey, Counters},
    loss::Loss,
};
use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData},
};

use super::{KernelError, errno, load::take};

pub struct CounterMaps {
    counters: HashMap<MapData, CounterKey, Counters>,
    losses: Array<MapData, u64>,
}

impl CounterMaps {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, KernelError> {
        let counters = HashMap::try_from(take(ebpf, map::COUNTERS)?)
            .map_err(|source| KernelError::map(map::COUNTERS, "open", source))?;
        let losses = Array::try_from(take(ebpf, map::LOSSES)?)
            .map_err(|source| KernelError::map(map::LOSSES, "open", source))?;
        let mut maps = Self { counters, losses };
        maps.ensure_overflow_row()?;
        Ok(maps)
    }

    /// Every row as it is now. Rows that are added meanwhile may be missing until the next call.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn read(&self) -> Result<Vec<(CounterKey, Counters)>, KernelError> {
        self.counters
            .iter()
            .collect::<Result<_, _>>()
            .map_err(|source| KernelError::map(map::COUNTERS, "read", source))
    }

    /// How often the kernel side could not do each thing.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn losses(&self) -> Result<Vec<(Loss, u64)>, KernelError> {
        Loss::ALL
            .into_iter()
            .map(|loss| {
                self.losses
                    .get(&(loss as u32), 0)
                    .map(|count| (loss, count))
                    .map_err(|source| KernelError::map(map::LOSSES, "read", source))
            })
            .collect()
    }

    /// The kernel counts in this row what finds no room for a row of its own.
    fn ensure_overflow_row(&mut self) -> Result<(), KernelError> {
        const BPF_NOEXIST: u64 = 1;
        match self
            .counters
            .insert(CounterKey::OVERFLOW, Counters::ZERO, BPF_NOEXIST)
        {
            Err(source) if errno(&source) != Some(libc::EEXIST) => {
                Err(KernelError::map(map::COUNTERS, "insert", source))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
