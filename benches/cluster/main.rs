//! How fast nodes are on PostgreSQL and Apache Kafka, measured as a user has them: the release program as nodes, `ordermill load` as
//! their client, both services as `scripts/services --durable` starts them (fsync, synchronous_commit and full_page_writes on), all
//! on the same cores.
//!
//! ```text
//! cargo bench --bench cluster                        # everything: about half an hour
//! cargo bench --bench cluster -- throughput hot      # some parts
//! ```
//!
//! | part | figure | goal |
//! | --- | --- | --- |
//! | `throughput` | whole orders a second, counted when nothing is owed any more, at 64 and 256 connections, as a multiple of what `pgbench` writes with one transaction an order that holds the same rows (`order.sql`: prepared, 16 clients), on the same server, tables and indexes; alternating, median of the pairs; CPU time an order of node, PostgreSQL, broker and generator | 2.4, better 3 |
//! | `latency` | at 200 orders a second the p99 of CONFIRMED as a multiple of the p99 of five bare commits in sequence (`commits.sql`); the same with 100 ms of the payment provider, less those | 5 |
//! | `nodes` | CPU, statements, commits and bytes on the topics an order with three nodes as a share of one node's, each given the same and all given what the one had | at most 1.2 |
//! | `hot` | the rate with one product in every order as a share of the rate without, with one node and with three | 0.5 |
//! | `plans` | of each statement the pages that it touches an order with 10,000 and with 1,000,000 orders stored, and its plan | no growth |
//!
//! Ratios are of one run on one machine. `SPEED_SCALE=0.1` makes every number of orders a tenth, `SPEED_BINARY` names another
//! build of the program.

#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a bench may panic, and uses a part of what it shares with others"
)]

mod hot;
mod latency;
#[path = "../speed/measure.rs"]
mod measure;
mod nodes;
mod pgbench;
mod plans;
#[path = "../../tests/support/process.rs"]
mod process;
mod services;
mod shop;
#[path = "../support/mod.rs"]
mod support;
mod throughput;

use measure::Bench;
use services::Services;

/// A part's name and what it runs.
type Part = (&'static str, fn(&Bench, &Services));

const PARTS: [Part; 5] =
    [("throughput", throughput::run), ("latency", latency::run), ("nodes", nodes::run), ("hot", hot::run), ("plans", plans::run)];

fn main() {
    let asked = measure::asked(&PARTS.map(|(name, _)| name));
    let bench = Bench::new();
    let services = Services::start();
    // A broker that has just started spends its time on compiling itself.
    let warming = shop::Shop::open(&bench, &services, 1, &[]);
    warming.load(&["--orders", &bench.orders(40_000).to_string()]);
    warming.close();
    for (name, part) in PARTS.iter().filter(|(name, _)| asked.contains(name)) {
        println!("\n{name}");
        part(&bench, &services);
    }
}
