//! The facts of one saga: a set that only grows. Of alternatives the first recorded is the fact.

use crate::domain::{CancelledBy, Channel, EventKind, Money, NoticeKind, OrderStatus, ReservedLine, Revision, Shortage, Text, Timestamp};
use serde::{Deserialize, Serialize};

/// The stock's answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StockFact {
    /// Held.
    Reserved(Vec<ReservedLine>),
    /// Cannot be had.
    Insufficient(Vec<Shortage>),
}

/// The payment's answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PaymentFact {
    /// Charged.
    Paid {
        /// Amount charged.
        amount: Money,
        /// How.
        method: Text<50>,
    },
    /// Failed for good.
    Failed {
        /// The provider's word.
        reason: Text<200>,
    },
    /// Nothing was or ever will be charged.
    Cancelled,
}

/// What is known of the goods' way.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Shipment {
    /// Who carries them.
    pub carrier: Option<Text<100>>,
    /// The carrier's number.
    pub tracking: Option<Text<100>>,
}

/// What became of one notice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NoticeFact {
    /// What it tells.
    pub kind: NoticeKind,
    /// How it goes.
    pub channel: Channel,
    /// Sent, or given up.
    pub sent: bool,
    /// When.
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
    /// The charge was given back.
    pub refunded: Option<Timestamp>,
    /// Somebody or a deadline asked for the end.
    pub cancel: Option<(CancelledBy, Timestamp)>,
    /// The goods have left; held until the order is paid.
    pub shipment: Option<(Shipment, Timestamp)>,
    /// The stock keeper has booked the goods out.
    pub stock_moved: Option<Timestamp>,
    /// Notices that are done with.
    pub notices: Vec<NoticeFact>,
    /// A reservation that contradicts the stock's first answer; it owes its release.
    pub stray_reservation: Option<Timestamp>,
    /// A charge that contradicts the payment's first answer; it owes its refund.
    pub stray_charge: Option<Timestamp>,
    /// The roles were asked to undo (`OrderCancelRequested` was emitted).
    pub undo_asked: bool,
    /// Why it was cancelled, as it was told of an order that nothing was paid for: the customer is told the same. None of orders from
    /// before such notices were sent, and where another team tells the customers. Stored beside the facts (`db::codec`).
    #[serde(skip)]
    pub unpaid_end: Option<Text<200>>,
}

impl Facts {
    /// Whether the stock was held at some time.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        matches!(self.stock, Some((StockFact::Reserved(_), _)))
    }

    /// Whether the stock could not be had.
    #[must_use]
    pub fn is_insufficient(&self) -> bool {
        matches!(self.stock, Some((StockFact::Insufficient(_), _)))
    }

    /// Whether the payment's answer is a charge.
    #[must_use]
    pub fn is_paid(&self) -> bool {
        matches!(self.payment, Some((PaymentFact::Paid { .. }, _)))
    }

    /// Whether money was ever taken, so that a cancellation must be told. A refund proves it, whatever came first.
    #[must_use]
    pub fn was_ever_paid(&self) -> bool {
        self.is_paid() || self.refunded.is_some() || self.stray_charge.is_some()
    }

    /// Whether the notice is done with: sent or given up.
    #[must_use]
    pub fn has_notice(&self, kind: NoticeKind, channel: Channel) -> bool {
        self.notices.iter().any(|notice| notice.kind == kind && notice.channel == channel)
    }
}

/// One line of an order's history.
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
    /// An entry.
    #[must_use]
    pub fn new(status: OrderStatus, event: EventKind, at: Timestamp) -> Self {
        Self { status, event: event.number(), at }
    }

    /// The event that made it; none if it was written by a newer version that knows more events.
    #[must_use]
    pub fn event(&self) -> Option<EventKind> {
        EventKind::ALL.get(usize::from(self.event)).copied()
    }
}

/// All that the owner of an order stores of it beside the order itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// What has happened.
    pub facts: Facts,
    /// What has happened, told in order.
    pub history: Vec<HistoryEntry>,
    /// Why the order is parked: not driven on until a person closes its dead letter.
    pub parked: Option<Text<64>>,
    /// What roles of other teams have said beside the facts; none while they have said nothing else.
    pub external: Option<Box<ExternalRecord>>,
}

/// What is kept of the answers of other teams' roles that are no facts, or not yet.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ExternalRecord {
    /// A payment that is not the order's total. It waits for a person.
    pub payment: Option<(Money, Text<50>, Timestamp)>,
    /// A reservation of other lines than were ordered. It waits for a person.
    pub stock: Option<(Vec<ReservedLine>, Timestamp)>,
    /// When a person accepted such a payment.
    pub payment_accepted: Option<Timestamp>,
    /// When a person accepted such a reservation.
    pub stock_accepted: Option<Timestamp>,
    /// The kinds of events that contradicted what was recorded, a bit for each ([`EventKind::number`]): each has had its dead letter.
    pub contradictions: u32,
    /// When it was said that nothing is held any more, before anybody was known to have asked for that.
    pub released_early: Option<Timestamp>,
    /// Since when an answer is awaited anew, for a person has said so.
    pub awaited_since: Option<Timestamp>,
    /// What the payment was, where it was not in our currency: there `payment`, and the fact that it may become, is the order's total.
    /// Stored beside the rest (`db::codec`).
    #[serde(skip)]
    pub foreign_money: Option<(Money, Text<20>)>,
}

impl Record {
    /// Which state this is: another one whenever a fact was added, or the order parked or let go on.
    #[must_use]
    pub fn revision(&self) -> Revision {
        let told = u64::try_from(self.history.len()).unwrap_or(u64::MAX >> 1);
        Revision(told << 1 | u64::from(self.parked.is_some()))
    }
}
