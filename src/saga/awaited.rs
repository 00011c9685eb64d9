//! Answers that an external role owes and does not give: after a while they become dead letters. Pure.

use super::{Facts, Owed, Record, owed, policy};
use crate::domain::{DeadLetter, DeadLetterKind, Order, Role, Roles, Timestamp};
use crate::saga::park::{Effects, is_parked_for};

/// The cause of these dead letters.
pub const OVERDUE: &str = "answer-overdue";
/// The step of a dead letter about a reservation.
pub(super) const RESERVATION_ANSWER: &str = "reservation-answer";
/// The step of a dead letter about a shipment.
pub(super) const SHIPMENT_ANSWER: &str = "shipment-answer";
/// The step of a dead letter about a payment.
pub(super) const PAYMENT_ANSWER: &str = "payment-answer";
/// The step of a dead letter about a notice.
pub(super) const NOTICE_ANSWER: &str = "notice-answer";

/// The numbers of these dead letters, distinct from those of other dead letters about steps.
pub(super) const NUMBERS: [u32; 4] = [12, 13, 14, 15];

/// An answer that an external role owes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Awaited {
    /// The role that owes it.
    pub role: Role,
    /// The time since which nothing has happened.
    pub since: Timestamp,
}

/// The external role's answer that the order waits for. `None` if a deadline of the order ends the wait, or if one of our own roles also
/// owes something: that is asked for first, because a parked order does not ask.
#[must_use]
pub fn awaited(order: &Order, record: &Record, external_roles: Roles, deadlines: policy::Deadlines) -> Option<Awaited> {
    if external_roles.is_empty() || policy::deadline(record, deadlines).is_some() {
        return None;
    }
    let debts = owed(&record.facts, order.channels());
    if is_owed_by_us(&debts, external_roles) {
        return None;
    }
    let owing = [
        (Role::Inventory, debts.stock || debts.stock_moved),
        (Role::Payment, debts.payment),
        (Role::Notification, debts.notice.is_some() && !debts.is_more_than_a_notice()),
    ];
    let (role, _) = owing.into_iter().find(|(role, is_owed)| *is_owed && external_roles.has(*role))?;
    let last = record.history.last().map_or(order.created_at, |entry| entry.at);
    let anew = record.external.as_ref().and_then(|kept| kept.awaited_since);
    Some(Awaited { role, since: anew.map_or(last, |anew| anew.max(last)) })
}

/// Whether one of our own roles owes something other than a notice.
#[must_use]
pub fn is_owed_by_us(debts: &Owed, external_roles: Roles) -> bool {
    let stock = debts.stock || debts.released || debts.stock_moved;
    let money = debts.payment || debts.refunded;
    (stock && !external_roles.has(Role::Inventory)) || (money && !external_roles.has(Role::Payment))
}

/// Parks the order until a person closes the dead letter.
pub fn park(order: &Order, record: &mut Record, awaited: Awaited, now: Timestamp, effects: &mut Effects) {
    let (number, step, done) = match awaited.role {
        Role::Inventory if owed(&record.facts, order.channels()).stock_moved => (13, SHIPMENT_ANSWER, "its stock has been booked out"),
        Role::Inventory => (12, RESERVATION_ANSWER, "all that was ordered is held"),
        Role::Payment if record.facts.cancel.is_some() => (14, PAYMENT_ANSWER, "no money is taken"),
        Role::Payment => (14, PAYMENT_ANSWER, "the total has been paid"),
        Role::Notification => (15, NOTICE_ANSWER, "the customer has been notified"),
        Role::Order | Role::Analytics => return,
    };
    let detail = format!(
        "another team's {} role has not answered since {}: ask that team. Reprocess waits for the same time again, compensate cancels \
         the order, done says that {done}",
        awaited.role.name(),
        awaited.since
    );
    let letter = DeadLetter::about(order.id, order.shard, DeadLetterKind::Step, number, awaited.role, step, now);
    super::park::park(record, letter.because(OVERDUE, &detail, 0), effects);
}

/// Whether the order is parked because an answer is overdue.
#[must_use]
pub fn is_overdue(record: &Record) -> bool {
    is_parked_for(record, OVERDUE)
}

/// Unparks the order if the answer came after all, or something else ended the wait. Its dead letter is superseded.
pub fn look(before: &Facts, record: &mut Record, effects: &mut Effects) {
    if is_overdue(record) && *before != record.facts {
        record.parked = None;
        effects.changed = true;
    }
}

/// Starts the wait for the answer again.
pub fn anew(record: &mut Record, now: Timestamp) {
    record.external.get_or_insert_default().awaited_since = Some(now);
}
