use super::*;

const MONDAY: i64 = 1_767_571_200;

/// Ten calls a minute with a little noise, then `then` in each minute.
fn scores(days: u32, then: f32, hint: bool) -> Vec<Reading> {
    let mut series = Series::new(MONDAY, Metric::Calls, &Cohort::new());
    let mut readings = Vec::new();
    for minute in 0..days * 1440 + 60 {
        let is_usual = minute < days * 1440;
        let value = if is_usual {
            8.0 + (minute * 7 % 5) as f32
        } else {
            then
        };
        let step = Step {
            at: MONDAY + i64::from(minute) * 60,
            value,
            hint: hint && minute == days * 1440,
        };
        let reading = series.update(&Grid::MINUTES, step);
        if !is_usual {
            readings.push(reading);
        }
    }
    readings
}

#[test]
fn a_series_is_small() {
    assert!(size_of::<Series>() <= 704, "{}", size_of::<Series>());
}

#[test]
fn a_loop_is_found_at_once_and_told_once() {
    let readings = scores(8, 300.0, false);
    assert!(readings.iter().take(2).any(|reading| reading.alert));
    assert_eq!(readings.iter().filter(|reading| reading.alert).count(), 1);
    let text = readings[0].finding.to_string();
    assert!(
        text.contains("300 in one step") && text.contains("learnt from 8 days"),
        "{text}"
    );
}

#[test]
fn what_is_usual_raises_no_alert() {
    let readings = scores(8, 11.0, false);
    assert!(readings.iter().all(|reading| !reading.alert));
}

#[test]
fn a_hint_makes_what_changes_less_surprising() {
    let plain = scores(8, 20.0, false);
    let hinted = scores(8, 20.0, true);
    for (plain, hinted) in plain.iter().zip(&hinted) {
        assert!(hinted.score < plain.score, "{plain:?} {hinted:?}");
    }
}

#[test]
fn a_newcomer_is_measured_by_the_others() {
    assert!(
        scores(0, 400.0, false)
            .iter()
            .take(5)
            .any(|reading| reading.alert)
    );
    assert!(scores(0, 20.0, false).iter().all(|reading| !reading.alert));
}

#[test]
fn no_value_is_too_strange() {
    let mut series = Series::new(MONDAY, Metric::Cost, &Cohort::new());
    for (index, value) in [f32::NAN, -1.0, f32::INFINITY, 0.0, f32::MAX, 1e-30, 5.0]
        .iter()
        .cycle()
        .take(5000)
        .enumerate()
    {
        let at = MONDAY + index as i64 * 60;
        let reading = series.update(
            &Grid::MINUTES,
            Step {
                at,
                value: *value,
                hint: false,
            },
        );
        assert!(!reading.score.is_nan(), "{value} at {index}");
    }
    series.skip(&Grid::MINUTES, i64::MAX / 2, u32::MAX);
}

/// The alerts of 14 days of `usual` and two of `then`, by minute since the change.
fn alerts(usual: fn(u32) -> f32, then: fn(u32) -> f32) -> Vec<(i64, Finding)> {
    const CHANGE: u32 = 14 * 1440;
    let mut series = Series::new(MONDAY, Metric::Calls, &Cohort::new());
    let mut alerts = Vec::new();
    for minute in 0..CHANGE + 2 * 1440 {
        let value = if minute < CHANGE { usual } else { then };
        let step = Step {
            at: MONDAY + i64::from(minute) * 60,
            value: value(minute),
            hint: false,
        };
        let reading = series.update(&Grid::MINUTES, step);
        if reading.alert && minute > 8 * 1440 {
            alerts.push((i64::from(minute) - i64::from(CHANGE), reading.finding));
        }
    }
    alerts
}

/// Noise that repeats only after days, from 0.5 to 1.5.
fn noise(minute: u32) -> f32 {
    0.5 + (minute.wrapping_mul(2_654_435_761) >> 16) as f32 / 65_536.0
}

#[test]
fn a_rate_that_has_risen_by_a_third_is_told_within_a_day() {
    let alerts = alerts(
        |minute| (10.0 * noise(minute)).round(),
        |minute| (13.5 * noise(minute)).round(),
    );
    let (after, finding) = alerts.first().expect("an alert");
    assert!((1..1440).contains(after), "{after}: {finding}");
    assert!(alerts.len() <= 2, "{alerts:?}");
}

#[test]
fn breaks_that_stay_out_are_told() {
    // Sessions of half an hour every three hours, then a trickle between them.
    fn sessions(minute: u32) -> f32 {
        if minute % 180 < 30 + (minute / 180 * 7 % 20) {
            (8.0 * noise(minute)).round()
        } else {
            0.0
        }
    }
    let alerts = alerts(sessions, |minute| {
        sessions(minute) + (2.0 * noise(minute)).round()
    });
    let (after, finding) = alerts.first().expect("an alert");
    assert!((1..1440).contains(after), "{after}: {finding}");
}

#[test]
fn what_was_told_is_not_told_again_by_longer_windows() {
    let alerts = alerts(
        |minute| (10.0 * noise(minute)).round(),
        |minute| {
            let is_loop = minute % 1440 < 60;
            (10.0 * noise(minute)).round() + if is_loop { 300.0 } else { 0.0 }
        },
    );
    let hours: Vec<i64> = alerts.iter().map(|(after, _)| after / 60).collect();
    assert_eq!(hours, [0, 24], "{alerts:?}");
}

#[test]
fn costs_of_a_newcomer_are_measured_by_the_costs_of_others() {
    let mut cohort = Cohort::new();
    for _ in 0..10_000 {
        cohort.learn(20.0);
    }
    let mut series = Series::new(MONDAY, Metric::Cost, &cohort);
    let alerts = (0..10).filter(|minute| {
        let step = Step {
            at: MONDAY + minute * 60,
            value: 500.0,
            hint: false,
        };
        series.update(&Grid::MINUTES, step).alert
    });
    assert_eq!(alerts.count(), 1);
}
