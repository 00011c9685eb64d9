//! The circuit breaker: leaves a party alone that keeps failing, and lets one call at a time find out whether it is back.
//!
//! [`Circuit`] is the state machine; it is told the time. [`Breaker`] is the shared handle on it. A failure is a call that did not
//! get through; a party that says no is alive.
//!
//! An order can be at fault itself, and fails again and again with a party that is well. So failures of one order count once, the
//! trial is another order's where one comes, and only such a trial that fails makes the next wait longer.

use crate::config::providers::BreakerSettings;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

/// While a trial call is under way, others are told to ask again after so long, in milliseconds.
pub const TRIAL_RETRY_MS: u64 = 1_000;
/// Once the open time has passed, an order or notice that failed before waits so much longer, so that another is the trial, in
/// milliseconds.
pub const SUSPECT_WAIT_MS: u64 = 1_000;

/// What a circuit does with the next call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CircuitState {
    /// Lets it through.
    Closed,
    /// Refuses it.
    Open,
    /// Refuses it: one trial call is under way, or, once the open time has passed, it is the trial.
    HalfOpen,
}

impl CircuitState {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Open => "OPEN",
            Self::HalfOpen => "HALF_OPEN",
        }
    }
}

/// How a call that was let through ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallEnd {
    /// The party answered.
    Success,
    /// It did not.
    Failure,
    /// The caller gave up first: says nothing about the party.
    Dropped,
}

/// Leave to make one call; belongs to the phase of the circuit that gave it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Permit {
    phase: u64,
    whose: Uuid,
}

/// The state machine of one breaker.
#[derive(Debug)]
pub struct Circuit {
    settings: BreakerSettings,
    phase: Phase,
    /// Grows with every change of phase, so that a call from an earlier phase cannot speak in this one.
    number: u64,
    opened_total: u64,
    answered_total: u64,
    /// How long it stays open next.
    open_ms: u64,
    /// Whose calls have failed, and none succeeded since; the oldest first.
    suspects: VecDeque<Uuid>,
}

#[derive(Debug)]
enum Phase {
    Closed {
        /// When, and whose call: each once.
        failed: VecDeque<(u64, Uuid)>,
    },
    Open {
        until_ms: u64,
    },
    /// By a person, until a person comes again.
    Held,
    Trial {
        /// Whether the call is of somebody whose last one failed: that it fails again says nothing new.
        is_suspect: bool,
    },
}

impl Circuit {
    /// A closed circuit.
    #[must_use]
    pub fn new(settings: BreakerSettings) -> Self {
        let open_ms = settings.open_first_ms.min(settings.open_ms);
        let phase = Phase::Closed { failed: VecDeque::new() };
        Self { settings, phase, number: 0, opened_total: 0, answered_total: 0, open_ms, suspects: VecDeque::new() }
    }

    /// Leave for one call, about `whose` order or notice. One whose last call failed is let on trial only when for
    /// [`SUSPECT_WAIT_MS`] no other has come: it may be at fault itself.
    ///
    /// # Errors
    /// Refused; the milliseconds after which to ask again.
    pub fn admit(&mut self, whose: Uuid, now_ms: u64) -> Result<Permit, u64> {
        let permit = |phase| Ok(Permit { phase, whose });
        match self.phase {
            Phase::Closed { .. } => permit(self.number),
            Phase::Open { until_ms } => {
                let is_suspect = self.suspects.contains(&whose);
                let from_ms = if is_suspect { until_ms.saturating_add(SUSPECT_WAIT_MS) } else { until_ms };
                if now_ms < from_ms {
                    return Err(from_ms - now_ms);
                }
                self.enter(Phase::Trial { is_suspect });
                permit(self.number)
            }
            Phase::Held => Err(self.settings.open_ms.max(1)),
            Phase::Trial { .. } => Err(TRIAL_RETRY_MS),
        }
    }

    /// Takes note of how a permitted call ended.
    pub fn record(&mut self, permit: Permit, end: CallEnd, now_ms: u64) {
        self.suspect(permit.whose, end);
        if permit.phase != self.number {
            return;
        }
        match (&mut self.phase, end) {
            (Phase::Closed { failed }, CallEnd::Failure) => {
                forget_before_window(failed, now_ms, self.settings.window_ms);
                if failed.iter().all(|(_, whose)| *whose != permit.whose) {
                    failed.push_back((now_ms, permit.whose));
                }
                if failed.len() >= self.settings.failures.max(1) as usize {
                    self.open(now_ms);
                }
            }
            (Phase::Trial { .. }, CallEnd::Success) => self.reset(),
            (Phase::Trial { is_suspect }, CallEnd::Failure) => {
                if !*is_suspect {
                    self.open_ms = self.open_ms.saturating_mul(2).min(self.settings.open_ms);
                }
                self.open(now_ms);
            }
            // The open time has been served: whoever comes next is the trial.
            (Phase::Trial { .. }, CallEnd::Dropped) => self.enter(Phase::Open { until_ms: now_ms }),
            (Phase::Closed { .. }, CallEnd::Success | CallEnd::Dropped) | (Phase::Open { .. } | Phase::Held, _) => {}
        }
    }

    /// Closes it and forgets the failures; calls under way no longer count.
    pub fn reset(&mut self) {
        self.open_ms = self.settings.open_first_ms.min(self.settings.open_ms);
        self.enter(Phase::Closed { failed: VecDeque::new() });
    }

    /// Opens it until a person closes it or asks for a trial.
    pub fn hold(&mut self) {
        self.opened_total += 1;
        self.enter(Phase::Held);
    }

    /// Whoever comes next is the trial; nothing to do while it is closed.
    pub fn trial(&mut self) {
        match self.phase {
            Phase::Closed { .. } => {}
            Phase::Open { .. } | Phase::Held | Phase::Trial { .. } => self.enter(Phase::Open { until_ms: 0 }),
        }
    }

    fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed { .. })
    }

    fn suspect(&mut self, whose: Uuid, end: CallEnd) {
        match end {
            CallEnd::Dropped => {}
            CallEnd::Success => {
                self.answered_total += 1;
                self.suspects.retain(|suspect| *suspect != whose);
            }
            CallEnd::Failure if self.suspects.contains(&whose) => {}
            CallEnd::Failure => {
                self.suspects.push_back(whose);
                if self.suspects.len() > self.settings.suspects {
                    self.suspects.pop_front();
                }
            }
        }
    }

    fn open(&mut self, now_ms: u64) {
        self.opened_total += 1;
        self.enter(Phase::Open { until_ms: now_ms.saturating_add(self.open_ms) });
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.number += 1;
    }
}

fn forget_before_window(failed: &mut VecDeque<(u64, Uuid)>, now_ms: u64, window_ms: u64) {
    while failed.front().is_some_and(|(at, _)| now_ms.saturating_sub(*at) >= window_ms) {
        failed.pop_front();
    }
}

/// A breaker as operators see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The party that it guards.
    pub name: &'static str,
    /// What it does now.
    pub state: CircuitState,
    /// Failures within the window; 0 unless closed.
    pub failures_in_window: u32,
    /// When a call may be let through; 0 when at once. Of one that a person opened, when whoever waits asks again.
    pub retry_in_ms: u64,
    /// A person has opened it: it stays so until a person closes it or asks for a trial.
    pub by_hand: bool,
    /// How often it has opened since the start.
    pub opened_total: u64,
}

/// A shared handle on one circuit, on tokio's clock.
#[derive(Clone, Debug)]
pub struct Breaker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: &'static str,
    started: Instant,
    circuit: Mutex<Circuit>,
    /// Rung when waiting is over: it has closed, or lets a trial through.
    lets_through: Notify,
}

impl Breaker {
    /// A closed breaker for the party `name`.
    #[must_use]
    pub fn new(name: &'static str, settings: BreakerSettings) -> Self {
        let circuit = Mutex::new(Circuit::new(settings));
        Self { shared: Arc::new(Shared { name, started: Instant::now(), circuit, lets_through: Notify::new() }) }
    }

    /// The party that it guards.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.shared.name
    }

    /// What it does now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let now_ms = self.ms_at(Instant::now());
        let mut circuit = self.circuit();
        let window_ms = circuit.settings.window_ms;
        let open_ms = circuit.settings.open_ms;
        let (state, failures, retry_in_ms) = match &mut circuit.phase {
            Phase::Closed { failed } => {
                forget_before_window(failed, now_ms, window_ms);
                (CircuitState::Closed, failed.len(), 0)
            }
            Phase::Held => (CircuitState::Open, 0, open_ms),
            Phase::Open { until_ms } if now_ms < *until_ms => (CircuitState::Open, 0, *until_ms - now_ms),
            Phase::Open { .. } => (CircuitState::HalfOpen, 0, 0),
            Phase::Trial { .. } => (CircuitState::HalfOpen, 0, TRIAL_RETRY_MS),
        };
        let failures_in_window = u32::try_from(failures).unwrap_or(u32::MAX);
        let by_hand = matches!(circuit.phase, Phase::Held);
        Snapshot { name: self.name(), state, failures_in_window, retry_in_ms, by_hand, opened_total: circuit.opened_total }
    }

    /// How many calls the party has answered since the start.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.circuit().answered_total
    }

    /// Closes it by hand; who waits goes on at once.
    pub fn reset(&self) {
        self.circuit().reset();
        self.shared.lets_through.notify_waiters();
    }

    /// Opens it by hand, until it is closed or tried by hand.
    pub fn hold(&self) {
        self.circuit().hold();
    }

    /// Lets the next call through, by hand; it decides.
    pub fn trial(&self) {
        self.circuit().trial();
        self.shared.lets_through.notify_waiters();
    }

    /// Waits until it lets calls through, or for `most`.
    pub async fn lets_through(&self, most: Duration) {
        let mut rung = std::pin::pin!(self.shared.lets_through.notified());
        // It may have closed just before.
        if rung.as_mut().enable() || self.circuit().is_closed() {
            return;
        }
        // Either way whoever waits asks again.
        let _in_time = tokio::time::timeout(most, rung).await;
    }

    pub(super) fn record(&self, permit: Permit, end: CallEnd) {
        let now_ms = self.ms_at(Instant::now());
        let mut circuit = self.circuit();
        let was_closed = circuit.is_closed();
        circuit.record(permit, end, now_ms);
        if circuit.is_closed() && !was_closed {
            self.shared.lets_through.notify_waiters();
        }
    }

    pub(super) fn ms_at(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.shared.started).as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.shared.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
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
                Let(at) => {
                    under_way.push_back(circuit.admit(fresh(number), at).unwrap_or_else(|_| panic!("{name}: refused in step {number}")))
                }
                Refuse(at, retry_in_ms) => assert_eq!(circuit.admit(fresh(number), at), Err(retry_in_ms), "{name}: step {number}"),
                End(at, end) => circuit.record(under_way.pop_front().unwrap(), end, at),
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
        check(
            "successes clear nothing, the dropped count nothing",
            1,
            fail(&[0, 1, 2]).into_iter().chain(mixed).chain([Refuse(8, 30_000)]),
        );
        check("exactly one trial", 1, after_open(vec![Let(30_004), Refuse(30_004, TRIAL_RETRY_MS), Refuse(90_000, TRIAL_RETRY_MS)]));
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
        BreakerSettings { failures: 5, window_ms: 60_000, open_first_ms: 1_000, open_ms: 30_000, suspects: 1_000 };

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
    fn who_failed_is_remembered_within_a_limit() {
        let mut circuit = Circuit::new(BreakerSettings { failures: 1_000, suspects: 3, ..SETTINGS });
        (0..5).for_each(|whose| call_of(&mut circuit, whose, Failure, 0));
        assert_eq!(circuit.suspects, [2, 3, 4].map(id));
    }
}
