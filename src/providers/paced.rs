//! A provider with limits on its calls: a number at the same time, a number per second, and fewer when it cannot take them.
//!
//! It wraps [`super::Guarded`] with its breaker and timeout. So a call that waits for its turn has not started: its timeout does not run,
//! and if the breaker opens it fails without being sent. The number of calls at the same time adapts: it starts at one, rises with each
//! success, falls to what the party can take when it says "not now", and to one while the breaker is open, so that a backlog does not hit a
//! party that has just recovered. A call over which the party hangs does not count towards this number, so that others can find out whether
//! the party works; it counts only towards the maximum.

use super::{Email, Mailer, Sms, Texter};
use crate::providers::call::{Call, ProviderError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

/// How long a number of concurrent calls that was too high is not tried again.
const CAUTION: Duration = Duration::from_secs(60);
/// The longest pause for a party that keeps saying "not now".
const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub struct Paced<P> {
    inner: Arc<P>,
    pace: Arc<Pace>,
}

#[derive(Debug)]
struct Pace {
    state: Mutex<State>,
    turn: Notify,
    most: usize,
    gap: Duration,
    /// A call in progress for longer than this hangs.
    hangs_after: Duration,
}

#[derive(Debug)]
struct State {
    /// The calls in progress, with the time each started.
    under_way: HashMap<u64, Instant>,
    begun: u64,
    limit: usize,
    /// A number of calls that was too high, and until when that holds.
    ceiling: Option<(usize, Instant)>,
    /// When the next call may start.
    next: Instant,
    /// Until when nothing is sent, and how long the last pause was.
    hold: Option<(Instant, Duration)>,
}

impl<P> Paced<P> {
    /// Limits `inner` to `most` calls at the same time and `per_second` calls per second (0: no limit). A call in progress for longer than
    /// `hangs_after_ms` does not hold up others while there are fewer than `most`.
    #[must_use]
    pub fn new(inner: P, most: usize, per_second: u32, hangs_after_ms: u64) -> Self {
        let state = State { under_way: HashMap::new(), begun: 0, limit: 1, ceiling: None, next: Instant::now(), hold: None };
        let gap = Duration::from_secs(1).checked_div(per_second).unwrap_or_default();
        let hangs_after = Duration::from_millis(hangs_after_ms);
        let pace = Pace { state: Mutex::new(state), turn: Notify::new(), most: most.max(1), gap, hangs_after };
        Self { inner: Arc::new(inner), pace: Arc::new(pace) }
    }

    fn send(&self, call: impl FnOnce(&P) -> Call<()> + Send + 'static) -> Call<()>
    where
        P: Send + Sync + 'static,
    {
        let (inner, pace) = (self.inner.clone(), self.pace.clone());
        Box::pin(async move {
            let place = pace.take_place().await;
            pace.take_turn(&place).await?;
            let answer = call(&inner).await;
            pace.learn(&answer);
            drop(place);
            answer
        })
    }
}

/// One slot for a call; it is freed even if the call's future is dropped.
struct Place<'a> {
    pace: &'a Pace,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.pace.state().under_way.remove(&self.number);
        self.pace.turn.notify_one();
    }
}

impl State {
    /// The start times of the calls in progress that do not hang.
    fn lively(&self, now: Instant, hangs_after: Duration) -> impl Iterator<Item = Instant> {
        self.under_way.values().copied().filter(move |begun| now.duration_since(*begun) < hangs_after)
    }
}

impl Pace {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take_place(&self) -> Place<'_> {
        loop {
            let turn = self.turn.notified();
            let look_again = {
                let mut state = self.state();
                let now = Instant::now();
                if state.under_way.len() < self.most && state.lively(now, self.hangs_after).count() < state.limit {
                    let number = state.begun;
                    state.begun += 1;
                    state.under_way.insert(number, now);
                    return Place { pace: self, number };
                }
                // There is room for one more when the first of them hangs.
                let first = state.lively(now, self.hangs_after).min().filter(|_| state.under_way.len() < self.most);
                first.and_then(|begun| begun.checked_add(self.hangs_after))
            };
            match look_again {
                // Either way it looks again.
                Some(at) => drop(timeout_at(at, turn).await),
                None => turn.await,
            }
        }
    }

    /// Waits until the rate allows the call, which then starts; fails while the party is left alone.
    async fn take_turn(&self, place: &Place<'_>) -> Result<(), ProviderError> {
        let at = {
            let mut state = self.state();
            let now = Instant::now();
            if let Some((until, _)) = state.hold.filter(|(until, _)| *until > now) {
                let retry_in_ms = u64::try_from((until - now).as_millis()).unwrap_or(u64::MAX).max(1);
                return Err(ProviderError::Busy { retry_in_ms, reason: "it accepts nothing for now".to_owned() });
            }
            let at = state.next.max(now);
            state.next = at + self.gap;
            state.under_way.insert(place.number, at);
            at
        };
        if !self.gap.is_zero() {
            sleep_until(at).await;
        }
        Ok(())
    }

    fn learn(&self, answer: &Result<(), ProviderError>) {
        let mut state = self.state();
        let now = Instant::now();
        match answer {
            Ok(()) | Err(ProviderError::Rejected { .. } | ProviderError::Deferred { .. }) => {
                state.hold = None;
                state.ceiling = state.ceiling.filter(|(_, until)| *until > now);
                let most = state.ceiling.map_or(self.most, |(ceiling, _)| ceiling.min(self.most));
                if state.limit < most {
                    state.limit += 1;
                    self.turn.notify_one();
                }
            }
            Err(ProviderError::Busy { retry_in_ms, .. }) => match state.lively(now, self.hangs_after).count().saturating_sub(1) {
                // It takes nothing at all: leave it alone, for longer each time.
                0 => {
                    let last = state.hold.map_or(Duration::ZERO, |(_, last)| last);
                    let hold = Duration::from_millis(*retry_in_ms).max(last * 2).min(LONGEST_HOLD);
                    state.hold = Some((now + hold, hold));
                }
                // It takes the others.
                others => {
                    state.limit = state.limit.min(others);
                    state.ceiling = Some((state.limit, now + CAUTION));
                }
            },
            Err(ProviderError::Failed { .. } | ProviderError::Unknown { .. }) => state.limit = (state.limit / 2).max(1),
            Err(ProviderError::Open { .. }) => state.limit = 1,
        }
    }
}

impl<P: Mailer + 'static> Mailer for Paced<P> {
    fn send(&self, email: Email) -> Call<()> {
        self.send(move |inner| inner.send(email))
    }
}

impl<P: Texter + 'static> Texter for Paced<P> {
    fn send(&self, sms: Sms) -> Call<()> {
        self.send(move |inner| inner.send(sms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::sandbox::tests::email_to;

    /// Answers after a second what it is told to, and keeps count.
    #[derive(Clone)]
    struct Scripted {
        answer: Arc<Mutex<Result<(), ProviderError>>>,
        counts: Arc<Mutex<(usize, usize, usize)>>,
    }

    impl Mailer for Scripted {
        fn send(&self, _: Email) -> Call<()> {
            let scripted = self.clone();
            Box::pin(async move {
                {
                    let mut counts = scripted.counts.lock().unwrap();
                    *counts = (counts.0 + 1, counts.1 + 1, counts.2.max(counts.1 + 1));
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
                scripted.counts.lock().unwrap().1 -= 1;
                scripted.answer.lock().unwrap().clone()
            })
        }
    }

    fn scripted() -> Scripted {
        Scripted { answer: Arc::new(Mutex::new(Ok(()))), counts: Arc::default() }
    }

    async fn send(paced: &Paced<Scripted>, count: usize) -> Vec<Result<(), ProviderError>> {
        futures_util::future::join_all((0..count).map(|_| Mailer::send(paced, email_to(1, "a@b.test")))).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_backlog_begins_with_one_call_and_rises_to_the_limit() {
        let inner = scripted();
        let paced = Paced::new(inner.clone(), 8, 0, 10_000);
        let began = Instant::now();
        assert!(send(&paced, 100).await.iter().all(Result::is_ok));
        let (calls, _, at_once) = *inner.counts.lock().unwrap();
        assert_eq!((calls, at_once), (100, 8));
        // 1 + 2 + 4 + 8 and then 8 a second.
        assert_eq!(began.elapsed().as_secs(), 4 + 11);
        *inner.answer.lock().unwrap() = Err(ProviderError::Open { retry_in_ms: 9 });
        send(&paced, 1).await;
        *inner.answer.lock().unwrap() = Ok(());
        *inner.counts.lock().unwrap() = (0, 0, 0);
        let again = tokio::time::timeout(Duration::from_millis(900), send(&paced, 100)).await;
        assert!(again.is_err());
        assert_eq!(inner.counts.lock().unwrap().0, 1, "after an open breaker it begins with one again");
    }

    /// Answers no call but those to one address.
    #[derive(Clone, Default)]
    struct Hanging(Arc<std::sync::atomic::AtomicUsize>);

    impl Mailer for Hanging {
        fn send(&self, email: Email) -> Call<()> {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let is_answered = email.to.as_str() == "good@b.test";
            Box::pin(async move { if is_answered { Ok(()) } else { std::future::pending().await } })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_hang_hold_up_others_no_longer_than_that_and_are_never_more_than_the_most() {
        let inner = Hanging::default();
        let paced = Paced::new(inner.clone(), 3, 0, 10_000);
        let hanging = tokio::spawn(Mailer::send(&paced, email_to(1, "a@b.test")));
        tokio::task::yield_now().await;
        let began = Instant::now();
        assert_eq!(Mailer::send(&paced, email_to(9, "good@b.test")).await, Ok(()));
        assert_eq!(began.elapsed().as_secs(), 10, "after the one that was before it");
        assert_eq!(Mailer::send(&paced, email_to(9, "good@b.test")).await, Ok(()));
        assert_eq!(began.elapsed().as_secs(), 10, "and now it is quick");
        let many = (0..10).map(|number| tokio::spawn(Mailer::send(&paced, email_to(number, "a@b.test"))));
        let many: Vec<_> = many.collect();
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(inner.0.load(std::sync::atomic::Ordering::SeqCst), 1 + 2 + 2, "three at a time");
        drop((hanging, many));
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_a_second_and_no_more() {
        let inner = scripted();
        let paced = Paced::new(inner.clone(), 100, 5, 10_000);
        let began = Instant::now();
        send(&paced, 51).await;
        assert!((10..=16).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_party_that_takes_nothing_is_left_alone_for_longer_each_time() {
        let inner = scripted();
        let paced = Paced::new(inner.clone(), 8, 0, 10_000);
        *inner.answer.lock().unwrap() = Err(ProviderError::Busy { retry_in_ms: 1_000, reason: "full".to_owned() });
        for (round, hold_ms) in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000].into_iter().enumerate() {
            send(&paced, 1).await;
            let held = send(&paced, 50).await;
            let busy = Err(ProviderError::Busy { retry_in_ms: hold_ms, reason: "it accepts nothing for now".to_owned() });
            assert_eq!(held, vec![busy; 50], "round {round}");
            assert_eq!(inner.counts.lock().unwrap().0, round + 1, "nothing was sent meanwhile");
            tokio::time::sleep(Duration::from_millis(hold_ms)).await;
        }
        *inner.answer.lock().unwrap() = Ok(());
        assert_eq!(send(&paced, 3).await, vec![Ok(()); 3]);
    }
}
