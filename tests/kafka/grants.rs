//! What another team or a login's rules leave without: partitions, the group's offsets. On the real broker.

use crate::listener::{LIMIT, Node, foreign, without_local};
use crate::place::{Place, is_told, over, rule, told, until_told};
use crate::sample::{event_of, order, shards};
use crate::troubles::committed;
use crate::world::{Teller, until};
use ordermill::config::KafkaSettings;
use ordermill::domain::{EventKind, Role, Topic};
use ordermill::kafka::client::BrokerState;
use ordermill::kafka::topics;
use rdkafka::admin::AdminOptions;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::json;
use std::time::Duration;

/// The group of the role that is tried here.
fn group(settings: &KafkaSettings) -> String {
    format!("{}ordermill.order", settings.prefix)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_refused_is_told_and_made_after_the_grant_though_nothing_more_comes() {
    let place = Place::new().await;
    let (topic, group) = (place.names.of_topic(Topic::Shipping), group(&place.settings));
    let node = Node::start(&place.with_login(), &place.database, place.fake(), &[Role::Order]);
    let teller = Teller::new(&place.settings);
    let shipped = foreign(1, Topic::Shipping, &json!({"orderId": order(1).id.0, "carrier": "post"}));
    // It has begun before the rule is made, which is made of two parts.
    teller.tell(&shipped);
    until("the first is committed", async || committed(&place, &topic, shipped.partition).await == Some(1)).await;
    rule("deny", "group", &group, "READ");
    // A rule takes a moment to be known to the broker.
    let mut count = 1;
    until_told(&node, async || {
        teller.tell(&shipped);
        count += 1;
        until("refused or committed", async || is_told(&node) || committed(&place, &topic, shipped.partition).await == Some(count)).await;
    })
    .await;
    told(&node, &["shipping-events: offsets are not committed", &format!("READ on group {group}")]).await;
    rule("allow", "group", &group, "READ");
    over(&node).await;
    until("all is committed", async || committed(&place, &topic, shipped.partition).await == Some(count)).await;
    assert_eq!(node.fake.heard().len().to_string(), count.to_string());
    node.consumer.stop(LIMIT).await;
}

fn client_of(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in &settings.properties.0 {
        config.set(name, value);
    }
    config.set("bootstrap.servers", settings.brokers.join(",")).set("group.id", group(settings));
    config
}

/// Whether the group's offsets may be asked for.
fn may_ask(settings: &KafkaSettings, topic: &str) -> bool {
    let client: BaseConsumer = client_of(settings).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, 0);
    tokio::task::block_in_place(|| client.committed_offsets(list, Duration::from_secs(10)))
        .is_ok_and(|all| all.elements()[0].error().is_ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_whose_offsets_may_not_be_asked_is_told_at_the_start_and_over_without_a_message() {
    let place = Place::new().await;
    let (settings, topic) = (place.with_login(), place.names.of_topic(Topic::Shipping));
    rule("deny", "group", &group(&settings), "DESCRIBE");
    until("the rule holds", async || !may_ask(&settings, &topic)).await;
    let node = Node::start(&settings, &place.database, place.fake(), &[Role::Order]);
    told(&node, &["ordermill.order: where it was is not told, so nothing is read", "READ"]).await;
    rule("allow", "group", &group(&settings), "DESCRIBE");
    over(&node).await;
    Teller::new(&place.settings).tell(&foreign(1, Topic::Shipping, &json!({"orderId": order(1).id.0, "carrier": "post"})));
    node.heard("what comes then", 1).await;
    node.consumer.stop(LIMIT).await;
}

/// Nothing was read there yet, so nobody knows what should come next: it is begun at its beginning again.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_loses_its_beginning_before_it_is_first_read_is_read_from_what_is_left() {
    let place = Place::new().await;
    // No statistics that would tell where the client stands.
    let settings = KafkaSettings { statistics_ms: 3_600_000, ..place.with_login() };
    let (topic, shipped) =
        (place.names.of_topic(Topic::Shipping), foreign(1, Topic::Shipping, &json!({"orderId": order(1).id.0, "carrier": "post"})));
    let node = Node::start(&settings, &place.database, place.fake(), &[Role::Order]);
    until("it listens", async || node.consumer.consumed()[0].partitions == 24).await;
    // It has asked where the partition begins, and may not read there.
    rule("deny", "topic", &topic, "READ");
    told(&node, &["shipping-events partition", "it cannot be read", "READ"]).await;
    let teller = Teller::new(&place.settings);
    (0..3).for_each(|_| teller.tell(&shipped));
    let mut deleted = TopicPartitionList::new();
    deleted.add_partition_offset(&topic, shipped.partition, Offset::Offset(2)).unwrap();
    for gone in place.admin().delete_records(&deleted, &AdminOptions::new()).await.unwrap().elements() {
        gone.error().unwrap();
    }
    rule("allow", "topic", &topic, "READ");
    node.heard("what is left", 1).await;
    teller.tell(&shipped);
    node.heard("what comes then", 2).await;
    over(&node).await;
    node.consumer.stop(LIMIT).await;
}

/// It cannot even be asked where it begins.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_may_not_be_seen_at_the_start_is_told_and_read_when_it_may() {
    let place = Place::new().await;
    let topic = place.names.of_topic(Topic::Shipping);
    let teller = Teller::new(&place.settings);
    let shipped = foreign(1, Topic::Shipping, &json!({"orderId": order(1).id.0, "carrier": "post"}));
    teller.tell(&shipped);
    rule("deny", "topic", &topic, "ALL");
    until("the rule holds", async || !may_see(&place.with_login(), &topic)).await;
    let node = Node::start(&place.with_login(), &place.database, place.fake(), &[Role::Order]);
    until("it is told", async || node.state.troubles().told().iter().any(|one| one.starts_with(&topic))).await;
    // Another topic goes on meanwhile.
    teller.tell(&without_local(&event_of(2, EventKind::PaymentProcessed)));
    node.heard("another topic", 1).await;
    rule("allow", "topic", &topic, "ALL");
    node.heard("what was there", 2).await;
    teller.tell(&shipped);
    node.heard("what comes then", 3).await;
    over(&node).await;
    node.consumer.stop(LIMIT).await;
}

/// Whether the brokers tell the login of the topic.
fn may_see(settings: &KafkaSettings, topic: &str) -> bool {
    let client: BaseConsumer = client_of(settings).create().unwrap();
    let metadata = tokio::task::block_in_place(|| client.fetch_metadata(None, Duration::from_secs(10)));
    metadata.is_ok_and(|all| all.topics().iter().any(|one| one.name() == topic))
}

/// With more copies than there are brokers, say.
#[tokio::test(flavor = "multi_thread")]
async fn topics_that_cannot_be_created_are_told_and_it_goes_on_when_they_are_there() {
    let place = Place::bare().await;
    let settings = KafkaSettings { replication: 3, ..place.settings.clone() };
    let node = Node::start(&settings, &place.database, place.fake(), &[Role::Order]);
    let told = || node.state.troubles().told();
    let says = |what: &str| told().iter().filter(|one| one.contains(what)).count();
    until("each is told", async || says("it does not exist and could not be created") == 10).await;
    assert!(says("shipping-events: ") > 0 && says("kafka-topics.sh --create --topic") == 10, "{:?}", told());
    topics::look(&place.settings, &BrokerState::default(), shards()).await.unwrap();
    over(&node).await;
    until("it listens", async || node.consumer.consumed()[0].partitions == 24).await;
    Teller::new(&place.settings).tell(&foreign(1, Topic::Shipping, &json!({"orderId": order(1).id.0, "carrier": "post"})));
    node.heard("what comes then", 1).await;
    node.consumer.stop(LIMIT).await;
}

/// As a broker makes a topic by itself when another team writes to it first.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_too_few_partitions_holds_up_no_other_and_goes_on_when_they_are_added() {
    let place = Place::with(&[(Topic::Payment, 1)]).await;
    let node = place.node(place.fake(), &[Role::Order]);
    told(&node, &["payment-events: it has 1 partitions, but the store has 6 shards", "--alter"]).await;
    until("it listens to what there is", async || node.consumer.consumed()[0].partitions == 19).await;
    let teller = Teller::new(&place.settings);
    teller.tell(&foreign(1, Topic::Shipping, &json!({"orderId": order(1).id.0, "carrier": "post"})));
    node.heard("another topic", 1).await;
    // Of orders of every shard, on the only partition.
    let of = |shard: u16| (0..).find(|n| shards().of(order(*n).id).0 == shard).unwrap();
    for shard in 0..6 {
        let mut record = without_local(&event_of(of(shard), EventKind::PaymentProcessed));
        record.partition = 0;
        teller.tell(&record);
    }
    node.heard("the one that belongs there", 2).await;
    until("what cannot be put where it belongs is told too", async || {
        node.state.troubles().told().iter().any(|one| one.contains("cannot be put on their partition"))
    })
    .await;
    place.add_partitions(Topic::Payment, 6).await;
    until("all are heard", async || node.fake.heard().len() == 7).await;
    over(&node).await;
    assert_eq!(node.consumer.consumed()[0].partitions, 24);
    node.consumer.stop(LIMIT).await;
}
