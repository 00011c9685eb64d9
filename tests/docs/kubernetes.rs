//! What runs the nodes on Kubernetes is valid there, and fits the program.

use crate::scripts::said_by;
use std::process::Command;

#[test]
fn kubernetes_takes_what_is_applied_and_it_fits_the_program() {
    let run = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/docs/kubernetes/run");
    println!("{}", said_by(&mut Command::new(run)));
}
