//! Windows of time in which grants hold, as the kernel keeps them: disjoint and in order.

use std::cmp::Reverse;

use agent_common::policy::{RuleId, WINDOWS, Window};

/// Windows of one rule entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trimmed {
    pub windows: [Window; WINDOWS],
    /// A later window did not fit. When this instant has passed there is room for it.
    pub refill_at_ns: Option<u64>,
}

/// `grants` in order of name, each with the window of one grant. Where several hold, the one
/// that lasts longest counts; of those that last equally long, the first.
pub(super) fn merge(grants: &[Window]) -> Vec<Window> {
    let mut starts = grants.iter().copied().enumerate().collect::<Vec<_>>();
    starts.sort_by_key(|(_, window)| window.not_before_ns);
    let mut segments = Vec::<(usize, Window)>::new();
    for (rank, window) in starts {
        if let Some((last_rank, last)) = segments.last_mut()
            && window.not_before_ns < last.not_after_ns
        {
            let lasts_longer =
                (window.not_after_ns, Reverse(rank)) > (last.not_after_ns, Reverse(*last_rank));
            if !lasts_longer {
                continue;
            }
            last.not_after_ns = window.not_before_ns;
            if last.not_before_ns == last.not_after_ns {
                segments.pop();
            }
        }
        segments.push((rank, window));
    }
    segments.into_iter().map(|(_, window)| window).collect()
}

/// As [`merge`], but where one of `first` holds, none of `others` counts.
pub(super) fn merge_first(first: &[Window], others: &[Window]) -> Vec<Window> {
    let mut segments = merge(first);
    let rest = merge(others);
    let rest = rest.iter().flat_map(|window| outside(window, &segments));
    let rest: Vec<_> = rest.collect();
    segments.extend(rest);
    segments.sort_by_key(|window| window.not_before_ns);
    segments
}

/// What of a window is in none of `taken`, which are disjoint and in order.
fn outside(window: &Window, taken: &[Window]) -> Vec<Window> {
    let mut left = Vec::new();
    let mut from_ns = window.not_before_ns;
    let ends = taken
        .iter()
        .map(|one| (one.not_before_ns, one.not_after_ns));
    for (begin_ns, end_ns) in ends.chain([(u64::MAX, u64::MAX)]) {
        let until_ns = begin_ns.min(window.not_after_ns);
        if from_ns < until_ns {
            left.push(Window {
                not_before_ns: from_ns,
                not_after_ns: until_ns,
                ..*window
            });
        }
        from_ns = from_ns.max(end_ns);
    }
    left
}

/// The times at which both hold; `first` gives the grants.
pub(super) fn intersect(first: &[Window], second: &[Window]) -> Vec<Window> {
    let mut both = Vec::new();
    for a in first {
        for b in second {
            let not_before_ns = a.not_before_ns.max(b.not_before_ns);
            let not_after_ns = a.not_after_ns.min(b.not_after_ns);
            if not_before_ns < not_after_ns {
                both.push(Window {
                    not_before_ns,
                    not_after_ns,
                    ..*a
                });
            }
        }
    }
    both
}

/// The earliest segments that have not ended, after the most recently ended one if there is room:
/// that one explains why a connection is refused.
pub(super) fn trim(segments: &[Window], now_ns: u64) -> Trimmed {
    let n_ended = segments
        .iter()
        .filter(|window| window.not_after_ns <= now_ns)
        .count();
    let (ended, open) = segments.split_at(n_ended);
    let has_room = open.len() < WINDOWS;
    let last_ended = ended.last().filter(|_| has_room);
    let mut windows = [Window::UNUSED; WINDOWS];
    for (place, window) in windows.iter_mut().zip(last_ended.into_iter().chain(open)) {
        *place = *window;
    }
    let refill_at_ns = (open.len() > WINDOWS).then(|| windows[0].not_after_ns);
    Trimmed {
        windows,
        refill_at_ns,
    }
}

/// The windows that are in use.
pub(super) fn used(windows: &[Window; WINDOWS]) -> &[Window] {
    let n_used = windows
        .iter()
        .take_while(|window| !window.is_unused())
        .count();
    windows.get(..n_used).unwrap_or_default()
}

pub(super) const fn window(not_before_ns: u64, not_after_ns: u64, grant: RuleId) -> Window {
    Window {
        not_before_ns,
        not_after_ns,
        grant,
        _pad: 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn w((not_before_ns, not_after_ns, grant): (u64, u64, u32)) -> Window {
        window(not_before_ns, not_after_ns, RuleId::from_raw(grant))
    }

    fn plain(windows: &[Window]) -> Vec<(u64, u64, u32)> {
        let parts = |window: &Window| {
            (
                window.not_before_ns,
                window.not_after_ns,
                window.grant.to_raw(),
            )
        };
        windows.iter().map(parts).collect()
    }

    fn check(grants: &[(u64, u64, u32)], merged: &[(u64, u64, u32)]) {
        let grants = grants.iter().copied().map(w).collect::<Vec<_>>();
        assert_eq!(plain(&merge(&grants)), merged);
    }

    #[test]
    fn the_grant_that_lasts_longest_takes_over() {
        check(&[(0, 10, 1), (5, 20, 2)], &[(0, 5, 1), (5, 20, 2)]);
        check(&[(0, 20, 1), (5, 10, 2)], &[(0, 20, 1)]);
        check(&[(0, 10, 1), (0, 20, 2)], &[(0, 20, 2)]);
        check(&[(0, 10, 1), (0, 10, 2)], &[(0, 10, 1)]);
        check(&[(5, 10, 1), (0, 10, 2)], &[(0, 5, 2), (5, 10, 1)]);
        check(
            &[(0, 10, 1), (10, 20, 2), (30, 40, 3)],
            &[(0, 10, 1), (10, 20, 2), (30, 40, 3)],
        );
    }

    #[test]
    fn what_comes_first_leaves_the_others_the_time_around_it() {
        let check = |first: &[(u64, u64, u32)], others: &[_], expected: &[_]| {
            let windows = |all: &[(u64, u64, u32)]| all.iter().copied().map(w).collect::<Vec<_>>();
            let found = merge_first(&windows(first), &windows(others));
            assert_eq!(plain(&found), expected);
        };
        check(&[], &[(0, 9, 1)], &[(0, 9, 1)]);
        check(&[(2, 5, 7)], &[], &[(2, 5, 7)]);
        check(
            &[(2, 5, 7)],
            &[(0, Window::FOREVER, 1)],
            &[(0, 2, 1), (2, 5, 7), (5, Window::FOREVER, 1)],
        );
        check(&[(0, 9, 7)], &[(2, 5, 1)], &[(0, 9, 7)]);
        check(
            &[(2, 4, 7), (6, 8, 8)],
            &[(3, 7, 1), (8, 9, 2)],
            &[(2, 4, 7), (4, 6, 1), (6, 8, 8), (8, 9, 2)],
        );
    }

    fn check_trim(
        segments: &[(u64, u64, u32)],
        now: u64,
        kept: &[(u64, u64, u32)],
        refill: Option<u64>,
    ) {
        let segments = segments.iter().copied().map(w).collect::<Vec<_>>();
        let trimmed = trim(&segments, now);
        assert_eq!(plain(used(&trimmed.windows)), kept);
        assert_eq!(trimmed.refill_at_ns, refill);
    }

    #[test]
    fn the_earliest_open_windows_stay_with_the_last_ended_one_if_there_is_room() {
        let all = [
            (0, 1, 1),
            (1, 2, 2),
            (3, 4, 3),
            (5, 6, 4),
            (7, 8, 5),
            (9, 10, 6),
        ];
        check_trim(&all, 0, &all[..4], Some(1));
        check_trim(&all, 2, &all[2..], None);
        check_trim(&all, 4, &all[2..], None);
        check_trim(&all, 99, &all[5..], None);
        check_trim(&[], 5, &[], None);
    }

    proptest! {
        #[test]
        fn merging_keeps_every_instant_and_its_longest_grant(
            spans in proptest::collection::vec((0..15_u64, 1..8_u64), 0..7),
        ) {
            let grants = (1..).zip(&spans).map(|(id, (start, length))| w((*start, start + length, id)));
            let grants = grants.collect::<Vec<_>>();
            let merged = merge(&grants);
            for pair in merged.windows(2) {
                prop_assert!(pair[0].not_after_ns <= pair[1].not_before_ns);
            }
            for now in 0..25 {
                let live = |window: &&Window| window.not_before_ns <= now && now < window.not_after_ns;
                let longest = grants.iter().filter(live).map(|window| window.not_after_ns).max();
                let wanted = grants.iter().find(|window| live(window) && Some(window.not_after_ns) == longest);
                let found = merged.iter().find(live);
                let grant = |window: &Window| window.grant;
                prop_assert_eq!(found.map(grant), wanted.map(grant));
            }
        }
    }
}
