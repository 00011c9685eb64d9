//! Policies: when to try again, and when it is too late.

use super::{Record, table};
use crate::domain::{CancelledBy, OrderStatus, Timestamp};

/// Doubling delays: `first_ms`, twice that, and so on up to `most_ms`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// The delay before the second try, in milliseconds.
    pub first_ms: u64,
    /// The longest delay, in milliseconds.
    pub most_ms: u64,
}

impl Backoff {
    /// The delay after `failures` failures (at least 1), in milliseconds.
    #[must_use]
    pub fn after(self, failures: u32) -> u64 {
        let doublings = failures.saturating_sub(1).min(32);
        self.first_ms.saturating_mul(1 << doublings).min(self.most_ms)
    }
}

/// A limited number of retries with [`Backoff`] between them. The specification asks for 3 retries, after 1, 2 and 4 s.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retry {
    /// Number of retries of a failed step.
    pub retries: u32,
    /// The delays.
    pub backoff: Backoff,
}

impl Retry {
    /// The delay before the next try after `failures` failures, in milliseconds; `None` if the step is given up.
    #[must_use]
    pub fn next(self, failures: u32) -> Option<u64> {
        (failures <= self.retries).then(|| self.backoff.after(failures))
    }
}

/// Retries until a time has passed, with [`Backoff`] between them: for a party that says "not now", and may do so for hours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// How long to keep trying, in milliseconds.
    pub longest_ms: u64,
    /// The delays.
    pub backoff: Backoff,
}

impl Patience {
    /// The delay before the next try after `failures` failures of something that began `waited_ms` ago, in milliseconds; `None` if that
    /// would be too late.
    #[must_use]
    pub fn next(self, failures: u32, waited_ms: u64) -> Option<u64> {
        self.in_time(self.backoff.after(failures), waited_ms)
    }

    /// The delay before the next try at a party that is down, in milliseconds: as long as it has waited already, within the limits of
    /// `backoff`. `None` if that would be too late.
    #[must_use]
    pub fn while_away(self, backoff: Backoff, waited_ms: u64) -> Option<u64> {
        self.in_time(waited_ms.max(backoff.first_ms).min(backoff.most_ms), waited_ms)
    }

    fn in_time(self, delay: u64, waited_ms: u64) -> Option<u64> {
        (waited_ms.saturating_add(delay) <= self.longest_ms).then_some(delay)
    }
}

/// How often something may restart within a window before it counts as broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RestartLimit {
    /// Restarts allowed in the window.
    pub restarts: u32,
    /// The window, in milliseconds.
    pub window_ms: u64,
}

/// The restarts of one actor; times are milliseconds of a monotonic clock.
#[derive(Clone, Debug, Default)]
pub struct Restarts {
    recent: Vec<u64>,
}

impl Restarts {
    /// Counts a restart at `now_ms` and returns the number of restarts in the window.
    ///
    /// # Errors
    /// The limit is exceeded.
    pub fn count(&mut self, limit: RestartLimit, now_ms: u64) -> Result<u32, RestartLimitPassed> {
        self.recent.retain(|at| now_ms.saturating_sub(*at) < limit.window_ms);
        self.recent.push(now_ms);
        let count = u32::try_from(self.recent.len()).unwrap_or(u32::MAX);
        if count > limit.restarts { Err(RestartLimitPassed) } else { Ok(count) }
    }
}

/// An actor failed more often than its [`RestartLimit`] allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("restarted too often")]
pub struct RestartLimitPassed;

/// How long an order may wait before it is cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deadlines {
    /// How long stock is held without payment, in milliseconds.
    pub expiry_ms: u64,
    /// How long an order waits for the payment's answer, in milliseconds.
    pub payment_ms: u64,
}

/// When, and for which reason, the order is cancelled because it is unpaid; `None` while no such deadline runs. Goods that have left stop
/// the deadline. So does money that was taken, even if a person must still say that it belongs to the order: such an order is not unpaid.
#[must_use]
pub fn deadline(record: &Record, deadlines: Deadlines) -> Option<(Timestamp, CancelledBy)> {
    let facts = &record.facts;
    let is_paid_otherwise = record.external.as_ref().is_some_and(|kept| kept.payment.is_some());
    if table::status(facts) != OrderStatus::InventoryReserved || facts.shipment.is_some() || is_paid_otherwise {
        return None;
    }
    let (_, reserved_at) = facts.stock.as_ref()?;
    if deadlines.payment_ms <= deadlines.expiry_ms {
        Some((reserved_at.plus_ms(deadlines.payment_ms), CancelledBy::PaymentDeadline))
    } else {
        Some((reserved_at.plus_ms(deadlines.expiry_ms), CancelledBy::Expiry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_retries_are_1_2_and_4_seconds() {
        let retry = Retry { retries: 3, backoff: Backoff { first_ms: 1000, most_ms: 60_000 } };
        let delays: Vec<_> = (1..=5).map(|failures| retry.next(failures)).collect();
        assert_eq!(delays, [Some(1000), Some(2000), Some(4000), None, None]);
    }

    #[test]
    fn who_is_away_is_waited_for_twice_as_long_each_time_until_patience_ends() {
        let patience = Patience { longest_ms: 20_000, backoff: Backoff { first_ms: 1, most_ms: 1 } };
        let backoff = Backoff { first_ms: 1000, most_ms: 6000 };
        let mut waits = Vec::new();
        while let Some(delay) = patience.while_away(backoff, waits.iter().sum()) {
            waits.push(delay);
        }
        assert_eq!(waits, [1000, 1000, 2000, 4000, 6000, 6000]);
    }

    #[test]
    fn restarts_are_counted_within_the_window_only() {
        let limit = RestartLimit { restarts: 2, window_ms: 1000 };
        let mut restarts = Restarts::default();
        assert_eq!(restarts.count(limit, 0), Ok(1));
        assert_eq!(restarts.count(limit, 500), Ok(2));
        assert_eq!(restarts.count(limit, 1400), Ok(2));
        assert_eq!(restarts.count(limit, 1401), Err(RestartLimitPassed));
    }
}
