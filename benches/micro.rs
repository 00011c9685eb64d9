//! The parts alone, with criterion: `cargo bench --bench micro -- [NAME]`.
//!
//! | name | one iteration is |
//! | --- | --- |
//! | `saga step` | an order's two answers put into its record, to CONFIRMED: status, debts, events |
//! | `actor round trip` | one message to an actor on another thread, and its answer back |
//! | `journal commit` | one synced transaction of so many placements in SQLite |
//! | `whole order` | 64 orders at once through all actors on the memory store, until nothing is owed |

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a bench may panic")]

mod support;

use actix::{Actor, Arbiter, Context, Handler, Message};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use ordermill::actors::faults::Faults;
use ordermill::actors::{ActorSettings, Actors, AnalyticsSettings, NewOrder, NodeHandle, Parts, RealWorld, Where};
use ordermill::config::providers::ProviderSettings;
use ordermill::db::memory::{MemoryDatabase, Nodes};
use ordermill::db::sqlite::{SqliteOptions, SqliteStore};
use ordermill::db::{Batch, NewWriter, Store as _, Write};
use ordermill::domain::{Event, EventBody, Order, ReservedLine, Roles, Timestamp};
use ordermill::providers::Providers;
use ordermill::saga::{Effects, step};
use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use support::{bare, workload};

const LIMIT: Duration = Duration::from_secs(60);
const AT_ONCE: u64 = 64;

fn main() {
    let mut criterion = Criterion::default().measurement_time(Duration::from_secs(4)).configure_from_args();
    saga_step(&mut criterion);
    round_trip(&mut criterion);
    journal_commit(&mut criterion);
    whole_order(&mut criterion);
    criterion.final_summary();
}

fn saga_step(criterion: &mut Criterion) {
    let order = workload::order(1);
    let at = order.created_at;
    let reserved = Event::of(&order, at, EventBody::InventoryReserved { lines: order.lines.iter().map(ReservedLine::from).collect() });
    let paid = EventBody::PaymentProcessed { amount: order.total, method: order.payment_method.clone() };
    let paid = Event::of(&order, at, paid);
    criterion.bench_function("saga step", |bencher| {
        bencher.iter_batched(
            || step::placed(&order),
            |mut record| {
                let mut effects = Effects::default();
                step::answer(&order, &mut record, &reserved, at, &mut effects);
                step::answer(&order, &mut record, &paid, at, &mut effects);
                black_box((record, effects))
            },
            BatchSize::SmallInput,
        );
    });
}

struct Echo;

impl Actor for Echo {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype(result = "u64")]
struct Ping(u64);

impl Handler<Ping> for Echo {
    type Result = u64;

    fn handle(&mut self, Ping(number): Ping, _: &mut Self::Context) -> u64 {
        number
    }
}

fn round_trip(criterion: &mut Criterion) {
    let system = actix::System::new();
    let arbiter = Arbiter::new();
    let echo = Echo::start_in_arbiter(&arbiter.handle(), |_| Echo);
    criterion.bench_function("actor round trip", |bencher| {
        bencher.iter(|| system.block_on(async { echo.send(Ping(black_box(7))).await.expect("it answers") }));
    });
    arbiter.stop();
}

fn journal_commit(criterion: &mut Criterion) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder to write to");
    let options = SqliteOptions::new(folder.path().join("orders.db"), workload::shards());
    bare::prepare(&options);
    let mut store = SqliteStore::open(options).expect("the store opens");
    let mut state = store.start_writer(&NewWriter::of_all_roles("bench", "", 60_000)).now_or_never().expect("inline").expect("a writer");
    let next = Cell::new(0);
    let mut group = criterion.benchmark_group("journal commit");
    for size in [1, 8, 64, 512] {
        group.throughput(Throughput::Elements(size));
        group.bench_with_input(BenchmarkId::from_parameter(size), &size, |bencher, size| {
            let placements = || -> Vec<Write> {
                let first = next.replace(next.get() + size);
                let place = |order: Arc<Order>| Write::Place { record: step::placed(&order), order, key: None };
                (first..first + size).map(workload::order).map(place).collect()
            };
            let commit = |writes| {
                let batch = Batch { writer: state.writer, commits: state.commits, last_seq: state.last_seq, writes };
                let committed = store.commit(&batch).now_or_never().expect("inline").expect("it is stored");
                (state.commits, state.last_seq) = (state.commits + 1, committed.last_seq);
            };
            bencher.iter_batched(placements, commit, BatchSize::PerIteration);
        });
    }
    group.finish();
}

fn whole_order(criterion: &mut Criterion) {
    let system = actix::System::new();
    let actors = system.block_on(start());
    let handle = actors.handle().clone();
    let next = Cell::new(0);
    let mut group = criterion.benchmark_group("whole order");
    group.throughput(Throughput::Elements(AT_ONCE)).sample_size(20);
    group.bench_function(BenchmarkId::from_parameter(AT_ONCE), |bencher| {
        bencher.iter(|| {
            let first = next.replace(next.get() + AT_ONCE);
            system.block_on(settle(&handle, first));
        });
    });
    group.finish();
    system.block_on(actors.stop(Duration::from_secs(5)));
}

async fn start() -> Actors {
    let clock = Arc::new(|| Timestamp::from(chrono::Utc::now()));
    let database = MemoryDatabase::new(workload::shards(), Nodes::One, clock);
    let parts = Parts {
        settings: ActorSettings::default(),
        analytics: AnalyticsSettings::default(),
        world: Arc::new(RealWorld),
        store: Box::new(database.store()),
        reads: Arc::new(database),
        providers: Providers::from_settings(&ProviderSettings::default()).expect("the sandbox"),
        faults: Faults::default(),
        roles: Roles::ALL,
        publish: None,
        repeats: None,
        name: "bench".to_owned(),
        url: "http://127.0.0.1:0".to_owned(),
        tracer: ordermill::telemetry::traces::Tracer::default(),
    };
    let actors = Actors::start(parts, Where::Threads).await.expect("they start");
    for write in workload::catalogue() {
        actors.handle().write(write, LIMIT).await.expect("the product is put");
    }
    actors
}

/// Places orders all at once and waits until no order's actor is left: each ends when nothing is owed.
async fn settle(handle: &NodeHandle, first: u64) {
    let place = |number| {
        let order = workload::order(number);
        let new = NewOrder {
            customer: order.customer,
            lines: order.lines.clone(),
            total: order.total,
            payment_method: order.payment_method.clone(),
            contact: order.contact.clone(),
            address: order.address.clone(),
            correlation: order.correlation,
        };
        handle.place(new, None, LIMIT)
    };
    for placed in join_all((first..first + AT_ONCE).map(place)).await {
        placed.expect("it is placed");
    }
    while handle.report().actors.iter().any(|actor| actor.kind == "order" && actor.alive > 0) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
