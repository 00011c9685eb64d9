//! What an order costs with three nodes and with one.

use crate::measure::{Bench, goal, median, ratios};
use crate::services::Services;
use crate::shop::{Loaded, Shop};

const PAIRS: usize = 3;
const RATE: &str = "1000";
const SECONDS: &str = "20";

/// A cost's name and where it stands.
type Cost = (&'static str, fn(&Loaded) -> f64);

const COSTS: [Cost; 6] = [
    ("CPU of nodes, µs", |loaded| loaded.node_us),
    ("CPU of PostgreSQL, µs", |loaded| loaded.postgres_us),
    ("CPU of broker, µs", |loaded| loaded.broker_us),
    ("statements", |loaded| loaded.statements),
    ("commits", |loaded| loaded.commits),
    ("bytes on topics", |loaded| loaded.bytes),
];

pub fn run(bench: &Bench, services: &Services) {
    let orders = bench.orders(40_000).to_string();
    let at_full_speed = ["--orders", &orders, "--connections", "192", "--no-seed"];
    let at_one_rate = ["--rate", RATE, "--duration", SECONDS, "--connections", "192", "--no-seed"];
    for (name, options) in [("as fast as they can", &at_full_speed[..]), ("1,000 orders/s", &at_one_rate[..])] {
        let mut shares: [Vec<f64>; COSTS.len()] = Default::default();
        let mut costs: [[Vec<f64>; 2]; COSTS.len()] = Default::default();
        for _ in 0..PAIRS {
            let measured = [1, 3].map(|nodes| {
                let shop = Shop::open(bench, services, nodes, &[]);
                let loaded = shop.load(options);
                shop.close();
                loaded
            });
            for (at, (_, cost)) in COSTS.iter().enumerate() {
                let [one, three] = measured.each_ref().map(cost);
                shares[at].push(three / one);
                costs[at][0].push(one);
                costs[at][1].push(three);
            }
        }
        println!("  {name}, an order with one node and with three:");
        for (at, (cost, _)) in COSTS.iter().enumerate() {
            let [one, three] = costs[at].clone().map(median);
            let share = median(shares[at].clone());
            let is_met = goal((0.8..=1.2).contains(&share));
            println!("    {cost:<22} {one:>8.3} {three:>8.3}: {} (goal 0.8 to 1.2: {is_met})", ratios(&shares[at]));
        }
    }
}
