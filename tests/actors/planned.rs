//! Panics at one point of the actors' work, planned by a test.

use ordermill::actors::faults::{FaultPlan, Faults, Point};
use ordermill::domain::OrderId;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// See the module.
pub struct Planned {
    point: Point,
    /// Panics that are left.
    left: AtomicUsize,
    happened: AtomicUsize,
    /// Orders at whose work it does not panic.
    spared: Mutex<Vec<OrderId>>,
}

impl Planned {
    pub fn at(point: Point) -> Arc<Self> {
        Arc::new(Self { point, left: AtomicUsize::new(0), happened: AtomicUsize::new(0), spared: Mutex::default() })
    }

    pub fn faults(self: &Arc<Self>) -> Faults {
        Faults::plan(self.clone())
    }

    /// From now on it panics so often.
    pub fn arm(&self, times: usize) {
        self.left.store(times, Ordering::SeqCst);
    }

    pub fn spare(&self, order: OrderId) {
        self.spared.lock().unwrap().push(order);
    }

    pub fn happened(&self) -> usize {
        self.happened.load(Ordering::SeqCst)
    }
}

impl FaultPlan for Planned {
    fn pass(&self, point: Point, order: Option<OrderId>) {
        if point != self.point || order.is_some_and(|order| self.spared.lock().unwrap().contains(&order)) {
            return;
        }
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            self.happened.fetch_add(1, Ordering::SeqCst);
            panic!("planned at {point:?}");
        }
    }
}
