//! The brokers and how ordermill speaks with them.

pub use super::foreign::{LocalTime, Meaning, TypeNames};
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// Kafka. Without brokers there is none, and nothing else here matters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaSettings {
    /// `HOST:PORT` of some of the brokers; none: no Kafka.
    pub brokers: Vec<String>,
    /// Prefix of every topic and consumer group.
    pub prefix: String,
    /// Suffix of a topic's dead-letter topic.
    pub dead_letter_suffix: String,
    /// Replication factor of topics that ordermill creates; 0: the brokers' default.
    pub replication: u16,
    /// Compression of messages.
    pub compression: Compression,
    /// How long a message waits for others to share its batch, in milliseconds.
    pub linger_ms: u64,
    /// Longest wait for a broker's answer to a request, in milliseconds.
    pub request_timeout_ms: u64,
    /// Maximum events sent but not acknowledged.
    pub publish_window: usize,
    /// Maximum commits that wait in memory to be published; beyond that, they are read from the log.
    pub publish_feed: usize,
    /// Events per read from the log.
    pub publish_page: u32,
    /// How often the published position is stored, in milliseconds.
    pub publish_mark_ms: u64,
    /// How often a node looks for logs of ended writers, in milliseconds.
    pub publish_recheck_ms: u64,
    /// First wait after a failure of the brokers, in milliseconds; then doubling.
    pub backoff_first_ms: u64,
    /// Longest such wait, in milliseconds.
    pub backoff_most_ms: u64,
    /// Maximum messages in progress per partition; beyond that, the partition is paused.
    pub consume_window: usize,
    /// Retries of a message that fails.
    pub retries: u32,
    /// Wait before the first retry of a message, in milliseconds; then doubling.
    pub retry_first_ms: u64,
    /// Wait before retrying a message that failed through no fault of its own, in milliseconds.
    pub pause_ms: u64,
    /// How often offsets are committed and dead letters checked, in milliseconds.
    pub commit_ms: u64,
    /// How often the consumer lag is measured, and offsets are moved past transaction markers, in milliseconds.
    pub statistics_ms: u64,
    /// How often the node checks that the brokers answer, and looks for troubles, in milliseconds.
    pub probe_ms: u64,
    /// How long a node that needs other nodes' roles waits for the brokers before it leaves its orders to other nodes, in milliseconds.
    pub grace_ms: u64,
    /// Zone of times without an offset in other teams' messages.
    pub local_time: LocalTime,
    /// Whether other teams' messages may also use snake case, such as `order_id`.
    pub snake_case: bool,
    /// The currency of payments (ISO 4217): one of another team that names another parks its order. Empty: it is not compared.
    pub currency: String,
    /// Meaning of the type names that other teams use.
    pub types: TypeNames,
    /// Any librdkafka property, such as `"security.protocol" = "SASL_SSL"`.
    pub properties: Properties,
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self {
            brokers: Vec::new(),
            prefix: String::new(),
            dead_letter_suffix: ".DLQ".to_owned(),
            replication: 0,
            compression: Compression::default(),
            linger_ms: 25,
            request_timeout_ms: 10_000,
            publish_window: 20_000,
            publish_feed: 1_024,
            publish_page: 2_000,
            publish_mark_ms: 1_000,
            publish_recheck_ms: 1_000,
            backoff_first_ms: 500,
            backoff_most_ms: 10_000,
            consume_window: 1_000,
            retries: 3,
            retry_first_ms: 1_000,
            pause_ms: 1_000,
            commit_ms: 1_000,
            statistics_ms: 10_000,
            probe_ms: 2_000,
            grace_ms: 30_000,
            local_time: LocalTime::default(),
            snake_case: false,
            currency: String::new(),
            types: TypeNames::default(),
            properties: Properties::default(),
        }
    }
}

/// Compression of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// The smallest that every client reads without a further package.
    #[default]
    Gzip,
    /// Fast; clients in JavaScript and Python need a package to read it.
    Lz4,
    /// Small; clients in JavaScript and Python need a package to read it.
    Zstd,
}

impl Compression {
    /// Its name in the settings and for librdkafka.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Properties of librdkafka; what could be a secret is masked when they are shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(pub BTreeMap<String, String>);

impl Properties {
    fn masked(&self) -> BTreeMap<&str, &str> {
        let is_secret = |name: &str| ["password", "secret", "key.pem", "jaas", "oauthbearer.config"].iter().any(|part| name.contains(part));
        self.0.iter().map(|(name, value)| (name.as_str(), if is_secret(name) { "***" } else { value.as_str() })).collect()
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.masked().fmt(f)
    }
}

/// Masked: settings in force are printed by serialising them.
impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.masked().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = BTreeMap::<String, Scalar>::deserialize(deserializer)?;
        for name in values.keys() {
            if let Some((_, why)) = OURS.iter().find(|(ours, _)| ours == name) {
                return Err(D::Error::custom(format_args!("kafka.properties: {name} cannot be set: {why}")));
            }
        }
        Ok(Self(values.into_iter().map(|(name, Scalar(value))| (name, value)).collect()))
    }
}

/// Properties that what ordermill promises rests on.
const OURS: &[(&str, &str)] = &[
    ("bootstrap.servers", "use kafka.brokers"),
    ("metadata.broker.list", "use kafka.brokers"),
    ("linger.ms", "use kafka.linger_ms"),
    ("queue.buffering.max.ms", "use kafka.linger_ms"),
    ("compression.type", "use kafka.compression"),
    ("compression.codec", "use kafka.compression"),
    ("group.id", "each role has its own"),
    ("enable.idempotence", "an order's events would lose their order"),
    ("enable.gapless.guarantee", "an order's events would lose their order"),
    ("acks", "an acknowledged event could be lost"),
    ("request.required.acks", "an acknowledged event could be lost"),
    ("message.timeout.ms", "an event that expires would be overtaken"),
    ("delivery.timeout.ms", "an event that expires would be overtaken"),
    ("enable.auto.commit", "messages would be taken as done before they are"),
    ("enable.auto.offset.store", "messages would be taken as done before they are"),
    ("auto.offset.reset", "messages would be passed over"),
    ("statistics.interval.ms", "use kafka.statistics_ms"),
];

/// A property's value: a text, a number or a truth value.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Scalar;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a number, true or false")
            }
            fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
                Ok(Scalar(value.to_owned()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl KafkaSettings {
    /// Whether there is Kafka.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.brokers.is_empty()
    }

    pub(super) fn check(&self, problems: &mut Vec<String>) {
        let mut need = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        for broker in &self.brokers {
            let is_address =
                broker.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
            need(is_address, &format!("kafka.brokers: {broker:?} is no address; it must be HOST:PORT"));
        }
        let is_name = |text: &str| text.len() <= 200 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        need(is_name(&self.prefix), "kafka.prefix may have letters, digits, dots, underscores and hyphens, at most 200");
        need(
            is_name(&self.dead_letter_suffix) && !self.dead_letter_suffix.is_empty(),
            "kafka.dead_letter_suffix must have letters, digits, dots, underscores or hyphens",
        );
        need(self.request_timeout_ms > 0, "kafka.request_timeout_ms must be at least 1");
        need(self.publish_window > 0, "kafka.publish_window must be at least 1");
        need(self.publish_feed > 0, "kafka.publish_feed must be at least 1");
        need(self.publish_page > 0, "kafka.publish_page must be at least 1");
        need(self.publish_mark_ms > 0, "kafka.publish_mark_ms must be at least 1");
        need(self.publish_recheck_ms > 0, "kafka.publish_recheck_ms must be at least 1");
        need(self.consume_window > 0, "kafka.consume_window must be at least 1");
        need(self.commit_ms > 0, "kafka.commit_ms must be at least 1");
        need((1..=86_400_000).contains(&self.statistics_ms), "kafka.statistics_ms must be from 1 to 86400000");
        need(self.probe_ms > 0, "kafka.probe_ms must be at least 1");
        need(self.backoff_first_ms > 0, "kafka.backoff_first_ms must be at least 1");
        need(self.backoff_first_ms <= self.backoff_most_ms, "kafka.backoff_first_ms must not be above kafka.backoff_most_ms");
        need(self.pause_ms > 0, "kafka.pause_ms must be at least 1");
        need(self.linger_ms <= 60_000, "kafka.linger_ms must be at most 60000");
    }
}
