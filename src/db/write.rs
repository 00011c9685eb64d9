//! The writing side: typed writes, gathered by the journal into batches, each batch one transaction.

use crate::domain::{
    Condition, CorrelationId, DeadLetter, DeadLetterId, DeadLetterState, Event, IfMissing, Marker, Money, NoticeTask, Order, OrderId,
    OrderStatus, Payment, Pricing, Product, ProductChange, ProductId, Role, Shard, StockChange, StockError, Text, Timestamp, WriterId,
};
use crate::saga::Record;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::db::rows::{AnalyticsRow, AuditEntry};

/// A request's identity, so that it is done once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdempotencyKey {
    /// SHA-256 over key holder, route and the client's key.
    pub key: [u8; 32],
    /// SHA-256 over the parsed body.
    pub body: [u8; 32],
    /// From then on the key is free again.
    pub expires_at: Timestamp,
}

/// Which order a stock keeper's step is for, and what its event needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StockStep {
    /// Which order.
    pub order: OrderId,
    /// Its shard.
    pub shard: Shard,
    /// The request that placed it.
    pub correlation: CorrelationId,
    /// When the step is taken.
    pub at: Timestamp,
}

/// Why stock is given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReleaseReason {
    /// The payment failed: a held shipment forbids the release.
    PaymentFailed,
    /// The order is being undone.
    Cancelled,
}

/// What a request was answered that was not an order's placing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// A product as it was then.
    Product(Product),
    /// A status and a JSON text.
    Http {
        /// The status.
        status: u16,
        /// The body.
        body: String,
    },
}

/// An answer that is kept under its request's key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptAnswer {
    /// SHA-256 over the request's body.
    pub body: Vec<u8>,
    /// What it was answered.
    pub answer: Answer,
    /// From then on the key is free again.
    pub expires_at: Timestamp,
}

/// A person's change of a product.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProductWrite {
    /// Which.
    pub id: ProductId,
    /// What is changed.
    pub change: ProductChange,
    /// What must be true of it; else [`StockError::Stale`].
    pub condition: Condition,
    /// The request's key, if the client sent one.
    pub key: Option<IdempotencyKey>,
    /// Why, for the audit.
    pub reason: Option<Text<200>>,
    /// Who, for the audit.
    pub by: Text<100>,
    /// When.
    pub at: Timestamp,
}

impl ProductWrite {
    /// An unconditional change.
    #[must_use]
    pub fn of(id: ProductId, change: ProductChange, by: Text<100>, at: Timestamp) -> Self {
        Self { id, change, condition: Condition::None, key: None, reason: None, by, at }
    }

    /// What the audit says of it.
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

/// What the audit calls what persons do to the stock.
pub const STOCK_ACTION: &str = "stock";

/// One write of one role. Each is idempotent by its own rows.
#[derive(Clone, Debug)]
pub enum Write {
    /// A new order with its items, its `OrderCreated` event and its idempotency key. An id that exists is [`Outcome::Repeated`],
    /// whatever its key; the id is looked at first.
    Place {
        /// The order.
        order: Arc<Order>,
        /// Its first record.
        record: Record,
        /// The request's key, if the client sent one.
        key: Option<IdempotencyKey>,
    },
    /// The owner's new record of an order, with the order role's events and dead letters. An order that does not exist is
    /// [`Outcome::Missing`], and nothing is written.
    Save {
        /// Which order.
        order: Arc<Order>,
        /// The status that the record makes.
        status: OrderStatus,
        /// Whether anything is owed.
        open: bool,
        /// The record.
        record: Record,
        /// The order role's own events.
        events: Vec<Event>,
        /// What a person must look at.
        letters: Vec<DeadLetter>,
        /// When.
        at: Timestamp,
    },
    /// Hold an order's stock, all lines or none ([`crate::domain::reserve`]), unless a release came first (then a repeat of
    /// `InventoryReleased`). Event: `InventoryReserved` or `InventoryInsufficient`. After [`Write::ShipStock`] the lines leave at once.
    Reserve {
        /// The order.
        order: Arc<Order>,
        /// Whether prices are checked.
        pricing: Pricing,
        /// When.
        at: Timestamp,
    },
    /// Give an order's stock back, or forbid its later reservation. Event: `InventoryReleased`. After [`Write::HoldStock`] a
    /// release for [`ReleaseReason::PaymentFailed`] does nothing, after [`Write::ShipStock`] none does.
    Release {
        /// For which order.
        step: StockStep,
        /// Why.
        undo: ReleaseReason,
    },
    /// The goods have left before payment: a release for [`ReleaseReason::PaymentFailed`] must not happen. No event.
    HoldStock {
        /// For which order.
        step: StockStep,
    },
    /// Book an order's held stock out. Event: `InventoryShipped`. Nothing held: an event with no lines.
    ShipStock {
        /// For which order.
        step: StockStep,
    },
    /// The payment's new state, if [`Payment::follows`] admits it, else [`Outcome::Repeated`] with the stored answer.
    SavePayment {
        /// The state.
        payment: Payment,
        /// Which shard the order is in.
        shard: Shard,
        /// The request that placed the order.
        correlation: CorrelationId,
        /// What it makes true.
        event: Option<Event>,
        /// What a person must look at.
        letter: Option<DeadLetter>,
    },
    /// A notice's new state; a notice that is sent stays sent ([`Outcome::Repeated`]).
    SaveNotice {
        /// The state.
        task: NoticeTask,
        /// Which shard the order is in.
        shard: Shard,
        /// The request that placed the order.
        correlation: CorrelationId,
        /// What it makes true.
        event: Option<Event>,
        /// What a person must look at.
        letter: Option<DeadLetter>,
    },
    /// Creates or changes a product ([`ProductChange::apply`]), with its audit entries. Answer: [`Outcome::Product`] or
    /// [`Outcome::Stock`]; under a key that was used, [`Outcome::Answered`]. A quantity below zero is a bad write.
    ChangeProduct(Box<ProductWrite>),
    /// Keeps what a request was answered, for its repeats. A key that has an answer keeps it: [`Outcome::Answered`].
    KeepAnswer {
        /// The request's key.
        key: IdempotencyKey,
        /// What it was answered.
        answer: Answer,
        /// When.
        at: Timestamp,
    },
    /// Puts a letter of a role without an order of its own into the desk. An id that is there is the same trouble again: it tells
    /// the newest; an open letter keeps its time, a closed one is opened again.
    AddLetter(DeadLetter),
    /// A step of a role failed past its policy, and its order is elsewhere: the letter, and the event that tells the order's owner.
    ParkStep {
        /// The letter.
        letter: Box<DeadLetter>,
        /// The event.
        event: Event,
    },
    /// Replaces a letter's origin, open or closed; one that is not there is none. Answer: [`Outcome::Done`].
    MarkLetter {
        /// Which.
        id: DeadLetterId,
        /// What it keeps of its message from now on.
        origin: String,
    },
    /// What a person did that changes no row: to a breaker.
    Audit(AuditEntry),
    /// Closes an open letter, with its audit entry. A closed one is [`Outcome::Missing`].
    CloseLetter {
        /// Which.
        id: DeadLetterId,
        /// How.
        state: DeadLetterState,
        /// Who.
        by: Text<100>,
        /// Why.
        note: Option<Text<200>>,
        /// When.
        at: Timestamp,
    },
    /// The analytics numbers that changed, and which stretch of `source`'s log they count. Where the stored position is not `after`
    /// it is [`Outcome::Repeated`], and nothing is added: whoever counted was not the only one.
    SaveAnalytics {
        /// Rows whose `value` is added to what is stored.
        add: Vec<AnalyticsRow>,
        /// Whose log was counted.
        source: WriterId,
        /// After this number of it; 0 at the log's begin.
        after: i64,
        /// Up to this number of it.
        seq: i64,
    },
    /// A log is in Kafka up to `seq`. Only ever grows.
    Published {
        /// Whose log.
        writer: WriterId,
        /// Up to this number.
        seq: i64,
    },
    /// Claims the publishing of a dead writer's log for the writer of this batch, for a time by the database's clock. Another's claim
    /// that has not ended, and a writer that is alive, are [`Outcome::Missing`].
    ClaimLog {
        /// Whose log.
        writer: WriterId,
        /// For so many milliseconds.
        lease_ms: u64,
    },
    /// Sets other writers not alive whose leases were seen to have ended, unless they have renewed them since; that ends their logs.
    /// Named, because this may be stored much later than it was asked for, when a writer that is well had no time to renew. One
    /// whose transaction is still open is passed over until it has ended.
    EndExpired {
        /// The writers, and their leases as they were seen.
        leases: Vec<(WriterId, Timestamp)>,
    },
    /// Keeps a copy of an order whose owner is elsewhere. Answer: [`Outcome::Repeated`] with the events that waited for it.
    KnowOrder {
        /// The order.
        order: Arc<Order>,
    },
    /// Keeps an event that came before its order. If the order is known by now: [`Outcome::Repeated`] with this event.
    HoldEvent {
        /// The event.
        event: Event,
    },
    /// Takes free shards, or those of writers that are not alive, and puts a [`Marker`] for each into the log.
    /// Answer: [`Outcome::Taken`].
    TakeShards {
        /// For these roles.
        roles: Vec<Role>,
        /// These shards.
        shards: Vec<Shard>,
    },
    /// Gives own shards back, so that another may take them; those of others stay.
    ReleaseShards {
        /// For these roles.
        roles: Vec<Role>,
        /// These shards.
        shards: Vec<Shard>,
    },
}

impl Write {
    /// Sets up a product: creates it, or makes it this, its available quantity too.
    #[must_use]
    pub fn product(id: ProductId, name: Text<255>, price: Money, available: i32) -> Self {
        let (name, price) = (Some(name), Some(price));
        let change = ProductChange { name, price, stock: StockChange::Set(available), discontinued: None, if_missing: IfMissing::Create };
        Self::ChangeProduct(Box::new(ProductWrite::of(id, change, Text::lossy("set-up"), Timestamp(0))))
    }

    /// The role and the shard whose owner alone may write this; none for what belongs to no order.
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
            | Self::CloseLetter { .. }
            | Self::Audit(_)
            | Self::SaveAnalytics { .. }
            | Self::Published { .. }
            | Self::ClaimLog { .. }
            | Self::EndExpired { .. }
            | Self::KnowOrder { .. }
            | Self::HoldEvent { .. }
            | Self::TakeShards { .. }
            | Self::ReleaseShards { .. } => None,
        }
    }

    /// The shard that it names, which must be one of the store's.
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
            | Self::CloseLetter { .. }
            | Self::Audit(_)
            | Self::SaveAnalytics { .. }
            | Self::Published { .. }
            | Self::ClaimLog { .. }
            | Self::EndExpired { .. }
            | Self::TakeShards { .. }
            | Self::ReleaseShards { .. } => self.role_shard().map(|(_, shard)| shard),
        }
    }
}

/// What became of one write.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// Stored.
    Done,
    /// It had been done before, nothing was written now: the stored answers (none where the write has none).
    Repeated(Vec<Event>),
    /// The idempotency key belongs to another order.
    KeyTaken {
        /// That order.
        order: OrderId,
        /// Whether it was placed with the same body.
        same_body: bool,
    },
    /// The product as it is now.
    Product(Product),
    /// The idempotency key was used: nothing was written.
    Answered {
        /// What was answered then.
        answer: Answer,
        /// Whether the request's body was the same.
        same_body: bool,
    },
    /// The stock change was refused.
    Stock(StockError),
    /// What the write is about does not exist (any more).
    Missing,
    /// The shards that were taken.
    Taken(Vec<Marker>),
    /// It is stored, but how it was decided is not known any more (the reply to COMMIT was lost): load again.
    Recorded,
    /// It is known not to be stored.
    NotStored,
    /// It is known not to be stored: its shard is not this node's (any more).
    NotOurs,
    /// The database refuses this write, alone; the text says why.
    Refused(Arc<str>),
}
