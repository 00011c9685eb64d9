//! New orders in a database that holds a million, beside an empty one.

use crate::measure::{Bench, goal, load, median, ratios, warm_up};
use crate::support::{bare, workload};
use futures_util::FutureExt as _;
use ordermill::db::sqlite::{SqliteOptions, SqliteStore, Synchronous};
use ordermill::db::{Batch, NewWriter, Store as _, Write};
use std::time::Instant;

const PAIRS: usize = 5;
/// Orders of one transaction of the filling.
const GROUP: u64 = 5_000;

pub fn run(bench: &Bench) {
    let (stored_folder, empty_folder) = (bench.folder(), bench.folder());
    let began = Instant::now();
    let stored = bench.orders(1_000_000).next_multiple_of(GROUP);
    fill(&Bench::options(stored_folder.path()), stored);
    let size = std::fs::metadata(stored_folder.path().join("orders.db")).map_or(0, |file| file.len());
    println!("  {stored} orders stored in {:.0?}: {} MB", began.elapsed(), size / 1_000_000);
    let (full, empty) = (bench.plan(stored_folder.path()).start(), bench.plan(empty_folder.path()).start());
    warm_up(&full);
    warm_up(&empty);
    let orders = bench.orders(30_000).to_string();
    let options = ["--orders", &orders, "--connections", "64", "--no-seed"];
    let mut shares = Vec::new();
    for pair in 0..PAIRS {
        // In turns the one first and the other.
        let share = if pair % 2 == 0 {
            let beside = load(&full, &options, true).settled;
            beside / load(&empty, &options, true).settled
        } else {
            let alone = load(&empty, &options, true).settled;
            load(&full, &options, true).settled / alone
        };
        shares.push(share);
    }
    println!("  new orders: rate {} of an empty database's (goal 0.9: {})", ratios(&shares), goal(median(shares.clone()) >= 0.9));
    full.stop();
    empty.stop();
}

/// Settled orders with all their rows and events, counted by analytics: as if a node had done them long ago.
fn fill(options: &SqliteOptions, orders: u64) {
    bare::prepare(options);
    let options = SqliteOptions { synchronous: Synchronous::Off, checkpoint_pages: 100_000, log_limit_pages: 200_000, ..options.clone() };
    let mut store = SqliteStore::open(options).expect("the store opens");
    let mut state = store.start_writer(&NewWriter::of_all_roles("filling", "", 60_000)).now_or_never().expect("inline").expect("a writer");
    let mut commit = |writes: Vec<Write>| {
        let batch = Batch { writer: state.writer, commits: state.commits, last_seq: state.last_seq, writes };
        let committed = store.commit(&batch).now_or_never().expect("inline").expect("it is stored");
        state.commits += 1;
        state.last_seq = committed.last_seq;
        state
    };
    let mut at_end = commit(Vec::new());
    for first in (0..orders).step_by(usize::try_from(GROUP).expect("a size")) {
        let group: Vec<_> = (first..first + GROUP).map(workload::order).collect();
        for writes in workload::transactions(&group) {
            at_end = commit(writes);
        }
    }
    commit(vec![Write::SaveAnalytics { add: Vec::new(), source: at_end.writer, after: 0, seq: at_end.last_seq }]);
}
