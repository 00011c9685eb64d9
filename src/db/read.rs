//! The reading side: committed rows, read without waiting for the writer.

use super::write::KeptAnswer;
use crate::config::{ClusterKey, Purpose};
use crate::db::error::StoreError;
use crate::db::rows::{AnalyticsRow, AuditEntry, Consumption};
use crate::domain::{
    Channel, CustomerId, DeadLetter, DeadLetterId, DeadLetterKind, DeadLetterState, LoggedEvent, Marker, Money, NoticeTask, Order, OrderId,
    OrderStatus, Payment, Product, ProductId, ReservedLine, Role, Shard, Shards, Timestamp, WriterId,
};
use crate::saga::Record;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An order with its owner's record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredOrder {
    /// The order.
    pub order: Arc<Order>,
    /// What has happened to the order.
    pub record: Record,
    /// The stored status.
    pub status: OrderStatus,
    /// Whether anything is owed.
    pub open: bool,
    /// When the record was last stored.
    pub updated_at: Timestamp,
}

/// An order in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderRow {
    /// The order's id.
    pub id: OrderId,
    /// The customer.
    pub customer: CustomerId,
    /// Its status.
    pub status: OrderStatus,
    /// Its total.
    pub total: Money,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// The most rows to examine for one page, however few of them pass the filter, so that a reader is soon free again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scan(pub u32);

impl Scan {
    /// The number of rows before the last one.
    pub(in crate::db) fn before_last(self) -> i64 {
        i64::from(self.0).saturating_sub(1).max(0)
    }
}

impl Default for Scan {
    fn default() -> Self {
        Self(10_000)
    }
}

/// A page of a list. It may hold fewer rows than requested, or none, and still not be the last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<Row, Place> {
    /// The rows that passed the filter.
    pub rows: Vec<Row>,
    /// Where the next page starts (the filter's `before`); `None` on the last page.
    pub next: Option<Place>,
}

impl<Row, Place> Page<Row, Place> {
    /// Makes a page. `rows` are those that pass, in sequence, one more than `limit` if there are that many. `end` is the last place that
    /// was examined, unless it is the last of all.
    pub(in crate::db) fn of(mut rows: Vec<Row>, limit: u32, end: Option<Place>, place: impl Fn(&Row) -> Place) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next = if has_more { rows.last().map(place) } else { end };
        Self { rows, next }
    }
}

/// Which orders to list: newest first, after `before` (exclusive).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OrderFilter {
    /// Only orders of this customer.
    pub customer: Option<CustomerId>,
    /// Only orders in this status.
    pub status: Option<OrderStatus>,
    /// Only orders accepted at or after this time.
    pub from: Option<Timestamp>,
    /// Only orders accepted before this time.
    pub to: Option<Timestamp>,
    /// Only orders with a smaller id: where the previous page ended.
    pub before: Option<OrderId>,
    /// The most rows to return.
    pub limit: u32,
    /// The most rows to examine.
    pub scan: Scan,
}

impl OrderFilter {
    /// Whether every order of the customer passes it.
    pub(in crate::db) fn passes_all(&self) -> bool {
        self.status.is_none() && self.from.is_none() && self.to.is_none()
    }

    pub(in crate::db) fn passes(&self, row: &OrderRow) -> bool {
        self.customer.is_none_or(|customer| row.customer == customer)
            && self.status.is_none_or(|status| row.status == status)
            && self.from.is_none_or(|from| row.created_at >= from)
            && self.to.is_none_or(|to| row.created_at < to)
    }
}

/// Which dead letters to list: newest first, after `before` (exclusive).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DeadLetterFilter {
    /// Only those in this state.
    pub state: Option<DeadLetterState>,
    /// Only this kind.
    pub kind: Option<DeadLetterKind>,
    /// Only this cause.
    pub cause: Option<String>,
    /// Only this step.
    pub step: Option<String>,
    /// Only this order.
    pub order: Option<OrderId>,
    /// Where the previous page ended.
    pub before: Option<DeadLetterPlace>,
    /// The most rows to return.
    pub limit: u32,
    /// The most rows to examine.
    pub scan: Scan,
}

/// A dead letter's place in their list.
pub type DeadLetterPlace = (Timestamp, DeadLetterId);

impl DeadLetterFilter {
    /// Whether every dead letter of the order passes it.
    pub(in crate::db) fn passes_all(&self) -> bool {
        self.state.is_none() && self.kind.is_none() && self.cause.is_none() && self.step.is_none()
    }

    pub(in crate::db) fn passes(&self, letter: &DeadLetter) -> bool {
        self.state.is_none_or(|state| letter.state == state)
            && self.kind.is_none_or(|kind| letter.kind == kind)
            && self.cause.as_ref().is_none_or(|cause| letter.cause.as_str() == cause)
            && self.step.as_ref().is_none_or(|step| letter.step.as_str() == step)
            && self.order.is_none_or(|order| letter.order == Some(order))
    }
}

/// The open dead letters with the same kind, cause and step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetterGroup {
    /// The kind.
    pub kind: DeadLetterKind,
    /// The cause.
    pub cause: String,
    /// The step.
    pub step: String,
    /// The number of them.
    pub count: u64,
    /// When the oldest was created.
    pub oldest: Timestamp,
    /// When the newest was created.
    pub newest: Timestamp,
}

/// Which stock corrections to list: newest first, after `before` (exclusive).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CorrectionFilter {
    /// Only this product.
    pub product: Option<ProductId>,
    /// Only corrections with a smaller number: where the previous page ended.
    pub before: Option<i64>,
    /// The most rows to return.
    pub limit: u32,
}

/// A manual stock correction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Correction {
    /// Its place in the audit.
    pub number: i64,
    /// What was done.
    pub entry: AuditEntry,
}

/// A writer's row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WriterRow {
    /// The writer.
    pub writer: WriterId,
    /// The node that runs it.
    pub node: String,
    /// The node's address, as it reports it.
    pub url: String,
    /// The proof of that address.
    pub proof: String,
    /// Whether it may still write.
    pub alive: bool,
    /// The roles that it hosts.
    pub roles: Vec<Role>,
    /// When its lease ends.
    pub lease_until: Timestamp,
    /// How long that is from now by the database's clock, in milliseconds; negative if it has passed.
    pub lease_left_ms: i64,
    /// The number of its transactions.
    pub commits: i64,
    /// The last number in its log.
    pub last_seq: i64,
    /// The last number of its log that is in Kafka.
    pub published_seq: i64,
    /// The writer that publishes this dead writer's log; `None` if nobody has claimed it, or the claim has ended.
    pub publisher: Option<WriterId>,
}

impl WriterRow {
    /// Whether the address is proved by `key`: any login of the database can write an address.
    #[must_use]
    pub fn is_proved(&self, key: &ClusterKey) -> bool {
        key.proves(Purpose::Address, &[&self.writer.0.to_string(), &self.url], &self.proof)
    }
}

/// One entry of a writer's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogEntry {
    /// An event.
    Event(LoggedEvent),
    /// The marker of a taken shard.
    Marker {
        /// Its number.
        seq: i64,
        /// Its content.
        marker: Marker,
    },
}

impl LogEntry {
    /// Its number.
    #[must_use]
    pub fn seq(&self) -> i64 {
        match self {
            Self::Event(logged) => logged.seq,
            Self::Marker { seq, .. } => *seq,
        }
    }

    /// The event, if it is one.
    #[must_use]
    pub fn into_event(self) -> Option<LoggedEvent> {
        match self {
            Self::Event(logged) => Some(logged),
            Self::Marker { .. } => None,
        }
    }
}

/// The open orders in one status, in all shards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenCount {
    /// The status.
    pub status: OrderStatus,
    /// The number of them.
    pub count: u64,
    /// When the oldest was placed.
    pub oldest: Timestamp,
}

impl OpenCount {
    /// Counts one more order.
    pub(super) fn add(counts: &mut BTreeMap<OrderStatus, Self>, status: OrderStatus, placed: Timestamp) {
        let open = counts.entry(status).or_insert(Self { status, count: 0, oldest: placed });
        open.count += 1;
        open.oldest = open.oldest.min(placed);
    }
}

/// A shard's row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShardRow {
    /// The role.
    pub role: Role,
    /// The shard.
    pub shard: Shard,
    /// The owner; `None` if it is free.
    pub writer: Option<WriterId>,
}

/// Everything stored of one order, for the invariants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderAudit {
    /// The order and its owner's record.
    pub stored: StoredOrder,
    /// The stock keeper's lines that are still held.
    pub held: Vec<ReservedLine>,
    /// The stock keeper's lines that were released.
    pub released: Vec<ReservedLine>,
    /// The stock keeper's lines that were shipped.
    pub shipped: Vec<ReservedLine>,
    /// The payment gateway's row.
    pub payment: Option<Payment>,
    /// The notifier's rows.
    pub notices: Vec<NoticeTask>,
    /// Its open dead letters about steps.
    pub letters: Vec<DeadLetter>,
}

impl OrderAudit {
    /// The audit of an order for which no role has stored anything.
    #[must_use]
    pub fn of(stored: StoredOrder) -> Self {
        Self {
            stored,
            held: Vec::new(),
            released: Vec::new(),
            shipped: Vec::new(),
            payment: None,
            notices: Vec::new(),
            letters: Vec::new(),
        }
    }
}

/// The reading side of a store. Every answer is committed, and none waits for the writer.
pub trait Reads: Send + Sync {
    /// How many shards the store has.
    fn shards(&self) -> Shards;
    /// A whole order.
    fn order(&self, id: OrderId) -> BoxFuture<'static, Result<Option<StoredOrder>, StoreError>>;
    /// An order as it was placed, if the owner's record or a copy of it ([`KnowOrder`](super::Write::KnowOrder)) is stored here.
    fn known_order(&self, id: OrderId) -> BoxFuture<'static, Result<Option<Arc<Order>>, StoreError>>;
    /// A page of orders, newest first (by id, which is time-ordered).
    fn orders(&self, filter: OrderFilter) -> BoxFuture<'static, Result<Page<OrderRow, OrderId>, StoreError>>;
    /// The open orders of all shards, including those without an owner, by status, unsorted. Reads the row of each open order.
    fn open_by_status(&self) -> BoxFuture<'static, Result<Vec<OpenCount>, StoreError>>;
    /// A page of the open orders of `shards`, by id, after `after`.
    fn open_orders(
        &self,
        shards: Vec<Shard>,
        after: Option<OrderId>,
        limit: u32,
    ) -> BoxFuture<'static, Result<Vec<StoredOrder>, StoreError>>;
    /// The payment gateway's row of an order.
    fn payment(&self, order: OrderId) -> BoxFuture<'static, Result<Option<Payment>, StoreError>>;
    /// The notifier's rows of an order.
    fn notices(&self, order: OrderId) -> BoxFuture<'static, Result<Vec<NoticeTask>, StoreError>>;
    /// The notifier's rows of these orders.
    fn notices_among(&self, orders: Vec<OrderId>) -> BoxFuture<'static, Result<Vec<NoticeTask>, StoreError>>;
    /// The pending notices of `shards` on `channel`, due or not, earliest next try first. Only the last page has fewer than `limit`.
    fn next_notices(&self, shards: Vec<Shard>, channel: Channel, limit: u32) -> BoxFuture<'static, Result<Vec<NoticeTask>, StoreError>>;
    /// One product.
    fn product(&self, id: ProductId) -> BoxFuture<'static, Result<Option<Product>, StoreError>>;
    /// A page of products by id, after `after`.
    fn products(&self, after: Option<ProductId>, limit: u32) -> BoxFuture<'static, Result<Vec<Product>, StoreError>>;
    /// The products with the least available stock, at most `most` available, scarcest first.
    fn low_stock(&self, most: i32, limit: u32) -> BoxFuture<'static, Result<Vec<Product>, StoreError>>;
    /// A page of dead letters, newest first.
    fn letters(&self, filter: DeadLetterFilter) -> BoxFuture<'static, Result<Page<DeadLetter, DeadLetterPlace>, StoreError>>;
    /// The open dead letters by kind, cause and step, largest group first.
    fn letter_groups(&self) -> BoxFuture<'static, Result<Vec<DeadLetterGroup>, StoreError>>;
    /// One dead letter.
    fn letter(&self, id: DeadLetterId) -> BoxFuture<'static, Result<Option<DeadLetter>, StoreError>>;
    /// The audit of `subject` (the id of a dead letter or product), oldest first.
    fn audit(&self, subject: String) -> BoxFuture<'static, Result<Vec<AuditEntry>, StoreError>>;
    /// A page of stock corrections, newest first.
    fn corrections(&self, filter: CorrectionFilter) -> BoxFuture<'static, Result<Vec<Correction>, StoreError>>;
    /// The answer stored under a request's key, expired or not.
    fn answer(&self, key: [u8; 32]) -> BoxFuture<'static, Result<Option<KeptAnswer>, StoreError>>;
    /// The events of a writer's log after number `after`, in sequence, without markers.
    fn events(&self, writer: WriterId, after: i64, limit: u32) -> BoxFuture<'static, Result<Vec<LoggedEvent>, StoreError>>;
    /// The events and markers of a writer's log after number `after`, in order.
    fn log(&self, writer: WriterId, after: i64, limit: u32) -> BoxFuture<'static, Result<Vec<LogEntry>, StoreError>>;
    /// All analytics figures from minute `from` (inclusive) to `to` (exclusive).
    fn analytics(&self, from: i64, to: i64) -> BoxFuture<'static, Result<Vec<AnalyticsRow>, StoreError>>;
    /// The number up to which each writer's log is counted.
    fn analytics_positions(&self) -> BoxFuture<'static, Result<Vec<(WriterId, i64)>, StoreError>>;
    /// How far `role` is done with its partitions.
    fn consumed(&self, role: Role) -> BoxFuture<'static, Result<Consumption, StoreError>>;
    /// All writers.
    fn writers(&self) -> BoxFuture<'static, Result<Vec<WriterRow>, StoreError>>;
    /// All shards of all roles.
    fn shard_rows(&self) -> BoxFuture<'static, Result<Vec<ShardRow>, StoreError>>;
    /// One consistent view of everything, for `verify`.
    fn snapshot(&self) -> BoxFuture<'static, Result<Box<dyn Snapshot>, StoreError>>;
}

/// One consistent view of the whole database, read in pages.
pub trait Snapshot: Send {
    /// All products.
    fn products(&mut self) -> BoxFuture<'_, Result<Vec<Product>, StoreError>>;
    /// Orders with everything that the roles store about them, by id, after `after`.
    fn orders(&mut self, after: Option<OrderId>, limit: u32) -> BoxFuture<'_, Result<Vec<OrderAudit>, StoreError>>;
    /// Rows of roles whose order does not exist (`table order-id`), at most `limit`.
    fn orphans(&mut self, limit: u32) -> BoxFuture<'_, Result<Vec<String>, StoreError>>;
    /// All writers.
    fn writers(&mut self) -> BoxFuture<'_, Result<Vec<WriterRow>, StoreError>>;
    /// The numbers (events and markers alike) of a writer's log that are missing between 1 and its end, at most `limit`; numbers
    /// that retention deleted at the front do not count.
    fn gaps(&mut self, writer: WriterId, limit: u32) -> BoxFuture<'_, Result<Vec<i64>, StoreError>>;
    /// The events of a writer's log after number `after`, in sequence, without markers.
    fn events(&mut self, writer: WriterId, after: i64, limit: u32) -> BoxFuture<'_, Result<Vec<LoggedEvent>, StoreError>>;
    /// All analytics figures.
    fn analytics(&mut self) -> BoxFuture<'_, Result<Vec<AnalyticsRow>, StoreError>>;
    /// The number up to which each writer's log is counted.
    fn analytics_positions(&mut self) -> BoxFuture<'_, Result<Vec<(WriterId, i64)>, StoreError>>;
}
