//! The facts of one saga: a set that only grows. When facts exclude each other, the first one recorded counts.

use crate::domain::{
    CancelledBy, Channel, EventKind, ExternalIds, Money, NoticeKind, OrderStatus, PaymentStatus, ReservedLine, Revision, Shortage, Text,
    Timestamp,
};
use serde::{Deserialize, Serialize};

/// The stock's answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StockFact {
    /// Stock is held.
    Reserved(Vec<ReservedLine>),
    /// There is not enough stock.
    Insufficient(Vec<Shortage>),
}

/// The payment's answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PaymentFact {
    /// Charged.
    Paid {
        /// Amount charged.
        amount: Money,
        /// The payment method.
        method: Text<50>,
    },
    /// Failed for good.
    Failed {
        /// The provider's reason.
        reason: Text<200>,
    },
    /// Nothing was or ever will be charged.
    Cancelled,
}

/// What is known of the shipment.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Shipment {
    /// The carrier.
    pub carrier: Option<Text<100>>,
    /// The tracking number.
    pub tracking: Option<Text<100>>,
}

/// The outcome of one notice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NoticeFact {
    /// The kind of notice.
    pub kind: NoticeKind,
    /// Its channel.
    pub channel: Channel,
    /// Whether it was sent; otherwise it was given up.
    pub sent: bool,
    /// When it was sent or given up.
    pub at: Timestamp,
}

/// Everything that is known to have happened to an order since it was placed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Facts {
    /// Reserved or insufficient.
    pub stock: Option<(StockFact, Timestamp)>,
    /// Paid, failed or cancelled.
    pub payment: Option<(PaymentFact, Timestamp)>,
    /// Nothing is held any more.
    pub released: Option<Timestamp>,
    /// The charge was refunded.
    pub refunded: Option<Timestamp>,
    /// Somebody cancelled the order, or a deadline did.
    pub cancel: Option<(CancelledBy, Timestamp)>,
    /// The goods have left; kept back until the order is paid.
    pub shipment: Option<(Shipment, Timestamp)>,
    /// The stock keeper has booked the goods out.
    pub stock_moved: Option<Timestamp>,
    /// Notices that were sent or given up.
    pub notices: Vec<NoticeFact>,
    /// A reservation that contradicts the stock's first answer; it must be released.
    pub stray_reservation: Option<Timestamp>,
    /// A charge that contradicts the payment's first answer; it must be refunded.
    pub stray_charge: Option<Timestamp>,
    /// The roles were asked to undo (`OrderCancelRequested` was emitted).
    pub undo_asked: bool,
    /// Why an unpaid order was cancelled, as it was announced; the customer's notice gives the same reason. `None` for orders from before
    /// such notices, and if another team runs the notification role. Stored beside the facts (`db::codec`).
    #[serde(skip)]
    pub unpaid_end: Option<Text<200>>,
    /// Our payment role was asked to undo an order for which there was not enough stock, so its answer is owed. `false` for orders from
    /// before this was recorded, and if another team runs the payment role. Stored beside the facts (`db::codec`).
    #[serde(skip)]
    pub owes_void: bool,
}

impl Facts {
    /// Whether the stock was ever held.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        matches!(self.stock, Some((StockFact::Reserved(_), _)))
    }

    /// Whether there was not enough stock.
    #[must_use]
    pub fn is_insufficient(&self) -> bool {
        matches!(self.stock, Some((StockFact::Insufficient(_), _)))
    }

    /// Whether the payment's answer is a charge.
    #[must_use]
    pub fn is_paid(&self) -> bool {
        matches!(self.payment, Some((PaymentFact::Paid { .. }, _)))
    }

    /// Whether the payment's answer is missing. A refund is one, because it proves that no money remains taken.
    #[must_use]
    pub fn has_no_payment(&self) -> bool {
        self.payment.is_none() && self.refunded.is_none()
    }

    /// Whether the payment's row has an answer that is missing here.
    #[must_use]
    pub fn misses(&self, row: PaymentStatus) -> bool {
        match row {
            PaymentStatus::Trying => false,
            PaymentStatus::Charged | PaymentStatus::Failed | PaymentStatus::Cancelled => self.payment.is_none(),
            PaymentStatus::Refunded => self.refunded.is_none(),
        }
    }

    /// Whether money was ever taken, so that the customer must be notified of a cancellation. A refund proves it, whatever came first.
    #[must_use]
    pub fn was_ever_paid(&self) -> bool {
        self.is_paid() || self.refunded.is_some() || self.stray_charge.is_some()
    }

    /// Whether the payment that is owed is one that must not be made.
    #[must_use]
    pub fn is_to_end(&self) -> bool {
        self.cancel.is_some() || self.undo_asked
    }

    /// Whether the notice was sent or given up.
    #[must_use]
    pub fn has_notice(&self, kind: NoticeKind, channel: Channel) -> bool {
        self.notices.iter().any(|notice| notice.kind == kind && notice.channel == channel)
    }
}

/// One entry of an order's history.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The status after it.
    pub status: OrderStatus,
    /// The number of its event ([`EventKind::number`]).
    event: u8,
    /// When the event became true.
    pub at: Timestamp,
}

impl HistoryEntry {
    /// Makes an entry.
    #[must_use]
    pub fn new(status: OrderStatus, event: EventKind, at: Timestamp) -> Self {
        Self { status, event: event.number(), at }
    }

    /// The event; `None` if a newer version that knows more events wrote it.
    #[must_use]
    pub fn event(&self) -> Option<EventKind> {
        EventKind::ALL.get(usize::from(self.event)).copied()
    }
}

/// Everything that the owner of an order stores about it, beside the order itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// What has happened.
    pub facts: Facts,
    /// What has happened, oldest first.
    pub history: Vec<HistoryEntry>,
    /// Why the order is parked: it is not re-driven until a person closes its dead letter.
    pub parked: Option<Text<64>>,
    /// Answers of external roles that are not facts; `None` while there are none.
    pub external: Option<Box<ExternalRecord>>,
}

/// Answers of external roles that are not facts, or not yet.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ExternalRecord {
    /// A payment that is not the order's total. It waits for a person.
    pub payment: Option<(Money, Text<50>, Timestamp)>,
    /// A reservation whose lines are not those ordered. It waits for a person.
    pub stock: Option<(Vec<ReservedLine>, Timestamp)>,
    /// When a person accepted such a payment.
    pub payment_accepted: Option<Timestamp>,
    /// When a person accepted such a reservation.
    pub stock_accepted: Option<Timestamp>,
    /// The kinds of events that contradicted what was recorded, as bits ([`EventKind::number`]). Each has a dead letter already.
    pub contradictions: u32,
    /// When the stock was reported as released before a cause for that was known.
    pub released_early: Option<Timestamp>,
    /// The time since which an answer is awaited again, because a person asked for that.
    pub awaited_since: Option<Timestamp>,
    /// The payment as it was made, if not in our currency. In that case `payment`, and the fact that it may become, holds the order's
    /// total. Stored beside the rest (`db::codec`).
    #[serde(skip)]
    pub foreign_money: Option<(Money, Text<20>)>,
    /// What those teams call what they have said, by the number of its kind ([`EventKind::number`]). Stored beside the rest.
    #[serde(skip)]
    pub ids: Vec<(u8, ExternalIds)>,
}

impl Record {
    /// What another team calls its answer of that kind.
    #[must_use]
    pub fn external_ids(&self, kind: EventKind) -> Option<&ExternalIds> {
        let all = &self.external.as_deref()?.ids;
        all.iter().find(|(of, _)| *of == kind.number()).map(|(_, ids)| ids)
    }

    /// What another team calls its payment.
    #[must_use]
    pub fn external_payment(&self) -> Option<&str> {
        let all = &self.external.as_deref()?.ids;
        all.iter().find_map(|(_, ids)| ids.payment.as_ref()).map(Text::as_str)
    }
}

impl Record {
    /// The record's revision: it changes whenever a fact is added, or the order is parked or unparked.
    #[must_use]
    pub fn revision(&self) -> Revision {
        let told = u64::try_from(self.history.len()).unwrap_or(u64::MAX >> 1);
        Revision(told << 1 | u64::from(self.parked.is_some()))
    }
}
