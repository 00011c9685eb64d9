//! What an order costs with three nodes and with one.

use crate::measure::{Bench, goal, median, ratios};
use crate::services::Services;
use crate::shop::{Loaded, Shop};

const PAIRS: usize = 3;
const CONNECTIONS: u64 = 64;
const ORDERS: u64 = 20_000;
const RATE: u64 = 500;
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

/// A load's name and its options for so many nodes.
type Way = (&'static str, fn(&Bench, u64) -> Vec<String>);

/// Each node is given the same, as nodes are added because one is not enough; and three are given what one had, which makes the
/// batch of each a third.
const WAYS: [Way; 3] = [
    ("as fast as they can, 192 connections in all", |bench, _| {
        options(&[("--orders", bench.orders(ORDERS) * 2), ("--connections", CONNECTIONS * 3)])
    }),
    ("as fast as they can, 64 connections a node", |bench, nodes| {
        options(&[("--orders", bench.orders(ORDERS) * nodes), ("--connections", CONNECTIONS * nodes)])
    }),
    ("500 orders/s a node", |_, nodes| {
        let mut all = options(&[("--rate", RATE * nodes), ("--connections", CONNECTIONS * nodes)]);
        all.extend(["--duration".to_owned(), SECONDS.to_owned()]);
        all
    }),
];

fn options(numbers: &[(&str, u64)]) -> Vec<String> {
    let mut all = vec!["--no-seed".to_owned()];
    all.extend(numbers.iter().flat_map(|(name, number)| [(*name).to_owned(), number.to_string()]));
    all
}

pub fn run(bench: &Bench, services: &Services) {
    for (name, options_of) in WAYS {
        let mut shares: [Vec<f64>; COSTS.len()] = Default::default();
        let mut costs: [[Vec<f64>; 2]; COSTS.len()] = Default::default();
        for _ in 0..PAIRS {
            let measured = [1, 3].map(|nodes| {
                let shop = Shop::open(bench, services, nodes, &[]);
                let options = options_of(bench, nodes as u64);
                let loaded = shop.load(&options.iter().map(String::as_str).collect::<Vec<_>>());
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
            let is_met = goal(share <= 1.2);
            println!("    {cost:<22} {one:>8.3} {three:>8.3}: {} (goal at most 1.2: {is_met})", ratios(&shares[at]));
        }
    }
}
