//! Whole orders a second against one transaction an order.

use crate::measure::{Bench, goal, median, ratios};
use crate::pgbench::{self, Sizes};
use crate::services::Services;
use crate::shop::{DATABASE, Shop};

const PAIRS: usize = 3;
const PGBENCH_S: u32 = 15;

pub fn run(bench: &Bench, services: &Services) {
    let orders = bench.orders(60_000).to_string();
    for connections in ["64", "256"] {
        let mut multiples = Vec::new();
        for _ in 0..PAIRS {
            let shop = Shop::open(bench, services, 1, &[]);
            let loaded = shop.load(&["--orders", &orders, "--connections", connections, "--no-seed"]);
            let sizes = Sizes::of(services, DATABASE);
            shop.close();
            let bare = pgbench::orders(bench, services, &sizes, PGBENCH_S);
            println!(
                "    {connections:>3} connections: {:.0} whole orders/s, pgbench {:.0}/s; µs an order: node {:.0}, PostgreSQL {:.0}, \
                 broker {:.0}, generator {:.0} (pgbench: PostgreSQL {:.0})",
                loaded.settled, bare.orders, loaded.node_us, loaded.postgres_us, loaded.broker_us, loaded.generator_us, bare.postgres_us
            );
            multiples.push(loaded.settled / bare.orders);
        }
        let is_met = goal(median(multiples.clone()) >= 2.4);
        println!("  {connections:>3} connections: {} times pgbench (goal 2.4, aim 3: {is_met})", ratios(&multiples));
    }
}
