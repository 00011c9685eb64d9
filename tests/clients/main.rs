//! The API's document as others' tools see it: linters find nothing, and the clients that generators make of it compile, place orders,
//! and read what a broken one is refused for.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failing test may panic")]

#[path = "../support/process.rs"]
mod process;

use process::{LIMIT, PRODUCT, Plan};
use std::process::Command;

const RUN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/run");

/// What the program says; panics where it fails.
fn run(arguments: &[&str]) -> String {
    let output = Command::new(RUN).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}{log}", arguments[0]);
    said
}

#[test]
fn linters_find_nothing_in_the_document() {
    run(&["lint"]);
}

#[test]
fn generated_clients_place_orders_and_read_problems() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::new(env!("CARGO_BIN_EXE_ordermill"), folder.path());
    let node = plan.start();
    plan.put_product("12.50");
    for (n, language) in ["typescript", "python", "go", "java"].into_iter().enumerate() {
        let customer = format!("5e0a7c1e-0000-4000-8000-00000000c00{n}");
        let said = run(&[language, &plan.url(), &customer, PRODUCT, "12.50"]);
        let lines: Vec<&str> = said.lines().collect();
        let [order, listed, problem] = lines.as_slice() else { panic!("{language}: {said}") };
        let id = order.split(' ').nth(1).unwrap();
        assert_eq!(*order, format!("order {id} CONFIRMED 25.00 2"), "{language}");
        assert_eq!(*listed, format!("listed {id}"), "{language}");
        let wanted = "problem 400 /problems/invalid-request body /items/0/price: has more than 2 decimal places";
        assert_eq!(*problem, wanted, "{language}");
        assert_eq!(plan.get(&format!("/api/v1/orders/{id}")).unwrap().field("customerId"), customer, "{language}");
    }
    node.wait_settled(LIMIT);
    let (sound, report) = plan.verify(&[]);
    assert!(sound, "{report}");
    node.stop();
}

/// Java's offers HTTP/2 with each request. What is not answered, nobody knows whether it was taken.
#[test]
fn no_request_of_a_default_client_is_lost_among_many_one_after_another() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::new(env!("CARGO_BIN_EXE_ordermill"), folder.path());
    let node = plan.start();
    plan.put_product("12.50");
    let url = format!("{}/api/v1/orders", plan.url());
    let body = format!(r#"{{"customerId":"{PRODUCT}","items":[{{"productId":"{PRODUCT}","quantity":1,"price":"12.50"}}]}}"#);
    for (client, count) in [("java", 3_000), ("node", 500), ("python", 500), ("go", 500), ("curl", 200)] {
        let said = run(&["post", client, &url, &count.to_string(), &body]);
        assert_eq!(said.trim(), format!("taken {count} lost 0"), "{client}");
    }
    node.stop();
}
