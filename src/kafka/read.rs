//! Takes a message apart: finds out what it is, checks what is needed, passes over what is not known.
//!
//! Its kind is what a header says (CloudEvents, or the class that Spring names), else the outer key (`{"OrderCreated": {…}}`), else
//! the fields that only one kind of its topic has. So a message of another team that follows the specification and no more is taken.

use super::headers::{self, Headers};
use super::read_body;
use crate::domain::{Event, EventKind, OrderId, Shards, Text, Topic};
use serde_json::{Map, Value};

/// The longest value that is looked into, in bytes; every event of ours is far shorter.
pub const LONGEST_VALUE: usize = 1_048_576;

/// A record as it came, whole, so that it can be put by and tried again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Which topic.
    pub topic: Topic,
    /// Which partition of it.
    pub partition: i32,
    /// Its number there.
    pub offset: i64,
    /// When it was written, in milliseconds since 1970; none if the broker does not know.
    pub timestamp_ms: Option<i64>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Headers,
}

/// Why a message cannot be taken, however often it is tried.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MessageError {
    /// No value.
    #[error("it has no value")]
    Empty,
    /// Longer than anything that could be an event.
    #[error("its value is {0} bytes long, more than {LONGEST_VALUE}")]
    TooLong(usize),
    /// Not JSON.
    #[error("its value is not JSON: {0}")]
    NotJson(String),
    /// JSON, but no object.
    #[error("its value is not a JSON object")]
    NotAnObject,
    /// It says that it is something that we do not know.
    #[error("its type {0} is not known")]
    UnknownType(Text<100>),
    /// A known kind in a form that we do not know.
    #[error("version {version} of {kind} is not known")]
    UnknownVersion {
        /// Which kind.
        kind: &'static str,
        /// Which version.
        version: u32,
    },
    /// It does not say what it is, and its fields do not show it.
    #[error("it does not say what it is, and its fields fit no event of this topic")]
    NoType,
    /// A kind that its topic does not carry.
    #[error("{kind} does not belong on this topic")]
    WrongTopic {
        /// Which kind.
        kind: &'static str,
    },
    /// A field is missing or is not what it must be.
    #[error("{0}")]
    Field(String),
}

impl MessageError {
    /// All codes.
    pub const CODES: [&'static str; 9] = [
        "empty-message",
        "message-too-long",
        "not-json",
        "not-an-object",
        "unknown-type",
        "unknown-version",
        "no-type",
        "wrong-topic",
        "bad-field",
    ];

    /// A short code to group by.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty-message",
            Self::TooLong(_) => "message-too-long",
            Self::NotJson(_) => "not-json",
            Self::NotAnObject => "not-an-object",
            Self::UnknownType(_) => "unknown-type",
            Self::UnknownVersion { .. } => "unknown-version",
            Self::NoType => "no-type",
            Self::WrongTopic { .. } => "wrong-topic",
            Self::Field(_) => "bad-field",
        }
    }
}

/// What is known of a message that cannot be taken: enough to group it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unreadable {
    /// Why.
    pub error: MessageError,
    /// What it seems to be.
    pub kind: Option<EventKind>,
    /// Which order it seems to be about.
    pub order: Option<OrderId>,
}

/// Reads a record.
///
/// # Errors
/// See [`MessageError`].
pub fn read(record: &Record, shards: Shards) -> Result<Event, Box<Unreadable>> {
    let mut found = Unreadable { error: MessageError::Empty, kind: None, order: order_of_key(record) };
    match read_noting(record, shards, &mut found) {
        Ok(event) => Ok(event),
        Err(error) => Err(Box::new(Unreadable { error, ..found })),
    }
}

fn read_noting(record: &Record, shards: Shards, found: &mut Unreadable) -> Result<Event, MessageError> {
    let value = record.value.as_deref().filter(|value| !value.is_empty()).ok_or(MessageError::Empty)?;
    if value.len() > LONGEST_VALUE {
        return Err(MessageError::TooLong(value.len()));
    }
    let value: Value = serde_json::from_slice(value).map_err(|error| MessageError::NotJson(error.to_string()))?;
    let Value::Object(fields) = value else { return Err(MessageError::NotAnObject) };
    let declared = declared(&record.headers)?;
    let (kind, fields) = match (declared, unwrapped(fields)) {
        // A header has the last word; a wrapper is taken off all the same.
        (Some(kind), Wrapped::In(_, fields) | Wrapped::Not(fields)) => (kind, fields),
        (None, Wrapped::In(kind, fields)) => (kind, fields),
        (None, Wrapped::Not(fields)) => (kind_of_fields(record.topic, &fields)?, fields),
    };
    found.kind = Some(kind);
    found.order = fields.get("orderId").and_then(Value::as_str).and_then(|text| text.parse().ok()).or(found.order);
    let carried = kind.topic() == record.topic || (kind == EventKind::OrderShipped && record.topic == Topic::Shipping);
    if !carried {
        return Err(MessageError::WrongTopic { kind: kind.name() });
    }
    read_body::event(kind, Value::Object(fields), record, shards)
}

fn order_of_key(record: &Record) -> Option<OrderId> {
    std::str::from_utf8(record.key.as_deref()?).ok()?.trim_matches('"').parse().ok()
}

/// The kind that a header names, without looking into the value.
pub(super) fn declared_kind(record: &Record) -> Option<EventKind> {
    declared(&record.headers).ok().flatten()
}

/// What a header says that the message is.
fn declared(headers: &Headers) -> Result<Option<EventKind>, MessageError> {
    if let Some(name) = headers.text(headers::TYPE).filter(|name| !name.is_empty()) {
        return of_cloud_event(name).map(Some);
    }
    // A class of another team, such as com.shop.events.PaymentProcessedEvent; one that we do not know need not matter.
    let class = headers.text(headers::SPRING_TYPE).and_then(|class| class.rsplit(['.', '$']).next());
    Ok(class.and_then(|class| EventKind::from_name(class.strip_suffix("Event").unwrap_or(class))))
}

/// `ordermill.OrderCreated.v1`, another team's `com.shop.OrderCreated`, or the bare name.
fn of_cloud_event(name: &str) -> Result<EventKind, MessageError> {
    let (stem, version) = match name.rsplit_once(".v").map(|(stem, version)| (stem, version.parse::<u32>())) {
        Some((stem, Ok(version))) => (stem, version),
        Some((_, Err(_))) | None => (name, headers::VERSION),
    };
    let last = stem.rsplit('.').next().unwrap_or(stem);
    let kind = EventKind::from_name(last).ok_or_else(|| MessageError::UnknownType(Text::lossy(name)))?;
    if version != headers::VERSION {
        return Err(MessageError::UnknownVersion { kind: kind.name(), version });
    }
    Ok(kind)
}

enum Wrapped {
    In(EventKind, Map<String, Value>),
    Not(Map<String, Value>),
}

/// Takes the outer key off, if there is one.
fn unwrapped(mut fields: Map<String, Value>) -> Wrapped {
    if fields.len() == 1
        && let Some(kind) = fields.keys().next().and_then(|name| EventKind::from_name(name))
        && let Some(Value::Object(inner)) = fields.get_mut(kind.name()).map(Value::take)
    {
        return Wrapped::In(kind, inner);
    }
    Wrapped::Not(fields)
}

/// Fields that only one kind of a topic has, as far as the specification says; the first that fits decides.
const TELLING_FIELDS: &[(Topic, EventKind, &[&str])] = &[
    (Topic::Order, EventKind::OrderCreated, &["customerId", "items", "totalAmount"]),
    (Topic::Inventory, EventKind::InventoryInsufficient, &["shortages"]),
    (Topic::Inventory, EventKind::InventoryReserved, &["reservations"]),
    (Topic::Payment, EventKind::PaymentProcessed, &["amount", "paymentMethod"]),
    (Topic::Payment, EventKind::PaymentFailed, &["reason"]),
    (Topic::Shipping, EventKind::OrderShipped, &["orderId"]),
];

fn kind_of_fields(topic: Topic, fields: &Map<String, Value>) -> Result<EventKind, MessageError> {
    let fits = |(of, _, names): &&(Topic, EventKind, &[&str])| *of == topic && names.iter().all(|name| fields.contains_key(*name));
    if let Some((_, kind, _)) = TELLING_FIELDS.iter().find(fits) {
        return Ok(*kind);
    }
    // A wrapper with a name that is no event of ours.
    match fields.keys().next() {
        Some(name) if fields.len() == 1 && fields.values().all(Value::is_object) => Err(MessageError::UnknownType(Text::lossy(name))),
        Some(_) | None => Err(MessageError::NoType),
    }
}
