//! The circuit breaker of a party: a shared handle to a [`Circuit`], on tokio's clock.

use super::circuit::{CallEnd, Circuit, CircuitState, Permit, Shown};
use crate::config::providers::BreakerSettings;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A breaker as operators see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The party that it guards.
    pub name: &'static str,
    /// What it does now.
    pub state: CircuitState,
    /// Failures within the window; 0 unless closed.
    pub failures_in_window: u32,
    /// Milliseconds until a call may be let through; 0 for now. For a breaker that a person opened, until waiting callers ask again.
    pub retry_in_ms: u64,
    /// Whether a person opened it. It then stays open until a person closes it or asks for a trial.
    pub by_hand: bool,
    /// Whether the party has answered none of the last calls, although they came from too few callers to open the breaker.
    pub is_silent: bool,
    /// How often it has opened since the start.
    pub opened_total: u64,
}

/// A shared handle to one circuit, on tokio's clock.
#[derive(Clone, Debug)]
pub struct Breaker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: &'static str,
    started: Instant,
    circuit: Mutex<Circuit>,
    /// Notified when waiting is over: the breaker has closed, or lets a trial through.
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
        let (state, failures, retry_in_ms) = circuit.now(now_ms);
        let failures_in_window = u32::try_from(failures).unwrap_or(u32::MAX);
        let by_hand = circuit.is_held();
        let (is_silent, opened_total) = (circuit.is_silent(), circuit.opened_total());
        Snapshot { name: self.name(), state, failures_in_window, retry_in_ms, by_hand, is_silent, opened_total }
    }

    /// How many calls the party has answered since the start.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.circuit().answered_total()
    }

    /// Closes it manually; waiting callers continue immediately.
    pub fn reset(&self) {
        self.circuit().reset();
        self.shared.lets_through.notify_waiters();
    }

    /// Opens it manually, until it is closed or tried manually.
    pub fn hold(&self) {
        self.circuit().hold();
    }

    /// Lets the next call through manually; its outcome closes or opens the breaker.
    pub fn trial(&self) {
        self.circuit().trial();
        self.shared.lets_through.notify_waiters();
    }

    /// Waits until it lets calls through, but at most for `most`.
    pub async fn lets_through(&self, most: Duration) {
        let mut rung = std::pin::pin!(self.shared.lets_through.notified());
        // It may have closed just before.
        if rung.as_mut().enable() || self.circuit().is_closed() {
            return;
        }
        // Either way whoever waits asks again.
        let _in_time = tokio::time::timeout(most, rung).await;
    }

    pub(super) fn record(&self, permit: Permit, end: CallEnd) -> Shown {
        let now_ms = self.ms_at(Instant::now());
        let mut circuit = self.circuit();
        let was_closed = circuit.is_closed();
        let shown = circuit.record(permit, end, now_ms);
        if circuit.is_closed() && !was_closed {
            self.shared.lets_through.notify_waiters();
        }
        shown
    }

    pub(super) fn ms_at(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.shared.started).as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.shared.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
