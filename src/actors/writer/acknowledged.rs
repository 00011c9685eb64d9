//! The orders that were answered last, by the commit that stored them: what is lost when the database turns out to be older.

use crate::domain::{EventKind, LoggedEvent, OrderId, WriterId};
use std::collections::{BTreeMap, VecDeque};

/// So many are remembered.
const MOST: usize = 20_000;

/// The orders of this node's writers, one after the other: one that was fenced may have lost commits too.
#[derive(Default)]
pub(super) struct Acknowledged(VecDeque<(WriterId, i64, OrderId)>);

impl Acknowledged {
    /// The commit of this number is stored, with these events.
    pub(super) fn note(&mut self, writer: WriterId, commit: i64, events: &[LoggedEvent]) {
        for placed in events.iter().filter(|logged| logged.event.kind() == EventKind::OrderCreated) {
            if self.0.len() >= MOST {
                self.0.pop_front();
            }
            self.0.push_back((writer, commit, placed.event.order));
        }
    }

    /// The writers of which orders are remembered, the last one first.
    pub(super) fn writers(&self) -> Vec<WriterId> {
        let mut writers: Vec<WriterId> = self.0.iter().map(|(writer, ..)| *writer).collect();
        writers.dedup();
        writers.reverse();
        writers
    }

    /// The orders of later commits than these, oldest first; of a writer that is not named nothing is lost.
    pub(super) fn after(&self, kept: &BTreeMap<WriterId, i64>) -> Vec<OrderId> {
        let is_lost = |(writer, commit, _): &&(WriterId, i64, OrderId)| kept.get(writer).is_some_and(|kept| commit > kept);
        self.0.iter().filter(is_lost).map(|(.., order)| *order).collect()
    }
}
