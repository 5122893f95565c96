use std::{fs, path::Path};

use super::{replay::Replay, *};
use crate::error_chain;

/// What is written and said, or the error.
#[expect(
    clippy::unwrap_in_result,
    reason = "only the replay's own error is an answer"
)]
fn replay(text: &[u8], profile: Profile) -> Result<(String, Vec<String>), String> {
    let directory = tempfile::tempdir().expect("a directory");
    let input = directory.path().join("in.csv");
    let output = directory.path().join("out.csv");
    fs::write(&input, text).expect("write");
    let replay = Replay {
        input: &input,
        metric: Metric::Calls,
        profile,
    };
    let mut said = Vec::new();
    match replay.run(&output, input::Hints::default(), &mut |line| {
        said.push(line)
    }) {
        Ok(tally) => {
            said.push(tally.to_string());
            Ok((fs::read_to_string(&output).expect("read"), said))
        }
        Err(error) => {
            assert_eq!(
                fs::read_dir(&directory).expect("list").count(),
                1,
                "half a file"
            );
            let shown = directory.path().display().to_string() + "/";
            Err(error_chain(&error).replace(&shown, ""))
        }
    }
}

fn refused(text: &str, expected: &str) {
    let error = replay(text.as_bytes(), Profile::Default).expect_err(text);
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn a_mistake_is_told_with_line_and_field_and_leaves_nothing() {
    refused("", "`in.csv`: no column `timestamp` in the header");
    refused("timestamp,value\n", "`in.csv`: no rows below the header");
    refused("timestamp,count\n0,1\n", "`in.csv`: no column `value`");
    refused(
        "timestamp,value\n0,1\n60,NaN\n",
        "`in.csv` line 3, value `NaN`: is not finite",
    );
    refused(
        "timestamp,value\n0,1\n60,-1\n",
        "`in.csv` line 3, value `-1`: is negative",
    );
    refused(
        "timestamp,value\n0,1\n60,many\n",
        "`in.csv` line 3, value `many`: is no number",
    );
    refused(
        "timestamp,value\n60,1\n0,1\n",
        "`in.csv` line 3, timestamp `0`: is before",
    );
    refused(
        "timestamp,value\nsoon,1\n",
        "`in.csv` line 2, timestamp `soon`: is no time",
    );
    refused("timestamp,value\n0,1,2\n", "`in.csv` line 2: no CSV");
    refused(
        "series,metric,timestamp,value\na,heat,0,1\n",
        "`in.csv` line 2, metric `heat`",
    );
    let error = replay(b"timestamp,value\n0,\xff\n", Profile::Default).expect_err("no UTF-8");
    assert!(
        error.starts_with("`in.csv` line 2: no CSV in UTF-8"),
        "{error}"
    );
}

#[test]
fn columns_are_found_whatever_their_case_and_rows_stay_as_they_are() {
    let text = b"Label,TimeStamp,Value\n0,2018-03-15T00:00:00Z,3\n0,2018-03-15T01:00:00Z,\n0,2018-03-15T01:00:00Z,4\n";
    let (written, said) = replay(text, Profile::Default).expect("read");
    let lines: Vec<_> = written.lines().collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0], "series,timestamp,score,alert");
    assert!(
        lines[2].starts_with("in,2018-03-15T01:00:00Z,0.0000,0"),
        "{written}"
    );
    assert_eq!(said, ["3 rows of 1 series, a step of 3600 s, 0 alerts"]);
}

#[test]
fn a_loop_is_told_in_a_sentence() {
    let mut text = String::from("series,metric,timestamp,value\n");
    for minute in 0..3 * 1440_u32 {
        let value = if minute == 4000 { 500 } else { 3 + minute % 3 };
        text += &format!("api,calls,{},{value}\n", 1_767_571_200 + minute * 60);
    }
    let (_, said) = replay(text.as_bytes(), Profile::Default).expect("read");
    let [alert, tally] = said.as_slice() else {
        panic!("{said:?}");
    };
    assert!(
        alert.starts_with("1767811200 api: 500 in one step, expected "),
        "{alert}"
    );
    assert!(tally.ends_with("1 alerts"), "{tally}");
}

/// The alerts of a rate that rises by 40 % for good after ten days, with or without a hint.
fn alerts_of_a_raised_rate(hints: &str) -> u64 {
    let directory = tempfile::tempdir().expect("a directory");
    let [input, output, hinted] = ["in", "out", "hints"].map(|name| directory.path().join(name));
    let mut text = String::from("series,timestamp,value\n");
    for minute in 0..12 * 1440_u32 {
        let value = (6 + minute * 7919 % 9) * if minute < 14_400 { 5 } else { 7 } / 5;
        text += &format!("api,{},{value}\n", 1_767_571_200 + minute * 60);
    }
    fs::write(&input, text).expect("write");
    fs::write(&hinted, hints).expect("write");
    let replay = Replay {
        input: &input,
        metric: Metric::Calls,
        profile: Profile::Default,
    };
    let hints = input::hints(&hinted).expect("hints");
    let mut alerts = 0;
    let tally = replay.run(&output, hints, &mut |_| alerts += 1);
    tally.expect("replayed");
    alerts
}

#[test]
fn a_hint_says_that_a_change_is_meant() {
    // The rate rises 14,400 minutes after the begin.
    assert_ne!(alerts_of_a_raised_rate("series,timestamp\n"), 0);
    assert_ne!(
        alerts_of_a_raised_rate("series,timestamp\nother,1768435200\n"),
        0
    );
    let hint = "series,timestamp,what\napi,2026-01-15T00:00:00Z,deploy\n";
    assert_eq!(alerts_of_a_raised_rate(hint), 0);
}

#[test]
fn hints_without_series_are_refused() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(&file, "timestamp\n0\n").expect("write");
    let error = input::hints(file.path()).expect_err("no series");
    assert!(
        error
            .to_string()
            .ends_with("no column `series` in the header; add one"),
        "{error}"
    );
}

#[test]
fn values_may_be_negative_where_novelty_is_asked_for() {
    let text = "timestamp,value\n0,-1\n60,-2\n120,5\n";
    let (written, _) = replay(text.as_bytes(), Profile::Benchmark).expect("read");
    assert_eq!(written.lines().count(), 4);
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let input = tempfile::NamedTempFile::new().expect("a file");
    fs::write(&input, "timestamp,value\n0,1\n").expect("write");
    let replay = Replay {
        input: input.path(),
        metric: Metric::Calls,
        profile: Profile::Default,
    };
    let output = Path::new("/nonexistent/out.csv");
    let error = replay.run(output, input::Hints::default(), &mut drop);
    let error = error
        .err()
        .map(|error| error_chain(&error))
        .unwrap_or_default();
    assert!(
        error.starts_with("`/nonexistent/out.csv`: cannot be written"),
        "{error}"
    );
}
