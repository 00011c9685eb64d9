//! The writing side of the store: typed writes, which the journal gathers into batches; each batch is one transaction.

use crate::domain::{
    Closing, Condition, CorrelationId, DeadLetter, DeadLetterId, Event, IfMissing, Money, NoticeTask, Order, OrderId, OrderStatus, Payment,
    Pricing, Product, ProductChange, ProductId, Role, Shard, StockChange, Text, Timestamp, WriterId,
};
use crate::saga::Record;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::db::rows::{AnalyticsRow, AuditEntry, ConsumedPlace};

/// The identity of a request, so that it is done only once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdempotencyKey {
    /// SHA-256 over key holder, route and the client's key.
    pub key: [u8; 32],
    /// SHA-256 over the parsed body.
    pub body: [u8; 32],
    /// When the key becomes free again.
    pub expires_at: Timestamp,
}

/// The order of a stock keeper's step, and what the step's event needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StockStep {
    /// The order.
    pub order: OrderId,
    /// The order's shard.
    pub shard: Shard,
    /// The correlation id of the request that placed it.
    pub correlation: CorrelationId,
    /// When the step is done.
    pub at: Timestamp,
}

/// Why stock is released.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReleaseReason {
    /// The payment failed; in that case a kept-back shipment forbids the release.
    PaymentFailed,
    /// The order is being undone.
    Cancelled,
}

/// The answer to a request other than placing an order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// The product as it was then.
    Product(Product),
    /// A status and a JSON body.
    Http {
        /// The HTTP status.
        status: u16,
        /// The JSON body.
        body: String,
    },
}

/// An answer that is stored under its request's key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptAnswer {
    /// SHA-256 over the request's body.
    pub body: Vec<u8>,
    /// The answer.
    pub answer: Answer,
    /// When the key becomes free again.
    pub expires_at: Timestamp,
}

/// A person's change of a product.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProductWrite {
    /// Its id.
    pub id: ProductId,
    /// The change.
    pub change: ProductChange,
    /// The condition for the change; if it is not met, [`StockError::Stale`](crate::domain::StockError::Stale).
    pub condition: Condition,
    /// The request's key, if the client sent one.
    pub key: Option<IdempotencyKey>,
    /// The reason, for the audit.
    pub reason: Option<Text<200>>,
    /// Who made it, for the audit.
    pub by: Text<100>,
    /// The time of the write.
    pub at: Timestamp,
}

impl ProductWrite {
    /// An unconditional change.
    #[must_use]
    pub fn of(id: ProductId, change: ProductChange, by: Text<100>, at: Timestamp) -> Self {
        Self { id, change, condition: Condition::None, key: None, reason: None, by, at }
    }

    /// Its audit entries.
    #[must_use]
    pub(super) fn audit(&self, stored: Option<&Product>, now: &Product) -> Vec<AuditEntry> {
        let entry = |what: String| AuditEntry {
            at: self.at,
            by: self.by.as_str().to_owned(),
            action: STOCK_ACTION.to_owned(),
            subject: self.id.to_string(),
            note: Some(match &self.reason {
                Some(reason) => format!("{what}: {reason}"),
                None => what,
            }),
        };
        self.change.told(stored, now).into_iter().map(entry).collect()
    }
}

/// The audit's name for manual stock changes.
pub const STOCK_ACTION: &str = "stock";

/// One write of one role. Each is idempotent because of its own rows.
#[derive(Clone, Debug)]
pub enum Write {
    /// Stores a new order with its items, its `OrderCreated` event and its idempotency key. An id that exists gives
    /// [`PlaceOutcome::Repeated`](super::PlaceOutcome::Repeated), whatever the key; the id is checked first.
    Place {
        /// The order.
        order: Arc<Order>,
        /// Its first record.
        record: Record,
        /// The request's key, if the client sent one.
        key: Option<IdempotencyKey>,
    },
    /// Stores the owner's new record of an order, with the order role's events and dead letters. If the order does not exist, the outcome
    /// is [`RowOutcome::Missing`](super::RowOutcome::Missing) and nothing is written.
    Save {
        /// The order.
        order: Arc<Order>,
        /// The status that follows from the record.
        status: OrderStatus,
        /// Whether anything is owed.
        open: bool,
        /// The record.
        record: Record,
        /// The order role's own events.
        events: Vec<Event>,
        /// What a person must look at.
        letters: Vec<DeadLetter>,
        /// Dead letters that people closed; one that is closed already stays so. The dead letters of this write are added after that.
        closings: Vec<Closing>,
        /// The time of the write.
        at: Timestamp,
    },
    /// Holds an order's stock, all lines or none ([`crate::domain::reserve`]), unless a release came first (then `InventoryReleased` is
    /// repeated). Event: `InventoryReserved` or `InventoryInsufficient`. After [`Write::ShipStock`] the lines are shipped immediately.
    Reserve {
        /// The order.
        order: Arc<Order>,
        /// Whether prices are checked.
        pricing: Pricing,
        /// The time of the write.
        at: Timestamp,
    },
    /// Releases an order's stock, or forbids its later reservation. Event: `InventoryReleased`. After [`Write::HoldStock`], a release for
    /// [`ReleaseReason::PaymentFailed`] does nothing; after [`Write::ShipStock`], no release does anything.
    Release {
        /// The order and the time.
        step: StockStep,
        /// The reason.
        undo: ReleaseReason,
    },
    /// Records that the goods left before payment, which forbids a release for [`ReleaseReason::PaymentFailed`]. No event.
    HoldStock {
        /// The order and the time.
        step: StockStep,
    },
    /// Books an order's held stock as shipped. Event: `InventoryShipped`, without lines if nothing was held.
    ShipStock {
        /// The order and the time.
        step: StockStep,
    },
    /// Stores a payment's new state if [`Payment::follows`] admits it; otherwise [`StepOutcome::Repeated`](super::StepOutcome::Repeated)
    /// with the stored answer.
    SavePayment {
        /// The state.
        payment: Payment,
        /// The order's shard.
        shard: Shard,
        /// The correlation id of the request that placed the order.
        correlation: CorrelationId,
        /// The event that it makes true.
        event: Option<Event>,
        /// What a person must look at, and what nobody needs to look at any more.
        letters: Vec<DeadLetter>,
        /// The dead letter that a person closed with it.
        closing: Option<Box<Closing>>,
    },
    /// Stores a notice's new state. A notice that was sent stays sent ([`StepOutcome::Repeated`](super::StepOutcome::Repeated)).
    SaveNotice {
        /// The state.
        task: NoticeTask,
        /// The order's shard.
        shard: Shard,
        /// The correlation id of the request that placed the order.
        correlation: CorrelationId,
        /// The event that it makes true.
        event: Option<Event>,
        /// What a person must look at.
        letter: Option<DeadLetter>,
        /// The dead letter that a person closed with it.
        closing: Option<Box<Closing>>,
    },
    /// Creates or changes a product ([`ProductChange::apply`]), with its audit entries. The outcome is a
    /// [`ProductOutcome`](super::ProductOutcome). A negative quantity is a bad write.
    ChangeProduct(Box<ProductWrite>),
    /// Stores the answer to a request, for its repeats. A key that has an answer keeps it:
    /// [`AnswerOutcome::Answered`](super::AnswerOutcome::Answered).
    KeepAnswer {
        /// The request's key.
        key: IdempotencyKey,
        /// The answer.
        answer: Answer,
        /// The time of the write.
        at: Timestamp,
    },
    /// Adds a dead letter of a role that does not own the order. An id that exists means the same trouble again: the dead letter is
    /// updated; an open one keeps its time, a closed one is opened again.
    AddLetter(DeadLetter),
    /// Records that a role cannot do a step, if none of its rows says so: the dead letter, and the event for the order's owner, which may
    /// be on another node.
    ParkStep {
        /// The dead letter.
        letter: Box<DeadLetter>,
        /// The event.
        event: Event,
    },
    /// Replaces the origin of a dead letter, open or closed; does nothing if it does not exist.
    MarkLetter {
        /// Its id.
        id: DeadLetterId,
        /// The new origin.
        origin: String,
    },
    /// Audits a manual action that changes no other row, such as setting a breaker.
    Audit(AuditEntry),
    /// Closes an open dead letter, with its audit entry. For a closed one, [`RowOutcome::Missing`](super::RowOutcome::Missing).
    CloseLetter(Closing),
    /// Adds analytics figures counted from a stretch of `source`'s log. If another writer's log ends before `seq`, or its row does not
    /// exist, the outcome is [`CountOutcome::Missing`](super::CountOutcome::Missing) and nothing is added: the database is older than what
    /// was counted of it. If the stored position is not `after`, [`CountOutcome::Repeated`](super::CountOutcome::Repeated): somebody else
    /// has counted too.
    SaveAnalytics {
        /// Rows whose `value` is added to what is stored.
        add: Vec<AnalyticsRow>,
        /// The writer whose log was counted.
        source: WriterId,
        /// The position in that log before the stretch; 0 at the start.
        after: i64,
        /// The position in that log after the stretch.
        seq: i64,
    },
    /// Records that a log is in Kafka up to `seq`. The stored number only grows.
    Published {
        /// The writer whose log it is.
        writer: WriterId,
        /// The last published number.
        seq: i64,
    },
    /// Records how far a role is done with partitions, each named once. What is said last counts: a topic that was made anew begins again.
    Consumed {
        /// The role.
        role: Role,
        /// The partitions.
        places: Vec<ConsumedPlace>,
    },
    /// Claims a dead writer's log, to publish it, for this batch's writer and for a time by the database's clock.
    /// [`RowOutcome::Missing`](super::RowOutcome::Missing) if another writer's claim still holds, or if the writer is alive.
    ClaimLog {
        /// The writer whose log it is.
        writer: WriterId,
        /// Length of the claim in milliseconds.
        lease_ms: u64,
    },
    /// Ends other writers whose leases were seen to have expired, unless they have renewed since; this also ends their logs. The leases are
    /// listed because the write may be stored long after it was submitted, when a healthy writer had no time to renew. A writer with an
    /// open transaction is skipped until that ends.
    EndExpired {
        /// The writers with the leases that were seen.
        leases: Vec<(WriterId, Timestamp)>,
    },
    /// Stores a copy of an order that another node owns. Outcome: the events that waited for it.
    KnowOrder {
        /// The order.
        order: Arc<Order>,
    },
    /// Stores an event that arrived before its order. If the order is known by now:
    /// [`StepOutcome::Repeated`](super::StepOutcome::Repeated) with this event.
    HoldEvent {
        /// The event.
        event: Event,
    },
    /// Takes free shards, or those of dead writers, and puts a [`Marker`](crate::domain::Marker) for each into the log. Outcome:
    /// those markers.
    TakeShards {
        /// The roles.
        roles: Vec<Role>,
        /// The shards.
        shards: Vec<Shard>,
    },
    /// Gives back own shards, so that another writer can take them. Shards of others are not affected.
    ReleaseShards {
        /// The roles.
        roles: Vec<Role>,
        /// The shards.
        shards: Vec<Shard>,
    },
}

impl Write {
    /// Creates a product, or overwrites it, including its available quantity.
    #[must_use]
    pub fn product(id: ProductId, name: Text<255>, price: Money, available: i32) -> Self {
        let (name, price) = (Some(name), Some(price));
        let change = ProductChange { name, price, stock: StockChange::Set(available), discontinued: None, if_missing: IfMissing::Create };
        Self::ChangeProduct(Box::new(ProductWrite::of(id, change, Text::lossy("set-up"), Timestamp(0))))
    }

    /// The role and shard whose owner alone may do this write; `None` if it belongs to no order.
    #[must_use]
    pub fn role_shard(&self) -> Option<(Role, Shard)> {
        match self {
            Self::Place { order, .. } | Self::Save { order, .. } => Some((Role::Order, order.shard)),
            Self::Reserve { order, .. } => Some((Role::Inventory, order.shard)),
            Self::Release { step, .. } | Self::HoldStock { step } | Self::ShipStock { step } => Some((Role::Inventory, step.shard)),
            Self::SavePayment { shard, .. } => Some((Role::Payment, *shard)),
            Self::SaveNotice { shard, .. } => Some((Role::Notification, *shard)),
            Self::ParkStep { letter, event } => Some((letter.role, event.shard)),
            Self::ChangeProduct(_)
            | Self::KeepAnswer { .. }
            | Self::AddLetter(_)
            | Self::MarkLetter { .. }
            | Self::CloseLetter(_)
            | Self::Audit(_)
            | Self::SaveAnalytics { .. }
            | Self::Published { .. }
            | Self::Consumed { .. }
            | Self::ClaimLog { .. }
            | Self::EndExpired { .. }
            | Self::KnowOrder { .. }
            | Self::HoldEvent { .. }
            | Self::TakeShards { .. }
            | Self::ReleaseShards { .. } => None,
        }
    }

    /// The shard that the write names, which must be one of the store's.
    #[must_use]
    pub fn shard(&self) -> Option<Shard> {
        match self {
            Self::KnowOrder { order } => Some(order.shard),
            Self::HoldEvent { event } => Some(event.shard),
            Self::Place { .. }
            | Self::Save { .. }
            | Self::Reserve { .. }
            | Self::Release { .. }
            | Self::HoldStock { .. }
            | Self::ShipStock { .. }
            | Self::SavePayment { .. }
            | Self::SaveNotice { .. }
            | Self::ChangeProduct(_)
            | Self::KeepAnswer { .. }
            | Self::AddLetter(_)
            | Self::ParkStep { .. }
            | Self::MarkLetter { .. }
            | Self::CloseLetter(_)
            | Self::Audit(_)
            | Self::SaveAnalytics { .. }
            | Self::Published { .. }
            | Self::Consumed { .. }
            | Self::ClaimLog { .. }
            | Self::EndExpired { .. }
            | Self::TakeShards { .. }
            | Self::ReleaseShards { .. } => self.role_shard().map(|(_, shard)| shard),
        }
    }
}
