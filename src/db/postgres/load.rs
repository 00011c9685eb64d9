//! The first round trip of a batch: BEGIN, the fence, and all that the batch must see, with the locks in the order in which every
//! transaction takes them: the writer's row, idempotency keys (by key), products (by id), the rest.
//!
//! Everything is sent before the first answer is awaited, and the server works it off in order; a statement without anything to look
//! for is left out.

use super::error::Failure;
use super::rows::{
    self, HeldRow, HeldTypes, LineRow, LineTypes, NoticeRow, NoticeTypes, PaymentRow, PaymentTypes, PgColumns, ProductRow, ProductTypes,
    StepRow, StepTypes,
};
use super::statement::{Sql, Time, Value, run, select, sql, time};
use crate::db::decode;
use crate::db::plan::{Needs, Stored, StoredCluster, notice_key};
use crate::db::store::Batch;
use crate::domain::{OrderId, OrderStatus, WriterId};
use diesel::deserialize::FromSqlRow;
use diesel::pg::Pg;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Binary, Bool, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_util::future::{BoxFuture, ready};
use std::collections::{HashMap, HashSet};
use tokio::join;
use uuid::Uuid;

sql!(
    /// The fence: the one row that every transaction moves by one step.
    StepWriter, "UPDATE writers SET commits = commits + 1 WHERE writer = ? AND alive AND commits = ? AND last_seq = ?"
);
sql!(
    /// Of several orders that want one key the first to arrive gets it; an order that is there already wants none. Of two nodes the
    /// second waits here, and reads the first one's key below.
    TakeKeys,
    "INSERT INTO idempotency_keys AS k (key, body, order_id, created_at, expires_at) \
     SELECT DISTINCT ON (n.key) n.key, n.body, n.order_id, n.created_at, n.expires_at \
     FROM unnest(?, ?, ?, ?, ?) WITH ORDINALITY AS n (key, body, order_id, created_at, expires_at, nth) \
     WHERE NOT EXISTS (SELECT 1 FROM orders WHERE orders.id = n.order_id) ORDER BY n.key, n.nth \
     ON CONFLICT (key) DO UPDATE SET body = excluded.body, order_id = excluded.order_id, created_at = excluded.created_at, \
     expires_at = excluded.expires_at WHERE k.expires_at <= excluded.created_at"
);
sql!(Keys, "SELECT key, body, order_id, expires_at FROM idempotency_keys WHERE key = ANY(?)" => (Binary, Binary, SqlUuid, Timestamptz));
sql!(
    Products,
    "SELECT id, name, price, available_quantity, reserved_quantity, shipped_quantity, supplied_quantity, discontinued \
     FROM products WHERE id = ANY(?) ORDER BY id FOR NO KEY UPDATE" => ProductTypes
);
sql!(
    /// The products of stored reservations as well.
    ProductsOfOrders,
    "SELECT id, name, price, available_quantity, reserved_quantity, shipped_quantity, supplied_quantity, discontinued \
     FROM products WHERE id = ANY(? || ARRAY(SELECT r.product_id FROM unnest(?, ?, ?) AS n (order_id, first, last) \
     JOIN inventory_reservations r ON r.id BETWEEN n.first AND n.last AND r.order_id = n.order_id)) \
     ORDER BY id FOR NO KEY UPDATE" => ProductTypes
);
sql!(
    Reservations,
    "SELECT r.order_id, r.id, r.product_id, r.quantity, r.status, r.created_at FROM unnest(?, ?, ?) AS n (order_id, first, last) \
     JOIN inventory_reservations r ON r.id BETWEEN n.first AND n.last AND r.order_id = n.order_id" => LineTypes
);
sql!(Steps, "SELECT order_id, step, at, data FROM inventory_steps WHERE order_id = ANY(?)" => StepTypes);
sql!(Orders, "SELECT id, status, open FROM orders WHERE id = ANY(?)" => (SqlUuid, Text, Bool));
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
    Letters,
    "SELECT id, state, created_at FROM dead_letters WHERE id = ANY(?) ORDER BY id FOR NO KEY UPDATE" => (SqlUuid, Text, Timestamptz)
);
sql!(
    Positions,
    "SELECT writer, seq FROM analytics_positions WHERE writer = ANY(?) ORDER BY writer FOR NO KEY UPDATE" => (BigInt, BigInt)
);
sql!(LogEnds, "SELECT writer, last_seq FROM writers WHERE writer = ANY(?)" => (BigInt, BigInt));
sql!(
    /// A writer with an open transaction is skipped: a frozen node would block this one.
    EndExpired,
    "UPDATE writers SET alive = false WHERE writer IN (SELECT w.writer FROM unnest(?, ?) AS n (writer, lease_until) \
     JOIN writers w ON w.writer = n.writer AND w.lease_until = n.lease_until \
     WHERE w.alive AND w.writer <> ? AND w.lease_until < clock_timestamp() FOR NO KEY UPDATE OF w SKIP LOCKED)"
);
sql!(
    ClaimLogs,
    "UPDATE writers SET publisher = ?, publish_until = clock_timestamp() + n.lease_ms * interval '1 millisecond' \
     FROM unnest(?, ?) AS n (writer, lease_ms) WHERE writers.writer = n.writer AND NOT alive \
     AND (publisher IS NULL OR publisher = ? OR publish_until < clock_timestamp()) RETURNING writers.writer" => BigInt
);
sql!(
    Shards,
    "SELECT s.role, s.shard, s.writer, s.after_writer, s.after_seq FROM unnest(?, ?) AS n (role, shard) \
     JOIN shards s ON s.role = n.role AND s.shard = n.shard ORDER BY s.role, s.shard FOR NO KEY UPDATE OF s"
        => (Text, SmallInt, Nullable<BigInt>, Nullable<BigInt>, Nullable<BigInt>)
);
sql!(
    /// After the shards are locked: a writer that is not alive now never will be, so its log has ended.
    Owners, "SELECT writer, alive, last_seq FROM writers WHERE writer IN (SELECT s.writer FROM shards s)" => (BigInt, Bool, BigInt)
);
sql!(
    /// Not locked: of two nodes that keep an answer under one key the second one's batch is decided again.
    Answers, "SELECT key, body, answer, expires_at FROM answers WHERE key = ANY(?)" => (Binary, Binary, Binary, Timestamptz)
);
sql!(Known, "SELECT id FROM orders WHERE id = ANY(?) UNION SELECT id FROM known_orders WHERE id = ANY(?)" => SqlUuid);
sql!(
    Held,
    "SELECT order_id, shard, at, data FROM held_events WHERE order_id = ANY(?) ORDER BY order_id, kind FOR NO KEY UPDATE" => HeldTypes
);

/// What the orders of a batch are as stored, for the lists of open and rare ones.
pub(super) type Marks = HashMap<OrderId, (OrderStatus, bool)>;

/// What a batch asks.
pub(super) struct Asks {
    fence: [Value; 3],
    own: i64,
    orders: Vec<Uuid>,
    keys: [Vec<Vec<u8>>; 2],
    key_orders: Vec<Uuid>,
    key_times: [Vec<Time>; 2],
    products: Vec<Uuid>,
    undone: [Vec<Uuid>; 3],
    stock: [Vec<Uuid>; 3],
    payments: Vec<Uuid>,
    notices: Vec<Uuid>,
    letters: Vec<Uuid>,
    sources: Vec<i64>,
    expired: (Vec<i64>, Vec<Time>),
    claims: [Vec<i64>; 2],
    shards: (Vec<&'static str>, Vec<i16>),
    copied: Vec<Uuid>,
    awaited: Vec<Uuid>,
    answers: Vec<Vec<u8>>,
}

impl Asks {
    pub(super) fn of(batch: &Batch, needs: &Needs<'_>) -> Self {
        let ids = |orders: &[OrderId]| orders.iter().map(|order| order.0).collect::<Vec<_>>();
        let keyed = &needs.keys;
        Self {
            fence: [Value::Int(batch.writer.0), Value::Int(batch.commits), Value::Int(batch.last_seq)],
            own: batch.writer.0,
            orders: needs.placed.iter().chain(&needs.saved).map(|order| order.0).collect(),
            keys: [keyed.iter().map(|k| k.key.key.to_vec()).collect(), keyed.iter().map(|k| k.key.body.to_vec()).collect()],
            key_orders: keyed.iter().map(|wanted| wanted.order.0).collect(),
            key_times: [keyed.iter().map(|k| time(k.at)).collect(), keyed.iter().map(|k| time(k.key.expires_at)).collect()],
            products: needs.products.iter().map(|product| product.0).collect::<HashSet<_>>().into_iter().collect(),
            undone: ranges(needs.undo.iter()),
            stock: ranges(needs.reserve.iter().chain(&needs.undo)),
            payments: ids(&needs.payments),
            notices: ids(&needs.notices),
            letters: needs.letters.iter().map(|letter| letter.0).collect(),
            sources: needs.sources.iter().map(|source| source.0).collect(),
            expired: needs.expired.iter().map(|(writer, lease_until)| (writer.0, time(*lease_until))).unzip(),
            claims: [
                needs.claims.iter().map(|(writer, _)| writer.0).collect(),
                needs.claims.iter().map(|(_, lease_ms)| i64::try_from(*lease_ms).unwrap_or(i64::MAX)).collect(),
            ],
            shards: needs.shards.iter().map(|(role, shard)| (role.name(), super::open::small(shard.0))).unzip(),
            copied: ids(&needs.copied),
            awaited: ids(&needs.awaited),
            answers: needs.answers.iter().map(|key| key.key.to_vec()).collect(),
        }
    }
}

/// Orders with the first and last id that their reservations may have.
fn ranges<'a>(orders: impl Iterator<Item = &'a OrderId>) -> [Vec<Uuid>; 3] {
    let (mut ids, mut firsts, mut lasts) = (Vec::new(), Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for order in orders.filter(|order| seen.insert(**order)) {
        let [first, last] = decode::half_range(*order);
        ids.push(order.0);
        firsts.push(first);
        lasts.push(last);
    }
    [ids, firsts, lasts]
}

/// Asks for rows, unless there is nothing to ask for.
fn look<'c, S: Sql, T, const N: usize>(
    conn: &'c AsyncPgConnection,
    statement: S,
    keys: usize,
    values: [Value; N],
) -> BoxFuture<'c, QueryResult<Vec<T>>>
where
    T: FromSqlRow<S::Row, Pg> + Send + 'static,
{
    if keys == 0 { Box::pin(ready(Ok(Vec::new()))) } else { select(conn, statement, values) }
}

type KeyRow = decode::KeyRow<PgColumns>;
type ShardRow = (String, i16, Option<i64>, Option<i64>, Option<i64>);

/// The rows that were found.
pub(super) struct Found {
    orders: Vec<(Uuid, String, bool)>,
    keys: Vec<KeyRow>,
    products: Vec<ProductRow>,
    lines: Vec<LineRow>,
    steps: Vec<StepRow>,
    payments: Vec<PaymentRow>,
    notices: Vec<NoticeRow>,
    rare: FoundRarely,
}

#[derive(Default)]
struct FoundRarely {
    letters: Vec<decode::StoredLetterRow<PgColumns>>,
    positions: Vec<(i64, i64)>,
    ends: Vec<(i64, i64)>,
    claimed: Vec<i64>,
    shards: Vec<ShardRow>,
    owners: Vec<(i64, bool, i64)>,
    known: Vec<Uuid>,
    held: Vec<HeldRow>,
    answers: Vec<rows::AnswerRow>,
}

/// Opens the transaction and looks everything up.
pub(super) async fn look_up(conn: &AsyncPgConnection, asks: Asks) -> Result<Found, Failure> {
    let mut opener = conn;
    let [key_bytes, bodies] = asks.keys;
    let [accepted, expire] = asks.key_times;
    let rare = Rare {
        letters: asks.letters,
        sources: asks.sources,
        expired: asks.expired,
        own: asks.own,
        claims: asks.claims,
        shards: asks.shards,
        copied: asks.copied,
        awaited: asks.awaited,
        answers: asks.answers,
    };
    let [stock_orders, firsts, lasts] = asks.stock;
    let (keyed, stocked) = (key_bytes.len(), stock_orders.len());
    let take = async {
        if keyed == 0 {
            return Ok(0);
        }
        let values = [
            Value::Blobs(key_bytes.clone()),
            Value::Blobs(bodies),
            Value::Ids(asks.key_orders),
            Value::Times(accepted),
            Value::Times(expire),
        ];
        run(conn, TakeKeys, values).await
    };
    // Polled in this order, so sent in this order.
    let (begin, fence, taken, keys, products, orders, lines, steps, payments, notices, rare) = join!(
        biased;
        opener.batch_execute("BEGIN"),
        run(conn, StepWriter, asks.fence),
        take,
        look(conn, Keys, keyed, [Value::Blobs(key_bytes.clone())]),
        find_products(conn, asks.products, asks.undone),
        look(conn, Orders, asks.orders.len(), [Value::Ids(asks.orders)]),
        look(conn, Reservations, stocked, [Value::Ids(stock_orders.clone()), Value::Ids(firsts), Value::Ids(lasts)]),
        look(conn, Steps, stocked, [Value::Ids(stock_orders.clone())]),
        look(conn, Payments, asks.payments.len(), [Value::Ids(asks.payments)]),
        look(conn, Notices, asks.notices.len(), [Value::Ids(asks.notices)]),
        look_rarely(conn, rare),
    );
    begin?;
    if fence? != 1 {
        return Err(Failure::NoMatch);
    }
    taken?;
    Ok(Found {
        keys: keys?,
        products: products?,
        orders: orders?,
        lines: lines?,
        steps: steps?,
        payments: payments?,
        notices: notices?,
        rare: rare?,
    })
}

async fn find_products(conn: &AsyncPgConnection, ids: Vec<Uuid>, undone: [Vec<Uuid>; 3]) -> QueryResult<Vec<ProductRow>> {
    let [orders, firsts, lasts] = undone;
    if orders.is_empty() {
        look(conn, Products, ids.len(), [Value::Ids(ids)]).await
    } else {
        select(conn, ProductsOfOrders, [Value::Ids(ids), Value::Ids(orders), Value::Ids(firsts), Value::Ids(lasts)]).await
    }
}

/// What few batches ask.
struct Rare {
    letters: Vec<Uuid>,
    sources: Vec<i64>,
    expired: (Vec<i64>, Vec<Time>),
    own: i64,
    claims: [Vec<i64>; 2],
    shards: (Vec<&'static str>, Vec<i16>),
    copied: Vec<Uuid>,
    awaited: Vec<Uuid>,
    answers: Vec<Vec<u8>>,
}

async fn look_rarely(conn: &AsyncPgConnection, asks: Rare) -> QueryResult<FoundRarely> {
    let [claimed, leases] = asks.claims;
    let (roles, shards) = asks.shards;
    let handed = shards.len();
    let (expired, leases_seen) = asks.expired;
    let expire = async {
        if expired.is_empty() {
            return Ok(0);
        }
        run(conn, EndExpired, [Value::Ints(expired), Value::Times(leases_seen), Value::Int(asks.own)]).await
    };
    let claim = [Value::Int(asks.own), Value::Ints(claimed.clone()), Value::Ints(leases), Value::Int(asks.own)];
    let awaited = [Value::Ids(asks.awaited.clone()), Value::Ids(asks.awaited.clone())];
    let (letters, positions, ends, expired, claimed, shards, owners, known, held, answers) = join!(
        biased;
        look(conn, Letters, asks.letters.len(), [Value::Ids(asks.letters)]),
        look(conn, Positions, asks.sources.len(), [Value::Ints(asks.sources.clone())]),
        look(conn, LogEnds, asks.sources.len(), [Value::Ints(asks.sources)]),
        expire,
        look(conn, ClaimLogs, claimed.len(), claim),
        look(conn, Shards, handed, [Value::Names(roles), Value::Int2s(shards)]),
        look(conn, Owners, handed, []),
        look(conn, Known, asks.awaited.len(), awaited),
        look(conn, Held, asks.copied.len(), [Value::Ids(asks.copied)]),
        look(conn, Answers, asks.answers.len(), [Value::Blobs(asks.answers)]),
    );
    expired?;
    Ok(FoundRarely {
        letters: letters?,
        positions: positions?,
        ends: ends?,
        claimed: claimed?,
        shards: shards?,
        owners: owners?,
        known: known?,
        held: held?,
        answers: answers?,
    })
}

impl Found {
    /// What the rows say.
    pub(super) fn read(self) -> Result<(Stored, Marks), Failure> {
        let mut marks = Marks::with_capacity(self.orders.len());
        for (id, status, open) in self.orders {
            marks.insert(OrderId(id), (decode::status(&status)?, open));
        }
        let mut stored = Stored { orders: marks.keys().copied().collect(), ..Stored::default() };
        stored.keys = self.keys.into_iter().map(decode::stored_key::<PgColumns>).collect();
        stored.products = rows::products(self.products)?;
        stored.stock = rows::order_stock(self.lines, self.steps)?;
        for row in self.payments {
            let payment = decode::payment::<PgColumns>(row)?;
            stored.payments.insert(payment.order, payment);
        }
        for row in self.notices {
            let (task, at) = decode::notice::<PgColumns>(row)?;
            stored.notices.insert(notice_key(&task), (task, at));
        }
        let letters = self.rare.letters.into_iter().map(decode::stored_letter::<PgColumns>);
        stored.letters = letters.collect::<Result<_, Failure>>()?;
        stored.answers = self.rare.answers.into_iter().map(decode::kept_answer::<PgColumns>).collect::<Result<_, Failure>>()?;
        stored.positions = self.rare.positions.into_iter().map(|(source, seq)| (WriterId(source), seq)).collect();
        stored.ends = self.rare.ends.into_iter().map(|(source, end)| (WriterId(source), end)).collect();
        stored.cluster = cluster(self.rare.claimed, self.rare.shards, self.rare.owners, self.rare.known, self.rare.held)?;
        Ok((stored, marks))
    }
}

fn cluster(
    claimed: Vec<i64>,
    shards: Vec<ShardRow>,
    owners: Vec<(i64, bool, i64)>,
    known: Vec<Uuid>,
    held: Vec<HeldRow>,
) -> Result<StoredCluster, Failure> {
    let owners: HashMap<i64, (bool, i64)> = owners.into_iter().map(|(writer, alive, last_seq)| (writer, (alive, last_seq))).collect();
    let mut stored = StoredCluster {
        claimed: claimed.into_iter().map(WriterId).collect(),
        known: known.into_iter().map(OrderId).collect(),
        ..StoredCluster::default()
    };
    for (role, shard, writer, after_writer, after_seq) in shards {
        let state = writer.and_then(|writer| owners.get(&writer).copied());
        let owner = decode::owner(writer, (after_writer, after_seq), state);
        stored.owners.insert((decode::role(&role)?, decode::shard(shard)?), owner);
    }
    for (order, number, at, data) in held {
        let event = decode::event::<PgColumns>(OrderId(order), (number, at), &data, None)?;
        stored.held.entry(event.order).or_default().push(event);
    }
    Ok(stored)
}
