//! What others say is heard: each order's messages in their order, failures as dead letters, offsets behind what is done.

use crate::listener::{FakeRoles, LIMIT, Node, close, failed, foreign, node_on_mock, without_local};
use crate::sample::{event_of, order, published, shards};
use crate::world::{Journal, Mock, OwnBroker, Reader, Teller, database, prefix, real_broker, settings, until};
use ordermill::config::KafkaSettings;
use ordermill::db::memory::Nodes;
use ordermill::domain::{DeadLetterState, EventKind, Role, RoleShards, Shard, Topic};
use ordermill::kafka::client::BrokerState;
use ordermill::kafka::consumer::{InboundError, ReprocessError};
use ordermill::kafka::headers;
use ordermill::kafka::read::Record;
use ordermill::kafka::topics;
use rdkafka::types::RDKafkaApiKey;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_not_heard_again_after_a_restart() {
    let (_mock, settings, node) = node_on_mock(&[Role::Order]).await;
    let teller = Teller::new(&settings);
    for n in 0..30 {
        teller.tell(&foreign(n, Topic::Shipping, &json!({"orderId": order(n).id.0, "carrier": "post"})));
        teller.tell(&without_local(&event_of(n, EventKind::PaymentProcessed)));
    }
    node.heard("both of each order", 60).await;
    node.consumer.stop(LIMIT).await;
    let next = Node::start(&settings, &node.database, node.fake.clone(), &[Role::Order]);
    teller.tell(&without_local(&event_of(99, EventKind::PaymentFailed)));
    next.heard("the new one", 61).await;
    next.consumer.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_not_told_what_it_had_where_it_was_written() {
    let (_mock, settings, node) = node_on_mock(&[Role::Payment, Role::Order]).await;
    let teller = Teller::new(&settings);
    // It says that order and inventory had it.
    teller.tell(&published(&event_of(1, EventKind::InventoryReserved)));
    teller.tell(&without_local(&event_of(1, EventKind::NotificationSent)));
    node.heard("payment alone hears of the reservation, order of the notice", 2).await;
    let mut roles: Vec<(Role, &str)> = node.fake.heard().into_iter().map(|(role, _, kind)| (role, kind.name())).collect();
    roles.sort();
    assert_eq!(roles, [(Role::Order, "NotificationSent"), (Role::Payment, "InventoryReserved")]);
    node.consumer.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_message_holds_up_its_own_order_only_and_the_later_ones_wait_in_letters() {
    let (_mock, settings, node) = node_on_mock(&[Role::Payment]).await;
    let (bad, good) = (order(1).id, order(2).id);
    node.fake.answer_with(move |_, event| if event.order == bad && event.kind() == EventKind::OrderCreated { failed() } else { Ok(()) });
    let teller = Teller::new(&settings);
    for kind in [EventKind::OrderCreated, EventKind::OrderCancelRequested] {
        teller.tell(&without_local(&event_of(1, kind)));
        teller.tell(&without_local(&event_of(2, kind)));
    }
    until("the other order goes on", async || node.fake.kinds_of(good).len() == 2).await;
    until("a letter", async || node.letters().await.len() == 1).await;
    let letter = node.letters().await.remove(0);
    assert_eq!((letter.cause.as_str(), letter.tries, letter.order, letter.step.as_str()), ("broken", 4, Some(bad), "OrderCreated"));
    until("the cancel request overtakes", async || node.fake.kinds_of(bad) == ["OrderCancelRequested"]).await;
    assert_eq!(node.fake.tries(bad, "OrderCreated"), 4);
    // A later message of that order waits behind the letter, also after a restart.
    teller.tell(&without_local(&event_of(1, EventKind::InventoryReserved)));
    until("it waits", async || node.letters().await.len() == 2).await;
    node.consumer.stop(LIMIT).await;
    let node = Node::start(&settings, &node.database, node.fake.clone(), &[Role::Payment]);
    teller.tell(&without_local(&event_of(1, EventKind::OrderCreated)));
    until("that one waits too", async || node.letters().await.len() == 3).await;
    // A person has it tried again, and it fails again.
    assert_eq!(node.consumer.reprocess(letter.clone()).await, Err(ReprocessError::Failed("it is broken".to_owned())));
    node.fake.answer_with(|_, _| Ok(()));
    assert_eq!(node.consumer.reprocess(letter.clone()).await, Ok(()));
    close(&node.fake.journal, letter.id, DeadLetterState::Reprocessed).await;
    until("those that waited go on", async || node.letters().await.is_empty()).await;
    assert_eq!(node.fake.kinds_of(bad), ["OrderCancelRequested", "OrderCreated", "OrderCreated", "InventoryReserved"]);
    let mut copies = Reader::of_dead_letters(&settings);
    copies.until("a copy of each", |seen| seen.len() == 3);
    node.consumer.stop(LIMIT).await;
}

/// A node that has all roles hears without Kafka. A person can have the first one tried again there, and what waited behind it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_letters_goes_on_where_its_role_listens_to_nothing() {
    let (_mock, settings, node) = node_on_mock(&[Role::Payment]).await;
    let bad = order(1).id;
    node.fake.answer_with(|_, event| if event.kind() == EventKind::OrderCreated { failed() } else { Ok(()) });
    let teller = Teller::new(&settings);
    teller.tell(&without_local(&event_of(1, EventKind::OrderCreated)));
    until("it is a letter", async || node.letters().await.len() == 1).await;
    teller.tell(&without_local(&event_of(1, EventKind::InventoryReserved)));
    until("both are letters", async || node.letters().await.len() == 2).await;
    node.consumer.stop(LIMIT).await;
    node.fake.answer_with(|_, _| Ok(()));
    let settings = KafkaSettings { probe_ms: 50, ..settings };
    let node = Node::start(&settings, &node.database, node.fake.clone(), &Role::ALL);
    let letter = node.letters().await.into_iter().find(|letter| letter.cause.as_str() == "broken").unwrap();
    assert_eq!(node.consumer.reprocess(letter.clone()).await, Ok(()));
    close(&node.fake.journal, letter.id, DeadLetterState::Reprocessed).await;
    until("the one that waited goes on", async || node.letters().await.is_empty()).await;
    assert_eq!(node.fake.kinds_of(bad), ["OrderCreated", "InventoryReserved"]);
    node.consumer.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_being_away_is_no_failure_of_a_message() {
    let (_mock, settings, node) = node_on_mock(&[Role::Order]).await;
    let until_try = Arc::new(AtomicUsize::new(0));
    let counter = until_try.clone();
    node.fake.answer_with(move |_, _| {
        if counter.fetch_add(1, Ordering::SeqCst) < 10 { Err(InboundError::Away("no database".to_owned())) } else { Ok(()) }
    });
    Teller::new(&settings).tell(&without_local(&event_of(1, EventKind::PaymentProcessed)));
    node.heard("at last", 1).await;
    assert_eq!((node.fake.tries(order(1).id, "PaymentProcessed"), node.letters().await.len()), (11, 0));
    node.consumer.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shipment_that_comes_too_late_is_a_letter_and_parks_nothing() {
    let (_mock, settings, node) = node_on_mock(&[Role::Order]).await;
    node.fake.answer_with(|_, event| {
        if event.kind() != EventKind::OrderShipped {
            return Ok(());
        }
        Err(InboundError::Never { cause: "late-shipment".to_owned(), detail: "the order is CANCELLED".to_owned() })
    });
    let teller = Teller::new(&settings);
    teller.tell(&foreign(1, Topic::Shipping, &json!({"OrderShipped": {"orderId": order(1).id.0}})));
    until("the dead letter", async || node.letters().await.len() == 1).await;
    assert_eq!((node.letters().await[0].cause.as_str(), node.letters().await[0].tries), ("late-shipment", 1));
    teller.tell(&without_local(&event_of(1, EventKind::PaymentRefunded)));
    node.heard("the undo goes on", 1).await;
    node.consumer.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_on_the_wrong_partition_goes_to_the_right_one() {
    let (_mock, settings, node) = node_on_mock(&[Role::Order]).await;
    let right = without_local(&event_of(1, EventKind::PaymentProcessed));
    let wrong = Record { partition: (right.partition + 1) % i32::from(shards().count()), key: None, ..right.clone() };
    Teller::new(&settings).tell(&wrong);
    node.heard("it is heard from there", 1).await;
    let mut reader = Reader::of_topics(&settings);
    reader.until("both", |seen| seen.len() == 2);
    let moved = reader.seen.iter().find(|record| record.partition == right.partition).unwrap();
    let mut headers = moved.headers.clone();
    let (mark, from) = headers.0.pop().unwrap();
    assert_eq!((mark.as_str(), from), ("ordermill_moved_from", Some(format!("{}/0", wrong.partition).into_bytes())));
    assert_eq!((&moved.key, &moved.value, &headers), (&right.key, &right.value, &right.headers));
    node.consumer.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_bounded() {
    let mock = Mock::start();
    let settings = KafkaSettings { consume_window: 5, ..settings(&mock.brokers) };
    let database = database(Nodes::One);
    let fake = FakeRoles::slow(Journal::start(&database, None).await, Duration::from_millis(20));
    let teller = Teller::new(&settings);
    for n in 0..200 {
        teller.tell(&without_local(&event_of(n, EventKind::PaymentProcessed)));
    }
    let node = Node::start(&settings, &database, fake, &[Role::Order]);
    node.heard("all of them", 200).await;
    let most = node.fake.most.load(Ordering::SeqCst);
    assert!(most <= 5 * usize::from(shards().count()) && most > 1, "{most} were under way");
    node.consumer.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_goes_to_another_node_goes_on_there() {
    let (_mock, settings, node) = node_on_mock(&[Role::Order]).await;
    let other =
        Node::start_with(&settings, &node.database, FakeRoles::new(node.fake.journal.clone()), &[Role::Order], RoleShards::default());
    let teller = Teller::new(&settings);
    let tell_all = |from: u64| (from..from + 60).for_each(|n| teller.tell(&without_local(&event_of(n, EventKind::PaymentProcessed))));
    tell_all(0);
    node.heard("all here", 60).await;
    // It commits what is done, and has let go when that is over.
    node.role_shards.send_replace([0, 1, 2].map(|n| (Role::Order, Shard(n))).into_iter().collect());
    until("it has let go", async || node.consumer.consumed()[0].partitions == 12).await;
    other.role_shards.send_replace([3, 4, 5].map(|n| (Role::Order, Shard(n))).into_iter().collect());
    tell_all(100);
    until("all of them, here or there", async || node.fake.heard().len() + other.fake.heard().len() >= 120).await;
    assert!(other.fake.heard().iter().all(|(_, order, _)| shards().of(*order).0 >= 3));
    assert_eq!(node.fake.heard().len() + other.fake.heard().len(), 120, "none twice, none lost");
    assert!(node.fake.heard().len() > 60 && !other.fake.heard().is_empty());
    node.consumer.stop(LIMIT).await;
    other.consumer.stop(LIMIT).await;
}

/// Ten minutes for an answer: nothing is heard in the test's time by who waits for one.
async fn node_of_one_shard() -> (Mock, KafkaSettings, Node, Vec<u64>) {
    let mock = Mock::start();
    let settings = KafkaSettings { request_timeout_ms: 600_000, ..settings(&mock.brokers) };
    let database = database(Nodes::One);
    let fake = FakeRoles::new(Journal::start(&database, None).await);
    let node = Node::start_with(&settings, &database, fake, &[Role::Order], owned(&[0]));
    let mine = (0..).filter(|n| shards().of(order(*n).id).0 == 0).take(3).collect();
    (mock, settings, node, mine)
}

fn owned(owned: &[u16]) -> RoleShards {
    owned.iter().map(|shard| (Role::Order, Shard(*shard))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_owned_is_heard_while_the_brokers_do_not_say_where_the_rest_begins() {
    let (mock, settings, node, mine) = node_of_one_shard().await;
    let teller = Teller::new(&settings);
    let tell = |n: u64| teller.tell(&without_local(&event_of(n, EventKind::PaymentProcessed)));
    tell(mine[0]);
    node.heard("the first", 1).await;
    mock.put_off(RDKafkaApiKey::OffsetFetch);
    node.role_shards.send_replace(owned(&[0, 1]));
    tell(mine[1]);
    node.heard("the next of the same shard", 2).await;
    assert_eq!(node.consumer.consumed()[0].partitions, 4, "of the new shard nothing is known yet");
    // It is lost again before it is known where it begins.
    node.role_shards.send_replace(owned(&[0]));
    mock.answer(RDKafkaApiKey::OffsetFetch);
    tell(mine[2]);
    node.heard("one more", 3).await;
    node.role_shards.send_replace(owned(&[0, 1]));
    until("it listens to both", async || node.consumer.consumed()[0].partitions == 8).await;
    node.consumer.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_not_answered_holds_up_neither_a_rebalance_nor_what_is_heard() {
    let mock = Mock::with_coordinator_apart("ordermill.order");
    let mut settings = KafkaSettings { request_timeout_ms: 600_000, ..settings(&mock.brokers) };
    // The client itself gives nothing up in the test's time.
    settings.properties.0.insert("socket.timeout.ms".to_owned(), "300000".to_owned());
    let database = database(Nodes::One);
    let node =
        Node::start_with(&settings, &database, FakeRoles::new(Journal::start(&database, None).await), &[Role::Order], owned(&[0, 1]));
    let of = |shard: u16| (0..).filter(move |n| shards().of(order(*n).id).0 == shard);
    let teller = Teller::new(&settings);
    let tell = |n: u64| teller.tell(&without_local(&event_of(n, EventKind::PaymentProcessed)));
    of(0).take(2).chain(of(1).take(1)).for_each(tell);
    node.heard("some of both shards", 3).await;
    mock.silence_coordinator();
    of(0).skip(2).take(1).for_each(tell);
    node.heard("one more", 4).await;
    until("it is done", async || node.consumer.consumed()[0].waiting == 0).await;
    // It is to be committed with the shard that goes.
    node.role_shards.send_replace(owned(&[1]));
    of(1).skip(1).take(2).for_each(tell);
    node.heard("those of the shard that stays", 6).await;
    node.consumer.stop(LIMIT).await;
}

/// What a node that no longer listens kept of parked orders would grow, and be believed when the partition comes back.
#[tokio::test(flavor = "multi_thread")]
async fn parked_orders_of_a_partition_that_goes_are_forgotten_and_read_anew_when_it_comes_back() {
    let (_mock, settings, node) = node_on_mock(&[Role::Order]).await;
    node.fake.answer_with(|_, _| failed());
    let teller = Teller::new(&settings);
    (0..6).for_each(|n| teller.tell(&without_local(&event_of(n, EventKind::PaymentProcessed))));
    let (all, parked) = (node.role_shards.borrow().clone(), || node.consumer.consumed()[0].parked);
    until("all are parked", async || parked() == 6).await;
    let here = shards().of(order(0).id);
    let kept = (0..6).filter(|n| shards().of(order(*n).id) == here).count() as u64;
    assert!(kept < 6);
    node.role_shards.send_replace([(Role::Order, here)].into_iter().collect());
    until("those of the others are forgotten", async || parked() == kept).await;
    node.role_shards.send_replace(all);
    until("they are known again", async || parked() == 6).await;
    node.consumer.stop(LIMIT).await;
}

/// Down at the start, back, away and back again; nothing is heard twice but what was not committed.
#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_when_the_broker_comes_back() {
    let (broker, address) = OwnBroker::start("consuming");
    broker.halt();
    let settings = settings(&address);
    let database = database(Nodes::One);
    let fake = FakeRoles::new(Journal::start(&database, None).await);
    let node = Node::start(&settings, &database, fake, &[Role::Order]);
    broker.resume();
    until("it listens", async || node.consumer.consumed()[0].partitions == 24).await;
    let tell = |n: u64| Teller::new(&settings).tell(&without_local(&event_of(n, EventKind::PaymentProcessed)));
    tell(1);
    until("the first", async || node.fake.heard().len() == 1).await;
    broker.halt();
    broker.resume();
    tell(2);
    until("the second", async || !node.fake.kinds_of(order(2).id).is_empty()).await;
    assert_eq!(node.letters().await.len(), 0);
    node.consumer.stop(LIMIT).await;
}

/// What can be wrong with a message, and what its letter says.
fn poison(topic: Topic, n: u64) -> Vec<(&'static str, Record)> {
    let kind = match topic {
        Topic::Order => EventKind::OrderCreated,
        Topic::Inventory => EventKind::InventoryReserved,
        Topic::Payment => EventKind::PaymentProcessed,
        Topic::Notification => EventKind::NotificationSent,
        Topic::Shipping => EventKind::OrderShipped,
    };
    let good = Record { topic, ..without_local(&event_of(n, kind)) };
    let valued = |value: &[u8]| Record { value: Some(value.to_vec()), ..good.clone() };
    let typed = |name: String| {
        let mut record = good.clone();
        record.headers.0.retain(|(known, _)| known != headers::TYPE);
        record.headers.add(headers::TYPE, name.as_bytes());
        record
    };
    let bare = |value: &[u8]| Record { headers: headers::Headers::default(), ..valued(value) };
    let long = vec![b'x'; 10 * 1024 * 1024];
    vec![
        ("not-json", valued(b"\xff{]")),
        ("bad-field", valued(json!({"orderId": 17, "amount": {}, "items": 3}).to_string().as_bytes())),
        ("unknown-type", typed("ordermill.OrderTeleported.v1".to_owned())),
        ("unknown-version", typed(format!("ordermill.{}.v0", kind.name()))),
        ("message-too-long", valued(&long)),
        ("empty-message", Record { value: Some(Vec::new()), ..good.clone() }),
        ("no-type", bare(b"{\"hello\":1}")),
        ("not-json", Record { key: None, ..bare(b"no key, no header, no JSON") }),
    ]
}

/// On the real broker, as librdkafka's own does not keep long messages.
#[tokio::test(flavor = "multi_thread")]
async fn poison_becomes_letters_on_every_topic_and_what_follows_goes_on() {
    let settings = KafkaSettings { prefix: prefix(), ..settings(&real_broker()) };
    topics::look(&settings, &BrokerState::default(), shards()).await.unwrap();
    crate::world::allow_long_messages(&settings).await;
    let database = database(Nodes::One);
    let fake = FakeRoles::new(Journal::start(&database, None).await);
    let teller = Teller::new(&settings);
    let listeners = [
        (Topic::Inventory, Role::Order),
        (Topic::Payment, Role::Order),
        (Topic::Notification, Role::Order),
        (Topic::Shipping, Role::Order),
        (Topic::Order, Role::Inventory),
    ];
    let mut causes: Vec<(&str, &str)> = Vec::new();
    for (at, (topic, _)) in listeners.iter().enumerate() {
        let n = 10 * at as u64;
        for (cause, record) in poison(*topic, n) {
            causes.push((topic.name(), cause));
            teller.tell(&record);
        }
        // A tombstone is nothing to anybody.
        teller.tell(&Record { value: None, ..without_local(&event_of(n, EventKind::PaymentProcessed)) });
        // The order of the poison itself goes on: nobody knows what the poison would have been.
        let kind = [
            EventKind::InventoryReserved,
            EventKind::PaymentProcessed,
            EventKind::NotificationSent,
            EventKind::OrderShipped,
            EventKind::OrderCreated,
        ][at];
        teller.tell(&Record { topic: *topic, ..without_local(&event_of(n, kind)) });
    }
    let node = Node::start(&settings, &database, fake.clone(), &[Role::Order]);
    let other = Node::start(&settings, &database, fake, &[Role::Inventory]);
    until("a letter of each", async || node.letters().await.len() == causes.len()).await;
    until("each order goes on", async || node.fake.heard().len() == listeners.len()).await;
    let mut found: Vec<(String, String)> = Vec::new();
    for letter in node.letters().await {
        let origin: Value = serde_json::from_str(letter.origin.as_deref().unwrap()).unwrap();
        found.push((origin["topic"].as_str().unwrap().to_owned(), letter.cause.to_string()));
    }
    found.sort();
    causes.sort_unstable();
    assert_eq!(found, causes.iter().map(|(topic, cause)| ((*topic).to_owned(), (*cause).to_owned())).collect::<Vec<_>>());
    let mut copies = Reader::of_dead_letters(&settings);
    // Five are too long for the topic of copies: their letters tell of them.
    let named = |copy: &Record| copy.headers.get("ordermill_letter").unwrap().to_vec();
    copies.until("the copies", |seen| seen.iter().map(named).collect::<BTreeSet<_>>().len() == causes.len() - listeners.len());
    let copy = copies.seen.iter().find(|copy| copy.topic == Topic::Payment && copy.value.as_deref() == Some(b"\xff{]")).unwrap();
    let header = |name| copy.headers.get(name).unwrap();
    assert_eq!(header("kafka_dlt-original-topic"), format!("{}payment-events", settings.prefix).as_bytes());
    assert_eq!(header("kafka_dlt-original-partition"), copy.partition.to_be_bytes());
    assert_eq!(header("kafka_dlt-exception-fqcn"), b"ordermill.not-json");
    assert_eq!(header("retry_topic-attempts"), 1i32.to_be_bytes());
    assert_eq!(header(headers::CORRELATION).len(), 36, "the message's own headers are there");
    node.consumer.stop(LIMIT).await;
    other.consumer.stop(LIMIT).await;
}
