//! When checkpoints are made, and what a start finds that is not as it was left.

use super::{
    super::{Core, StartError},
    reading::DATABASE,
    witness::{Job, Witness},
};
use crate::{
    audit::{Action, Actor, Checkpoint, Entry, GENESIS, Hash, Occasion, PublicKey, Target},
    config::Config,
    host::{checkpoints::Checkpoints, clock::now},
    store::{Store, StoreError},
};

/// What vouches for the records.
#[derive(Debug)]
pub(in crate::daemon) struct Prover {
    witness: Witness,
    pub(super) public_key: PublicKey,
    /// The last record that the witness knows of.
    told: u64,
    /// Records that a former agent could not prove any more.
    pub(super) n_unproven: u64,
}

impl Prover {
    /// Proves what is there before anything is added, so that whatever comes behind a stop and
    /// before the next start is not ours.
    pub(in crate::daemon) fn start(config: &Config, store: &mut Store) -> Result<Self, StartError> {
        let (mut checkpoints, last) = Checkpoints::open(&config.state_dir)?;
        let tail = store.audit_tail()?.map(|tail| (tail.seq, tail.hash));
        let finding = finding(store, last, tail)?;
        let (seq, hash) = tail.unwrap_or((0, GENESIS));
        let at = now().wall;
        checkpoints.add((seq, hash), at, Occasion::Start)?;
        if let Some(finding) = finding {
            tracing::error!(finding, "the audit is not as it was left");
            let target = Target::new("agent", "audit");
            let entry = Entry::new(Action::AuditTampered, Actor::agent(), target).because(finding);
            store.at_once(|store| store.audit(at, &entry))?;
        }
        let public_key = checkpoints.public_key();
        let database = config.state_dir.join(DATABASE);
        let witness = Witness::start(checkpoints, database, &config.audit, seq);
        Ok(Self {
            witness: witness.map_err(StartError::Thread)?,
            public_key,
            told: seq,
            n_unproven: seq.saturating_sub(last.map_or(0, |last| last.seq)),
        })
    }
}

/// How the records differ from what the last checkpoint says, as a sentence.
fn finding(
    store: &Store,
    last: Option<Checkpoint>,
    tail: Option<(u64, Hash)>,
) -> Result<Option<&'static str>, StoreError> {
    let end = tail.map_or(0, |(seq, _)| seq);
    let Some(last) = last else {
        return Ok((end > 0).then_some("the checkpoints are gone"));
    };
    if end < last.seq {
        return Ok(Some("records at the end are gone"));
    }
    if last.seq > 0 && store.audit_hash(last.seq)? != Some(last.hash) {
        return Ok(Some("records were replaced"));
    }
    let is_longer = last.occasion == Occasion::Stop && end > last.seq;
    Ok(is_longer.then_some("records were added while no agent ran"))
}

impl Core {
    /// Has a checkpoint made if something has been recorded since the last one.
    pub(in crate::daemon) fn prove(&mut self, occasion: Occasion) {
        let Some(tail) = self.store.audit_end() else {
            return;
        };
        if tail.seq == self.prover.told && occasion == Occasion::Running {
            return;
        }
        self.prover.told = tail.seq;
        self.prover.witness.tell(Job {
            end: (tail.seq, tail.hash),
            at: now().wall,
            occasion,
        });
    }
}
