//! The messages of one partition that are under way, and up to where it is done.

use std::collections::VecDeque;

/// What was taken from one partition and is not committed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Window {
    /// Offsets in order, and whether each is done.
    taken: VecDeque<(i64, bool)>,
    /// How many are not done.
    waiting: usize,
    /// Where the partition goes on after a restart; none while nothing is done.
    next: Option<i64>,
    /// What of it is committed.
    committed: Option<i64>,
    /// What comes next, as far as is known.
    at: Option<i64>,
}

impl Window {
    /// Of a partition that is committed up to there.
    pub(super) fn beginning_at(committed: Option<i64>) -> Self {
        Self { committed, at: committed, ..Self::default() }
    }

    /// What comes next, as far as is known.
    pub(super) fn at(&self) -> Option<i64> {
        self.at
    }

    /// There is no message before `next` that was not taken. While messages are under way, that must wait.
    pub(super) fn pass_to(&mut self, next: i64) {
        if self.taken.is_empty() && self.at.is_none_or(|at| next > at) {
            self.next = Some(next);
            self.at = Some(next);
        }
    }

    /// A message was taken; offsets only grow.
    pub(super) fn take(&mut self, offset: i64) {
        self.taken.push_back((offset, false));
        self.waiting += 1;
        self.at = Some(offset + 1);
    }

    /// A message is done with.
    pub(super) fn done(&mut self, offset: i64) {
        if let Ok(at) = self.taken.binary_search_by_key(&offset, |(taken, _)| *taken)
            && let Some((_, is_done)) = self.taken.get_mut(at)
            && !std::mem::replace(is_done, true)
        {
            self.waiting -= 1;
        }
        while let Some((offset, true)) = self.taken.front().copied() {
            self.taken.pop_front();
            self.next = Some(offset + 1);
        }
    }

    /// Messages that are not done.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Messages that hold room: those after the slowest count too, as they are taken again if the node ends now.
    pub(super) fn held(&self) -> usize {
        self.taken.len()
    }

    /// The offset to commit, if it has moved: that of the lowest message that is not done.
    pub(super) fn take_commit(&mut self) -> Option<i64> {
        let next = self.next.filter(|_| self.must_commit())?;
        self.committed = Some(next);
        Some(next)
    }

    /// Whether there is something to commit that is not being committed.
    pub(super) fn must_commit(&self) -> bool {
        self.next.is_some() && self.committed != self.next
    }

    /// Where it goes on after a restart, if that may not be committed yet.
    pub(super) fn last_commit(&self, is_committing: bool) -> Option<i64> {
        self.next.filter(|_| is_committing || self.must_commit())
    }

    /// What was to be committed was not.
    pub(super) fn not_committed(&mut self) {
        self.committed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_unfinished_message_is_where_a_restart_begins() {
        let mut window = Window::default();
        assert_eq!(window.take_commit(), None);
        for offset in [5, 6, 9, 10] {
            window.take(offset);
        }
        window.done(6);
        window.done(9);
        assert_eq!((window.take_commit(), window.waiting(), window.held()), (None, 2, 4), "5 is not done");
        window.done(5);
        assert_eq!((window.take_commit(), window.take_commit()), (Some(10), None), "said once");
        window.not_committed();
        assert_eq!(window.take_commit(), Some(10));
        window.pass_to(20);
        assert_eq!((window.take_commit(), window.at()), (None, Some(11)), "10 is not done");
        window.done(10);
        window.done(10);
        assert_eq!((window.take_commit(), window.waiting(), window.held()), (Some(11), 0, 0));
        window.pass_to(13);
        window.pass_to(12);
        assert_eq!((window.take_commit(), window.at()), (Some(13), Some(13)), "past the marker of a transaction");
        assert_eq!((window.must_commit(), window.last_commit(false), window.last_commit(true)), (false, None, Some(13)));
        let mut again = Window::beginning_at(Some(13));
        assert_eq!((again.take_commit(), again.at()), (None, Some(13)));
        again.pass_to(14);
        assert_eq!(again.take_commit(), Some(14));
    }
}
