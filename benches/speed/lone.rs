//! The commits of one order alone. The node's lease renewals are no commits of the journal, and the saving of the analytics
//! numbers, one transaction a second for all orders together, is put off here.

use crate::measure::{Bench, goal};
use crate::process::{LIMIT, Served, pause, until};
use std::time::Duration;

const ORDERS: usize = 20;
/// Longer than any write that nothing waits for is put off.
const QUIET: Duration = Duration::from_millis(600);

pub fn run(bench: &Bench) {
    // With a slow mail server the moment between CONFIRMED and the notice is long enough to count in.
    for latency_ms in [0, 150] {
        let folder = bench.folder();
        let plan =
            bench.plan(folder.path()).with("analytics.save_ms", 3_600_000).with("providers.sandbox.behaviour.latency_ms", latency_ms);
        let node = plan.start();
        plan.put_product("10.00");
        let each: Vec<Commits> = (0..ORDERS).map(|_| one(&node, latency_ms > 0)).collect();
        let most = |of: fn(&Commits) -> f64| each.iter().map(of).fold(0.0, f64::max);
        let (settled, after) = (most(|one| one.settled), most(|one| one.after));
        if latency_ms == 0 {
            println!(
                "  providers that answer at once: at most {settled} commits to settled (goal 7: {}), {after} in all",
                goal(settled <= 7.0)
            );
        } else {
            let confirmed = most(|one| one.confirmed);
            println!(
                "  providers that take {latency_ms} ms: at most {confirmed} commits to CONFIRMED (goal 5: {}), {settled} to settled (goal 7: {}), {after} in all",
                goal(confirmed <= 5.0),
                goal(settled <= 7.0)
            );
        }
        node.stop();
    }
}

struct Commits {
    confirmed: f64,
    settled: f64,
    after: f64,
}

fn one(node: &Served, stops_at_confirmed: bool) -> Commits {
    let plan = &node.plan;
    let commits = || plan.metric("ordermill_journal_commits_total");
    // What an earlier order left behind is stored by now.
    pause(QUIET);
    let before = commits();
    let answer = plan.place("10.00").expect("an answer");
    assert_eq!(answer.status, 202, "{answer:?}");
    let id = answer.field("orderId");
    let mut confirmed = 0.0;
    if stops_at_confirmed {
        let path = format!("/api/v1/orders/{id}");
        until("the order is confirmed", LIMIT, || plan.get(&path).is_ok_and(|order| order.field("status") == "CONFIRMED"));
        confirmed = commits() - before;
        assert_eq!(status(node, &id, "0ms").field("settled"), "false", "the count came too late");
    }
    until("the order is settled", LIMIT, || status(node, &id, "30s").field("settled") == "true");
    let settled = commits() - before;
    pause(QUIET);
    Commits { confirmed, settled, after: commits() - before }
}

fn status(node: &Served, id: &str, wait: &str) -> crate::process::Answer {
    node.plan.get(&format!("/api/v1/orders/{id}/status?wait={wait}")).expect("an answer")
}
