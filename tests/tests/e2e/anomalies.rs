//! `weir anomalies replay`, which needs no agent.

use std::{fmt::Write as _, fs};

use super::host;

const BEGIN: i64 = 1_750_032_000;
const DAY: i64 = 1_440;

#[test]
fn a_runaway_loop_in_recorded_counts_is_one_alert_that_says_why() {
    let host = host();
    let [input, output] = ["calls.csv", "scores.csv"].map(|name| host.path(name));
    let loop_begins = 7 * DAY + 600;
    let mut rows = String::from("series,metric,timestamp,value\n");
    for minute in 0..8 * DAY {
        let is_loop = (loop_begins..loop_begins + 30).contains(&minute);
        let value = if is_loop { 300 } else { 4 + minute * 7919 % 5 };
        writeln!(rows, "svc,calls,{},{value}", BEGIN + 60 * minute).expect("a string");
    }
    fs::write(&input, &rows).expect("written");
    let [input, output] = [input, output].map(|path| path.display().to_string());
    let replay = [
        "anomalies",
        "replay",
        "--input",
        &input,
        "--output",
        &output,
    ];
    let told = host.weir(&replay).expect(0).stdout;
    let at = (BEGIN + 60 * loop_begins).to_string();
    assert!(
        told.starts_with(&format!("{at} svc: 300 in one step, expected ")),
        "{told}"
    );
    let scores = fs::read_to_string(&output).expect("scores");
    assert_eq!(scores.lines().count(), rows.lines().count());
    let alerts: Vec<_> = scores.lines().filter(|row| row.ends_with(",1")).collect();
    assert!(
        matches!(alerts[..], [alert] if alert.starts_with(&format!("svc,{at},"))),
        "{alerts:?}"
    );

    fs::write(&input, "timestamp,value\n1,2\nx,3\n").expect("written");
    let wrong = host.weir(&replay).expect(2).stderr;
    assert!(
        wrong.contains(&format!("`{input}` line 3, timestamp `x`")),
        "{wrong}"
    );
    let kept = fs::read_to_string(&output).expect("the former scores");
    assert_eq!(kept, scores);
}
