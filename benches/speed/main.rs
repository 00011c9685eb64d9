//! How fast the whole program is, measured as a user has it: the release program as a node on a fresh database
//! (`synchronous=FULL`, notices and analytics on) and `ordermill load` as its client, both as processes on the same cores.
//!
//! ```text
//! cargo bench --bench speed                          # everything: about a quarter of an hour
//! cargo bench --bench speed -- throughput latency    # some parts
//! ```
//!
//! | part | figure | goal |
//! | --- | --- | --- |
//! | `throughput` | whole orders a second, counted when nothing is owed any more, at 64 and 256 connections, as a share of what a bare loop writes (same tables, rows and disk, five transactions per 500 orders, no actor, no HTTP); alternating, median of the pairs; CPU time of node and generator per order | 0.35, better 0.45 |
//! | `lone` | commits of one order alone, to CONFIRMED and to settled | 5 and 7 |
//! | `latency` | p99 of 202 as a multiple of the p99 of one bare commit, of CONFIRMED as a multiple of five in sequence, at a quarter of the maximal rate | 3 each |
//! | `open` | memory of a node with 100,000 open orders (the payment provider does not answer); the rate of new orders there as a share of an empty node's, alternating | 300 MiB; 0.9 |
//! | `restart` | the time from that node's next start until it is ready and has loaded all of them, as a multiple of reading the open orders' rows | 5 |
//! | `stored` | the rate of new orders with 1,000,000 orders stored as a share of that of an empty database, alternating | 0.9 |
//!
//! Ratios are of one run on one machine. `SPEED_SCALE=0.1` makes every number of orders a tenth (a try-out: the figures
//! mean less), `SPEED_FOLDER` names another disk, `SPEED_BINARY` another build of the program.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a bench may panic"
)]

mod latency;
mod lone;
mod measure;
mod open;
#[path = "../../tests/support/process.rs"]
mod process;
mod stored;
#[path = "../support/mod.rs"]
mod support;
mod throughput;

use measure::Bench;

/// A part's name and what it runs.
type Part = (&'static str, fn(&Bench));

const PARTS: [Part; 6] = [
    ("throughput", throughput::run),
    ("lone", lone::run),
    ("latency", latency::run),
    ("open", open::open),
    ("restart", open::restart),
    ("stored", stored::run),
];

fn main() {
    let asked = measure::asked(&PARTS.map(|(name, _)| name));
    let bench = Bench::new();
    for (name, part) in PARTS.iter().filter(|(name, _)| asked.contains(name)) {
        println!("\n{name}");
        part(&bench);
    }
}
