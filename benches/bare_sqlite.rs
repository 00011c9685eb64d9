//! What SQLite can do, and what of it the store takes: `cargo bench --bench bare_sqlite -- [FOLDER] [ORDERS] [GROUP]`.
//!
//! Every order goes through its five durable transactions (create, reserve, pay, confirm, notify and settle) in groups, once by
//! the bare loop and once through `SqliteStore::commit`; the rows are the same.

#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a bench may panic")]

mod support;

use futures_util::FutureExt as _;
use ordermill::db::sqlite::{SqliteOptions, SqliteStore};
use ordermill::db::{Batch, NewWriter, Outcome, PlaceOutcome, RowOutcome, StepOutcome, Store as _};
use std::path::PathBuf;
use support::stopwatch::{Spent, Watch};
use support::{bare, workload};

const STEPS: [&str; 5] = ["create", "reserve", "pay", "confirm", "notify+settle"];

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let folder = arguments.next().map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let orders: u64 = arguments.next().map_or(100_000, |text| text.parse().expect("a number of orders"));
    let group: u64 = arguments.next().map_or(500, |text| text.parse().expect("the size of a group"));
    let folder = tempfile::tempdir_in(folder).expect("a folder to write to");
    println!("{orders} orders, {group} a transaction, in {}", folder.path().display());

    let options = SqliteOptions::new(folder.path().join("bare.db"), workload::shards());
    let bare = bare::run(&options, orders, group);
    let options = SqliteOptions::new(folder.path().join("store.db"), workload::shards());
    let store = through_store(&options, orders, group);

    println!("µs an order      bare loop        Store.commit     ratio");
    println!("               wall     cpu     wall     cpu    wall  cpu");
    for ((name, bare), store) in STEPS.iter().zip(bare).zip(store) {
        line(name, orders, bare, store);
    }
    let (bare, store) = (bare.into_iter().sum::<Spent>(), store.into_iter().sum::<Spent>());
    line("all", orders, bare, store);
    println!("orders/s    {:>8.0}        {:>8.0}", bare.rate(orders), store.rate(orders));
}

fn line(name: &str, orders: u64, bare: Spent, store: Spent) {
    let ([wall, cpu], [store_wall, store_cpu]) = (bare.each(orders), store.each(orders));
    let ratios = (store_wall / wall, store_cpu / cpu);
    println!("{name:<13} {wall:>6.2}  {cpu:>6.2}   {store_wall:>6.2}  {store_cpu:>6.2}   {:>5.2} {:>5.2}", ratios.0, ratios.1);
}

fn through_store(options: &SqliteOptions, orders: u64, group: u64) -> [Spent; 5] {
    bare::prepare(options);
    let mut store = SqliteStore::open(options.clone()).expect("the store opens");
    let mut writer = store.start_writer(&NewWriter::of_all_roles("bench", "", 60_000)).now_or_never().expect("inline").expect("a writer");
    let mut steps = [Spent::default(); 5];
    for first in (0..orders).step_by(usize::try_from(group).expect("a group")) {
        let group: Vec<_> = (first..first + group).map(workload::order).collect();
        for (writes, spent) in workload::transactions(&group).into_iter().zip(&mut steps) {
            let batch = Batch { writer: writer.writer, commits: writer.commits, last_seq: writer.last_seq, writes };
            let watch = Watch::start();
            let committed = store.commit(&batch).now_or_never().expect("inline").expect("it is stored");
            *spent += watch.spent();
            let done = [Outcome::Place(PlaceOutcome::Done), Outcome::Step(StepOutcome::Done), Outcome::Row(RowOutcome::Done)];
            assert!(committed.outcomes.iter().all(|outcome| done.contains(outcome)));
            writer.commits += 1;
            writer.last_seq = committed.last_seq;
        }
    }
    steps
}
