//! Whole orders through the actors and SQLite, without HTTP: what the core alone can do.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use ordermill::actors::faults::Faults;
use ordermill::actors::{ActorSettings, Actors, AnalyticsSettings, NewOrder, Parts, RealWorld, Where};
use ordermill::config::providers::ProviderSettings;
use ordermill::db::Write;
use ordermill::db::sqlite::{SqliteOptions, SqliteReads, SqliteStore};
use ordermill::domain::{CorrelationId, CustomerId, Line, Money, Order, ProductId, Quantity, Shards, Text};
use ordermill::providers::Providers;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

const LIMIT: Duration = Duration::from_secs(60);

fn new_order(seed: u128) -> NewOrder {
    let line = |k: u128| Line {
        product: ProductId(Uuid::from_u128((seed * 7 + k * 31) % 100)),
        quantity: Quantity::new(1).unwrap(),
        price: Money::from_minor(1000).unwrap(),
    };
    let lines = vec![line(0), line(1)];
    NewOrder {
        customer: CustomerId(Uuid::from_u128(seed % 10_000)),
        total: Order::total_of(&lines).unwrap(),
        lines,
        payment_method: Text::lossy("card"),
        contact: None,
        address: None,
        correlation: CorrelationId(Uuid::new_v4()),
    }
}

fn main() {
    let orders: usize = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(100_000);
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(folder.path().join("orders.db"), Shards::new(24).unwrap());
    let db = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let store = SqliteStore::open(options.clone()).unwrap();
    let reads = SqliteReads::open(options, db.handle().clone()).unwrap();
    actix::System::new().block_on(async move {
        let parts = Parts {
            settings: ActorSettings::default(),
            analytics: AnalyticsSettings::default(),
            world: Arc::new(RealWorld),
            store: Box::new(store),
            reads: Arc::new(reads),
            providers: Providers::from_settings(&ProviderSettings::default()).unwrap(),
            faults: Faults::default(),
            name: "bench".into(),
            url: "http://127.0.0.1:0".into(),
        };
        let actors = Actors::start(parts, Where::Threads).await.unwrap();
        let front = actors.front().clone();
        for n in 0..100 {
            let write = Write::PutProduct {
                id: ProductId(Uuid::from_u128(n)),
                name: Text::lossy("thing"),
                price: Money::from_minor(1000).unwrap(),
                available: 1_000_000_000,
            };
            front.write(write, LIMIT).await.unwrap();
        }
        for concurrency in [64, 256] {
            let (commits, writes, _) = front.journal();
            let began = Instant::now();
            let each = orders / concurrency;
            let tasks: Vec<_> = (0..concurrency)
                .map(|task| {
                    let front = front.clone();
                    actix::spawn(async move {
                        for n in 0..each {
                            let new = new_order((task * each + n) as u128);
                            front.place(new, None, LIMIT).await.unwrap();
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            let accepted = began.elapsed();
            while front.report().actors.iter().any(|actor| actor.kind == "order" && actor.alive > 0) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let took = began.elapsed();
            let done = (each * concurrency) as f64;
            let (commits_now, writes_now, _) = front.journal();
            println!(
                "{concurrency} at once: {:.0} orders/s accepted, {:.0}/s settled, {:.1} writes/commit, {:.2} writes/order",
                done / accepted.as_secs_f64(),
                done / took.as_secs_f64(),
                (writes_now - writes) as f64 / (commits_now - commits) as f64,
                (writes_now - writes) as f64 / done
            );
        }
        actors.stop(Duration::from_secs(5)).await;
    });
}
