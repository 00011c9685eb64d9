//! A node's side of Kafka: what is made before the actors, so that their first commit is heard of, and what runs beside them.

use crate::actors::{Counter, DeadLetterAgain, NodeHandle, Repeats};
use crate::config::{KafkaSettings, Settings};
use crate::db::{Reads, StoreError};
use crate::domain::{Role, Roles, Timestamp, WriterId};
use crate::http::{Component, Health};
use crate::kafka::client::{self, BrokerState, Brokers};
use crate::kafka::consumer::{Consumer, ConsumerParts, NodeInbound, ReprocessError};
use crate::kafka::probe::Probe;
use crate::kafka::publisher::{self, Feed, FeedEnd, Publisher, PublisherParts};
use crate::kafka::told;
use futures_util::FutureExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Why there is no Kafka though one is set.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// A setting that librdkafka does not take.
    #[error("{0}")]
    Settings(String),
    /// A thread.
    #[error("no thread")]
    Thread(#[source] std::io::Error),
}

/// The ends of the feed, before there are actors.
pub(super) struct EdgeParts {
    feed: Feed,
    end: FeedEnd,
}

impl EdgeParts {
    /// None where no brokers are set.
    pub(super) fn build(settings: &Settings) -> Result<Option<Self>, EdgeError> {
        if !settings.kafka.is_on() {
            return Ok(None);
        }
        for config in [client::config(&settings.kafka, "check"), client::producer_config(&settings.kafka, "check")] {
            config.map_err(|error| EdgeError::Settings(error.to_string()))?;
        }
        let (feed, end) = publisher::feed(&settings.kafka);
        Ok(Some(Self { feed, end }))
    }

    pub(super) fn publish(&self) -> Counter {
        let feed = self.feed.clone();
        Arc::new(move |logged| feed.push(logged))
    }

    pub(super) fn repeats(&self) -> Repeats {
        let feed = self.feed.clone();
        Arc::new(move |writer, event| feed.repeat(writer, event))
    }

    /// Starts publisher and consumer.
    pub(super) fn start(self, settings: &Settings, handle: &NodeHandle, roles: &[Role]) -> Result<Edge, EdgeError> {
        let state = BrokerState::default();
        let (writer, owner) = (handle.clone(), handle.clone());
        let parts = PublisherParts {
            settings: settings.kafka.clone(),
            reads: handle.reads().clone(),
            submit: handle.submit(),
            own: Arc::new(move || writer.writer()),
            hosts: Arc::new(move |role, shard| owner.owns(role, shard)),
            external: settings.cluster.external(),
            state: state.clone(),
            tracer: handle.tracer().clone(),
        };
        let publisher = Publisher::start(parts, self.end).map_err(EdgeError::Thread)?;
        let now: Arc<dyn Fn() -> Timestamp + Send + Sync> = Arc::new(|| chrono::Utc::now().into());
        let limit = Duration::from_millis(settings.order.request_limit_ms);
        let parts = ConsumerParts {
            settings: settings.kafka.clone(),
            reads: handle.reads().clone(),
            inbound: Arc::new(NodeInbound { handle: handle.clone(), limit, now: now.clone() }),
            role_shards: handle.role_shards(),
            external: settings.cluster.external(),
            state: state.clone(),
            now,
            tracer: handle.tracer().clone(),
        };
        let consumer = Arc::new(Consumer::start(&parts, roles).map_err(EdgeError::Thread)?);
        handle.takes_letters_again(again(&consumer));
        let probe = Probe::new(&settings.kafka, &state).map_err(|error| EdgeError::Settings(error.to_string()))?;
        let watch = actix_web::rt::spawn(watch(probe, handle.clone(), roles.iter().copied().collect(), settings.kafka.clone()));
        Ok(Edge { publisher, consumer, state, watch })
    }
}

/// Processes the message of a dead letter again.
fn again(consumer: &Arc<Consumer>) -> DeadLetterAgain {
    let consumer = consumer.clone();
    Arc::new(move |letter| {
        let consumer = consumer.clone();
        async move {
            consumer.reprocess(letter).await.map_err(|error| match error {
                ReprocessError::Failed(why) | ReprocessError::Unreadable(why) => Some(why),
                ReprocessError::Away(_) => None,
            })
        }
        .boxed()
    })
}

/// Troubles that /health tells in full.
const MOST_TOLD: usize = 5;

/// What the topics have told in the last hours and no log has: lost in a failover after it was published.
///
/// # Errors
/// The brokers do not answer, or the database cannot be read.
pub async fn told_and_lost(settings: &Settings, reads: &dyn Reads, hours: u32) -> Result<Vec<String>, ToldError> {
    let kept_ms = i64::try_from(settings.store.event_retention_ms).unwrap_or(i64::MAX);
    // Of older events the writer may have been deleted.
    let since_ms = chrono::Utc::now().timestamp_millis() - kept_ms.min(i64::from(hours) * 3_600_000);
    let ends = ends(reads).await?;
    let is_stored = move |(writer, seq)| ends.get(&writer).is_some_and(|end| seq <= *end);
    let (kafka, external) = (settings.kafka.clone(), settings.cluster.external());
    let reading = tokio::task::spawn_blocking(move || told::not_stored(&kafka, external, since_ms, is_stored));
    let mut found = reading.await.map_err(|error| StoreError::Unavailable(error.to_string()))??;
    // What was stored while the topics were read is there now.
    let ends = self::ends(reads).await?;
    found.retain(|told| ends.get(&told.place.0).is_none_or(|end| told.place.1 > *end));
    Ok(found.iter().map(ToString::to_string).collect())
}

async fn ends(reads: &dyn Reads) -> Result<BTreeMap<WriterId, i64>, StoreError> {
    Ok(reads.writers().await?.into_iter().map(|row| (row.writer, row.last_seq)).collect())
}

/// Why the topics could not be compared with the logs.
#[derive(Debug, thiserror::Error)]
pub enum ToldError {
    /// The database.
    #[error("database")]
    Store(#[from] StoreError),
    /// The brokers.
    #[error("kafka")]
    Kafka(#[from] told::TopicError),
}

/// Publisher and consumer of a node.
pub(super) struct Edge {
    publisher: Publisher,
    consumer: Arc<Consumer>,
    state: BrokerState,
    watch: tokio::task::JoinHandle<()>,
}

/// Looks after the brokers. A node that hosts every role goes on without them; one that does not could only hold its orders up, so
/// after a grace it leaves its shards to others until the brokers answer again.
async fn watch(probe: Probe, handle: NodeHandle, roles: Roles, settings: KafkaSettings) {
    let needs_others = [Role::Order, Role::Inventory, Role::Payment, Role::Notification].into_iter().any(|role| !roles.has(role));
    let mut answered = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(settings.probe_ms)).await;
        if probe.look().await {
            answered = Instant::now();
            handle.host(roles);
        } else if needs_others && answered.elapsed() >= Duration::from_millis(settings.grace_ms) {
            handle.host(Roles::default());
        }
    }
}

impl Edge {
    /// The state of the brokers, and how far the node is behind them.
    pub(super) fn component(&self) -> Component {
        let (health, trouble) = match self.state.get() {
            Brokers::Up => (Health::Up, None),
            // The node goes on without them, and tells them later.
            Brokers::Unknown => (Health::Degraded, Some("the brokers have not answered yet".to_owned())),
            Brokers::Away(why) => (Health::Degraded, Some(why)),
            Brokers::Refused(why) => (Health::Down, Some(why)),
        };
        let troubles = self.state.troubles().told();
        let health = if matches!(health, Health::Up) && !troubles.is_empty() { Health::Degraded } else { health };
        let lag = self.publisher.published().lag;
        let behind = (lag > 0).then(|| format!("{lag} events wait to be published"));
        let more = troubles.len().saturating_sub(MOST_TOLD);
        let more = (more > 0).then(|| format!("and {more} more troubles"));
        let all: Vec<String> = trouble.into_iter().chain(troubles.into_iter().take(MOST_TOLD)).chain(more).chain(behind).collect();
        let detail = (!all.is_empty()).then(|| all.join("; "));
        Component { name: "kafka".to_owned(), health, detail }
    }

    /// Writes the numbers of the moment into the metrics.
    pub(super) fn publish(&self) {
        self.state.troubles().publish();
        self.publisher.publish();
        self.consumer.publish();
    }

    /// Ends both, at most `limit`: nothing more is heard, and what was said is awaited.
    pub(super) async fn stop(self: Arc<Self>, limit: Duration) {
        self.watch.abort();
        self.consumer.stop(limit / 2).await;
        self.publisher.stop(limit / 2).await;
    }
}
