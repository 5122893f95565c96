//! Takes the kernel's word for cgroups that are made and removed, as soon as it is given.

use std::{io, sync::mpsc::Sender, thread, time::Duration};

use agent_common::cgroup::CgroupRecord;

use super::Input;
use crate::{bpf::cgroups::CgroupRing, host::priority};

/// How often whether the agent still runs is looked at.
const IDLE: Duration = Duration::from_secs(1);
/// Records that are handed over at once.
const BATCH: usize = 256;

/// Starts the thread. It ends with the agent.
pub(super) fn start(ring: CgroupRing, inputs: Sender<Input>) -> io::Result<()> {
    thread::Builder::new()
        .name("weir-cgroups".to_owned())
        .spawn(move || run(ring, &inputs))
        .map(drop)
}

fn run(mut ring: CgroupRing, inputs: &Sender<Input>) {
    priority::prefer_this_thread();
    loop {
        if let Err(error) = ring.wait(IDLE) {
            tracing::error!(%error, "new cgroups are found by looking for them only");
            return;
        }
        let mut records: Vec<CgroupRecord> = Vec::new();
        while records.len() < BATCH
            && let Some(record) = ring.take()
        {
            records.push(record);
        }
        // An empty batch asks whether anybody still listens.
        if inputs.send(Input::Cgroups(records)).is_err() {
            return;
        }
    }
}
