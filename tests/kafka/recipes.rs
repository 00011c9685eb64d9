//! The recipes of docs/kafka.md: services of other teams with the clients' default settings take a role's place, and read everything.

use crate::nodes::Node;
use crate::process::{LIMIT, PRODUCT, until};
use crate::recipe::Recipe;
use crate::sample::record;
use crate::world::Teller;
use ordermill::domain::{OrderId, Topic};
use ordermill::kafka::read::Record;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// `TOPIC TYPE` of what a service has read.
fn read(recipe: &Recipe) -> BTreeSet<String> {
    let of = |line: &String| Some(line.strip_prefix("read ")?.split(' ').take(2).collect::<Vec<_>>().join(" "));
    recipe.said().iter().filter_map(of).collect()
}

/// Both ways: its payments are taken, and it reads every topic, those of dead letters too.
fn works_both_ways(what: &str) {
    let mut node = Node::new();
    let roles = r#"["order", "inventory", "notification", "analytics"]"#;
    node.plan = node.plan.with("cluster.roles", roles).with("cluster.external_roles", "payment");
    let served = node.plan.start();
    node.plan.put_product("10.00");
    let dear = "019a0000-0000-7000-8000-00000000000d";
    node.plan.put(dear, "600.00");
    let paid: Vec<OrderId> = (0..3).map(|_| node.place("10.00")).collect();
    let body = json!({"customerId": PRODUCT, "items": [{"productId": dear, "quantity": 1, "price": "600.00"}]});
    let declined: OrderId = node.plan.send("POST", "/api/v1/orders", &body.to_string()).unwrap().field("orderId").parse().unwrap();
    let teller = Teller::new(&node.kafka);
    for topic in [Topic::Payment, Topic::Shipping] {
        let unreadable = record(topic, paid[0], b"{no json".to_vec());
        teller.tell(&Record { partition: crate::nodes::shards().of(paid[0]).0.into(), ..unreadable });
    }
    let recipe = Recipe::start(what, &[&node.kafka.brokers.join(","), &node.kafka.prefix]);
    for order in &paid {
        node.comes_to(*order, "CONFIRMED");
    }
    node.comes_to(declined, "FAILED");
    // What that team calls its payment and its event is kept, whatever it is.
    let order: Value = serde_json::from_str(&node.plan.get(&format!("/api/v1/orders/{}", paid[0])).unwrap().body).unwrap();
    let is_kept = |id: &Value| id.as_str().is_some_and(|id| !id.is_empty());
    let told = order["history"].as_array().unwrap().iter().find(|entry| entry["event"] == json!("PaymentProcessed")).unwrap();
    assert!(is_kept(&order["payment"]["externalId"]) && is_kept(&told["externalId"]), "{order}");
    teller.tell(&node.shipped(paid[0]));
    node.comes_to(paid[0], "SHIPPED");
    let wanted = [
        "order-events ordermill.OrderCreated.v1",
        "order-events ordermill.OrderConfirmed.v1",
        "order-events ordermill.OrderShipped.v1",
        "order-events ordermill.OrderFailed.v1",
        "inventory-events ordermill.InventoryReserved.v1",
        "inventory-events ordermill.InventoryReleased.v1",
        "inventory-events ordermill.InventoryShipped.v1",
        "notification-events ordermill.NotificationSent.v1",
        "payment-events -",
        "shipping-events -",
        "payment-events.DLQ -",
        "shipping-events.DLQ -",
    ];
    let mut missing = Vec::new();
    until(&format!("{what} reads everything"), LIMIT, || {
        let read = read(&recipe);
        missing = wanted.into_iter().filter(|one| !read.contains(*one)).collect();
        assert!(!recipe.said().iter().any(|line| line.starts_with("crashed")), "{:?}", recipe.said());
        missing.is_empty()
    });
    assert_eq!(missing, Vec::<&str>::new());
    served.stop();
}

#[test]
fn spring_with_its_defaults() {
    works_both_ways("spring");
}

#[test]
fn kafkajs_with_its_defaults_whose_messages_and_ours_are_valid() {
    works_both_ways("kafkajs");
}

/// Beside the others, of which it is known that their tools are wherever the tests run.
#[test]
fn franz_go_with_its_defaults() {
    if std::process::Command::new("go").arg("version").output().is_err() {
        return eprintln!("skipped: there is no Go");
    }
    works_both_ways("go");
}

#[test]
fn kafka_python_with_its_defaults() {
    works_both_ways("python");
}
