//! How long an order takes to CONFIRMED at 200 a second against five commits in sequence.

use crate::measure::{Bench, goal, median, ms, percentile, ratios};
use crate::pgbench::{self, Sizes};
use crate::services::Services;
use crate::shop::{DATABASE, Shop};

const ROUNDS: usize = 3;
const SECONDS: &str = "20";
const PGBENCH_S: u32 = 10;
const PROVIDER_MS: f64 = 100.0;

pub fn run(bench: &Bench, services: &Services) {
    let provider = format!("{PROVIDER_MS:.0}");
    let slow = [("providers.sandbox.behaviour.latency_ms", provider.as_str())];
    for (name, settings, provider_ms) in [("provider at once", &[][..], 0.0), ("provider after 100 ms", &slow[..], PROVIDER_MS)] {
        let mut multiples = Vec::new();
        for _ in 0..ROUNDS {
            let shop = Shop::open(bench, services, 1, settings);
            let options = ["--rate", "200", "--duration", SECONDS, "--connections", "64", "--sample", "0.25", "--no-seed"];
            let loaded = shop.load(&options);
            let sizes = Sizes::of(services, DATABASE);
            shop.close();
            let mut five = pgbench::commits(bench, services, &sizes, PGBENCH_S);
            let (p50, p99) =
                (ms(&loaded.report, "confirmedMs", "p50") - provider_ms, ms(&loaded.report, "confirmedMs", "p99") - provider_ms);
            let [five_p50, five_p99] = [0.5, 0.99].map(|share| percentile(&mut five, share).as_secs_f64() * 1e3);
            println!(
                "    {name}: 202 p50 {:.2} p99 {:.2} ms, CONFIRMED p50 {p50:.2} p99 {p99:.2} ms; five bare commits p50 {five_p50:.2} p99 {five_p99:.2} ms",
                ms(&loaded.report, "acceptedMs", "p50"),
                ms(&loaded.report, "acceptedMs", "p99"),
            );
            multiples.push(p99 / five_p99);
        }
        println!("  {name}: CONFIRMED {} times five bare commits (goal 5: {})", ratios(&multiples), goal(median(multiples.clone()) <= 5.0));
    }
}
