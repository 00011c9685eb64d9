//! The producer of the publisher: processor events to the brokers and keeps count of what they acknowledge.

use super::acks::Acks;
use crate::config::KafkaSettings;
use crate::domain::{Event, LoggedEvent, Topic};
use crate::kafka::client::{self, BrokerState, ClientCallbacks};
use crate::kafka::topics::TopicNames;
use crate::kafka::troubles::TroubleKind;
use crate::kafka::write::{self, Provenance};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// Why a producer must be replaced.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) error: KafkaError,
    /// Where it was met, as far as is known.
    pub(super) topic: String,
    pub(super) partition: Option<i32>,
}

impl Failure {
    fn of(error: KafkaError) -> Self {
        Self { error, topic: String::new(), partition: None }
    }
}

/// What the producer's own thread tells the publisher.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The first failure of this producer.
    trouble: Mutex<Option<Failure>>,
    /// Set while the publisher waits for room.
    pub(super) starved: AtomicBool,
    /// Set while the producer's queue is full.
    pub(super) full: AtomicBool,
    /// Wakes the publisher.
    pub(super) wake: Notify,
    /// Acknowledged events since the node started.
    pub(super) published: AtomicU64,
    /// Those of them that stand in a log.
    pub(super) logged: AtomicU64,
    /// Failures since the node started.
    pub(super) errors: AtomicU64,
}

impl Told {
    /// The failure, if there was one; afterwards there is none.
    pub(super) fn take_trouble(&self) -> Option<Failure> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn fail(&self, failure: Failure) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        self.wake.notify_one();
    }
}

/// One event on its way.
pub(super) struct Delivery {
    /// Where it is counted; none for what stands in no log.
    acks: Option<(Arc<Acks>, i64)>,
}

struct Deliveries {
    callbacks: ClientCallbacks,
    told: Arc<Told>,
    /// The publisher is woken when fewer than so many wait.
    enough_room: usize,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.callbacks.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.told.fail(Failure::of(error.clone()));
        }
        self.callbacks.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Box<Delivery>) {
        match result {
            Ok(message) => {
                self.callbacks.0.up();
                self.callbacks.0.troubles().clear(TroubleKind::Publish, message.topic(), "");
                self.told.published.fetch_add(1, Ordering::Relaxed);
                let Some((acks, seq)) = delivery.acks else { return };
                self.told.logged.fetch_add(1, Ordering::Relaxed);
                let waiting = acks.acked(seq);
                if waiting <= self.enough_room && self.told.starved.swap(false, Ordering::AcqRel) {
                    self.told.full.store(false, Ordering::Release);
                    self.told.wake.notify_one();
                }
            }
            Err((error, message)) => {
                let (topic, partition) = (message.topic().to_owned(), Some(message.partition()));
                self.told.fail(Failure { error: error.clone(), topic, partition });
            }
        }
    }
}

/// As many as a message has.
const HEADERS: usize = 14;

/// Why an event was not taken.
#[derive(Debug)]
pub(super) enum NotTaken {
    /// No room now.
    Full,
    /// The producer must be replaced.
    Broken(Failure),
}

/// A producer; on the first failure it is replaced, and what it had is sent again.
pub(super) struct Producer {
    client: ThreadedProducer<Deliveries>,
    names: [String; 5],
    value: Vec<u8>,
}

impl Producer {
    pub(super) fn new(settings: &KafkaSettings, state: &BrokerState, told: &Arc<Told>) -> Result<Self, KafkaError> {
        let config = client::producer_config(settings, "publisher")?;
        let context =
            Deliveries { callbacks: ClientCallbacks(state.clone()), told: told.clone(), enough_room: settings.publish_window / 2 };
        let names = TopicNames::of(settings);
        Ok(Self {
            client: config.create_with_context(context)?,
            names: Topic::ALL.map(|topic| names.of_topic(topic)),
            value: Vec::with_capacity(1024),
        })
    }

    /// MessageProcessor one event of a log over. Events of one partition keep their order.
    pub(super) fn send(&mut self, logged: &LoggedEvent, from: Provenance<'_>, acks: &Arc<Acks>) -> Result<(), NotTaken> {
        acks.sent(logged.seq);
        self.hand_over(&logged.event, from, Some((acks.clone(), logged.seq))).inspect_err(|_| acks.unsent(logged.seq))
    }

    /// MessageProcessor over what was said before; should it be lost it is said again.
    pub(super) fn repeat(&mut self, event: &Event) -> Result<(), NotTaken> {
        self.hand_over(event, Provenance::Repeat, None)
    }

    fn hand_over(&mut self, event: &Event, from: Provenance<'_>, acks: Option<(Arc<Acks>, i64)>) -> Result<(), NotTaken> {
        let broken = |error: serde_json::Error| NotTaken::Broken(Failure::of(KafkaError::ClientCreation(error.to_string())));
        write::value(event, &mut self.value).map_err(broken)?;
        let topic = self.names.get(usize::from(event.kind().topic().number())).map_or("", String::as_str);
        let mut headers = Some(OwnedHeaders::new_with_capacity(HEADERS));
        write::headers(event, from, |name, value| headers = headers.take().map(|all| all.insert(Header { key: name, value: Some(value) })));
        let mut buffer = uuid::Uuid::encode_buffer();
        let key: &str = event.order.0.as_hyphenated().encode_lower(&mut buffer);
        let delivery = Box::new(Delivery { acks });
        let record = BaseRecord::with_opaque_to(topic, delivery)
            .partition(event.shard.0.into())
            .key(key)
            .payload(self.value.as_slice())
            .headers(headers.unwrap_or_default());
        self.client.send(record).map_err(|(error, _)| match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => NotTaken::Full,
            Some(_) | None => NotTaken::Broken(Failure { error, topic: topic.to_owned(), partition: Some(event.shard.0.into()) }),
        })
    }
}

impl Drop for Producer {
    /// What waits is sent again by the next one.
    fn drop(&mut self) {
        self.client.purge(PurgeConfig::default().queue().inflight());
    }
}
