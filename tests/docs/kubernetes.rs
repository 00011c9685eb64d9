//! What runs the nodes on Kubernetes is valid there, and fits the program.

use std::process::Command;

#[test]
fn kubernetes_takes_what_is_applied_and_it_fits_the_program() {
    let run = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/docs/kubernetes/run");
    let told = Command::new(run).output().unwrap();
    let said = String::from_utf8_lossy(&told.stdout).into_owned() + &String::from_utf8_lossy(&told.stderr);
    println!("{said}");
    assert!(told.status.success(), "{said}");
}
