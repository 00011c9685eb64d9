//! A wrapper that puts a provider behind a breaker and a timeout.

use super::breaker::Breaker;
use super::circuit::{CallEnd, News, Permit};
use super::{Charge, ChargeKey, ChargeRequest, Email, Found, Mailer, PaymentProvider, Sms, Texter, Voided};
use crate::domain::Money;
use crate::providers::call::{Call, ProviderError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// A provider behind a breaker and a timeout.
#[derive(Debug)]
pub struct Guarded<P> {
    inner: Arc<P>,
    breaker: Breaker,
    timeout: Duration,
}

impl<P> Guarded<P> {
    /// Guards `inner`; a call that takes longer than `timeout_ms` is given up, with an unknown outcome.
    #[must_use]
    pub fn new(inner: P, breaker: Breaker, timeout_ms: u64) -> Self {
        Self { inner: Arc::new(inner), breaker, timeout: Duration::from_millis(timeout_ms) }
    }

    /// `what` is the operation's name in the log.
    fn guard<T: Send + 'static>(&self, whose: Uuid, what: &'static str, call: impl FnOnce(&P) -> Call<T> + Send + 'static) -> Call<T>
    where
        P: Send + Sync + 'static,
    {
        let (inner, breaker, timeout) = (self.inner.clone(), self.breaker.clone(), self.timeout);
        Box::pin(async move {
            let now = Instant::now();
            let permit = breaker.circuit().admit(whose, breaker.ms_at(now)).map_err(|retry_in_ms| ProviderError::Open { retry_in_ms })?;
            let watch = Watch { breaker: &breaker, permit, is_over: false };
            let answer = match tokio::time::timeout_at(now + timeout, call(&inner)).await {
                Ok(answer) => answer,
                Err(_) => Err(ProviderError::unknown(format!("no answer within {} ms", timeout.as_millis())).away()),
            };
            watch.over(what, answer)
        })
    }
}

/// Records the end of a call, even if its future is dropped.
struct Watch<'a> {
    breaker: &'a Breaker,
    permit: Permit,
    is_over: bool,
}

impl Watch<'_> {
    /// Returns the answer. If the breaker knows that the party answers others, the error is not marked as away.
    fn over<T>(mut self, what: &'static str, answer: Result<T, ProviderError>) -> Result<T, ProviderError> {
        self.is_over = true;
        let shown = self.breaker.record(self.permit, end_of(&answer));
        if let Some(news) = shown.news {
            tell(news, self.breaker.name(), what, answer.as_ref().err());
        }
        answer.map_err(|error| if shown.answers_others { error.not_away() } else { error })
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.breaker.record(self.permit, CallEnd::Dropped);
        }
    }
}

fn tell(news: News, provider: &str, operation: &str, error: Option<&ProviderError>) {
    let cause = error.map(ToString::to_string).unwrap_or_default();
    match news {
        News::Opened(next_try_in_ms) => tracing::warn!(
            provider,
            operation,
            cause,
            next_try_in_ms,
            "a circuit breaker has opened: its provider gets no calls but one now and then, whatever is for it waits"
        ),
        News::Closed => tracing::info!(provider, operation, "a circuit breaker has closed: its provider answers again"),
        News::Silent(calls) => tracing::warn!(provider, operation, cause, calls, "a provider has answered none of the last calls"),
        News::Heard => tracing::info!(provider, operation, "a provider answers again"),
    }
}

fn end_of<T>(answer: &Result<T, ProviderError>) -> CallEnd {
    match answer {
        Ok(_) | Err(ProviderError::Rejected { .. } | ProviderError::Deferred { .. }) => CallEnd::Success,
        Err(ProviderError::Failed { .. } | ProviderError::Unknown { .. }) => CallEnd::Failure,
        Err(ProviderError::Open { .. } | ProviderError::Busy { .. }) => CallEnd::Dropped,
    }
}

impl<P: PaymentProvider + 'static> PaymentProvider for Guarded<P> {
    fn charge(&self, request: ChargeRequest) -> Call<Charge> {
        self.guard(request.key.order.0, "charge", move |inner| inner.charge(request))
    }
    fn find(&self, key: ChargeKey) -> Call<Found> {
        self.guard(key.order.0, "find", move |inner| inner.find(key))
    }
    fn void(&self, key: ChargeKey) -> Call<Voided> {
        self.guard(key.order.0, "void", move |inner| inner.void(key))
    }
    fn refund(&self, key: ChargeKey, amount: Money) -> Call<()> {
        self.guard(key.order.0, "refund", move |inner| inner.refund(key, amount))
    }
}

impl<P: Mailer + 'static> Mailer for Guarded<P> {
    fn send(&self, email: Email) -> Call<()> {
        self.guard(email.id.0, "send", move |inner| inner.send(email))
    }
}

impl<P: Texter + 'static> Texter for Guarded<P> {
    fn send(&self, sms: Sms) -> Call<()> {
        self.guard(sms.id.0, "send", move |inner| inner.send(sms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::providers::BreakerSettings;
    use crate::domain::{OrderId, Text};
    use crate::providers::{Breakers, CircuitState, Snapshot, TRIAL_RETRY_MS};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::time::{advance, sleep};

    /// Does what the amount says: 1 approves, 2 declines, 3 rejects, 4 fails, 5 does not know, 6 never answers.
    #[derive(Default)]
    struct Scripted {
        calls: AtomicU32,
    }

    impl PaymentProvider for Arc<Scripted> {
        fn charge(&self, request: ChargeRequest) -> Call<Charge> {
            self.calls.fetch_add(1, Ordering::Relaxed);
            let amount = request.amount.minor();
            Box::pin(async move {
                match amount {
                    1 => Ok(Charge::Approved),
                    2 => Ok(Charge::Declined { reason: Text::lossy("no") }),
                    3 => Err(ProviderError::rejected("no")),
                    4 => Err(ProviderError::failed("no")),
                    5 => Err(ProviderError::unknown("no")),
                    _ => std::future::pending().await,
                }
            })
        }
        fn find(&self, _: ChargeKey) -> Call<Found> {
            unreachable!()
        }
        fn void(&self, _: ChargeKey) -> Call<Voided> {
            unreachable!()
        }
        fn refund(&self, _: ChargeKey, _: Money) -> Call<()> {
            unreachable!()
        }
    }

    fn guarded() -> (Arc<Scripted>, Breaker, Guarded<Arc<Scripted>>) {
        let (inner, breaker) = (Arc::new(Scripted::default()), Breaker::new("payment", slow()));
        (inner.clone(), breaker.clone(), Guarded::new(inner, breaker, 5_000))
    }

    /// As long open at first as at most.
    fn slow() -> BreakerSettings {
        BreakerSettings { open_first_ms: 30_000, ..BreakerSettings::default() }
    }

    /// Of an order of its own.
    fn request(minor: i64) -> ChargeRequest {
        static ORDERS: AtomicU32 = AtomicU32::new(0);
        let order = OrderId::from_parts(u64::from(ORDERS.fetch_add(1, Ordering::Relaxed)), [1; 10]);
        let correlation = crate::domain::CorrelationId::of(order.0);
        ChargeRequest {
            key: ChargeKey { order, attempt: 1 },
            amount: Money::from_minor(minor).unwrap(),
            method: Text::lossy("card"),
            correlation,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_party_that_does_not_get_through_counts_as_failing() {
        for (amount, failures) in [(1, 0), (2, 0), (3, 0), (4, 3), (5, 3), (6, 3)] {
            let (_, breaker, provider) = guarded();
            for _ in 0..3 {
                let _answer = provider.charge(request(amount)).await;
            }
            assert_eq!(breaker.snapshot().failures_in_window, failures, "{amount}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_breaker_sends_nothing_and_lets_one_trial_through() {
        let (inner, breaker, provider) = guarded();
        for _ in 0..5 {
            assert_eq!(provider.charge(request(4)).await, Err(ProviderError::failed("no")));
        }
        assert_eq!(provider.charge(request(1)).await, Err(ProviderError::Open { retry_in_ms: 30_000 }));
        assert_eq!(inner.calls.load(Ordering::Relaxed), 5);
        let open = Snapshot {
            name: "payment",
            state: CircuitState::Open,
            failures_in_window: 0,
            retry_in_ms: 30_000,
            by_hand: false,
            is_silent: false,
            opened_total: 1,
        };
        assert_eq!(breaker.snapshot(), open);
        advance(Duration::from_millis(30_000)).await;
        assert_eq!(breaker.snapshot(), Snapshot { state: CircuitState::HalfOpen, retry_in_ms: 0, ..open.clone() });
        let trial = tokio::time::timeout(Duration::from_millis(10), provider.charge(request(6)));
        let beside = async {
            sleep(Duration::from_millis(5)).await;
            provider.charge(request(1)).await
        };
        let (trial, beside) = tokio::join!(trial, beside);
        assert!(trial.is_err(), "the trial was dropped");
        assert_eq!(beside, Err(ProviderError::Open { retry_in_ms: TRIAL_RETRY_MS }));
        assert_eq!(provider.charge(request(1)).await, Ok(Charge::Approved));
        assert_eq!(breaker.snapshot(), Snapshot { state: CircuitState::Closed, retry_in_ms: 0, ..open });
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_answer_is_unknown_at_its_timeout() {
        let (_, _, provider) = guarded();
        let started = Instant::now();
        assert_eq!(provider.charge(request(6)).await, Err(ProviderError::unknown("no answer within 5000 ms").away()));
        assert_eq!(started.elapsed(), Duration::from_millis(5_000));
    }

    /// What this thread logs from now on.
    fn listen() -> (Arc<Mutex<Vec<u8>>>, tracing::subscriber::DefaultGuard) {
        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Kept {
            fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(text);
                Ok(text.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let kept = Kept::default();
        let into = kept.clone();
        let subscriber = tracing_subscriber::fmt().without_time().with_target(false).with_ansi(false).with_writer(move || into.clone());
        (kept.0, tracing::subscriber::set_default(subscriber.finish()))
    }

    fn said(log: &Mutex<Vec<u8>>) -> Vec<String> {
        String::from_utf8(std::mem::take(&mut *log.lock().unwrap())).unwrap().lines().map(|line| line.trim().to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn that_a_breaker_opens_and_closes_is_logged_once_each() {
        let (log, _listening) = listen();
        let (_, _, provider) = guarded();
        for _ in 0..7 {
            let _answer = provider.charge(request(4)).await;
        }
        let opened = "WARN a circuit breaker has opened: its provider gets no calls but one now and then, whatever is for it waits \
             provider=\"payment\" operation=\"charge\" cause=\"failed: no\" next_try_in_ms=30000";
        assert_eq!(said(&log), [opened]);
        advance(Duration::from_millis(30_000)).await;
        let _trial_that_fails = provider.charge(request(4)).await;
        assert_eq!(said(&log), [""; 0]);
        advance(Duration::from_millis(30_000)).await;
        assert_eq!(provider.charge(request(1)).await, Ok(Charge::Approved));
        let closed = "INFO a circuit breaker has closed: its provider answers again provider=\"payment\" operation=\"charge\"";
        assert_eq!(said(&log), [closed]);
    }

    #[tokio::test(start_paused = true)]
    async fn that_nobody_is_answered_is_logged_though_too_few_ask_for_the_breaker_to_open() {
        let (log, _listening) = listen();
        let (_, breaker, provider) = guarded();
        let alone = |amount| ChargeRequest { amount: Money::from_minor(amount).unwrap(), ..request(1) };
        let poison = alone(5);
        for _ in 0..9 {
            assert!(provider.charge(poison.clone()).await.is_err());
        }
        assert_eq!(breaker.snapshot().state, CircuitState::Closed);
        let silent = "WARN a provider has answered none of the last calls \
             provider=\"payment\" operation=\"charge\" cause=\"outcome unknown: no\" calls=5";
        assert_eq!(said(&log), [silent]);
        for _ in 0..2 {
            assert_eq!(provider.charge(alone(1)).await, Ok(Charge::Approved));
        }
        assert_eq!(said(&log), ["INFO a provider answers again provider=\"payment\" operation=\"charge\""]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_answers_others_is_not_away() {
        let (_, _, provider) = guarded();
        let silent = request(6);
        let told = |answer: Result<Charge, ProviderError>| answer.unwrap_err().is_away();
        assert!(told(provider.charge(silent.clone()).await));
        assert!(told(provider.charge(silent.clone()).await));
        assert_eq!(provider.charge(request(1)).await, Ok(Charge::Approved));
        assert!(!told(provider.charge(silent.clone()).await), "another was answered in between");
        assert!(told(provider.charge(silent).await));
    }

    #[tokio::test(start_paused = true)]
    async fn operators_find_a_breaker_by_name_and_close_it() {
        let (_, breaker, provider) = guarded();
        let breakers = Breakers::new(vec![breaker, Breaker::new("sms", BreakerSettings::default())]);
        for _ in 0..5 {
            let _answer = provider.charge(request(5)).await;
        }
        let states = || breakers.snapshots().iter().map(|snapshot| snapshot.state.name()).collect::<Vec<_>>();
        assert_eq!(states(), ["OPEN", "CLOSED"]);
        breakers.find("payment").unwrap().reset();
        assert_eq!(states(), ["CLOSED", "CLOSED"]);
        assert_eq!(provider.charge(request(1)).await, Ok(Charge::Approved));
    }
}
