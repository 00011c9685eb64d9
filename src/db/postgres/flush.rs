//! The second round trip of a batch: what was decided as one statement a table and kind of change, each in the order of its key, and
//! COMMIT behind them.

use super::error::Failure;
use super::load::Marks;
use super::open::small;
use super::statement::{Value, amount, sql, time};
use super::{flush_rare_writes, flush_stock};
use crate::db::codec;
use crate::db::decode::MARKER;
use crate::db::plan::{OrderState, Plan};
use crate::db::postgres::script::{Script, int4};
use crate::domain::{LoggedEvent, OrderStatus};

sql!(EndLog, "UPDATE writers SET last_seq = ? WHERE writer = ?");
sql!(
    InsertOrders,
    "INSERT INTO orders (id, customer_id, total_amount, status, created_at, updated_at, shard, open, details, record) \
     SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
);
sql!(InsertItems, "INSERT INTO order_items (id, order_id, product_id, quantity, price) SELECT * FROM unnest(?, ?, ?, ?, ?)");
sql!(
    SaveOrders,
    "UPDATE orders SET status = n.status, updated_at = n.updated_at, open = n.open, record = n.record \
     FROM unnest(?, ?, ?, ?, ?) AS n (id, status, updated_at, open, record) WHERE orders.id = n.id"
);
sql!(OpenOrders, "INSERT INTO open_orders (id, shard) SELECT * FROM unnest(?, ?)");
sql!(CloseOrders, "DELETE FROM open_orders WHERE id = ANY(?)");
sql!(PutRare, "INSERT INTO rare_orders (id, status) SELECT * FROM unnest(?, ?) ON CONFLICT (id) DO UPDATE SET status = excluded.status");
sql!(DropRare, "DELETE FROM rare_orders WHERE id = ANY(?)");
sql!(
    SavePayments,
    "INSERT INTO payments (order_id, attempt, amount, method, status, reason, updated_at, failures, failing_since) \
     SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?) \
     ON CONFLICT (order_id) DO UPDATE SET attempt = excluded.attempt, amount = excluded.amount, method = excluded.method, \
     status = excluded.status, reason = excluded.reason, updated_at = excluded.updated_at, failures = excluded.failures, \
     failing_since = excluded.failing_since"
);
sql!(
    SaveNotices,
    "INSERT INTO notifications (order_id, kind, channel, status, attempt, next_try_at, reason, created_at, updated_at, shard) \
     SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
     ON CONFLICT (order_id, kind, channel) DO UPDATE SET status = excluded.status, attempt = excluded.attempt, \
     next_try_at = excluded.next_try_at, reason = excluded.reason, created_at = excluded.created_at, updated_at = excluded.updated_at"
);
sql!(
    InsertEvents,
    "INSERT INTO events (writer, seq, at, order_id, topic, kind, shard, data) SELECT ?, n.* FROM unnest(?, ?, ?, ?, ?, ?, ?) AS n"
);

/// All that a plan writes.
pub(super) fn script(plan: &Plan<'_>, marks: &Marks, writer: i64, last_seq: i64) -> Result<Script, Failure> {
    let mut script = Script::default();
    orders(&mut script, plan)?;
    lists(&mut script, plan, marks);
    flush_stock::add(&mut script, &plan.stock)?;
    payments(&mut script, plan);
    notices(&mut script, plan);
    flush_rare_writes::add_rare_writes(&mut script, &plan.rare);
    flush_rare_writes::add_answers(&mut script, &plan.answers)?;
    flush_rare_writes::add_cluster(&mut script, &plan.cluster, writer)?;
    log(&mut script, plan, writer)?;
    if plan.log.last_seq > last_seq {
        script.add(1, EndLog, || [Value::Int(plan.log.last_seq), Value::Int(writer)]);
    }
    Ok(script)
}

fn record(state: &OrderState<'_>) -> Result<Vec<u8>, Failure> {
    codec::encode_record(state.record).map_err(Failure::codec("a record"))
}

fn orders(script: &mut Script, plan: &Plan<'_>) -> Result<(), Failure> {
    let new = &plan.orders;
    let encode = |state: &OrderState<'_>| codec::encode_order(state.order).map_err(Failure::codec("an order"));
    let details = new.iter().map(encode).collect::<Result<_, _>>()?;
    let records = new.iter().map(record).collect::<Result<_, _>>()?;
    script.add(new.len(), InsertOrders, || {
        [
            Value::Ids(new.iter().map(|state| state.order.id.0).collect()),
            Value::Ids(new.iter().map(|state| state.order.customer.0).collect()),
            Value::Amounts(new.iter().map(|state| amount(state.order.total)).collect()),
            Value::Names(new.iter().map(|state| state.status.name()).collect()),
            Value::Stamps(new.iter().map(|state| time(state.order.created_at)).collect()),
            Value::Stamps(new.iter().map(|state| time(state.updated_at)).collect()),
            Value::Int2s(new.iter().map(|state| small(state.order.shard.0)).collect()),
            Value::Bools(new.iter().map(|state| state.open).collect()),
            Value::Blobs(details),
            Value::Blobs(records),
        ]
    });
    let mut items: Vec<_> = new
        .iter()
        .flat_map(|state| (0..).zip(&state.order.lines).map(|(n, line)| (state.order.id.item(n), state.order.id.0, line)))
        .collect();
    items.sort_unstable_by_key(|(id, ..)| *id);
    script.add(items.len(), InsertItems, || {
        [
            Value::Ids(items.iter().map(|(id, ..)| *id).collect()),
            Value::Ids(items.iter().map(|(_, order, _)| *order).collect()),
            Value::Ids(items.iter().map(|(.., line)| line.product.0).collect()),
            Value::Int4s(items.iter().map(|(.., line)| int4(line.quantity.get())).collect()),
            Value::Amounts(items.iter().map(|(.., line)| amount(line.price)).collect()),
        ]
    });
    let saves = &plan.saves;
    let records = saves.values().map(record).collect::<Result<_, _>>()?;
    script.add(saves.len(), SaveOrders, || {
        [
            Value::Ids(saves.keys().map(|id| id.0).collect()),
            Value::Names(saves.values().map(|state| state.status.name()).collect()),
            Value::Stamps(saves.values().map(|state| time(state.updated_at)).collect()),
            Value::Bools(saves.values().map(|state| state.open).collect()),
            Value::Blobs(records),
        ]
    });
    Ok(())
}

/// The statuses that few orders have; those of the others are found by their id or by being open.
pub(super) fn is_rare(status: OrderStatus) -> bool {
    match status {
        OrderStatus::Pending | OrderStatus::InventoryReserved | OrderStatus::Confirmed | OrderStatus::Shipped => false,
        OrderStatus::PaymentFailed | OrderStatus::Failed | OrderStatus::Cancelling | OrderStatus::Refunding | OrderStatus::Cancelled => {
            true
        }
    }
}

/// The lists of open and of rare orders: what enters and what leaves them.
fn lists(script: &mut Script, plan: &Plan<'_>, marks: &Marks) {
    let (mut opened, mut closed, mut rare, mut usual) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for state in plan.orders.iter().chain(plan.saves.values()) {
        let order = state.order;
        let stored = marks.get(&order.id).copied();
        match (stored.is_some_and(|(_, open)| open), state.open) {
            (false, true) => opened.push((order.id.0, small(order.shard.0))),
            (true, false) => closed.push(order.id.0),
            (true, true) | (false, false) => {}
        }
        let stored = stored.map(|(status, _)| status).filter(|status| is_rare(*status));
        if is_rare(state.status) {
            if stored != Some(state.status) {
                rare.push((order.id.0, state.status.name()));
            }
        } else if stored.is_some() {
            usual.push(order.id.0);
        }
    }
    script.add(opened.len(), OpenOrders, || {
        let (ids, shards) = opened.into_iter().unzip();
        [Value::Ids(ids), Value::Int2s(shards)]
    });
    script.add(closed.len(), CloseOrders, || [Value::Ids(closed)]);
    script.add(rare.len(), PutRare, || {
        let (ids, statuses) = rare.into_iter().unzip();
        [Value::Ids(ids), Value::Names(statuses)]
    });
    script.add(usual.len(), DropRare, || [Value::Ids(usual)]);
}

fn payments(script: &mut Script, plan: &Plan<'_>) {
    let rows = || plan.payments.iter();
    script.add(rows().len(), SavePayments, || {
        [
            Value::Ids(rows().map(|payment| payment.order.0).collect()),
            Value::Int4s(rows().map(|payment| int4(payment.attempt)).collect()),
            Value::Amounts(rows().map(|payment| amount(payment.amount)).collect()),
            Value::Texts(rows().map(|payment| payment.method.as_str().to_owned()).collect()),
            Value::Names(rows().map(|payment| payment.status.name()).collect()),
            Value::TextsOrNull(rows().map(|payment| payment.reason.as_ref().map(|reason| reason.as_str().to_owned())).collect()),
            Value::Times(rows().map(|payment| time(payment.updated_at)).collect()),
            Value::Int4s(rows().map(|payment| payment.failures.map_or(0, |failures| int4(failures.count))).collect()),
            Value::TimesOrNull(rows().map(|payment| payment.failures.map(|failures| time(failures.since))).collect()),
        ]
    });
}

fn notices(script: &mut Script, plan: &Plan<'_>) {
    let rows = || plan.notices.values();
    script.add(rows().len(), SaveNotices, || {
        [
            Value::Ids(rows().map(|row| row.task.order.0).collect()),
            Value::Names(rows().map(|row| row.task.kind.name()).collect()),
            Value::Names(rows().map(|row| row.task.channel.name()).collect()),
            Value::Names(rows().map(|row| row.task.status.name()).collect()),
            Value::Int4s(rows().map(|row| int4(row.task.attempt)).collect()),
            Value::TimesOrNull(rows().map(|row| row.task.next_try_at.map(time)).collect()),
            Value::TextsOrNull(rows().map(|row| row.task.reason.as_ref().map(|reason| reason.as_str().to_owned())).collect()),
            Value::Times(rows().map(|row| time(row.created_at)).collect()),
            Value::Times(rows().map(|row| time(row.updated_at)).collect()),
            Value::Int2s(rows().map(|row| small(row.shard.0)).collect()),
        ]
    });
}

fn log(script: &mut Script, plan: &Plan<'_>, writer: i64) -> Result<(), Failure> {
    let rows = plan.log.events.len() + plan.log.markers.len();
    let (mut seqs, mut ats, mut orders) = (Vec::with_capacity(rows), Vec::with_capacity(rows), Vec::with_capacity(rows));
    let (mut topics, mut kinds) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    let (mut shards, mut data) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    for LoggedEvent { seq, event, sale: _ } in &plan.log.events {
        let kind = event.kind();
        seqs.push(*seq);
        ats.push(time(event.at));
        orders.push(Some(event.order.0));
        topics.push(i16::from(kind.topic().number()));
        kinds.push(i16::from(kind.number()));
        shards.push(small(event.shard.0));
        data.push(codec::encode_event(event).map_err(Failure::codec("an event"))?);
    }
    for (seq, marker) in &plan.log.markers {
        seqs.push(*seq);
        ats.push(time(crate::domain::Timestamp(0)));
        orders.push(None);
        topics.push(i16::from(MARKER));
        kinds.push(i16::from(MARKER));
        shards.push(small(marker.shard.0));
        data.push(codec::encode_marker(marker).map_err(Failure::codec("a marker"))?);
    }
    script.add(rows, InsertEvents, || {
        [
            Value::Int(writer),
            Value::Ints(seqs),
            Value::Times(ats),
            Value::IdsOrNull(orders),
            Value::Int2s(topics),
            Value::Int2s(kinds),
            Value::Int2s(shards),
            Value::Blobs(data),
        ]
    });
    Ok(())
}
