//! What identities run: something new means that what they do may be meant to be different.

use std::collections::{BTreeMap, BTreeSet};

use agent_common::{
    event::{Event, EventKind},
    identity::IdentityId,
};
use sha2::{Digest, Sha256};

use super::super::Core;
use crate::{
    error_chain,
    host::clock::now,
    store::{Store, StoreError},
};

/// Who runs more different things than that is not told by what it runs.
const MOST: usize = 64;
const MOST_RECENT: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Versions {
    known: BTreeMap<IdentityId, BTreeSet<u64>>,
    /// Processes that were looked at lately: nobody looks again at each of their calls.
    recent: BTreeSet<(IdentityId, u32)>,
}

/// What seeing a version means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Known,
    First,
    /// Another one was known.
    New,
}

impl Versions {
    pub(super) fn recover(store: &Store) -> Result<Self, StoreError> {
        let mut versions = Self::default();
        for (identity, version) in store.versions()? {
            versions.see(identity, version);
        }
        Ok(versions)
    }

    /// An exec within a few seconds of the last look is not seen.
    fn is_due(&mut self, identity: IdentityId, pid: u32) -> bool {
        if self.recent.len() >= MOST_RECENT {
            self.recent.clear();
        }
        self.recent.insert((identity, pid))
    }

    pub(super) fn look_again(&mut self) {
        self.recent.clear();
    }

    fn see(&mut self, identity: IdentityId, version: u64) -> Seen {
        let known = self.known.entry(identity).or_default();
        if known.contains(&version) || known.len() >= MOST {
            return Seen::Known;
        }
        let is_first = known.is_empty();
        known.insert(version);
        if is_first { Seen::First } else { Seen::New }
    }
}

impl Core {
    /// Of a container the image, which is the same after a restart; else the file that is executed.
    pub(in crate::daemon) fn note_versions(&mut self, events: &[Event]) {
        if self.anomalies.is_none() {
            return;
        }
        for event in events {
            if event.kind() == Some(EventKind::Connect)
                && self.is_due(event)
                && let Some(version) = self.version(event)
            {
                self.note_version(event.identity, version);
            }
        }
    }

    fn is_due(&mut self, event: &Event) -> bool {
        let (pid, _) = event.caller();
        self.anomalies
            .as_mut()
            .is_some_and(|anomalies| anomalies.versions.is_due(event.identity, pid))
    }

    fn version(&self, event: &Event) -> Option<u64> {
        let identity = self.workloads.identity(event.identity);
        let labels = identity.map(|identity| &identity.labels);
        if let Some(labels) = labels.filter(|labels| labels.container.is_some()) {
            return Some(number(&[labels.image.as_ref()?.as_bytes()]));
        }
        let (pid, _) = event.caller();
        let process = self.maps.processes.at(pid, event.at_ns)?;
        let exe = process.exe_at(event.at_ns);
        if exe.is_none() {
            return None;
        }
        Some(number(&[
            &exe.inode.to_be_bytes(),
            &exe.device.to_be_bytes(),
        ]))
    }

    fn note_version(&mut self, identity: IdentityId, version: u64) {
        let Some(anomalies) = &mut self.anomalies else {
            return;
        };
        let seen = anomalies.versions.see(identity, version);
        if seen == Seen::Known {
            return;
        }
        if seen == Seen::New {
            anomalies.watch.hint(identity);
        }
        if let Err(error) = self.store.add_version(identity, version, now().wall) {
            tracing::warn!(
                error = error_chain(&error),
                "what an identity runs is not kept"
            );
        }
    }
}

/// The same in every version of this program.
fn number(parts: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let digest = hash.finalize();
    digest
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_something_else_than_before_is_new() {
        let mut versions = Versions::default();
        let (a, b) = (IdentityId::from_raw(1), IdentityId::from_raw(2));
        assert_eq!(versions.see(a, 1), Seen::First);
        assert_eq!(versions.see(a, 1), Seen::Known);
        assert_eq!(versions.see(a, 2), Seen::New);
        assert_eq!(versions.see(b, 2), Seen::First);
        for version in 3..100 {
            versions.see(a, version);
        }
        assert_eq!(versions.see(a, 1_000), Seen::Known);
    }
}
