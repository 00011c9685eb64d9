//! Topics of a test's own on the real broker, what a login may do there, and what a node tells of it.

use crate::listener::{FakeRoles, Node};
use crate::sample::shards;
use crate::world::{Journal, database, prefix, real_broker, settings, until};
use ordermill::config::KafkaSettings;
use ordermill::db::memory::{MemoryDatabase, Nodes};
use ordermill::db::{DeadLetterFilter, Reads as _};
use ordermill::domain::{DeadLetter, DeadLetterState, Role, Topic};
use ordermill::kafka::client::BrokerState;
use ordermill::kafka::topics::{self, TopicNames};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Topics of a test's own, and a database.
pub(crate) struct Place {
    pub(crate) settings: KafkaSettings,
    pub(crate) names: TopicNames,
    pub(crate) database: MemoryDatabase,
    pub(crate) journal: Journal,
}

impl Place {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// Without topics.
    pub(crate) async fn bare() -> Self {
        let settings =
            KafkaSettings { prefix: prefix(), statistics_ms: 50, probe_ms: 100, request_timeout_ms: 3_000, ..settings(&real_broker()) };
        Self::empty(settings).await
    }

    /// Where these topics were made before, with other numbers of partitions.
    pub(crate) async fn with(made: &[(Topic, i32)]) -> Self {
        let place = Self::bare().await;
        for (topic, count) in made {
            let name = place.names.of_topic(*topic);
            let new = NewTopic::new(&name, *count, TopicReplication::Fixed(1));
            for made in place.admin().create_topics(&[new], &AdminOptions::new()).await.unwrap() {
                made.unwrap();
            }
        }
        topics::look(&place.settings, &BrokerState::default(), shards()).await.unwrap();
        place
    }

    async fn empty(settings: KafkaSettings) -> Self {
        let database = database(Nodes::One);
        let journal = Journal::start(&database, None).await;
        Self { names: TopicNames::of(&settings), settings, database, journal }
    }

    /// As many partitions as that for a topic.
    pub(crate) async fn add_partitions(&self, topic: Topic, count: usize) {
        let name = self.names.of_topic(topic);
        for made in self.admin().create_partitions(&[NewPartitions::new(&name, count)], &AdminOptions::new()).await.unwrap() {
            made.unwrap();
        }
    }

    pub(crate) fn fake(&self) -> Arc<FakeRoles> {
        FakeRoles::new(self.journal.clone())
    }

    pub(crate) fn node(&self, fake: Arc<FakeRoles>, roles: &[Role]) -> Node {
        Node::start(&self.settings, &self.database, fake, roles)
    }

    /// As the login that rules of access are made for.
    pub(crate) fn with_login(&self) -> KafkaSettings {
        let address = std::env::var("ORDERMILL_TEST_KAFKA_LOGIN").expect("eval \"$(scripts/services start kafka)\" sets it");
        let mut settings = KafkaSettings { brokers: vec![address], ..self.settings.clone() };
        let properties = [
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "mill"),
            ("sasl.password", "mill"),
            ("topic.metadata.refresh.interval.ms", "500"),
        ];
        settings.properties.0 = properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        settings
    }

    pub(crate) async fn letters(&self, state: DeadLetterState) -> Vec<DeadLetter> {
        self.database.letters(DeadLetterFilter { state: Some(state), limit: 1000, ..DeadLetterFilter::default() }).await.unwrap().rows
    }

    pub(crate) fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", self.settings.brokers.join(",")).create().unwrap()
    }
}

pub(crate) fn rule(what: &str, kind: &str, name: &str, operation: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka");
    let done = tokio::task::block_in_place(|| {
        Command::new(folder.join("recipes/run")).arg(folder.join("acl.py")).args([&real_broker(), what, kind, name, operation]).output()
    });
    let done = done.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

pub(crate) fn is_told(node: &Node) -> bool {
    !node.state.troubles().told().is_empty()
}

/// Tries until there is a trouble.
pub(crate) async fn until_told(node: &Node, mut provoke: impl AsyncFnMut()) {
    for _ in 0..1_000 {
        if is_told(node) {
            return;
        }
        provoke().await;
    }
}

/// One trouble is told, and all that of it.
pub(crate) async fn told(node: &Node, what: &[&str]) {
    is_the_only_one(&node.state, what).await;
}

pub(crate) async fn is_the_only_one(state: &BrokerState, what: &[&str]) {
    until(&format!("{what:?} is told"), async || {
        let told = state.troubles().told();
        told.len() == 1 && what.iter().all(|part| told[0].contains(part))
    })
    .await;
}

pub(crate) async fn over(node: &Node) {
    until("the trouble is over", async || node.state.troubles().told().is_empty()).await;
}
