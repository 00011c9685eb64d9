//! Writes what the consumer writes to Kafka: copies of dead letters, and messages that came on the wrong partition.

use super::parts::CopyWriter;
use crate::config::KafkaSettings;
use crate::domain::{DeadLetter, OrderId, Role, Shards};
use crate::kafka::client::{self, BrokerState, ClientCallbacks};
use crate::kafka::headers::Headers;
use crate::kafka::message::Record;
use crate::kafka::topics::TopicNames;
use crate::kafka::troubles::{Trouble, TroubleKind};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The header that names the letter on its copy.
const LETTER: &str = "ordermill_letter";

/// On what was published again: where it came from, as `PARTITION/OFFSET`.
pub(super) const MOVED_FROM: &str = "ordermill_moved_from";

/// The producer of the consumer.
#[derive(Clone)]
pub(super) struct Copies {
    client: FutureProducer<ClientCallbacks>,
    names: TopicNames,
    state: BrokerState,
    shards: Shards,
    who: &'static str,
    pause: Duration,
    limit: Duration,
}

/// Where a record goes.
struct To<'a> {
    topic: &'a str,
    partition: i32,
    key: Option<&'a [u8]>,
}

impl Copies {
    pub(super) fn new(settings: &KafkaSettings, state: &BrokerState, shards: Shards, role: Role) -> Result<Self, KafkaError> {
        let mut config = client::config(settings, "copies")?;
        config.set("acks", "all");
        // Each is awaited and tried again here.
        config.set("message.timeout.ms", settings.request_timeout_ms.to_string());
        client::compress(&mut config, settings);
        let client = config.create_with_context(ClientCallbacks(state.clone()))?;
        let (pause, limit) = (Duration::from_millis(settings.pause_ms), Duration::from_millis(settings.request_timeout_ms));
        Ok(Self { client, names: TopicNames::of(settings), state: state.clone(), shards, who: role.name(), pause, limit })
    }

    /// Until the brokers have it, or will never take it, or it is another node's business.
    async fn publish_until_ok(
        &self,
        kind: TroubleKind,
        to: To<'_>,
        value: Option<&[u8]>,
        headers: &OwnedHeaders,
        gone: &AtomicBool,
    ) -> bool {
        loop {
            let mut message = FutureRecord::to(to.topic).partition(to.partition).headers(headers.clone());
            message.key = to.key;
            message.payload = value;
            match self.client.send(message, self.pause).await {
                Ok(_) => {
                    self.state.troubles().clear(kind, to.topic, self.who);
                    return true;
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize), _)) => {
                    tracing::warn!(kafka.topic = to.topic, "a message is too long to be copied; its dead letter tells of it");
                    return true;
                }
                Err(_) if gone.load(Ordering::Acquire) => {
                    // Who else waits for it tells it again.
                    self.state.troubles().clear(kind, to.topic, self.who);
                    return false;
                }
                Err((error, _)) => {
                    self.refused(kind, &to, &error);
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownPartition) {
                        self.learn(to.topic).await;
                    }
                    tokio::time::sleep(self.pause).await;
                }
            }
        }
    }

    /// Has the client learn of partitions that were added; by itself it asks every few minutes.
    async fn learn(&self, topic: &str) {
        let (client, topic, limit) = (self.client.clone(), topic.to_owned(), self.limit);
        let asking = tokio::task::spawn_blocking(move || client.client().fetch_metadata(Some(&topic), limit).map(drop));
        if let Ok(Err(error)) = asking.await {
            tracing::debug!(error = %error, "the brokers did not say which partitions there are");
        }
    }

    fn refused(&self, kind: TroubleKind, to: &To<'_>, error: &KafkaError) {
        let code = error.rdkafka_error_code();
        if code.is_some_and(client::is_absence) {
            return tracing::debug!(error = %error, kafka.topic = to.topic, "a copy was not taken; trying again");
        }
        let what =
            if kind == TroubleKind::Copy { "dead letters are not copied there" } else { "messages cannot be put on their partition" };
        self.state.troubles().raise(Trouble {
            kind,
            topic: to.topic.to_owned(),
            partition: Some(to.partition),
            who: self.who,
            cause: code.map_or_else(|| format!("{what}: {error}"), |code| format!("{what}: {code}")),
            remedy: client::remedy(code).to_owned(),
        });
    }
}

impl CopyWriter for Copies {
    fn dead_letter<'a>(&'a self, record: &'a Record, letter: &'a DeadLetter, group: &'a str, gone: &'a AtomicBool) -> BoxFuture<'a, bool> {
        async move {
            let topic = self.names.of_dead_letters(record.topic);
            let headers = headers_of(record, letter, &self.names.of_topic(record.topic), group);
            // The message's own topic may have more partitions.
            let partition = record.partition % i32::from(self.shards.count()).max(1);
            let to = To { topic: &topic, partition, key: record.key.as_deref() };
            self.publish_until_ok(TroubleKind::Copy, to, record.value.as_deref(), &headers, gone).await
        }
        .boxed()
    }

    fn to_its_partition<'a>(&'a self, record: &'a Record, order: OrderId, gone: &'a AtomicBool) -> BoxFuture<'a, ()> {
        async move {
            let topic = self.names.of_topic(record.topic);
            let key = order.to_string();
            let from = format!("{}/{}", record.partition, record.offset);
            let headers = owned(&record.headers).insert(Header { key: MOVED_FROM, value: Some(from.as_bytes()) });
            let to = To { topic: &topic, partition: i32::from(self.shards.of(order).0), key: Some(key.as_bytes()) };
            self.publish_until_ok(TroubleKind::Republish, to, record.value.as_deref(), &headers, gone).await;
            metrics::counter!("ordermill_kafka_moved_total", "topic" => record.topic.name()).increment(1);
        }
        .boxed()
    }
}

/// The headers of a letter's copy: those of the message, and what Spring's tools expect of a dead letter.
fn headers_of(record: &Record, letter: &DeadLetter, topic: &str, group: &str) -> OwnedHeaders {
    let mut all = owned(&record.headers);
    let mut add = |name: &str, value: &[u8]| {
        all = std::mem::take(&mut all).insert(Header { key: name, value: Some(value) });
    };
    add("kafka_dlt-original-topic", topic.as_bytes());
    add("kafka_dlt-original-partition", &record.partition.to_be_bytes());
    add("kafka_dlt-original-offset", &record.offset.to_be_bytes());
    if let Some(ms) = record.timestamp_ms {
        add("kafka_dlt-original-timestamp", &ms.to_be_bytes());
        add("kafka_dlt-original-timestamp-type", record.dated.name().as_bytes());
    }
    add("kafka_dlt-original-consumer-group", group.as_bytes());
    let class = format!("ordermill.{}", letter.cause);
    add("kafka_dlt-exception-fqcn", class.as_bytes());
    add("kafka_dlt-exception-cause-fqcn", class.as_bytes());
    add("kafka_dlt-exception-message", letter.detail.as_str().as_bytes());
    add("kafka_dlt-exception-stacktrace", letter.detail.as_str().as_bytes());
    add("retry_topic-attempts", &letter.tries.cast_signed().to_be_bytes());
    add(LETTER, letter.id.0.to_string().as_bytes());
    all
}

/// A record's headers for rdkafka.
fn owned(headers: &Headers) -> OwnedHeaders {
    headers.0.iter().fold(OwnedHeaders::new_with_capacity(headers.0.len() + 12), |all, (name, value)| {
        all.insert(Header { key: name, value: value.as_deref() })
    })
}
