//! Writes what the consumer writes to Kafka: copies of dead letters, and messages that came on the wrong partition.

use super::letters;
use crate::config::KafkaSettings;
use crate::domain::{DeadLetter, OrderId, Shards};
use crate::kafka::client::{self, BrokerState, Ears};
use crate::kafka::read::Record;
use crate::kafka::topics::TopicNames;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::time::Duration;

/// The producer of the consumer.
#[derive(Clone)]
pub(super) struct Copies {
    client: FutureProducer<Ears>,
    names: TopicNames,
    shards: Shards,
    pause: Duration,
}

impl Copies {
    pub(super) fn new(settings: &KafkaSettings, state: &BrokerState, shards: Shards) -> Result<Self, KafkaError> {
        let mut config = client::config(settings, "copies")?;
        config.set("acks", "all");
        // Each is awaited and tried again here.
        config.set("message.timeout.ms", settings.request_timeout_ms.to_string());
        config.set("compression.type", settings.compression.name());
        let client = config.create_with_context(Ears(state.clone()))?;
        Ok(Self { client, names: TopicNames::of(settings), shards, pause: Duration::from_millis(settings.pause_ms) })
    }

    /// Puts a letter's copy on the dead letters' topic. One that the brokers refuse is logged: the letter itself is in the database.
    pub(super) async fn dead_letter(&self, record: &Record, letter: &DeadLetter, group: &str) {
        let topic = self.names.of_dead_letters(record.topic);
        let headers = letters::headers(record, letter, &self.names.of_topic(record.topic), group);
        self.insist(&topic, record.partition, record.key.as_deref(), record.value.as_deref(), &headers).await;
    }

    /// Publishes a message again where its order belongs.
    pub(super) async fn to_its_partition(&self, record: &Record, order: OrderId) {
        let topic = self.names.of_topic(record.topic);
        let (partition, key) = (i32::from(self.shards.of(order).0), order.to_string());
        self.insist(&topic, partition, Some(key.as_bytes()), record.value.as_deref(), &letters::owned(&record.headers)).await;
    }

    /// Until the brokers have it, or will never take it.
    async fn insist(&self, topic: &str, partition: i32, key: Option<&[u8]>, value: Option<&[u8]>, headers: &OwnedHeaders) {
        loop {
            let mut message = FutureRecord::to(topic).partition(partition).headers(headers.clone());
            message.key = key;
            message.payload = value;
            match self.client.send(message, self.pause).await {
                Ok(_) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize), _)) => {
                    tracing::warn!(kafka.topic = topic, "a message is too long to be copied; its dead letter tells of it");
                    return;
                }
                Err((error, _)) => {
                    tracing::debug!(error = %error, kafka.topic = topic, "a copy was not taken; trying again");
                    tokio::time::sleep(self.pause).await;
                }
            }
        }
    }
}
