//! The questions of readers, as statements and functions of a connection.

use super::error::Failure;
use super::rows::{self, ProductRow, ProductTypes, SqliteColumns};
use super::statement::{Id, Sql, Value, among, select, sql};
use crate::db::decode;
use crate::db::read::{Correction, CorrectionFilter, LogEntry, OpenCount, OrderFilter, OrderRow, Page, ShardRow, StoredOrder, WriterRow};
use crate::db::rows::{AnalyticsRow, AuditEntry, Consumption};
use crate::domain::{
    Channel, CustomerId, LoggedEvent, NoticeTask, OrderId, OrderStatus, Product, ProductId, Role, Shard, Timestamp, WriterId,
};
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use std::collections::BTreeMap;

/// So many of a customer's orders are looked at in one go, when not all of them pass the filter.
const CUSTOMER_PAGE: i64 = 512;

/// How far an order's id may lie from its time of acceptance: both are taken from one clock, moments apart.
const ID_SLACK_US: i64 = 60_000_000;

type StoredTypes = (Text, BigInt, BigInt, Binary, Binary);
type StoredRow = decode::StoredRow<SqliteColumns>;
sql!(OneOrder, "SELECT status, updated_at, open, details, record FROM orders WHERE id = ?" => StoredTypes);
sql!(
    OpenOrders,
    "SELECT status, updated_at, open, details, record FROM orders INDEXED BY orders_open \
     WHERE open = 1 AND id > ? AND shard IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT ?" => StoredTypes
);
sql!(
    AllOrders,
    "SELECT status, updated_at, open, details, record FROM orders WHERE id > ? ORDER BY id LIMIT ?" => StoredTypes
);

/// The key to begin after: nothing sorts before the empty one.
fn after_key(after: Option<&uuid::Uuid>) -> Value<'_> {
    after.map_or(Value::Blob(&[]), Value::id)
}

pub(super) fn order(conn: &mut SqliteConnection, id: OrderId) -> Result<Option<StoredOrder>, Failure> {
    select::<_, StoredRow, 1>(conn, OneOrder, [Value::id(&id.0)])?.into_iter().next().map(decode::stored::<SqliteColumns>).transpose()
}

pub(super) fn open_orders(
    conn: &mut SqliteConnection,
    shards: &[Shard],
    after: Option<OrderId>,
    limit: u32,
) -> Result<Vec<StoredOrder>, Failure> {
    let shards = json(shards);
    let values = [after_key(after.as_ref().map(|id| &id.0)), Value::Text(&shards), Value::Int(i64::from(limit))];
    select::<_, StoredRow, 3>(conn, OpenOrders, values)?.into_iter().map(decode::stored::<SqliteColumns>).collect()
}

pub(super) fn all_orders(conn: &mut SqliteConnection, after: Option<OrderId>, limit: u32) -> Result<Vec<StoredOrder>, Failure> {
    let values = [after_key(after.as_ref().map(|id| &id.0)), Value::Int(i64::from(limit))];
    select::<_, StoredRow, 2>(conn, AllOrders, values)?.into_iter().map(decode::stored::<SqliteColumns>).collect()
}

/// So many open orders are counted at a time.
const COUNT_PAGE: i64 = 4096;

sql!(
    OpenStatuses,
    "SELECT id, status, created_at FROM orders INDEXED BY orders_open WHERE open = 1 AND id > ? ORDER BY id LIMIT ?"
        => (Binary, Text, BigInt)
);

/// Page by page: `GROUP BY` would sort all open orders in memory, of which an outage of mail makes millions.
pub(super) fn open_by_status(conn: &mut SqliteConnection) -> Result<Vec<OpenCount>, Failure> {
    let mut counts = BTreeMap::new();
    let mut after = None;
    loop {
        let values = [after_key(after.as_ref()), Value::Int(COUNT_PAGE)];
        let rows = select::<_, (Id, String, i64), 2>(conn, OpenStatuses, values)?;
        let is_last = i64::try_from(rows.len()).is_ok_and(|count| count < COUNT_PAGE);
        for (Id(id), status, created_at) in rows {
            after = Some(id);
            OpenCount::add(&mut counts, decode::status(&status)?, Timestamp(created_at));
        }
        if is_last {
            return Ok(counts.into_values().collect());
        }
    }
}

/// Shards as a JSON list.
fn json(shards: &[Shard]) -> String {
    let numbers: Vec<_> = shards.iter().map(|shard| shard.0.to_string()).collect();
    format!("[{}]", numbers.join(","))
}

type OrderRowTypes = (Binary, Binary, Text, BigInt, BigInt, BigInt);
type OrderRowRow = decode::ListedRow<SqliteColumns>;

/// A list of orders: of what one index finds, in the order of ids, what passes the filter; and how far a page may look.
macro_rules! order_list {
    ($name:ident, $end:ident, $where:literal) => {
        sql!(
            $name,
            concat!(
                "SELECT id, customer_id, status, total_amount, created_at, updated_at FROM orders WHERE ",
                $where,
                " AND id < ? AND id >= ? AND status = coalesce(?, status) AND created_at >= ? AND created_at < ? ORDER BY id DESC LIMIT ?"
            ) => OrderRowTypes
        );
        sql!(
            $end,
            concat!("SELECT id FROM orders WHERE ", $where, " AND id < ? AND id >= ? ORDER BY id DESC LIMIT 1 OFFSET ?") => Binary
        );
    };
}
order_list!(OrdersByTime, EndByTime, "? IS NULL");
order_list!(
    OrdersOfRareStatus,
    EndOfRareStatus,
    "status <> 'PENDING' AND status <> 'CONFIRMED' AND status <> 'SHIPPED' AND status <> 'INVENTORY_RESERVED' AND status = ?"
);
order_list!(OrdersStillOpen, EndStillOpen, "open = 1 AND ? IS NULL");

/// Which index finds the orders of a status.
enum Finder {
    Time,
    Rare,
    Open,
}

fn finder(status: Option<OrderStatus>) -> Finder {
    match status {
        None | Some(OrderStatus::Confirmed | OrderStatus::Shipped) => Finder::Time,
        Some(OrderStatus::Pending | OrderStatus::InventoryReserved) => Finder::Open,
        Some(
            OrderStatus::PaymentFailed | OrderStatus::Failed | OrderStatus::Cancelling | OrderStatus::Refunding | OrderStatus::Cancelled,
        ) => Finder::Rare,
    }
}

/// See [`OrderFilter`].
pub(super) fn orders(conn: &mut SqliteConnection, filter: &OrderFilter) -> Result<Page<OrderRow, OrderId>, Failure> {
    match (&filter.customer, finder(filter.status)) {
        (Some(customer), _) => of_customer(conn, *customer, filter),
        (None, Finder::Time) => list(conn, (OrdersByTime, EndByTime), None, filter),
        (None, Finder::Open) => list(conn, (OrdersStillOpen, EndStillOpen), None, filter),
        (None, Finder::Rare) => list(conn, (OrdersOfRareStatus, EndOfRareStatus), filter.status, filter),
    }
}

fn list<L: Sql<Row = OrderRowTypes>, E: Sql<Row = Binary>>(
    conn: &mut SqliteConnection,
    (list, end): (L, E),
    key: Option<OrderStatus>,
    filter: &OrderFilter,
) -> Result<Page<OrderRow, OrderId>, Failure> {
    let name = |status: Option<OrderStatus>| status.map_or(Value::Null, |status| Value::Text(status.name()));
    let (before, mut lowest) = id_range(filter);
    let mut last = None;
    if !filter.passes_all() {
        // Asked first: what is newer than that is not behind it.
        let values = [name(key), Value::Blob(&before), Value::Blob(&lowest), Value::Int(filter.scan.before_last())];
        last = select::<_, Id, 4>(conn, end, values)?.pop().map(|Id(id)| OrderId(id));
        lowest = last.map_or(lowest, |id| id.0.into_bytes());
    }
    let values = [
        name(key),
        Value::Blob(&before),
        Value::Blob(&lowest),
        name(filter.status),
        Value::Int(filter.from.map_or(i64::MIN, |from| from.0)),
        Value::Int(filter.to.map_or(i64::MAX, |to| to.0)),
        Value::Int(i64::from(filter.limit) + 1),
    ];
    let rows = select::<_, OrderRowRow, 7>(conn, list, values)?;
    let rows = rows.into_iter().map(decode::listed::<SqliteColumns>).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::of(rows, filter.limit, last, |row| row.id))
}

/// The ids that can pass a filter: below the first, not below the second.
fn id_range(filter: &OrderFilter) -> ([u8; 16], [u8; 16]) {
    let highest = first_id_at(filter.to, ID_SLACK_US, [0xff; 16]);
    let before = filter.before.map_or(highest, |id| highest.min(id.0.into_bytes()));
    (before, first_id_at(filter.from, -ID_SLACK_US, [0; 16]))
}

sql!(
    /// The parts of `orders_by_customer`, and in each the customer's orders.
    IdsOfCustomer,
    "WITH RECURSIVE parts (part) AS (\
     SELECT coalesce((SELECT max(n) FROM orders) / 4096, 0) UNION ALL SELECT part - 1 FROM parts WHERE part > 0) \
     SELECT id FROM parts CROSS JOIN orders INDEXED BY orders_by_customer \
     ON n / 4096 = part AND customer_id = ? AND id < ? AND id >= ? ORDER BY id DESC LIMIT ?" => Binary
);
sql!(
    OrderRowsAmong,
    "SELECT id, customer_id, status, total_amount, created_at, updated_at FROM orders WHERE id IN " => OrderRowTypes
);

/// A customer's orders: their ids, newest first, as many as may be needed, then the rows that pass; again while there are too few.
fn of_customer(conn: &mut SqliteConnection, customer: CustomerId, filter: &OrderFilter) -> Result<Page<OrderRow, OrderId>, Failure> {
    let wanted = i64::from(filter.limit) + 1;
    let page = if filter.passes_all() { wanted } else { wanted.max(CUSTOMER_PAGE) };
    let (mut before, lowest) = id_range(filter);
    let mut left = i64::from(filter.scan.0);
    let (mut found, mut end) = (Vec::new(), None);
    while i64::try_from(found.len()).is_ok_and(|found| found < wanted) && left > 0 {
        let size = page.min(left);
        let values = [Value::id(&customer.0), Value::Blob(&before), Value::Blob(&lowest), Value::Int(size)];
        let ids = select::<_, Id, 4>(conn, IdsOfCustomer, values)?;
        left -= size;
        end = ids.last().filter(|_| i64::try_from(ids.len()) == Ok(size)).map(|Id(id)| OrderId(*id));
        let keys: Vec<&[u8]> = ids.iter().map(|Id(id)| id.as_bytes().as_slice()).collect();
        let rows = among::<_, OrderRowRow>(conn, OrderRowsAmong, &keys)?;
        let mut rows = rows.into_iter().map(decode::listed::<SqliteColumns>).collect::<Result<Vec<_>, _>>()?;
        rows.retain(|row| filter.passes(row));
        rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.id));
        found.extend(rows);
        let Some(last) = end else { break };
        before = last.0.into_bytes();
    }
    Ok(Page::of(found, filter.limit, end, |row| row.id))
}

/// The first version 7 id of the millisecond of `at`, `shift_us` away; without a time the `open` end.
fn first_id_at(at: Option<Timestamp>, shift_us: i64, open: [u8; 16]) -> [u8; 16] {
    let Some(Timestamp(us)) = at else { return open };
    let ms = u64::try_from(us.saturating_add(shift_us) / 1000).unwrap_or(0);
    uuid::Uuid::from_u64_pair(ms.saturating_mul(1 << 16), 0).into_bytes()
}

sql!(
    NextNotices,
    "SELECT order_id, kind, channel, status, attempt, next_try_at, reason, created_at, updated_at \
     FROM notifications INDEXED BY notifications_due \
     WHERE status = 'PENDING' AND channel = ? AND shard IN (SELECT value FROM json_each(?)) \
     ORDER BY next_try_at, order_id LIMIT ?" => rows::NoticeTypes
);

/// At most `limit` pending notices of `channel`, those that are due first first.
pub(super) fn next_notices(
    conn: &mut SqliteConnection,
    shards: &[Shard],
    channel: Channel,
    limit: u32,
) -> Result<Vec<NoticeTask>, Failure> {
    let shards = json(shards);
    let values = [Value::Text(channel.name()), Value::Text(&shards), Value::Int(i64::from(limit))];
    // One statement, so one view: a page that was read in two would be short when some are sent between them.
    let found = select::<_, rows::NoticeRow, 3>(conn, NextNotices, values)?;
    found.into_iter().map(|row| decode::notice::<SqliteColumns>(row).map(|(task, _)| task)).collect()
}

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

pub(super) fn products(conn: &mut SqliteConnection, after: Option<ProductId>, limit: u32) -> Result<Vec<Product>, Failure> {
    let values = [after_key(after.as_ref().map(|id| &id.0)), Value::Int(i64::from(limit))];
    rows::products(select::<_, ProductRow, 2>(conn, ProductPage, values)?)
}

pub(super) fn low_stock(conn: &mut SqliteConnection, most: i32, limit: u32) -> Result<Vec<Product>, Failure> {
    let values = [Value::Int(i64::from(most)), Value::Int(i64::from(limit))];
    rows::products(select::<_, ProductRow, 2>(conn, LowStock, values)?)
}

sql!(
    Corrections,
    "SELECT id, at, by_whom, action, subject, note FROM audit_log WHERE action = 'stock' AND id < ? ORDER BY id DESC LIMIT ?"
        => (BigInt, BigInt, Text, Text, Text, Nullable<Text>)
);
sql!(
    CorrectionsOf,
    "SELECT id, at, by_whom, action, subject, note FROM audit_log INDEXED BY audit_log_by_subject \
     WHERE subject = ? AND action = 'stock' AND id < ? ORDER BY id DESC LIMIT ?" => (BigInt, BigInt, Text, Text, Text, Nullable<Text>)
);

pub(super) fn corrections(conn: &mut SqliteConnection, filter: &CorrectionFilter) -> Result<Vec<Correction>, Failure> {
    let (before, limit) = (Value::Int(filter.before.unwrap_or(i64::MAX)), Value::Int(i64::from(filter.limit)));
    let rows: Vec<decode::CorrectionRow<SqliteColumns>> = match filter.product {
        Some(product) => {
            let subject = product.to_string();
            select::<_, _, 3>(conn, CorrectionsOf, [Value::Text(&subject), before, limit])?
        }
        None => select::<_, _, 2>(conn, Corrections, [before, limit])?,
    };
    Ok(rows.into_iter().map(decode::correction::<SqliteColumns>).collect())
}

sql!(Audit, "SELECT at, by_whom, action, subject, note FROM audit_log WHERE subject = ? ORDER BY id" => (BigInt, Text, Text, Text, Nullable<Text>));

pub(super) fn audit(conn: &mut SqliteConnection, subject: &str) -> Result<Vec<AuditEntry>, Failure> {
    let rows = select::<_, decode::EntryRow<SqliteColumns>, 1>(conn, Audit, [Value::Text(subject)])?;
    Ok(rows.into_iter().map(decode::entry::<SqliteColumns>).collect())
}

type EventTypes = (BigInt, BigInt, BigInt, Nullable<Binary>, BigInt, Binary, Nullable<Binary>, Nullable<Binary>);
type EventRow = decode::EventRow<SqliteColumns>;
/// What both lists of a log select; `OrderCreated` is kind 0, and its content is in the order's own row. Where sales are wanted,
/// so does what `OrderConfirmed` (9) and `OrderCancelled` (11) tell of one.
macro_rules! log_list {
    ($name:ident, $of_orders:literal, $where:literal) => {
        sql!(
            $name,
            concat!(
                "SELECT e.seq, e.topic, e.shard, e.order_id, e.at, e.data, o.details, CASE WHEN e.kind <> 0 THEN o.record END FROM events e \
                 LEFT JOIN orders o ON e.kind IN (",
                $of_orders,
                ") AND o.id = e.order_id \
                 WHERE e.writer = ? AND e.seq > ?",
                $where,
                " ORDER BY e.seq LIMIT ?"
            ) => EventTypes
        );
    };
}
log_list!(Events, "0, 9, 11", " AND e.topic <> 255");
log_list!(Log, "0", "");

pub(super) fn log(conn: &mut SqliteConnection, writer: WriterId, after: i64, limit: u32) -> Result<Vec<LogEntry>, Failure> {
    let values = [Value::Int(writer.0), Value::Int(after), Value::Int(i64::from(limit))];
    select::<_, EventRow, 3>(conn, Log, values)?.into_iter().map(decode::log_entry::<SqliteColumns>).collect()
}

pub(super) fn events(conn: &mut SqliteConnection, writer: WriterId, after: i64, limit: u32) -> Result<Vec<LoggedEvent>, Failure> {
    let values = [Value::Int(writer.0), Value::Int(after), Value::Int(i64::from(limit))];
    decode::logged_events::<SqliteColumns>(select::<_, EventRow, 3>(conn, Events, values)?)
}

sql!(
    Analytics,
    "SELECT minute, metric, key, value FROM analytics WHERE minute >= ? AND minute < ? ORDER BY minute, metric, key"
        => (BigInt, BigInt, Binary, BigInt)
);
sql!(AnalyticsPositions, "SELECT writer, seq FROM analytics_positions ORDER BY writer" => (BigInt, BigInt));

pub(super) fn analytics(conn: &mut SqliteConnection, from: i64, to: i64) -> Result<Vec<AnalyticsRow>, Failure> {
    let rows = select::<_, decode::AnalyticsColumns<SqliteColumns>, 2>(conn, Analytics, [Value::Int(from), Value::Int(to)])?;
    rows.into_iter().map(decode::analytics::<SqliteColumns>).collect()
}

pub(super) fn analytics_positions(conn: &mut SqliteConnection) -> Result<Vec<(WriterId, i64)>, Failure> {
    let rows = select::<_, (i64, i64), 0>(conn, AnalyticsPositions, [])?;
    Ok(rows.into_iter().map(|(writer, seq)| (WriterId(writer), seq)).collect())
}

sql!(Consumed, "SELECT topic, partition, next FROM consumed WHERE role = ? ORDER BY topic, partition" => (Text, BigInt, BigInt));
sql!(IsUpgraded, "SELECT count(*) FROM meta WHERE name = 'offsets'" => BigInt);

pub(super) fn consumed(conn: &mut SqliteConnection, role: Role) -> Result<Consumption, Failure> {
    let rows = select::<_, decode::ConsumedRow<SqliteColumns>, 1>(conn, Consumed, [Value::Text(role.name())])?;
    let upgraded = select::<_, i64, 0>(conn, IsUpgraded, [])?;
    decode::consumption::<SqliteColumns>(rows, upgraded)
}

type WriterTypes = ((BigInt, Text, Text, Text, Text, BigInt), (BigInt, BigInt, BigInt, BigInt, BigInt, Nullable<BigInt>));
sql!(
    Writers,
    "SELECT writer, node, url, proof, roles, alive, lease_until, (lease_until - now) / 1000, commits, last_seq, published_seq, \
     CASE WHEN publish_until >= now THEN publisher END \
     FROM writers, (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000 AS now) ORDER BY writer" => WriterTypes
);

pub(super) fn writers(conn: &mut SqliteConnection) -> Result<Vec<WriterRow>, Failure> {
    let rows = select::<_, decode::WriterColumns<SqliteColumns>, 0>(conn, Writers, [])?;
    rows.into_iter().map(decode::writer::<SqliteColumns>).collect()
}

sql!(ShardRows, "SELECT role, shard, writer FROM shards" => (Text, BigInt, Nullable<BigInt>));

pub(super) fn shard_rows(conn: &mut SqliteConnection) -> Result<Vec<ShardRow>, Failure> {
    decode::shard_rows::<SqliteColumns>(select::<_, decode::ShardColumns<SqliteColumns>, 0>(conn, ShardRows, [])?)
}

/// Notices' rows without their columns for the writer.
pub(super) fn notices(conn: &mut SqliteConnection, orders: &[OrderId]) -> Result<Vec<NoticeTask>, Failure> {
    let tasks = rows::notices_among(conn, &rows::order_keys(orders))?;
    Ok(tasks.into_iter().map(|(task, _)| task).collect())
}
