//! The recipes of docs/proxies.md, on the proxies that scripts/setup installs: each node is restarted while clients place orders.

use crate::scripts::said_by;
use std::process::Command;

#[test]
fn clients_of_a_proxy_see_no_error_while_each_node_is_restarted() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/proxies");
    let said = said_by(Command::new(script).args(["--quick", "--binary", env!("CARGO_BIN_EXE_ordermill"), "nginx", "haproxy"]));
    assert!(said.contains("clean: every invariant holds"), "{said}");
}
