//! Sends records to the agent; what cannot be sent is counted.

use agent_common::{event::Event, identity::IdentityId, loss::Loss};

use crate::maps;

/// The agent polls: waking it would cost the caller more than the whole connection.
const BPF_RB_NO_WAKEUP: u64 = 1;

/// Emits `event`. Written field by field: a copy of the whole would go through the stack.
#[inline(always)]
pub fn emit(event: &Event) {
    emit_as(
        event,
        event.kind_and_verdict,
        event.identity,
        event.detail[0],
    );
}

/// As [`emit`], but about somebody else.
#[inline(always)]
pub fn emit_as(event: &Event, kind_and_verdict: u8, identity: IdentityId, detail: u64) {
    let Some(mut entry) = maps::reserve_event() else {
        maps::count_loss(Loss::EventRingFull);
        return;
    };
    let place = entry.as_mut_ptr();
    // SAFETY: the entry is exclusively ours until it is submitted, and every field is written.
    unsafe {
        (&raw mut (*place).at_ns).write(event.at_ns);
        (&raw mut (*place).cookie).write(event.cookie);
        (&raw mut (*place).detail).write([detail, event.detail[1]]);
        (&raw mut (*place).address).write(event.address);
        (&raw mut (*place).identity).write(identity);
        (&raw mut (*place).endpoint).write(event.endpoint);
        (&raw mut (*place).rule).write(event.rule);
        (&raw mut (*place).port).write(event.port);
        (&raw mut (*place).kind_and_verdict).write(kind_and_verdict);
        (&raw mut (*place).reason_and_flags).write(event.reason_and_flags);
    }
    entry.submit(BPF_RB_NO_WAKEUP);
}
