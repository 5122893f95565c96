//! When was counted: what tells a zero from a number that nobody knows. Pure.
//!
//! An agent takes counts over every few seconds. While it is away the kernel goes on counting, and
//! what it counted then stands where the agent came back: the sum is right, its time is not. While
//! nothing is attached nothing is counted at all.

use jiff::{SignedDuration, Timestamp};

/// What two instants may be apart and still be the same here: counts are taken over more often.
pub const TOLERANCE: SignedDuration = SignedDuration::from_secs(30);

/// A time in which one agent took counts over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub first: Timestamp,
    pub last: Timestamp,
    /// Of the maps that counted. The same ones before and after a break counted in it, too.
    pub generation: u64,
}

/// How much of a time was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// All of it: what is not there did not happen.
    Whole,
    /// The kernel counted in all of it, but the agent was away for a part: counts of before may stand
    /// here, and counts of this time after it.
    Late,
    /// In a part of it nothing was counted.
    Part,
    /// Nothing was counted, as far as is known.
    None,
}

/// Everything that is known of when was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// By their beginning.
    spans: Vec<Span>,
    /// The same without breaks in which the kernel counted.
    counted: Vec<(Timestamp, Timestamp)>,
    /// When an agent came back after such a break.
    returns: Vec<Timestamp>,
}

impl Measured {
    /// `spans` in the order in which they were made; the last one goes on until `now` unless that is
    /// too far from its end.
    #[must_use]
    pub fn new(mut spans: Vec<Span>, now: Timestamp) -> Self {
        if let Some(newest) = spans.last_mut()
            && now.duration_since(newest.last) <= TOLERANCE
        {
            newest.last = newest.last.max(now);
        }
        let mut counted: Vec<(Timestamp, Timestamp)> = Vec::new();
        let mut returns = Vec::new();
        let mut former = None;
        for span in &spans {
            match counted.last_mut() {
                Some((_, last)) if former == Some(span.generation) => {
                    *last = span.last.max(*last);
                    returns.push(span.first);
                }
                Some(_) | None => counted.push((span.first, span.last)),
            }
            former = Some(span.generation);
        }
        spans.sort_by_key(|span| (span.first, span.last));
        counted.sort_unstable();
        Self {
            spans,
            counted,
            returns,
        }
    }

    /// Since when is known what was measured; `None` if nothing is.
    #[must_use]
    pub fn beginning(&self) -> Option<Timestamp> {
        self.counted.first().map(|(first, _)| *first)
    }

    /// For how long between two instants the kernel has counted.
    #[must_use]
    pub fn counted(&self, from: Timestamp, until: Timestamp) -> SignedDuration {
        common(self.counted.iter().copied(), from, until)
    }

    /// How much of the time between two instants was measured.
    #[must_use]
    pub fn coverage(&self, from: Timestamp, until: Timestamp) -> Coverage {
        let counted = self.counted(from, until);
        if counted.is_zero() {
            return Coverage::None;
        }
        let all = until.duration_since(from);
        if all - counted > TOLERANCE {
            return Coverage::Part;
        }
        let taken_over = self.spans.iter().map(|span| (span.first, span.last));
        let has_return = self.returns.iter().any(|back| (from..until).contains(back));
        if has_return || all - common(taken_over, from, until) > TOLERANCE {
            return Coverage::Late;
        }
        Coverage::Whole
    }
}

/// How much of `from..until` these times have, which are ordered by their beginning.
fn common(
    times: impl Iterator<Item = (Timestamp, Timestamp)>,
    from: Timestamp,
    until: Timestamp,
) -> SignedDuration {
    let mut sum = SignedDuration::ZERO;
    let mut done = from;
    for (first, last) in times {
        let (first, last) = (first.max(done), last.min(until));
        if first < last {
            sum = sum.saturating_add(last.duration_since(first));
            done = last;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn span(first: i64, last: i64, generation: u64) -> Span {
        Span {
            first: at(first),
            last: at(last),
            generation,
        }
    }

    #[test]
    fn a_break_is_late_where_the_kernel_counted_and_unknown_where_it_did_not() {
        let spans = vec![
            span(600, 1_200, 1),
            // The agent was away for ten minutes; the kernel counted.
            span(1_800, 2_400, 1),
            // Then nothing was attached.
            span(3_000, 3_590, 2),
        ];
        let measured = Measured::new(spans, at(3_600));
        let check = |from: i64, until: i64, coverage: Coverage, counted: i64| {
            let found = measured.coverage(at(from), at(until));
            assert_eq!(found, coverage, "{from} to {until}");
            let found = measured.counted(at(from), at(until));
            assert_eq!(found.as_secs(), counted, "{from} to {until}");
        };
        check(0, 300, Coverage::None, 0);
        check(300, 900, Coverage::Part, 300);
        check(600, 900, Coverage::Whole, 300);
        check(590, 900, Coverage::Whole, 300);
        check(900, 1_500, Coverage::Late, 600);
        check(1_300, 1_500, Coverage::Late, 200);
        check(1_800, 2_400, Coverage::Late, 600);
        check(1_860, 2_400, Coverage::Whole, 540);
        check(2_400, 3_000, Coverage::None, 0);
        check(3_300, 3_600, Coverage::Whole, 300);
        check(3_300, 3_900, Coverage::Part, 300);
        assert_eq!(measured.beginning(), Some(at(600)));
    }

    #[test]
    fn a_clock_that_was_set_back_counts_no_time_twice() {
        let spans = vec![span(1_000, 2_000, 1), span(1_500, 2_500, 1)];
        let measured = Measured::new(spans, at(2_500));
        assert_eq!(measured.counted(at(0), at(9_000)).as_secs(), 1_500);
    }

    #[test]
    fn an_agent_that_has_stopped_measures_nothing_more() {
        let measured = Measured::new(vec![span(0, 100, 1)], at(1_000));
        assert_eq!(measured.coverage(at(200), at(900)), Coverage::None);
        let running = Measured::new(vec![span(0, 100, 1)], at(110));
        assert_eq!(running.counted(at(0), at(110)).as_secs(), 110);
        assert_eq!(Measured::new(Vec::new(), at(9)).beginning(), None);
    }
}
