//! Brokers, a journal on the memory store, and a reader of topics.

use crate::sample::shards;
use crate::services::Services;
use ordermill::actors::{Fate, Logged, Submit};
use ordermill::config::KafkaSettings;
use ordermill::db::memory::{MemoryDatabase, MemoryStore, Nodes};
use ordermill::db::{Batch, NewWriter, Outcome, Reads, Store, Write, WriterState};
use ordermill::domain::{Order, Shards, Timestamp, Topic, WriterId};
use ordermill::kafka::headers::Headers as Named;
use ordermill::kafka::publisher::Feed;
use ordermill::kafka::read::{Dated, Record};
use ordermill::kafka::topics::TopicNames;
use ordermill::saga;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::mocking::{MockCluster, MockCoordinator};
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaApiKey, RDKafkaErrorCode, RDKafkaRespErr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Longest wait for anything that must come.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// The real broker of `scripts/services`.
pub(crate) fn real_broker() -> String {
    std::env::var("ORDERMILL_TEST_KAFKA")
        .unwrap_or_else(|_| panic!("ORDERMILL_TEST_KAFKA is not set: eval \"$(scripts/services start)\" first, or use scripts/test"))
}

/// A broker of a test's own, which it may halt.
pub(crate) struct OwnBroker(Services);

impl OwnBroker {
    pub(crate) fn start(name: &'static str) -> (Self, String) {
        let (services, address) = Services::start(name, "kafka");
        (Self(services), address)
    }

    pub(crate) fn halt(&self) {
        self.0.run(&["halt", "kafka"]);
    }

    pub(crate) fn resume(&self) {
        self.0.run(&["resume", "kafka"]);
    }
}

/// librdkafka's broker in this process, with all topics.
pub(crate) struct Mock {
    cluster: MockCluster<'static, DefaultProducerContext>,
    pub(crate) brokers: String,
}

impl Mock {
    pub(crate) fn start() -> Self {
        Self::of(MockCluster::new(1).unwrap())
    }

    /// Of two brokers, of which one is the group's coordinator and nothing else.
    pub(crate) fn with_coordinator_apart(group: &str) -> Self {
        let mock = Self::of(MockCluster::new(2).unwrap());
        mock.cluster.coordinator(MockCoordinator::Group(group.to_owned()), 2).unwrap();
        let names = TopicNames::of(&settings(&mock.brokers));
        for topic in Topic::ALL {
            for shard in shards().all() {
                mock.cluster.partition_leader(&names.of_topic(topic), shard.0.into(), Some(1)).unwrap();
            }
        }
        mock
    }

    /// From now on the coordinator answers nobody.
    pub(crate) fn silence_coordinator(&self) {
        self.cluster.broker_round_trip_time(2, Duration::from_secs(3_600)).unwrap();
    }

    fn of(cluster: MockCluster<'static, DefaultProducerContext>) -> Self {
        let brokers = cluster.bootstrap_servers();
        let names = TopicNames::of(&settings(&brokers));
        for topic in Topic::ALL {
            for name in [names.of_topic(topic), names.of_dead_letters(topic)] {
                cluster.create_topic(&name, shards().count().into(), 1).unwrap();
            }
        }
        Self { cluster, brokers }
    }

    /// Requests of that kind are put off again and again, as by a broker that has just started, until [`Self::answer`].
    pub(crate) fn put_off(&self, requests: RDKafkaApiKey) {
        self.cluster.request_errors(requests, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS; 10_000]);
    }

    pub(crate) fn answer(&self, requests: RDKafkaApiKey) {
        self.cluster.clear_request_errors(requests);
    }
}

/// Lets the topics, not those of dead letters, take messages of up to 20 MB.
pub(crate) async fn allow_long_messages(settings: &KafkaSettings) {
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", settings.brokers.join(",")).create().unwrap();
    let names = TopicNames::of(settings);
    let topics = Topic::ALL.map(|topic| names.of_topic(topic));
    let changes: Vec<AlterConfig<'_>> =
        topics.iter().map(|topic| AlterConfig::new(ResourceSpecifier::Topic(topic)).set("max.message.bytes", "20000000")).collect();
    for changed in admin.alter_configs(&changes, &AdminOptions::new()).await.unwrap() {
        changed.unwrap();
    }
}

/// A prefix of its own for each test on the shared broker.
pub(crate) fn prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    format!("t{}-{nanos}-", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Fast settings.
pub(crate) fn settings(brokers: &str) -> KafkaSettings {
    KafkaSettings {
        brokers: vec![brokers.to_owned()],
        linger_ms: 2,
        publish_mark_ms: 20,
        publish_recheck_ms: 50,
        backoff_first_ms: 50,
        backoff_most_ms: 200,
        retry_first_ms: 10,
        pause_ms: 20,
        commit_ms: 20,
        ..KafkaSettings::default()
    }
}

pub(crate) fn database(nodes: Nodes) -> MemoryDatabase {
    MemoryDatabase::new(shards(), nodes, Arc::new(|| Timestamp(1_760_000_000_000_000)))
}

pub(crate) fn reads(database: &MemoryDatabase) -> Arc<dyn Reads> {
    Arc::new(database.clone())
}

/// A writer of a database that tells a publisher what it commits.
#[derive(Clone)]
pub(crate) struct Journal {
    inner: Arc<Mutex<(MemoryStore, WriterState)>>,
    feed: Option<Feed>,
    pub(crate) writer: WriterId,
}

impl Journal {
    pub(crate) async fn start(database: &MemoryDatabase, feed: Option<Feed>) -> Self {
        let mut store = database.store();
        let state = store.start_writer(&NewWriter::of_all_roles("node", "url", 60_000)).await.unwrap();
        Self { inner: Arc::new(Mutex::new((store, state))), feed, writer: state.writer }
    }

    pub(crate) async fn commit(&self, writes: Vec<Write>) -> Vec<Outcome> {
        let mut inner = self.inner.lock().await;
        let (store, state) = &mut *inner;
        let batch = Batch { writer: state.writer, commits: state.commits, last_seq: state.last_seq, writes };
        let committed = store.commit(&batch).await.unwrap();
        let logged = Logged { writer: state.writer, after: state.last_seq, to: committed.last_seq, events: Arc::new(committed.events) };
        state.commits += 1;
        state.last_seq = committed.last_seq;
        if let Some(feed) = self.feed.as_ref().filter(|_| logged.to > logged.after) {
            feed.push(logged);
        }
        committed.outcomes
    }

    pub(crate) async fn end(&self) {
        self.inner.lock().await.0.end_writer(self.writer).await.unwrap();
    }

    pub(crate) fn submit(&self) -> Submit {
        let journal = self.clone();
        Submit::new(move |write| {
            let journal = journal.clone();
            Box::pin(async move { Fate::Stored(journal.commit(vec![write]).await.remove(0)) })
        })
    }
}

pub(crate) fn place(order: &Arc<Order>) -> Write {
    Write::Place { order: order.clone(), record: saga::step::placed(order), key: None }
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !condition().await {
        assert!(Instant::now() < end, "it never came true: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Reads topics from their beginning.
pub(crate) struct Reader {
    client: BaseConsumer,
    topics: Vec<(String, Topic)>,
    /// All that was read.
    pub(crate) seen: Vec<Record>,
}

impl Reader {
    pub(crate) fn of_topics(settings: &KafkaSettings) -> Self {
        let names = TopicNames::of(settings);
        Self::start(settings, Topic::ALL.map(|topic| (names.of_topic(topic), topic)).into(), shards())
    }

    pub(crate) fn with_shards(settings: &KafkaSettings, shards: Shards) -> Self {
        let names = TopicNames::of(settings);
        Self::start(settings, Topic::ALL.map(|topic| (names.of_topic(topic), topic)).into(), shards)
    }

    pub(crate) fn of_dead_letters(settings: &KafkaSettings) -> Self {
        let names = TopicNames::of(settings);
        Self::start(settings, Topic::ALL.map(|topic| (names.of_dead_letters(topic), topic)).into(), shards())
    }

    fn start(settings: &KafkaSettings, topics: Vec<(String, Topic)>, shards: Shards) -> Self {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", settings.brokers.join(","))
            .set("group.id", "reader")
            .set("auto.offset.reset", "earliest")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        for (name, _) in &topics {
            for shard in shards.all() {
                list.add_partition_offset(name, shard.0.into(), Offset::Beginning).unwrap();
            }
        }
        client.assign(&list).unwrap();
        Self { client, topics, seen: Vec::new() }
    }

    /// Reads until `enough` of what was read.
    pub(crate) fn until(&mut self, what: &str, mut enough: impl FnMut(&[Record]) -> bool) {
        let end = Instant::now() + LIMIT;
        while !enough(&self.seen) {
            assert!(Instant::now() < end, "it never came: {what}; {} messages were read", self.seen.len());
            self.read(Duration::from_millis(100));
        }
    }

    /// Reads what comes within `time`, at least one message if there is one.
    pub(crate) fn read(&mut self, time: Duration) {
        let message = tokio::task::block_in_place(|| self.client.poll(time));
        if let Some(Ok(message)) = message {
            let mut headers = Named::default();
            for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
                headers.0.push((header.key.to_owned(), header.value.map(<[u8]>::to_vec)));
            }
            let topic = self.topics.iter().find(|(name, _)| name == message.topic()).unwrap().1;
            self.seen.push(Record {
                topic,
                partition: message.partition(),
                offset: message.offset(),
                timestamp_ms: message.timestamp().to_millis(),
                dated: Dated::default(),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
                headers,
            });
        }
    }
}

/// Another team's producer.
pub(crate) struct Teller {
    client: BaseProducer<Refusal>,
    names: TopicNames,
}

/// Why the broker refused the last record, if it did.
#[derive(Default)]
struct Refusal(std::sync::Mutex<Option<KafkaError>>);

impl ClientContext for Refusal {}

impl ProducerContext for Refusal {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        *self.0.lock().unwrap() = result.as_ref().err().map(|(error, _)| error.clone());
    }
}

impl Teller {
    pub(crate) fn new(settings: &KafkaSettings) -> Self {
        let client = ClientConfig::new()
            .set("bootstrap.servers", settings.brokers.join(","))
            .set("message.max.bytes", "20000000")
            .set("linger.ms", "0")
            .create_with_context(Refusal::default())
            .unwrap();
        Self { client, names: TopicNames::of(settings) }
    }

    /// Writes the record where it says, and waits until the broker has it. A topic may learn only now how long its messages may be.
    pub(crate) fn tell(&self, record: &Record) {
        let end = Instant::now() + LIMIT;
        while let Some(refusal) = self.try_to_tell(record) {
            let known_late = refusal.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge);
            assert!(known_late && Instant::now() < end, "the broker refuses a record: {refusal}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn try_to_tell(&self, record: &Record) -> Option<KafkaError> {
        let topic = self.names.of_topic(record.topic);
        let headers = record
            .headers
            .0
            .iter()
            .fold(OwnedHeaders::new(), |all, (name, value)| all.insert(Header { key: name, value: value.as_deref() }));
        let mut message: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&topic).partition(record.partition).headers(headers);
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        self.client.send(message).map_err(|(error, _)| error).unwrap();
        tokio::task::block_in_place(|| self.client.flush(LIMIT)).unwrap();
        self.client.context().0.lock().unwrap().take()
    }
}
