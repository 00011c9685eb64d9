//! How a stand-in treats its calls: latency, jitter, faults and magic, in one place for all parties.

use super::magic::Magic;
use super::recent::Recent;
use crate::config::providers::{Behaviour, SandboxSettings};
use crate::providers::call::{Call, ProviderError};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// Delay of a slow call, in milliseconds.
pub const SLOW_MS: u64 = 10_000;
/// After this time, in milliseconds, an unanswered call ends; by then every caller has given up.
pub const UNANSWERED_MS: u64 = 60_000;
/// Number of times that a flaky call fails.
pub const FLAKY_FAILURES: u8 = 2;
/// Orders and notices of which failures are counted.
const MAX_COUNTED: usize = 100_000;

/// One party: its store, its random generator and its failure counts behind one lock.
#[derive(Debug)]
pub(super) struct Lane<S> {
    shared: Arc<Mutex<Inner<S>>>,
}

impl<S> Clone for Lane<S> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

#[derive(Debug)]
pub(super) struct Inner<S> {
    pub(super) store: S,
    pub(super) behaviour: Behaviour,
    pub(super) magic: bool,
    random: SplitMix64,
    failures: Recent<Uuid, u8>,
}

enum Fate {
    Done,
    Failed,
    DoneUnanswered,
    Lost,
    SlowAnswer,
    SlowArrival,
}

impl<S: Send + 'static> Lane<S> {
    pub(super) fn new(store: S, settings: &SandboxSettings, number: u64) -> Self {
        let failures = Recent::new(MAX_COUNTED);
        let random = SplitMix64::seed_from_u64(settings.seed.wrapping_mul(3).wrapping_add(number));
        Self { shared: Arc::new(Mutex::new(Inner { store, behaviour: settings.behaviour, magic: settings.magic, random, failures })) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner<S>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one call: `effect` is what it does to the store, given the requested behaviour; failures are counted by `id`.
    pub(super) fn call<T: Send + 'static>(
        &self,
        id: Uuid,
        magic: impl FnOnce(&S) -> Magic,
        effect: impl FnOnce(&mut S, Magic) -> Result<T, ProviderError> + Send + 'static,
    ) -> Call<T> {
        let mut inner = self.lock();
        let wait_ms = inner.latency_ms();
        let meaning = if inner.magic { magic(&inner.store) } else { Magic::None };
        match inner.fate(id, meaning) {
            Fate::Done => after(wait_ms, effect(&mut inner.store, meaning)),
            Fate::SlowAnswer => after(SLOW_MS.saturating_add(wait_ms), effect(&mut inner.store, meaning)),
            Fate::DoneUnanswered => {
                // Done whatever it says: nobody hears it.
                drop(effect(&mut inner.store, meaning));
                after(UNANSWERED_MS, Err(ProviderError::unknown("no answer")))
            }
            Fate::Lost => after(UNANSWERED_MS, Err(ProviderError::unknown("no answer"))),
            Fate::Failed => after(wait_ms, Err(ProviderError::failed("technical error"))),
            Fate::SlowArrival => self.arrive_late(effect),
        }
    }

    /// Makes the call in a separate task, so it arrives even if the caller has given up.
    fn arrive_late<T: Send + 'static>(&self, effect: impl FnOnce(&mut S, Magic) -> Result<T, ProviderError> + Send + 'static) -> Call<T> {
        let lane = self.clone();
        Box::pin(async move {
            let arrival = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(SLOW_MS)).await;
                effect(&mut lane.lock().store, Magic::SlowArrival)
            });
            arrival.await.unwrap_or_else(|_| Err(ProviderError::unknown("the stand-in stopped")))
        })
    }
}

impl<S> Inner<S> {
    fn latency_ms(&mut self) -> u64 {
        let Behaviour { latency_ms, jitter_ms, .. } = self.behaviour;
        if jitter_ms == 0 {
            return latency_ms;
        }
        latency_ms.saturating_add(self.random.next_u64() % jitter_ms.saturating_add(1))
    }

    fn fate(&mut self, id: Uuid, magic: Magic) -> Fate {
        let Behaviour { error_rate, timeout_rate, .. } = self.behaviour;
        if error_rate > 0.0 || timeout_rate > 0.0 {
            let luck = self.next_share();
            if luck < error_rate {
                return Fate::Failed;
            }
            if luck < error_rate + timeout_rate {
                return if self.random.next_u64().is_multiple_of(2) { Fate::DoneUnanswered } else { Fate::Lost };
            }
        }
        match magic {
            Magic::None | Magic::Decline => Fate::Done,
            Magic::DoneUnanswered => Fate::DoneUnanswered,
            Magic::Lost => Fate::Lost,
            Magic::Flaky | Magic::FlakyRefund => self.flaky(id),
            Magic::Fail | Magic::FailRefund => Fate::Failed,
            Magic::SlowAnswer => Fate::SlowAnswer,
            Magic::SlowArrival => Fate::SlowArrival,
        }
    }

    fn flaky(&mut self, id: Uuid) -> Fate {
        let failures = self.failures.entry(id, 0);
        if *failures >= FLAKY_FAILURES {
            return Fate::Done;
        }
        *failures += 1;
        Fate::Failed
    }

    /// A random number from 0 to below 1.
    fn next_share(&mut self) -> f64 {
        let bits = u32::try_from(self.random.next_u64() >> 32).unwrap_or(u32::MAX);
        f64::from(bits) / 4_294_967_296.0
    }
}

fn after<T: Send + 'static>(wait_ms: u64, answer: Result<T, ProviderError>) -> Call<T> {
    if wait_ms == 0 {
        return Box::pin(std::future::ready(answer));
    }
    Box::pin(async move {
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        answer
    })
}
