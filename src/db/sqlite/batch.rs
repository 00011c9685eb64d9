//! One batch inside of its transaction: what is stored is looked up, each write is decided in the order of arrival against that
//! and what the batch has changed so far, then the rows are written, many to a statement.

use super::error::Failure;
use super::statement::{Id, Value, among, insert, run, sql};
use super::stock::StockDesk;
use super::{cluster, desk, stock};
use crate::db::codec;
use crate::db::write::{Batch, Committed, IdempotencyKey, Outcome, Write};
use crate::domain::{
    CorrelationId, Event, EventBody, LoggedEvent, Marker, NoticeTask, Order, OrderId, OrderStatus, Payment, Shard, Shards, Timestamp,
};
use crate::saga::{Record, settled, status};
use diesel::sql_types::{BigInt, Binary};
use diesel::sqlite::SqliteConnection;
use std::collections::HashMap;
use std::sync::Arc;

sql!(
    /// The fence: the one row that every transaction moves by one step.
    StepWriter, "UPDATE writers SET commits = commits + 1 WHERE writer = ? AND alive = 1 AND commits = ? AND last_seq = ?"
);
sql!(EndLog, "UPDATE writers SET last_seq = ? WHERE writer = ?");
sql!(PlacedAmong, "SELECT id FROM orders WHERE id IN " => Binary);
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
    "INSERT INTO payments (order_id, attempt, amount, method, status, reason, updated_at) VALUES ",
    " ON CONFLICT (order_id) DO UPDATE SET attempt = excluded.attempt, amount = excluded.amount, method = excluded.method, \
      status = excluded.status, reason = excluded.reason, updated_at = excluded.updated_at"
);
sql!(
    SaveNotices,
    "INSERT INTO notifications \
     (order_id, kind, channel, status, attempt, next_try_at, reason, created_at, updated_at, shard) VALUES ",
    " ON CONFLICT (order_id, kind, channel) DO UPDATE SET status = excluded.status, attempt = excluded.attempt, \
      next_try_at = excluded.next_try_at, reason = excluded.reason, updated_at = excluded.updated_at"
);
sql!(InsertEvents, "INSERT INTO events (writer, seq, topic, kind, shard, order_id, at, data) VALUES ");

/// `topic` and `kind` of a marker's row.
pub(super) const MARKER: i64 = 255;

/// Stores the batch in the transaction that is open.
pub(super) fn write(conn: &mut SqliteConnection, batch: &Batch, shards: Shards) -> Result<Committed, Failure> {
    let writer = batch.writer.0;
    let fence = [Value::Int(writer), Value::Int(batch.commits), Value::Int(batch.last_seq)];
    if run(conn, StepWriter, fence)? != 1 {
        return Err(Failure::NoMatch);
    }
    let mut work = Work::new(conn, batch)?;
    let mut outcomes = Vec::with_capacity(batch.writes.len());
    for write in &batch.writes {
        if let Some(shard) = write.shard().filter(|shard| shard.0 >= shards.count()) {
            return Err(Failure::NoShard(shard.0));
        }
        outcomes.push(work.decide(write)?);
    }
    work.flush()?;
    let Work { events, log, conn, .. } = work;
    if log.last_seq > batch.last_seq {
        run(conn, EndLog, [Value::Int(log.last_seq), Value::Int(writer)])?;
    }
    Ok(Committed { outcomes, events, last_seq: log.last_seq })
}

/// The writer's log as the batch extends it.
pub(super) struct Log {
    /// Its end so far.
    pub(super) last_seq: i64,
    markers: Vec<(i64, Marker)>,
}

impl Log {
    pub(super) fn mark(&mut self, marker: Marker) {
        self.last_seq += 1;
        self.markers.push((self.last_seq, marker));
    }
}

struct NewOrder<'a> {
    order: &'a Order,
    status: OrderStatus,
    open: bool,
    record: &'a Record,
    updated_at: Timestamp,
}

struct StoredKey {
    body: Vec<u8>,
    order: OrderId,
    expires_at: Timestamp,
}

type NoticeKey = (OrderId, u8, u8);

struct Work<'a> {
    conn: &'a mut SqliteConnection,
    batch: &'a Batch,
    log: Log,
    events: Vec<LoggedEvent>,
    placed: HashMap<OrderId, Option<usize>>,
    orders: Vec<NewOrder<'a>>,
    keys: HashMap<Vec<u8>, StoredKey>,
    new_keys: Vec<(&'a IdempotencyKey, &'a OrderId)>,
    stock: StockDesk,
    stored_payments: HashMap<OrderId, Payment>,
    payments: HashMap<OrderId, &'a Payment>,
    stored_notices: HashMap<NoticeKey, (NoticeTask, Timestamp)>,
    notices: HashMap<NoticeKey, (&'a NoticeTask, Shard, Timestamp)>,
}

impl<'a> Work<'a> {
    /// Looks up what is stored of all that the batch is about.
    fn new(conn: &'a mut SqliteConnection, batch: &'a Batch) -> Result<Self, Failure> {
        let needs = Needs::of(batch);
        let mut placed = HashMap::with_capacity(needs.placed.len());
        for Id(id) in among::<_, Id>(conn, PlacedAmong, &needs.placed)? {
            placed.insert(OrderId(id), None);
        }
        let mut keys = HashMap::new();
        for (key, body, Id(order), at) in among::<_, (Vec<u8>, Vec<u8>, Id, i64)>(conn, KeysAmong, &needs.keys)? {
            keys.insert(key, StoredKey { body, order: OrderId(order), expires_at: Timestamp(at) });
        }
        let stored_payments = super::rows::payments_among(conn, &needs.payments)?;
        let stored_notices = super::rows::notices_among(conn, &needs.notices)?;
        let stock = StockDesk::load(conn, &batch.writes)?;
        Ok(Self {
            log: Log { last_seq: batch.last_seq, markers: Vec::new() },
            events: Vec::with_capacity(batch.writes.len()),
            placed,
            orders: Vec::with_capacity(needs.placed.len()),
            keys,
            new_keys: Vec::new(),
            stock,
            stored_payments,
            payments: HashMap::with_capacity(needs.payments.len()),
            stored_notices: stored_notices.into_iter().map(|(task, _, at)| (notice_key(&task), (task, at))).collect(),
            notices: HashMap::with_capacity(needs.notices.len()),
            conn,
            batch,
        })
    }

    fn log_event(&mut self, event: Event) {
        self.log.last_seq += 1;
        self.events.push(LoggedEvent { seq: self.log.last_seq, event });
    }

    fn decide(&mut self, write: &'a Write) -> Result<Outcome, Failure> {
        match write {
            Write::Place { order, record, key } => Ok(self.place(order, record, key.as_ref())),
            Write::Save { .. } => self.save(write),
            Write::Reserve { order, pricing, at } => {
                let answer = self.stock.reserve(order, *pricing, *at);
                Ok(self.stock_outcome(answer))
            }
            Write::Release { step, undo } => {
                let answer = self.stock.release(step, *undo);
                Ok(self.stock_outcome(answer))
            }
            Write::HoldStock { step } => {
                let answer = self.stock.hold(step);
                Ok(self.stock_outcome(answer))
            }
            Write::ShipStock { step } => {
                let answer = self.stock.ship(step);
                Ok(self.stock_outcome(answer))
            }
            Write::SavePayment { payment, shard, correlation, event, letter } => {
                let outcome = self.save_payment(payment, *shard, *correlation, event.as_ref());
                self.add_letters(&outcome, letter.as_slice())?;
                Ok(outcome)
            }
            Write::SaveNotice { task, shard, correlation, event, letter } => {
                let outcome = self.save_notice(task, *shard, *correlation, event.as_ref());
                self.add_letters(&outcome, letter.as_slice())?;
                Ok(outcome)
            }
            Write::PutProduct { id, name, price, available } => self.stock.put(self.conn, *id, name, *price, *available),
            Write::AdjustStock { id, delta, reason, by, at } => {
                let outcome = self.stock.adjust(*id, *delta);
                if matches!(outcome, Outcome::Product(_)) {
                    desk::audit_stock(self.conn, *id, *delta, reason, by, *at)?;
                }
                Ok(outcome)
            }
            Write::AddLetter(letter) => desk::add_letter(self.conn, letter).map(|()| Outcome::Done),
            Write::CloseLetter { id, state, by, note, at } => desk::close_letter(self.conn, *id, *state, by, note.as_ref(), *at),
            Write::SaveAnalytics { add, source, after, seq } => desk::save_analytics(self.conn, add, *source, (*after, *seq)),
            Write::Published { writer, seq } => cluster::published(self.conn, *writer, *seq),
            Write::ClaimLog { writer, lease_ms } => cluster::claim_log(self.conn, *writer, self.batch.writer, *lease_ms),
            Write::EndExpired => cluster::end_expired(self.conn, self.batch.writer),
            Write::KnowOrder { order } => cluster::know_order(self.conn, order).map(Outcome::Repeated),
            Write::HoldEvent { event } => {
                let placed = self.placed.contains_key(&event.order);
                if placed { Ok(Outcome::Repeated(vec![event.clone()])) } else { cluster::hold_event(self.conn, event) }
            }
            Write::TakeShards { roles, shards } => {
                cluster::take_shards(self.conn, self.batch.writer, roles, shards, &mut self.log).map(Outcome::Taken)
            }
            Write::ReleaseShards { roles, shards } => {
                cluster::release_shards(self.conn, self.batch.writer, roles, shards, self.log.last_seq).map(|()| Outcome::Done)
            }
        }
    }

    fn stock_outcome(&mut self, answer: stock::Answer) -> Outcome {
        match answer {
            stock::Answer::New(event) => {
                if let Some(event) = event {
                    self.log_event(event);
                }
                Outcome::Done
            }
            stock::Answer::Repeated(events) => Outcome::Repeated(events),
        }
    }

    fn add_letters(&mut self, outcome: &Outcome, letters: &[crate::domain::DeadLetter]) -> Result<(), Failure> {
        if matches!(outcome, Outcome::Done) {
            for letter in letters {
                desk::add_letter(self.conn, letter)?;
            }
        }
        Ok(())
    }

    fn place(&mut self, order: &'a Arc<Order>, record: &'a Record, key: Option<&'a IdempotencyKey>) -> Outcome {
        let created = Event::of(order, order.created_at, EventBody::OrderCreated(Arc::clone(order)));
        if self.placed.contains_key(&order.id) {
            return Outcome::Repeated(vec![created]);
        }
        if let Some(key) = key {
            if let Some(stored) = self.keys.get(key.key.as_slice()).filter(|stored| stored.expires_at > order.created_at) {
                return Outcome::KeyTaken { order: stored.order, same_body: stored.body == key.body };
            }
            let stored = StoredKey { body: key.body.to_vec(), order: order.id, expires_at: key.expires_at };
            self.keys.insert(key.key.to_vec(), stored);
            self.new_keys.push((key, &order.id));
        }
        self.placed.insert(order.id, Some(self.orders.len()));
        self.orders.push(NewOrder {
            order,
            status: status(&record.facts),
            open: !settled(&record.facts, order.channels()),
            record,
            updated_at: order.created_at,
        });
        self.log_event(created);
        Outcome::Done
    }

    fn save(&mut self, write: &'a Write) -> Result<Outcome, Failure> {
        let Write::Save { order, status, open, record, events, letters, at } = write else { return Ok(Outcome::Missing) };
        let in_batch = self.placed.get(&order.id).copied().flatten();
        if let Some(new) = in_batch.and_then(|index| self.orders.get_mut(index)) {
            (new.status, new.open, new.record, new.updated_at) = (*status, *open, record, *at);
        } else {
            let record = codec::encode_record_with_room(record, order, *status).map_err(Failure::codec("a record"))?;
            let values =
                [Value::Text(status.name()), Value::Int(at.0), Value::Int(i64::from(*open)), Value::Bytes(record), Value::id(&order.id.0)];
            if run(self.conn, SaveOrder, values)? == 0 {
                return Ok(Outcome::Missing);
            }
        }
        for event in events {
            self.log_event(event.clone());
        }
        self.add_letters(&Outcome::Done, letters)?;
        Ok(Outcome::Done)
    }

    fn save_payment(&mut self, payment: &'a Payment, shard: Shard, correlation: CorrelationId, event: Option<&Event>) -> Outcome {
        let stored = self.payments.get(&payment.order).copied().or_else(|| self.stored_payments.get(&payment.order));
        if let Some(stored) = stored.filter(|stored| !payment.follows(Some(*stored))) {
            return Outcome::Repeated(stored.answer(shard, correlation).into_iter().collect());
        }
        self.payments.insert(payment.order, payment);
        if let Some(event) = event {
            self.log_event(event.clone());
        }
        Outcome::Done
    }

    fn save_notice(&mut self, task: &'a NoticeTask, shard: Shard, correlation: CorrelationId, event: Option<&Event>) -> Outcome {
        let key = notice_key(task);
        let stored = match self.notices.get(&key) {
            Some((task, _, at)) => Some((*task, *at)),
            None => self.stored_notices.get(&key).map(|(task, at)| (task, *at)),
        };
        if !task.follows(stored.map(|(task, _)| task)) {
            let answer = stored.and_then(|(stored, at)| stored.answer(shard, correlation, at));
            return Outcome::Repeated(answer.into_iter().collect());
        }
        let at = event.map_or(task.created_at, |event| event.at);
        self.notices.insert(key, (task, shard, at));
        if let Some(event) = event {
            self.log_event(event.clone());
        }
        Outcome::Done
    }

    /// Writes what was decided, each table in the order of its key.
    fn flush(&mut self) -> Result<(), Failure> {
        self.flush_orders()?;
        self.stock.flush(self.conn)?;
        self.flush_payments()?;
        self.flush_notices()?;
        self.flush_log()
    }

    fn flush_orders(&mut self) -> Result<(), Failure> {
        self.orders.sort_unstable_by_key(|new| new.order.id);
        let mut rows = Vec::with_capacity(self.orders.len());
        for new in &self.orders {
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
                Value::Bytes(codec::encode_record_with_room(new.record, order, new.status).map_err(Failure::codec("a record"))?),
            ]);
        }
        insert(self.conn, InsertOrders, &rows)?;
        let mut items = Vec::with_capacity(self.orders.len() * 2);
        for NewOrder { order, .. } in &self.orders {
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
        insert(self.conn, InsertItems, &rows)?;
        for (key, _) in &self.new_keys {
            run(self.conn, DeleteKey, [Value::Blob(&key.key)])?;
        }
        let rows: Vec<_> = self
            .new_keys
            .iter()
            .map(|(key, order)| [Value::Blob(&key.key), Value::Blob(&key.body), Value::id(&order.0), Value::Int(key.expires_at.0)])
            .collect();
        insert(self.conn, InsertKeys, &rows)?;
        Ok(())
    }

    fn flush_payments(&mut self) -> Result<(), Failure> {
        let mut payments: Vec<_> = self.payments.values().copied().collect();
        payments.sort_unstable_by_key(|payment| payment.order);
        let rows: Vec<_> = payments
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
                ]
            })
            .collect();
        insert(self.conn, SavePayments, &rows)?;
        Ok(())
    }

    fn flush_notices(&mut self) -> Result<(), Failure> {
        let mut notices: Vec<_> = self.notices.iter().collect();
        notices.sort_unstable_by_key(|(key, _)| **key);
        let rows: Vec<_> = notices
            .iter()
            .map(|(_, (task, shard, at))| {
                [
                    Value::id(&task.order.0),
                    Value::Text(task.kind.name()),
                    Value::Text(task.channel.name()),
                    Value::Text(task.status.name()),
                    Value::Int(i64::from(task.attempt)),
                    Value::int_or_null(task.next_try_at.map(|at| at.0)),
                    Value::text_or_null(task.reason.as_ref().map(|reason| reason.as_str())),
                    Value::Int(task.created_at.0),
                    Value::Int(at.0),
                    Value::Int(i64::from(shard.0)),
                ]
            })
            .collect();
        insert(self.conn, SaveNotices, &rows)?;
        Ok(())
    }

    fn flush_log(&mut self) -> Result<(), Failure> {
        let writer = self.batch.writer.0;
        let mut rows = Vec::with_capacity(self.events.len() + self.log.markers.len());
        for LoggedEvent { seq, event } in &self.events {
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
        for (seq, marker) in &self.log.markers {
            rows.push([
                Value::Int(writer),
                Value::Int(*seq),
                Value::Int(MARKER),
                Value::Int(MARKER),
                Value::Int(i64::from(marker.shard.0)),
                Value::Null,
                Value::Int(0),
                Value::Bytes(codec::encode_marker(marker).map_err(Failure::codec("a marker"))?),
            ]);
        }
        insert(self.conn, InsertEvents, &rows)?;
        Ok(())
    }
}

fn notice_key(task: &NoticeTask) -> NoticeKey {
    (task.order, task.kind.number(), task.channel.number())
}

/// The keys of the rows that a batch must see before it is decided.
#[derive(Default)]
struct Needs<'a> {
    placed: Vec<&'a [u8]>,
    keys: Vec<&'a [u8]>,
    payments: Vec<&'a [u8]>,
    notices: Vec<&'a [u8]>,
}

impl<'a> Needs<'a> {
    fn of(batch: &'a Batch) -> Self {
        let mut needs = Self::default();
        for write in &batch.writes {
            match write {
                Write::Place { order, key, .. } => {
                    needs.placed.push(order.id.0.as_bytes());
                    needs.keys.extend(key.as_ref().map(|key| key.key.as_slice()));
                }
                Write::SavePayment { payment, .. } => needs.payments.push(payment.order.0.as_bytes()),
                Write::SaveNotice { task, .. } => needs.notices.push(task.order.0.as_bytes()),
                Write::Save { .. }
                | Write::Reserve { .. }
                | Write::Release { .. }
                | Write::HoldStock { .. }
                | Write::ShipStock { .. }
                | Write::PutProduct { .. }
                | Write::AdjustStock { .. }
                | Write::AddLetter(_)
                | Write::CloseLetter { .. }
                | Write::SaveAnalytics { .. }
                | Write::Published { .. }
                | Write::ClaimLog { .. }
                | Write::EndExpired
                | Write::KnowOrder { .. }
                | Write::HoldEvent { .. }
                | Write::TakeShards { .. }
                | Write::ReleaseShards { .. } => {}
            }
        }
        needs
    }
}
