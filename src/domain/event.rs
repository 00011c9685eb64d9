//! Events: what has happened to an order, named in the past tense. Each is stored in the event log in the transaction that made it true.

use super::ids::Derived;
use super::{
    Channel, CorrelationId, EventId, ExternalIds, Money, NoticeId, NoticeKind, Order, OrderId, OrderLine, PaymentId, ProductId, Quantity,
    ReservationId, Role, Shard, Text, Timestamp, Topic,
};
use crate::domain::channel::notice_id;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One line of stock held for an order; its `reservationId` is derived from the order and the line's index.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReservedLine {
    /// The product.
    pub product: ProductId,
    /// The quantity.
    pub quantity: Quantity,
}

impl From<&OrderLine> for ReservedLine {
    fn from(line: &OrderLine) -> Self {
        Self { product: line.product, quantity: line.quantity }
    }
}

/// Why a line is not available.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Shortage {
    /// Less is available than ordered.
    OutOfStock {
        /// The product.
        product: ProductId,
        /// Quantity ordered.
        requested: u32,
        /// Quantity available.
        available: u32,
    },
    /// The client's price differs from the catalogue's.
    PriceMismatch {
        /// The product.
        product: ProductId,
        /// The client's price.
        asked: Money,
        /// The catalogue's price.
        price: Money,
    },
    /// Not in the catalogue.
    UnknownProduct {
        /// The product.
        product: ProductId,
    },
    /// Off sale.
    Discontinued {
        /// The product.
        product: ProductId,
    },
}

impl Shortage {
    /// A short code: `out-of-stock`, `price-mismatch`, `unknown-product`, `discontinued`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::OutOfStock { .. } => "out-of-stock",
            Self::PriceMismatch { .. } => "price-mismatch",
            Self::UnknownProduct { .. } => "unknown-product",
            Self::Discontinued { .. } => "discontinued",
        }
    }

    /// The product it is about.
    #[must_use]
    pub fn product(&self) -> ProductId {
        match self {
            Self::OutOfStock { product, .. }
            | Self::PriceMismatch { product, .. }
            | Self::UnknownProduct { product }
            | Self::Discontinued { product } => *product,
        }
    }
}

/// Who cancelled an order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum CancelledBy {
    /// The customer.
    Customer,
    /// An operator.
    Operator,
    /// The stock was held too long without payment.
    Expiry,
    /// The payment took too long.
    PaymentDeadline,
}

impl CancelledBy {
    /// The reason's name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Customer => "cancelled-by-customer",
            Self::Operator => "cancelled-by-operator",
            Self::Expiry => "expired",
            Self::PaymentDeadline => "payment-deadline",
        }
    }
}

/// The content of an event. The stored form of this enum is fixed: new variants and new versions go to the end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum EventBody {
    /// The order was accepted.
    OrderCreated(Arc<Order>),
    /// Its stock is held.
    InventoryReserved {
        /// The held lines.
        lines: Vec<ReservedLine>,
    },
    /// There is not enough stock for it.
    InventoryInsufficient {
        /// Every line that is not available, and why.
        shortages: Vec<Shortage>,
    },
    /// Nothing is held any more (and nothing will be).
    InventoryReleased {
        /// What was held; empty when nothing was.
        lines: Vec<ReservedLine>,
    },
    /// The held stock has left.
    InventoryShipped {
        /// What has left.
        lines: Vec<ReservedLine>,
    },
    /// The charge succeeded.
    PaymentProcessed {
        /// Amount charged.
        amount: Money,
        /// The payment method.
        method: Text<50>,
    },
    /// The charge failed for good.
    PaymentFailed {
        /// The provider's reason.
        reason: Text<200>,
    },
    /// Nothing was or ever will be charged.
    PaymentCancelled,
    /// The charge was refunded.
    PaymentRefunded {
        /// Amount refunded.
        amount: Money,
    },
    /// The order is paid.
    OrderConfirmed,
    /// Cancellation of the order was requested.
    OrderCancelRequested {
        /// Who asked.
        by: CancelledBy,
    },
    /// The order is undone, or there was not enough stock.
    OrderCancelled {
        /// Why.
        reason: Text<200>,
        /// Whether it had been paid.
        was_paid: bool,
    },
    /// The payment failed and nothing is held any more.
    OrderFailed {
        /// Why.
        reason: Text<200>,
    },
    /// The goods left before the payment's answer: the stock must not be released.
    ShipmentHeld,
    /// The goods were shipped.
    OrderShipped {
        /// The carrier.
        carrier: Option<Text<100>>,
        /// The tracking number.
        tracking: Option<Text<100>>,
    },
    /// A notice was sent.
    NotificationSent {
        /// The kind of notice.
        kind: NoticeKind,
        /// Its channel.
        channel: Channel,
    },
    /// A try to send a notice failed.
    NotificationFailed {
        /// The kind of notice.
        kind: NoticeKind,
        /// Its channel.
        channel: Channel,
        /// The number of the try, from 1.
        attempt: u32,
        /// Whether the notice is given up.
        last: bool,
        /// What the provider said.
        reason: Text<200>,
    },
    /// The order has recorded the answer of a role that another team runs. Our roles act on this event, never on that role's own: what the
    /// order does not accept has no effect.
    AnswerAccepted {
        /// That role's answer.
        answer: Box<EventBody>,
    },
    /// A step failed for good in a role on another node than its order: the order must be parked. The role has stored the dead letter.
    StepParked {
        /// The role.
        role: Role,
        /// The step.
        step: Text<64>,
        /// A short code to group by.
        cause: Text<64>,
        /// What happened in detail, for a person.
        detail: Text<1000>,
        /// Number of tries.
        tries: u32,
    },
    /// Another team's payment that was not in this node's currency. It never becomes a fact in this form and is never stored.
    PaidInOtherCurrency {
        /// Amount charged, in that currency.
        amount: Money,
        /// That currency.
        currency: Text<20>,
        /// The payment method.
        method: Text<50>,
    },
}

/// An event's name; see [`EventBody`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "each is named and documented in EventBody")]
pub enum EventKind {
    OrderCreated,
    InventoryReserved,
    InventoryInsufficient,
    InventoryReleased,
    InventoryShipped,
    PaymentProcessed,
    PaymentFailed,
    PaymentCancelled,
    PaymentRefunded,
    OrderConfirmed,
    OrderCancelRequested,
    OrderCancelled,
    OrderFailed,
    ShipmentHeld,
    OrderShipped,
    NotificationSent,
    NotificationFailed,
    AnswerAccepted,
    PaymentParked,
    InventoryParked,
}

impl EventKind {
    /// All values, in the sequence of their stored numbers.
    pub const ALL: [Self; 20] = [
        Self::OrderCreated,
        Self::InventoryReserved,
        Self::InventoryInsufficient,
        Self::InventoryReleased,
        Self::InventoryShipped,
        Self::PaymentProcessed,
        Self::PaymentFailed,
        Self::PaymentCancelled,
        Self::PaymentRefunded,
        Self::OrderConfirmed,
        Self::OrderCancelRequested,
        Self::OrderCancelled,
        Self::OrderFailed,
        Self::ShipmentHeld,
        Self::OrderShipped,
        Self::NotificationSent,
        Self::NotificationFailed,
        Self::AnswerAccepted,
        Self::PaymentParked,
        Self::InventoryParked,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OrderCreated => "OrderCreated",
            Self::InventoryReserved => "InventoryReserved",
            Self::InventoryInsufficient => "InventoryInsufficient",
            Self::InventoryReleased => "InventoryReleased",
            Self::InventoryShipped => "InventoryShipped",
            Self::PaymentProcessed => "PaymentProcessed",
            Self::PaymentFailed => "PaymentFailed",
            Self::PaymentCancelled => "PaymentCancelled",
            Self::PaymentRefunded => "PaymentRefunded",
            Self::OrderConfirmed => "OrderConfirmed",
            Self::OrderCancelRequested => "OrderCancelRequested",
            Self::OrderCancelled => "OrderCancelled",
            Self::OrderFailed => "OrderFailed",
            Self::ShipmentHeld => "ShipmentHeld",
            Self::OrderShipped => "OrderShipped",
            Self::NotificationSent => "NotificationSent",
            Self::NotificationFailed => "NotificationFailed",
            Self::AnswerAccepted => "AnswerAccepted",
            Self::PaymentParked => "PaymentParked",
            Self::InventoryParked => "InventoryParked",
        }
    }

    /// The kind with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The stored number.
    #[must_use]
    pub fn number(self) -> u8 {
        u8::try_from(Self::ALL.iter().position(|kind| *kind == self).unwrap_or(0)).unwrap_or(0)
    }

    /// The roles that consume it; this table is the choreography. For an accepted answer, the subscribers are those of the answer itself;
    /// see [`Event::subscribers`].
    #[must_use]
    pub fn subscribers(self) -> &'static [Role] {
        match self {
            Self::OrderCreated | Self::ShipmentHeld => &[Role::Inventory],
            Self::InventoryReserved => &[Role::Order, Role::Payment],
            Self::InventoryInsufficient
            | Self::InventoryReleased
            | Self::InventoryShipped
            | Self::PaymentRefunded
            | Self::NotificationSent
            | Self::NotificationFailed
            | Self::PaymentParked
            | Self::InventoryParked => &[Role::Order],
            Self::PaymentProcessed => &[Role::Order, Role::Notification],
            Self::PaymentFailed => &[Role::Order, Role::Inventory, Role::Notification],
            Self::PaymentCancelled => &[Role::Order, Role::Inventory],
            Self::OrderCancelRequested | Self::AnswerAccepted => &[Role::Inventory, Role::Payment, Role::Notification],
            Self::OrderShipped => &[Role::Inventory, Role::Notification],
            Self::OrderCancelled | Self::OrderFailed => &[Role::Notification],
            Self::OrderConfirmed => &[],
        }
    }

    /// The topic that carries it; the role that writes that topic is the source of the event.
    #[must_use]
    pub fn topic(self) -> Topic {
        match self {
            Self::OrderCreated
            | Self::OrderConfirmed
            | Self::OrderCancelRequested
            | Self::OrderCancelled
            | Self::OrderFailed
            | Self::ShipmentHeld
            | Self::OrderShipped
            | Self::AnswerAccepted => Topic::Order,
            Self::InventoryReserved
            | Self::InventoryInsufficient
            | Self::InventoryReleased
            | Self::InventoryShipped
            | Self::InventoryParked => Topic::Inventory,
            Self::PaymentProcessed | Self::PaymentFailed | Self::PaymentCancelled | Self::PaymentRefunded | Self::PaymentParked => {
                Topic::Payment
            }
            Self::NotificationSent | Self::NotificationFailed => Topic::Notification,
        }
    }
}

impl EventBody {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Self::OrderCreated(_) => EventKind::OrderCreated,
            Self::InventoryReserved { .. } => EventKind::InventoryReserved,
            Self::InventoryInsufficient { .. } => EventKind::InventoryInsufficient,
            Self::InventoryReleased { .. } => EventKind::InventoryReleased,
            Self::InventoryShipped { .. } => EventKind::InventoryShipped,
            Self::PaymentProcessed { .. } | Self::PaidInOtherCurrency { .. } => EventKind::PaymentProcessed,
            Self::PaymentFailed { .. } => EventKind::PaymentFailed,
            Self::PaymentCancelled => EventKind::PaymentCancelled,
            Self::PaymentRefunded { .. } => EventKind::PaymentRefunded,
            Self::OrderConfirmed => EventKind::OrderConfirmed,
            Self::OrderCancelRequested { .. } => EventKind::OrderCancelRequested,
            Self::OrderCancelled { .. } => EventKind::OrderCancelled,
            Self::OrderFailed { .. } => EventKind::OrderFailed,
            Self::ShipmentHeld => EventKind::ShipmentHeld,
            Self::OrderShipped { .. } => EventKind::OrderShipped,
            Self::NotificationSent { .. } => EventKind::NotificationSent,
            Self::NotificationFailed { .. } => EventKind::NotificationFailed,
            Self::AnswerAccepted { .. } => EventKind::AnswerAccepted,
            Self::StepParked { role: Role::Inventory, .. } => EventKind::InventoryParked,
            Self::StepParked { .. } => EventKind::PaymentParked,
        }
    }

    /// What a role acts on: for an accepted answer, the answer itself.
    #[must_use]
    pub fn content(&self) -> &Self {
        if let Self::AnswerAccepted { answer } = self { answer } else { self }
    }
}

/// One event of one order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// The order.
    pub order: OrderId,
    /// Its shard.
    pub shard: Shard,
    /// The request that placed the order.
    pub correlation: CorrelationId,
    /// When it became true.
    pub at: Timestamp,
    /// Its content.
    pub body: EventBody,
    /// What the team calls it that has said it, or that has said what is accepted here. Stored beside the rest (`db::codec`).
    #[serde(skip)]
    pub external_ids: Option<Box<ExternalIds>>,
}

impl Event {
    /// An event of `order`.
    #[must_use]
    pub fn of(order: &Order, at: Timestamp, body: EventBody) -> Self {
        Self { order: order.id, shard: order.shard, correlation: order.correlation, at, body, external_ids: None }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        self.body.kind()
    }

    /// The roles that consume it. The order role is not among them for an accepted answer, because it comes from the order itself.
    pub fn subscribers(&self) -> impl Iterator<Item = Role> + use<> {
        let is_accepted = self.kind() == EventKind::AnswerAccepted;
        let of_content = self.body.content().kind().subscribers().iter().copied();
        of_content.filter(move |role| !(is_accepted && *role == Role::Order))
    }

    /// Its id, derived from the order and the content, so that a repeat has the same id.
    #[must_use]
    pub fn id(&self) -> EventId {
        let detail = match &self.body {
            EventBody::NotificationSent { kind, channel } => u32::from(kind.number()) * 2 + u32::from(channel.number()),
            EventBody::NotificationFailed { kind, channel, attempt, .. } => {
                (attempt << 3) | (u32::from(kind.number()) * 2 + u32::from(channel.number()))
            }
            EventBody::AnswerAccepted { answer } => u32::from(answer.kind().number()),
            // It may be parked anew after a person has looked at it.
            EventBody::StepParked { .. } => u32::try_from((self.at.0 / 1_000_000) & 0x00ff_ffff).unwrap_or(0),
            EventBody::OrderCreated(_)
            | EventBody::InventoryReserved { .. }
            | EventBody::InventoryInsufficient { .. }
            | EventBody::InventoryReleased { .. }
            | EventBody::InventoryShipped { .. }
            | EventBody::PaymentProcessed { .. }
            | EventBody::PaidInOtherCurrency { .. }
            | EventBody::PaymentFailed { .. }
            | EventBody::PaymentCancelled
            | EventBody::PaymentRefunded { .. }
            | EventBody::OrderConfirmed
            | EventBody::OrderCancelRequested { .. }
            | EventBody::OrderCancelled { .. }
            | EventBody::OrderFailed { .. }
            | EventBody::ShipmentHeld
            | EventBody::OrderShipped { .. } => 0,
        };
        EventId(self.order.derive(Derived::Event((u32::from(self.kind().number()) << 24) | (detail & 0x00ff_ffff))))
    }

    /// The id of the event that placed this order, the first of its trace.
    #[must_use]
    pub fn placing(order: OrderId) -> EventId {
        EventId(order.derive(Derived::Event(u32::from(EventKind::OrderCreated.number()) << 24)))
    }

    /// The id of the order's only payment.
    #[must_use]
    pub fn payment(&self) -> PaymentId {
        self.order.payment()
    }

    /// The id of its reserved line `line`.
    #[must_use]
    pub fn reservation(&self, line: u32) -> ReservationId {
        self.order.reservation(line)
    }

    /// The id of the notice that a notification event is about.
    #[must_use]
    pub fn notice(&self, kind: NoticeKind, channel: Channel) -> NoticeId {
        notice_id(self.order, kind, channel)
    }
}
