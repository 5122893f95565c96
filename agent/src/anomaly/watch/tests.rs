use super::*;

const MONDAY: i64 = 1_767_571_200;

fn pair(identity: u32, endpoint: u32) -> Pair {
    Pair {
        identity: IdentityId::from_raw(identity),
        endpoint: EndpointId::from_raw(endpoint),
    }
}

fn passed(calls: u64) -> Growth {
    Growth {
        passed: calls,
        refused: 0,
    }
}

fn empty(most: usize) -> Watch {
    Watch::new(Common::default(), [], MONDAY - 1, most)
}

/// Counts in each of these minutes and closes it.
fn minutes(
    watch: &mut Watch,
    minutes: std::ops::Range<i64>,
    of: Pair,
    growth: impl Fn(i64) -> Growth,
) -> Vec<Sighting> {
    let mut sightings = Vec::new();
    for minute in minutes {
        let at = MONDAY + minute * MINUTE;
        watch.count(at + 30, of, growth(minute));
        sightings.extend(watch.close(at + MINUTE));
    }
    sightings
}

#[test]
fn a_loop_is_seen_in_the_minute_that_it_runs_in() {
    let mut watch = empty(10);
    let usual = minutes(&mut watch, 0..3 * 1440, pair(1, 1), |minute| {
        passed(8 + minute.unsigned_abs() % 5)
    });
    assert_eq!(usual, []);
    let seen = minutes(&mut watch, 3 * 1440..3 * 1440 + 2, pair(1, 1), |_| {
        passed(400)
    });
    let first = seen.first().expect("seen");
    assert_eq!(first.kind, Kind::UnusualVolume);
    assert_eq!(first.at, MONDAY + (3 * 1440 + 1) * MINUTE);
    let Fact::Unusual { finding, .. } = first.fact else {
        panic!("{first:?}");
    };
    assert!(finding.excess() > 300.0, "{finding:?}");
}

#[test]
fn what_came_in_minutes_without_a_look_is_spread() {
    let mut watch = empty(10);
    minutes(&mut watch, 0..3 * 1440, pair(1, 1), |minute| {
        passed(8 + minute.unsigned_abs() % 5)
    });
    let at = MONDAY + (3 * 1440 + 60) * MINUTE;
    watch.count(at - 1, pair(1, 1), passed(600));
    assert_eq!(watch.close(at), []);
}

#[test]
fn what_is_kept_goes_on_as_if_it_had_not_been_put_away() {
    let mut watch = empty(10);
    minutes(&mut watch, 0..2 * 1440, pair(1, 1), |_| passed(10));
    let kept: Vec<_> = watch
        .watched(None, 10)
        .map(|(pair, watched)| (*pair, watched.clone()))
        .collect();
    let at = MONDAY + 2 * 1440 * MINUTE;
    let mut again = Watch::new(watch.common().clone(), kept, at + 600, 10);
    let begin = again.minute * MINUTE;
    assert_eq!(begin, at + 660);
    again.count(begin + 1, pair(1, 1), passed(500));
    let seen = again.close(begin + MINUTE);
    assert!(
        matches!(
            seen.as_slice(),
            [Sighting {
                kind: Kind::UnusualVolume,
                ..
            }]
        ),
        "{seen:?}"
    );
}

#[test]
fn the_minute_that_had_begun_is_not_looked_at() {
    let mut watch = Watch::new(Common::default(), [], MONDAY + 30, 10);
    watch.count(MONDAY + 40, pair(1, 1), passed(1_000_000));
    assert_eq!(watch.close(MONDAY + MINUTE), []);
    assert!(watch.is_empty());
}

#[test]
fn an_endpoint_is_new_only_to_who_was_watched_for_a_day() {
    let mut watch = empty(10);
    assert_eq!(minutes(&mut watch, 0..1, pair(1, 1), |_| passed(1)), []);
    assert_eq!(minutes(&mut watch, 1..2, pair(1, 2), |_| passed(1)), []);
    let seen = minutes(&mut watch, 1440..1441, pair(1, 3), |_| passed(2));
    let kinds: Vec<_> = seen.iter().map(|sighting| sighting.kind).collect();
    assert_eq!(kinds, [Kind::FirstUse]);
    assert_eq!(
        minutes(&mut watch, 1441..1442, pair(1, 3), |_| passed(1)),
        []
    );
}

#[test]
fn who_was_silent_for_a_week_wakes_once() {
    let mut watch = empty(10);
    minutes(&mut watch, 0..1, pair(1, 1), |_| passed(1));
    minutes(&mut watch, 0..1, pair(2, 1), |_| passed(1));
    for day in 1..=8 {
        watch.close(MONDAY + day * DAY);
    }
    let seen = minutes(&mut watch, 8 * 1440..8 * 1440 + 2, pair(1, 1), |_| {
        passed(3)
    });
    let [
        Sighting {
            kind: Kind::DormantWoke,
            fact: Fact::Woke { calls: 3, silent },
            ..
        },
    ] = seen.as_slice()
    else {
        panic!("{seen:?}");
    };
    assert_eq!(*silent, 8 * DAY + MINUTE);
}

#[test]
fn many_refusals_are_a_storm() {
    let mut watch = empty(10);
    let refused = |refused| Growth { passed: 0, refused };
    assert_eq!(
        minutes(&mut watch, 0..5, pair(1, 1), |_| refused(STORM - 1)),
        []
    );
    let seen = minutes(&mut watch, 5..6, pair(1, 1), |_| refused(STORM));
    assert!(
        matches!(
            seen.as_slice(),
            [Sighting {
                kind: Kind::RefusedStorm,
                fact: Fact::Calls(STORM),
                ..
            }]
        ),
        "{seen:?}"
    );
}

#[test]
fn there_is_room_for_so_many_and_the_rest_is_counted() {
    let mut watch = empty(2);
    for endpoint in 1..=3 {
        watch.count(MONDAY + 1, pair(1, endpoint), passed(1));
    }
    watch.close(MONDAY + MINUTE);
    assert_eq!((watch.len(), watch.unwatched()), (2, 1));
    watch.close(MONDAY + 36 * DAY);
    watch.close(MONDAY + 36 * DAY + MINUTE);
    assert!(watch.is_empty());
}

#[test]
fn a_clock_that_is_set_back_stops_nothing() {
    let mut watch = empty(10);
    minutes(&mut watch, 0..100, pair(1, 1), |_| passed(5));
    watch.close(MONDAY + 10 * MINUTE + 5);
    watch.count(MONDAY + 10 * MINUTE + 6, pair(1, 1), passed(5));
    watch.close(MONDAY + 11 * MINUTE);
    assert_eq!(watch.watched(None, 1).count(), 1);
    let (_, watched) = watch.watched(None, 1).next().expect("one");
    assert_eq!(watched.until, MONDAY + 11 * MINUTE);
}
