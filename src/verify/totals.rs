//! Sums of all time, of the log or of the orders.

use crate::domain::analytics::{PRODUCT_TOTAL, TOTAL};
use crate::domain::{AnalyticsRow, LoggedEvent, Order, Tally};
use crate::saga::{Record, replay};
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many increments may gather before they are summed.
const TALLY_ROWS: usize = 50_000;

/// Sums of all time, by metric and by product.
#[derive(Default)]
pub(super) struct Totals {
    pub(super) tally: Tally,
    pub(super) sums: BTreeMap<(u8, Vec<u8>), i64>,
}

impl Totals {
    /// Counts an event of the log.
    pub(super) fn count(&mut self, logged: &LoggedEvent) {
        self.tally.count(logged);
        self.sum_up(TALLY_ROWS);
    }

    /// Counts what an order's record tells.
    pub(super) fn tell(&mut self, order: &Arc<Order>, record: &Record) {
        replay(order, record, &mut self.tally);
        self.sum_up(TALLY_ROWS);
    }

    pub(super) fn sum_up(&mut self, at_least: usize) {
        if self.tally.weight() >= at_least {
            self.tally.take().iter().for_each(|row| add(&mut self.sums, row));
        }
    }
}

/// Adds a row of all time. Reasons are not told apart: who asked first for an order's end may be recorded after the end was begun.
pub(super) fn add(sums: &mut BTreeMap<(u8, Vec<u8>), i64>, row: &AnalyticsRow) {
    let key = match row.minute {
        TOTAL => Vec::new(),
        PRODUCT_TOTAL => row.key.clone(),
        _ => return,
    };
    let sum = sums.entry((row.metric, key)).or_insert(0);
    *sum = sum.saturating_add(row.value);
}
