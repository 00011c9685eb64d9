//! The orders that were answered last, by the commit that stored them: what is lost when the database turns out to be older.

use crate::domain::{EventKind, LoggedEvent, OrderId};
use std::collections::VecDeque;

/// So many are remembered.
const MOST: usize = 20_000;

#[derive(Default)]
pub(super) struct Acknowledged(VecDeque<(i64, OrderId)>);

impl Acknowledged {
    /// The commit of this number is stored, with these events.
    pub(super) fn note(&mut self, commit: i64, events: &[LoggedEvent]) {
        for placed in events.iter().filter(|logged| logged.event.kind() == EventKind::OrderCreated) {
            if self.0.len() >= MOST {
                self.0.pop_front();
            }
            self.0.push_back((commit, placed.event.order));
        }
    }

    /// The orders of later commits than this one, oldest first.
    pub(super) fn after(&self, commit: i64) -> Vec<OrderId> {
        self.0.iter().filter(|(stored, _)| *stored > commit).map(|(_, order)| *order).collect()
    }
}
