//! What is SQLite's own: a file that is locked, full, read-only, damaged, gone, foreign. In each case the very same store goes on
//! once the cause is gone.

use super::checkpoint::{self, LogSize};
use super::{SqliteOptions, SqliteReads, SqliteStore};
use crate::db::{
    Batch, CommitError, Committed, IdempotencyKey, NewWriter, OrderFilter, Outcome, PlaceOutcome, Publishing, Reads as _, Retention,
    Store as _, StoreError, Write, WriterState,
};
use crate::domain::{
    Closing, CorrelationId, CustomerId, DeadLetter, DeadLetterKind, DeadLetterState, Money, Order, OrderId, OrderLine, OrderStatus,
    ProductId, Quantity, Role, Shards, Text, Timestamp, WriterId,
};
use crate::saga::step;
use diesel::connection::{Connection as _, SimpleConnection as _};
use diesel::sql_types::{BigInt, Text as SqlText};
use diesel::sqlite::SqliteConnection;
use diesel::{QueryableByName, RunQueryDsl as _};
use futures_util::FutureExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

pub(super) fn shards() -> Shards {
    Shards::new(24).unwrap()
}

pub(super) fn order(n: u64) -> Arc<Order> {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    let id = OrderId::from_parts(1_700_000_000_000 + n, random);
    let price = Money::from_minor(500).unwrap();
    let lines = vec![OrderLine { product: ProductId(Uuid::from_u128(7)), quantity: Quantity::new(1).unwrap(), price }];
    Arc::new(Order {
        id,
        shard: shards().of(id),
        customer: CustomerId(Uuid::from_u128(1)),
        total: Order::total_of(&lines).unwrap(),
        lines,
        payment_method: Text::new("CARD").unwrap(),
        contact: None,
        address: None,
        correlation: CorrelationId::of(Uuid::from_u128(2)),
        created_at: Timestamp(1_700_000_000_000_000).plus_ms(n),
    })
}

pub(super) fn place(n: u64) -> Write {
    let order = order(n);
    Write::Place { record: step::placed(&order), order, key: None }
}

/// A store in a folder of its own, and where its writer stands.
pub(super) struct Desk {
    pub(super) folder: tempfile::TempDir,
    pub(super) store: SqliteStore,
    pub(super) writer: WriterState,
}

impl Desk {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut store = SqliteStore::open(options(folder.path())).unwrap();
        let writer = store.start_writer(&NewWriter::of_all_roles("node", "", 1000)).now_or_never().unwrap().unwrap();
        Self { folder, store, writer }
    }

    fn file(&self) -> PathBuf {
        options(self.folder.path()).path
    }

    pub(super) fn commit(&mut self, writes: Vec<Write>) -> Result<Committed, CommitError> {
        let batch = Batch { writer: self.writer.writer, commits: self.writer.commits, last_seq: self.writer.last_seq, writes };
        let committed = self.store.commit(&batch).now_or_never().expect("never waits")?;
        self.writer.commits += 1;
        self.writer.last_seq = committed.last_seq;
        Ok(committed)
    }

    pub(super) fn execute(&mut self, sql: &str) {
        self.store.conn().unwrap().batch_execute(sql).unwrap();
    }

    fn state(&mut self) -> WriterState {
        self.store.state(self.writer.writer).now_or_never().unwrap().unwrap()
    }

    /// Nothing of a failed batch is there, and the same batch is stored now.
    fn goes_on_with(&mut self, writes: Vec<Write>) {
        assert_eq!(self.state(), self.writer, "nothing was written");
        let committed = self.commit(writes).unwrap();
        assert!(committed.outcomes.iter().all(|outcome| *outcome == Outcome::Place(PlaceOutcome::Done)));
        assert_eq!(self.state(), self.writer);
    }
}

pub(super) fn options(folder: &Path) -> SqliteOptions {
    let mut options = SqliteOptions::new(folder.join("orders 100%?#.db"), shards());
    options.busy_timeout_ms = 5;
    options
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

fn number(conn: &mut SqliteConnection, sql: &str) -> i64 {
    diesel::sql_query(sql).get_result::<Number>(conn).unwrap().value
}

#[test]
fn a_commit_waits_for_the_disk() {
    let mut desk = Desk::new();
    let conn = desk.store.conn().unwrap();
    assert_eq!(number(conn, "SELECT synchronous AS value FROM pragma_synchronous"), 2, "FULL");
    assert_eq!(number(conn, "SELECT journal_mode = 'wal' AS value FROM pragma_journal_mode"), 1);
    desk.store.conn = None;
    let conn = desk.store.conn().unwrap();
    assert_eq!(number(conn, "SELECT synchronous AS value FROM pragma_synchronous"), 2, "also after it was opened again");
}

#[test]
fn a_lock_of_another_process_is_waited_out() {
    let mut desk = Desk::new();
    desk.commit(vec![place(1)]).unwrap();
    // Another connection is another process, as far as SQLite's locks go.
    let mut stranger = SqliteConnection::establish(&format!("file:{}/orders 100%25%3f%23.db", desk.folder.path().display())).unwrap();
    stranger.batch_execute("BEGIN IMMEDIATE").unwrap();
    let error = desk.commit(vec![place(2)]).unwrap_err();
    assert!(matches!(error, CommitError::NotWritten(StoreError::Unavailable(_))), "{error}");
    stranger.batch_execute("ROLLBACK").unwrap();
    desk.goes_on_with(vec![place(2)]);
}

#[test]
fn a_full_disk_is_waited_out() {
    let mut desk = Desk::new();
    desk.commit(vec![place(1)]).unwrap();
    let pages = number(desk.store.conn().unwrap(), "SELECT page_count AS value FROM pragma_page_count");
    desk.execute(&format!("PRAGMA max_page_count = {pages}"));
    let many = || (2..2000).map(place).collect::<Vec<_>>();
    let error = desk.commit(many()).unwrap_err();
    assert!(matches!(error, CommitError::NotWritten(StoreError::Full(_))), "{error}");
    assert!(error.to_string().contains("free some space"), "{error}");
    desk.execute("PRAGMA max_page_count = 1000000");
    desk.goes_on_with(many());
}

#[test]
fn a_file_that_may_not_be_written_is_waited_out() {
    let mut desk = Desk::new();
    desk.execute("PRAGMA query_only = ON");
    let error = desk.commit(vec![place(1)]).unwrap_err();
    assert!(matches!(error, CommitError::NotWritten(StoreError::ReadOnly(_))), "{error}");
    assert!(error.to_string().contains("write access"), "{error}");
    desk.goes_on_with(vec![place(1)]);
}

#[test]
fn a_damaged_file_is_told_and_the_restored_one_is_taken() {
    let mut desk = Desk::new();
    desk.commit(vec![place(1)]).unwrap();
    desk.store.conn = None;
    let whole = std::fs::read(desk.file()).unwrap();
    for damage in [b"this is no database, and long enough to be seen as one that is none".repeat(200), whole[..5000].to_vec()] {
        std::fs::write(desk.file(), damage).unwrap();
        let error = desk.commit(vec![place(2)]).unwrap_err();
        assert!(matches!(error, CommitError::NotWritten(StoreError::Corrupt(_))), "{error}");
        desk.store.conn = None;
        std::fs::write(desk.file(), &whole).unwrap();
        assert_eq!(desk.state(), desk.writer);
        desk.store.conn = None;
    }
    desk.goes_on_with(vec![place(2)]);
}

#[test]
fn a_file_that_is_gone_is_not_made_anew() {
    let mut desk = Desk::new();
    desk.store.conn = None;
    let away = desk.folder.path().join("away.db");
    std::fs::rename(desk.file(), &away).unwrap();
    let error = desk.commit(vec![place(1)]).unwrap_err();
    assert!(matches!(error, CommitError::NotWritten(StoreError::Unavailable(_))), "{error}");
    assert!(!desk.file().exists());
    std::fs::rename(&away, desk.file()).unwrap();
    desk.goes_on_with(vec![place(1)]);
}

#[test]
fn a_bad_write_is_told_apart_from_a_bad_database() {
    let mut desk = Desk::new();
    let put =
        |available| Write::product(ProductId(Uuid::from_u128(7)), Text::new("Thing").unwrap(), Money::from_minor(1).unwrap(), available);
    let error = desk.commit(vec![place(1), put(-1)]).unwrap_err();
    assert!(matches!(error, CommitError::BadWrite(StoreError::Statement(_))), "{error}");
    assert_eq!(desk.state(), desk.writer, "nothing was written");
    desk.commit(vec![place(1), put(1)]).unwrap();
}

#[test]
fn one_damaged_row_fails_alone() {
    let mut desk = Desk::new();
    let pay = |n| {
        let order = order(n);
        let payment = crate::domain::Payment::of(&order, 1, crate::domain::PaymentStatus::Charged, order.created_at);
        let event = payment.answer(order.shard, order.correlation);
        Write::SavePayment { payment, shard: order.shard, correlation: order.correlation, event, letters: Vec::new(), closing: None }
    };
    desk.commit(vec![place(1), place(2), pay(1)]).unwrap();
    desk.execute("UPDATE payments SET status = 'ODD'");
    let error = desk.commit(vec![pay(1)]).unwrap_err();
    assert!(matches!(error, CommitError::BadWrite(StoreError::Corrupt(_))), "{error}");
    desk.commit(vec![pay(2)]).unwrap();
}

#[test]
fn one_process_has_the_data() {
    let desk = Desk::new();
    let error = SqliteStore::open(options(desk.folder.path())).err().unwrap();
    assert!(matches!(error, StoreError::InUse(_)), "{error}");
    let folder = desk.folder.path().to_owned();
    let Desk { store, folder: _keep, .. } = desk;
    drop(store);
    SqliteStore::open(options(&folder)).unwrap();
}

#[test]
fn only_our_files_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| SqliteStore::open(SqliteOptions::new(folder.path().join(name), shards())).err().unwrap();
    std::fs::write(folder.path().join("text.db"), "some text that was never a database".repeat(100)).unwrap();
    assert!(matches!(open("text.db"), StoreError::Corrupt(_)));
    let mut other = SqliteConnection::establish(folder.path().join("other.db").to_str().unwrap()).unwrap();
    other.batch_execute("CREATE TABLE things (id INTEGER)").unwrap();
    let error = open("other.db");
    assert!(matches!(&error, StoreError::Mismatch(text) if text.contains("another program")), "{error}");
    assert!(matches!(open("text.db/below.db"), StoreError::Unavailable(_)));
}

#[test]
fn the_number_of_shards_stays() {
    let mut desk = Desk::new();
    desk.commit(vec![place(1)]).unwrap();
    let options = options(desk.folder.path());
    let Desk { store, folder: _keep, .. } = desk;
    drop(store);
    let error = SqliteStore::open(SqliteOptions { shards: Shards::new(12).unwrap(), ..options.clone() }).err().unwrap();
    assert!(matches!(&error, StoreError::Mismatch(text) if text.contains("24 shards")), "{error}");
    SqliteStore::open(options).unwrap();
}

#[test]
fn a_newer_versions_file_is_refused() {
    let mut desk = Desk::new();
    desk.execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('99999999999999')");
    let options = options(desk.folder.path());
    let Desk { store, folder: _keep, .. } = desk;
    drop(store);
    let error = SqliteStore::open(options).err().unwrap();
    assert!(matches!(&error, StoreError::Mismatch(text) if text.contains("newer version")), "{error}");
}

/// Their index is kept in parts, and which part an order is in says nothing about its id.
#[tokio::test(flavor = "multi_thread")]
async fn a_customers_orders_are_listed_over_all_parts_of_their_index() {
    let mut desk = Desk::new();
    let reads = SqliteReads::open(options(desk.folder.path()), tokio::runtime::Handle::current()).unwrap();
    let of = |n: u64, customer| {
        let mut order = Order::clone(&order(n));
        order.customer = CustomerId(Uuid::from_u128(customer));
        Write::Place { record: step::placed(&order), order: Arc::new(order), key: None }
    };
    let numbers: Vec<u64> = (1..=9000).map(|n| if n % 2000 == 7 { 20_000 - n } else { n }).collect();
    for group in numbers.chunks(1000) {
        desk.commit(group.iter().map(|n| of(*n, if n % 500 == 0 || *n > 9000 { 77 } else { 1 })).collect()).unwrap();
    }
    let mut wanted: Vec<u64> = numbers.into_iter().filter(|n| n % 500 == 0 || *n > 9000).collect();
    wanted.sort_unstable_by_key(|n| std::cmp::Reverse(*n));
    assert_eq!(wanted.len(), 23);
    let filter = OrderFilter { customer: Some(CustomerId(Uuid::from_u128(77))), limit: 5, ..OrderFilter::default() };
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = reads.orders(OrderFilter { before, ..filter }).await.unwrap();
        seen.extend(page.rows.iter().map(|row| row.id));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, wanted.iter().map(|n| order(*n).id).collect::<Vec<_>>());
    // What few rows pass is looked for in more than a page of them.
    let from = Some(order(1).created_at);
    let all = OrderFilter { customer: Some(CustomerId(Uuid::from_u128(1))), from, ..filter };
    let [old, new] = [3, 5001].map(|n| order(n).created_at.0);
    desk.execute(&format!("UPDATE orders SET status = 'SHIPPED' WHERE created_at IN ({old}, {new})"));
    let shipped = reads.orders(OrderFilter { status: Some(OrderStatus::Shipped), ..all }).await.unwrap();
    assert_eq!(shipped.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [order(5001).id, order(3).id]);
}

fn log_size(desk: &mut Desk) -> LogSize {
    checkpoint::measure(desk.store.conn().unwrap()).unwrap()
}

/// A desk whose log is moved and begun anew soon.
fn desk_with_a_short_log() -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions { checkpoint_pages: 40, log_limit_pages: 400, ..options(folder.path()) };
    let mut store = SqliteStore::open(options).unwrap();
    let writer = store.start_writer(&NewWriter::of_all_roles("node", "", 1000)).now_or_never().unwrap().unwrap();
    Desk { folder, store, writer }
}

#[test]
fn the_log_is_moved_beside_the_writer() {
    let mut desk = desk_with_a_short_log();
    desk.commit((0..150).map(place).collect()).unwrap();
    assert!(log_size(&mut desk).pages < 200, "not so many that the writer does it: {:?}", log_size(&mut desk));
    let began = std::time::Instant::now();
    while log_size(&mut desk).moved == 0 {
        assert!(began.elapsed().as_secs() < 20, "{:?}", log_size(&mut desk));
        std::thread::yield_now();
    }
}

#[test]
fn the_log_is_bounded_and_a_long_read_holds_up_no_commit() {
    let mut desk = desk_with_a_short_log();
    let mut longest = 0;
    let mut fill = |desk: &mut Desk, from: u64| {
        for group in (from..from + 20_000).collect::<Vec<_>>().chunks(100) {
            desk.commit(group.iter().copied().map(place).collect()).unwrap();
            longest = longest.max(log_size(desk).pages);
        }
        std::mem::take(&mut longest)
    };
    let longest = fill(&mut desk, 0);
    assert!(longest < 600, "{longest} pages, more than the limit of 400 and one transaction");
    let mut reader = SqliteConnection::establish(&format!("file:{}/orders 100%25%3f%23.db", desk.folder.path().display())).unwrap();
    reader.batch_execute("BEGIN; SELECT count(*) FROM orders").unwrap();
    let longest = fill(&mut desk, 20_000);
    assert!(longest > 2000, "the reader's view is kept: {longest} pages");
    reader.batch_execute("COMMIT").unwrap();
    desk.commit((50_000..50_100).map(place).collect()).unwrap();
    let longest = fill(&mut desk, 60_000);
    assert!(log_size(&mut desk).pages < 600, "begun anew when the reader had gone: {longest}, {:?}", log_size(&mut desk));
}

/// Every order pays for each index, so a list must find its rows by the few that there are.
#[test]
fn hot_questions_use_an_index() {
    #[derive(QueryableByName)]
    struct Plan {
        #[diesel(sql_type = SqlText)]
        detail: String,
    }
    let mut desk = Desk::new();
    let cases = [
        ("SELECT id FROM inventory_reservations WHERE id BETWEEN x'00' AND x'01' AND order_id = x'00'", "USING PRIMARY KEY"),
        ("SELECT id FROM orders WHERE n / 4096 = 3 AND customer_id = x'00' AND id < x'01' ORDER BY id DESC", "orders_by_customer"),
        ("SELECT id FROM orders WHERE id < x'01' AND id >= x'00' ORDER BY id DESC", "sqlite_autoindex_orders_1"),
        (
            "SELECT id FROM orders WHERE status <> 'PENDING' AND status <> 'CONFIRMED' AND status <> 'SHIPPED' \
             AND status <> 'INVENTORY_RESERVED' AND status = 'FAILED' AND id < x'01' ORDER BY id DESC",
            "orders_of_rare_status",
        ),
        ("SELECT id FROM orders WHERE open = 1 AND id < x'01' ORDER BY id DESC", "orders_open"),
    ];
    for (sql, wanted) in cases {
        let plan: Vec<Plan> = diesel::sql_query(format!("EXPLAIN QUERY PLAN {sql}")).load(&mut **desk.store.conn().unwrap()).unwrap();
        let plan: Vec<String> = plan.into_iter().map(|row| row.detail).collect();
        assert!(plan.len() == 1 && plan[0].contains(wanted), "{sql}: {plan:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_a_live_file_without_its_lock_and_write_nothing() {
    let mut desk = Desk::new();
    desk.commit(vec![place(1)]).unwrap();
    let reads = SqliteReads::open(options(desk.folder.path()), tokio::runtime::Handle::current()).unwrap();
    assert_eq!(reads.order(order(1).id).await.unwrap().unwrap().order, order(1));
    let mut snapshot = reads.snapshot().await.unwrap();
    assert!(snapshot.gaps(WriterId(1), 10).await.unwrap().is_empty());
    desk.commit(vec![place(2), place(3)]).unwrap();
    desk.execute("DELETE FROM events WHERE seq = 2");
    assert!(snapshot.gaps(WriterId(1), 10).await.unwrap().is_empty(), "the view stays");
    assert_eq!(reads.snapshot().await.unwrap().gaps(WriterId(1), 10).await.unwrap(), [2]);
    desk.execute("DELETE FROM events WHERE seq = 3");
    assert_eq!(reads.snapshot().await.unwrap().gaps(WriterId(1), 10).await.unwrap(), [2, 3]);
    let missing = SqliteReads::open(SqliteOptions::new(desk.folder.path().join("no.db"), shards()), tokio::runtime::Handle::current());
    assert!(matches!(missing.err().unwrap(), StoreError::Unavailable(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_rows_are_deleted_when_nobody_needs_them() {
    let mut desk = Desk::new();
    let key = |n: u8, at: i64| IdempotencyKey { key: [n; 32], body: [n; 32], expires_at: Timestamp(at) };
    let keyed = |n: u64, key| Write::Place { record: step::placed(&order(n)), order: order(n), key: Some(key) };
    let letter = |n| {
        let order = order(1);
        DeadLetter::about(order.id, order.shard, DeadLetterKind::Step, n, Role::Payment, "charge", Timestamp(10))
    };
    let close = Write::CloseLetter(Closing {
        id: letter(1).id,
        state: DeadLetterState::Skipped,
        by: Text::new("ann").unwrap(),
        note: None,
        overrules: None,
        at: Timestamp(20),
    });
    let count = |source, seq| Write::SaveAnalytics { add: Vec::new(), source, after: 0, seq };
    let writer = desk.writer.writer;
    desk.commit(vec![
        keyed(1, key(1, 100)),
        keyed(2, key(2, 300)),
        place(3),
        Write::AddLetter(letter(1)),
        Write::AddLetter(letter(2)),
        close,
    ])
    .unwrap();
    let mut retention = Retention {
        events_before: Timestamp(i64::MAX),
        keys_before: Timestamp(200),
        letters_before: Timestamp(200),
        audit_before: Timestamp(0),
        copies_before: Timestamp(0),
        held_before: Timestamp(0),
        publishing: Publishing::Off,
        limit: 100,
    };
    let deleted = desk.store.delete_old(&retention).await.unwrap();
    assert_eq!((deleted.events, deleted.keys, deleted.letters), (0, 1, 1), "no event is counted yet");
    desk.commit(vec![count(writer, 3)]).unwrap();
    retention.publishing = Publishing::On;
    assert_eq!(desk.store.delete_old(&retention).await.unwrap().events, 0, "none is published yet");
    (retention.publishing, retention.limit) = (Publishing::Off, 1);
    assert_eq!(desk.store.delete_old(&retention).await.unwrap().events, 1, "not more than asked for");
    retention.limit = 100;
    assert_eq!(desk.store.delete_old(&retention).await.unwrap().events, 1, "the log keeps its end");
    let reads = SqliteReads::open(options(desk.folder.path()), tokio::runtime::Handle::current()).unwrap();
    assert!(reads.snapshot().await.unwrap().gaps(writer, 10).await.unwrap().is_empty());
    assert_eq!(reads.letter(letter(1).id).await.unwrap(), None);
    assert!(reads.letter(letter(2).id).await.unwrap().is_some(), "open letters stay");
    desk.goes_on_with(vec![place(4)]);
}

const SALES: &str = include_str!("../../../migrations/sqlite/00000000000040_sales/up.sql");

/// A database of the first version: numbers of two writers' logs, with what was ordered of a product.
fn counted_before_sales(first_seq: i64) -> Desk {
    let mut desk = Desk::new();
    desk.execute("DELETE FROM events");
    desk.execute(&format!(
        "INSERT INTO analytics_positions VALUES (1, 2), (7, {first_seq}); \
         INSERT INTO events VALUES (1, 1, 255, 255, 0, NULL, 0, x''), (7, {first_seq}, 255, 255, 0, NULL, 0, x''); \
         INSERT INTO analytics VALUES (5, 1, x'', 3), (-1, 1, x'', 3), (-2, 23, x'07', 9), (-2, 24, x'07', 9)"
    ));
    desk.execute(SALES);
    desk
}

#[test]
fn the_numbers_are_counted_anew_where_the_log_holds_all() {
    let mut desk = counted_before_sales(1);
    let conn = desk.store.conn().unwrap();
    assert_eq!(number(conn, "SELECT count(*) AS value FROM analytics"), 0);
    assert_eq!(number(conn, "SELECT count(*) AS value FROM analytics_positions"), 0);
}

#[test]
fn where_the_log_was_shortened_the_numbers_stay_and_say_since_when_sales_are_counted() {
    let mut desk = counted_before_sales(2);
    let conn = desk.store.conn().unwrap();
    assert_eq!(number(conn, "SELECT sum(value) AS value FROM analytics WHERE metric = 1"), 6);
    assert_eq!(number(conn, "SELECT count(*) AS value FROM analytics_positions"), 2);
    assert_eq!(number(conn, "SELECT count(*) AS value FROM analytics WHERE metric IN (23, 24)"), 0);
    assert!(number(conn, "SELECT value FROM analytics WHERE minute = -3 AND metric = 25") > 1_700_000_000_000_000);
}
