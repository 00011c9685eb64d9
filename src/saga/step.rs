//! One step of a saga: an answer or a command adds facts, and the events to emit follow from the new facts.

use super::superseded;
use super::table::{Owed, is_dead, owed, reason, status};
use super::{Facts, HistoryEntry, NoticeFact, PaymentFact, Record, Shipment, StockFact};
use crate::domain::{
    CancelledBy, DeadLetter, DeadLetterKind, Event, EventBody, EventKind, Money, Order, OrderStatus, Role, Text, Timestamp,
};
use crate::saga::dispute::dispute;
use crate::saga::park::{Effects, PROVIDER, SHIPPED_UNPAID, STORE, STRAY_REFUND, WRITE_REFUSED, is_parked_for, park, step_letter};

/// Why a command was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Rejection {
    /// The goods have left.
    #[error("the order has been shipped")]
    Shipped,
    /// The order is past the point where the command could do anything.
    #[error("the order is {}", .0.name())]
    TooLate(OrderStatus),
    /// The goods have left and the payment failed: trying again changes nothing.
    #[error("the goods have left and the payment failed: compensate the order, or close the dead letter as done")]
    ShippedUnpaid,
    /// The goods have left with a different carrier or tracking number.
    #[error("the order was shipped with a different carrier or tracking number, which stays; GET the order to see it")]
    ShippedOtherwise,
    /// The order has changed since the client read it.
    #[error("the order has changed since it was read")]
    Stale,
    /// An external role's answer differs from what was ordered: a person must accept it or compensate.
    #[error("another team's answer differs from what was ordered")]
    Disputed,
}

/// The first record of an order, just placed.
#[must_use]
pub fn placed(order: &Order) -> Record {
    Record { history: vec![HistoryEntry::new(OrderStatus::Pending, EventKind::OrderCreated, order.created_at)], ..Record::default() }
}

/// Applies a role's answer. A repeat changes nothing. A contradiction does not change the status; it becomes an anomaly and must be undone.
pub fn answer(order: &Order, record: &mut Record, event: &Event, now: Timestamp, effects: &mut Effects) {
    if let EventBody::StepParked { role, step, cause, detail, tries } = &event.body {
        let letter = step_letter(order.id, order.shard, *role, step.as_str(), event.at).because(cause.as_str(), detail.as_str(), *tries);
        return park_far(order, record, letter, now, effects);
    }
    held_before(order, record, event, now, effects);
    let before = Before::of(&record.facts);
    let facts = &mut record.facts;
    let at = event.at;
    let grown = match &event.body {
        EventBody::InventoryReserved { lines } => match &facts.stock {
            None => set(&mut facts.stock, (StockFact::Reserved(lines.clone()), at)),
            Some((StockFact::Reserved(_), _)) => false,
            Some((StockFact::Insufficient(_), _)) => set(&mut facts.stray_reservation, at),
        },
        EventBody::InventoryInsufficient { shortages } => match &facts.stock {
            None => set(&mut facts.stock, (StockFact::Insufficient(shortages.clone()), at)),
            Some((StockFact::Insufficient(_), _)) => false,
            Some((StockFact::Reserved(_), _)) => return anomaly(order, event, now, effects, "insufficient-after-reserved"),
        },
        EventBody::InventoryReleased { .. } => set(&mut facts.released, at),
        EventBody::InventoryShipped { .. } => set(&mut facts.stock_moved, at),
        EventBody::PaymentProcessed { amount, method } => match &facts.payment {
            None => set(&mut facts.payment, (PaymentFact::Paid { amount: *amount, method: method.clone() }, at)),
            Some((PaymentFact::Paid { .. }, _)) => false,
            Some((PaymentFact::Failed { .. } | PaymentFact::Cancelled, _)) => set(&mut facts.stray_charge, at),
        },
        EventBody::PaymentFailed { reason } => match &facts.payment {
            None => set(&mut facts.payment, (PaymentFact::Failed { reason: reason.clone() }, at)),
            Some((PaymentFact::Failed { .. }, _)) => false,
            Some((PaymentFact::Paid { .. } | PaymentFact::Cancelled, _)) => {
                return anomaly(order, event, now, effects, "payment-failed-after-answer");
            }
        },
        EventBody::PaymentCancelled => match &facts.payment {
            None => set(&mut facts.payment, (PaymentFact::Cancelled, at)),
            Some((PaymentFact::Cancelled, _)) => false,
            Some((PaymentFact::Paid { .. } | PaymentFact::Failed { .. }, _)) => {
                return anomaly(order, event, now, effects, "payment-cancelled-after-answer");
            }
        },
        EventBody::PaymentRefunded { .. } => set(&mut facts.refunded, at),
        EventBody::NotificationSent { kind, channel } => add_notice(facts, NoticeFact { kind: *kind, channel: *channel, sent: true, at }),
        EventBody::NotificationFailed { kind, channel, last: true, .. } => {
            add_notice(facts, NoticeFact { kind: *kind, channel: *channel, sent: false, at })
        }
        EventBody::NotificationFailed { last: false, .. } => false,
        EventBody::OrderCreated(_)
        | EventBody::OrderConfirmed
        | EventBody::OrderCancelRequested { .. }
        | EventBody::OrderCancelled { .. }
        | EventBody::OrderFailed { .. }
        | EventBody::ShipmentHeld
        | EventBody::OrderShipped { .. }
        | EventBody::AnswerAccepted { .. }
        | EventBody::StepParked { .. }
        | EventBody::PaidInOtherCurrency { .. } => false,
    };
    if !grown {
        return;
    }
    // What the payment role could not do or store is done after all, by a late answer or by a person. If it was another role that could
    // not store something, that role is asked again, and says so again.
    let is_parked = is_parked_for(record, PROVIDER) || is_parked_for(record, WRITE_REFUSED);
    if event.kind().topic().role() == Some(Role::Payment) && is_parked {
        record.parked = None;
    }
    if before.strays < strays(&record.facts) {
        anomaly(order, event, now, effects, "answer-after-the-contrary");
    }
    advance(order, record, &before, event.kind(), at, now, effects);
}

/// Records that released stock had been held: a payment role that learned of it may have taken money, even if the order did not learn of
/// it.
fn held_before(order: &Order, record: &mut Record, event: &Event, now: Timestamp, effects: &mut Effects) {
    if let EventBody::InventoryReleased { lines } = &event.body
        && !lines.is_empty()
        && record.facts.stock.is_none()
    {
        let held = Event { body: EventBody::InventoryReserved { lines: lines.clone() }, ..event.clone() };
        answer(order, record, &held, now, effects);
    }
}

/// Adds a fact without an event of ours: `grow` makes it, and its consequences are emitted.
pub(super) fn note(
    order: &Order,
    record: &mut Record,
    kind: EventKind,
    now: Timestamp,
    effects: &mut Effects,
    grow: impl FnOnce(&mut Facts),
) {
    let before = Before::of(&record.facts);
    grow(&mut record.facts);
    advance(order, record, &before, kind, now, now, effects);
}

/// Cancels the order, for a person or a deadline.
///
/// # Errors
/// It is too late for that; nothing has changed.
pub fn cancel(order: &Order, record: &mut Record, by: CancelledBy, now: Timestamp, effects: &mut Effects) -> Result<(), Rejection> {
    if record.facts.shipment.is_some() {
        return Err(Rejection::Shipped);
    }
    match status(&record.facts) {
        OrderStatus::Pending | OrderStatus::InventoryReserved | OrderStatus::Confirmed => {}
        OrderStatus::Cancelling | OrderStatus::Refunding => return Ok(()),
        late @ (OrderStatus::Shipped | OrderStatus::PaymentFailed | OrderStatus::Failed | OrderStatus::Cancelled) => {
            return Err(Rejection::TooLate(late));
        }
    }
    end(order, record, by, now, effects);
    Ok(())
}

/// Cancels a parked order for a person, even if a customer could no longer cancel it, unless it has ended or was paid and shipped.
///
/// # Errors
/// The order has ended or is shipped; nothing has changed.
pub fn compensate(order: &Order, record: &mut Record, now: Timestamp, effects: &mut Effects) -> Result<(), Rejection> {
    match status(&record.facts) {
        OrderStatus::Pending | OrderStatus::InventoryReserved | OrderStatus::Confirmed | OrderStatus::PaymentFailed => {}
        // It is being undone already, and parked because that failed: the undo goes on.
        OrderStatus::Cancelling | OrderStatus::Refunding => {
            effects.changed |= record.parked.take().is_some();
            return Ok(());
        }
        late @ (OrderStatus::Failed | OrderStatus::Cancelled) => return Err(Rejection::TooLate(late)),
        OrderStatus::Shipped => return Err(Rejection::Shipped),
    }
    end(order, record, CancelledBy::Operator, now, effects);
    Ok(())
}

fn end(order: &Order, record: &mut Record, by: CancelledBy, now: Timestamp, effects: &mut Effects) {
    let before = Before::of(&record.facts);
    if set(&mut record.facts.cancel, (by, now)) {
        record.parked = None;
        advance(order, record, &before, EventKind::OrderCancelRequested, now, now, effects);
    }
}

/// Records that the goods have left. Until the order is paid, the shipment is kept back. A repeat changes nothing.
///
/// # Errors
/// The order has ended or is being cancelled, or the goods left with a different carrier or tracking number; nothing has changed.
pub fn ship(order: &Order, record: &mut Record, shipment: Shipment, now: Timestamp, effects: &mut Effects) -> Result<(), Rejection> {
    let current = status(&record.facts);
    if is_dead(current) {
        return Err(Rejection::TooLate(current));
    }
    if let Some((first, _)) = &record.facts.shipment {
        let says_nothing_new = shipment == Shipment::default() || shipment == *first;
        return if says_nothing_new { Ok(()) } else { Err(Rejection::ShippedOtherwise) };
    }
    let before = Before::of(&record.facts);
    if set(&mut record.facts.shipment, (shipment, now)) {
        let told = if status(&record.facts) == OrderStatus::Shipped { EventKind::OrderShipped } else { EventKind::ShipmentHeld };
        advance(order, record, &before, told, now, now, effects);
    }
    Ok(())
}

/// Unparks an order for a person, if it is parked for this cause, or for any if none is given. An order parked for another cause has a dead
/// letter about that.
///
/// # Errors
/// Continuing would change nothing, and the order would drop out of sight.
pub fn unpark(record: &mut Record, cause: Option<&str>, effects: &mut Effects) -> Result<(), Rejection> {
    if is_parked_for(record, SHIPPED_UNPAID) && status(&record.facts) == OrderStatus::PaymentFailed {
        return Err(Rejection::ShippedUnpaid);
    }
    if dispute(record).is_some() {
        return Err(Rejection::Disputed);
    }
    if cause.is_none_or(|cause| is_parked_for(record, cause)) {
        effects.changed |= record.parked.take().is_some();
    }
    Ok(())
}

/// Parks the order for a role on another node that has stored the dead letter. The dead letter is added here too, because a person may have
/// closed it before this event arrived. If what failed is not owed any more, or the order is parked for something else, the role's dead
/// letter about this step is closed instead.
fn park_far(order: &Order, record: &mut Record, letter: DeadLetter, now: Timestamp, effects: &mut Effects) {
    // Its role handles it, whatever happens to the order.
    if letter.step.as_str() == STRAY_REFUND {
        return;
    }
    let is_owed = superseded::is_owed(order, &record.facts, letter.role, letter.step.as_str());
    let is_parked_otherwise = record.parked.as_ref().is_some_and(|cause| *cause != letter.cause);
    if is_owed && !is_parked_otherwise {
        return park(record, letter, effects);
    }
    // An answer unparks an order whose provider call failed, but not one whose write was refused: the order may be parked for this step.
    if letter.step.as_str() == STORE && is_parked_for(record, letter.cause.as_str()) {
        return;
    }
    // Nobody tries it while the order is parked for something else, whose end would leave this dead letter open.
    let why = if is_owed {
        "the order is parked for something else: once it continues, what fails again opens its dead letter again"
    } else {
        "what failed is not owed any more: nothing is left to do"
    };
    effects.letters.push(superseded::close(letter, why, now));
    effects.changed = true;
}

/// The events to repeat, with their old ids, so that the roles that owe answers give them; empty if nothing is owed. A kept-back shipment
/// comes first: it needs no answer, but a release that missed it would give away goods that have left.
#[must_use]
pub fn redrive(order: &std::sync::Arc<Order>, facts: &Facts) -> Vec<Event> {
    let debts = owed(facts, order.channels());
    if debts.is_nothing() {
        return Vec::new();
    }
    let current = status(facts);
    let held = facts.shipment.as_ref().filter(|_| current != OrderStatus::Shipped && !debts.refunded && facts.cancel.is_none());
    let mut events: Vec<Event> = held.map(|(_, at)| Event::of(order, *at, EventBody::ShipmentHeld)).into_iter().collect();
    events.push(asks(order, facts, debts, current));
    events
}

/// The one event that makes the next role answer.
fn asks(order: &std::sync::Arc<Order>, facts: &Facts, debts: Owed, current: OrderStatus) -> Event {
    let undo = debts.released || debts.refunded || debts.payment;
    let (body, at) = match (&facts.payment, &facts.stock) {
        _ if undo && facts.undo_asked => {
            let (by, at) = facts.cancel.unwrap_or((CancelledBy::Operator, order.created_at));
            (EventBody::OrderCancelRequested { by }, at)
        }
        _ if debts.stock => (EventBody::OrderCreated(order.clone()), order.created_at),
        _ if current == OrderStatus::Cancelled => {
            let reason = Text::lossy(&reason(facts).unwrap_or_default());
            (EventBody::OrderCancelled { reason, was_paid: facts.was_ever_paid() }, order.created_at)
        }
        // Not the payment's own event: of a payment that was cancelled unasked the notifier hears here only.
        _ if current == OrderStatus::Failed => {
            let reason = Text::lossy(&reason(facts).unwrap_or_default());
            (EventBody::OrderFailed { reason }, order.created_at)
        }
        _ if current == OrderStatus::Shipped => {
            let (shipment, at) = facts.shipment.clone().unwrap_or((Shipment::default(), order.created_at));
            (EventBody::OrderShipped { carrier: shipment.carrier, tracking: shipment.tracking }, at)
        }
        (Some((PaymentFact::Paid { amount, method }, at)), _) => {
            (EventBody::PaymentProcessed { amount: *amount, method: method.clone() }, *at)
        }
        (Some((PaymentFact::Failed { reason }, at)), _) => (EventBody::PaymentFailed { reason: reason.clone() }, *at),
        (Some((PaymentFact::Cancelled, at)), _) => (EventBody::PaymentCancelled, *at),
        (None, Some((StockFact::Reserved(lines), at))) => (EventBody::InventoryReserved { lines: lines.clone() }, *at),
        (None, Some((StockFact::Insufficient(_), _)) | None) => (EventBody::OrderCreated(order.clone()), order.created_at),
    };
    Event::of(order, at, body)
}

/// The state before the step, with which the emitted events are compared.
struct Before {
    status: OrderStatus,
    strays: usize,
}

impl Before {
    fn of(facts: &Facts) -> Self {
        Self { status: status(facts), strays: strays(facts) }
    }
}

/// Extends the history and emits the consequences of the new facts.
fn advance(order: &Order, record: &mut Record, before: &Before, cause: EventKind, at: Timestamp, now: Timestamp, effects: &mut Effects) {
    let after = status(&record.facts);
    effects.changed = true;
    record.history.push(HistoryEntry::new(after, cause, at));
    let mut emit = |record: &mut Record, body: EventBody| {
        if body.kind() != cause {
            record.history.push(HistoryEntry::new(after, body.kind(), now));
        }
        effects.events.push(Event::of(order, now, body));
    };
    if cause == EventKind::ShipmentHeld {
        emit(record, EventBody::ShipmentHeld);
    }
    let newly = |wanted: OrderStatus| after == wanted && before.status != wanted;
    if newly(OrderStatus::Confirmed) || (newly(OrderStatus::Shipped) && before.status != OrderStatus::Confirmed) {
        emit(record, EventBody::OrderConfirmed);
    }
    if newly(OrderStatus::Shipped) {
        let shipment = record.facts.shipment.clone().map(|(shipment, _)| shipment).unwrap_or_default();
        emit(record, EventBody::OrderShipped { carrier: shipment.carrier, tracking: shipment.tracking });
    }
    let debts = owed(&record.facts, order.channels());
    let must_ask = record.facts.cancel.is_some() || debts.refunded || record.facts.stray_reservation.is_some();
    if must_ask && !record.facts.undo_asked && !record.facts.refund_is_all_in() {
        record.facts.undo_asked = true;
        let by = record.facts.cancel.map_or(CancelledBy::Operator, |(by, _)| by);
        emit(record, EventBody::OrderCancelRequested { by });
    }
    record.facts.owes_void |= record.facts.undo_asked && record.facts.is_insufficient() && record.facts.has_no_payment();
    if newly(OrderStatus::Cancelled) {
        let reason: Text<200> = Text::lossy(&reason(&record.facts).unwrap_or_default());
        let was_paid = record.facts.was_ever_paid();
        record.facts.unpaid_end = (!was_paid).then(|| reason.clone());
        emit(record, EventBody::OrderCancelled { reason, was_paid });
    }
    if newly(OrderStatus::Failed) {
        let reason = Text::lossy(&reason(&record.facts).unwrap_or_default());
        emit(record, EventBody::OrderFailed { reason });
    }
    if after != before.status {
        goods_left(order, record, before.status, now, effects);
    }
}

/// Handles goods that left for an order that then failed: a person must decide. If the stock is not released yet, the order is parked. If
/// the release overtook the shipment, there is nothing left to stop, and a dead letter says so.
fn goods_left(order: &Order, record: &mut Record, before: OrderStatus, now: Timestamp, effects: &mut Effects) {
    if record.facts.shipment.is_none() || record.facts.cancel.is_some() || is_dead(before) {
        return;
    }
    let letter = |kind, number, step, cause, detail| {
        DeadLetter::about(order.id, order.shard, kind, number, Role::Order, step, now).because(cause, detail, 0)
    };
    match status(&record.facts) {
        OrderStatus::PaymentFailed => {
            let detail = "the goods have left but the payment failed: collect the money by other means and close the dead letter as \
                done (then correct the stock, which is released), or get the goods back and compensate";
            // Whatever it was parked for: this is not told again.
            record.parked = None;
            park(record, letter(DeadLetterKind::Step, 1, "release", SHIPPED_UNPAID, detail), effects);
        }
        OrderStatus::Failed => {
            let detail =
                "the goods have left but the payment failed and their stock was released: collect the money, or get the goods back";
            effects.letters.push(letter(DeadLetterKind::Anomaly, SHIPPED_DEAD, "ship", SHIPPED_UNPAID, detail));
        }
        OrderStatus::Cancelled => {
            let detail = "the goods have left but there was not enough stock: correct the stock, or get the goods back";
            effects.letters.push(letter(DeadLetterKind::Anomaly, SHIPPED_DEAD, "ship", "shipped-without-stock", detail));
        }
        OrderStatus::Pending
        | OrderStatus::InventoryReserved
        | OrderStatus::Confirmed
        | OrderStatus::Shipped
        | OrderStatus::Cancelling
        | OrderStatus::Refunding => {}
    }
}

/// The number of that dead letter, distinct from those of [`anomaly`], which are event numbers.
const SHIPPED_DEAD: u32 = 256;

/// The amount charged for the order, as far as it is known.
#[must_use]
pub fn paid(order: &Order, facts: &Facts) -> Money {
    match &facts.payment {
        Some((PaymentFact::Paid { amount, .. }, _)) => *amount,
        Some((PaymentFact::Failed { .. } | PaymentFact::Cancelled, _)) | None => order.total,
    }
}

fn strays(facts: &Facts) -> usize {
    usize::from(facts.stray_reservation.is_some()) + usize::from(facts.stray_charge.is_some())
}

impl Facts {
    /// Whether a request to undo would change nothing any more: released and refunded.
    fn refund_is_all_in(&self) -> bool {
        self.released.is_some() && self.refunded.is_some()
    }
}

fn set<T>(slot: &mut Option<T>, value: T) -> bool {
    if slot.is_some() {
        return false;
    }
    *slot = Some(value);
    true
}

fn add_notice(facts: &mut Facts, notice: NoticeFact) -> bool {
    if facts.has_notice(notice.kind, notice.channel) {
        return false;
    }
    facts.notices.push(notice);
    true
}

fn anomaly(order: &Order, event: &Event, now: Timestamp, effects: &mut Effects, cause: &str) {
    let number = u32::from(event.kind().number());
    let detail = format!("{} contradicts what was recorded before; if it must be undone, that happens by itself", event.kind().name());
    effects.letters.push(
        DeadLetter::about(order.id, order.shard, DeadLetterKind::Anomaly, number, Role::Order, event.kind().name(), now)
            .because(cause, &detail, 1),
    );
    effects.changed = true;
}
