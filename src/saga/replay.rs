//! Recomputes from an order's record what analytics have counted of it.
//!
//! Every fact enters a record together with a history entry that names the event and its time. So the events of a settled order can be
//! reconstructed from the record alone, as far as they are counted. `verify` counts them and compares.

use super::{PaymentFact, Record, StockFact, step, table};
use crate::domain::{CancelledBy, Event, EventBody, EventKind, LoggedEvent, Order, Tally, Text};
use std::sync::Arc;

/// The sale that an event of the order role makes or undoes ([`LoggedEvent::sale`]); `record` is the order's record at that time or later.
#[must_use]
pub fn sale(order: &Arc<Order>, record: &Record, kind: EventKind) -> Option<Arc<Order>> {
    let tells = match kind {
        EventKind::OrderConfirmed => true,
        EventKind::OrderCancelled => record.history.iter().any(|entry| entry.event() == Some(EventKind::OrderConfirmed)),
        EventKind::OrderCreated
        | EventKind::InventoryReserved
        | EventKind::InventoryInsufficient
        | EventKind::InventoryReleased
        | EventKind::InventoryShipped
        | EventKind::PaymentProcessed
        | EventKind::PaymentFailed
        | EventKind::PaymentCancelled
        | EventKind::PaymentRefunded
        | EventKind::OrderCancelRequested
        | EventKind::OrderFailed
        | EventKind::ShipmentHeld
        | EventKind::OrderShipped
        | EventKind::NotificationSent
        | EventKind::NotificationFailed
        | EventKind::AnswerAccepted
        | EventKind::PaymentParked
        | EventKind::InventoryParked => false,
    };
    tells.then(|| order.clone())
}

/// Counts the events in the record of `order`. Not counted, because the record does not contain them: notices (which have their own rows),
/// and answers that contradicted the first (which have dead letters).
pub fn replay(order: &Arc<Order>, record: &Record, tally: &mut Tally) {
    let mut undo_asked = record.facts.undo_asked;
    for entry in &record.history {
        let Some(kind) = entry.event() else { continue };
        // The history also tells a cancel that found the undo asked for already; the log does not.
        if kind == EventKind::OrderCancelRequested && !std::mem::take(&mut undo_asked) {
            continue;
        }
        if let Some(body) = body(order, record, kind) {
            tally.count(&LoggedEvent { seq: 0, event: Event::of(order, entry.at, body), sale: sale(order, record, kind) });
        }
    }
}

/// The event of this kind as the record describes it, as far as it is counted: without the held lines.
fn body(order: &Arc<Order>, record: &Record, kind: EventKind) -> Option<EventBody> {
    let facts = &record.facts;
    let reason = || Text::lossy(&table::reason(facts).unwrap_or_default());
    Some(match kind {
        EventKind::OrderCreated => EventBody::OrderCreated(order.clone()),
        EventKind::InventoryReserved => EventBody::InventoryReserved { lines: Vec::new() },
        EventKind::InventoryInsufficient => match &facts.stock {
            Some((StockFact::Insufficient(shortages), _)) => EventBody::InventoryInsufficient { shortages: shortages.clone() },
            Some((StockFact::Reserved(_), _)) | None => return None,
        },
        EventKind::InventoryReleased => EventBody::InventoryReleased { lines: Vec::new() },
        EventKind::InventoryShipped => EventBody::InventoryShipped { lines: Vec::new() },
        EventKind::PaymentProcessed => match &facts.payment {
            Some((PaymentFact::Paid { amount, method }, _)) => EventBody::PaymentProcessed { amount: *amount, method: method.clone() },
            // A stray charge is one of the same order.
            Some((PaymentFact::Failed { .. } | PaymentFact::Cancelled, _)) | None => {
                EventBody::PaymentProcessed { amount: order.total, method: order.payment_method.clone() }
            }
        },
        EventKind::PaymentFailed => EventBody::PaymentFailed { reason: Text::lossy("") },
        EventKind::PaymentCancelled => EventBody::PaymentCancelled,
        EventKind::PaymentRefunded => EventBody::PaymentRefunded { amount: step::paid(order, facts) },
        EventKind::OrderConfirmed => EventBody::OrderConfirmed,
        EventKind::OrderCancelRequested => EventBody::OrderCancelRequested { by: facts.cancel.map_or(CancelledBy::Operator, |(by, _)| by) },
        EventKind::OrderCancelled => EventBody::OrderCancelled { reason: reason(), was_paid: facts.was_ever_paid() },
        EventKind::OrderFailed => EventBody::OrderFailed { reason: reason() },
        EventKind::ShipmentHeld => EventBody::ShipmentHeld,
        EventKind::OrderShipped => EventBody::OrderShipped { carrier: None, tracking: None },
        EventKind::NotificationSent
        | EventKind::NotificationFailed
        | EventKind::AnswerAccepted
        | EventKind::PaymentParked
        | EventKind::InventoryParked => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ProductId, Shortage};
    use crate::saga::fixture::order;
    use crate::saga::{Effects, Shipment};
    use uuid::Uuid;

    #[derive(Clone, Debug)]
    enum Turn {
        Answer(EventBody),
        Cancel,
        Ship,
    }

    /// Plays the turns, 40 s apart, and compares the log's numbers with the record's.
    fn check(turns: &[Turn]) {
        let order = order();
        let mut record = step::placed(&order);
        let mut log = Tally::default();
        let count = |log: &mut Tally, record: &Record, event: &Event| {
            log.count(&LoggedEvent { seq: 0, event: event.clone(), sale: sale(&order, record, event.kind()) });
        };
        count(&mut log, &record, &Event::of(&order, order.created_at, EventBody::OrderCreated(order.clone())));
        let mut now = order.created_at;
        for turn in turns {
            now = now.plus_ms(40_000);
            let mut effects = Effects::default();
            match turn {
                Turn::Answer(body) => {
                    let event = Event::of(&order, now, body.clone());
                    count(&mut log, &record, &event);
                    step::answer(&order, &mut record, &event, now.plus_ms(25_000), &mut effects);
                }
                Turn::Cancel => drop(step::cancel(&order, &mut record, CancelledBy::Customer, now, &mut effects)),
                Turn::Ship => drop(step::ship(&order, &mut record, Shipment::default(), now, &mut effects)),
            }
            effects.events.iter().for_each(|event| count(&mut log, &record, event));
        }
        let mut tables = Tally::default();
        replay(&order, &record, &mut tables);
        assert_eq!(tables.take(), log.take(), "{turns:?}");
    }

    #[test]
    fn the_record_tells_what_the_log_counted() {
        let total = order().total;
        let reserved = || Turn::Answer(EventBody::InventoryReserved { lines: Vec::new() });
        let paid = || Turn::Answer(EventBody::PaymentProcessed { amount: total, method: Text::lossy("card") });
        let declined = || Turn::Answer(EventBody::PaymentFailed { reason: Text::lossy("declined") });
        let released = || Turn::Answer(EventBody::InventoryReleased { lines: Vec::new() });
        let refunded = || Turn::Answer(EventBody::PaymentRefunded { amount: total });
        let unpaid = || Turn::Answer(EventBody::PaymentCancelled);
        let moved = || Turn::Answer(EventBody::InventoryShipped { lines: Vec::new() });
        let short = || {
            let product = ProductId(Uuid::nil());
            Turn::Answer(EventBody::InventoryInsufficient { shortages: vec![Shortage::OutOfStock { product, requested: 4, available: 1 }] })
        };
        let cases = [
            vec![],
            vec![reserved(), paid()],
            vec![paid(), reserved()],
            vec![reserved(), paid(), Turn::Ship, moved()],
            vec![reserved(), Turn::Ship, paid(), moved()],
            vec![short()],
            vec![reserved(), declined(), released()],
            vec![reserved(), declined(), Turn::Cancel, released()],
            vec![Turn::Cancel, unpaid(), released()],
            vec![reserved(), Turn::Cancel, paid(), refunded(), released()],
            vec![reserved(), paid(), Turn::Cancel, released(), refunded()],
            vec![reserved(), paid(), Turn::Cancel, Turn::Cancel, refunded(), released()],
            vec![short(), paid(), refunded()],
            vec![reserved(), declined(), paid(), refunded(), released()],
        ];
        for turns in cases {
            check(&turns);
        }
    }
}
