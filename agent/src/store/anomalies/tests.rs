use super::*;
use crate::{
    anomaly::{Common, Growth, Pair, Watch},
    store::Mute,
};

const NOW: Timestamp = Timestamp::constant(1_767_571_200, 0);

fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(&directory.path().join("weir.db")).expect("a store");
    (directory, store)
}

fn loop_of(identity: u32) -> StoredAnomaly {
    StoredAnomaly {
        kind: Kind::UnusualVolume,
        identity: Some(IdentityId::from_raw(identity)),
        endpoint: Some(EndpointId::from_raw(2)),
        grant: None,
        began: NOW,
        last: NOW,
        ended: None,
        score: Some(5.5),
        excess: 300.0,
        told: 300.0,
        summary: "400 in one step".to_owned(),
        facts: "{}".to_owned(),
        is_muted: false,
        response: String::new(),
        ack: None,
    }
}

#[test]
fn an_anomaly_reads_back_and_is_filtered() {
    let (_directory, mut store) = store();
    let first = store.add_anomaly(&loop_of(1)).expect("added");
    let muted = StoredAnomaly {
        is_muted: true,
        ..loop_of(2)
    };
    let second = store.add_anomaly(&muted).expect("added");
    let ended = StoredAnomaly {
        ended: Some(NOW),
        excess: 900.0,
        ..loop_of(1)
    };
    store.update_anomaly(first, &ended).expect("updated");
    assert_eq!(store.anomaly(first).expect("read"), Some(ended));
    assert_eq!(store.anomaly(99).expect("read"), None);

    let ids = |store: &Store, filter: AnomalyFilter| -> Vec<i64> {
        let filter = AnomalyFilter {
            limit: 10,
            ..filter
        };
        let found = store.anomalies(&filter).expect("read");
        found.iter().map(|(id, _)| *id).collect()
    };
    let everything = AnomalyFilter {
        all: true,
        ..AnomalyFilter::default()
    };
    assert_eq!(ids(&store, AnomalyFilter::default()), [first]);
    assert_eq!(ids(&store, everything), [second, first]);
    let open = AnomalyFilter {
        open: true,
        ..everything
    };
    assert_eq!(ids(&store, open), [second]);
    let later = AnomalyFilter {
        since: Timestamp::from_second(NOW.as_second() + 1).ok(),
        ..everything
    };
    assert_eq!(ids(&store, later), [0_i64; 0]);

    let ack = Ack {
        at: NOW,
        by: "root".to_owned(),
        why: "a test".to_owned(),
    };
    store.ack_anomaly(first, &ack).expect("acknowledged");
    assert_eq!(ids(&store, AnomalyFilter::default()), [0_i64; 0]);
    let read = store.anomaly(first).expect("read").expect("there");
    assert_eq!(read.ack, Some(ack));
    let counts = store.anomaly_counts().expect("counted");
    assert_eq!(counts, [("unusual-volume".to_owned(), 2, 1)]);
}

#[test]
fn a_mute_ends_by_itself_or_by_somebody() {
    let (_directory, mut store) = store();
    let mute = Mute {
        id: 0,
        kind: Some(Kind::FirstUse),
        identity: Some("ci-*".to_owned()),
        endpoint: None,
        until: Timestamp::constant(NOW.as_second() + 60, 0),
        made: NOW,
        by: "root".to_owned(),
        why: "known".to_owned(),
    };
    let id = store.add_mute(&mute).expect("kept");
    assert_eq!(
        store.mutes(NOW).expect("read"),
        [Mute { id, ..mute.clone() }]
    );
    assert_eq!(store.mutes(mute.until).expect("read"), []);
    assert!(store.remove_mute(id).expect("ended"));
    assert!(!store.remove_mute(id).expect("nothing"));
}

#[test]
fn a_notice_stays_until_it_was_told() {
    let (_directory, mut store) = store();
    let anomaly = store.add_anomaly(&loop_of(1)).expect("added");
    let id = store.add_notice(anomaly, "ops", NOW).expect("kept");
    let expected = [(id, anomaly, "ops".to_owned(), NOW)];
    assert_eq!(store.notices().expect("read"), expected);
    store.remove_notices(&[id]).expect("told");
    assert_eq!(store.notices().expect("read"), []);
}

#[test]
fn what_was_learnt_reads_back_unless_it_has_another_form() {
    let (_directory, mut store) = store();
    assert_eq!(
        store.watch().expect("read"),
        (Common::default(), Vec::new())
    );
    let pair = |endpoint| Pair {
        identity: IdentityId::from_raw(1),
        endpoint: EndpointId::from_raw(endpoint),
    };
    let begin = NOW.as_second();
    let mut watch = Watch::new(Common::default(), [], begin - 1, 10);
    for endpoint in 1..=2 {
        let growth = Growth {
            passed: 7,
            refused: 0,
        };
        watch.count(begin + 1, pair(endpoint), growth);
    }
    watch.close(begin + 60);
    let series: Vec<_> = watch
        .watched(None, 10)
        .map(|(pair, watched)| (*pair, watched))
        .collect();
    store.keep_common(watch.common()).expect("kept");
    store.keep_watched(&series).expect("kept");
    let (common, read) = store.watch().expect("read");
    assert_eq!(common, *watch.common());
    let expected: Vec<_> = series
        .iter()
        .map(|(pair, watched)| (*pair, (*watched).clone()))
        .collect();
    assert_eq!(read, expected);

    store
        .drop_unwatched(&|kept| *kept == pair(2))
        .expect("dropped");
    assert_eq!(store.watch().expect("read").1.len(), 1);
    store
        .connection
        .execute("UPDATE anomaly_watch SET layout = layout + 1", [])
        .expect("another form");
    assert_eq!(
        store.watch().expect("read"),
        (Common::default(), Vec::new())
    );
    store.keep_common(watch.common()).expect("kept");
    assert_eq!(store.watch().expect("read").1, []);
}

#[test]
fn versions_read_back() {
    let (_directory, mut store) = store();
    let identity = IdentityId::from_raw(3);
    store.add_version(identity, u64::MAX, NOW).expect("kept");
    store.add_version(identity, u64::MAX, NOW).expect("kept");
    assert_eq!(store.versions().expect("read"), [(identity, u64::MAX)]);
}
