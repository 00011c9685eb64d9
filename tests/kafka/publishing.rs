//! The log comes to Kafka: all of it, in order per order, whatever is away meanwhile.

use crate::place::{Place, is_the_only_one, rule};
use crate::sample::{order, reading, shards};
use crate::world::{Journal, Mock, OwnBroker, Reader, database, place, prefix, reads, real_broker, settings, until};
use ordermill::config::KafkaSettings;
use ordermill::db::Write;
use ordermill::db::memory::{MemoryDatabase, Nodes};
use ordermill::domain::{Event, EventBody, Order, OrderStatus, Payment, PaymentStatus, Role, Topic, WriterId};
use ordermill::kafka::client::{BrokerState, Brokers};
use ordermill::kafka::headers;
use ordermill::kafka::publisher::{FeedEnd, Publisher, PublisherParts, feed};
use ordermill::kafka::read::{Record, read};
use ordermill::kafka::topics::{self, TopicNames};
use ordermill::saga;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5);

fn start(settings: &KafkaSettings, database: &MemoryDatabase, journal: &Journal, end: FeedEnd, state: &BrokerState) -> Publisher {
    start_beside(settings, database, journal, end, state, &[])
}

/// Beside roles of another team.
fn start_beside(
    settings: &KafkaSettings,
    database: &MemoryDatabase,
    journal: &Journal,
    end: FeedEnd,
    state: &BrokerState,
    external: &[Role],
) -> Publisher {
    let own = journal.writer;
    let parts = PublisherParts {
        settings: settings.clone(),
        reads: reads(database),
        submit: journal.submit(),
        own: Arc::new(move || own),
        hosts: Arc::new(|role, _| role != Role::Notification),
        external: external.iter().copied().collect(),
        state: state.clone(),
        tracer: ordermill::telemetry::traces::Tracer::default(),
    };
    Publisher::start(parts, end).unwrap()
}

/// What one order has to say after it was placed, on two topics.
fn told(order: &Arc<Order>) -> Vec<Write> {
    let payment = Payment::of(order, 1, PaymentStatus::Charged, order.created_at);
    let event = payment.answer(order.shard, order.correlation);
    let save = |body: EventBody| Write::Save {
        order: order.clone(),
        status: OrderStatus::Confirmed,
        open: true,
        record: saga::step::placed(order),
        events: vec![Event::of(order, order.created_at, body)],
        letters: Vec::new(),
        closings: Vec::new(),
        at: order.created_at,
    };
    let paid =
        Write::SavePayment { payment, shard: order.shard, correlation: order.correlation, event, letters: Vec::new(), closing: None };
    vec![paid, save(EventBody::OrderConfirmed), save(EventBody::OrderShipped { carrier: None, tracking: None })]
}

async fn live(journal: &Journal, orders: std::ops::Range<u64>) {
    for n in orders {
        let order = order(n);
        journal.commit(vec![place(&order)]).await;
        journal.commit(told(&order)).await;
    }
}

/// Writers and numbers of each order's events on each topic.
type Told = HashMap<(Topic, Vec<u8>), Vec<(i64, i64)>>;

/// What came, in the order in which it first came.
fn first_occurrences(seen: &[Record]) -> Told {
    let mut all = Told::new();
    for record in seen {
        let number = |name| record.headers.text(name).unwrap().parse::<i64>().unwrap();
        let place = (number(headers::WRITER), number(headers::SEQ));
        let told = all.entry((record.topic, record.key.clone().unwrap())).or_default();
        if !told.contains(&place) {
            told.push(place);
        }
    }
    all
}

/// Every event of `orders` orders came, and each order's in its order; none on a partition that is not its own.
fn assert_whole(seen: &[Record], orders: u64) {
    let first = first_occurrences(seen);
    for n in 0..orders {
        let key = order(n).id.to_string().into_bytes();
        for (topic, count) in [(Topic::Order, 3), (Topic::Payment, 1)] {
            let told = first.get(&(topic, key.clone())).unwrap_or_else(|| panic!("nothing of order {n} on {}", topic.name()));
            assert_eq!((told.len(), told.is_sorted()), (count, true), "order {n} on {}: {told:?}", topic.name());
        }
    }
    for record in seen {
        let event = read(record, &reading()).unwrap();
        assert_eq!(i32::from(event.shard.0), record.partition);
    }
}

fn count(seen: &[Record]) -> usize {
    first_occurrences(seen).values().map(Vec::len).sum()
}

async fn published_seq(database: &MemoryDatabase, writer: WriterId) -> (i64, i64) {
    let rows = reads(database).writers().await.unwrap();
    let row = rows.iter().find(|row| row.writer == writer).unwrap();
    (row.published_seq, row.last_seq)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_comes_once_and_in_order_though_the_feed_is_too_small() {
    let mock = Mock::start();
    let settings = KafkaSettings { publish_feed: 8, publish_page: 50, publish_window: 100, ..settings(&mock.brokers) };
    let database = database(Nodes::One);
    let (feed_in, end) = feed(&settings);
    let journal = Journal::start(&database, Some(feed_in)).await;
    live(&journal, 0..50).await;
    let publisher = start(&settings, &database, &journal, end, &BrokerState::default());
    live(&journal, 50..300).await;
    let mut reader = Reader::of_topics(&settings);
    reader.until("all events", |seen| count(seen) == 1200);
    assert_whole(&reader.seen, 300);
    assert_eq!(reader.seen.len(), 1200, "each came once");
    assert!(reader.seen.iter().all(|record| record.headers.text(headers::LOCAL).is_none_or(|local| !local.contains("notification"))));
    until("the point is stored", async || {
        let (published, last) = published_seq(&database, journal.writer).await;
        published == last
    })
    .await;
    until("the lag is gone", async || publisher.published().lag == 0).await;
    publisher.stop(LIMIT).await;
    // The next one has nothing to say again.
    let (_feed, end) = feed(&settings);
    let next = start(&settings, &database, &journal, end, &BrokerState::default());
    journal.commit(vec![place(&order(900))]).await;
    reader.until("the new one", |seen| count(seen) == 1201);
    assert_eq!(reader.seen.len(), 1201);
    next.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_shards_events_follow_those_of_its_dead_owner() {
    let mock = Mock::start();
    let settings = settings(&mock.brokers);
    let database = database(Nodes::Many);
    let dead = Journal::start(&database, None).await;
    let all = || Write::TakeShards { roles: Role::ALL.to_vec(), shards: shards().all().collect() };
    dead.commit(vec![all()]).await;
    for n in 0..100 {
        dead.commit(vec![place(&order(n))]).await;
    }
    dead.end().await;
    let (feed_in, end) = feed(&settings);
    let journal = Journal::start(&database, Some(feed_in)).await;
    journal.commit(vec![all()]).await;
    for n in 0..100 {
        journal.commit(told(&order(n))).await;
    }
    let publisher = start(&settings, &database, &journal, end, &BrokerState::default());
    let mut reader = Reader::of_topics(&settings);
    reader.until("all events of both", |seen| count(seen) == 400);
    assert_whole(&reader.seen, 100);
    let dead_ones: Vec<&Record> = reader.seen.iter().filter(|record| record.headers.text(headers::WRITER) == Some("1")).collect();
    assert_eq!(dead_ones.len(), 100);
    assert!(dead_ones.iter().all(|record| record.headers.get(headers::LOCAL).is_none()), "nobody knows who still had them");
    until("both are stored", async || {
        let (first, second) = (published_seq(&database, dead.writer).await, published_seq(&database, journal.writer).await);
        first.0 == first.1 && second.0 == second.1
    })
    .await;
    publisher.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_shards_events_wait_until_another_node_has_published_those_before() {
    let mock = Mock::start();
    let settings = settings(&mock.brokers);
    let database = database(Nodes::Many);
    let all = || Write::TakeShards { roles: Role::ALL.to_vec(), shards: shards().all().collect() };
    let dead = Journal::start(&database, None).await;
    dead.commit(vec![all(), place(&order(1))]).await;
    dead.end().await;
    let survivor = Journal::start(&database, None).await;
    survivor.commit(vec![Write::ClaimLog { writer: dead.writer, lease_ms: 3_600_000 }]).await;
    let (feed_in, end) = feed(&settings);
    let journal = Journal::start(&database, Some(feed_in)).await;
    journal.commit(vec![all()]).await;
    journal.commit(told(&order(1))).await;
    let state = BrokerState::default();
    let publisher = start(&settings, &database, &journal, end, &state);
    until("it works", async || state.get() == Brokers::Up && publisher.published().lag > 0).await;
    let mut reader = Reader::of_topics(&settings);
    reader.read(Duration::from_millis(1_500));
    assert!(reader.seen.is_empty(), "it was told before its time: {:?}", reader.seen);
    let (_, last) = published_seq(&database, dead.writer).await;
    survivor.commit(vec![Write::Published { writer: dead.writer, seq: last }]).await;
    reader.until("now it is told", |seen| count(seen) == 3);
    publisher.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_again_says_so() {
    let mock = Mock::start();
    let settings = settings(&mock.brokers);
    let database = database(Nodes::One);
    let (feed_in, end) = feed(&settings);
    let journal = Journal::start(&database, Some(feed_in.clone())).await;
    let publisher = start(&settings, &database, &journal, end, &BrokerState::default());
    live(&journal, 0..1).await;
    let mut reader = Reader::of_topics(&settings);
    reader.until("all events", |seen| seen.len() == 4);
    until("the lag is gone", async || publisher.published().lag == 0).await;
    let created = reader.seen.iter().find(|record| record.headers.text(headers::SEQ) == Some("1")).unwrap().clone();
    // What a writer said that has ended since is not this publisher's to say again.
    let other = &reader.seen.iter().find(|record| record.topic == Topic::Payment).unwrap();
    feed_in.repeat(WriterId(99), read(other, &reading()).unwrap());
    feed_in.repeat(journal.writer, read(&created, &reading()).unwrap());
    reader.until("it is told again", |seen| seen.len() == 5);
    let again = &reader.seen[4];
    assert_eq!((&again.value, &again.key, again.headers.text(headers::REPEAT)), (&created.value, &created.key, Some("true")));
    assert_eq!(again.headers.get(headers::WRITER), None);
    publisher.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_with_too_few_partitions_are_told_with_the_way_out_and_hold_up_who_writes_there() {
    let settings = KafkaSettings { prefix: prefix(), ..settings(&real_broker()) };
    let state = BrokerState::default();
    topics::look(&settings, &BrokerState::default(), ordermill::domain::Shards::new(3).unwrap()).await.unwrap();
    let database = database(Nodes::One);
    let (feed_in, end) = feed(&settings);
    let journal = Journal::start(&database, Some(feed_in)).await;
    let publisher = start_beside(&settings, &database, &journal, end, &state, &[Role::Payment]);
    let told = || state.troubles().told();
    until("it is told of each topic", async || told().len() == 10).await;
    let says = |what: &str| told().iter().any(|one| one.contains(what));
    assert!(says("order-events: it has 3 partitions, but the store has 6 shards") && says("--alter --topic"), "{:?}", told());
    until("it is known that the brokers answer", async || state.get() == Brokers::Up).await;
    // Those that nobody here writes to hold nothing up.
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", settings.brokers.join(",")).create().unwrap();
    let names = TopicNames::of(&settings);
    for topic in [Topic::Order, Topic::Inventory, Topic::Notification] {
        let name = names.of_topic(topic);
        for made in admin.create_partitions(&[NewPartitions::new(&name, 6)], &AdminOptions::new()).await.unwrap() {
            made.unwrap();
        }
    }
    journal.commit(vec![place(&order(1))]).await;
    until("it goes on by itself", async || publisher.published().events == 1).await;
    until("the rest is still told", async || told().len() == 7).await;
    publisher.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_written_is_told_with_its_topic_and_little_is_said_twice_meanwhile() {
    let place = Place::new().await;
    let (settings, state) = (place.with_login(), BrokerState::default());
    let topic = place.names.of_topic(Topic::Payment);
    rule("deny", "topic", &topic, "WRITE");
    let (feed_in, end) = feed(&settings);
    let journal = Journal::start(&place.database, Some(feed_in)).await;
    let publisher = start(&settings, &place.database, &journal, end, &state);
    // A rule takes a moment to be known to the broker.
    let mut orders = 0;
    while state.troubles().told().is_empty() {
        live(&journal, orders..orders + 50).await;
        orders += 50;
        until("refused or published", async || !state.troubles().told().is_empty() || publisher.published().events >= 4 * orders).await;
    }
    let times = || {
        let told = state.troubles().told();
        let of = |one: &String| one.rsplit_once('(')?.1.strip_suffix(" times)")?.parse::<u32>().ok();
        told.iter().find_map(of).unwrap_or(0)
    };
    let events = 4 * usize::try_from(orders).unwrap();
    until("it was tried often", async || times() > 10).await;
    is_the_only_one(&state, &["payment-events partition", "events are not taken", "WRITE"]).await;
    rule("allow", "topic", &topic, "WRITE");
    let mut reader = Reader::of_topics(&place.settings);
    reader.until("all events", |seen| count(seen) == events);
    assert_whole(&reader.seen, orders);
    until("it is over", async || state.troubles().told().is_empty() && publisher.published().lag == 0).await;
    reader.read(Duration::from_millis(300));
    let more = reader.seen.len() - events;
    assert!(more < 300, "{more} events were said again");
    publisher.stop(LIMIT).await;
}

/// Down at the start, back, down under load, back; and the publisher is another one in between.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_the_broker_is_away() {
    let (broker, address) = OwnBroker::start("publishing");
    broker.halt();
    let settings = KafkaSettings { publish_window: 200, publish_feed: 16, ..settings(&address) };
    let (database, state) = (database(Nodes::One), BrokerState::default());
    let (feed_in, end) = feed(&settings);
    let journal = Journal::start(&database, Some(feed_in)).await;
    let publisher = start(&settings, &database, &journal, end, &state);
    live(&journal, 0..200).await;
    until("it is known to be away", async || matches!(state.get(), Brokers::Away(_))).await;
    broker.resume();
    until("something is published", async || publisher.published().events > 100).await;
    assert_eq!(state.get(), Brokers::Up);
    broker.halt();
    live(&journal, 200..400).await;
    publisher.stop(Duration::from_millis(200)).await;
    live(&journal, 400..500).await;
    let (_feed, end) = feed(&settings);
    let next = start(&settings, &database, &journal, end, &state);
    broker.resume();
    live(&journal, 500..600).await;
    let mut reader = Reader::of_topics(&settings);
    reader.until("all events", |seen| count(seen) == 2400);
    assert_whole(&reader.seen, 600);
    until("the point is stored", async || {
        let (published, last) = published_seq(&database, journal.writer).await;
        published == last
    })
    .await;
    next.stop(LIMIT).await;
}
