//! Deadlines that fall due while the node is down.

use crate::{alone, assert_whole, folder, plan, process, record};
use std::time::{Duration, Instant};

#[test]
fn a_payment_deadline_that_passed_while_the_node_was_down_fires_at_its_start() {
    check("order.payment_deadline_ms");
}

#[test]
fn an_expiry_that_passed_while_the_node_was_down_fires_at_its_start() {
    check("order.expiry_ms");
}

fn check(deadline: &str) {
    const DEADLINE: Duration = Duration::from_secs(3);
    let _alone = alone();
    let folder = folder();
    // A provider that does not answer, and no deadline that could fire before the kill.
    let silent = plan(folder.path()).with(deadline, 3_600_000).with("providers.sandbox.behaviour.latency_ms", 600_000);
    let mut node = silent.start();
    silent.put_product("10.00");
    let placed: Vec<String> = (0..5)
        .map(|_| {
            let answer = silent.place("10.00").unwrap();
            assert_eq!(answer.status, 202, "{answer:?}");
            answer.field("orderId")
        })
        .collect();
    let last = Instant::now();
    let reserved =
        |id: &String| silent.get(&format!("/api/v1/orders/{id}")).is_ok_and(|answer| answer.field("status") == "INVENTORY_RESERVED");
    process::until("their stock is reserved", process::LIMIT, || placed.iter().all(reserved));
    node.kill();
    process::until("the deadline has passed", process::LIMIT, || last.elapsed() > DEADLINE);
    let answering = silent.with("providers.sandbox.behaviour.latency_ms", 0).with(deadline, DEADLINE.as_millis());
    let node = answering.start();
    let began = Instant::now();
    node.wait_settled(process::LIMIT);
    println!("{deadline}: all ended {:?} after the start", began.elapsed());
    for id in &placed {
        let order = answering.get(&format!("/api/v1/orders/{id}")).unwrap();
        assert_eq!(order.field("status"), "CANCELLED", "{order:?}");
    }
    let path = folder.path().join("record.txt");
    record(&path, &placed);
    assert_whole(node, &path);
}
