//! The producer of the publisher: hands events to the brokers and tells what they acknowledge.

use super::core::Outgoing;
use crate::config::KafkaSettings;
use crate::domain::{Event, Role, Topic, TraceId, WriterId};
use crate::kafka::client::{self, BrokerState, ClientCallbacks};
use crate::kafka::topics::TopicNames;
use crate::kafka::traced::Sent;
use crate::kafka::troubles::TroubleKind;
use crate::kafka::write::{self, Provenance};
use crate::telemetry::traces::Tracer;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
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

/// Counters that outlive a producer.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Acknowledged events since the node started.
    pub(super) published: AtomicU64,
    /// Failures since the node started.
    pub(super) errors: AtomicU64,
}

/// What a producer's own thread tells the publisher.
#[derive(Debug)]
pub(super) struct Told {
    counters: Arc<Counters>,
    /// The first failure.
    trouble: Mutex<Option<Failure>>,
    /// Events of logs that were acknowledged and are not taken note of.
    acked: Mutex<Vec<(WriterId, i64)>>,
    /// Events of logs that are not acknowledged.
    waiting: AtomicUsize,
    /// The publisher, if it waits for room, is woken when no more than so many wait.
    enough: AtomicUsize,
    /// Set while the publisher waits for room.
    starved: AtomicBool,
    /// Wakes the publisher.
    pub(super) wake: Notify,
}

impl Told {
    /// The failure, if there was one; afterwards there is none.
    pub(super) fn take_trouble(&self) -> Option<Failure> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn fail(&self, failure: Failure) {
        self.counters.errors.fetch_add(1, Ordering::Relaxed);
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        self.wake.notify_one();
    }

    /// What was acknowledged since it was last taken. No more than the publisher's window.
    pub(super) fn take_acked(&self) -> Vec<(WriterId, i64)> {
        std::mem::take(&mut *self.acked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn acked(&self, place: (WriterId, i64)) {
        self.acked.lock().unwrap_or_else(PoisonError::into_inner).push(place);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.wake_if_starved();
    }

    /// The publisher has no room: it is woken when no more than so many wait. That must be fewer than it knows of, else it is woken at once,
    /// again and again.
    pub(super) fn starve(&self, enough: usize) {
        self.enough.store(enough, Ordering::SeqCst);
        self.starved.store(true, Ordering::SeqCst);
        self.wake_if_starved();
    }

    fn wake_if_starved(&self) {
        let is_enough = self.waiting.load(Ordering::SeqCst) <= self.enough.load(Ordering::SeqCst);
        if is_enough && self.starved.swap(false, Ordering::SeqCst) {
            self.wake.notify_one();
        }
    }
}

/// One event on its way.
#[derive(Debug)]
struct Delivery {
    /// Its place in a log; none for what stands in no log.
    place: Option<(WriterId, i64)>,
    /// Its span, if its order is sampled.
    sent: Option<Sent>,
}

struct Deliveries {
    callbacks: ClientCallbacks,
    told: Arc<Told>,
    tracer: Tracer,
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
        let Delivery { place, sent } = *delivery;
        if let Some(sent) = sent {
            let (message, error) = match result {
                Ok(message) => (message, None),
                Err((error, message)) => (message, Some(error.to_string())),
            };
            sent.ended(&self.tracer, message.topic(), message.partition(), error.as_deref());
        }
        match result {
            Ok(message) => {
                self.callbacks.0.up();
                self.callbacks.0.troubles().clear(TroubleKind::Publish, message.topic(), "");
                self.told.counters.published.fetch_add(1, Ordering::Relaxed);
                if let Some(place) = place {
                    self.told.acked(place);
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
    told: Arc<Told>,
    tracer: Tracer,
    names: [String; 5],
    value: Vec<u8>,
}

impl Producer {
    pub(super) fn new(
        settings: &KafkaSettings,
        state: &BrokerState,
        counters: &Arc<Counters>,
        tracer: &Tracer,
    ) -> Result<Self, KafkaError> {
        let config = client::producer_config(settings, "publisher")?;
        let told = Arc::new(Told {
            counters: counters.clone(),
            trouble: Mutex::default(),
            acked: Mutex::default(),
            waiting: AtomicUsize::new(0),
            enough: AtomicUsize::new(0),
            starved: AtomicBool::new(false),
            wake: Notify::new(),
        });
        let names = TopicNames::of(settings);
        Ok(Self {
            client: config.create_with_context(Deliveries {
                callbacks: ClientCallbacks(state.clone()),
                told: told.clone(),
                tracer: tracer.clone(),
            })?,
            told,
            tracer: tracer.clone(),
            names: Topic::ALL.map(|topic| names.of_topic(topic)),
            value: Vec::with_capacity(1024),
        })
    }

    /// What its thread tells.
    pub(super) fn told(&self) -> Arc<Told> {
        self.told.clone()
    }

    /// Hands an event over. Events of one partition keep their order; what is said again may be lost.
    pub(super) fn send(&mut self, outgoing: &Outgoing, local: &[Role]) -> Result<(), NotTaken> {
        match outgoing {
            Outgoing::Repeat(event, said_at) => self.hand_over(event, Provenance::Repeat(Some(*said_at)), None),
            Outgoing::Logged { writer, logged, .. } => {
                let place = (*writer, logged.seq);
                self.told.waiting.fetch_add(1, Ordering::SeqCst);
                self.hand_over(&logged.event, Provenance::Log { writer: *writer, seq: logged.seq, local }, Some(place)).inspect_err(|_| {
                    self.told.waiting.fetch_sub(1, Ordering::SeqCst);
                })
            }
        }
    }

    fn hand_over(&mut self, event: &Event, from: Provenance<'_>, place: Option<(WriterId, i64)>) -> Result<(), NotTaken> {
        let broken = |error: serde_json::Error| NotTaken::Broken(Failure::of(KafkaError::ClientCreation(error.to_string())));
        write::value(event, &mut self.value).map_err(broken)?;
        let topic = self.names.get(usize::from(event.kind().topic().number())).map_or("", String::as_str);
        let mut headers = Some(OwnedHeaders::new_with_capacity(HEADERS));
        let by_share = |trace: &TraceId| self.tracer.samples(trace);
        write::headers(event, from, by_share, |name, value| {
            headers = headers.take().map(|all| all.insert(Header { key: name, value: Some(value) }));
        });
        let delivery = Delivery { place, sent: Sent::now(&self.tracer, event) };
        let mut buffer = uuid::Uuid::encode_buffer();
        let key: &str = event.order.0.as_hyphenated().encode_lower(&mut buffer);
        let record = BaseRecord::with_opaque_to(topic, Box::new(delivery))
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
