//! What each statement costs an order with few orders stored and with many, and how the server plans it.

use crate::measure::{Bench, goal};
use crate::services::Services;
use crate::shop::{DATABASE, Shop};
use crate::support::workload;
use ordermill::db::postgres::{PgOptions, PgStore};
use ordermill::db::{Batch, NewWriter, Store as _, Write, WriterState};
use ordermill::domain::WriterId;
use std::collections::{BTreeMap, BTreeSet};
use tokio::runtime::Runtime;

const FEW: u64 = 10_000;
const MANY: u64 = 1_000_000;
/// Orders of one transaction of the filling.
const GROUP: u64 = 2_000;
/// New orders of one measurement.
const NEW: u64 = 20_000;
/// More than this is growth: a b-tree of a hundred times the rows has one level more, so that a look-up of two pages takes three.
const MOST: f64 = 1.6;
/// A statement that touches fewer pages an order is of no account.
const LEAST: f64 = 0.2;
/// They do not grow with the orders.
const SMALL: [&str; 6] = ["writers", "shards", "products", "meta", "pg_database", "__diesel_schema_migrations"];

/// A statement's text and the pages that it touches an order.
type Pages = BTreeMap<String, f64>;

pub fn run(bench: &Bench, services: &Services) {
    services.renew(DATABASE);
    let mut filling = Filling::new(services);
    filling.to(services, bench.orders(FEW));
    let few = measure(bench, services);
    filling.to(services, bench.orders(MANY));
    let many = measure(bench, services);
    let mut grown = 0;
    println!("  pages an order at {FEW} | at {MANY} | growth | statement");
    let mut all: Vec<(&String, &f64)> = many.iter().collect();
    all.sort_by(|one, other| other.1.total_cmp(one.1));
    for (statement, pages) in all.into_iter().filter(|(_, pages)| **pages >= LEAST) {
        let before = few.get(statement).copied().unwrap_or_default();
        let growth = pages / before.max(LEAST);
        grown += usize::from(growth > MOST);
        println!("    {before:>8.2} {pages:>8.2} {growth:>6.2} {}", statement.chars().take(110).collect::<String>());
    }
    println!("  {grown} statements touch more than {MOST} times the pages (goal none: {})", goal(grown == 0));
    let scanned = scans(bench, services);
    println!("  tables read whole by some plan: {scanned:?}");
    let growing: Vec<_> = scanned.iter().filter(|table| !SMALL.contains(&table.as_str())).collect();
    println!("  of these grow with the orders: {growing:?} (goal none: {})", goal(growing.is_empty()));
}

fn measure(bench: &Bench, services: &Services) -> Pages {
    services.sql(DATABASE, "VACUUM ANALYZE");
    let shop = Shop::reopen(bench, services, 1, &[]);
    let orders = bench.orders(NEW);
    shop.load(&["--orders", &orders.to_string(), "--no-seed"]);
    let rows = services.sql(
        DATABASE,
        "SELECT shared_blks_hit + shared_blks_read, regexp_replace(query, '\\s+', ' ', 'g') FROM pg_stat_statements s \
         JOIN pg_database d ON d.oid = s.dbid WHERE datname = current_database()",
    );
    // The stored orders were never counted, so there is nothing to verify.
    shop.end();
    let row = |line: &str| line.split_once('|').and_then(|(pages, text)| Some((text.to_owned(), pages.parse::<f64>().ok()?)));
    let mut pages = Pages::new();
    for (text, count) in rows.lines().filter_map(row) {
        *pages.entry(text).or_default() += count / orders as f64;
    }
    pages
}

/// The tables that some plan of a node under load reads from end to end.
fn scans(bench: &Bench, services: &Services) -> BTreeSet<String> {
    services.sql(DATABASE, &format!("ALTER DATABASE {DATABASE} SET auto_explain.log_min_duration = 0"));
    let before = services.postgres_log().len();
    let shop = Shop::reopen(bench, services, 1, &[]);
    shop.load(&["--orders", "500", "--no-seed"]);
    shop.end();
    services.sql(DATABASE, &format!("ALTER DATABASE {DATABASE} RESET auto_explain.log_min_duration"));
    let log = services.postgres_log();
    let plans = log.get(before..).unwrap_or_default();
    assert!(plans.contains("Index"), "the server has logged no plans");
    let scanned = |line: &str| Some(line.split_once("Seq Scan on ")?.1.split([' ', '(']).next()?.to_owned());
    plans.lines().filter_map(scanned).collect()
}

/// Settled orders with all their rows and events, as if a node had done them long ago.
struct Filling {
    runtime: Runtime,
    store: PgStore,
    state: WriterState,
    filled: u64,
}

impl Filling {
    fn new(services: &Services) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let options = PgOptions::new(&services.database(DATABASE), workload::shards()).expect("options");
        let store = runtime.block_on(PgStore::open(options, runtime.handle().clone())).expect("the store opens");
        let mut filling =
            Self { runtime, store, state: WriterState { writer: WriterId(0), alive: false, commits: 0, last_seq: 0 }, filled: 0 };
        filling.start_writer();
        filling.commit(workload::catalogue());
        filling
    }

    fn start_writer(&mut self) {
        let writer = NewWriter::of_all_roles("filling", "", 3_600_000);
        self.state = self.runtime.block_on(self.store.start_writer(&writer)).expect("a writer");
    }

    fn commit(&mut self, writes: Vec<Write>) {
        let batch = Batch { writer: self.state.writer, commits: self.state.commits, last_seq: self.state.last_seq, writes };
        let committed = self.runtime.block_on(self.store.commit(&batch)).expect("it is stored");
        self.state.commits += 1;
        self.state.last_seq = committed.last_seq;
    }

    /// Until so many orders are stored, counted, told and nobody's.
    fn to(&mut self, services: &Services, orders: u64) {
        if !self.state.alive {
            self.start_writer();
        }
        while self.filled < orders {
            let group: Vec<_> = (self.filled..self.filled + GROUP).map(workload::order).collect();
            for writes in workload::transactions(&group) {
                self.commit(writes);
            }
            self.filled += GROUP;
        }
        let (source, seq) = (self.state.writer, self.state.last_seq);
        self.commit(vec![Write::SaveAnalytics { add: Vec::new(), source, after: 0, seq }]);
        self.runtime.block_on(self.store.end_writer(source)).expect("it ends");
        self.state.alive = false;
        services.sql(DATABASE, "UPDATE writers SET published_seq = last_seq WHERE NOT alive");
    }
}
