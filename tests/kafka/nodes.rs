//! Whole nodes on the real broker, as another team sees them.

use crate::process::{LIMIT, PRODUCT, Plan, Served, until};
use crate::sample::order as some_order;
use crate::world::{Reader, Teller, prefix, real_broker, settings};
use ordermill::config::KafkaSettings;
use ordermill::domain::{OrderId, Shards, Topic};
use ordermill::kafka::headers::Headers;
use ordermill::kafka::read::{Dated, Reading, Record, read};
use ordermill::kafka::topics::TopicNames;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// As many as a node has.
pub(crate) fn shards() -> Shards {
    Shards::new(24).unwrap()
}

/// A node with a folder, topics and groups of its own.
pub(crate) struct Node {
    _folder: tempfile::TempDir,
    pub(crate) plan: Plan,
    pub(crate) kafka: KafkaSettings,
}

impl Node {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kafka = KafkaSettings { prefix: prefix(), ..settings(&real_broker()) };
        let plan = Plan::new(env!("CARGO_BIN_EXE_ordermill"), folder.path())
            .with("kafka.brokers", kafka.brokers.join(","))
            .with("kafka.prefix", &kafka.prefix)
            .with("kafka.linger_ms", 2)
            .with("kafka.commit_ms", 100)
            .with("kafka.retry_first_ms", 50);
        Self { _folder: folder, plan, kafka }
    }

    pub(crate) fn place(&self, price: &str) -> OrderId {
        let placed = self.plan.place(price).unwrap();
        assert_eq!(placed.status, 202, "{placed:?}");
        placed.field("orderId").parse().unwrap()
    }

    pub(crate) fn comes_to(&self, order: OrderId, status: &str) {
        let get = || self.plan.get(&format!("/api/v1/orders/{order}/status")).map(|answer| answer.field("status")).unwrap_or_default();
        let mut last = String::new();
        until(&format!("order {order} comes to {status}"), LIMIT, || {
            last = get();
            last == status
        });
    }

    pub(crate) fn letters(&self) -> Vec<Value> {
        let answer = self.plan.get("/api/v1/admin/dlq").unwrap();
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        body["items"].as_array().cloned().unwrap_or_default()
    }

    pub(crate) fn shipped(&self, order: OrderId) -> Record {
        self.shipped_as(order, "7")
    }

    /// With this tracking number.
    fn shipped_as(&self, order: OrderId, tracking: &str) -> Record {
        Record {
            topic: Topic::Shipping,
            partition: shards().of(order).0.into(),
            offset: 0,
            timestamp_ms: None,
            dated: Dated::default(),
            key: Some(order.to_string().into_bytes()),
            value: Some(
                json!({"OrderShipped": {"orderId": order.0, "carrier": "post", "trackingNumber": tracking}}).to_string().into_bytes(),
            ),
            headers: Headers::default(),
        }
    }
}

/// The names of each order's events, by order, first occurrences in order.
fn told(seen: &[Record]) -> BTreeMap<OrderId, Vec<&'static str>> {
    let mut all: BTreeMap<OrderId, Vec<&'static str>> = BTreeMap::new();
    for record in seen.iter().filter(|record| record.topic != Topic::Shipping) {
        let event = read(record, &Reading::of(&KafkaSettings::default(), shards())).unwrap();
        let names = all.entry(event.order).or_default();
        if !names.contains(&event.kind().name()) {
            names.push(event.kind().name());
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_of_every_order_is_told_though_the_node_is_killed_and_shipments_of_others_are_heard() {
    let node = Node::new();
    let mut served = node.plan.start();
    node.plan.put_product("10.00");
    let orders: Vec<OrderId> = (0..40).map(|_| node.place("10.00")).collect();
    served.kill();
    let served = node.plan.start();
    let teller = Teller::new(&node.kafka);
    for order in &orders {
        node.comes_to(*order, "CONFIRMED");
        teller.tell(&node.shipped(*order));
    }
    let stranger = some_order(77).id;
    teller.tell(&node.shipped(stranger));
    // A tombstone is counted, and nothing else.
    teller.tell(&Record { value: None, ..node.shipped(orders[0]) });
    for order in &orders {
        node.comes_to(*order, "SHIPPED");
    }
    until("the tombstone is counted", LIMIT, || node.plan.metric(r#"ordermill_kafka_tombstones_total{topic="shipping-events"}"#) > 0.0);
    served.wait_settled(LIMIT);
    until("the letter of the order that nobody knows", LIMIT, || node.letters().len() == 1);
    let letter = node.letters().remove(0);
    assert_eq!((&letter["cause"], &letter["orderId"]), (&json!("unknown-order"), &json!(stranger.0)));
    let mut reader = Reader::with_shards(&node.kafka, shards());
    let want =
        ["InventoryReserved", "InventoryShipped", "NotificationSent", "OrderConfirmed", "OrderCreated", "OrderShipped", "PaymentProcessed"];
    reader.until("all events of all orders", |seen| {
        let told = told(seen);
        orders.iter().all(|order| told.get(order).is_some_and(|names| want.iter().all(|name| names.contains(name))))
    });
    for names in told(&reader.seen).values() {
        let at = |name| names.iter().position(|known| *known == name).unwrap();
        assert!(at("OrderCreated") < at("OrderConfirmed") && at("OrderConfirmed") < at("OrderShipped"), "{names:?}");
        assert!(at("InventoryReserved") < at("InventoryShipped"), "{names:?}");
    }
    let health = node.plan.get("/health").unwrap();
    assert!(health.status == 200 && health.body.contains("kafka"), "{health:?}");
    assert!(node.plan.metric("ordermill_kafka_published_total") > 0.0);
    served.stop();
    assert!(node.plan.verify(&[]).0, "{}", node.plan.verify(&[]).1);
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_that_are_shipped_again_under_another_number_are_a_dead_letter_and_the_first_number_stays() {
    let node = Node::new();
    let served = node.plan.start();
    node.plan.put_product("10.00");
    let order = node.place("10.00");
    node.comes_to(order, "CONFIRMED");
    let teller = Teller::new(&node.kafka);
    for tracking in ["7", "7", "8", "7"] {
        teller.tell(&node.shipped_as(order, tracking));
    }
    node.comes_to(order, "SHIPPED");
    // Told after the others on the same partition: they have been heard when it is a letter.
    let stranger = (0..).map(|n| some_order(n).id).find(|id| shards().of(*id) == shards().of(order)).unwrap();
    teller.tell(&node.shipped(stranger));
    until("both letters", LIMIT, || node.letters().len() == 2);
    let letters = node.letters();
    let other = letters.iter().find(|letter| letter["cause"] == "other-shipment").expect("the other number is told");
    assert_eq!((&other["orderId"], &other["step"]), (&json!(order.0), &json!("OrderShipped")));
    assert!(other["origin"].to_string().contains(r#"\"trackingNumber\":\"8\""#), "{other}");
    let whole: Value = serde_json::from_str(&node.plan.get(&format!("/api/v1/orders/{order}")).unwrap().body).unwrap();
    assert_eq!(whole["shipment"]["trackingNumber"], "7", "{whole}");
    served.wait_settled(LIMIT);
    served.stop();
    assert!(node.plan.verify(&[]).0, "{}", node.plan.verify(&[]).1);
}

#[test]
fn a_property_that_is_none_is_told_at_start() {
    let node = Node::new();
    let plan = node.plan.clone().with("kafka.properties", r#"{ "linger.mss" = "5" }"#);
    let mut served = plan.spawn();
    assert!(!served.ended(LIMIT).success());
    assert!(plan.log().contains("linger.mss"), "{}", plan.log());
}

/// Brokers that are away are no reason not to start, nor to take no orders.
#[test]
fn a_node_starts_without_its_brokers_and_says_so() {
    let mut node = Node::new();
    node.plan = node.plan.with("kafka.brokers", "127.0.0.1:1");
    let served = node.plan.start();
    node.plan.put_product("10.00");
    let order = node.place("10.00");
    node.comes_to(order, "CONFIRMED");
    until("health tells of it", LIMIT, || {
        let health = node.plan.get("/health").unwrap();
        let body: Value = serde_json::from_str(&health.body).unwrap();
        let detail = body["components"]["kafka"]["detail"].as_str().unwrap_or_default().to_owned();
        health.status == 200 && body["components"]["kafka"]["status"] == json!("DEGRADED") && !detail.is_empty()
    });
    served.stop();
}

/// Another team's service, ended with the test.
struct Service(Child);

impl Service {
    fn start(kafka: &KafkaSettings) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/payment_service/run");
        let mut child = Command::new(script).args([kafka.brokers.join(","), kafka.prefix.clone()]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the payment service did not start");
        Self(child)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It has ended already, or it must.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_service_written_from_the_specification_alone_takes_the_roles_place() {
    let mut node = Node::new();
    let roles = r#"["order", "inventory", "notification", "analytics"]"#;
    node.plan = node.plan.with("cluster.roles", roles).with("cluster.external_roles", "payment").with("telemetry.sample_ms", 500);
    let served: Served = node.plan.start();
    node.plan.put_product("10.00");
    let (dear, scarce) = ("019a0000-0000-7000-8000-00000000000d", "019a0000-0000-7000-8000-00000000000e");
    node.plan.put(dear, "600.00");
    let _service = Service::start(&node.kafka);
    let paid: Vec<OrderId> = (0..20).map(|_| node.place("10.00")).collect();
    let place = |product: &str, price: &str| -> OrderId {
        let body = json!({"customerId": PRODUCT, "items": [{"productId": product, "quantity": 1, "price": price}]});
        node.plan.send("POST", "/api/v1/orders", &body.to_string()).unwrap().field("orderId").parse().unwrap()
    };
    let (declined, unavailable) = (place(dear, "600.00"), place(scarce, "5.00"));
    for order in &paid {
        node.comes_to(*order, "CONFIRMED");
    }
    node.comes_to(declined, "FAILED");
    node.comes_to(unavailable, "CANCELLED");
    let whole: Value = serde_json::from_str(&node.plan.get(&format!("/api/v1/orders/{}", paid[0])).unwrap().body).unwrap();
    assert_eq!((&whole["payment"]["status"], &whole["payment"]["amount"]), (&json!("CHARGED"), &json!("10.00")));
    served.wait_settled(LIMIT);
    // Nobody of ours owns the other team's shards, which is as it should be.
    let cluster: Value = serde_json::from_str(&node.plan.get("/api/v1/admin/cluster").unwrap().body).unwrap();
    assert_eq!(cluster["freeShards"], json!(0));
    until("the database is sampled", LIMIT, || node.plan.metric("ordermill_sampled_timestamp_seconds") > 0.0);
    assert_eq!(node.plan.metric(r#"ordermill_shards_free{role="payment"}"#), 0.0);
    // What the other team cannot undo is for a person.
    assert_eq!(node.plan.send("POST", &format!("/api/v1/orders/{}/cancel", paid[1]), "{}").unwrap().status, 202);
    until("a letter about the refund", LIMIT, || node.letters().iter().any(|letter| letter["orderId"] == json!(paid[1].0)));
    served.stop();
}

/// They need be no UUIDs, and are kept as text wherever the payment or the event is shown.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_team_calls_its_events_and_payments_is_kept() {
    let mut node = Node::new();
    let roles = r#"["order", "inventory", "notification", "analytics"]"#;
    node.plan = node.plan.with("cluster.roles", roles).with("cluster.external_roles", "payment");
    let served: Served = node.plan.start();
    node.plan.put_product("10.00");
    let order = node.place("10.00");
    let teller = Teller::new(&node.kafka);
    let tell = |topic, value: Value| {
        teller.tell(&Record { topic, value: Some(value.to_string().into_bytes()), ..node.shipped(order) });
    };
    let id = order.0;
    tell(
        Topic::Payment,
        json!({"PaymentProcessed": {"orderId": id, "eventId": "evt_12", "paymentId": "pi_3Mt", "correlationId": "req-9", "amount": 10,
            "paymentMethod": "CARD"}}),
    );
    node.comes_to(order, "CONFIRMED");
    tell(Topic::Payment, json!({"PaymentFailed": {"orderId": id, "eventId": 13, "paymentId": "pi_4", "reason": "declined"}}));
    until("it contradicts itself", LIMIT, || node.letters().len() == 1);
    let letter = &node.letters()[0];
    let detail = letter["detail"].as_str().unwrap();
    assert!(detail.contains("PaymentFailed (declined) [event 13, payment pi_4]"), "{letter}");
    tell(Topic::Shipping, json!({"OrderShipped": {"orderId": id, "carrier": "post", "trackingNumber": 990012345678901_u64}}));
    node.comes_to(order, "SHIPPED");
    let show = || -> Value { serde_json::from_str(&node.plan.get(&format!("/api/v1/orders/{order}")).unwrap().body).unwrap() };
    let check = |shown: &Value| {
        let entry = shown["history"].as_array().unwrap().iter().find(|entry| entry["event"] == json!("PaymentProcessed")).unwrap();
        let got =
            [&shown["payment"]["externalId"], &entry["externalId"], &entry["externalCorrelationId"], &shown["shipment"]["trackingNumber"]];
        assert_eq!(got, [&json!("pi_3Mt"), &json!("evt_12"), &json!("req-9"), &json!("990012345678901")], "{shown}");
    };
    check(&show());
    // Our own topic tells it with what was accepted.
    let mut reader = Reader::with_shards(&node.kafka, shards());
    let is_accepted = |record: &Record| record.headers.text("ce_type") == Some("ordermill.AnswerAccepted.v1");
    reader.until("what was accepted is told", |seen| seen.iter().any(is_accepted));
    let accepted: Value =
        serde_json::from_slice(reader.seen.iter().find(|one| is_accepted(one)).unwrap().value.as_deref().unwrap()).unwrap();
    let got = [&accepted["externalEventId"], &accepted["externalPaymentId"], &accepted["externalCorrelationId"]];
    assert_eq!(got, [&json!("evt_12"), &json!("pi_3Mt"), &json!("req-9")], "{accepted}");
    // Stored, not only remembered.
    served.stop();
    let served = node.plan.start();
    check(&show());
    served.stop();
}

/// The broker has deleted them before the node, which was down, could read them.
#[tokio::test(flavor = "multi_thread")]
async fn shipments_that_were_deleted_while_the_node_was_down_are_told_wherever_a_person_looks() {
    let mut node = Node::new();
    node.plan = node.plan.with("kafka.probe_ms", 200);
    let served = node.plan.start();
    node.plan.put_product("10.00");
    let orders: Vec<OrderId> = (0..3).map(|_| node.place("10.00")).collect();
    for order in &orders {
        node.comes_to(*order, "CONFIRMED");
    }
    let topic = TopicNames::of(&node.kafka).of_topic(Topic::Shipping);
    let group = format!("{}ordermill.order", node.kafka.prefix);
    until("it knows where it is on each partition", LIMIT, || {
        let client: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", node.kafka.brokers.join(",")).set("group.id", &group).create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_range(&topic, 0, 23);
        let found = tokio::task::block_in_place(|| client.committed_offsets(list, LIMIT)).unwrap();
        found.elements().iter().all(|one| matches!(one.offset(), Offset::Offset(_)))
    });
    served.stop();
    let teller = Teller::new(&node.kafka);
    let mut deleted = TopicPartitionList::new();
    for order in &orders {
        let shipped = node.shipped(*order);
        teller.tell(&shipped);
        if deleted.find_partition(&topic, shipped.partition).is_none() {
            deleted.add_partition_offset(&topic, shipped.partition, Offset::End).unwrap();
        }
    }
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", node.kafka.brokers.join(",")).create().unwrap();
    for gone in admin.delete_records(&deleted, &AdminOptions::new()).await.unwrap().elements() {
        gone.error().unwrap();
    }
    let served = node.plan.start();
    until("a letter of each partition", LIMIT, || node.letters().len() == deleted.count());
    for letter in node.letters() {
        let detail = letter["detail"].as_str().unwrap();
        assert!(letter["cause"] == json!("records-lost") && detail.contains("shipping-events partition"), "{letter}");
        assert!(detail.contains("deleted before"), "{letter}");
    }
    let health = || node.plan.get("/health").unwrap().body;
    until("health tells of it", LIMIT, || health().contains("deleted before they were read") && health().contains("DEGRADED"));
    let troubles = || node.plan.metric(r#"ordermill_kafka_troubles{kind="records-lost"}"#);
    until("an alert could tell of it", LIMIT, || troubles() > 0.0);
    let met = r#"ordermill_kafka_troubles_total{kind="records-lost",topic="#.to_owned() + &format!("\"{topic}\"}}");
    assert_eq!(node.plan.metric(&met).to_string(), deleted.count().to_string());
    assert!(node.plan.log().contains("deleted before they were read"), "{}", node.plan.log());
    let counted = node.plan.metric(r#"ordermill_kafka_lost_records_total{topic="shipping-events"}"#);
    assert_eq!(counted.to_string(), orders.len().to_string());
    for letter in node.letters() {
        let path = format!("/api/v1/admin/dlq/{}", letter["letterId"].as_str().unwrap());
        assert_eq!(node.plan.send("POST", &path, r#"{"action": "discard"}"#).unwrap().status, 200);
    }
    until("it is over", LIMIT, || health().contains("\"UP\"") && !health().contains("deleted before") && troubles() < 1.0);
    teller.tell(&node.shipped(orders[0]));
    node.comes_to(orders[0], "SHIPPED");
    served.stop();
}
