//! What has gone wrong in one payment's task, and whether it is tried again.

use crate::domain::{Failures, Timestamp};
use crate::providers::ProviderError;
use crate::saga::policy::Retry;

/// What has gone wrong in a task so far.
#[derive(Default)]
pub(crate) struct Trouble {
    /// Failed calls that count as tries.
    pub(crate) failures: u32,
    /// Those since the last of them that say nothing about this order: the provider was away, for everybody.
    away: u32,
    /// How many calls, of whatever order, the provider had answered at the last failure.
    answered: Option<u64>,
    /// When it began: on the cell's steady clock, how long before that, and on the wall clock.
    first_ms: Option<u64>,
    before_ms: u64,
    since: Option<Timestamp>,
    /// The last error.
    pub(crate) last: Option<ProviderError>,
}

impl Trouble {
    /// A provider that is away, and has answered nobody since, says nothing about this order: that is no try.
    pub(crate) fn add(&mut self, error: ProviderError, (now_ms, now): (u64, Timestamp), answered: Option<u64>) {
        if error.is_away() && answered.is_some() && answered == self.answered {
            self.away += 1;
        } else {
            (self.failures, self.away) = (self.failures + 1, 0);
        }
        self.answered = answered;
        self.first_ms.get_or_insert(now_ms);
        self.since.get_or_insert(now);
        self.last = Some(error);
    }

    /// Goes on from what is stored of an earlier task, on another node perhaps.
    pub(crate) fn resume(&mut self, stored: Option<Failures>, (now_ms, now): (u64, Timestamp)) {
        let Some(Failures { count, since }) = stored.filter(|_| self.first_ms.is_none()) else { return };
        self.failures = self.failures.max(count);
        (self.first_ms, self.before_ms, self.since) = (Some(now_ms), now.ms_since(since), Some(since));
    }

    /// What is to be stored of it.
    pub(crate) fn to_store(&self) -> Option<Failures> {
        self.since.map(|since| Failures { count: self.failures, since })
    }

    pub(crate) fn calls(&self) -> u32 {
        self.failures.saturating_add(self.away)
    }

    /// The wait before the next try; none when it was tried often or long enough.
    pub(crate) fn next(&self, retry: Retry, left_ms: u64) -> Option<u64> {
        let is_left = left_ms > 0 && retry.next(self.failures).is_some();
        is_left.then(|| retry.backoff.after(self.calls()).min(left_ms))
    }

    /// How long it may still be tried, once something has failed.
    pub(crate) fn left(&self, now_ms: u64, most_ms: u64) -> Option<u64> {
        self.first_ms.map(|first_ms| first_ms.saturating_add(most_ms).saturating_sub(now_ms.saturating_add(self.before_ms)))
    }
}
