//! Which numbers of a log the brokers have acknowledged. They come out of order, as each partition has its own way.

use std::collections::VecDeque;

/// The acknowledged numbers of one log.
#[derive(Debug)]
pub(super) struct Acks {
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
        Self { low, done: VecDeque::new(), waiting: 0 }
    }

    /// All numbers up to this one are acknowledged.
    pub(super) fn low(&self) -> i64 {
        self.low
    }

    /// Numbers that were sent and are not acknowledged.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// `seq` is about to be sent. Numbers that were left out before it are no events.
    pub(super) fn sent(&mut self, seq: i64) {
        self.pass_to(seq - 1);
        if seq > self.end() {
            self.done.push_back(false);
            self.waiting += 1;
        }
    }

    /// `seq` was not sent after all; it was the last one.
    pub(super) fn unsent(&mut self, seq: i64) {
        if self.end() == seq && self.done.back() == Some(&false) {
            self.done.pop_back();
            self.waiting -= 1;
        }
    }

    /// Numbers up to `seq` that were not sent are no events.
    pub(super) fn passed(&mut self, seq: i64) {
        self.pass_to(seq);
        self.advance();
    }

    /// `seq` is acknowledged.
    pub(super) fn acked(&mut self, seq: i64) {
        let index = usize::try_from(seq - self.low - 1).ok();
        if let Some(done) = index.and_then(|index| self.done.get_mut(index))
            && !std::mem::replace(done, true)
        {
            self.waiting -= 1;
        }
        self.advance();
    }

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
        let mut acks = Acks::new(10);
        for seq in [11, 12, 14] {
            acks.sent(seq);
        }
        let cases =
            [(12, (2, 10), "11 is missing"), (14, (1, 10), "11 is missing"), (14, (1, 10), "said twice"), (11, (0, 14), "13 is a marker")];
        for (seq, want, why) in cases {
            acks.acked(seq);
            assert_eq!((acks.waiting(), acks.low()), want, "{why}");
        }
        acks.passed(16);
        assert_eq!(acks.low(), 16);
        acks.sent(17);
        acks.unsent(17);
        assert_eq!((acks.waiting(), acks.low()), (0, 16));
        for strange in [99, 3] {
            acks.acked(strange);
        }
        assert_eq!((acks.waiting(), acks.low()), (0, 16), "they were never sent");
    }
}
