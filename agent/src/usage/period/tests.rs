use proptest::prelude::*;

use super::*;

const DAY: i64 = 1_440;

fn kept(minute: Option<i64>, hour: Option<i64>) -> Kept {
    Kept {
        minute,
        hour,
        day: None,
    }
}

fn shown(plan: &Plan) -> String {
    let piece = |piece: &Piece| {
        let Piece { period, first, end } = piece;
        let end = if *end == END {
            String::new()
        } else {
            end.to_string()
        };
        let first = if *first == BEGINNING {
            String::new()
        } else {
            first.to_string()
        };
        format!("{} {first}..{end}", period.name())
    };
    let pieces: Vec<_> = plan.pieces.iter().map(piece).collect();
    pieces.join(", ")
}

#[test]
fn a_time_is_made_of_the_longest_periods_that_fit() {
    let check = |first: Option<i64>, end: Option<i64>, expected: &str| {
        let plan = plan(first, end, &Kept::default());
        assert_eq!(shown(&plan), expected, "{first:?} to {end:?}");
        assert_eq!((plan.first, plan.end), (first, end));
    };
    check(None, None, "day ..");
    check(Some(DAY), None, "day 1440..");
    check(
        Some(DAY - 61),
        None,
        "minute 1379..1380, hour 1380..1440, day 1440..",
    );
    check(Some(5), Some(7), "minute 5..7");
    check(Some(5), Some(65), "minute 5..65");
    check(Some(7), Some(7), "");
    check(Some(9), Some(7), "");
    check(
        Some(DAY - 1),
        Some(2 * DAY + 61),
        "minute 1439..1440, day 1440..2880, hour 2880..2940, minute 2940..2941",
    );
}

#[test]
fn what_is_kept_by_longer_periods_only_is_told_by_them_and_says_so() {
    let kept = kept(Some(3 * DAY + 120), Some(2 * DAY));
    let check = |first: i64, end: i64, covered: (i64, i64)| {
        let plan = plan(Some(first), Some(end), &kept);
        assert_eq!(
            (plan.first, plan.end),
            (Some(covered.0), Some(covered.1)),
            "{}",
            shown(&plan)
        );
    };
    // Minutes are there.
    check(3 * DAY + 121, 3 * DAY + 125, (3 * DAY + 121, 3 * DAY + 125));
    // Only hours are.
    check(3 * DAY + 61, 3 * DAY + 119, (3 * DAY + 60, 3 * DAY + 120));
    // Only days are.
    check(DAY + 61, 2 * DAY - 7, (DAY, 2 * DAY));
    check(DAY + 61, 3 * DAY + 121, (DAY, 3 * DAY + 121));
}

#[test]
fn intervals_need_periods_that_fit_and_are_kept() {
    let kept = kept(Some(3 * DAY), Some(2 * DAY));
    let check = |first: Option<i64>, interval: i64, expected: Result<&str, &str>| {
        let found = plan_intervals(first, Some(4 * DAY), interval, 5 * DAY, &kept);
        let found = found.map_err(|error| error.to_string());
        let found = found.map(|plan| shown(&plan));
        match expected {
            Ok(expected) => assert_eq!(found.as_deref(), Ok(expected)),
            Err(start) => {
                let error = found.expect_err("no plan");
                assert!(error.starts_with(start), "{error}");
            }
        }
    };
    check(Some(3 * DAY + 1), 5, Ok("minute 4320..5760"));
    check(Some(2 * DAY + 60), 120, Ok("hour 2880..5760"));
    check(Some(2 * DAY + 61), 60, Ok("hour 2940..5760"));
    check(Some(DAY), 2 * DAY, Ok("day 0..5760"));
    check(Some(4 * DAY), 5, Ok(""));
    check(
        Some(2 * DAY),
        5,
        Err("usage before 1970-01-04T00:00:00Z is no longer kept by the minute"),
    );
    check(
        Some(DAY),
        60,
        Err("usage before 1970-01-03T00:00:00Z is no longer kept by the hour"),
    );
    check(None, 60, Err("intervals need a beginning"));
    check(
        Some(-20 * DAY),
        5,
        Err(
            "6912 intervals are more than the 3000 that one answer may have: take an interval of 15m,",
        ),
    );
}

#[test]
fn intervals_are_all_listed_also_that_of_now() {
    let plan = plan_intervals(Some(7), None, 5, 20, &Kept::default()).expect("a plan");
    assert_eq!(plan.intervals(), [5, 10, 15, 20]);
    assert_eq!(plan.interval_of(24), Some(20));
    let until = plan_intervals(Some(5), Some(15), 5, 20, &Kept::default()).expect("a plan");
    assert_eq!(until.intervals(), [5, 10]);
    assert_eq!([5, 120, 2 * DAY].map(readable), ["5m", "2h", "2d"]);
}

#[test]
fn what_has_to_be_kept_begins_where_a_longer_period_does() {
    let retention = Retention::default();
    let now = 1_000 * DAY + 125;
    assert_eq!(
        Period::ALL.map(|period| retention.cutoff(period, now)),
        [998 * DAY + 120, 910 * DAY, 270 * DAY]
    );
}

proptest! {
    /// Every minute asked for is in exactly one piece, no other is unless that is told, and no piece
    /// needs what was dropped.
    #[test]
    fn a_plan_covers_what_it_says_once(
        first in proptest::option::of(0..20 * DAY),
        end in proptest::option::of(0..20 * DAY),
        hours in proptest::option::of(0..20 * 24_i64),
        days in 0..20_i64,
    ) {
        let kept = kept(
            hours.map(|hours| hours * 60),
            hours.map(|hours| days.min(hours / 24) * DAY),
        );
        let plan = plan(first, end, &kept);
        let (a, b) = (plan.first.unwrap_or(BEGINNING), plan.end.unwrap_or(END));
        prop_assert!(first.is_none_or(|first| a <= first && a > first - DAY));
        prop_assert!(end.is_none_or(|end| b >= end && b < end + DAY));
        let mut next = a;
        for piece in &plan.pieces {
            prop_assert_eq!(piece.first, next);
            prop_assert!(piece.first < piece.end);
            prop_assert_eq!(piece.period.floor(piece.first), piece.first);
            prop_assert_eq!(piece.period.floor(piece.end), piece.end);
            prop_assert!(kept.has(piece.period, piece.first));
            next = piece.end;
        }
        prop_assert_eq!(next, if a < b { b } else { a });
    }
}
