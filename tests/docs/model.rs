//! The model of the fence: every state that it can reach keeps the promises, and each rule that is left out breaks one.

use crate::scripts::said_by;
use std::process::Command;

/// The cases about failovers that lose commits; the others take minutes, and nothing in them changes by itself.
#[test]
fn the_model_keeps_its_promises_when_a_standby_takes_over_that_lacks_commits() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/model/fence.py");
    let said = said_by(Command::new("python3").args([script, "lost", "no: an idle", "no: ids of lost"]));
    let cases = said.lines().filter(|line| line.starts_with("ok ")).count();
    assert_eq!(cases, 7, "{said}");
}
