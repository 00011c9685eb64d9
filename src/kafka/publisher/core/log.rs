//! Where the publishing of one log stands.

use super::acks::Acks;
use crate::domain::WriterId;

/// One log that this node publishes.
#[derive(Debug)]
pub(super) struct Log {
    /// Whose.
    pub(super) writer: WriterId,
    /// The last number that was sent or passed over.
    pub(super) next: i64,
    /// As far as is known, the log's end.
    pub(super) end: i64,
    /// What stands in the way: that log must be published to that number first.
    pub(super) block: Option<(WriterId, i64)>,
    /// What of it is acknowledged.
    acks: Acks,
    /// Up to where it is stored as published.
    marked: i64,
    /// Whether that is being stored now.
    is_marking: bool,
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
        Self { writer, next: published, end, block: None, acks: Acks::new(published), marked: published, is_marking: false }
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

    /// Whether everything is sent, as far as is known, so that nothing could be overtaken.
    pub(super) fn is_level(&self) -> bool {
        self.block.is_none() && self.next >= self.end
    }

    /// Whether everything is published, and stored as such.
    pub(super) fn is_done(&self) -> bool {
        self.marked >= self.end
    }

    /// `seq` is sent now.
    pub(super) fn sent(&mut self, seq: i64) {
        self.acks.sent(seq);
        self.next = seq;
    }

    /// `seq`, the last one that was sent, was not taken.
    pub(super) fn unsent(&mut self, seq: i64) {
        self.acks.unsent(seq);
        self.next = self.next.min(seq - 1);
    }

    /// `seq` is a marker, and behind.
    pub(super) fn passed(&mut self, seq: i64) {
        self.acks.passed(seq);
        self.next = seq;
    }

    /// `seq` is acknowledged.
    pub(super) fn acked(&mut self, seq: i64) {
        self.acks.acked(seq);
    }

    /// Up to where everything is acknowledged.
    pub(super) fn low(&self) -> i64 {
        self.acks.low()
    }

    /// Events that are sent and not acknowledged.
    pub(super) fn waiting(&self) -> usize {
        self.acks.waiting()
    }

    /// The point that is reached and not stored.
    pub(super) fn unmarked(&self) -> Option<i64> {
        Some(self.low()).filter(|low| *low > self.marked)
    }

    /// The same, if no point is being stored; from now on one is.
    pub(super) fn begin_mark(&mut self) -> Option<i64> {
        let due = self.unmarked().filter(|_| !self.is_marking)?;
        self.is_marking = true;
        Some(due)
    }

    /// The storing of `seq` has ended.
    pub(super) fn end_mark(&mut self, seq: i64, is_stored: bool) {
        self.is_marking = false;
        if is_stored {
            self.marked = self.marked.max(seq);
        }
    }

    /// The producer is gone: what it did not acknowledge is sent again.
    pub(super) fn rewind(&mut self) {
        let low = self.low();
        self.next = low;
        self.block = None;
        self.acks = Acks::new(low);
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
        assert_eq!(log.begin_mark(), None);
        log.sent(11);
        log.acked(11);
        assert_eq!((log.begin_mark(), log.begin_mark()), (Some(11), None));
        log.end_mark(11, false);
        assert_eq!(log.begin_mark(), Some(11), "it was not stored");
        log.end_mark(11, true);
        assert_eq!(log.begin_mark(), None);
        log.sent(12);
        log.rewind();
        assert_eq!((log.next, log.low(), log.waiting()), (11, 11, 0));
    }
}
