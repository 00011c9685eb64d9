//! What an order's actor remembers, to know at its end whether its trace must be told after all.

use crate::domain::{Event, EventBody, Timestamp};

/// See the module. None of it is stored.
#[derive(Default)]
pub(super) struct Late {
    /// Since when the order has owed something.
    pub(super) since: Option<Timestamp>,
    /// A notice was given up.
    pub(super) has_failed: bool,
    /// It was parked when it was looked at last.
    pub(super) is_parked: bool,
    /// Facts up to this moment are told.
    pub(super) told: Option<Timestamp>,
}

impl Late {
    /// It owes something from this moment on.
    pub(super) fn begins(&mut self, at: Timestamp) {
        self.since = Some(at);
    }

    /// A try of a notice that failed for good is a technical failure; a customer without an address, whom nobody tried to reach, is none.
    pub(super) fn hear(&mut self, event: &Event) {
        self.has_failed |= matches!(event.body, EventBody::NotificationFailed { last: true, attempt: 1.., .. });
    }
}

/// Microseconds between two times.
pub(super) fn micros(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0)
}
