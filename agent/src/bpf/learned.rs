//! What the kernel has learnt from answers of the DNS, for explanations.

use agent_common::{
    abi::map,
    address::Address,
    learned::{Learned, LearnedKey, MAX_PER_ADDRESS},
};
use aya::{
    Ebpf,
    maps::{HashMap, MapData},
};

use super::{KernelError, load::take};

pub struct LearnedMaps {
    learned: HashMap<MapData, LearnedKey, Learned>,
    ordinary: HashMap<MapData, Address, u64>,
}

impl LearnedMaps {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, KernelError> {
        Ok(Self {
            learned: HashMap::try_from(take(ebpf, map::LEARNED)?)
                .map_err(|source| KernelError::map(map::LEARNED, "open", source))?,
            ordinary: HashMap::try_from(take(ebpf, map::ORDINARY)?)
                .map_err(|source| KernelError::map(map::ORDINARY, "open", source))?,
        })
    }

    /// The endpoints that are believed to be at `address` at `now_ns` of the boot clock.
    #[must_use]
    pub fn at(&self, address: Address, now_ns: u64) -> Vec<Learned> {
        (0..MAX_PER_ADDRESS)
            // Absent and unreadable are the same to the one who asks.
            .map_while(|index| self.learned.get(&LearnedKey { address, index }, 0).ok())
            .filter(|learned| learned.expires_ns >= now_ns)
            .collect()
    }

    /// Whether a name of nobody's concern has `address`, too.
    #[must_use]
    pub fn is_ordinary(&self, address: Address, now_ns: u64) -> bool {
        self.ordinary
            .get(&address, 0)
            .is_ok_and(|expires_ns| expires_ns > now_ns)
    }
}
