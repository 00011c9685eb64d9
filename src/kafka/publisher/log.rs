//! Where the publishing of one log stands.

use super::acks::Acks;
use crate::domain::WriterId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// One log that this node publishes.
#[derive(Debug)]
pub(super) struct Log {
    /// Whose.
    pub(super) writer: WriterId,
    /// The last number that was handed to the producer or passed over.
    pub(super) next: i64,
    /// As far as is known, the log's end.
    pub(super) end: i64,
    /// What stands in the way: that log must be published to that number first.
    pub(super) block: Option<(WriterId, i64)>,
    /// What of it is acknowledged.
    pub(super) acks: Arc<Acks>,
    /// Up to where it is stored as published.
    pub(super) marked: Arc<AtomicI64>,
    /// Whether that is being stored now.
    pub(super) marking: Arc<AtomicBool>,
}

/// What to do with a commit of the log that is at hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fed {
    /// It follows what was sent: send what is new of it.
    Send,
    /// It was sent before.
    Old,
    /// It does not follow, or its numbers are not all events: read the log.
    Read,
}

impl Log {
    /// A log that is published up to `published`.
    pub(super) fn new(writer: WriterId, published: i64, end: i64) -> Self {
        Self {
            writer,
            next: published,
            end,
            block: None,
            acks: Arc::new(Acks::new(published)),
            marked: Arc::new(AtomicI64::new(published)),
            marking: Arc::default(),
        }
    }

    /// Looks at a commit that holds the numbers after `after` to `to`, `events` of them events.
    pub(super) fn fed(&mut self, after: i64, to: i64, events: usize) -> Fed {
        self.end = self.end.max(to);
        if to <= self.next {
            return Fed::Old;
        }
        let is_whole = i64::try_from(events) == Ok(to - after);
        if after <= self.next && is_whole && self.block.is_none() { Fed::Send } else { Fed::Read }
    }

    /// Whether there is more to send than was sent, and nothing stands in the way.
    pub(super) fn is_behind(&self) -> bool {
        self.block.is_none() && self.next < self.end
    }

    /// Whether everything is published, and stored as such.
    pub(super) fn is_done(&self) -> bool {
        self.marked.load(Ordering::Acquire) >= self.end
    }

    /// The point that could be stored now, if nobody stores one.
    pub(super) fn to_mark(&self) -> Option<i64> {
        let low = self.acks.low();
        let is_due = low > self.marked.load(Ordering::Acquire) && !self.marking.swap(true, Ordering::AcqRel);
        is_due.then_some(low)
    }

    /// The producer is gone: what it did not acknowledge is sent again.
    pub(super) fn rewind(&mut self) {
        let low = self.acks.low();
        self.next = low;
        self.block = None;
        self.acks = Arc::new(Acks::new(low));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_sent_where_it_follows_and_read_where_it_does_not() {
        let mut log = Log::new(WriterId(1), 10, 10);
        let cases = [
            ((10, 12, 2), Fed::Send, "it follows"),
            ((8, 12, 4), Fed::Send, "it overlaps"),
            ((5, 10, 5), Fed::Old, "it was sent"),
            ((11, 12, 1), Fed::Read, "one before it is missing"),
            ((10, 12, 1), Fed::Read, "a marker is in it"),
        ];
        for ((after, to, events), want, why) in cases {
            assert_eq!(log.fed(after, to, events), want, "{why}");
        }
        assert_eq!((log.end, log.is_behind()), (12, true));
        log.block = Some((WriterId(2), 7));
        assert_eq!((log.fed(10, 12, 2), log.is_behind()), (Fed::Read, false));
    }

    #[test]
    fn a_point_is_stored_by_one_at_a_time_and_only_when_it_has_moved() {
        let mut log = Log::new(WriterId(1), 10, 12);
        assert_eq!(log.to_mark(), None);
        log.marking.store(false, Ordering::Release);
        log.acks.sent(11);
        log.acks.acked(11);
        assert_eq!((log.to_mark(), log.to_mark()), (Some(11), None));
        log.next = 12;
        log.rewind();
        assert_eq!((log.next, log.acks.low()), (11, 11));
    }
}
