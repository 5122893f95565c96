//! Finds what was done to the records, or to the checkpoints that prove them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use thiserror::Error;

use super::{
    Action, Checkpoint, GENESIS, Hash, Occasion, PublicKey, Purpose, Row, Signed,
    checkpoint::{FIRST_LINE, line_hash},
};

/// How many problems are told one by one.
const MOST_TOLD: usize = 20;

/// One thing that is not as the agent has left it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    #[error("record {seq} is not what was recorded: it, or the hash of record {}, was changed", seq.saturating_sub(1))]
    Changed { seq: u64 },
    #[error("{} missing", records(*from, *to))]
    Missing { from: u64, to: u64 },
    #[error(
        "the end is missing: the last record is {last}, but the checkpoint of {at} says that there \
         were {seq}"
    )]
    CutOff { last: u64, seq: u64, at: Timestamp },
    #[error(
        "record {seq} is another one than the checkpoint of {at} says: it or records before it were \
         replaced"
    )]
    Replaced { seq: u64, at: Timestamp },
    #[error("record {seq} is another one than the agent that runs has written, or is missing")]
    NotAsWritten { seq: u64 },
    #[error("record {seq} is another one than was expected, or is missing")]
    NotAsExpected { seq: u64 },
    #[error(
        "{} added while no agent ran: the checkpoint of the stop says that record {} was the last",
        records_were(*from, *to),
        from - 1
    )]
    AddedAfterStop { from: u64, to: u64 },
    #[error("record {seq} tells that the agent found records other than it had left them")]
    Told { seq: u64 },
    #[error("record {seq} names another key than the one at hand: the key was replaced")]
    OtherKey { seq: u64 },
    #[error("there are records, but no checkpoint: the file of checkpoints was removed")]
    NoCheckpoint,
    #[error("line {line} of the checkpoints is no checkpoint")]
    Unreadable { line: usize },
    #[error(
        "line {line} of the checkpoints does not follow the line before: one was changed, removed or added"
    )]
    Unlinked { line: usize },
    #[error(
        "checkpoint {number} is not signed with the key: it is forged, or the key was replaced"
    )]
    Forged { number: u64 },
    #[error("the head is not signed with the key: it is forged, or the key was replaced")]
    HeadForged,
    #[error("there are checkpoints, but the head that counts them was removed")]
    HeadMissing,
    #[error(
        "the head says that there were {told} checkpoints, but there are {found}: some were removed"
    )]
    CheckpointsMissing { told: u64, found: u64 },
    #[error("there are {found} checkpoints, but the head says {told}: an older head was put there")]
    HeadOld { told: u64, found: u64 },
    #[error("{0} more")]
    More(usize),
}

fn records(from: u64, to: u64) -> String {
    if from == to {
        format!("record {from} is")
    } else {
        format!("records {from} to {to} are")
    }
}

fn records_were(from: u64, to: u64) -> String {
    if from == to {
        format!("record {from} was")
    } else {
        format!("records {from} to {to} were")
    }
}

/// What lies beside the records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// Lines of the file of checkpoints.
    pub lines: Vec<String>,
    pub head: Option<String>,
}

/// What the records have to agree with.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The last record of the agent that runs.
    pub written: Option<(u64, Hash)>,
    /// Records that somebody has noted elsewhere.
    pub expected: Vec<(u64, Hash)>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub records: u64,
    /// Number and hash of the last record.
    pub last: Option<(u64, Hash)>,
    pub checkpoints: u64,
    /// Number of the last record that a checkpoint proves.
    pub proven: u64,
    pub problems: Vec<Problem>,
}

impl Verified {
    /// Records that nothing proves yet: whether their end is missing cannot be told.
    #[must_use]
    pub fn unproven(&self) -> Option<(u64, u64)> {
        let (last, _) = self.last?;
        (last > self.proven).then_some((self.proven + 1, last))
    }
}

/// Takes the records in order.
#[derive(Debug)]
pub struct Verifier {
    key: PublicKey,
    known: Known,
    checkpoints: Vec<Checkpoint>,
    /// The same, by record.
    signed: BTreeMap<u64, Vec<Checkpoint>>,
    has_proof: bool,
    records: u64,
    last: Option<(u64, Hash)>,
    found: Vec<Problem>,
    n_problems: usize,
}

impl Verifier {
    #[must_use]
    pub fn new(key: PublicKey, proof: &Proof, known: Known) -> Self {
        let (checkpoints, problems) = check_proof(&key, proof);
        let mut verifier = Self {
            key,
            known,
            signed: BTreeMap::new(),
            checkpoints,
            has_proof: proof.head.is_some() || !proof.lines.is_empty(),
            records: 0,
            last: None,
            found: Vec::new(),
            n_problems: 0,
        };
        for checkpoint in &verifier.checkpoints {
            let there = verifier.signed.entry(checkpoint.seq).or_default();
            there.push(*checkpoint);
        }
        for problem in problems {
            verifier.add(problem);
        }
        verifier
    }

    /// The next record, with the hash that is stored beside it.
    pub fn take(&mut self, row: &Row<'_>, stored: &Hash) {
        let (last, previous) = self.last.unwrap_or((0, GENESIS));
        let seq = row.seq;
        let next = last.saturating_add(1);
        if seq > next {
            self.add(Problem::Missing {
                from: next,
                to: seq.saturating_sub(1),
            });
        } else if seq < next || row.hash(&previous) != *stored {
            self.add(Problem::Changed { seq });
        }
        let signed = self.signed.get(&seq).into_iter().flatten();
        if let Some(other) = signed.copied().find(|signed| signed.hash != *stored) {
            self.add(Problem::Replaced { seq, at: other.at });
        }
        let is_other = |known: &(u64, Hash)| known.0 == seq && known.1 != *stored;
        if self.known.written.as_ref().is_some_and(is_other) {
            self.add(Problem::NotAsWritten { seq });
        }
        if self.known.expected.iter().any(is_other) {
            self.add(Problem::NotAsExpected { seq });
        }
        if row.action == Action::AuditTampered.name() {
            self.add(Problem::Told { seq });
        }
        if row.action == Action::AgentStarted.name() && self.names_another_key(row.details) {
            self.add(Problem::OtherKey { seq });
        }
        self.records += 1;
        self.last = Some((seq, *stored));
    }

    /// A record that cannot even be read.
    pub fn take_unreadable(&mut self, seq: u64) {
        self.add(Problem::Changed { seq });
        self.records += 1;
        self.last = Some((seq, GENESIS));
    }

    fn names_another_key(&self, details: &str) -> bool {
        let details: serde_json::Value = serde_json::from_str(details).unwrap_or_default();
        let key = details.get(KEY_DETAIL).and_then(|key| key.as_str());
        key.is_some_and(|key| key != self.key.text())
    }

    #[must_use]
    pub fn finish(mut self) -> Verified {
        let last = self.last.map_or(0, |(seq, _)| seq);
        let furthest = self.checkpoints.iter().max_by_key(|one| one.seq).copied();
        if let Some(furthest) = furthest
            && furthest.seq > last
        {
            self.add(Problem::CutOff {
                last,
                seq: furthest.seq,
                at: furthest.at,
            });
        }
        if !self.has_proof && last > 0 {
            self.add(Problem::NoCheckpoint);
        }
        if let Some(newest) = self.checkpoints.last().copied()
            && newest.occasion == Occasion::Stop
            && last > newest.seq
        {
            self.add(Problem::AddedAfterStop {
                from: newest.seq + 1,
                to: last,
            });
        }
        if let Some((seq, _)) = self.known.written.filter(|(seq, _)| *seq > last) {
            self.add(Problem::NotAsWritten { seq });
        }
        for (seq, _) in std::mem::take(&mut self.known.expected) {
            if seq > last || seq == 0 {
                self.add(Problem::NotAsExpected { seq });
            }
        }
        let more = self.n_problems - self.found.len();
        if more > 0 {
            self.found.push(Problem::More(more));
        }
        Verified {
            records: self.records,
            last: self.last,
            checkpoints: self.checkpoints.len() as u64,
            proven: furthest.map_or(0, |furthest| furthest.seq.min(last)),
            problems: self.found,
        }
    }

    fn add(&mut self, problem: Problem) {
        self.n_problems += 1;
        if self.found.len() < MOST_TOLD {
            self.found.push(problem);
        }
    }
}

/// Name of the agent's public key in the details of a start.
pub const KEY_DETAIL: &str = "audit_key";

/// The checkpoints that the key has signed, and what is wrong with the others.
///
/// A line names the hash of the line before, so a good signature vouches for all lines that are
/// linked to it, and few signatures need to be checked.
fn check_proof(key: &PublicKey, proof: &Proof) -> (Vec<Checkpoint>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut read = Vec::new();
    for (index, line) in proof.lines.iter().enumerate() {
        match Signed::parse(line) {
            Some(signed) => read.push((index + 1, line_hash(line), signed)),
            None => problems.push(Problem::Unreadable { line: index + 1 }),
        }
    }
    let mut previous = (0_u64, FIRST_LINE);
    // What no good line names has to be signed itself.
    let mut must_be_signed = vec![false; read.len()];
    for (index, (line, hash, signed)) in read.iter().enumerate() {
        let number = signed.checkpoint.number;
        if (number, signed.checkpoint.previous) != (previous.0.saturating_add(1), previous.1) {
            problems.push(Problem::Unlinked { line: *line });
            if let Some(before) = index
                .checked_sub(1)
                .and_then(|at| must_be_signed.get_mut(at))
            {
                *before = true;
            }
        }
        previous = (number, *hash);
    }
    let mut checkpoints = Vec::new();
    let mut is_vouched_for = false;
    for ((_, _, signed), must) in read.iter().zip(&must_be_signed).rev() {
        if *must || !is_vouched_for {
            is_vouched_for = key.has_signed(signed, Purpose::Line);
        }
        if is_vouched_for {
            checkpoints.push(signed.checkpoint);
        } else {
            let number = signed.checkpoint.number;
            problems.push(Problem::Forged { number });
        }
    }
    checkpoints.reverse();
    let found = read
        .last()
        .map_or(0, |(_, _, signed)| signed.checkpoint.number);
    let (head, problem) = check_head(key, proof.head.as_deref(), found);
    problems.extend(problem);
    if let Some(head) = head
        && checkpoints
            .last()
            .is_none_or(|newest| newest.number < head.number)
    {
        checkpoints.push(head);
    }
    (checkpoints, problems)
}

fn check_head(
    key: &PublicKey,
    head: Option<&str>,
    found: u64,
) -> (Option<Checkpoint>, Option<Problem>) {
    let Some(head) = head else {
        return (None, (found > 0).then_some(Problem::HeadMissing));
    };
    let Some(signed) =
        Signed::parse(head.trim_end()).filter(|head| key.has_signed(head, Purpose::Head))
    else {
        return (None, Some(Problem::HeadForged));
    };
    let told = signed.checkpoint.number;
    let problem = if told > found {
        Some(Problem::CheckpointsMissing { told, found })
    } else if told + 1 < found {
        // One behind is what an agent leaves that is killed between the two.
        Some(Problem::HeadOld { told, found })
    } else {
        None
    };
    (Some(signed.checkpoint), problem)
}

#[cfg(test)]
mod tests;
