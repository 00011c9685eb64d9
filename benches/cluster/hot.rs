//! One product in every order.

use crate::measure::{Bench, goal, median, ratios};
use crate::services::Services;
use crate::shop::Shop;

const PAIRS: usize = 3;

pub fn run(bench: &Bench, services: &Services) {
    let orders = bench.orders(30_000).to_string();
    let options = ["--orders", &orders, "--connections", "128"];
    let hot = [&options[..], &["--hot"]].concat();
    for nodes in [1, 3] {
        let (mut shares, mut rates) = (Vec::new(), Vec::new());
        for _ in 0..PAIRS {
            let shop = Shop::open(bench, services, nodes, &[]);
            let spread = shop.load(&options).settled;
            let crowded = shop.load(&hot).settled;
            shop.close();
            shares.push(crowded / spread);
            rates.push(spread);
        }
        let is_met = goal(median(shares.clone()) >= 0.5);
        println!("  {nodes} nodes, {:.0} orders/s: with a hot product {} of it (goal 0.5: {is_met})", median(rates), ratios(&shares));
    }
}
