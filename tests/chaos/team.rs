//! A hostile team that runs a role in our place, as a program of its own would: it reads our topics with a client of its own, and says on
//! its topic what it did, contradicts itself, repeats, names other amounts and other goods than were ordered, is late or silent, and
//! speaks of orders that nobody placed. It keeps books of what it did.

use crate::kills::Luck;
use crate::process::LIMIT;
use crate::talk::{self, Kept, Say, When};
use ordermill::domain::Role;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::TopicPartitionList;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The two products of every order, and the same with a price at which the payment provider declines.
pub(crate) const CUP: &str = "019a0000-0000-7000-8000-000000000001";
pub(crate) const POT: &str = "019a0000-0000-7000-8000-000000000006";

/// What it says of an order, how far it has got, and its books.
#[derive(Default)]
struct Talk {
    /// Made up when it is asked.
    script: Option<Vec<(When, Say)>>,
    kept: Kept,
}

impl Talk {
    /// What comes next.
    fn next(&self) -> Option<(When, Say)> {
        let (when, say) = self.script.as_ref()?.get(self.kept.said.len()).copied()?;
        Some((self.kept.when(when), say))
    }
}

/// Where it says what it does for `role`, where it hears of orders, and the event there that asks it.
fn topics(role: Role) -> (&'static str, &'static str, &'static str) {
    match role {
        Role::Payment => ("payment-events", "inventory-events", "InventoryReserved"),
        Role::Inventory | Role::Order | Role::Notification | Role::Analytics => ("inventory-events", "order-events", "OrderCreated"),
    }
}

struct Shared {
    stop: AtomicBool,
    moment: Mutex<When>,
    /// By order; those that nobody placed are not in it.
    talks: Mutex<BTreeMap<String, Talk>>,
}

/// The team, on a thread of its own.
pub(crate) struct Team {
    shared: Arc<Shared>,
    topic: String,
    /// Reads how far the orders' role has read.
    reader: BaseConsumer,
    thread: Option<JoinHandle<()>>,
}

impl Team {
    pub(crate) fn start(brokers: &str, prefix: &str, role: Role, seed: u64) -> Self {
        let shared = Arc::new(Shared { stop: AtomicBool::new(false), moment: Mutex::new(When::AtOnce), talks: Mutex::default() });
        let voice = Voice::start(brokers, prefix, role, seed, shared.clone());
        let group = format!("{prefix}ordermill.order");
        let reader = ClientConfig::new().set("bootstrap.servers", brokers).set("group.id", group).create().unwrap();
        Self { shared, topic: voice.topic.clone(), reader, thread: Some(std::thread::spawn(move || voice.speak())) }
    }

    fn talks(&self) -> MutexGuard<'_, BTreeMap<String, Talk>> {
        self.shared.talks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its books.
    pub(crate) fn books(&self) -> BTreeMap<String, Kept> {
        self.talks().iter().map(|(order, talk)| (order.clone(), talk.kept.clone())).collect()
    }

    /// What a person says or asks about an order.
    pub(crate) fn tell<T>(&self, order: &str, tell: impl FnOnce(&mut Kept) -> T) -> T {
        tell(&mut self.talks().entry(order.to_owned()).or_default().kept)
    }

    /// From now on it says what it had kept back until then.
    pub(crate) fn go_on(&self, moment: When) {
        *self.shared.moment.lock().unwrap_or_else(PoisonError::into_inner) = moment;
    }

    /// Whether it has nothing left to say up to now, of any order that it heard of.
    pub(crate) fn has_spoken(&self) -> bool {
        let moment = *self.shared.moment.lock().unwrap_or_else(PoisonError::into_inner);
        self.talks().values().all(|talk| talk.next().is_none_or(|(when, _)| when > moment))
    }

    /// Whether the orders' role has read all that it said.
    pub(crate) fn is_heard(&self) -> bool {
        self.lag().is_ok_and(|lag| lag == 0)
    }

    /// What is read is asked first: what a node publishes again meanwhile is not missed.
    fn lag(&self) -> Result<i64, KafkaError> {
        let limit = Duration::from_secs(5);
        let metadata = self.reader.fetch_metadata(Some(&self.topic), limit)?;
        let mut places = TopicPartitionList::new();
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            places.add_partition(&self.topic, partition.id());
        }
        let read = self.reader.committed_offsets(places, limit)?;
        let mut lag = 0;
        for place in read.elements() {
            let (_, end) = self.reader.fetch_watermarks(place.topic(), place.partition(), limit)?;
            lag += end - place.offset().to_raw().unwrap_or(0).max(0);
        }
        Ok(lag)
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// What speaks for it.
struct Voice {
    shared: Arc<Shared>,
    role: Role,
    topic: String,
    consumer: BaseConsumer,
    producer: BaseProducer,
    luck: Luck,
}

impl Voice {
    fn start(brokers: &str, prefix: &str, role: Role, seed: u64, shared: Arc<Shared>) -> Self {
        let mut luck = Luck::new(seed ^ 0x7ea3);
        let (says, hears, _) = topics(role);
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", format!("{prefix}hostile"))
            .set("auto.offset.reset", "earliest")
            .create()
            .unwrap();
        consumer.subscribe(&[&format!("{prefix}{hears}")]).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers);
        // librdkafka's own choice is another partition than ours: then what it says is republished first.
        if luck.below(2) == 0 {
            config.set("partitioner", "murmur2_random");
        }
        Self { shared, role, topic: format!("{prefix}{says}"), consumer, producer: config.create().unwrap(), luck }
    }

    fn speak(mut self) {
        while !self.shared.stop.load(Ordering::Acquire) {
            if let Some(order) = self.asked() {
                self.answer(&order);
                if self.luck.below(8) == 0 {
                    self.speak_of_nobody();
                }
            }
            self.keep_up();
        }
        self.producer.flush(LIMIT).unwrap();
    }

    /// The next order that it is asked about.
    fn asked(&self) -> Option<String> {
        let message = self.consumer.poll(Duration::from_millis(20))?.ok()?;
        let header = message.headers()?.iter().find(|header| header.key == "ce_type")?.value?.to_vec();
        let (_, _, asks) = topics(self.role);
        if !String::from_utf8(header).ok()?.contains(&format!(".{asks}.")) {
            return None;
        }
        let fields: Value = serde_json::from_slice(message.payload()?).ok()?;
        Some(fields["orderId"].as_str()?.to_owned())
    }

    /// Makes up what it will say of an order, once.
    fn answer(&mut self, order: &str) {
        let mut talks = self.shared.talks.lock().unwrap_or_else(PoisonError::into_inner);
        let talk = talks.entry(order.to_owned()).or_default();
        let (role, luck) = (self.role, &mut self.luck);
        talk.script.get_or_insert_with(|| talk::script(role, |end| luck.below(end)));
    }

    /// Says all that is due by now.
    fn keep_up(&mut self) {
        let moment = *self.shared.moment.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = self.shared.clone();
        let mut talks = shared.talks.lock().unwrap_or_else(PoisonError::into_inner);
        for (order, talk) in talks.iter_mut() {
            while let Some((when, say)) = talk.next().filter(|(when, _)| *when <= moment) {
                talk.kept.say(when, say);
                self.say(order, say);
            }
        }
        // Nobody finds it said before the broker has it.
        self.producer.flush(LIMIT).unwrap();
    }

    fn speak_of_nobody(&mut self) {
        let order = format!("{STRANGER}{:012x}", self.luck.below(1 << 40));
        let say = if self.role == Role::Payment { Say::Paid } else { Say::Reserved };
        self.say(&order, say);
    }

    /// In one of the documented forms, with a clock that may be a day wrong.
    fn say(&mut self, order: &str, say: Say) {
        let (name, mut fields) = said(say);
        fields["orderId"] = json!(order);
        match self.luck.below(4) {
            0 => fields["timestamp"] = json!((chrono::Utc::now() + chrono::Duration::days(1)).to_rfc3339()),
            1 => fields["timestamp"] = json!((chrono::Utc::now() - chrono::Duration::days(1)).to_rfc3339()),
            _ => {}
        }
        let (value, header) = match self.luck.below(3) {
            0 => (json!({ name: fields }), None),
            1 => (fields, Some(name)),
            _ => {
                fields["eventType"] = json!(name);
                (fields, None)
            }
        };
        let value = value.to_string();
        let mut record = BaseRecord::to(&self.topic).key(order).payload(&value);
        if let Some(name) = header {
            record = record.headers(OwnedHeaders::new().insert(Header { key: "ce_type", value: Some(name) }));
        }
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
    }
}

/// What the ids of orders that nobody placed begin with.
pub(crate) const STRANGER: &str = "019a0000-0000-7000-9000-";

/// An event's name and its fields but for the order.
fn said(say: Say) -> (&'static str, Value) {
    let lines = |products: &[&str]| -> Value { products.iter().map(|id| json!({ "productId": id, "quantity": 1 })).collect() };
    match say {
        Say::Paid => ("PaymentProcessed", json!({ "amount": "20.00", "paymentMethod": "CARD" })),
        Say::PaidOther => ("PaymentProcessed", json!({ "amount": 0.01, "paymentMethod": "CARD" })),
        Say::Failed => ("PaymentFailed", json!({ "reason": "first card declined" })),
        Say::Cancelled => ("PaymentCancelled", json!({})),
        Say::Refunded => ("PaymentRefunded", json!({ "amount": "20.00" })),
        Say::Reserved => ("InventoryReserved", json!({ "reservations": lines(&[POT, CUP]) })),
        Say::ReservedOther => ("InventoryReserved", json!({ "reservations": lines(&[CUP]) })),
        Say::Insufficient => ("InventoryInsufficient", json!({ "shortages": [{ "productId": POT }] })),
        Say::Released => ("InventoryReleased", json!({ "items": lines(&[CUP, POT]) })),
        Say::Shipped => ("InventoryShipped", json!({ "items": lines(&[CUP, POT]) })),
    }
}

/// The kind of event, which a letter about it names.
pub(crate) fn name(say: Say) -> &'static str {
    said(say).0
}
