//! The server is killed and started again while a node is under load: nothing that was answered 202 is lost, and the node goes on.

use crate::process::{self, Plan};
use crate::services::Services;
use std::process::Command;
use std::time::Duration;

#[test]
fn a_server_restarted_under_load_loses_no_order() {
    let (services, url) = Services::start("restart", "postgres");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let plan = Plan::new(env!("CARGO_BIN_EXE_ordermill"), folder.path()).with("order.redrive_first_ms", 500);
    let (server, _) = url.rsplit_once('/').unwrap();
    let plan = plan.on(&format!("{server}/shop"));
    let node = plan.start();
    let record = folder.path().join("record.txt");
    let target = plan.url();
    let mut load =
        plan.command(&["load", "--url", &target, "--duration", "1h", "--connections", "8", "--idempotency", "--json", "--no-settle"]);
    load.args(["--products", "50", "--give-up", "60", "--timeout", "20", "--record"]).arg(&record);
    let mut load = load.spawn().unwrap();
    let recorded = || std::fs::read_to_string(&record).map_or(0, |text| text.lines().count());
    process::until("the load has begun", process::LIMIT, || recorded() > 100);
    for _ in 0..3 {
        services.run(&["halt", "postgres"]);
        process::until("the node notices", process::LIMIT, || plan.get("/health/ready").is_ok_and(|answer| answer.status == 503));
        process::pause(Duration::from_millis(300));
        services.run(&["resume", "postgres"]);
        let before = recorded();
        process::until("the load goes on", process::LIMIT, || recorded() > before + 100);
    }
    let stopped = Command::new("sh").args(["-c", &format!("kill -INT {}", load.id())]).status().unwrap();
    assert!(stopped.success());
    load.wait().unwrap();
    node.wait_settled(process::LIMIT);
    node.stop();
    let (sound, report) = plan.verify(&["--record", &record.display().to_string()]);
    assert!(sound, "{report}\n{}", plan.log());
}
