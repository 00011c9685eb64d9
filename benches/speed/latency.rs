//! Latency at a quarter of the maximal rate (open loop: from when an order was due) against commits of the bare loop.

use crate::measure::{Bench, goal, load, percentile, ratios, warm_up};
use crate::support::bare;
use std::time::Duration;

const ROUNDS: usize = 3;

pub fn run(bench: &Bench) {
    let folder = bench.folder();
    let node = bench.plan(folder.path()).start();
    warm_up(&node);
    let orders = bench.orders(40_000).to_string();
    let maximal = load(&node, &["--orders", &orders, "--connections", "64", "--no-seed"], true).settled;
    let rate = format!("{:.0}", maximal / 4.0);
    println!("  {rate} orders/s, a quarter of {maximal:.0}/s");
    let seconds = format!("{}", (15.0 * bench.orders(1_000_000) as f64 / 1e6).max(2.0));
    let (mut single, mut five) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let folder = bench.folder();
        let steps = bare::commits(&Bench::options(folder.path()), bench.orders(2_000));
        let mut all: Vec<Duration> = steps.iter().flatten().copied().collect();
        let mut sums: Vec<Duration> = steps.iter().map(|steps| steps.iter().sum()).collect();
        let of = |values: &mut [Duration]| (percentile(values, 0.5).as_secs_f64() * 1e3, percentile(values, 0.99).as_secs_f64() * 1e3);
        let ((one_p50, one_p99), (five_p50, five_p99)) = (of(&mut all), of(&mut sums));
        let options = ["--rate", &rate, "--duration", &seconds, "--connections", "128", "--sample", "0.02", "--no-seed"];
        let loaded = load(&node, &options, true);
        let (accepted, confirmed) = (loaded.ms("acceptedMs", "p99"), loaded.ms("confirmedMs", "p99"));
        println!(
            "    bare commit p50 {one_p50:.2} p99 {one_p99:.2} ms, five p50 {five_p50:.2} p99 {five_p99:.2} ms; \
             202 p50 {:.2} p99 {accepted:.2} ms, CONFIRMED p50 {:.2} p99 {confirmed:.2} ms of {}",
            loaded.ms("acceptedMs", "p50"),
            loaded.ms("confirmedMs", "p50"),
            loaded.report["confirmedMs"]["count"]
        );
        single.push(accepted / one_p99);
        five.push(confirmed / five_p99);
    }
    let is_met = |values: &[f64]| goal(crate::measure::median(values.to_vec()) <= 3.0);
    println!("  202: {} bare commits (goal 3: {})", ratios(&single), is_met(&single));
    println!("  CONFIRMED: {} times five bare commits (goal 3: {})", ratios(&five), is_met(&five));
    node.stop();
}
