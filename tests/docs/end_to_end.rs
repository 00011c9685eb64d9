//! Whole orders as another program sees them: the Postman collection, run by Newman against a node.

use std::process::Command;

#[test]
fn the_postman_collection_passes_against_a_node() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/end-to-end");
    let told = Command::new(script).args(["--binary", env!("CARGO_BIN_EXE_ordermill")]).output().unwrap();
    let said = String::from_utf8_lossy(&told.stdout).into_owned() + &String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{said}");
    assert!(said.contains("clean: every invariant holds"), "{said}");
}
