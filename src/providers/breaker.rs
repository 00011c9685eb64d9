//! The circuit breaker: leaves a party alone that keeps failing, and lets one call at a time find out whether it is back.
//!
//! [`Circuit`] is the state machine; it is told the time. [`Breaker`] is the shared handle on it, and [`Guarded`] puts one and a
//! timeout before a provider. A failure is a call that did not get through; a party that says no is alive.

use super::{Call, Charge, ChargeKey, ChargeRequest, Email, Found, Mailer, PaymentProvider, ProviderError, Sms, Texter, Voided};
use crate::config::providers::BreakerSettings;
use crate::domain::Money;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
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

    fn ms_at(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.shared.started).as_millis()).unwrap_or(u64::MAX)
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
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

/// A provider behind a breaker and a timeout.
#[derive(Debug)]
pub struct Guarded<P> {
    inner: Arc<P>,
    breaker: Breaker,
    timeout: Duration,
}

impl<P> Guarded<P> {
    /// Guards `inner`; a call that takes longer than `timeout_ms` is given up, its outcome unknown.
    #[must_use]
    pub fn new(inner: P, breaker: Breaker, timeout_ms: u64) -> Self {
        Self { inner: Arc::new(inner), breaker, timeout: Duration::from_millis(timeout_ms) }
    }

    fn guard<T: Send + 'static>(&self, call: impl FnOnce(&P) -> Call<T> + Send + 'static) -> Call<T>
    where
        P: Send + Sync + 'static,
    {
        let (inner, breaker, timeout) = (self.inner.clone(), self.breaker.clone(), self.timeout);
        Box::pin(async move {
            let now = Instant::now();
            let permit = breaker.circuit().admit(breaker.ms_at(now)).map_err(|retry_in_ms| ProviderError::Open { retry_in_ms })?;
            let mut watch = Watch { breaker: &breaker, permit, end: CallEnd::Dropped };
            let answer = match tokio::time::timeout_at(now + timeout, call(&inner)).await {
                Ok(answer) => answer,
                Err(_) => Err(ProviderError::unknown(format!("no answer within {} ms", timeout.as_millis()))),
            };
            watch.end = end_of(&answer);
            answer
        })
    }
}

/// Records the end of a call, also when its future is dropped.
struct Watch<'a> {
    breaker: &'a Breaker,
    permit: Permit,
    end: CallEnd,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let now_ms = self.breaker.ms_at(Instant::now());
        self.breaker.circuit().record(self.permit, self.end, now_ms);
    }
}

fn end_of<T>(answer: &Result<T, ProviderError>) -> CallEnd {
    match answer {
        Ok(_) | Err(ProviderError::Rejected { .. }) => CallEnd::Success,
        Err(ProviderError::Failed { .. } | ProviderError::Unknown { .. }) => CallEnd::Failure,
        Err(ProviderError::Open { .. }) => CallEnd::Dropped,
    }
}

impl<P: PaymentProvider + 'static> PaymentProvider for Guarded<P> {
    fn charge(&self, request: ChargeRequest) -> Call<Charge> {
        self.guard(move |inner| inner.charge(request))
    }
    fn find(&self, key: ChargeKey) -> Call<Found> {
        self.guard(move |inner| inner.find(key))
    }
    fn void(&self, key: ChargeKey) -> Call<Voided> {
        self.guard(move |inner| inner.void(key))
    }
    fn refund(&self, key: ChargeKey, amount: Money) -> Call<()> {
        self.guard(move |inner| inner.refund(key, amount))
    }
}

impl<P: Mailer + 'static> Mailer for Guarded<P> {
    fn send(&self, email: Email) -> Call<()> {
        self.guard(move |inner| inner.send(email))
    }
}

impl<P: Texter + 'static> Texter for Guarded<P> {
    fn send(&self, sms: Sms) -> Call<()> {
        self.guard(move |inner| inner.send(sms))
    }
}
