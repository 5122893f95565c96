use super::*;

fn check(output: &str, shown: &[&str], expected: &str) {
    let mut reader = Reader::default();
    let lines: Vec<&str> = output.lines().filter(|line| reader.read(line)).collect();
    assert_eq!(lines, shown);
    assert_eq!(reader.tally.to_string(), expected);
}

#[test]
fn results_of_several_binaries_are_summed() {
    check(
        "test a ... ok\n\
         test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n\
         test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out",
        &[
            "test a ... ok",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out",
        ],
        "SKIP a test: marked as ignored in the source\n15 passed, 0 failed, 1 skipped",
    );
}

#[test]
fn a_skipping_test_counts_as_skipped_and_other_output_of_passed_tests_is_hidden() {
    let output = "successes:\n\
                  ---- close::bytes stdout ----\n\
                  noise\n\
                  SKIP close::bytes: kernel >= 6.1, found 5.10\n\
                  test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured";
    check(
        output,
        &[
            "SKIP close::bytes: kernel >= 6.1, found 5.10",
            "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured",
        ],
        "SKIP close::bytes: kernel >= 6.1, found 5.10\n1 passed, 0 failed, 1 skipped",
    );
}

#[test]
fn failed_tests_are_named_and_their_output_is_shown() {
    let output = "test b ... FAILED\n\
                  successes:\nhidden\n\
                  failures:\n---- b stdout ----\npanicked\n\
                  test result: FAILED. 1 passed; 1 failed; 0 ignored";
    check(
        output,
        &[
            "test b ... FAILED",
            "failures:",
            "---- b stdout ----",
            "panicked",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored",
        ],
        "FAIL b: see above\n1 passed, 1 failed, 0 skipped",
    );
}
