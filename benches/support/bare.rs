//! The bare loop: the same rows in the same tables with the same settings, one thread, no actor, no HTTP, no store: what SQLite
//! itself can do for five durable transactions per group of orders.

use super::raw::{Raw, Statement, V};
use super::stopwatch::{Spent, Watch};
use super::workload::{self, Records};
use ordermill::db::codec;
use ordermill::db::sqlite::{SqliteOptions, SqliteStore, Synchronous};
use ordermill::db::{Batch, NewWriter, Store};
use ordermill::domain::{Event, EventBody, Order, OrderStatus, ReservedLine};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The loop has one thread, so its checkpoints are inline: after 4 MB, where it is fastest.
const BARE_CHECKPOINT_PAGES: u32 = 1024;

/// Makes the file with its tables and products, and returns the number of its writer.
pub fn prepare(options: &SqliteOptions) -> i64 {
    let mut store = SqliteStore::open(options.clone()).expect("the file is made");
    let writer = futures_util::FutureExt::now_or_never(store.start_writer(&NewWriter::of_all_roles("bench", "", 60_000)))
        .expect("inline")
        .expect("a writer");
    let batch = Batch { writer: writer.writer, commits: 0, last_seq: 0, writes: workload::catalogue() };
    futures_util::FutureExt::now_or_never(store.commit(&batch)).expect("inline").expect("the products are put");
    writer.writer.0
}

/// Takes `orders` orders through their whole way, `group` at a time, and returns how long each of its steps took.
pub fn run(options: &SqliteOptions, orders: u64, group: u64) -> [Spent; 5] {
    let writer = prepare(options);
    let raw = open(&options.path, options);
    let statements = Statements::new(&raw);
    let mut log = Log { writer, seq: 0, commits: 1 };
    let mut steps = [Spent::default(); 5];
    for first in (0..orders).step_by(usize::try_from(group).expect("a group")) {
        let group: Vec<Arc<Order>> = (first..first + group).map(workload::order).collect();
        let records: Vec<Records> = group.iter().map(|order| workload::records(order)).collect();
        for (step, spent) in [create, reserve, pay, confirm, notify].into_iter().zip(&mut steps) {
            let watch = Watch::start();
            raw.exec("BEGIN IMMEDIATE");
            for (order, records) in group.iter().zip(&records) {
                step(&statements, &mut log, order, records);
            }
            let moved = statements.writer.run([V::I(log.seq), V::I(writer), V::I(log.commits)]);
            assert_eq!(moved, 1);
            log.commits += 1;
            raw.exec("COMMIT");
            *spent += watch.spent();
        }
    }
    steps
}

/// Takes each order through its way alone, and returns how long each of its five commits took.
#[allow(dead_code, reason = "not every bench asks")]
pub fn commits(options: &SqliteOptions, orders: u64) -> Vec<[Duration; 5]> {
    let writer = prepare(options);
    let raw = open(&options.path, options);
    let statements = Statements::new(&raw);
    let mut log = Log { writer, seq: 0, commits: 1 };
    let mut all = Vec::new();
    for order in (0..orders).map(workload::order) {
        let records = workload::records(&order);
        all.push([create, reserve, pay, confirm, notify].map(|step: Step| {
            let start = Instant::now();
            raw.exec("BEGIN IMMEDIATE");
            step(&statements, &mut log, &order, &records);
            statements.writer.run([V::I(log.seq), V::I(writer), V::I(log.commits)]);
            log.commits += 1;
            raw.exec("COMMIT");
            start.elapsed()
        }));
    }
    all
}

type Step = fn(&Statements<'_>, &mut Log, &Arc<Order>, &Records);

fn open(path: &Path, options: &SqliteOptions) -> Raw {
    let raw = Raw::open(path);
    let synchronous = match options.synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
        Synchronous::Off => "OFF",
    };
    raw.exec(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA cache_size = -{}; PRAGMA wal_autocheckpoint = {}",
        options.cache_kib, BARE_CHECKPOINT_PAGES
    ));
    raw
}

struct Log {
    writer: i64,
    seq: i64,
    commits: i64,
}

struct Statements<'a> {
    writer: Statement<'a>,
    order: Statement<'a>,
    item: Statement<'a>,
    stock: Statement<'a>,
    reservation: Statement<'a>,
    payment: Statement<'a>,
    save: Statement<'a>,
    notice: Statement<'a>,
    event: Statement<'a>,
}

impl<'a> Statements<'a> {
    fn new(raw: &'a Raw) -> Self {
        Self {
            writer: raw.prepare("UPDATE writers SET commits = commits + 1, last_seq = ? WHERE writer = ? AND alive = 1 AND commits = ?"),
            order: raw.prepare("INSERT INTO orders VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
            item: raw.prepare("INSERT INTO order_items VALUES (?, ?, ?, ?, ?)"),
            stock: raw.prepare(
                "UPDATE products SET available_quantity = available_quantity - ?1, reserved_quantity = reserved_quantity + ?1 \
                 WHERE id = ?2 AND available_quantity >= ?1 AND price = ?3",
            ),
            reservation: raw.prepare("INSERT INTO inventory_reservations VALUES (?, ?, ?, ?, ?, ?)"),
            payment: raw.prepare("INSERT INTO payments VALUES (?, ?, ?, ?, ?, ?, ?)"),
            save: raw.prepare("UPDATE orders SET status = ?, updated_at = ?, open = ?, record = ? WHERE id = ?"),
            notice: raw.prepare("INSERT INTO notifications VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
            event: raw.prepare("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)"),
        }
    }

    fn log(&self, log: &mut Log, order: &Order, body: EventBody) {
        let event = Event::of(order, order.created_at, body);
        log.seq += 1;
        self.event.run([
            V::I(log.writer),
            V::I(log.seq),
            V::I(i64::from(event.kind().topic().number())),
            V::I(i64::from(event.kind().number())),
            V::I(i64::from(order.shard.0)),
            V::B(order.id.0.as_bytes()),
            V::I(order.created_at.0),
            V::B(&codec::encode_event(&event).expect("it encodes")),
        ]);
    }
}

fn create(s: &Statements<'_>, log: &mut Log, order: &Arc<Order>, records: &Records) {
    s.order.run([
        V::B(order.id.0.as_bytes()),
        V::B(order.customer.0.as_bytes()),
        V::I(order.total.minor()),
        V::T("PENDING"),
        V::I(order.created_at.0),
        V::I(order.created_at.0),
        V::I(i64::from(order.shard.0)),
        V::I(1),
        V::B(&codec::encode_order(order).expect("it encodes")),
        V::B(&codec::encode_record_with_room(&records.placed, order, OrderStatus::Pending).expect("it encodes")),
    ]);
    for (n, line) in (0..).zip(&order.lines) {
        let (quantity, price) = (V::I(i64::from(line.quantity.get())), V::I(line.price.minor()));
        s.item.run([V::B(order.id.item(n).as_bytes()), V::B(order.id.0.as_bytes()), V::B(line.product.0.as_bytes()), quantity, price]);
    }
    s.log(log, order, EventBody::OrderCreated(order.clone()));
}

fn reserve(s: &Statements<'_>, log: &mut Log, order: &Arc<Order>, _: &Records) {
    for (n, line) in (0..).zip(&order.lines) {
        let quantity = V::I(i64::from(line.quantity.get()));
        let product = V::B(line.product.0.as_bytes());
        assert_eq!(s.stock.run([quantity, product, V::I(line.price.minor())]), 1, "there is stock enough");
        let id = order.id.reservation(n).0;
        s.reservation.run([
            V::B(id.as_bytes()),
            V::B(order.id.0.as_bytes()),
            product,
            quantity,
            V::T("RESERVED"),
            V::I(order.created_at.0),
        ]);
    }
    s.log(log, order, EventBody::InventoryReserved { lines: order.lines.iter().map(ReservedLine::from).collect() });
}

fn pay(s: &Statements<'_>, log: &mut Log, order: &Arc<Order>, _: &Records) {
    let payment = workload::payment(order);
    s.payment.run([
        V::B(order.id.0.as_bytes()),
        V::I(1),
        V::I(payment.amount.minor()),
        V::T(payment.method.as_str()),
        V::T(payment.status.name()),
        V::N,
        V::I(payment.updated_at.0),
    ]);
    s.log(log, order, EventBody::PaymentProcessed { amount: payment.amount, method: payment.method });
}

fn confirm(s: &Statements<'_>, log: &mut Log, order: &Arc<Order>, records: &Records) {
    let record = codec::encode_record_with_room(&records.confirmed, order, OrderStatus::Confirmed).expect("it encodes");
    s.save.run([V::T("CONFIRMED"), V::I(order.created_at.0), V::I(1), V::B(&record), V::B(order.id.0.as_bytes())]);
    s.log(log, order, EventBody::OrderConfirmed);
}

fn notify(s: &Statements<'_>, log: &mut Log, order: &Arc<Order>, records: &Records) {
    let task = workload::notice(order);
    s.notice.run([
        V::B(order.id.0.as_bytes()),
        V::T(task.kind.name()),
        V::T(task.channel.name()),
        V::T(task.status.name()),
        V::I(1),
        V::N,
        V::N,
        V::I(task.created_at.0),
        V::I(task.created_at.0),
        V::I(i64::from(order.shard.0)),
    ]);
    s.log(log, order, EventBody::NotificationSent { kind: task.kind, channel: task.channel });
    let record = codec::encode_record_with_room(&records.settled, order, OrderStatus::Confirmed).expect("it encodes");
    s.save.run([V::T("CONFIRMED"), V::I(order.created_at.0), V::I(0), V::B(&record), V::B(order.id.0.as_bytes())]);
}
