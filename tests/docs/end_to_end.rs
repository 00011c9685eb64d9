//! Whole orders as another program sees them: the Postman collection, run by Newman against a node.

use crate::scripts::said_by;
use std::process::Command;

#[test]
fn the_postman_collection_passes_against_a_node() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/end-to-end");
    let said = said_by(Command::new(script).args(["--binary", env!("CARGO_BIN_EXE_ordermill")]));
    assert!(said.contains("clean: every invariant holds"), "{said}");
}
