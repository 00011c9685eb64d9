//! The questions of readers, as statements and functions of a connection.

use super::error::Failure;
use super::flush::is_rare;
use super::open::small;
use super::rows::{self, NoticeRow, NoticeTypes, PaymentRow, PaymentTypes, PgColumns, ProductRow, ProductTypes};
use super::statement::{Sql, Time, Value, select, sql, time, timestamp};
use crate::db::decode;
use crate::db::read::{Correction, CorrectionFilter, LogEntry, OpenCount, OrderFilter, OrderRow, Page, ShardRow, StoredOrder, WriterRow};
use crate::db::rows::{AnalyticsRow, AuditEntry, Consumption};
use crate::db::write::KeptAnswer;
use crate::domain::{
    Channel, LoggedEvent, NoticeTask, Order, OrderId, OrderStatus, Payment, Product, ProductId, Role, Shard, Timestamp, WriterId,
};
use diesel::sql_types::{
    BigInt, Binary, Bool, Integer, Nullable, Numeric, SmallInt, Text, Timestamp as SqlTimestamp, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::AsyncPgConnection;
use std::sync::Arc;
use uuid::Uuid;

/// How far an order's id may lie from its time of acceptance: both are taken from one clock, moments apart.
const ID_SLACK_US: i64 = 60_000_000;

type StoredTypes = (Text, SqlTimestamp, Bool, Binary, Binary);
type StoredRow = decode::StoredRow<PgColumns>;
sql!(OneOrder, "SELECT status, updated_at, open, details, record FROM orders WHERE id = ?" => StoredTypes);
sql!(
    OpenOrders,
    "SELECT o.status, o.updated_at, o.open, o.details, o.record FROM open_orders p JOIN orders o ON o.id = p.id \
     WHERE p.id > ? AND p.shard = ANY(?) ORDER BY p.id LIMIT ?" => StoredTypes
);
sql!(
    AllOrders,
    "SELECT status, updated_at, open, details, record FROM orders WHERE id > ? ORDER BY id LIMIT ?" => StoredTypes
);
sql!(
    KnownOrder,
    "SELECT details FROM orders WHERE id = ? UNION ALL SELECT details FROM known_orders WHERE id = ? LIMIT 1" => Binary
);

/// The id to begin after: nothing sorts before the empty one.
fn after_id(after: Option<Uuid>) -> Value {
    Value::Id(after.unwrap_or(Uuid::nil()))
}

fn limit(rows: u32) -> Value {
    Value::Int(i64::from(rows))
}

fn shard_numbers(shards: &[Shard]) -> Value {
    Value::Int2s(shards.iter().map(|shard| small(shard.0)).collect())
}

pub(super) async fn order(conn: &AsyncPgConnection, id: OrderId) -> Result<Option<StoredOrder>, Failure> {
    let rows: Vec<StoredRow> = select(conn, OneOrder, [Value::Id(id.0)]).await?;
    rows.into_iter().next().map(decode::stored::<PgColumns>).transpose()
}

/// An order as it was placed: its owner's or a copy.
pub(super) async fn known_order(conn: &AsyncPgConnection, id: OrderId) -> Result<Option<Arc<Order>>, Failure> {
    let found: Vec<Vec<u8>> = select(conn, KnownOrder, [Value::Id(id.0), Value::Id(id.0)]).await?;
    found.first().map(|details| decode::placed(details)).transpose()
}

pub(super) async fn open_orders(
    conn: &AsyncPgConnection,
    shards: Vec<Shard>,
    after: Option<OrderId>,
    most: u32,
) -> Result<Vec<StoredOrder>, Failure> {
    let values = [after_id(after.map(|id| id.0)), shard_numbers(&shards), limit(most)];
    let rows: Vec<StoredRow> = select(conn, OpenOrders, values).await?;
    rows.into_iter().map(decode::stored::<PgColumns>).collect()
}

sql!(
    OpenByStatus,
    "SELECT o.status, count(*), min(o.created_at) FROM open_orders p JOIN orders o ON o.id = p.id GROUP BY o.status"
        => (Text, BigInt, SqlTimestamp)
);

pub(super) async fn open_by_status(conn: &AsyncPgConnection) -> Result<Vec<OpenCount>, Failure> {
    let rows: Vec<(String, i64, Time)> = select(conn, OpenByStatus, []).await?;
    rows.into_iter()
        .map(|(status, count, oldest)| {
            Ok(OpenCount { status: decode::status(&status)?, count: u64::try_from(count).unwrap_or(0), oldest: timestamp(oldest) })
        })
        .collect()
}

pub(super) async fn all_orders(conn: &AsyncPgConnection, after: Option<OrderId>, most: u32) -> Result<Vec<StoredOrder>, Failure> {
    let rows: Vec<StoredRow> = select(conn, AllOrders, [after_id(after.map(|id| id.0)), limit(most)]).await?;
    rows.into_iter().map(decode::stored::<PgColumns>).collect()
}

type OrderRowTypes = (SqlUuid, SqlUuid, Text, Numeric, SqlTimestamp, SqlTimestamp);
type OrderRowRow = decode::ListedRow<PgColumns>;

/// A list of orders: of what one index finds, in the order of ids, what passes the filter; and how far a page may look.
macro_rules! order_list {
    ($name:ident, $end:ident, $keys:literal, $where:literal) => {
        sql!(
            $name,
            concat!(
                "SELECT o.id, o.customer_id, o.status, o.total_amount, o.created_at, o.updated_at FROM ",
                $keys,
                " k JOIN orders o ON o.id = k.id WHERE ",
                $where,
                " AND k.id < ? AND k.id >= ? AND o.status = coalesce(?, o.status) AND o.created_at >= ? AND o.created_at < ? \
                 ORDER BY k.id DESC LIMIT ?"
            ) => OrderRowTypes
        );
        sql!(
            $end,
            concat!("SELECT k.id FROM ", $keys, " k WHERE ", $where, " AND k.id < ? AND k.id >= ? ORDER BY k.id DESC LIMIT 1 OFFSET ?")
                => SqlUuid
        );
    };
}
order_list!(OrdersByTime, EndByTime, "orders", "?::uuid IS NULL");
order_list!(OrdersOfCustomer, EndOfCustomer, "orders", "k.customer_id = ?");
order_list!(OrdersOfRareStatus, EndOfRareStatus, "rare_orders", "k.status = ?");
order_list!(OrdersStillOpen, EndStillOpen, "open_orders", "?::uuid IS NULL");

/// Which list finds the orders of a status.
enum Finder {
    Time,
    Rare(OrderStatus),
    Open,
}

fn finder(status: Option<OrderStatus>) -> Finder {
    match status {
        None | Some(OrderStatus::Confirmed | OrderStatus::Shipped) => Finder::Time,
        Some(OrderStatus::Pending | OrderStatus::InventoryReserved) => Finder::Open,
        Some(status) => {
            if is_rare(status) {
                Finder::Rare(status)
            } else {
                Finder::Time
            }
        }
    }
}

/// See [`OrderFilter`].
pub(super) async fn orders(conn: &AsyncPgConnection, filter: OrderFilter) -> Result<Page<OrderRow, OrderId>, Failure> {
    match (filter.customer, finder(filter.status)) {
        (Some(customer), _) => list(conn, (OrdersOfCustomer, EndOfCustomer), || Value::Id(customer.0), filter).await,
        (None, Finder::Time) => list(conn, (OrdersByTime, EndByTime), || Value::IdOrNull(None), filter).await,
        (None, Finder::Open) => list(conn, (OrdersStillOpen, EndStillOpen), || Value::IdOrNull(None), filter).await,
        (None, Finder::Rare(status)) => {
            list(conn, (OrdersOfRareStatus, EndOfRareStatus), || Value::Text(status.name().to_owned()), filter).await
        }
    }
}

async fn list<L: Sql<Row = OrderRowTypes>, E: Sql<Row = SqlUuid>>(
    conn: &AsyncPgConnection,
    (list, end): (L, E),
    key: impl Fn() -> Value,
    filter: OrderFilter,
) -> Result<Page<OrderRow, OrderId>, Failure> {
    let mut lowest = first_id_at(filter.from, -ID_SLACK_US, Uuid::nil());
    let highest = first_id_at(filter.to, ID_SLACK_US, Uuid::max());
    let before = filter.before.map_or(highest, |id| highest.min(id.0));
    let mut last = None;
    if !filter.passes_all() {
        // Asked first: what is newer than that is not behind it.
        let values = [key(), Value::Id(before), Value::Id(lowest), Value::Int(filter.scan.before_last())];
        let ids: Vec<Uuid> = select(conn, end, values).await?;
        last = ids.first().copied().map(OrderId);
        lowest = last.map_or(lowest, |id| id.0);
    }
    let values = [
        key(),
        Value::Id(before),
        Value::Id(lowest),
        Value::TextOrNull(filter.status.map(|status| status.name().to_owned())),
        Value::Stamp(time(filter.from.unwrap_or(Timestamp(i64::MIN)))),
        Value::Stamp(time(filter.to.unwrap_or(Timestamp(i64::MAX)))),
        Value::Int(i64::from(filter.limit) + 1),
    ];
    let rows: Vec<OrderRowRow> = select(conn, list, values).await?;
    let rows = rows.into_iter().map(decode::listed::<PgColumns>).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::of(rows, filter.limit, last, |row| row.id))
}

/// The first version 7 id of the millisecond of `at`, `shift_us` away; without a time the `open` end.
fn first_id_at(at: Option<Timestamp>, shift_us: i64, open: Uuid) -> Uuid {
    let Some(Timestamp(us)) = at else { return open };
    let ms = u64::try_from(us.saturating_add(shift_us) / 1000).unwrap_or(0);
    Uuid::from_u64_pair(ms.saturating_mul(1 << 16), 0)
}

sql!(
    Payments,
    "SELECT order_id, attempt, amount, method, status, reason, updated_at, failures, failing_since FROM payments \
     WHERE order_id = ANY(?)" => PaymentTypes
);
sql!(
    Notices,
    "SELECT order_id, kind, channel, status, attempt, next_try_at, reason, created_at, updated_at \
     FROM notifications WHERE order_id = ANY(?)" => NoticeTypes
);
sql!(
    NextNotices,
    "SELECT order_id, kind, channel, status, attempt, next_try_at, reason, created_at, updated_at \
     FROM notifications WHERE status = 'PENDING' AND channel = ? AND shard = ANY(?) \
     ORDER BY next_try_at, order_id LIMIT ?" => NoticeTypes
);

pub(super) async fn payments(conn: &AsyncPgConnection, orders: Vec<Uuid>) -> Result<Vec<Payment>, Failure> {
    let rows: Vec<PaymentRow> = select(conn, Payments, [Value::Ids(orders)]).await?;
    rows.into_iter().map(decode::payment::<PgColumns>).collect()
}

/// The notices of these orders, in the order of their ids, kinds and channels.
pub(super) async fn notices(conn: &AsyncPgConnection, orders: Vec<Uuid>) -> Result<Vec<NoticeTask>, Failure> {
    let rows: Vec<NoticeRow> = select(conn, Notices, [Value::Ids(orders)]).await?;
    Ok(decode::notices::<PgColumns>(rows)?.into_iter().map(|(task, _)| task).collect())
}

/// At most `most` pending notices of `channel`, those that are due first first.
pub(super) async fn next_notices(
    conn: &AsyncPgConnection,
    shards: Vec<Shard>,
    channel: Channel,
    most: u32,
) -> Result<Vec<NoticeTask>, Failure> {
    let values = [Value::Text(channel.name().to_owned()), shard_numbers(&shards), limit(most)];
    // One statement, so one view: a page that was read in two would be short when some are sent between them.
    let found: Vec<NoticeRow> = select(conn, NextNotices, values).await?;
    found.into_iter().map(|row| decode::notice::<PgColumns>(row).map(|(task, _)| task)).collect()
}

sql!(
    OneProduct,
    "SELECT id, name, price, available_quantity, reserved_quantity, shipped_quantity, supplied_quantity, discontinued \
     FROM products WHERE id = ?" => ProductTypes
);
sql!(
    ProductPage,
    "SELECT id, name, price, available_quantity, reserved_quantity, shipped_quantity, supplied_quantity, discontinued \
     FROM products WHERE id > ? ORDER BY id LIMIT ?" => ProductTypes
);
sql!(
    LowStock,
    "SELECT id, name, price, available_quantity, reserved_quantity, shipped_quantity, supplied_quantity, discontinued \
     FROM products WHERE available_quantity <= ? ORDER BY available_quantity, id LIMIT ?" => ProductTypes
);

pub(super) async fn product(conn: &AsyncPgConnection, id: ProductId) -> Result<Option<Product>, Failure> {
    let rows: Vec<ProductRow> = select(conn, OneProduct, [Value::Id(id.0)]).await?;
    rows.into_iter().next().map(decode::product::<PgColumns>).transpose()
}

pub(super) async fn products(conn: &AsyncPgConnection, after: Option<ProductId>, most: u32) -> Result<Vec<Product>, Failure> {
    let rows: Vec<ProductRow> = select(conn, ProductPage, [after_id(after.map(|id| id.0)), limit(most)]).await?;
    rows::products(rows)
}

pub(super) async fn low_stock(conn: &AsyncPgConnection, available: i32, most: u32) -> Result<Vec<Product>, Failure> {
    let rows: Vec<ProductRow> = select(conn, LowStock, [Value::Int4(available), limit(most)]).await?;
    rows::products(rows)
}

sql!(
    Audit,
    "SELECT at, by_whom, action, subject, note FROM audit_log WHERE subject = ? ORDER BY id"
        => (Timestamptz, Text, Text, Text, Nullable<Text>)
);

sql!(
    Corrections,
    "SELECT id, at, by_whom, action, subject, note FROM audit_log WHERE action = 'stock' AND id < ? ORDER BY id DESC LIMIT ?"
        => CorrectionTypes
);
sql!(
    CorrectionsOf,
    "SELECT id, at, by_whom, action, subject, note FROM audit_log WHERE subject = ? AND action = 'stock' AND id < ? \
     ORDER BY id DESC LIMIT ?" => CorrectionTypes
);
sql!(KeptAnswers, "SELECT key, body, answer, expires_at FROM answers WHERE key = ANY(?)" => (Binary, Binary, Binary, Timestamptz));

type CorrectionTypes = (BigInt, Timestamptz, Text, Text, Text, Nullable<Text>);

pub(super) async fn corrections(conn: &AsyncPgConnection, filter: CorrectionFilter) -> Result<Vec<Correction>, Failure> {
    let before = Value::Int(filter.before.unwrap_or(i64::MAX));
    let rows: Vec<decode::CorrectionRow<PgColumns>> = match filter.product {
        Some(product) => select(conn, CorrectionsOf, [Value::Text(product.to_string()), before, limit(filter.limit)]).await?,
        None => select(conn, Corrections, [before, limit(filter.limit)]).await?,
    };
    Ok(rows.into_iter().map(decode::correction::<PgColumns>).collect())
}

pub(super) async fn answer(conn: &AsyncPgConnection, key: [u8; 32]) -> Result<Option<KeptAnswer>, Failure> {
    let rows: Vec<rows::AnswerRow> = select(conn, KeptAnswers, [Value::Blobs(vec![key.to_vec()])]).await?;
    Ok(rows.into_iter().next().map(decode::kept_answer::<PgColumns>).transpose()?.map(|(_, kept)| kept))
}

pub(super) async fn audit(conn: &AsyncPgConnection, subject: String) -> Result<Vec<AuditEntry>, Failure> {
    let rows: Vec<decode::EntryRow<PgColumns>> = select(conn, Audit, [Value::Text(subject)]).await?;
    Ok(rows.into_iter().map(decode::entry::<PgColumns>).collect())
}

type EventTypes = (BigInt, SmallInt, SmallInt, Nullable<SqlUuid>, Timestamptz, Binary, Nullable<Binary>, Nullable<Binary>);
type EventRow = decode::EventRow<PgColumns>;
/// What both lists of a log select; `OrderCreated` is kind 0, and its content is in the order's own row. Where sales are wanted,
/// so does what `OrderConfirmed` (9) and `OrderCancelled` (11) tell of one.
macro_rules! log_list {
    ($name:ident, $of_orders:literal, $where:literal) => {
        sql!(
            $name,
            concat!(
                "SELECT e.seq, e.topic, e.shard, e.order_id, e.at, e.data, o.details, CASE WHEN e.kind <> 0 THEN o.record END FROM events e \
                 LEFT JOIN orders o ON o.id = CASE WHEN e.kind IN (",
                $of_orders,
                ") THEN e.order_id END \
                 WHERE e.writer = ? AND e.seq > ?",
                $where,
                " ORDER BY e.seq LIMIT ?"
            ) => EventTypes
        );
    };
}
log_list!(Events, "0, 9, 11", " AND e.topic <> 255");
log_list!(Log, "0", "");

pub(super) async fn log(conn: &AsyncPgConnection, writer: WriterId, after: i64, most: u32) -> Result<Vec<LogEntry>, Failure> {
    let rows: Vec<EventRow> = select(conn, Log, [Value::Int(writer.0), Value::Int(after), limit(most)]).await?;
    rows.into_iter().map(decode::log_entry::<PgColumns>).collect()
}

pub(super) async fn events(conn: &AsyncPgConnection, writer: WriterId, after: i64, most: u32) -> Result<Vec<LoggedEvent>, Failure> {
    let rows: Vec<EventRow> = select(conn, Events, [Value::Int(writer.0), Value::Int(after), limit(most)]).await?;
    decode::logged_events::<PgColumns>(rows)
}

sql!(
    Analytics,
    "SELECT minute, metric, key, value FROM analytics WHERE minute >= ? AND minute < ? ORDER BY minute, metric, key"
        => (BigInt, SmallInt, Binary, BigInt)
);
sql!(AnalyticsPositions, "SELECT writer, seq FROM analytics_positions ORDER BY writer" => (BigInt, BigInt));

pub(super) async fn analytics(conn: &AsyncPgConnection, from: i64, to: i64) -> Result<Vec<AnalyticsRow>, Failure> {
    let rows: Vec<decode::AnalyticsColumns<PgColumns>> = select(conn, Analytics, [Value::Int(from), Value::Int(to)]).await?;
    rows.into_iter().map(decode::analytics::<PgColumns>).collect()
}

pub(super) async fn analytics_positions(conn: &AsyncPgConnection) -> Result<Vec<(WriterId, i64)>, Failure> {
    let rows: Vec<(i64, i64)> = select(conn, AnalyticsPositions, []).await?;
    Ok(rows.into_iter().map(|(writer, seq)| (WriterId(writer), seq)).collect())
}

sql!(Consumed, "SELECT topic, partition, next FROM consumed WHERE role = ? ORDER BY topic, partition" => (Text, Integer, BigInt));
sql!(IsUpgraded, "SELECT count(*) FROM meta WHERE name = 'offsets'" => BigInt);

pub(super) async fn consumed(conn: &AsyncPgConnection, role: Role) -> Result<Consumption, Failure> {
    let rows: Vec<decode::ConsumedRow<PgColumns>> = select(conn, Consumed, [Value::Text(role.name().to_owned())]).await?;
    let upgraded: Vec<i64> = select(conn, IsUpgraded, []).await?;
    decode::consumption::<PgColumns>(rows, upgraded)
}

type WriterTypes = ((BigInt, Text, Text, Text, Text, Bool), (Timestamptz, BigInt, BigInt, BigInt, BigInt, Nullable<BigInt>));
sql!(
    Writers,
    "SELECT writer, node, url, proof, roles, alive, lease_until, floor(extract(epoch FROM lease_until - clock_timestamp()) * 1000)::bigint, \
     commits, last_seq, published_seq, CASE WHEN publish_until >= clock_timestamp() THEN publisher END \
     FROM writers ORDER BY writer" => WriterTypes
);

pub(super) async fn writers(conn: &AsyncPgConnection) -> Result<Vec<WriterRow>, Failure> {
    let rows: Vec<decode::WriterColumns<PgColumns>> = select(conn, Writers, []).await?;
    rows.into_iter().map(decode::writer::<PgColumns>).collect()
}

sql!(ShardRows, "SELECT role, shard, writer FROM shards" => (Text, SmallInt, Nullable<BigInt>));

pub(super) async fn shard_rows(conn: &AsyncPgConnection) -> Result<Vec<ShardRow>, Failure> {
    decode::shard_rows::<PgColumns>(select(conn, ShardRows, []).await?)
}
