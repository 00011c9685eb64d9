use super::*;

/// What happens to a circuit, at a time in milliseconds.
enum Step {
    /// A call is let through; it is under way from now on.
    Let(u64),
    /// A call is refused for so long.
    Refuse(u64, u64),
    /// The oldest call under way ends.
    End(u64, CallEnd),
    Reset,
}
use CallEnd::{Dropped, Failure, Success};
use Step::{End, Let, Refuse, Reset};

/// One call that ends in its millisecond.
fn call(at: u64, end: CallEnd) -> [Step; 2] {
    [Let(at), End(at, end)]
}

fn check(name: &str, opened_total: u64, steps: impl IntoIterator<Item = Step>) {
    let mut circuit = Circuit::new(BreakerSettings { open_first_ms: 30_000, ..BreakerSettings::default() });
    let mut under_way = VecDeque::new();
    let fresh = |number: usize| Uuid::from_u128(number as u128);
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Let(at) => under_way.push_back(circuit.admit(fresh(number), at).unwrap_or_else(|_| panic!("{name}: refused in step {number}"))),
            Refuse(at, retry_in_ms) => assert_eq!(circuit.admit(fresh(number), at), Err(retry_in_ms), "{name}: step {number}"),
            End(at, end) => _ = circuit.record(under_way.pop_front().unwrap(), end, at),
            Reset => circuit.reset(),
        }
    }
    assert_eq!(circuit.opened_total, opened_total, "{name}: times opened");
}

#[test]
fn five_failures_in_the_window_open_it_then_one_trial_decides() {
    let fail = |times: &[u64]| times.iter().flat_map(|at| call(*at, Failure)).collect::<Vec<_>>();
    let opened = || fail(&[0, 1, 2, 3, 4]);
    let after_open = |steps: Vec<Step>| opened().into_iter().chain(steps);
    check("four failures", 0, fail(&[0, 1, 2, 3]).into_iter().chain([Let(4)]));
    check("five failures", 1, after_open(vec![Refuse(4, 30_000), Refuse(30_003, 1)]));
    check("the first has left the window", 0, fail(&[0, 1, 2, 3, 60_000]).into_iter().chain([Let(60_000)]));
    check("the first is just in the window", 1, fail(&[0, 1, 2, 3, 59_999]).into_iter().chain([Refuse(60_000, 29_999)]));
    check("the window slides on", 1, fail(&[0, 40_000, 50_000, 60_000, 61_000, 62_000]));
    let mixed = [call(5, Success), call(6, Failure), call(7, Dropped), call(8, Failure)].into_iter().flatten();
    check("successes clear nothing, the dropped count nothing", 1, fail(&[0, 1, 2]).into_iter().chain(mixed).chain([Refuse(8, 30_000)]));
    check("exactly one trial", 1, after_open(vec![Let(30_004), Refuse(30_004, TRIAL_RETRY_MS), Refuse(40_003, TRIAL_RETRY_MS)]));
    let unanswered = [Let(30_004), Refuse(40_004, 30_000), Refuse(70_003, 1), Let(70_004), Refuse(70_004, TRIAL_RETRY_MS)];
    check("a trial that nobody answers has failed in the end", 2, opened().into_iter().chain(unanswered));
    let forgotten = [Let(30_004), Let(90_000)];
    check("though nobody asked when its time was over", 2, opened().into_iter().chain(forgotten));
    let late = |end| [Let(30_004), Let(70_004), End(70_005, end)];
    check("a late answer closes it", 2, opened().into_iter().chain(late(Success)).chain([Let(70_005), Let(70_005)]));
    check("also before the next trial", 2, after_open(vec![Let(30_004), Refuse(40_004, 30_000), End(40_005, Success), Let(40_005)]));
    for end in [Failure, Dropped] {
        let beside = opened().into_iter().chain(late(end)).chain([Refuse(70_005, TRIAL_RETRY_MS)]);
        check(&format!("{end:?} of one that is given up decides nothing"), 2, beside);
    }
    check("a trial that succeeds closes it", 1, after_open(vec![Let(30_004), End(30_005, Success), Let(30_005), Let(30_005)]));
    let again = [Let(30_004), End(30_010, Failure), Refuse(30_010, 30_000), Refuse(60_009, 1), Let(60_010)];
    check("a trial that fails opens it again", 2, opened().into_iter().chain(again));
    let dropped = [Let(30_004), End(30_010, Dropped), Let(30_010), Refuse(30_010, TRIAL_RETRY_MS)];
    check("a trial that is dropped leaves the next one", 1, opened().into_iter().chain(dropped));
    check("closed by hand", 1, after_open(vec![Reset, Let(5)]).chain(fail(&[])));
    let forgotten = fail(&[0, 1, 2, 3]).into_iter().chain([Reset]).chain(fail(&[4]));
    check("closed by hand it forgets", 0, forgotten.chain([Let(5)]));
}

#[test]
fn a_call_from_before_it_opened_decides_nothing_later() {
    for late in [Success, Failure, Dropped] {
        let before = [Let(0)].into_iter().chain((0..5).map(|_| Let(1)));
        // The five that end first open it, the sixth ends while the trial is under way.
        let ends = (0..5).map(|_| End(2, Failure));
        let later = [Let(30_002), End(30_003, late), Refuse(30_003, TRIAL_RETRY_MS)];
        check(&format!("{late:?} late"), 1, before.chain(ends).chain(later));
    }
}

const SETTINGS: BreakerSettings =
    BreakerSettings { failures: 5, window_ms: 60_000, open_first_ms: 1_000, open_ms: 30_000, trial_ms: 10_000, suspects: 1_000 };

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn call_of(circuit: &mut Circuit, whose: u128, end: CallEnd, at: u64) {
    let permit = circuit.admit(id(whose), at).unwrap();
    circuit.record(permit, end, at);
}

/// Opened at 4 by five who failed: 0 to 4.
fn opened() -> Circuit {
    let mut circuit = Circuit::new(SETTINGS);
    (0..5).for_each(|whose| call_of(&mut circuit, whose, Failure, 4));
    circuit
}

#[test]
fn failures_of_one_count_once() {
    let mut circuit = Circuit::new(SETTINGS);
    (0..100).for_each(|at| call_of(&mut circuit, 1, Failure, at));
    assert!(circuit.admit(id(2), 100).is_ok());
}

#[test]
fn the_trial_is_of_somebody_who_has_not_failed_where_one_comes() {
    let mut circuit = opened();
    assert_eq!(circuit.admit(id(9), 5), Err(999), "the first opening is short");
    assert_eq!(circuit.admit(id(0), 1_004), Err(SUSPECT_WAIT_MS));
    call_of(&mut circuit, 9, Success, 1_004);
    assert!(circuit.admit(id(0), 1_004).is_ok(), "it is closed");
    let mut alone = opened();
    call_of(&mut alone, 0, Failure, 1_004 + SUSPECT_WAIT_MS);
    assert_eq!(alone.admit(id(9), 2_004), Err(1_000), "its failure makes nobody wait longer");
    call_of(&mut alone, 9, Failure, 3_004);
    assert_eq!(alone.admit(id(10), 3_004), Err(2_000), "another's does");
    let waits: Vec<u64> = (0..6)
        .scan((5_004, 11), |(at, whose), _| {
            call_of(&mut alone, *whose, Failure, *at);
            let wait = alone.admit(id(99), *at).unwrap_err();
            (*at, *whose) = (*at + wait, *whose + 1);
            Some(wait)
        })
        .collect();
    assert_eq!(waits, [4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
}

#[test]
fn a_person_opens_tries_and_closes() {
    let mut circuit = Circuit::new(SETTINGS);
    circuit.trial();
    assert!(circuit.is_closed(), "there is nothing to try");
    circuit.hold();
    assert_eq!((circuit.admit(id(1), 0), circuit.admit(id(1), 1_000_000)), (Err(30_000), Err(30_000)));
    circuit.trial();
    call_of(&mut circuit, 1, Failure, 1_000_000);
    assert_eq!(circuit.admit(id(2), 1_000_000), Err(2_000), "by its own rules again");
    circuit.reset();
    assert!(circuit.admit(id(1), 1_000_000).is_ok());
}

#[test]
fn who_answers_late_does_not_close_what_a_person_has_opened() {
    let mut circuit = opened();
    let trial = circuit.admit(id(9), 1_004).unwrap();
    circuit.hold();
    circuit.record(trial, Success, 1_005);
    assert!(circuit.is_held());
    circuit.trial();
    circuit.record(trial, Success, 1_006);
    assert!(!circuit.is_closed(), "a person wants another word than that");
}

#[test]
fn who_failed_is_remembered_within_a_limit() {
    let mut circuit = Circuit::new(BreakerSettings { failures: 1_000, suspects: 3, ..SETTINGS });
    (0..5).for_each(|whose| call_of(&mut circuit, whose, Failure, 0));
    let suspects: Vec<_> = circuit.suspects.iter().map(|(suspect, _)| *suspect).collect();
    assert_eq!(suspects, [2, 3, 4].map(id));
}
