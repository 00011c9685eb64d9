//! `ordermill backup` beside a busy node.

use super::process::LIMIT;
use super::{Load, alone, folder, plan, process};
use std::process::Output;

#[test]
fn a_backup_beside_a_busy_node_holds_all_that_was_accepted_and_can_be_served() {
    let _alone = alone();
    let (ours, other) = (folder(), folder());
    let plan = plan(ours.path());
    let node = plan.start();
    let mut load = Load::start(&plan, &[]);
    process::until("orders come in", LIMIT, || load.recorded() > 200);

    // Whole lines: the last one may be half written.
    let mut accepted = std::fs::read_to_string(&load.record).unwrap();
    accepted.truncate(accepted.rfind('\n').unwrap() + 1);
    let record = ours.path().join("before.txt");
    std::fs::write(&record, &accepted).unwrap();
    let copy = other.path().join("orders.db");
    let backup = || plan.run(&["backup", copy.to_str().unwrap(), "--database", &plan.database_url()]);
    let made = backup();
    assert!(made.status.success() && said(&made).contains("clean: every invariant holds"), "{}", said(&made));
    let again = backup();
    assert_eq!(again.status.code(), Some(1), "{}", said(&again));
    assert!(said(&again).contains("this file exists; name a new one"), "{}", said(&again));
    let files: Vec<_> = other.path().read_dir().unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(files.iter().all(|name| name.to_string_lossy().starts_with("orders.db")), "nothing half done is left: {files:?}");

    let during = load.recorded();
    process::until("the node goes on", LIMIT, || load.recorded() > during + 100);
    load.assert_runs();
    load.stop();
    node.stop();

    // The copy is a database like any other: its open orders go on where they were.
    let restored = super::plan(other.path());
    let node = restored.start();
    node.wait_settled(LIMIT);
    node.stop();
    let (sound, report) = restored.verify(&["--record", record.to_str().unwrap()]);
    assert!(sound, "{report}");
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_backup_that_cannot_be_made_says_why_and_leaves_nothing() {
    let _alone = alone();
    let folder = folder();
    let plan = plan(folder.path());
    let copy = folder.path().join("copy.db");
    let copy = copy.to_str().unwrap();
    let missing = plan.run(&["backup", copy, "--database", &plan.database_url()]);
    assert_eq!(missing.status.code(), Some(1), "{}", said(&missing));
    assert!(said(&missing).contains("orders.db: "), "{}", said(&missing));
    let server = plan.run(&["backup", copy, "--database", "postgres://mill@127.0.0.1:1/mill"]);
    assert_eq!(server.status.code(), Some(1), "{}", said(&server));
    assert!(said(&server).contains("for PostgreSQL use pg_dump"), "{}", said(&server));
    plan.start().stop();
    let nowhere = plan.run(&["backup", &format!("{copy}/none/x.db"), "--database", &plan.database_url()]);
    assert!(said(&nowhere).contains("there is no such folder"), "{}", said(&nowhere));
    let left: Vec<_> = folder.path().read_dir().unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("copy") && !name.to_string_lossy().contains("backup")), "{left:?}");
}
