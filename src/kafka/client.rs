//! What every client of the brokers is set to, and what is known of the brokers.

use super::troubles::Troubles;
use crate::config::KafkaSettings;
use crate::config::kafka::Compression;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::sync::{Arc, Mutex, PoisonError};

/// The state of the brokers as far as our clients know; for /health.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Brokers {
    /// Nothing has been heard of them yet.
    Unknown,
    /// They answer.
    Up,
    /// They do not; the node goes on and tries again.
    Away(String),
    /// They answer, but as they are they cannot be worked with; a person must mend it.
    Refused(String),
}

/// What is known of the brokers, shared by all clients of a node.
#[derive(Clone, Debug)]
pub struct BrokerState {
    brokers: Arc<Mutex<Brokers>>,
    troubles: Troubles,
}

impl Default for BrokerState {
    fn default() -> Self {
        Self { brokers: Arc::new(Mutex::new(Brokers::Unknown)), troubles: Troubles::default() }
    }
}

impl BrokerState {
    /// What is known now.
    #[must_use]
    pub fn get(&self) -> Brokers {
        self.brokers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is wrong and does not pass by itself.
    #[must_use]
    pub fn troubles(&self) -> &Troubles {
        &self.troubles
    }

    pub(super) fn up(&self) {
        self.set(Brokers::Up);
    }

    /// They answer; whether they can be worked with is not asked.
    pub(super) fn answered(&self) {
        if !matches!(self.get(), Brokers::Refused(_)) {
            self.up();
        }
    }

    pub(super) fn away(&self, why: &str) {
        self.set(Brokers::Away(why.to_owned()));
    }

    pub(super) fn refused(&self, why: &str) {
        self.set(Brokers::Refused(why.to_owned()));
    }

    /// Told once, where it changes.
    fn set(&self, now: Brokers) {
        let mut state = self.brokers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = std::mem::discriminant(&*state) != std::mem::discriminant(&now);
        match &now {
            Brokers::Up if is_news => tracing::info!("kafka answers"),
            Brokers::Away(why) if is_news => tracing::warn!(cause = %why, "kafka is away; trying again"),
            Brokers::Refused(why) if is_news => tracing::error!(cause = %why, "kafka cannot be used as it is"),
            Brokers::Unknown | Brokers::Up | Brokers::Away(_) | Brokers::Refused(_) => {}
        }
        *state = now;
    }
}

/// Whether this says no more than that the brokers are away, busy or moving house: it passes by itself.
pub(super) fn is_absence(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::MessageTimedOut
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::TimedOutQueue
            | RDKafkaErrorCode::WaitingForCoordinator
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::NetworkException
            | RDKafkaErrorCode::CoordinatorLoadInProgress
            | RDKafkaErrorCode::CoordinatorNotAvailable
            | RDKafkaErrorCode::NotCoordinator
            | RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::NotEnoughReplicas
            | RDKafkaErrorCode::NotEnoughReplicasAfterAppend
            | RDKafkaErrorCode::QueueFull
            | RDKafkaErrorCode::PurgeQueue
            | RDKafkaErrorCode::PurgeInflight
            | RDKafkaErrorCode::NoOffset
    )
}

/// Whether the brokers refuse something until a person changes it.
pub(super) fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
    )
}

/// What a person can do where a topic does not take a record.
pub(super) fn remedy(code: Option<RDKafkaErrorCode>) -> &'static str {
    match code {
        Some(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed) => {
            "let ordermill's login WRITE to the topic; it goes on by itself then"
        }
        Some(RDKafkaErrorCode::InvalidRecord) => {
            "a compacted topic takes no record without a key: set its cleanup.policy to delete; it goes on by itself then"
        }
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownPartition) => {
            "create the topic with as many partitions as the store has shards; it goes on by itself then"
        }
        Some(_) | None => "the brokers' log says more; it is tried again",
    }
}

/// The settings of every client; `name` tells them apart in the brokers' logs.
///
/// # Errors
/// A property that librdkafka does not know or a value that it does not take.
pub fn config(settings: &KafkaSettings, name: &str) -> Result<ClientConfig, KafkaError> {
    let mut config = ClientConfig::new();
    for (property, value) in &settings.properties.0 {
        config.set(property, value);
    }
    config.set("bootstrap.servers", settings.brokers.join(","));
    config.set("client.id", format!("ordermill-{name}"));
    config.set("socket.keepalive.enable", "true");
    config.set("reconnect.backoff.ms", settings.backoff_first_ms.min(3_600_000).to_string());
    config.set("reconnect.backoff.max.ms", settings.backoff_most_ms.min(3_600_000).to_string());
    config.set_log_level(RDKafkaLogLevel::Warning);
    // Says at once what is wrong with a property.
    config.create_native_config()?;
    Ok(config)
}

/// The settings of a client that writes. Nothing may be lost or overtaken: a gap ends the client instead.
///
/// # Errors
/// See [`config`].
pub fn producer_config(settings: &KafkaSettings, name: &str) -> Result<ClientConfig, KafkaError> {
    let mut config = config(settings, name)?;
    config.set("enable.idempotence", "true");
    config.set("enable.gapless.guarantee", "true");
    config.set("acks", "all");
    config.set("message.timeout.ms", "0");
    compress(&mut config, settings);
    config.set("linger.ms", settings.linger_ms.to_string());
    config.set("queue.buffering.max.messages", settings.publish_window.saturating_mul(2).min(10_000_000).to_string());
    config.set("queue.buffering.max.kbytes", QUEUE_KBYTES);
    Ok(config)
}

/// How messages are compressed. Of gzip a light one, unless the settings say otherwise: two thirds of the usual one's work for a sixth more.
pub(super) fn compress(config: &mut ClientConfig, settings: &KafkaSettings) {
    config.set("compression.type", settings.compression.name());
    if settings.compression == Compression::Gzip && !settings.properties.0.contains_key("compression.level") {
        config.set("compression.level", "3");
    }
}

/// Most kilobytes that wait to be sent, also where events are long.
const QUEUE_KBYTES: &str = "65536";

/// The callbacks of a client: its errors become the state of the brokers, its log lines ours.
#[derive(Clone, Debug)]
pub struct ClientCallbacks(pub BrokerState);

impl ClientContext for ClientCallbacks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                // What matters of it comes as an error of its own.
                tracing::debug!(kafka.facility = facility, "librdkafka: {message}");
            }
            RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::trace!(kafka.facility = facility, "librdkafka: {message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => self.0.away(reason),
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed) => self.0.refused(reason),
            Some(_) | None => tracing::debug!(error = %error, "librdkafka: {reason}"),
        }
    }
}

impl ConsumerContext for ClientCallbacks {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_light_unless_the_settings_say_how_it_is() {
        let level = |settings: &KafkaSettings| producer_config(settings, "test").unwrap().get("compression.level").map(str::to_owned);
        let mut settings = KafkaSettings::default();
        assert_eq!(level(&settings).as_deref(), Some("3"));
        settings.properties.0.insert("compression.level".to_owned(), "9".to_owned());
        assert_eq!(level(&settings).as_deref(), Some("9"));
        settings = KafkaSettings { compression: Compression::Lz4, ..KafkaSettings::default() };
        assert_eq!(level(&settings), None);
    }
}
