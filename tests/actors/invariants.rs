//! What an actor finds broken fails the test, though supervision catches every panic.

use ordermill::actors::invariant;
use std::process::Command;

/// Set in the process that meets it.
const MEETS_IT: &str = "ORDERMILL_TEST_MEETS_IT";

#[test]
fn a_broken_invariant_ends_the_test() {
    if std::env::var_os(MEETS_IT).is_some() {
        // As an actor does: on a thread of its own, where a panic is caught.
        drop(std::thread::spawn(|| invariant::violated("a test", "broken on purpose")).join());
        return;
    }
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this).args(["--exact", "invariants::a_broken_invariant_ends_the_test"]).env(MEETS_IT, "1").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "the test passed: {told}");
    assert!(told.contains("an invariant is broken: a test: broken on purpose"), "{told}");
}
