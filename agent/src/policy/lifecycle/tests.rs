//! Every path through the life of a grant, against what must hold on all of them.

use proptest::prelude::*;

use super::*;

const ALICE: By = person(1000, None);
const ROOT: By = person(0, None);

const fn person(uid: u32, login: Option<u32>) -> By {
    By::Person(Person { uid, login })
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_750_000_000 + seconds).expect("an instant")
}

fn entry(step: Step, by: By, seconds: i64) -> Entry {
    Entry {
        step,
        by,
        at: at(seconds),
        why: "a reason".to_owned(),
    }
}

fn requested(by: By) -> Life {
    Life::begin(true, &entry(Step::Request, by, 0)).expect("a request")
}

fn anybody() -> impl Strategy<Value = By> {
    let login = prop_oneof![Just(None), (0..3_u32).prop_map(|uid| Some(uid * 1000))];
    prop_oneof![
        1 => Just(By::Agent),
        4 => (0..3_u32, login).prop_map(|(uid, login)| person(uid * 1000, login)),
    ]
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let step = proptest::sample::select(Step::ALL.as_slice());
    (step, anybody(), 0..7_200_i64, "[a-z ]{0,3}").prop_map(|(step, by, seconds, why)| Entry {
        step,
        by,
        at: at(seconds),
        why,
    })
}

/// The users behind somebody, said once more and otherwise.
fn users(by: By) -> Vec<u32> {
    match by {
        By::Agent => Vec::new(),
        By::Person(Person { uid: 0, login }) => login.into_iter().collect(),
        By::Person(Person { uid, login }) => std::iter::once(uid).chain(login).collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_096, ..ProptestConfig::default() })]

    #[test]
    fn no_path_entitles_anybody_without_approval_and_no_end_is_left(
        needs_approval: bool,
        requester in anybody(),
        entries in proptest::collection::vec(any_entry(), 0..24),
    ) {
        let mut life =
            Life::begin(needs_approval, &entry(Step::Request, requester, 0)).expect("a request");
        let mut taken = vec![entry(Step::Request, requester, 0)];
        for next in entries {
            let Ok(after) = life.after(&next) else { continue };
            prop_assert!(!life.stage().is_over(), "{life:?} {next:?}");
            taken.push(next);
            life = after;
        }
        let approvals: Vec<_> = taken
            .iter()
            .filter(|entry| matches!(entry.step, Step::Approve(_)))
            .collect();
        if matches!(life.stage(), Stage::Approved | Stage::Active) {
            prop_assert_eq!(approvals.len(), 1);
        }
        for approval in approvals {
            let Step::Approve(basis) = approval.step else { continue };
            match basis {
                Basis::Rules => prop_assert!(!needs_approval),
                Basis::Lease => prop_assert_eq!(approval.by, By::Agent),
                Basis::Person => {
                    let own = users(requester);
                    prop_assert!(!users(approval.by).is_empty());
                    prop_assert!(users(approval.by).iter().all(|user| !own.contains(user)));
                    prop_assert!(!approval.why.trim().is_empty());
                }
                Basis::BreakGlass => {
                    prop_assert!(!approval.why.trim().is_empty());
                    let end = life.ends_at_latest(approval.at).expect("an end");
                    prop_assert!(end <= approval.at + BREAK_GLASS);
                }
            }
        }
        prop_assert_eq!(Life::replay(needs_approval, &taken), Ok(life));
    }
}

#[test]
fn every_pair_of_stage_and_step_is_allowed_or_refused_as_drawn() {
    use Stage::{Active, Approved, Expired, Rejected, Revoked};
    let waiting = requested(ALICE);
    let bob = person(1001, None);
    let step = |life: &Life, step| life.after(&entry(step, By::Agent, 1)).expect("a step");
    let approved = waiting
        .after(&entry(Step::Approve(Basis::Person), bob, 1))
        .expect("approved");
    let active = step(&approved, Step::Activate);
    let lives = [
        (waiting.clone(), vec![Revoked, Expired, Approved, Rejected]),
        (approved, vec![Active, Revoked, Expired]),
        (active.clone(), vec![Revoked, Expired]),
        (step(&active, Step::Expire), Vec::new()),
        (step(&active, Step::Revoke), Vec::new()),
        (step(&waiting, Step::Reject), Vec::new()),
    ];
    for (life, expected) in lives {
        let mut found = Vec::new();
        for by in [By::Agent, bob] {
            for step in Step::ALL {
                if let Ok(after) = life.after(&entry(step, by, 2)) {
                    found.push(after.stage());
                }
            }
        }
        for stage in Stage::ALL {
            assert_eq!(
                found.contains(&stage),
                expected.contains(&stage),
                "{:?} to {stage:?}",
                life.stage()
            );
        }
    }
}

#[test]
fn whoever_asked_cannot_approve_under_any_name() {
    let check = |requester: By, approver: By, expected: Option<NotAnother>| {
        let approve = entry(Step::Approve(Basis::Person), approver, 1);
        let result = requested(requester).after(&approve);
        let found = match result {
            Ok(life) => {
                assert_eq!(life.stage(), Stage::Approved);
                None
            }
            Err(StepError::NotAnother(why)) => Some(why),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(found, expected, "{requester} and {approver}");
    };
    let same = |by| Some(NotAnother::Same(by));
    let sudo = |login| person(0, Some(login));
    check(ALICE, ALICE, same(ALICE));
    check(ALICE, sudo(1000), same(ALICE));
    check(sudo(1000), ALICE, same(sudo(1000)));
    check(sudo(1000), sudo(1000), same(sudo(1000)));
    // As bob, from alice's session.
    check(ALICE, person(1001, Some(1000)), same(ALICE));
    check(
        person(1001, Some(1000)),
        person(1001, Some(1001)),
        same(person(1001, Some(1000))),
    );
    check(ALICE, person(1001, Some(1001)), None);
    check(ALICE, sudo(1001), None);
    check(ALICE, sudo(0), None);
    check(sudo(0), sudo(0), same(sudo(0)));
    // Nobody knows who that is: `sudo` in a service, a file that root has written.
    check(ALICE, ROOT, Some(NotAnother::Nameless));
    check(ROOT, ROOT, Some(NotAnother::Nameless));
    check(ROOT, sudo(1000), Some(NotAnother::ActsAsRoot));
    check(ROOT, sudo(0), Some(NotAnother::ActsAsRoot));
    check(ROOT, ALICE, None);
    check(ALICE, By::Agent, Some(NotAnother::Nobody));
}

#[test]
fn of_two_who_decide_at_once_the_second_is_told_who_was_first() {
    let approve = entry(Step::Approve(Basis::Person), person(1001, None), 1);
    let life = requested(ALICE).after(&approve).expect("approved");
    let error = life
        .after(&entry(Step::Reject, person(1002, None), 2))
        .expect_err("too late");
    assert_eq!(
        error.to_string(),
        "it was approved by uid 1001 at 2025-06-15T15:06:41Z, so it cannot be rejected any more"
    );
}

#[test]
fn broken_glass_is_whole_again_after_an_hour_and_an_end_stays_an_end() {
    let life = requested(ALICE)
        .after(&entry(Step::Approve(Basis::BreakGlass), ALICE, 60))
        .expect("let through");
    assert_eq!(life.ends_at_latest(at(60)), Some(at(3_660)));
    let active = life
        .after(&entry(Step::Activate, By::Agent, 61))
        .expect("active");
    let ended = active
        .after(&entry(Step::Expire, By::Agent, 100))
        .expect("ended");
    // A clock that is set back does not open it again.
    assert_eq!(ended.ends_at_latest(at(60)), Some(at(100)));
    for step in Step::ALL {
        assert!(ended.after(&entry(step, By::Agent, -9_000)).is_err());
    }
}

#[test]
fn a_rule_that_is_new_holds_what_no_rule_has_held() {
    let needs = ["plane manage".to_owned()];
    assert_eq!(stage_of(None, &[]), Stage::Approved);
    assert_eq!(stage_of(None, &needs), Stage::Requested);
    let request = entry(Step::Request, ALICE, 0);
    let life = Life::begin(false, &request).expect("a request");
    let by_rules = life
        .after(&entry(Step::Approve(Basis::Rules), By::Agent, 0))
        .expect("let through");
    assert_eq!(stage_of(Some(&by_rules), &[]), Stage::Approved);
    assert_eq!(stage_of(Some(&by_rules), &needs), Stage::Requested);
    // What has waited goes on waiting when the rule is gone.
    assert_eq!(stage_of(Some(&requested(ALICE)), &[]), Stage::Requested);
}

#[test]
fn names_of_steps_read_back() {
    for step in Step::ALL {
        assert_eq!(Step::from_name(step.name()), Some(step));
    }
    assert_eq!(Step::from_name("approved"), None);
}
