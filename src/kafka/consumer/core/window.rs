//! The messages of one partition that are under way, and up to where it is done.

use std::collections::VecDeque;

/// What was taken from one partition and is not done.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Window {
    /// Offsets in order, and whether each is done.
    taken: VecDeque<(i64, bool)>,
    /// How many are not done.
    waiting: usize,
    /// Where the partition goes on after a restart; none where it began at its beginning and nothing is done.
    next: Option<i64>,
    /// What comes next, as far as is known.
    at: Option<i64>,
}

impl Window {
    /// Of a partition that is done up to there.
    pub(super) fn beginning_at(next: Option<i64>) -> Self {
        Self { next, at: next, ..Self::default() }
    }

    /// Where it goes on after a restart: the lowest message that is not done.
    pub(super) fn next(&self) -> Option<i64> {
        self.next
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_unfinished_message_is_where_a_restart_begins() {
        let mut window = Window::default();
        assert_eq!(window.next(), None);
        for offset in [5, 6, 9, 10] {
            window.take(offset);
        }
        window.done(6);
        window.done(9);
        assert_eq!((window.next(), window.waiting(), window.held()), (None, 2, 4), "5 is not done");
        window.done(5);
        assert_eq!(window.next(), Some(10));
        window.pass_to(20);
        assert_eq!((window.next(), window.at()), (Some(10), Some(11)), "10 is not done");
        window.done(10);
        window.done(10);
        assert_eq!((window.next(), window.waiting(), window.held()), (Some(11), 0, 0));
        window.pass_to(13);
        window.pass_to(12);
        assert_eq!((window.next(), window.at()), (Some(13), Some(13)), "past the marker of a transaction");
        let mut again = Window::beginning_at(Some(13));
        assert_eq!((again.next(), again.at()), (Some(13), Some(13)));
        again.pass_to(14);
        assert_eq!(again.next(), Some(14));
    }
}
