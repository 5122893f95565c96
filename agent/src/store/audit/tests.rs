//! The chain in the database.

use tempfile::TempDir;

use super::*;
use crate::error_chain;

const NOW: Timestamp = Timestamp::constant(1_750_000_000, 0);

fn store() -> (TempDir, Store) {
    let directory = TempDir::new().expect("a directory");
    let store = Store::open(&directory.path().join("weir.db")).expect("a store");
    (directory, store)
}

fn entry(name: &str) -> Entry {
    let target = Target::new("InvocationGrant", name);
    Entry::new(Action::GrantRevoked, Actor::agent(), target)
        .because("incident 4711")
        .with("revision", 7)
}

fn audit(store: &mut Store, name: &str) -> u64 {
    store
        .at_once(|store| store.audit(NOW, &entry(name)))
        .expect("recorded")
}

#[test]
fn records_follow_each_other_and_are_read_as_they_were_told() {
    let (_directory, mut store) = store();
    assert_eq!([audit(&mut store, "a"), audit(&mut store, "b")], [1, 2]);

    let all = AuditFilter {
        limit: 10,
        ..AuditFilter::default()
    };
    let records = store.audit_records(&all).expect("read");
    let [first, second] = records.as_slice() else {
        panic!("{records:?}");
    };
    assert_eq!(first.target.name, "a");
    assert_eq!(second.reason, "incident 4711");
    assert_eq!(second.detail("revision"), Some(7.into()));
    assert_ne!(first.hash, second.hash);
    let last = store.last_record().expect("read").expect("a record");
    assert_eq!(last, *second);
    let behind = AuditFilter {
        after: Some(1),
        ..all
    };
    assert_eq!(store.audit_records(&behind).expect("read").len(), 1);
}

#[test]
fn what_is_taken_back_was_never_recorded() {
    let (_directory, mut store) = store();
    audit(&mut store, "a");
    let failed = store.at_once(|store| -> Result<(), StoreError> {
        store.audit(NOW, &entry("b"))?;
        Err(StoreError::Exhausted { what: "rule" })
    });
    failed.expect_err("it failed");
    assert_eq!(audit(&mut store, "c"), 2);
    let records = store.audit_records(&AuditFilter {
        limit: 10,
        ..AuditFilter::default()
    });
    let names: Vec<_> = records
        .expect("read")
        .into_iter()
        .map(|record| record.target.name)
        .collect();
    assert_eq!(names, ["a", "c"]);
}

#[test]
fn the_database_itself_refuses_to_change_or_remove_one() {
    let (_directory, mut store) = store();
    audit(&mut store, "a");
    for sql in ["UPDATE audit SET name = 'b'", "DELETE FROM audit"] {
        let error = store
            .connection
            .execute_batch(sql)
            .attempt("tamper")
            .expect_err("refused");
        assert!(
            error_chain(&error).contains("records of the audit are never"),
            "{error:?}"
        );
    }
}

#[test]
fn an_agent_notices_that_the_end_is_not_its_own() {
    let (_directory, mut store) = store();
    audit(&mut store, "a");
    audit(&mut store, "b");
    store
        .connection
        .execute_batch("DROP TRIGGER audit_is_never_shortened; DELETE FROM audit WHERE seq = 2")
        .expect("tampered");
    audit(&mut store, "c");
    let tampered = store
        .last_audited(Action::AuditTampered)
        .expect("read")
        .expect("a record");
    assert_eq!(
        (tampered.seq, tampered.detail("expected")),
        (2, Some(2.into()))
    );
    let last = store.last_record().expect("read").expect("a record");
    assert_eq!((last.seq, last.target.name.as_str()), (3, "c"));
}
