//! The orders of which a message is a dead letter: the later ones wait until a person has dealt with it.

use crate::domain::OrderId;
use std::collections::BTreeSet;

/// Orders that are looked at in one tick.
const A_TICK: usize = 50;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Parked {
    orders: BTreeSet<OrderId>,
    /// Those that are still to be looked at in this round.
    round: Vec<OrderId>,
    /// Whether it is being looked for more of them.
    is_finding: bool,
}

impl Parked {
    pub(super) fn has(&self, order: OrderId) -> bool {
        self.orders.contains(&order)
    }

    pub(super) fn add(&mut self, orders: impl IntoIterator<Item = OrderId>) {
        self.orders.extend(orders);
    }

    pub(super) fn remove(&mut self, order: OrderId) {
        self.orders.remove(&order);
    }

    /// Forgets those that are not to be kept.
    pub(super) fn retain(&mut self, keep: impl Fn(&OrderId) -> bool) {
        self.orders.retain(&keep);
        self.round.retain(&keep);
    }

    /// Those to look at now; all have their turn.
    pub(super) fn next(&mut self) -> Vec<OrderId> {
        if self.round.is_empty() {
            self.round.extend(self.orders.iter().copied());
        }
        self.round.drain(self.round.len().saturating_sub(A_TICK)..).collect()
    }

    /// Whether nobody is looking for more of them; from now on somebody is.
    pub(super) fn begin_finding(&mut self) -> bool {
        !std::mem::replace(&mut self.is_finding, true)
    }

    /// These were found.
    pub(super) fn found(&mut self, orders: impl IntoIterator<Item = OrderId>) {
        self.is_finding = false;
        self.add(orders);
    }

    pub(super) fn len(&self) -> usize {
        self.orders.len()
    }
}
