//! Who waits for an order to change: level-triggered, so nothing is missed and nothing is queued.

use crate::domain::{OrderId, OrderStatus};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The last change of an order that was seen since the watch began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// Its status; the stored record says the same or more.
    pub status: OrderStatus,
    /// Whether nothing is owed any more.
    pub settled: bool,
}

type Watched = HashMap<OrderId, Watchers>;

/// The watchers of one order. They are counted here, under the map's lock: a receiver that is being dropped still counts for its
/// channel, so two that leave at once would each take the other for one that stays.
struct Watchers {
    sender: watch::Sender<Option<Change>>,
    count: usize,
}

/// The orders that somebody watches. Cheap to clone; telling a change costs one atomic load while nobody watches.
#[derive(Clone, Default)]
pub struct Live {
    watched: Arc<Mutex<Watched>>,
    count: Arc<AtomicUsize>,
}

/// One watcher of one order; dropped, it watches no more.
pub struct Watch {
    live: Live,
    order: OrderId,
    changes: watch::Receiver<Option<Change>>,
}

impl Live {
    /// Starts to watch. Read the stored order after this, so that no change falls between.
    #[must_use]
    pub fn watch(&self, order: OrderId) -> Watch {
        let mut watched = self.lock();
        let watchers = watched.entry(order).or_insert_with(|| Watchers { sender: watch::channel(None).0, count: 0 });
        watchers.count += 1;
        let changes = watchers.sender.subscribe();
        self.count.store(watched.len(), Ordering::Release);
        Watch { live: self.clone(), order, changes }
    }

    /// Tells the watchers of an order that it changed; call after the change is stored.
    pub fn tell(&self, order: OrderId, change: Change) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        if let Some(watchers) = self.lock().get(&order) {
            watchers.sender.send_replace(Some(change));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Waits for the next change; several changes since the last call count as one, with the newest value.
    pub async fn changed(&mut self) -> Option<Change> {
        self.changes.changed().await.ok()?;
        *self.changes.borrow_and_update()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.live.lock();
        let Some(watchers) = watched.get_mut(&self.order) else { return };
        watchers.count -= 1;
        if watchers.count == 0 {
            watched.remove(&self.order);
            self.live.count.store(watched.len(), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(number: u8) -> OrderId {
        OrderId::from_parts(1, [number; 10])
    }

    fn watched(live: &Live) -> usize {
        live.count.load(Ordering::Acquire)
    }

    #[test]
    fn two_watchers_that_leave_at_once_leave_nothing_behind() {
        let live = Live::default();
        let (first, second) = (live.watch(order(1)), live.watch(order(1)));
        // Of a watcher that leaves, its receiver is the last to go: another one leaves meanwhile.
        let leaving = second.changes.clone();
        drop(first);
        assert_eq!(watched(&live), 1);
        drop(second);
        assert_eq!(watched(&live), 0);
        drop(leaving);
    }

    #[tokio::test]
    async fn who_stays_is_told_and_other_orders_are_not_watched() {
        let live = Live::default();
        let (leaves, mut stays) = (live.watch(order(1)), live.watch(order(1)));
        drop(leaves);
        let change = Change { status: OrderStatus::Confirmed, settled: true };
        live.tell(order(2), Change { settled: false, ..change });
        live.tell(order(1), change);
        assert_eq!(stays.changed().await, Some(change));
        drop(stays);
        assert_eq!(watched(&live), 0);
    }
}
