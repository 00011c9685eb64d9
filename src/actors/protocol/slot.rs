//! The bound on orders that owe stock or payment.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many places are taken; clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenSlots(Arc<AtomicUsize>);

impl OpenSlots {
    /// Places that are taken.
    pub(crate) fn taken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes a place, above any bound.
    pub(crate) fn take(&self) -> OpenSlot {
        self.0.fetch_add(1, Ordering::Relaxed);
        OpenSlot(self.clone())
    }

    /// Takes a place if fewer than `limit` are taken.
    pub(crate) fn try_take(&self, limit: usize) -> Option<OpenSlot> {
        let slot = self.take();
        (self.taken() <= limit).then_some(slot)
    }
}

/// One place among the orders that owe stock or payment; free again when it is dropped, whatever happened.
pub(crate) struct OpenSlot(OpenSlots);

impl Drop for OpenSlot {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
