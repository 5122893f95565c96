//! Programs that see packets.

use agent_common::abi::program;
use aya::{Ebpf, programs::CgroupSkb};

use super::{KernelError, program_error, typed};
use crate::error_chain;

/// Programs that find out names: all of them or none.
pub(in crate::bpf) const NAME_HOOKS: [&str; 2] = [program::EGRESS, program::INGRESS];

/// Programs that count calls: all of them or none.
pub(in crate::bpf) const CALL_HOOKS: [&str; 2] = [program::CALLS_SENT, program::CALLS_RECEIVED];

/// Why neither are loaded.
pub(super) const SWITCHED_OFF: &str = "switched off in the configuration";

pub(super) fn load(ebpf: &mut Ebpf, hooks: [&'static str; 2]) -> Result<(), KernelError> {
    for hook in hooks {
        let program: &mut CgroupSkb = typed(ebpf, hook)?;
        program
            .load()
            .map_err(|source| program_error(hook, source))?;
    }
    Ok(())
}

/// What cannot be counted is a gap in coverage.
pub(super) fn load_counting(ebpf: &mut Ebpf, is_wanted: bool) -> Result<(), String> {
    if !is_wanted {
        return Err(SWITCHED_OFF.to_owned());
    }
    load(ebpf, CALL_HOOKS).map_err(|error| {
        let reason = error_chain(&error);
        tracing::warn!(reason, "calls are not counted");
        reason
    })
}
