//! Keeps the messages of one order one after the other.

use crate::domain::OrderId;
use std::collections::{BTreeMap, VecDeque};

/// Who waits behind whom: an order has a lane while one of its messages is under way.
#[derive(Debug)]
pub(super) struct Lanes<T>(BTreeMap<OrderId, VecDeque<T>>);

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Lanes<T> {
    /// Whether something of that order is under way.
    pub(super) fn is_busy(&self, order: OrderId) -> bool {
        self.0.contains_key(&order)
    }

    /// Takes the lane for something other than a message, if it is free.
    pub(super) fn try_take(&mut self, order: OrderId) -> bool {
        if self.is_busy(order) {
            return false;
        }
        self.0.insert(order, VecDeque::new());
        true
    }

    /// What can begin now: `item` itself, or nothing while it waits.
    pub(super) fn enter(&mut self, order: OrderId, item: T) -> Option<T> {
        match self.0.get_mut(&order) {
            Some(lane) => {
                lane.push_back(item);
                None
            }
            None => {
                self.0.insert(order, VecDeque::new());
                Some(item)
            }
        }
    }

    /// What was under way is done: what begins next.
    pub(super) fn leave(&mut self, order: OrderId) -> Option<T> {
        let next = self.0.get_mut(&order)?.pop_front();
        if next.is_none() {
            self.0.remove(&order);
        }
        next
    }

    /// Forgets what waits and is not to be kept.
    pub(super) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.0.values_mut().for_each(|lane| lane.retain(&keep));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orders_messages_wait_for_each_other_and_for_nobody_else() {
        let (one, other) = (OrderId::from_parts(1, [1; 10]), OrderId::from_parts(1, [2; 10]));
        let mut lanes = Lanes::default();
        assert_eq!((lanes.enter(one, 1), lanes.enter(one, 2), lanes.enter(other, 3)), (Some(1), None, Some(3)));
        assert_eq!((lanes.enter(one, 4), lanes.leave(one), lanes.try_take(one)), (None, Some(2), false));
        lanes.retain(|item| *item != 4);
        assert_eq!((lanes.leave(one), lanes.is_busy(one), lanes.try_take(one)), (None, false, true));
        assert_eq!((lanes.leave(other), lanes.is_busy(other)), (None, false));
    }
}
