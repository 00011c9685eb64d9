//! The pages as people use them: a real browser walks all of them while orders come in. What is checked is in `walk.mjs`.
#![expect(clippy::expect_used, clippy::panic, reason = "a failing test may panic")]

#[path = "../support/process.rs"]
mod process;

use process::Plan;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const OPERATOR: &str = "operator-key-0123456";
const CUSTOMER: &str = "customer-key-0123456";
const CUSTOMER_ID: &str = "5e0a7c1e-0000-4000-8000-00000000c0de";

/// A process that ends with this.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It has ended already, or it must.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_browser_walks_every_page_while_orders_come_in() {
    let folder = tempfile::tempdir().unwrap();
    let key = |name: &str, role: &str, key: &str, more: &str| format!("{{ name = \"{name}\", role = \"{role}\", key = \"{key}\"{more} }}");
    let customer = key("alice", "customer", CUSTOMER, &format!(", customer_id = \"{CUSTOMER_ID}\""));
    let keys = format!("[{}, {customer}]", key("ops", "operator", OPERATOR, ""));
    let binary = env!("CARGO_BIN_EXE_ordermill");
    let plan = Plan::new(binary, folder.path()).with("access.keys", keys).with("kafka.currency", "EUR");
    // As behind a proxy, which is where an address is most easily wrong; the walk ends at the node's own.
    let plan = plan.with("server.base_path", "/a/shop");
    let mut node = plan.start();
    let mut demo = Command::new(binary);
    demo.args(["demo", "--rate", "4", "--url", &plan.url()]).env("ORDERMILL_KEY", OPERATOR).stdout(Stdio::null()).stderr(Stdio::null());
    let _demo = Ended(demo.spawn().unwrap());

    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages/run");
    let mut walk = Command::new(run);
    walk.args([&format!("{}/a/shop", plan.url()), OPERATOR, CUSTOMER, CUSTOMER_ID]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut walk = Ended(walk.spawn().unwrap());
    let mut answers = walk.0.stdin.take().unwrap();
    for line in BufReader::new(walk.0.stdout.take().unwrap()).lines().map_while(Result::ok) {
        println!("{line}");
        match line.as_str() {
            "stop" => node.kill(),
            "start" => node = plan.start(),
            _ => continue,
        }
        writeln!(answers, "done").unwrap();
    }
    assert!(walk.0.wait().unwrap().success(), "the walk failed; it says above where");
    plan.assert_sound();
}
