//! Whose use of which foreign socket has been told, and those that may not go on.

use agent_common::{abi, foreign::ForeignUse, inspected::State, loss::Loss};
use aya_ebpf::{
    bindings::{BPF_ANY, bpf_sock},
    macros::map,
    maps::LruHashMap,
};

use super::{count_loss, inspect, inspects};

#[map]
static FOREIGN: LruHashMap<ForeignUse, u32> = LruHashMap::with_max_entries(abi::MAX_FOREIGN, 0);

#[inline(always)]
pub fn is_foreign_use_told(foreign: &ForeignUse) -> bool {
    // SAFETY: a value of one word.
    unsafe { FOREIGN.get(foreign) }.is_some()
}

/// Failing to remember makes it be told again.
#[inline(always)]
pub fn remember_foreign_use(foreign: &ForeignUse) {
    let _ = FOREIGN.insert(foreign, 1, u64::from(BPF_ANY));
}

/// Lets nothing that has a payload leave the socket any more, if packets are looked at.
#[inline(always)]
pub fn refuse(socket: *mut bpf_sock, cookie: u64) {
    if !inspects() {
        return;
    }
    match inspect(socket) {
        Some(inspected) => {
            inspected.cookie = cookie;
            inspected.state = State::Refused as u32;
        }
        None => count_loss(Loss::InspectionFailed),
    }
}
