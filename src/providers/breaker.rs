//! The circuit breaker: leaves a party alone that keeps failing, and lets one call at a time find out whether it is back.
//!
//! [`Circuit`] is the state machine; it is told the time. [`Breaker`] is the shared handle on it. A failure is a call that did not
//! get through; a party that says no is alive.

use crate::config::providers::BreakerSettings;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// While a trial call is under way, others are told to ask again after so long, in milliseconds.
pub const TRIAL_RETRY_MS: u64 = 1_000;

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
}

/// The state machine of one breaker.
#[derive(Debug)]
pub struct Circuit {
    settings: BreakerSettings,
    phase: Phase,
    /// Grows with every change of phase, so that a call from an earlier phase cannot speak in this one.
    number: u64,
    opened_total: u64,
}

#[derive(Debug)]
enum Phase {
    Closed { failed_at_ms: VecDeque<u64> },
    Open { until_ms: u64 },
    Trial,
}

impl Circuit {
    /// A closed circuit.
    #[must_use]
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, phase: Phase::Closed { failed_at_ms: VecDeque::new() }, number: 0, opened_total: 0 }
    }

    /// Leave for one call.
    ///
    /// # Errors
    /// Refused; the milliseconds after which to ask again.
    pub fn admit(&mut self, now_ms: u64) -> Result<Permit, u64> {
        match self.phase {
            Phase::Closed { .. } => Ok(Permit { phase: self.number }),
            Phase::Open { until_ms } if now_ms < until_ms => Err(until_ms - now_ms),
            Phase::Open { .. } => {
                self.enter(Phase::Trial);
                Ok(Permit { phase: self.number })
            }
            Phase::Trial => Err(TRIAL_RETRY_MS),
        }
    }

    /// Takes note of how a permitted call ended.
    pub fn record(&mut self, permit: Permit, end: CallEnd, now_ms: u64) {
        if permit.phase != self.number {
            return;
        }
        match (&mut self.phase, end) {
            (Phase::Closed { failed_at_ms }, CallEnd::Failure) => {
                failed_at_ms.push_back(now_ms);
                forget_before_window(failed_at_ms, now_ms, self.settings.window_ms);
                if failed_at_ms.len() >= self.settings.failures.max(1) as usize {
                    self.open(now_ms);
                }
            }
            (Phase::Trial, CallEnd::Success) => self.reset(),
            (Phase::Trial, CallEnd::Failure) => self.open(now_ms),
            // The open time has been served: whoever comes next is the trial.
            (Phase::Trial, CallEnd::Dropped) => self.enter(Phase::Open { until_ms: now_ms }),
            (Phase::Closed { .. }, CallEnd::Success | CallEnd::Dropped) | (Phase::Open { .. }, _) => {}
        }
    }

    /// Closes it and forgets the failures; calls under way no longer count.
    pub fn reset(&mut self) {
        self.enter(Phase::Closed { failed_at_ms: VecDeque::new() });
    }

    fn open(&mut self, now_ms: u64) {
        self.opened_total += 1;
        self.enter(Phase::Open { until_ms: now_ms.saturating_add(self.settings.open_ms) });
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.number += 1;
    }
}

fn forget_before_window(failed_at_ms: &mut VecDeque<u64>, now_ms: u64, window_ms: u64) {
    while failed_at_ms.front().is_some_and(|at| now_ms.saturating_sub(*at) >= window_ms) {
        failed_at_ms.pop_front();
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
    /// When a call may be let through; 0 when at once.
    pub retry_in_ms: u64,
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
}

impl Breaker {
    /// A closed breaker for the party `name`.
    #[must_use]
    pub fn new(name: &'static str, settings: BreakerSettings) -> Self {
        Self { shared: Arc::new(Shared { name, started: Instant::now(), circuit: Mutex::new(Circuit::new(settings)) }) }
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
        let (state, failures, retry_in_ms) = match &mut circuit.phase {
            Phase::Closed { failed_at_ms } => {
                forget_before_window(failed_at_ms, now_ms, window_ms);
                (CircuitState::Closed, failed_at_ms.len(), 0)
            }
            Phase::Open { until_ms } if now_ms < *until_ms => (CircuitState::Open, 0, *until_ms - now_ms),
            Phase::Open { .. } => (CircuitState::HalfOpen, 0, 0),
            Phase::Trial => (CircuitState::HalfOpen, 0, TRIAL_RETRY_MS),
        };
        let failures_in_window = u32::try_from(failures).unwrap_or(u32::MAX);
        Snapshot { name: self.name(), state, failures_in_window, retry_in_ms, opened_total: circuit.opened_total }
    }

    /// Closes it by hand.
    pub fn reset(&self) {
        self.circuit().reset();
    }

    pub(super) fn ms_at(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.shared.started).as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.shared.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All breakers of a node.
#[derive(Clone, Debug, Default)]
pub struct Breakers(Vec<Breaker>);

impl Breakers {
    /// These.
    #[must_use]
    pub fn new(breakers: Vec<Breaker>) -> Self {
        Self(breakers)
    }

    /// What each does now.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Snapshot> {
        self.0.iter().map(Breaker::snapshot).collect()
    }

    /// The breaker of that party.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Breaker> {
        self.0.iter().find(|breaker| breaker.name() == name)
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
        let mut circuit = Circuit::new(BreakerSettings::default());
        let mut under_way = VecDeque::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Let(at) => under_way.push_back(circuit.admit(at).unwrap_or_else(|_| panic!("{name}: refused in step {number}"))),
                Refuse(at, retry_in_ms) => assert_eq!(circuit.admit(at), Err(retry_in_ms), "{name}: step {number}"),
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
}
