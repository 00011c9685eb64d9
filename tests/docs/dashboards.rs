//! What the dashboards and alerts ask for is there, on a real Prometheus.

use std::process::Command;

#[test]
fn every_query_has_data_or_a_reason_and_every_rule_is_evaluated() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/dashboards");
    let told = Command::new(script).args(["--binary", env!("CARGO_BIN_EXE_ordermill")]).output().unwrap();
    let said = String::from_utf8_lossy(&told.stdout).into_owned() + &String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{said}");
    assert!(said.contains(" queries have data"), "{said}");
}
