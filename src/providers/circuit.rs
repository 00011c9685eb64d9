//! The state machine of a circuit breaker. It leaves a failing party alone, and lets one call at a time find out whether the party is back.
//! The caller passes in the time. A failure is a call that did not get through; a party that refuses a request is alive.
//!
//! An order can itself be at fault and fail again and again although the party works. So failures of one order count once, the trial goes
//! to another order if there is one, and only a failed trial of such an order makes the next wait longer.
//!
//! A trial that is not answered in time counts as failed, and another follows: a party may hang on one call for as long as the call may
//! take, which is minutes for an email. If the first is answered after all, the party is back.

use crate::config::providers::BreakerSettings;
use std::collections::VecDeque;
use uuid::Uuid;

/// While a trial call is in progress, other callers ask again after this time, in milliseconds.
pub const TRIAL_RETRY_MS: u64 = 1_000;
/// Once the open time has passed, an order or notice that failed before waits this much longer, in milliseconds, so that another one makes
/// the trial.
pub const SUSPECT_WAIT_MS: u64 = 1_000;

/// What a circuit does with the next call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CircuitState {
    /// Lets it through.
    Closed,
    /// Refuses it.
    Open,
    /// Refuses it while a trial call is in progress; once the open time has passed, the call is the trial.
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
    /// The party did not answer.
    Failure,
    /// The caller gave up first, which says nothing about the party.
    Dropped,
}

/// Permission to make one call; it belongs to the phase of the circuit that granted it.
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
    /// The number of the phase. It grows with every change, so that a call from an earlier phase has no effect on this one.
    number: u64,
    /// The phase that started when it last opened, by itself or manually; permits of later phases are trials.
    opened_in: u64,
    opened_total: u64,
    answered_total: u64,
    /// How long it stays open next.
    open_ms: u64,
    /// Orders and notices whose calls failed and have not succeeded since, oldest first, with the number of answered calls at their last
    /// failure.
    suspects: VecDeque<(Uuid, u64)>,
    /// Failures of all callers since the last answer.
    unanswered: u32,
    /// Whether the missing answers have been reported.
    is_silence_told: bool,
}

/// The conclusions from the end of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Shown {
    /// News for operators.
    pub news: Option<News>,
    /// Whether this call and the one before it, of the same order or notice, failed although the party answered others in between.
    pub answers_others: bool,
}

/// News about a party that operators get once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    /// The breaker opened, for this many milliseconds to start with.
    Opened(u64),
    /// The breaker closed: the party answers again.
    Closed,
    /// This many calls in a row were not answered, from too few callers to open the breaker.
    Silent(u32),
    /// The party answers again after such silence.
    Heard,
}

#[derive(Debug)]
enum Phase {
    Closed {
        /// The time of each failure and its order or notice, each once.
        failed: VecDeque<(u64, Uuid)>,
    },
    Open {
        until_ms: u64,
    },
    /// Opened by a person, until a person changes it.
    Held,
    Trial {
        /// Whether the trial is of an order or notice whose last call failed: another failure says nothing new.
        is_suspect: bool,
        since_ms: u64,
    },
}

impl Circuit {
    /// A closed circuit.
    #[must_use]
    pub fn new(settings: BreakerSettings) -> Self {
        let open_ms = settings.open_first_ms.min(settings.open_ms);
        let phase = Phase::Closed { failed: VecDeque::new() };
        Self {
            settings,
            phase,
            number: 0,
            opened_in: 0,
            opened_total: 0,
            answered_total: 0,
            open_ms,
            suspects: VecDeque::new(),
            unanswered: 0,
            is_silence_told: false,
        }
    }

    /// Grants one call for the order or notice `whose`. One whose last call failed gets the trial only if no other has asked for
    /// [`SUSPECT_WAIT_MS`], because it may be at fault itself.
    ///
    /// # Errors
    /// The call is refused; the value is the milliseconds after which to ask again.
    pub fn admit(&mut self, whose: Uuid, now_ms: u64) -> Result<Permit, u64> {
        let permit = |phase| Ok(Permit { phase, whose });
        self.end_trial_in_time(now_ms);
        match self.phase {
            Phase::Closed { .. } => permit(self.number),
            Phase::Open { until_ms } => {
                let is_suspect = self.suspects.iter().any(|(suspect, _)| *suspect == whose);
                let from_ms = if is_suspect { until_ms.saturating_add(SUSPECT_WAIT_MS) } else { until_ms };
                if now_ms < from_ms {
                    return Err(from_ms - now_ms);
                }
                self.enter(Phase::Trial { is_suspect, since_ms: now_ms });
                permit(self.number)
            }
            Phase::Held => Err(self.settings.open_ms.max(1)),
            Phase::Trial { .. } => Err(TRIAL_RETRY_MS),
        }
    }

    /// Records how a permitted call ended.
    pub fn record(&mut self, permit: Permit, end: CallEnd, now_ms: u64) -> Shown {
        self.end_trial_in_time(now_ms);
        let was_closed = self.is_closed();
        let answers_others = self.suspect(permit.whose, end);
        self.move_on(permit, end, now_ms);
        let news = match (was_closed, self.is_closed()) {
            (true, false) => Some(News::Opened(self.open_ms)),
            (false, true) => Some(News::Closed),
            (true, true) => self.silence(end),
            (false, false) => None,
        };
        if news.is_some() {
            self.is_silence_told = matches!(news, Some(News::Silent(_)));
        }
        Shown { news, answers_others }
    }

    fn silence(&self, end: CallEnd) -> Option<News> {
        match end {
            CallEnd::Success => self.is_silence_told.then_some(News::Heard),
            CallEnd::Failure => {
                let is_silent = !self.is_silence_told && self.unanswered >= self.settings.failures.max(1);
                is_silent.then_some(News::Silent(self.unanswered))
            }
            CallEnd::Dropped => None,
        }
    }

    fn move_on(&mut self, permit: Permit, end: CallEnd, now_ms: u64) {
        if permit.phase != self.number {
            let is_late_trial = permit.phase > self.opened_in && matches!(self.phase, Phase::Open { .. } | Phase::Trial { .. });
            if is_late_trial && end == CallEnd::Success {
                self.reset();
            }
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
                    self.opened_in = self.number;
                }
            }
            (Phase::Trial { .. }, CallEnd::Success) => self.reset(),
            (Phase::Trial { is_suspect, .. }, CallEnd::Failure) => {
                let is_suspect = *is_suspect;
                self.open_again(is_suspect, now_ms);
            }
            // The open time has been served: whoever comes next is the trial.
            (Phase::Trial { .. }, CallEnd::Dropped) => self.enter(Phase::Open { until_ms: now_ms }),
            (Phase::Closed { .. }, CallEnd::Success | CallEnd::Dropped) | (Phase::Open { .. } | Phase::Held, _) => {}
        }
    }

    /// Closes it and forgets the failures; calls in progress no longer count.
    pub fn reset(&mut self) {
        self.open_ms = self.settings.open_first_ms.min(self.settings.open_ms);
        self.enter(Phase::Closed { failed: VecDeque::new() });
    }

    /// Opens it until a person closes it or asks for a trial.
    pub fn hold(&mut self) {
        self.opened_total += 1;
        self.enter(Phase::Held);
        self.opened_in = self.number;
    }

    /// Makes the next call the trial; does nothing while it is closed.
    pub fn trial(&mut self) {
        match self.phase {
            Phase::Closed { .. } => {}
            Phase::Open { .. } | Phase::Held | Phase::Trial { .. } => self.enter(Phase::Open { until_ms: 0 }),
        }
    }

    /// Its state, the failures in its window, and the milliseconds until it may let a call through.
    pub(super) fn now(&mut self, now_ms: u64) -> (CircuitState, usize, u64) {
        self.end_trial_in_time(now_ms);
        match &mut self.phase {
            Phase::Closed { failed } => {
                forget_before_window(failed, now_ms, self.settings.window_ms);
                (CircuitState::Closed, failed.len(), 0)
            }
            Phase::Held => (CircuitState::Open, 0, self.settings.open_ms),
            Phase::Open { until_ms } if now_ms < *until_ms => (CircuitState::Open, 0, *until_ms - now_ms),
            Phase::Open { .. } => (CircuitState::HalfOpen, 0, 0),
            Phase::Trial { .. } => (CircuitState::HalfOpen, 0, TRIAL_RETRY_MS),
        }
    }

    /// How often it has opened.
    pub(super) fn opened_total(&self) -> u64 {
        self.opened_total
    }

    /// The number of answered calls.
    pub(super) fn answered_total(&self) -> u64 {
        self.answered_total
    }

    /// Whether it was reported that the party answered none of the last calls.
    pub(super) fn is_silent(&self) -> bool {
        self.is_silence_told
    }

    pub(super) fn is_held(&self) -> bool {
        matches!(self.phase, Phase::Held)
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed { .. })
    }

    /// Records a failure of `whose`, and returns whether the party has answered others since its last failure.
    fn suspect(&mut self, whose: Uuid, end: CallEnd) -> bool {
        match end {
            CallEnd::Dropped => false,
            CallEnd::Success => {
                self.answered_total += 1;
                self.unanswered = 0;
                self.suspects.retain(|(suspect, _)| *suspect != whose);
                false
            }
            CallEnd::Failure => {
                self.unanswered = self.unanswered.saturating_add(1);
                let answered = self.answered_total;
                if let Some((_, before)) = self.suspects.iter_mut().find(|(suspect, _)| *suspect == whose) {
                    return std::mem::replace(before, answered) != answered;
                }
                self.suspects.push_back((whose, answered));
                if self.suspects.len() > self.settings.suspects {
                    self.suspects.pop_front();
                }
                false
            }
        }
    }

    /// Ends a trial that has taken too long: it failed at the moment its time was over.
    fn end_trial_in_time(&mut self, now_ms: u64) {
        if let Phase::Trial { is_suspect, since_ms } = self.phase {
            let ends_ms = since_ms.saturating_add(self.settings.trial_ms);
            if now_ms >= ends_ms {
                self.open_again(is_suspect, ends_ms);
            }
        }
    }

    fn open_again(&mut self, is_suspect: bool, now_ms: u64) {
        if !is_suspect {
            self.open_ms = self.open_ms.saturating_mul(2).min(self.settings.open_ms);
        }
        self.open(now_ms);
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

#[cfg(test)]
#[path = "circuit_tests.rs"]
mod tests;
