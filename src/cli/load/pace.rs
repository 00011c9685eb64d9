//! Who sends which order when. Closed loop: each connection takes the next order as soon as it is free. Open loop: order `n` is
//! due at `n / rate` after the start whatever the node does, and its latency counts from then, so a stall of the node shows in
//! the latency of all the orders that were due meanwhile (no coordinated omission).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// At high rates the orders that fall due within this time are given out together: one wake-up for many orders.
const MIN_STEP: Duration = Duration::from_micros(100);

/// One order to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    pub(crate) number: u64,
    /// From when its latency counts.
    pub(crate) intended: Instant,
}

/// Gives out the tickets of a run.
pub(crate) struct Tickets {
    taken: AtomicU64,
    limit: u64,
    started: Instant,
    rate: Option<f64>,
    due: Arc<Due>,
}

struct Due {
    permits: Semaphore,
    given: AtomicU64,
    stopped: AtomicBool,
}

impl Tickets {
    /// At most `limit` tickets; with a `rate` by the clock. Ends by itself at the limit, else by [`Tickets::stop`].
    pub(crate) fn start(limit: Option<u64>, rate: Option<f64>) -> Self {
        let due = Arc::new(Due { permits: Semaphore::new(0), given: AtomicU64::new(0), stopped: AtomicBool::new(false) });
        let tickets = Self { taken: AtomicU64::new(0), limit: limit.unwrap_or(u64::MAX), started: Instant::now(), rate, due };
        if let Some(rate) = rate {
            let (due, started, limit) = (tickets.due.clone(), tickets.started, tickets.limit);
            // A thread of its own: the runtime's timer is exact to a millisecond only, which would be most of a fast answer.
            std::thread::spawn(move || due.keep_time(started, rate, limit));
        }
        tickets
    }

    /// When the run began.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The next order, when it is due; `None` when there are no more.
    pub(crate) async fn next(&self) -> Option<Ticket> {
        match self.rate {
            None => {
                if self.due.stopped.load(Ordering::Relaxed) {
                    return None;
                }
            }
            Some(_) => self.due.permits.acquire().await.ok()?.forget(),
        }
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        if number >= self.limit {
            return None;
        }
        if number + 1 == self.limit {
            // The last one: who waits for another waits in vain.
            self.stop();
        }
        let intended = self.rate.map_or_else(Instant::now, |rate| self.started + due_after(number, rate));
        Some(Ticket { number, intended })
    }

    /// Gives out no more.
    pub(crate) fn stop(&self) {
        self.due.stopped.store(true, Ordering::Relaxed);
        self.due.permits.close();
    }

    /// Orders that were given out.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed).min(self.limit)
    }

    /// Orders that were due and that no connection was free to take.
    pub(crate) fn left_over(&self) -> u64 {
        self.due.given.load(Ordering::Relaxed).saturating_sub(self.taken())
    }
}

impl Due {
    fn keep_time(&self, started: Instant, rate: f64, limit: u64) {
        let mut given = 0u64;
        while !self.stopped.load(Ordering::Relaxed) && given < limit {
            let mut fresh = 0;
            while given + fresh < limit && due_after(given + fresh, rate) <= started.elapsed() {
                fresh += 1;
            }
            given += fresh;
            self.given.store(given, Ordering::Relaxed);
            if fresh > 0 {
                self.permits.add_permits(usize::try_from(fresh).unwrap_or(0));
            }
            let wait = due_after(given, rate).saturating_sub(started.elapsed());
            // Bounded, so that a stop is seen soon also at a low rate.
            std::thread::park_timeout(wait.clamp(MIN_STEP, Duration::from_millis(100)));
        }
    }
}

/// When order `number` is due after the start.
fn due_after(number: u64, rate: f64) -> Duration {
    Duration::try_from_secs_f64(number as f64 / rate).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_closed_loop_gives_out_its_limit_and_ends() {
        let tickets = Tickets::start(Some(3), None);
        for number in 0..3 {
            assert_eq!(tickets.next().await.unwrap().number, number);
        }
        assert!(tickets.next().await.is_none());
        assert!(tickets.next().await.is_none());
        assert_eq!(tickets.left_over(), 0);
    }

    #[tokio::test]
    async fn an_open_loop_gives_out_by_the_clock_whoever_waits() {
        let tickets = Tickets::start(Some(50), Some(1000.0));
        let mut last = None;
        while let Some(ticket) = tickets.next().await {
            assert!(ticket.intended <= Instant::now());
            assert_eq!(ticket.intended, tickets.started() + Duration::from_millis(ticket.number));
            last = Some(ticket.number);
        }
        assert_eq!(last, Some(49));
        assert!(tickets.started().elapsed() >= Duration::from_millis(49));
    }

    #[tokio::test]
    async fn what_was_due_and_not_taken_is_left_over() {
        let tickets = Tickets::start(Some(20), Some(10_000.0));
        assert!(tickets.next().await.is_some());
        while tickets.left_over() < 19 {
            tokio::task::yield_now().await;
        }
        tickets.stop();
        assert!(tickets.next().await.is_none());
        assert_eq!(tickets.left_over(), 19);
    }
}
