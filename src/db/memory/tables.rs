//! The rows. Each table is what its namesake is on disk; what is one row here may be several there.

use crate::db::plan::OrderStock;
use crate::db::{AuditEntry, KeptAnswer, StoredOrder, WriterRow};
use crate::domain::{
    DeadLetter, DeadLetterId, Event, Marker, NoticeTask, Order, OrderId, Payment, Product, ProductId, Role, Shard, Timestamp, WriterId,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that is stored.
#[derive(Clone, Default)]
pub(crate) struct Tables {
    pub(crate) orders: BTreeMap<OrderId, StoredOrder>,
    pub(crate) keys: BTreeMap<[u8; 32], KeyRow>,
    pub(crate) answers: BTreeMap<[u8; 32], KeptAnswer>,
    pub(crate) products: BTreeMap<ProductId, Product>,
    pub(crate) stock: BTreeMap<OrderId, OrderStock>,
    pub(crate) payments: BTreeMap<OrderId, Payment>,
    /// By order, number of the kind, number of the channel.
    pub(crate) notices: BTreeMap<(OrderId, u8, u8), NoticeRow>,
    pub(crate) letters: BTreeMap<DeadLetterId, DeadLetter>,
    pub(crate) audit: Vec<AuditEntry>,
    /// By minute, metric and key.
    pub(crate) analytics: BTreeMap<(i64, u8, Vec<u8>), i64>,
    pub(crate) positions: BTreeMap<WriterId, i64>,
    pub(crate) log: BTreeMap<(WriterId, i64), Entry>,
    pub(crate) writers: BTreeMap<WriterId, WriterRow>,
    /// Who publishes a dead writer's log, and until when.
    pub(crate) claims: BTreeMap<WriterId, (WriterId, Timestamp)>,
    /// By role, topic and partition.
    pub(crate) consumed: BTreeMap<(Role, String, i32), i64>,
    /// Whether an earlier version left what is missing there to Kafka.
    pub(crate) is_upgraded: bool,
    /// Copies of orders whose owner is elsewhere.
    pub(crate) known: BTreeMap<OrderId, Arc<Order>>,
    /// Events that came before their order.
    pub(crate) held: BTreeMap<OrderId, Vec<Event>>,
    pub(crate) shards: BTreeMap<(Role, Shard), ShardEntry>,
}

/// An idempotency key in use.
#[derive(Clone, Copy)]
pub(crate) struct KeyRow {
    pub(crate) order: OrderId,
    pub(crate) body: [u8; 32],
    pub(crate) expires_at: Timestamp,
}

/// The notifier's row of one notice.
#[derive(Clone)]
pub(crate) struct NoticeRow {
    pub(crate) task: NoticeTask,
    pub(crate) shard: Shard,
    /// When the state became true.
    pub(crate) at: Timestamp,
}

/// One number of a writer's log.
#[derive(Clone)]
pub(crate) enum Entry {
    Event(Event),
    Marker(Marker),
}

/// Whose a shard is, or where its last owner left it.
#[derive(Clone, Copy, Default)]
pub(crate) struct ShardEntry {
    pub(crate) writer: Option<WriterId>,
    pub(crate) after: Option<(WriterId, i64)>,
}
