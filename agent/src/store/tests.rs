//! The store against restarts, crashes and foreign files.

use std::{fs, path::PathBuf};

use agent_common::{
    counter::{CounterKey, Counters, Counts},
    destination::EndpointId,
    event::EventKind,
    identity::IdentityId,
    policy::RuleId,
    verdict::{Reason, Verdict},
};
use tempfile::TempDir;

use super::*;
use crate::{
    error_chain,
    host::clock::Now,
    identity::{Labels, LocalUser},
    usage::{
        UsageRow,
        period::{minute_of, plan},
    },
};

const NOW: Timestamp = Timestamp::constant(1_750_000_000, 0);
/// The same on the boot clock.
const BOOTED_NS: u64 = 86_400_000_000_000;

fn directory() -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("weir.db");
    (directory, path)
}

fn open(path: &Path) -> Store {
    Store::open(path).expect("a store")
}

/// A file as that version has left it.
fn of_version(path: &Path, version: usize) -> Connection {
    let old = Connection::open(path).expect("a database");
    for step in schema::STEPS.iter().take(version) {
        old.execute_batch(step).expect("tables of that version");
    }
    let pragmas = format!("PRAGMA application_id = 0x77656972; PRAGMA user_version = {version};");
    old.execute_batch(&pragmas).expect("a version");
    old
}

fn later(seconds: i64) -> Timestamp {
    NOW + jiff::SignedDuration::from_secs(seconds)
}

fn key(identity: u32) -> CounterKey {
    CounterKey {
        identity: IdentityId::from_raw(identity),
        endpoint: EndpointId::from_raw(2),
        rule: RuleId::from_raw(3),
        reason: Reason::Granted as u32,
    }
}

fn counters(allowed: u64, bytes: u64) -> Counters {
    Counters {
        counts: Counts {
            connects_allowed: allowed,
            closed: allowed,
            bytes_out: bytes,
            ..Counts::ZERO
        },
        first_ns: 1,
        last_ns: 2,
    }
}

#[test]
fn the_log_does_not_grow_for_ever() {
    let (directory, path) = directory();
    let mut store = open(&path);
    let log = directory.path().join("weir.db-wal");
    let (mut length, mut n_names, mut begins_anew) = (0, 0, false);
    // The writer never pauses.
    while !begins_anew && n_names < 50_000 {
        let labels = Labels::from_cgroup_path(&format!("/system.slice/{n_names}.service"));
        let key = labels.key();
        store.identity_number(&key, &labels, NOW).expect("a number");
        n_names += 1;
        let before = length;
        length = fs::metadata(&log).expect("a log").len();
        begins_anew = length < before;
    }
    assert!(begins_anew, "{length} bytes");
    drop(store);
    assert!(!log.exists());
    assert_eq!(open(&path).identities().expect("rows").len(), n_names);
}

fn drain(
    store: &mut Store,
    generation: u64,
    rows: &[(CounterKey, Counters)],
    at: Timestamp,
) -> usize {
    store
        .drain(generation, rows, &|_| at, &|_| false, at)
        .expect("a drain")
        .len()
}

/// All of the time if none is told.
fn usage(
    store: &Store,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    identity: Option<u32>,
    endpoint: Option<u32>,
) -> Vec<UsageRow> {
    let kept = store.kept().expect("read");
    let plan = plan(since.map(minute_of), until.map(minute_of), &kept);
    let identity = identity.map(IdentityId::from_raw);
    let endpoint = endpoint.map(EndpointId::from_raw);
    let rows = store.usage(&plan, identity, endpoint);
    rows.expect("usage").into_values().flatten().collect()
}

fn total(store: &Store) -> (u64, u64) {
    let rows = usage(store, None, None, None, None);
    let sum = |of: fn(&UsageRow) -> u64| rows.iter().map(of).sum();
    (
        sum(|row| row.counts.connects_allowed),
        sum(|row| row.counts.bytes_out),
    )
}

#[test]
fn every_count_is_taken_over_once_whatever_ends_the_agent() {
    let (_directory, path) = directory();
    let mut kernel = counters(0, 0);
    for round in 0..50 {
        // The kernel goes on counting while the agent is killed and started again.
        kernel.counts.connects_allowed += round;
        kernel.counts.bytes_out += 1_000 * round;
        let mut store = open(&path);
        drain(
            &mut store,
            7,
            &[(key(1), kernel)],
            later(round.cast_signed() * 7),
        );
        // A second look at the same counters adds nothing.
        assert_eq!(drain(&mut store, 7, &[(key(1), kernel)], later(400)), 0);
        assert_eq!(
            total(&store),
            (kernel.counts.connects_allowed, kernel.counts.bytes_out)
        );
        // No orderly close: a killed process runs no destructor.
        std::mem::forget(store);
    }
}

#[test]
fn a_drain_that_fails_takes_over_nothing() {
    let (_directory, path) = directory();
    let mut store = open(&path);
    drain(&mut store, 7, &[(key(1), counters(5, 50))], NOW);
    store
        .connection
        .execute_batch("ALTER TABLE usage RENAME TO away")
        .expect("sabotage");
    let rows = [(key(1), counters(9, 90))];
    assert!(store.drain(7, &rows, &|_| NOW, &|_| false, NOW).is_err());
    store
        .connection
        .execute_batch("ALTER TABLE away RENAME TO usage")
        .expect("repair");
    assert_eq!(drain(&mut store, 7, &rows, NOW), 1);
    assert_eq!(total(&store), (9, 90));
}

#[test]
fn counters_of_new_maps_start_from_zero() {
    let (_directory, path) = directory();
    let mut store = open(&path);
    drain(&mut store, 7, &[(key(1), counters(100, 0))], NOW);
    // After a reboot the kernel's count is smaller than before.
    drain(&mut store, 8, &[(key(1), counters(3, 0))], NOW);
    assert_eq!(total(&store).0, 103);
    drain(&mut store, 8, &[(key(1), counters(4, 0))], NOW);
    assert_eq!(total(&store).0, 104);
}

#[test]
fn a_row_that_was_made_again_counts_from_zero() {
    let (_directory, path) = directory();
    let mut store = open(&path);
    drain(&mut store, 7, &[(key(1), counters(100, 5))], NOW);
    drain(&mut store, 7, &[(key(1), counters(2, 1))], NOW);
    assert_eq!(total(&store), (102, 6));
}

#[test]
fn usage_is_found_by_minute_identity_and_endpoint() {
    let (_directory, path) = directory();
    let mut store = open(&path);
    drain(&mut store, 7, &[(key(1), counters(1, 0))], NOW);
    let both = [(key(1), counters(3, 0)), (key(2), counters(10, 0))];
    drain(&mut store, 7, &both, later(3_600));
    let allowed = |since, until, identity: Option<u32>, endpoint: Option<u32>| -> u64 {
        let rows = usage(&store, since, until, identity, endpoint);
        rows.iter().map(|row| row.counts.connects_allowed).sum()
    };
    assert_eq!(allowed(None, None, None, None), 13);
    assert_eq!(allowed(Some(later(1_800)), None, None, None), 12);
    assert_eq!(allowed(None, Some(later(1_800)), None, None), 1);
    assert_eq!(allowed(None, None, Some(2), None), 10);
    assert_eq!(allowed(None, None, None, Some(9)), 0);
}

#[test]
fn counts_keep_all_their_bits() {
    let (_directory, path) = directory();
    let mut store = open(&path);
    drain(
        &mut store,
        u64::MAX,
        &[(key(1), counters(1, u64::MAX))],
        NOW,
    );
    assert_eq!(total(&store), (1, u64::MAX));
}

#[test]
fn a_number_stays_with_its_name_for_ever() {
    let (_directory, path) = directory();
    let labels = Labels::from_cgroup_path("/a.slice/b.service");
    let numbers = |store: &mut Store| {
        (
            store
                .identity_number(&labels.key(), &labels, NOW)
                .expect("a number"),
            store.endpoint_number("openai").expect("a number"),
            store.prefix_number("10.0.0.0/8").expect("a number"),
            store.rule_number(RuleKind::Grant, "x").expect("a number"),
            store.rule_number(RuleKind::Deny, "x").expect("a number"),
        )
    };
    let mut store = open(&path);
    let first = numbers(&mut store);
    let other = store.endpoint_number("anthropic").expect("a number");
    drop(store);
    let mut store = open(&path);
    assert_eq!(numbers(&mut store), first);
    assert_ne!(other, first.1);
    assert_ne!(first.3, first.4);
    assert!(first.2.is_denied_prefix());
    let names = store.names().expect("names");
    assert_eq!(
        names.identities.get(&first.0).map(String::as_str),
        Some("unit:b.service")
    );
    assert_eq!(
        names.endpoints.get(&first.2).map(String::as_str),
        Some("10.0.0.0/8")
    );
    assert_eq!(
        names.rules.get(&first.4),
        Some(&(RuleKind::Deny, "x".to_owned()))
    );
}

/// What the kernel is told, the store has.
#[test]
fn a_kill_gives_no_number_to_two_names() {
    let (directory, path) = directory();
    let number = |store: &mut Store, name: &str| {
        let labels = Labels::from_cgroup_path(&format!("/system.slice/{name}.service"));
        let number = store.identity_number(&labels.key(), &labels, NOW);
        number.expect("a number").to_raw()
    };
    let mut store = open(&path);
    let told: Vec<_> = (0..20)
        .map(|index| number(&mut store, &index.to_string()))
        .collect();
    // As the files are now, they are what a killed process leaves.
    let left = directory.path().join("left.db");
    fs::copy(&path, &left).expect("the file");
    let log = |path: &Path| path.with_extension("db-wal");
    fs::copy(log(&path), log(&left)).expect("the log");
    let mut next = open(&left);
    assert!(!told.contains(&number(&mut next, "new")));
    for (index, told) in told.iter().enumerate() {
        assert_eq!(number(&mut next, &index.to_string()), *told);
    }
}

fn full_labels() -> Labels {
    let text = |text: &str| Some(text.to_owned());
    Labels {
        cgroup: "/k/x".to_owned(),
        unit: text("a.service"),
        slice: text("b.slice"),
        user_unit: text("c.service"),
        nested: text("d.service"),
        container: text("e"),
        container_name: text("server \u{1f980}"),
        image: text("ghcr.io/x/y@sha256:1"),
        pod: text("f"),
        pod_name: text("api-1"),
        namespace: text("shop"),
        service_account: text("default"),
        owner: text("deployment/api"),
        pod_labels: [("app".to_owned(), "it's \"a\"".to_owned())].into(),
        is_unresolved: true,
        task: text("t-1"),
        exe: text("/usr/bin/curl"),
        user: Some(LocalUser {
            uid: 7,
            name: text("bob"),
        }),
    }
}

#[test]
fn every_label_is_kept() {
    let (_directory, path) = directory();
    let mut store = open(&path);
    for labels in [full_labels(), Labels::from_cgroup_path("/a.slice")] {
        store.identity_number("x", &labels, NOW).expect("a number");
        let known = store.identities().expect("identities");
        assert_eq!(known.first().map(|known| &known.labels), Some(&labels));
    }
}

#[test]
fn a_store_of_version_1_keeps_its_identities() {
    let (_directory, path) = directory();
    let old = of_version(&path, 1);
    old.execute_batch(
        "INSERT INTO identity VALUES (3, 'unit:b.service', '/a.slice/b.service', 'b.service',
             'a.slice', NULL, NULL, 1750000000000000, 1750000000000000);",
    )
    .expect("an identity");
    drop(old);
    let mut store = open(&path);
    let labels = Labels::from_cgroup_path("/a.slice/b.service");
    let known = KnownIdentity {
        id: IdentityId::from_raw(3),
        key: labels.key(),
        labels: labels.clone(),
        first_seen: NOW,
        last_seen: NOW,
    };
    assert_eq!(store.identities().expect("identities"), [known]);
    let again = store.identity_number(&labels.key(), &labels, later(1));
    assert_eq!(again.expect("a number").to_raw(), 3);
    drop(store);
    drop(open(&path));
}

#[test]
fn a_store_of_version_7_keeps_its_usage_by_minute_hour_and_day() {
    let (_directory, path) = directory();
    let old = of_version(&path, 7);
    // Two minutes of one hour, one of the next day; as that version wrote them.
    old.execute_batch(
        "INSERT INTO usage VALUES (29166666, 1, 2, 3, 1, 5, 0, 0, 0, 0, 0, 0, 5, 50, 7, 11, 12),
                                  (29166667, 1, 2, 3, 1, 6, 0, 0, 0, 0, 0, 0, 6, 60, 8, 13, 14),
                                  (29168106, 1, 2, 3, 1, 9, 0, 0, 0, 0, 0, 0, 9, 90, 9, 15, 16);
         INSERT INTO process_usage VALUES (29166666, 1, 2, '/bin/x', '', -1, 5, 0, 0, 5, 50, 7),
                                          (29166667, 1, 2, '/bin/x', '', -1, 6, 0, 0, 6, 60, 8);",
    )
    .expect("usage");
    drop(old);
    let store = open(&path);
    assert_eq!(total(&store), (20, 200));
    let count = |table: &str| -> i64 {
        let sql = format!("SELECT COUNT(*) FROM {table}");
        let count = store.connection.query_row(&sql, [], |row| row.get(0));
        count.expect("a count")
    };
    let tables = ["usage", "usage_hour", "usage_day", "process_usage_day"];
    assert_eq!(tables.map(count), [3, 2, 2, 1]);
    let minute = |minute: i64| Timestamp::from_second(minute * 60).ok();
    let first_hour = usage(&store, minute(29_166_660), minute(29_166_720), None, None);
    let first_hour: Vec<_> = first_hour
        .iter()
        .map(|row| {
            let seen = [row.first_seen, row.last_seen].map(|at| at.as_microsecond());
            (row.counts.connects_allowed, row.counts.bytes_in, seen)
        })
        .collect();
    assert_eq!(first_hour, [(11, 15, [11, 14])]);
    let processes = store
        .process_usage(&plan(None, None, &store.kept().expect("read")), None, None)
        .expect("usage");
    let processes: Vec<_> = processes.into_values().flatten().collect();
    let [row] = processes.as_slice() else {
        panic!("one row, found {processes:?}");
    };
    assert_eq!((row.exe.as_deref(), row.user), (Some("/bin/x"), None));
    assert_eq!(row.counts.bytes_out, 110);
    assert_eq!(Some(row.first_seen), minute(29_166_666));
}

#[test]
fn a_ttl_counts_from_the_first_sight_of_this_very_object() {
    let (_directory, path) = directory();
    let mut store = open(&path);
    let mut seen = |digest, at| {
        let now = Now {
            wall: at,
            boot_ns: BOOTED_NS + at.duration_since(NOW).as_nanos() as u64,
        };
        store
            .first_seen("InvocationGrant", "x", digest, &now, "boot")
            .expect("a time")
    };
    assert_eq!(seen("one", NOW), NOW);
    assert_eq!(seen("one", later(60)), NOW);
    assert_eq!(seen("two", later(60)), later(60));
}

#[test]
fn a_ttl_counts_by_a_clock_that_nobody_sets() {
    let (_directory, path) = directory();
    let mut store = open(&path);
    let life = store.begin_life("x", "d", &[]).expect("a life");
    let seen = |store: &mut Store, wall, since_boot_s: u64, boot: &str| {
        let boot_ns = BOOTED_NS + since_boot_s * 1_000_000_000;
        let now = Now { wall, boot_ns };
        let seen = store.first_seen("InvocationGrant", "x", "d", &now, boot);
        seen.expect("a time")
    };
    assert_eq!(seen(&mut store, NOW, 0, "boot"), NOW);
    // A minute after, by a clock that was set back or forward by an hour.
    assert_eq!(seen(&mut store, later(-3_540), 60, "boot"), later(-3_600));
    assert_eq!(seen(&mut store, later(3_660), 60, "boot"), later(3_600));
    // The two are not read at the same instant, and one may be slewed.
    assert_eq!(seen(&mut store, later(60), 61, "boot"), NOW);
    // Only the wall clock knows what has passed between two boots.
    assert_eq!(seen(&mut store, later(-3_540), 60, "another"), NOW);
    assert_eq!(seen(&mut store, later(-3_540), 60, ""), NOW);

    let approved_ns = BOOTED_NS + 10_000_000_000;
    store
        .count_from_approval(life, later(10), approved_ns, "boot")
        .expect("kept");
    assert_eq!(seen(&mut store, later(60), 60, "boot"), later(10));
    assert_eq!(seen(&mut store, later(-3_540), 60, "boot"), later(-3_590));
    store
        .count_from_approval(life, later(20), approved_ns, "")
        .expect("kept");
    assert_eq!(seen(&mut store, later(-3_540), 60, ""), later(20));
}

#[test]
fn a_store_of_version_11_lets_what_was_approved_count_from_then() {
    let (_directory, path) = directory();
    let old = of_version(&path, 11);
    old.execute_batch(
        "INSERT INTO first_seen VALUES ('InvocationGrant', 'x', 'approved', 1750000000000000),
                                       ('InvocationGrant', 'x', 'by rules', 1750000000000000);
         INSERT INTO grant_life VALUES (1, 'x', 'approved', 'plane manage', 1),
                                       (2, 'x', 'by rules', '', 1);
         INSERT INTO grant_step VALUES
             (1, 0, 'request', 1000, NULL, 1750000000000000, 'w'),
             (1, 1, 'approve', 1001, NULL, 1750000060000000, 'w'),
             (1, 2, 'activate', NULL, NULL, 1750000070000000, 'w'),
             (2, 0, 'request', 1000, NULL, 1750000000000000, 'w'),
             (2, 1, 'approve-by-rules', NULL, NULL, 1750000060000000, 'w');",
    )
    .expect("lives");
    drop(old);
    let mut store = open(&path);
    let now = Now {
        wall: later(600),
        boot_ns: BOOTED_NS,
    };
    let mut seen = |digest| {
        let seen = store.first_seen("InvocationGrant", "x", digest, &now, "boot");
        seen.expect("a time")
    };
    assert_eq!(seen("approved"), later(60));
    assert_eq!(seen("by rules"), NOW);
}

#[test]
fn a_removed_object_goes_to_the_history() {
    let (_directory, path) = directory();
    let mut store = open(&path);
    let object = StoredObject {
        kind: "InvocationGrant".to_owned(),
        name: "x".to_owned(),
        yaml: "text".to_owned(),
        created_by: "root".to_owned(),
        created_at: NOW,
    };
    store.put_object(&object).expect("kept");
    let removed = Removed {
        by: "uid 7".to_owned(),
        at: later(1),
        why: Some("done".to_owned()),
    };
    let found = store
        .remove_object("InvocationGrant", "x", &removed)
        .expect("removed");
    assert_eq!(found, Some(object.clone()));
    assert_eq!(store.objects().expect("objects"), []);
    let history = store.removed_objects("InvocationGrant").expect("history");
    assert_eq!(history, [(object, removed.clone())]);
    assert_eq!(
        store
            .remove_object("InvocationGrant", "x", &removed)
            .expect("nothing"),
        None
    );
}

#[test]
fn the_last_good_policy_is_kept() {
    let (_directory, path) = directory();
    let mut store = open(&path);
    assert_eq!(store.snapshot().expect("none"), None);
    let files = vec![
        ("b".to_owned(), "2".to_owned()),
        ("a".to_owned(), "1".to_owned()),
    ];
    let revision = store.next_revision().expect("a number");
    store.save_snapshot(&files, revision, NOW).expect("kept");
    drop(store);
    let mut store = open(&path);
    let snapshot = store.snapshot().expect("kept").expect("a snapshot");
    assert_eq!(
        (snapshot.files, snapshot.revision, snapshot.installed_at),
        (files, 1, NOW)
    );
    assert_eq!(store.next_revision().expect("a number"), 2);
}

fn event(second: i64, verdict: Verdict) -> EventRecord {
    EventRecord {
        at: later(second),
        kind: EventKind::Connect,
        verdict,
        reason: Reason::NoGrant,
        identity: IdentityId::from_raw(1),
        endpoint: EndpointId::from_raw(2),
        rule: RuleId::NONE,
        address: "192.0.2.1".to_owned(),
        port: 443,
        is_udp: false,
        is_shared: true,
        pid: Some(7),
        comm: Some("curl".to_owned()),
        exe: None,
        script: Some("job.py".to_owned()),
        user: Some(1007),
        cgroup: None,
        bytes_out: None,
        bytes_in: Some(u64::MAX),
        duration_ms: None,
    }
}

#[test]
fn the_newest_events_are_kept_and_filtered() {
    let (_directory, path) = directory();
    let mut store = open(&path);
    let events: Vec<_> = (0..10)
        .map(|n| {
            event(
                n,
                if n % 2 == 0 {
                    Verdict::Deny
                } else {
                    Verdict::Allow
                },
            )
        })
        .collect();
    store.add_events(&events, 4).expect("kept");
    let filter = EventFilter {
        limit: 100,
        ..EventFilter::default()
    };
    let ids = |filter: &EventFilter| -> Vec<u64> {
        let found = store.events(filter).expect("events");
        found.into_iter().map(|(id, _)| id).collect()
    };
    assert_eq!(ids(&filter), [7, 8, 9, 10]);
    assert_eq!(ids(&EventFilter { limit: 2, ..filter }), [9, 10]);
    assert_eq!(
        ids(&EventFilter {
            after: Some(9),
            ..filter
        }),
        [10]
    );
    assert_eq!(
        ids(&EventFilter {
            verdict: Some(Verdict::Deny),
            ..filter
        }),
        [7, 9]
    );
    assert_eq!(
        ids(&EventFilter {
            since: Some(later(8)),
            ..filter
        }),
        [9, 10]
    );
    let nobody = Some(IdentityId::from_raw(9));
    assert_eq!(
        ids(&EventFilter {
            identity: nobody,
            ..filter
        }),
        [0; 0]
    );
    assert_eq!(store.event(10).expect("an answer"), events.last().cloned());
    assert_eq!(store.event(1).expect("an answer"), None);
}

fn refused(path: &Path) -> String {
    match Store::open(path) {
        Ok(_) => panic!("opened {}", path.display()),
        Err(error) => error_chain(&error),
    }
}

#[test]
fn a_newer_store_is_refused_and_kept() {
    let (_directory, path) = directory();
    let store = open(&path);
    store
        .connection
        .pragma_update(None, "user_version", 99)
        .expect("a newer weir");
    drop(store);
    let before = fs::read(&path).expect("a file");
    let message = refused(&path);
    assert!(
        message.contains("has version 99, this weir knows "),
        "{message}"
    );
    assert!(message.contains(&path.display().to_string()), "{message}");
    assert_eq!(fs::read(&path).expect("a file"), before);
}

#[test]
fn a_damaged_store_is_refused_and_kept() {
    let (_directory, path) = directory();
    let mut store = open(&path);
    let events: Vec<_> = (0..2_000).map(|n| event(n, Verdict::Deny)).collect();
    store.add_events(&events, 10_000).expect("kept");
    drop(store);
    let mut bytes = fs::read(&path).expect("a file");
    // Whatever lies where: a page that is in use is among them.
    let quarter = bytes.len() / 4;
    bytes[quarter..3 * quarter].fill(0xa5);
    fs::write(&path, &bytes).expect("damage");
    let message = refused(&path);
    assert!(message.contains("is damaged ("), "{message}");
    assert!(message.contains("move it away"), "{message}");
    assert_eq!(fs::read(&path).expect("a file"), bytes);
}

#[test]
fn a_first_start_that_was_killed_can_be_repeated() {
    let (_directory, path) = directory();
    let begun = Connection::open(&path).expect("a database");
    begun
        .execute_batch("PRAGMA journal_mode = WAL")
        .expect("all that was done");
    drop(begun);
    assert!(path.metadata().expect("a file").len() > 0);
    drop(open(&path));
}

#[test]
fn a_database_of_another_program_is_refused() {
    let (_directory, path) = directory();
    let other = Connection::open(&path).expect("a database");
    other
        .execute_batch("CREATE TABLE theirs (x)")
        .expect("a table");
    drop(other);
    let message = refused(&path);
    assert!(
        message.contains("is a database of another program"),
        "{message}"
    );
}

#[test]
fn what_is_done_at_once_is_kept_whole_or_not_at_all() {
    let (_directory, path) = directory();
    let mut store = open(&path);
    let failed: Result<(), StoreError> = store.at_once(|store| {
        store.endpoint_number("lost")?;
        Err(StoreError::Exhausted { what: "patience" })
    });
    assert!(failed.is_err());
    assert!(store.names().expect("names").endpoints.is_empty());
    let kept: Result<EndpointId, StoreError> = store.at_once(|store| store.endpoint_number("kept"));
    let names = store.names().expect("names");
    assert_eq!(
        names
            .endpoints
            .get(&kept.expect("a number"))
            .map(String::as_str),
        Some("kept")
    );
}

#[test]
fn the_last_addresses_of_a_host_survive_a_restart() {
    let (_directory, path) = directory();
    let ips = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| text.parse().expect("an address"))
            .collect()
    };
    let mut store = open(&path);
    store
        .keep_addresses("a.example", &ips(&["192.0.2.1", "2001:db8::1"]))
        .expect("kept");
    store
        .keep_addresses("a.example", &ips(&["192.0.2.9"]))
        .expect("kept");
    drop(store);
    let known = open(&path).addresses().expect("addresses");
    assert_eq!(known.get("a.example"), Some(&ips(&["192.0.2.9"])));
}

#[test]
fn pods_are_recalled_as_they_were_kept_and_replaced_whole() {
    let (_directory, path) = directory();
    let pod = |uid: &str| StoredPod {
        uid: uid.to_owned(),
        namespace: "team".to_owned(),
        name: format!("pod-{uid}"),
        labels: [("app", "api"), ("tier", "")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        service_account: Some("reader".to_owned()),
        owner: Some(("Deployment".to_owned(), "api".to_owned())),
        containers: vec![
            ["2", "second", "image:2"].map(ToOwned::to_owned),
            ["1", "first", "image:1"].map(ToOwned::to_owned),
        ],
        node: Some("n1".to_owned()),
    };
    let bare = StoredPod {
        uid: "0".to_owned(),
        ..StoredPod::default()
    };
    let mut store = open(&path);
    assert_eq!(store.pods().expect("none"), (Vec::new(), None));
    store
        .keep_pods(&[bare.clone(), pod("a"), pod("b")], NOW)
        .expect("kept");
    drop(store);
    let mut store = open(&path);
    let (pods, at) = store.pods().expect("pods");
    assert_eq!(pods, [bare, pod("a"), pod("b")]);
    assert_eq!(at, Some(NOW));
    store.pods_are_current(later(5)).expect("noted");
    assert_eq!(store.pods().expect("pods").1, Some(later(5)));
    // The same UID twice is a mistake of ours: nothing is lost by it.
    store
        .keep_pods(&[pod("a"), pod("a")], later(6))
        .expect_err("twice");
    assert_eq!(store.pods().expect("pods").0.len(), 3);
    store.keep_pods(&[pod("b")], later(7)).expect("kept");
    assert_eq!(
        store.pods().expect("pods"),
        (vec![pod("b")], Some(later(7)))
    );
}

#[test]
fn tasks_are_kept_until_they_are_forgotten() {
    let (_directory, path) = directory();
    let task = |id: &str, is_over| StoredTask {
        id: id.to_owned(),
        boot: "b1".to_owned(),
        cgroup_id: u64::MAX,
        cgroup: "/a/b".to_owned(),
        caller_cgroup: 7,
        uid: 1000,
        pid: 9,
        pid_start_ns: 11,
        is_over,
    };
    let mut store = open(&path);
    store.put_task(&task("x", false)).expect("kept");
    store.put_task(&task("y", false)).expect("kept");
    store.put_task(&task("x", true)).expect("replaced");
    drop(store);
    let mut store = open(&path);
    assert_eq!(
        store.tasks().expect("read"),
        [task("x", true), task("y", false)]
    );
    store.remove_task("x").expect("forgotten");
    store.remove_task("x").expect("no error");
    assert_eq!(store.tasks().expect("read"), [task("y", false)]);
}

#[test]
fn callers_are_counted_by_what_they_attempted() {
    let (_directory, path) = directory();
    let mut store = open(&path);
    let close = EventRecord {
        kind: EventKind::Close,
        ..event(5, Verdict::Allow)
    };
    let elsewhere = EventRecord {
        port: 80,
        pid: Some(8),
        ..event(4, Verdict::Deny)
    };
    let events = [
        event(1, Verdict::Deny),
        event(2, Verdict::Allow),
        event(3, Verdict::Deny),
        elsewhere,
        close,
    ];
    store.add_events(&events, 100).expect("kept");
    let check = |place: CalledPlace, expected: &[(Verdict, u64, i64, u32)]| {
        let found = store.callers(&place).expect("read").into_iter();
        let found: Vec<_> = found
            .map(|caller| {
                let pid = caller.pid.unwrap_or_default();
                let at = caller.last_at.duration_since(NOW).as_secs();
                (caller.verdict, caller.attempts, at, pid)
            })
            .collect();
        assert_eq!(found, expected, "{place:?}");
    };
    let ip = [192, 0, 2, 1].into();
    let all = [(Verdict::Deny, 3, 4, 8), (Verdict::Allow, 1, 2, 7)];
    check(CalledPlace::Address(ip, None), &all);
    check(CalledPlace::Endpoint(EndpointId::from_raw(2)), &all);
    let tls = [(Verdict::Deny, 2, 3, 7), (Verdict::Allow, 1, 2, 7)];
    check(CalledPlace::Address(ip, Some(443)), &tls);
    check(CalledPlace::Address([192, 0, 2, 2].into(), None), &[]);
    check(CalledPlace::Endpoint(EndpointId::from_raw(3)), &[]);
}
