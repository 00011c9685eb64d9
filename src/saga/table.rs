//! The transition table: status and owed answers as functions of the facts. The first row that matches decides, so neither the sequence nor
//! the number of the roles' answers matters.

use super::{Facts, PaymentFact};
use crate::domain::{CancelledBy, Channel, Channels, NoticeKind, OrderStatus};

/// The status that follows from the facts.
#[must_use]
pub fn status(facts: &Facts) -> OrderStatus {
    let released = facts.released.is_some();
    if facts.is_insufficient() {
        return OrderStatus::Cancelled;
    }
    if facts.cancel.is_some() {
        return match (payment_is_undone(facts), released, facts.is_paid()) {
            (true, true, _) => OrderStatus::Cancelled,
            (_, _, true) => OrderStatus::Refunding,
            (_, _, false) => OrderStatus::Cancelling,
        };
    }
    match &facts.payment {
        Some((PaymentFact::Failed { .. } | PaymentFact::Cancelled, _)) if released => OrderStatus::Failed,
        Some((PaymentFact::Failed { .. } | PaymentFact::Cancelled, _)) => OrderStatus::PaymentFailed,
        Some((PaymentFact::Paid { .. }, _)) if facts.shipment.is_some() => OrderStatus::Shipped,
        Some((PaymentFact::Paid { .. }, _)) => OrderStatus::Confirmed,
        None if facts.is_reserved() => OrderStatus::InventoryReserved,
        None => OrderStatus::Pending,
    }
}

/// Whether it is known that no money remains taken: the payment failed, was cancelled or refunded.
fn payment_is_undone(facts: &Facts) -> bool {
    match &facts.payment {
        Some((PaymentFact::Paid { .. }, _)) | None => facts.refunded.is_some(),
        Some((PaymentFact::Failed { .. } | PaymentFact::Cancelled, _)) => true,
    }
}

/// The answers that an order still waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Owed {
    /// The stock's answer: reserved or insufficient.
    pub stock: bool,
    /// The payment's answer: whether the charge succeeded.
    pub payment: bool,
    /// The confirmation that nothing is held any more.
    pub released: bool,
    /// The confirmation that nothing is charged any more.
    pub refunded: bool,
    /// The confirmation that the stock keeper has booked the shipment.
    pub stock_moved: bool,
    /// The kind of notice that is not yet sent or given up on every channel.
    pub notice: Option<NoticeKind>,
}

impl Owed {
    /// Whether nothing is owed.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        !self.is_more_than_a_notice() && self.notice.is_none()
    }

    /// Whether something other than a notice is owed.
    #[must_use]
    pub fn is_more_than_a_notice(&self) -> bool {
        self.stock || self.payment || self.released || self.refunded || self.stock_moved
    }
}

/// The answers owed to an order whose notices use `channels`.
#[must_use]
pub fn owed(facts: &Facts, channels: Channels) -> Owed {
    let status = status(facts);
    let mut owed = Owed::default();
    match status {
        OrderStatus::Pending => owed.stock = true,
        OrderStatus::InventoryReserved => owed.payment = true,
        OrderStatus::Confirmed | OrderStatus::Shipped => {
            owed.stock = facts.stock.is_none();
            owed.stock_moved = status == OrderStatus::Shipped && facts.stock_moved.is_none();
        }
        OrderStatus::Cancelling | OrderStatus::Refunding => owed.payment = facts.has_no_payment(),
        // Nothing was charged, but what the payment role has begun for the cancellation must end.
        OrderStatus::Cancelled => owed.payment = facts.owes_void && facts.has_no_payment(),
        OrderStatus::PaymentFailed | OrderStatus::Failed => {}
    }
    if is_dead(status) {
        owed.released = facts.released.is_none() && !facts.is_insufficient();
        owed.refunded = facts.is_paid() && facts.refunded.is_none();
    }
    owed.released |= facts.stray_reservation.is_some() && facts.released.is_none();
    owed.refunded |= facts.stray_charge.is_some() && facts.refunded.is_none();
    owed.notice = notice_of(facts, status).filter(|kind| channels.iter().any(|channel: Channel| !facts.has_notice(*kind, channel)));
    owed
}

/// Whether nothing is owed.
#[must_use]
pub fn settled(facts: &Facts, channels: Channels) -> bool {
    owed(facts, channels).is_nothing()
}

/// Whether orders in this status end without goods or money changing hands.
#[must_use]
pub fn is_dead(status: OrderStatus) -> bool {
    match status {
        OrderStatus::Pending | OrderStatus::InventoryReserved | OrderStatus::Confirmed | OrderStatus::Shipped => false,
        OrderStatus::PaymentFailed | OrderStatus::Failed | OrderStatus::Cancelling | OrderStatus::Refunding | OrderStatus::Cancelled => {
            true
        }
    }
}

/// The notice that is due to the customer of an order in this status.
fn notice_of(facts: &Facts, status: OrderStatus) -> Option<NoticeKind> {
    match status {
        OrderStatus::Confirmed => Some(NoticeKind::Confirmation),
        OrderStatus::Shipped => Some(NoticeKind::Shipping),
        OrderStatus::Failed => Some(NoticeKind::Failure),
        OrderStatus::Cancelled if facts.was_ever_paid() => Some(NoticeKind::Cancellation),
        OrderStatus::Cancelled => facts.unpaid_end.as_ref().map(|reason| NoticeKind::of_cancellation(reason.as_str(), false)),
        OrderStatus::Pending
        | OrderStatus::InventoryReserved
        | OrderStatus::PaymentFailed
        | OrderStatus::Cancelling
        | OrderStatus::Refunding => None,
    }
}

/// Why an order ended without goods, in the form used on the wire; `None` if it did not.
#[must_use]
pub fn reason(facts: &Facts) -> Option<String> {
    if let Some(told) = &facts.unpaid_end {
        return Some(told.as_str().to_owned());
    }
    if let Some((super::StockFact::Insufficient(shortages), _)) = &facts.stock {
        return Some(shortages.first().map_or("out-of-stock", |shortage| shortage.code()).to_owned());
    }
    if let Some((by, _)) = facts.cancel {
        return Some(CancelledBy::name(by).to_owned());
    }
    match &facts.payment {
        Some((PaymentFact::Failed { reason }, _)) => Some(reason.as_str().to_owned()),
        Some((PaymentFact::Cancelled, _)) => Some("payment-cancelled".to_owned()),
        Some((PaymentFact::Paid { .. }, _)) | None => None,
    }
}
