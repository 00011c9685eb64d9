//! The events and markers of one batch.

use crate::domain::{Event, LoggedEvent, Marker, Order};
use crate::saga::{Record, sale};
use std::sync::Arc;

/// The writer's log as the batch extends it.
pub(in crate::db) struct Log {
    /// Its end so far.
    pub(in crate::db) last_seq: i64,
    pub(in crate::db) events: Vec<LoggedEvent>,
    pub(in crate::db) markers: Vec<(i64, Marker)>,
}

impl Log {
    pub(super) fn add(&mut self, event: Event) {
        self.last_seq += 1;
        self.events.push(LoggedEvent { seq: self.last_seq, event, sale: None });
    }

    /// An event of the order role; `saved` is the order as this write leaves it.
    pub(super) fn add_told(&mut self, event: &Event, order: &Arc<Order>, record: &Record) {
        self.last_seq += 1;
        self.events.push(LoggedEvent { seq: self.last_seq, event: event.clone(), sale: sale(order, record, event.kind()) });
    }

    pub(super) fn mark(&mut self, marker: Marker) {
        self.last_seq += 1;
        self.markers.push((self.last_seq, marker));
    }
}
