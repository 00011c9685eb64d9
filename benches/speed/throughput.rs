//! Whole orders a second against the bare loop.

use crate::measure::{Bench, goal, load, median, ratios, warm_up};
use crate::support::bare;
use crate::support::stopwatch::Spent;

const PAIRS: usize = 3;
const GROUP: u64 = 500;

pub fn run(bench: &Bench) {
    let orders = bench.orders(60_000).next_multiple_of(GROUP);
    for connections in [64, 256] {
        let mut shares = Vec::new();
        let (mut bare_rates, mut rates, mut cpu, mut generator) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..PAIRS {
            let folder = bench.folder();
            let steps = bare::run(&Bench::options(folder.path()), orders, GROUP);
            let bare_rate = steps.into_iter().sum::<Spent>().rate(orders);
            let folder = bench.folder();
            let node = bench.plan(folder.path()).start();
            warm_up(&node);
            let (orders, connections) = (orders.to_string(), connections.to_string());
            let loaded = load(&node, &["--orders", &orders, "--connections", &connections, "--no-seed"], true);
            let plan = node.plan.clone();
            node.stop();
            let (is_sound, report) = plan.verify(&[]);
            assert!(is_sound, "not all was done that was counted: {report}");
            shares.push(loaded.settled / bare_rate);
            bare_rates.push(bare_rate);
            rates.push(loaded.settled);
            cpu.push(loaded.node_cpu_us);
            generator.push(loaded.generator_cpu_us());
        }
        println!(
            "  {connections:>3} connections: {:>6.0} whole orders/s, bare loop {:>6.0}/s: ratio {} (goal 0.35, aim 0.45: {})",
            median(rates),
            median(bare_rates),
            ratios(&shares),
            goal(median(shares.clone()) >= 0.35)
        );
        println!("       CPU per order: node {:.1} µs, generator {:.1} µs", median(cpu), median(generator));
    }
}
