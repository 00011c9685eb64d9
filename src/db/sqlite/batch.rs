//! One batch inside of its transaction: what is stored is looked up, a [`Plan`] decides, the rows are written, many to a statement.

use super::error::Failure;
use super::rows::{SqliteColumns, order_keys};
use super::statement::{Id, Value, among, insert, run, sql};
use super::{cluster, rare_writes, rows, stock};
use crate::db::codec;
use crate::db::decode::{self, MARKER};
use crate::db::plan::{Needs, OrderState, Plan, Stored, notice_key};
use crate::db::store::{Batch, Committed};
use crate::db::write::Write;
use crate::domain::{LoggedEvent, OrderId, Shards};
use diesel::sql_types::{BigInt, Binary};
use diesel::sqlite::SqliteConnection;

sql!(
    /// The fence: the one row that every transaction moves by one step.
    StepWriter, "UPDATE writers SET commits = commits + 1 WHERE writer = ? AND alive = 1 AND commits = ? AND last_seq = ?"
);
sql!(EndLog, "UPDATE writers SET last_seq = ? WHERE writer = ?");
sql!(OrdersAmong, "SELECT id FROM orders WHERE id IN " => Binary);
sql!(KeysAmong, "SELECT key, body, order_id, expires_at FROM idempotency_keys WHERE key IN " => (Binary, Binary, Binary, BigInt));
sql!(
    InsertOrders,
    "INSERT INTO orders (id, customer_id, total_amount, status, created_at, updated_at, shard, open, details, record) VALUES "
);
sql!(InsertItems, "INSERT INTO order_items (id, order_id, product_id, quantity, price) VALUES ");
sql!(DeleteKey, "DELETE FROM idempotency_keys WHERE key = ?");
sql!(InsertKeys, "INSERT INTO idempotency_keys (key, body, order_id, expires_at) VALUES ");
sql!(SaveOrder, "UPDATE orders SET status = ?, updated_at = ?, open = ?, record = ? WHERE id = ?");
sql!(
    SavePayments,
    "INSERT INTO payments (order_id, attempt, amount, method, status, reason, updated_at, failures, failing_since) VALUES ",
    " ON CONFLICT (order_id) DO UPDATE SET attempt = excluded.attempt, amount = excluded.amount, method = excluded.method, \
      status = excluded.status, reason = excluded.reason, updated_at = excluded.updated_at, failures = excluded.failures, \
      failing_since = excluded.failing_since"
);
sql!(
    SaveNotices,
    "INSERT INTO notifications \
     (order_id, kind, channel, status, attempt, next_try_at, reason, created_at, updated_at, shard) VALUES ",
    " ON CONFLICT (order_id, kind, channel) DO UPDATE SET status = excluded.status, attempt = excluded.attempt, \
      next_try_at = excluded.next_try_at, reason = excluded.reason, created_at = excluded.created_at, updated_at = excluded.updated_at"
);
sql!(InsertEvents, "INSERT INTO events (writer, seq, topic, kind, shard, order_id, at, data) VALUES ");

/// Stores the batch in the transaction that is open.
pub(super) fn write(conn: &mut SqliteConnection, batch: &Batch, shards: Shards) -> Result<Committed, Failure> {
    let writer = batch.writer.0;
    let fence = [Value::Int(writer), Value::Int(batch.commits), Value::Int(batch.last_seq)];
    if run(conn, StepWriter, fence)? != 1 {
        return Err(Failure::NoMatch);
    }
    let mut stored = load(conn, &Needs::of(&batch.writes), writer)?;
    save_orders(conn, &batch.writes, &mut stored)?;
    let plan = Plan::decide(batch, shards, stored).map_err(|refused| Failure::NoShard(refused.0))?;
    flush(conn, &plan, writer)?;
    let Plan { outcomes, log, .. } = plan;
    if log.last_seq > batch.last_seq {
        run(conn, EndLog, [Value::Int(log.last_seq), Value::Int(writer)])?;
    }
    Ok(Committed { outcomes, events: log.events, last_seq: log.last_seq })
}

/// Looks up what is stored of all that the batch is about.
fn load(conn: &mut SqliteConnection, needs: &Needs<'_>, own: i64) -> Result<Stored, Failure> {
    let mut stored = Stored::default();
    stored.orders.extend(among::<_, Id>(conn, OrdersAmong, &order_keys(&needs.placed))?.into_iter().map(|Id(id)| OrderId(id)));
    let keys: Vec<&[u8]> = needs.keys.iter().map(|wanted| wanted.key.key.as_slice()).collect();
    let keys = among::<_, decode::KeyRow<SqliteColumns>>(conn, KeysAmong, &keys)?;
    stored.keys = keys.into_iter().map(decode::stored_key::<SqliteColumns>).collect();
    stored.payments = rows::payments_among(conn, &order_keys(&needs.payments))?;
    let notices = rows::notices_among(conn, &order_keys(&needs.notices))?;
    stored.notices = notices.into_iter().map(|(task, at)| (notice_key(&task), (task, at))).collect();
    stock::load(conn, needs, &mut stored)?;
    rare_writes::load(conn, needs, &mut stored)?;
    stored.cluster = cluster::load(conn, needs, own)?;
    Ok(stored)
}

/// Writes the new records of stored orders. The update itself shows whether the order exists; a query first would look up its row
/// twice.
fn save_orders(conn: &mut SqliteConnection, writes: &[Write], stored: &mut Stored) -> Result<(), Failure> {
    for write in writes {
        let Write::Save { order, status, open, record, at, .. } = write else { continue };
        let state = OrderState { order, status: *status, open: *open, record, updated_at: *at };
        let (status, open) = (Value::Text(status.name()), Value::Int(i64::from(*open)));
        if run(conn, SaveOrder, [status, Value::Int(at.0), open, self::record(&state)?, Value::id(&order.id.0)])? == 1 {
            stored.orders.insert(order.id);
        }
    }
    Ok(())
}

/// Writes what was decided, each table in the order of its key.
fn flush(conn: &mut SqliteConnection, plan: &Plan<'_>, writer: i64) -> Result<(), Failure> {
    flush_orders(conn, plan)?;
    stock::flush(conn, &plan.stock)?;
    flush_payments(conn, plan)?;
    flush_notices(conn, plan)?;
    rare_writes::flush(conn, &plan.rare)?;
    rare_writes::flush_answers(conn, &plan.answers)?;
    cluster::flush(conn, &plan.cluster, writer)?;
    flush_log(conn, plan, writer)
}

fn flush_orders(conn: &mut SqliteConnection, plan: &Plan<'_>) -> Result<(), Failure> {
    let mut rows = Vec::with_capacity(plan.orders.len());
    for new in &plan.orders {
        let order = new.order;
        rows.push([
            Value::id(&order.id.0),
            Value::id(&order.customer.0),
            Value::Int(order.total.minor()),
            Value::Text(new.status.name()),
            Value::Int(order.created_at.0),
            Value::Int(new.updated_at.0),
            Value::Int(i64::from(order.shard.0)),
            Value::Int(i64::from(new.open)),
            Value::Bytes(codec::encode_order(order).map_err(Failure::codec("an order"))?),
            record(new)?,
        ]);
    }
    insert(conn, InsertOrders, &rows)?;
    let mut items = Vec::with_capacity(plan.orders.len() * 2);
    for OrderState { order, .. } in &plan.orders {
        items.extend((0..).zip(&order.lines).map(|(n, line)| (order.id.item(n), order.id, line)));
    }
    items.sort_unstable_by_key(|(id, ..)| *id);
    let rows: Vec<_> = items
        .iter()
        .map(|(id, order, line)| {
            let (quantity, price) = (Value::Int(i64::from(line.quantity.get())), Value::Int(line.price.minor()));
            [Value::id(id), Value::id(&order.0), Value::id(&line.product.0), quantity, price]
        })
        .collect();
    insert(conn, InsertItems, &rows)?;
    for taken in &plan.keys {
        run(conn, DeleteKey, [Value::Blob(&taken.key.key)])?;
    }
    let rows: Vec<_> = plan
        .keys
        .iter()
        .map(|taken| {
            [Value::Blob(&taken.key.key), Value::Blob(&taken.key.body), Value::id(&taken.order.0), Value::Int(taken.key.expires_at.0)]
        })
        .collect();
    Ok(insert(conn, InsertKeys, &rows)?)
}

fn record(state: &OrderState<'_>) -> Result<Value<'static>, Failure> {
    codec::encode_record_with_room(state.record, state.order, state.status).map(Value::Bytes).map_err(Failure::codec("a record"))
}

fn flush_payments(conn: &mut SqliteConnection, plan: &Plan<'_>) -> Result<(), Failure> {
    let rows: Vec<_> = plan
        .payments
        .iter()
        .map(|payment| {
            [
                Value::id(&payment.order.0),
                Value::Int(i64::from(payment.attempt)),
                Value::Int(payment.amount.minor()),
                Value::Text(payment.method.as_str()),
                Value::Text(payment.status.name()),
                Value::text_or_null(payment.reason.as_ref().map(|reason| reason.as_str())),
                Value::Int(payment.updated_at.0),
                Value::Int(payment.failures.map_or(0, |failures| i64::from(failures.count))),
                payment.failures.map_or(Value::Null, |failures| Value::Int(failures.since.0)),
            ]
        })
        .collect();
    Ok(insert(conn, SavePayments, &rows)?)
}

fn flush_notices(conn: &mut SqliteConnection, plan: &Plan<'_>) -> Result<(), Failure> {
    let rows: Vec<_> = plan
        .notices
        .values()
        .map(|saved| {
            let task = saved.task;
            [
                Value::id(&task.order.0),
                Value::Text(task.kind.name()),
                Value::Text(task.channel.name()),
                Value::Text(task.status.name()),
                Value::Int(i64::from(task.attempt)),
                Value::int_or_null(task.next_try_at.map(|at| at.0)),
                Value::text_or_null(task.reason.as_ref().map(|reason| reason.as_str())),
                Value::Int(saved.created_at.0),
                Value::Int(saved.updated_at.0),
                Value::Int(i64::from(saved.shard.0)),
            ]
        })
        .collect();
    Ok(insert(conn, SaveNotices, &rows)?)
}

fn flush_log(conn: &mut SqliteConnection, plan: &Plan<'_>, writer: i64) -> Result<(), Failure> {
    let mut rows = Vec::with_capacity(plan.log.events.len() + plan.log.markers.len());
    for LoggedEvent { seq, event, sale: _ } in &plan.log.events {
        let kind = event.kind();
        rows.push([
            Value::Int(writer),
            Value::Int(*seq),
            Value::Int(i64::from(kind.topic().number())),
            Value::Int(i64::from(kind.number())),
            Value::Int(i64::from(event.shard.0)),
            Value::id(&event.order.0),
            Value::Int(event.at.0),
            Value::Bytes(codec::encode_event(event).map_err(Failure::codec("an event"))?),
        ]);
    }
    for (seq, marker) in &plan.log.markers {
        rows.push([
            Value::Int(writer),
            Value::Int(*seq),
            Value::Int(i64::from(MARKER)),
            Value::Int(i64::from(MARKER)),
            Value::Int(i64::from(marker.shard.0)),
            Value::Null,
            Value::Int(0),
            Value::Bytes(codec::encode_marker(marker).map_err(Failure::codec("a marker"))?),
        ]);
    }
    Ok(insert(conn, InsertEvents, &rows)?)
}
