//! SIGTERM: in order and in time; a second one: at once.

use crate::{Load, alone, assert_whole, folder, plan, process};
use std::time::Instant;

#[test]
fn a_stop_under_load_loses_nothing_and_ends_in_bounded_time() {
    let _alone = alone();
    let folder = folder();
    let plan = plan(folder.path()).with("server.shutdown_timeout_ms", 10_000);
    let mut node = plan.start();
    let load = Load::start(&plan, &[]);
    process::until("the load is under way", process::LIMIT, || load.recorded() > 300);
    node.signal("TERM");
    let began = Instant::now();
    let status = node.ended(process::LIMIT);
    assert!(status.success(), "{status}: {}", plan.log());
    println!("the node ended {:?} after SIGTERM", began.elapsed());
    drop(node);
    let node = plan.start();
    let (before, path) = (load.recorded(), load.record.clone());
    process::until("the load goes on after the restart", process::LIMIT, || load.recorded() > before + 50);
    let fared = load.stop();
    fared.assert_survived();
    assert_whole(node, &path);
}

#[test]
fn a_second_signal_ends_the_node_at_once() {
    let _alone = alone();
    let folder = folder();
    let plan = plan(folder.path()).with("server.drain_ms", 3_600_000);
    let mut node = plan.start();
    node.signal("TERM");
    process::until("a stopping node is not ready", process::LIMIT, || plan.get("/health/ready").is_ok_and(|answer| answer.status == 503));
    node.signal("TERM");
    let status = node.ended(process::LIMIT);
    assert_eq!(status.code(), Some(130), "{status}");
}
