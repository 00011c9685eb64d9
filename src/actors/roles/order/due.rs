//! When an order's deadline falls due, by the steady clock. It is computed from the wall clock once per incarnation of the actor; from then
//! on a wall clock that jumps changes nothing, so that stock is held as long as was promised and no longer. A deadline that fell due while
//! nobody looked after the order falls due at once, or, where the payment's answer comes over a topic, when that was listened to for as long
//! as the order waits before it asks again.

use crate::domain::{CancelledBy, Timestamp};
use crate::saga::Record;
use crate::saga::policy::{Deadlines, deadline};

/// An order's deadline.
#[derive(Default)]
pub(crate) struct Due(Option<u64>);

impl Due {
    /// Whether no deadline was armed when it was looked at last.
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// When the order is ended for want of payment, in milliseconds of the steady clock, and for which reason; none while no
    /// deadline is armed.
    pub(crate) fn look(&mut self, record: &Record, deadlines: Deadlines, now: Timestamp, steady_ms: u64) -> Option<(u64, CancelledBy)> {
        let armed = deadline(record, deadlines);
        let due = armed.map(|(at, by)| (self.0.unwrap_or_else(|| steady_ms.saturating_add(at.ms_since(now))), by));
        self.0 = due.map(|(due_ms, _)| due_ms);
        due
    }
}

/// The same of another team's answer: reckoned once for each time at which it falls due.
#[derive(Default)]
pub(crate) struct Overdue(Option<(Timestamp, u64)>);

impl Overdue {
    /// When it falls due, in milliseconds of the steady clock.
    pub(crate) fn look(&mut self, at: Option<Timestamp>, now: Timestamp, steady_ms: u64) -> Option<u64> {
        let known = self.0;
        self.0 = at.map(|at| match known {
            Some((before, due_ms)) if before == at => (at, due_ms),
            Some(_) | None => (at, steady_ms.saturating_add(at.ms_since(now))),
        });
        self.0.map(|(_, due_ms)| due_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saga::{Facts, StockFact};

    #[test]
    fn a_deadline_once_reckoned_does_not_hear_of_the_wall_clock() {
        let deadlines = Deadlines { expiry_ms: 9000, payment_ms: 1000 };
        let facts = Facts { stock: Some((StockFact::Reserved(Vec::new()), Timestamp(5_000_000))), ..Facts::default() };
        let reserved = Record { facts, ..Record::default() };
        let (by, at) = (CancelledBy::PaymentDeadline, Timestamp(5_100_000));
        let mut due = Due::default();
        assert_eq!(due.look(&Record::default(), deadlines, at, 100), None);
        assert_eq!(due.look(&reserved, deadlines, at, 100), Some((1000, by)));
        assert_eq!(due.look(&reserved, deadlines, at.plus_ms(60_000), 200), Some((1000, by)), "it jumped forward");
        assert_eq!(due.look(&reserved, deadlines, Timestamp(0), 300), Some((1000, by)), "it jumped back");
        assert_eq!(due.look(&Record::default(), deadlines, at, 400), None);
        assert_eq!(due.look(&reserved, deadlines, at.plus_ms(60_000), 500), Some((500, by)), "it fell due before");
    }
}
