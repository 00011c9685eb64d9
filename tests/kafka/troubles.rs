//! What goes wrong on the brokers' side is told, counted and shown until it is over, and goes on by itself then. On the real broker.

use crate::listener::{LIMIT, Node, close, failed, foreign, without_local};
use crate::place::{Place, is_told, over, rule, told, until_told};
use crate::sample::{event_of, order, shards};
use crate::world::{Reader, Teller, until};
use ordermill::domain::{DeadLetter, DeadLetterState, EventKind, Role, Topic};
use ordermill::kafka::consumer::InboundError;
use ordermill::kafka::read::Record;
use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::json;
use std::time::Duration;

fn unreadable(n: u64, topic: Topic) -> Record {
    foreign(n, topic, &json!({"PaymentTeleported": {"orderId": order(n).id.0}}))
}

#[tokio::test(flavor = "multi_thread")]
async fn several_roles_that_listen_make_one_letter_one_copy_and_one_publishing() {
    let place = Place::new().await;
    let roles = [Role::Order, Role::Inventory, Role::Notification];
    let node = place.node(place.fake(), &roles);
    let teller = Teller::new(&place.settings);
    for n in 0..10 {
        teller.tell(&unreadable(n, Topic::Payment));
        let right = without_local(&event_of(n, EventKind::PaymentFailed));
        teller.tell(&Record { partition: (right.partition + 1) % i32::from(shards().count()), key: None, ..right });
    }
    node.heard("each failure by each role", 30).await;
    until("a letter of each", async || node.letters().await.len() == 10).await;
    let mut copies = Reader::of_dead_letters(&place.settings);
    copies.until("the copies", |seen| seen.len() == 10);
    let mut records = Reader::of_topics(&place.settings);
    records.until("what was told, and what was told again", |seen| seen.len() == 30);
    until("all is committed", async || node.consumer.consumed().iter().all(|role| role.lag == 0 && role.waiting == 0)).await;
    copies.read(Duration::from_millis(300));
    records.read(Duration::from_millis(300));
    assert_eq!((copies.seen.len(), records.seen.len()), (10, 30));
    assert_eq!(records.seen.iter().filter(|record| record.headers.get("ordermill_moved_from").is_some()).count(), 10);
    node.consumer.stop(LIMIT).await;
}

/// The broker dates what comes to such a topic, and a copy says so; its neighbours' producers date theirs.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_says_who_dated_its_message() {
    let place = Place::new().await;
    let dated = place.names.of_topic(Topic::Shipping);
    let change = AlterConfig::new(ResourceSpecifier::Topic(&dated)).set("message.timestamp.type", "LogAppendTime");
    for changed in place.admin().alter_configs(&[change], &AdminOptions::new()).await.unwrap() {
        changed.unwrap();
    }
    let node = place.node(place.fake(), &[Role::Order]);
    let teller = Teller::new(&place.settings);
    let mut copies = Reader::of_dead_letters(&place.settings);
    let type_of = |seen: &[Record], topic| {
        let copy = seen.iter().rev().find(|copy: &&Record| copy.topic == topic)?;
        copy.headers.text("kafka_dlt-original-timestamp-type").map(str::to_owned)
    };
    // A setting takes a moment to be known to the broker.
    let mut count = 0;
    while type_of(&copies.seen, Topic::Shipping).as_deref() != Some("LogAppendTime") {
        count += 1;
        assert!(count < 1_000, "it never says so: {:?}", type_of(&copies.seen, Topic::Shipping));
        teller.tell(&unreadable(1, Topic::Shipping));
        copies.until("its copy", |seen| seen.len() == count);
    }
    teller.tell(&unreadable(1, Topic::Payment));
    copies.until("the other's copy", |seen| seen.len() == count + 1);
    assert_eq!(type_of(&copies.seen, Topic::Payment).as_deref(), Some("CreateTime"));
    node.consumer.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_is_told_of_each_topic() {
    let place = Place::new().await;
    let fake = place.fake();
    let node = place.node(fake.clone(), &[Role::Order]);
    let teller = Teller::new(&place.settings);
    let tell = || {
        for n in 0..3 {
            teller.tell(&without_local(&event_of(n, EventKind::PaymentFailed)));
            // Of other orders: what comes later of one order waits.
            teller.tell(&foreign(n + 10, Topic::Shipping, &json!({"orderId": order(n + 10).id.0, "carrier": "post"})));
        }
    };
    tell();
    node.heard("the first of each", 6).await;
    let lag = || {
        let consumed = node.consumer.consumed()[0];
        let of = |wanted| Topic::ALL.into_iter().zip(consumed.lag_of).find(|(topic, _)| *topic == wanted).unwrap().1;
        (of(Topic::Payment), of(Topic::Shipping), consumed.lag)
    };
    until("nothing is behind", async || lag() == (0, 0, 0)).await;
    // The payments' answers cannot be taken now; shipments can.
    fake.answer_with(
        |_, event| if event.kind() == EventKind::PaymentFailed { Err(InboundError::Away("not now".to_owned())) } else { Ok(()) },
    );
    tell();
    until("the payments' topic alone is behind", async || lag() == (3, 0, 3)).await;
    fake.answer_with(|_, _| Ok(()));
    until("nothing is behind any more", async || lag() == (0, 0, 0)).await;
    node.consumer.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_comes_to_nothing_behind_a_transaction() {
    let place = Place::new().await;
    let node = place.node(place.fake(), &[Role::Order]);
    let topic = place.names.of_topic(Topic::Shipping);
    let shipped = foreign(1, Topic::Shipping, &json!({"orderId": order(1).id.0, "carrier": "post"}));
    tokio::task::block_in_place(|| {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", place.settings.brokers.join(","))
            .set("transactional.id", &place.settings.prefix)
            .create()
            .unwrap();
        producer.init_transactions(Duration::from_secs(120)).unwrap();
        producer.begin_transaction().unwrap();
        let (key, value) = (shipped.key.as_deref().unwrap(), shipped.value.as_deref().unwrap());
        producer.send(BaseRecord::to(&topic).partition(shipped.partition).key(key).payload(value)).map_err(|(error, _)| error).unwrap();
        producer.commit_transaction(Duration::from_secs(30)).unwrap();
    });
    node.heard("the shipment", 1).await;
    // The marker of the transaction's end is a record of its own.
    until("its end is committed", async || committed(&place, &topic, shipped.partition).await == Some(2)).await;
    until("no lag", async || node.consumer.consumed()[0].lag == 0).await;
    node.consumer.stop(LIMIT).await;
}

pub(crate) async fn committed(place: &Place, topic: &str, partition: i32) -> Option<i64> {
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    let group = format!("{}ordermill.order", place.settings.prefix);
    let client: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", place.settings.brokers.join(",")).set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    let found = tokio::task::block_in_place(|| client.committed_offsets(list, Duration::from_secs(10))).ok()?;
    match found.elements().first()?.offset() {
        Offset::Offset(offset) => Some(offset),
        Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_deleted_before_they_are_read_are_a_letter_with_their_range() {
    let place = Place::new().await;
    let topic = place.names.of_topic(Topic::Shipping);
    let shipped = |n: u64| foreign(1, Topic::Shipping, &json!({"orderId": order(1).id.0, "carrier": n.to_string()}));
    let partition = shipped(1).partition;
    let teller = Teller::new(&place.settings);
    let node = place.node(place.fake(), &[Role::Order]);
    teller.tell(&shipped(0));
    node.heard("the first", 1).await;
    until("it is committed", async || committed(&place, &topic, partition).await == Some(1)).await;
    node.consumer.stop(LIMIT).await;
    // While nobody listens five more come, and the first four of them go.
    (1..6).for_each(|n| teller.tell(&shipped(n)));
    let mut deleted = TopicPartitionList::new();
    deleted.add_partition_offset(&topic, partition, Offset::Offset(5)).unwrap();
    for gone in place.admin().delete_records(&deleted, &AdminOptions::new()).await.unwrap().elements() {
        gone.error().unwrap();
    }
    let node = place.node(node.fake.clone(), &[Role::Order]);
    node.heard("what is left", 2).await;
    let place_of_it = format!("shipping-events partition {partition}");
    told(&node, &[&place_of_it, "records 1 to 4 were deleted before they were read", "dead letter"]).await;
    let letter = node.letters().await.remove(0);
    assert_eq!((letter.cause.as_str(), letter.role), ("records-lost", Role::Order));
    assert!(letter.detail.as_str().contains("records 1 to 4") && letter.detail.as_str().contains(&place_of_it), "{}", letter.detail);
    close(&place.journal, letter.id, DeadLetterState::Discarded).await;
    over(&node).await;
    teller.tell(&shipped(6));
    node.heard("it goes on", 3).await;
    node.consumer.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_was_closed_stays_closed_when_offsets_are_lost_and_is_copied_once() {
    let place = Place::new().await;
    let fake = place.fake();
    fake.answer_with(|_, event| if event.order == order(2).id { failed() } else { Ok(()) });
    let node = place.node(fake, &[Role::Order]);
    let teller = Teller::new(&place.settings);
    teller.tell(&unreadable(1, Topic::Payment));
    teller.tell(&without_local(&event_of(2, EventKind::PaymentProcessed)));
    // This one stays open.
    teller.tell(&unreadable(4, Topic::Payment));
    until("a letter of each", async || node.letters().await.len() == 3).await;
    let mut copies = Reader::of_dead_letters(&place.settings);
    copies.until("their copies", |seen| seen.len() == 3);
    let is_marked = |letter: &DeadLetter| letter.origin.as_deref().is_some_and(|origin| origin.contains("\"copied\":true"));
    until("they are noted", async || node.letters().await.iter().all(is_marked)).await;
    for letter in node.letters().await.iter().filter(|letter| letter.order != Some(order(4).id)) {
        close(&place.journal, letter.id, DeadLetterState::Discarded).await;
    }
    node.consumer.stop(LIMIT).await;
    let group = format!("{}ordermill.order", place.settings.prefix);
    until("the group is lost", async || {
        place.admin().delete_groups(&[&group], &AdminOptions::new()).await.unwrap().into_iter().all(|one| one.is_ok())
    })
    .await;
    // The places of its own database, too.
    place.database.upgrade();
    let node = place.node(node.fake.clone(), &[Role::Order]);
    teller.tell(&without_local(&event_of(3, EventKind::PaymentProcessed)));
    until("all is heard again", async || !node.fake.kinds_of(order(3).id).is_empty()).await;
    until("all is done", async || node.fake.tries(order(2).id, "PaymentProcessed") == 8 && node.consumer.consumed()[0].waiting == 0).await;
    assert_eq!((place.letters(DeadLetterState::Open).await.len(), place.letters(DeadLetterState::Discarded).await.len()), (1, 2));
    copies.read(Duration::from_millis(300));
    assert_eq!(copies.seen.len(), 3);
    node.consumer.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_topic_of_dead_letters_takes_no_copy_without_a_key_until_it_is_mended() {
    let place = Place::new().await;
    let dead = place.names.of_dead_letters(Topic::Payment);
    let policy = async |value: &'static str| {
        let change = AlterConfig::new(ResourceSpecifier::Topic(&dead)).set("cleanup.policy", value);
        for changed in place.admin().alter_configs(&[change], &AdminOptions::new()).await.unwrap() {
            changed.unwrap();
        }
    };
    policy("compact").await;
    let node = place.node(place.fake(), &[Role::Order]);
    let teller = Teller::new(&place.settings);
    teller.tell(&Record { key: None, ..unreadable(1, Topic::Payment) });
    told(&node, &["payment-events.DLQ partition", "takes no record without a key", "cleanup.policy"]).await;
    // It holds up nobody, not even its order.
    teller.tell(&without_local(&event_of(1, EventKind::PaymentProcessed)));
    node.heard("the same order's next", 1).await;
    policy("delete").await;
    over(&node).await;
    Reader::of_dead_letters(&place.settings).until("the copy", |seen| seen.len() == 1);
    node.consumer.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_login_may_not_do_is_told_and_goes_on_when_it_may() {
    let place = Place::new().await;
    let (dead, topic) = (place.names.of_dead_letters(Topic::Payment), place.names.of_topic(Topic::Payment));
    rule("deny", "topic", &dead, "WRITE");
    let node = Node::start(&place.with_login(), &place.database, place.fake(), &[Role::Order]);
    let teller = Teller::new(&place.settings);
    // A rule takes a moment to be known to the broker.
    let is_marked = |letter: &DeadLetter| letter.origin.as_deref().is_some_and(|origin| origin.contains("\"copied\":true"));
    let mut count = 0;
    until_told(&node, async || {
        teller.tell(&unreadable(1, Topic::Payment));
        count += 1;
        until("refused or copied", async || {
            is_told(&node) || node.letters().await.iter().filter(|letter| is_marked(letter)).count() == count
        })
        .await;
    })
    .await;
    told(&node, &["payment-events.DLQ partition", "are not copied there", "WRITE"]).await;
    rule("allow", "topic", &dead, "WRITE");
    over(&node).await;
    Reader::of_dead_letters(&place.settings).until("the copies", |seen| seen.len() == count);
    // A message on the wrong partition.
    rule("deny", "topic", &topic, "WRITE");
    let right = without_local(&event_of(2, EventKind::PaymentProcessed));
    let wrong = Record { partition: (right.partition + 1) % i32::from(shards().count()), ..right };
    let mut moved = 0;
    until_told(&node, async || {
        teller.tell(&wrong);
        moved += 1;
        until("refused or moved", async || is_told(&node) || node.fake.heard().len() == moved).await;
    })
    .await;
    told(&node, &["payment-events partition", "cannot be put on their partition", "WRITE"]).await;
    rule("allow", "topic", &topic, "WRITE");
    node.heard("it is on its own", moved).await;
    over(&node).await;
    // The right to read is taken away while it reads.
    rule("deny", "topic", &topic, "READ");
    told(&node, &["payment-events partition", "it cannot be read", "READ"]).await;
    teller.tell(&without_local(&event_of(3, EventKind::PaymentProcessed)));
    rule("allow", "topic", &topic, "READ");
    node.heard("what came meanwhile", moved + 1).await;
    over(&node).await;
    node.consumer.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_are_read_and_told_of_also_after_a_restart() {
    let place = Place::new().await;
    let node = place.node(place.fake(), &[Role::Order]);
    until("it listens", async || node.consumer.consumed()[0].partitions == 24).await;
    place.add_partitions(Topic::Payment, 9).await;
    told(&node, &["payment-events: it has 9 partitions, but the store has 6 shards"]).await;
    until("it listens to them", async || node.consumer.consumed()[0].partitions == 27).await;
    let teller = Teller::new(&place.settings);
    teller.tell(&Record { partition: 8, ..without_local(&event_of(1, EventKind::PaymentProcessed)) });
    node.heard("what came on a new one", 1).await;
    node.consumer.stop(LIMIT).await;
    let node = place.node(node.fake.clone(), &[Role::Order]);
    teller.tell(&Record { partition: 7, ..without_local(&event_of(2, EventKind::PaymentProcessed)) });
    node.heard("it starts with them", 2).await;
    told(&node, &["payment-events: it has 9 partitions"]).await;
    node.consumer.stop(LIMIT).await;
}
