//! Which numbers of a log the brokers have acknowledged. They come out of order, as each partition has its own way.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// The acknowledged numbers of one log, as one producer sees them.
#[derive(Debug)]
pub(super) struct Acks(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    /// All numbers up to this one are acknowledged.
    low: i64,
    /// Of the numbers after `low` that were sent: whether they are acknowledged.
    done: VecDeque<bool>,
    /// How many of them are not.
    waiting: usize,
}

impl Acks {
    /// Everything up to `low` is acknowledged.
    pub(super) fn new(low: i64) -> Self {
        Self(Mutex::new(Inner { low, done: VecDeque::new(), waiting: 0 }))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All numbers up to this one are acknowledged.
    pub(super) fn low(&self) -> i64 {
        self.with(|inner| inner.low)
    }

    /// Numbers that were sent and are not acknowledged.
    pub(super) fn waiting(&self) -> usize {
        self.with(|inner| inner.waiting)
    }

    /// `seq` is about to be sent. Numbers that were left out before it are no events.
    pub(super) fn sent(&self, seq: i64) {
        self.with(|inner| {
            inner.pass_to(seq - 1);
            if seq > inner.end() {
                inner.done.push_back(false);
                inner.waiting += 1;
            }
        });
    }

    /// `seq` was not sent after all; it was the last one.
    pub(super) fn unsent(&self, seq: i64) {
        self.with(|inner| {
            if inner.end() == seq && inner.done.back() == Some(&false) {
                inner.done.pop_back();
                inner.waiting -= 1;
            }
        });
    }

    /// Numbers up to `seq` that were not sent are no events.
    pub(super) fn passed(&self, seq: i64) {
        self.with(|inner| {
            inner.pass_to(seq);
            inner.advance();
        });
    }

    /// `seq` is acknowledged. Returns how many still wait.
    pub(super) fn acked(&self, seq: i64) -> usize {
        self.with(|inner| {
            let index = usize::try_from(seq - inner.low - 1).ok();
            if let Some(done) = index.and_then(|index| inner.done.get_mut(index))
                && !std::mem::replace(done, true)
            {
                inner.waiting -= 1;
            }
            inner.advance();
            inner.waiting
        })
    }
}

impl Inner {
    fn end(&self) -> i64 {
        self.low + i64::try_from(self.done.len()).unwrap_or(i64::MAX)
    }

    fn pass_to(&mut self, seq: i64) {
        while self.end() < seq {
            self.done.push_back(true);
        }
    }

    fn advance(&mut self) {
        while self.done.front() == Some(&true) {
            self.done.pop_front();
            self.low += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_low_mark_waits_for_the_slowest_and_passes_over_markers() {
        let acks = Acks::new(10);
        for seq in [11, 12, 14] {
            acks.sent(seq);
        }
        assert_eq!((acks.acked(12), acks.low()), (2, 10));
        assert_eq!((acks.acked(14), acks.low()), (1, 10));
        assert_eq!((acks.acked(14), acks.low()), (1, 10), "said twice");
        assert_eq!((acks.acked(11), acks.low()), (0, 14), "13 is a marker");
        acks.passed(16);
        assert_eq!(acks.low(), 16);
        acks.sent(17);
        acks.unsent(17);
        assert_eq!((acks.waiting(), acks.low()), (0, 16));
        assert_eq!((acks.acked(99), acks.acked(3), acks.low()), (0, 0, 16), "of another life");
    }
}
