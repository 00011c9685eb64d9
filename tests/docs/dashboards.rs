//! What the dashboards and alerts ask for is there, on a real Prometheus.

use crate::scripts::said_by;
use std::process::Command;

#[test]
fn every_query_has_data_or_a_reason_and_every_rule_is_evaluated() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/dashboards");
    let said = said_by(Command::new(script).args(["--binary", env!("CARGO_BIN_EXE_ordermill")]));
    assert!(said.contains(" queries have data"), "{said}");
}
