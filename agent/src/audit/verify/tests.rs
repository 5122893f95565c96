//! Whatever is done to records or checkpoints is found.

use proptest::prelude::*;

use super::*;
use crate::audit::{Actor, Entry, Key, Target, Via};

/// An audit that can be tampered with.
#[derive(Clone)]
struct Audit {
    records: Vec<Stored>,
    proof: Proof,
}

#[derive(Clone, Debug, PartialEq)]
struct Stored {
    seq: u64,
    at: i64,
    action: String,
    outcome: String,
    via: String,
    uid: Option<i64>,
    user: Option<String>,
    pid: Option<i64>,
    cgroup: Option<String>,
    identity: Option<String>,
    kind: String,
    name: String,
    reason: String,
    details: String,
    hash: Hash,
}

impl Stored {
    fn row(&self) -> Row<'_> {
        Row {
            seq: self.seq,
            at: self.at,
            action: &self.action,
            outcome: &self.outcome,
            via: &self.via,
            uid: self.uid,
            user: self.user.as_deref(),
            pid: self.pid,
            cgroup: self.cgroup.as_deref(),
            identity: self.identity.as_deref(),
            kind: &self.kind,
            name: &self.name,
            reason: &self.reason,
            details: &self.details,
        }
    }
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_second(1_750_000_000 + second.cast_signed()).expect("a time")
}

fn key() -> Key {
    Key::from_seed(&[7; 32])
}

fn add(audit: &mut Audit, action: Action, name: &str) {
    let (seq, previous) = audit
        .records
        .last()
        .map_or((1, GENESIS), |last| (last.seq + 1, last.hash));
    let actor = Actor {
        via: Via::Api,
        uid: Some(1000),
        user: Some("ada".to_owned()),
        pid: Some(42),
        cgroup: Some("/user.slice".to_owned()),
        identity: Some("slice:user.slice".to_owned()),
    };
    let entry = Entry::new(action, actor, Target::new("InvocationGrant", name))
        .because("nightly summaries")
        .with(KEY_DETAIL, key().public().text());
    let details = serde_json::Value::Object(entry.details.clone()).to_string();
    let row = Row::of(seq, at(seq), &entry, &details);
    let text = |text: Option<&str>| text.map(ToOwned::to_owned);
    audit.records.push(Stored {
        seq,
        at: row.at,
        action: row.action.to_owned(),
        outcome: row.outcome.to_owned(),
        via: row.via.to_owned(),
        uid: row.uid,
        user: text(row.user),
        pid: row.pid,
        cgroup: text(row.cgroup),
        identity: text(row.identity),
        kind: row.kind.to_owned(),
        name: row.name.to_owned(),
        reason: row.reason.to_owned(),
        hash: row.hash(&previous),
        details: details.clone(),
    });
}

fn seal(audit: &mut Audit, key: &Key, occasion: Occasion) {
    let (seq, hash) = audit
        .records
        .last()
        .map_or((0, GENESIS), |last| (last.seq, last.hash));
    let checkpoint = Checkpoint {
        number: audit.proof.lines.len() as u64 + 1,
        seq,
        hash,
        at: at(seq),
        occasion,
        previous: audit
            .proof
            .lines
            .last()
            .map_or(FIRST_LINE, |line| line_hash(line)),
    };
    audit
        .proof
        .lines
        .push(key.sign(checkpoint, Purpose::Line).line());
    audit.proof.head = Some(key.sign(checkpoint, Purpose::Head).line());
}

/// `n_records` with a checkpoint after each `every`, and one at the end.
fn audit(n_records: u64, every: u64) -> Audit {
    let mut audit = running(n_records, every);
    seal(&mut audit, &key(), Occasion::Stop);
    audit
}

fn running(n_records: u64, every: u64) -> Audit {
    let mut audit = Audit {
        records: Vec::new(),
        proof: Proof::default(),
    };
    seal(&mut audit, &key(), Occasion::Start);
    for number in 1..=n_records {
        add(
            &mut audit,
            Action::GrantActivated,
            &format!("grant-{number}"),
        );
        if number % every == 0 {
            seal(&mut audit, &key(), Occasion::Running);
        }
    }
    audit
}

fn verify(audit: &Audit, known: Known) -> Verified {
    let mut verifier = Verifier::new(key().public(), &audit.proof, known);
    for stored in &audit.records {
        verifier.take(&stored.row(), &stored.hash);
    }
    verifier.finish()
}

fn check(audit: &Audit, expected: &[&str]) {
    let problems = verify(audit, Known::default()).problems;
    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(told, expected);
}

#[test]
fn an_audit_as_it_was_left_has_no_problem() {
    let audit = audit(10, 4);
    check(&audit, &[]);
    let verified = verify(&audit, Known::default());
    assert_eq!((verified.records, verified.checkpoints), (10, 4));
    assert_eq!((verified.proven, verified.unproven()), (10, None));
}

#[test]
fn a_changed_record_is_named() {
    let mut changed = audit(10, 4);
    changed.records[4].reason = "none of your business".to_owned();
    let told = "record 5 is not what was recorded: it, or the hash of record 4, was changed";
    check(&changed, &[told]);
}

#[test]
fn records_written_anew_from_one_on_are_not_those_that_were_signed() {
    let mut forged = audit(10, 4);
    forged.records.truncate(4);
    for _ in 0..6 {
        add(&mut forged, Action::GrantActivated, "forged");
    }
    let told = |seq: u64| {
        format!(
            "record {seq} is another one than the checkpoint of {} says: it or records before it \
             were replaced",
            at(seq)
        )
    };
    check(&forged, &[&told(8), &told(10)]);
}

#[test]
fn a_record_that_is_gone_is_missing() {
    let mut shortened = audit(10, 4);
    shortened.records.remove(4);
    check(&shortened, &["record 5 is missing"]);
    let mut shortened = audit(10, 4);
    shortened.records.drain(1..4);
    check(&shortened, &["records 2 to 4 are missing"]);
}

#[test]
fn an_end_that_is_gone_is_missing() {
    let mut shortened = audit(10, 4);
    shortened.records.truncate(9);
    let told = format!(
        "the end is missing: the last record is 9, but the checkpoint of {} says that there were 10",
        at(10)
    );
    check(&shortened, &[&told]);
    // Together with the checkpoints that prove it.
    shortened.proof.lines.truncate(3);
    let head = "the head says that there were 4 checkpoints, but there are 3: some were removed";
    check(&shortened, &[head, &told]);
    shortened.proof.head = None;
    let head = "there are checkpoints, but the head that counts them was removed";
    check(&shortened, &[head]);
    shortened.proof.lines.clear();
    let none = "there are records, but no checkpoint: the file of checkpoints was removed";
    check(&shortened, &[none]);
}

#[test]
fn what_no_checkpoint_proves_the_running_agent_knows() {
    let mut running = running(10, 4);
    let last = running.records.pop().expect("a record");
    check(&running, &[]);
    let unproven = verify(&running, Known::default()).unproven();
    assert_eq!(unproven, Some((9, 9)));
    let known = Known {
        written: Some((last.seq, last.hash)),
        expected: vec![(last.seq, last.hash), (3, [0; 32])],
    };
    let told: Vec<_> = verify(&running, known)
        .problems
        .iter()
        .map(ToString::to_string)
        .collect();
    let expected = [
        "record 3 is another one than was expected, or is missing",
        "record 10 is another one than the agent that runs has written, or is missing",
        "record 10 is another one than was expected, or is missing",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_record_that_was_put_in_is_found() {
    let mut longer = audit(10, 4);
    add(&mut longer, Action::GrantApproved, "forged");
    let told = "record 11 was added while no agent ran: the checkpoint of the stop says that record \
                10 was the last";
    check(&longer, &[told]);
    let mut inserted = audit(10, 4);
    let mut forged = inserted.records[4].clone();
    forged.name = "forged".to_owned();
    inserted.records.insert(5, forged);
    let told = "record 5 is not what was recorded: it, or the hash of record 4, was changed";
    check(&inserted, &[told]);
}

#[test]
fn other_keys_and_older_files_are_found() {
    let forger = Key::from_seed(&[8; 32]);
    let mut forged = audit(10, 4);
    forged.records.truncate(4);
    forged.proof = Proof::default();
    seal(&mut forged, &forger, Occasion::Stop);
    let signature =
        "checkpoint 1 is not signed with the key: it is forged, or the key was replaced";
    let head = "the head is not signed with the key: it is forged, or the key was replaced";
    check(&forged, &[signature, head]);

    // Signed with the other key throughout; but the starts name the first one.
    add(&mut forged, Action::AgentStarted, "weir");
    let mut verifier = Verifier::new(forger.public(), &forged.proof, Known::default());
    for stored in &forged.records {
        verifier.take(&stored.row(), &stored.hash);
    }
    let problems = verifier.finish().problems;
    assert!(
        problems.contains(&Problem::OtherKey { seq: 5 }),
        "{problems:?}"
    );

    let older = audit(10, 4);
    let mut newer = older.clone();
    for number in 11..=14 {
        add(
            &mut newer,
            Action::GrantActivated,
            &format!("grant-{number}"),
        );
        seal(&mut newer, &key(), Occasion::Running);
    }
    let restored = Audit {
        records: older.records.clone(),
        proof: newer.proof.clone(),
    };
    let told = format!(
        "the end is missing: the last record is 10, but the checkpoint of {} says that there were 14",
        at(14)
    );
    check(&restored, &[&told]);
    let mut restored = newer.clone();
    restored.proof.lines.clone_from(&older.proof.lines);
    check(
        &restored,
        &["the head says that there were 8 checkpoints, but there are 4: some were removed"],
    );
    let mut restored = newer;
    restored.proof.head.clone_from(&older.proof.head);
    check(
        &restored,
        &["there are 8 checkpoints, but the head says 4: an older head was put there"],
    );
}

#[test]
fn a_checkpoint_that_was_changed_removed_or_made_up_is_found() {
    let mut changed = audit(10, 4);
    changed.proof.lines[1] = changed.proof.lines[1].replace("\"seq\":4", "\"seq\":3");
    let problems = verify(&changed, Known::default()).problems;
    assert_eq!(
        problems,
        [Problem::Unlinked { line: 3 }, Problem::Forged { number: 2 }]
    );

    let mut removed = audit(10, 4);
    removed.proof.lines.remove(1);
    check(
        &removed,
        &[
            "line 2 of the checkpoints does not follow the line before: one was changed, removed or added",
        ],
    );
    let mut nonsense = audit(10, 4);
    nonsense.proof.lines.insert(1, "{}".to_owned());
    check(&nonsense, &["line 2 of the checkpoints is no checkpoint"]);
}

#[test]
fn many_problems_are_counted() {
    let mut changed = audit(40, 50);
    for stored in &mut changed.records {
        stored.at += 1;
    }
    let problems = verify(&changed, Known::default()).problems;
    assert_eq!(problems.len(), MOST_TOLD + 1);
    assert_eq!(problems.last(), Some(&Problem::More(20)));
}

#[derive(Clone, Debug)]
enum Tampering {
    Edit { record: usize, field: usize },
    Delete { record: usize },
    Insert { record: usize },
    Swap { one: usize, other: usize },
    CutOff { left: usize },
    Append,
}

fn tamper(audit: &mut Audit, tampering: &Tampering) {
    let records = &mut audit.records;
    match *tampering {
        Tampering::Edit { record, field } => {
            let stored = &mut records[record];
            let text = |text: &mut String| text.push('x');
            let option = |text: &mut Option<String>| *text = text.is_none().then(String::new);
            match field {
                0 => stored.at += 1,
                1 => text(&mut stored.action),
                2 => text(&mut stored.outcome),
                3 => text(&mut stored.via),
                4 => stored.uid = stored.uid.is_none().then_some(0),
                5 => option(&mut stored.user),
                6 => stored.pid = stored.pid.map(|pid| pid + 1),
                7 => option(&mut stored.cgroup),
                8 => option(&mut stored.identity),
                9 => text(&mut stored.kind),
                10 => text(&mut stored.name),
                11 => text(&mut stored.reason),
                12 => text(&mut stored.details),
                13 => stored.hash[31] ^= 1,
                _ => stored.seq += 1,
            }
        }
        Tampering::Delete { record } => {
            records.remove(record);
        }
        Tampering::Insert { record } => {
            let mut forged = records[record].clone();
            forged.name.push('x');
            records.insert(record, forged);
            for (index, stored) in records.iter_mut().enumerate() {
                stored.seq = index as u64 + 1;
            }
        }
        Tampering::Swap { one, other } => {
            records.swap(one, other);
            for (index, stored) in records.iter_mut().enumerate() {
                stored.seq = index as u64 + 1;
            }
        }
        Tampering::CutOff { left } => records.truncate(left),
        Tampering::Append => add(audit, Action::GrantApproved, "forged"),
    }
}

const RECORDS: usize = 12;

fn tampering() -> impl Strategy<Value = Tampering> {
    let record = || 0..RECORDS;
    prop_oneof![
        (record(), 0..15_usize).prop_map(|(record, field)| Tampering::Edit { record, field }),
        record().prop_map(|record| Tampering::Delete { record }),
        record().prop_map(|record| Tampering::Insert { record }),
        (record(), 1..RECORDS).prop_map(|(one, by)| Tampering::Swap {
            one,
            other: (one + by) % RECORDS,
        }),
        record().prop_map(|left| Tampering::CutOff { left }),
        Just(Tampering::Append),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_can_be_done_to_records_unnoticed(tampering in tampering(), every in 1..20_u64) {
        let mut audit = audit(RECORDS as u64, every);
        prop_assert_eq!(verify(&audit, Known::default()).problems, []);
        tamper(&mut audit, &tampering);
        let problems = verify(&audit, Known::default()).problems;
        prop_assert!(!problems.is_empty(), "{:?}", tampering);
    }

    /// A forger who knows the format but not the key.
    #[test]
    fn not_even_with_all_hashes_written_anew(
        tampering in tampering().prop_filter("an edited hash is repaired", |tampering| {
            !matches!(tampering, Tampering::Edit { field: 13 | 14, .. } | Tampering::CutOff { .. })
        }),
        every in 1..20_u64,
    ) {
        let mut audit = audit(RECORDS as u64, every);
        tamper(&mut audit, &tampering);
        let mut previous = GENESIS;
        for (index, stored) in audit.records.iter_mut().enumerate() {
            stored.seq = index as u64 + 1;
            previous = stored.row().hash(&previous);
            stored.hash = previous;
        }
        let problems = verify(&audit, Known::default()).problems;
        prop_assert!(!problems.is_empty(), "{:?}", tampering);
    }
}
