//! A node with many open orders: its memory, how new ones fare there, and how it starts again.

use crate::measure::{Bench, freeze, goal, load, median, ratios};
use crate::process::{LIMIT, Plan, Served, pause, until};
use crate::support::raw::Raw;
use crate::support::workload;
use ordermill::db::Reads as _;
use ordermill::db::sqlite::{SqliteOptions, SqliteReads};
use std::path::Path;
use std::time::{Duration, Instant};

const PAIRS: usize = 5;
const RESTARTS: usize = 3;
/// Orders of one page.
const PAGE: u32 = 1000;
/// Past the first time that missing answers are asked for again.
const REDRIVEN: Duration = Duration::from_secs(12);

/// A node whose payment provider takes ten minutes for an answer, and is waited for; so each order stays open.
fn slow(bench: &Bench, folder: &Path) -> Plan {
    bench
        .plan(folder)
        .with("order.open_limit", 200_000)
        .with("providers.sandbox.behaviour.latency_ms", 600_000)
        .with("providers.payment.timeout_ms", 600_000)
}

fn fill(bench: &Bench, node: &Served) {
    let orders = bench.orders(100_000).to_string();
    load(node, &["--orders", &orders, "--connections", "64"], false);
}

pub fn open(bench: &Bench) {
    let folder = bench.folder();
    let full = slow(bench, folder.path()).start();
    let empty_mib = full.mib("VmRSS");
    fill(bench, &full);
    let (filled_mib, filled_most) = (full.mib("VmRSS"), full.mib("VmHWM"));
    pause(REDRIVEN);
    let (mib, most) = (full.mib("VmRSS"), full.mib("VmHWM"));
    println!(
        "  {} open orders: {mib:.0} MiB, at most {most:.0} (before asking again {filled_mib:.0}, at most {filled_most:.0}; empty {empty_mib:.0}) (goal 300: {})",
        full.plan.metric("ordermill_open_orders"),
        goal(most <= 300.0)
    );
    let orders = bench.orders(10_000).to_string();
    let options = ["--orders", &orders, "--connections", "64", "--no-seed"];
    let (mut rates, mut tails) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let folder = bench.folder();
        let alone = freeze(&full, || {
            let empty = slow(bench, folder.path()).start();
            catalogue(&empty);
            load(&empty, &options, false)
        });
        let crowded = load(&full, &options, false);
        rates.push(crowded.accepted / alone.accepted);
        tails.push(crowded.ms("acceptedMs", "p99") / alone.ms("acceptedMs", "p99"));
    }
    println!("  new orders beside them: rate {} of an empty node's (goal 0.9: {})", ratios(&rates), goal(median(rates.clone()) >= 0.9));
    println!("    p99 of 202 {} times an empty node's", ratios(&tails));
}

pub fn restart(bench: &Bench) {
    let folder = bench.folder();
    let plan = slow(bench, folder.path());
    let node = plan.start();
    fill(bench, &node);
    let mut node = node;
    let mut times = Vec::new();
    for _ in 0..RESTARTS {
        node.kill();
        let (rows, bytes, reading) = read_open(&plan.database);
        let parsing = read_parsed(&plan.database, rows);
        node = plan.start();
        let ready = node.started.elapsed();
        // Ready is one thing; that each of them has its actor again another, and this is what counts.
        until("all open orders are loaded", LIMIT, || plan.metric("ordermill_open_orders") >= rows as f64);
        let loaded = node.started.elapsed();
        println!(
            "    {rows} open orders, {} MB, read in {reading:.2?}, read and parsed in {parsing:.2?}; ready after {ready:.2?}, all loaded after {loaded:.2?}",
            bytes / 1_000_000
        );
        times.push(loaded.max(ready).as_secs_f64() / reading.as_secs_f64());
    }
    println!("  ready and loaded within {} times the reading (goal 5: {})", ratios(&times), goal(median(times.clone()) <= 5.0));
}

/// The products, and a few orders to warm up with.
fn catalogue(node: &Served) {
    load(node, &["--orders", "500"], false);
}

/// How long it takes to read them as a node does, page by page and parsed.
fn read_parsed(database: &Path, orders: u64) -> Duration {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let reads = SqliteReads::open(SqliteOptions::new(database, workload::shards()), runtime.handle().clone()).expect("the file opens");
    let (began, mut after, mut count) = (Instant::now(), None, 0);
    loop {
        let page = runtime.block_on(reads.open_orders(workload::shards().all().collect(), after, PAGE)).expect("a page");
        count += page.len() as u64;
        match page.last() {
            Some(last) => after = Some(last.order.id),
            None => break,
        }
    }
    assert_eq!(count, orders);
    began.elapsed()
}

/// How long the open orders' rows alone take.
fn read_open(database: &Path) -> (u64, u64, Duration) {
    let began = Instant::now();
    let raw = Raw::open(database);
    let (rows, bytes) = raw.prepare("SELECT id, customer_id, status, updated_at, details, record FROM orders WHERE open = 1").scan();
    (rows, bytes, began.elapsed())
}
