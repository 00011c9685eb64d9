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

type Watched = HashMap<OrderId, watch::Sender<Option<Change>>>;

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
        let changes = watched.entry(order).or_insert_with(|| watch::channel(None).0).subscribe();
        self.count.store(watched.len(), Ordering::Release);
        Watch { live: self.clone(), order, changes }
    }

    /// Tells the watchers of an order that it changed; call after the change is stored.
    pub fn tell(&self, order: OrderId, change: Change) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        if let Some(sender) = self.lock().get(&order) {
            sender.send_replace(Some(change));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Waits for the next change; those that were told since the last call are folded into the newest.
    pub async fn changed(&mut self) -> Option<Change> {
        self.changes.changed().await.ok()?;
        *self.changes.borrow_and_update()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.live.lock();
        let is_last = watched.get(&self.order).is_some_and(|sender| sender.receiver_count() <= 1);
        if is_last {
            watched.remove(&self.order);
            self.live.count.store(watched.len(), Ordering::Release);
        }
    }
}
