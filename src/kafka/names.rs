//! What a message says that it is: the names that stand in its headers and its body, and which event of ours each of them means.
//!
//! A name that is given and is not known is never guessed past, for the next guess could be that money was paid. Fields decide only
//! where nothing names the event, and only where they fit one event.

use super::headers::{self, Headers};
use crate::config::kafka::{Meaning, TypeNames};
use crate::domain::{EventKind, Text, Topic};
use crate::kafka::message::MessageError;
use serde_json::{Map, Value};

/// A name that a message gives to what it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Given {
    /// Where it stands, for people.
    pub(super) place: String,
    /// The name.
    pub(super) name: String,
    /// Whether it can be something else than a name where another name is given: the fields `type` and `status`.
    pub(super) is_weak: bool,
}

impl Given {
    pub(super) fn strong(place: impl Into<String>, name: &str) -> Self {
        Self { place: place.into(), name: name.to_owned(), is_weak: false }
    }

    fn weak(place: &str, name: String) -> Self {
        Self { place: place.to_owned(), name, is_weak: true }
    }

    fn unknown(&self) -> MessageError {
        MessageError::UnknownType { place: Text::lossy(&self.place), name: Text::lossy(&self.name) }
    }
}

/// Headers that name an event, the first one first. The class is what Spring's JSON serialiser writes.
const HEADERS: [&str; 8] = [headers::TYPE, "ce-type", headers::SPRING_TYPE, "eventType", "event_type", "event-type", "messageType", "type"];

/// Fields of a body that name an event and are nothing else.
pub(super) const NAME_FIELDS: [&str; 8] =
    ["eventType", "event_type", "eventName", "event_name", "messageType", "@type", "@class", "detail-type"];

/// What every class of a plain map, text or JSON tree begins with: it says nothing of an event.
const PLAIN_CLASSES: [&str; 5] = ["java.", "kotlin.", "scala.", "com.fasterxml.jackson.databind.", "tools.jackson.databind."];

/// What a name means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Named {
    Event(EventKind),
    /// It says nothing of what the message is.
    Nothing,
    /// A known event in a form that we do not know.
    Version(EventKind, u32),
    Unknown,
}

/// The names in the headers.
pub(super) fn of_headers(headers: &Headers) -> Vec<Given> {
    let named = |header: &&str| {
        let name = headers.text(header)?.trim().trim_matches('"');
        (!name.is_empty()).then(|| Given::strong(format!("header {header}"), name))
    };
    HEADERS.iter().filter_map(named).collect()
}

/// The names in the fields of a body that has no wrapper any more.
pub(super) fn of_fields(fields: &Map<String, Value>, names: &mut Vec<Given>) {
    for field in NAME_FIELDS {
        if let Some(name) = fields.get(field).and_then(scalar) {
            names.push(Given::strong(field, &name));
        }
    }
    if let Some(name) = fields.get("event").and_then(Value::as_str) {
        names.push(Given::strong("event", name));
    }
    for field in ["type", "status"] {
        if let Some(name) = fields.get(field).and_then(scalar) {
            names.push(Given::weak(field, name));
        }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The event that the first header that names one means, where all is well with it.
pub(super) fn declared(headers: &Headers, types: &TypeNames, topic: Topic) -> Option<EventKind> {
    let mut named = of_headers(headers).into_iter().map(|given| meaning(&given, types, topic)).filter(|named| *named != Named::Nothing);
    match named.next() {
        Some(Named::Event(kind)) => Some(kind),
        Some(Named::Nothing | Named::Version(..) | Named::Unknown) | None => None,
    }
}

/// The event that the names mean; none if nothing names one.
pub(super) fn decide(
    names: &[Given],
    fields: &Map<String, Value>,
    types: &TypeNames,
    topic: Topic,
) -> Result<Option<EventKind>, MessageError> {
    let is_named = names.iter().any(|given| !given.is_weak && meaning(given, types, topic) != Named::Nothing);
    let mut found: Option<(EventKind, &Given)> = None;
    for given in names {
        match (meaning(given, types, topic), found) {
            (Named::Nothing, _) => {}
            (Named::Event(kind), None) => found = Some((kind, given)),
            (Named::Event(kind), Some((before, _))) if kind == before => {}
            (Named::Event(_), Some((_, first))) => return Err(contradiction(first, given)),
            (Named::Version(kind, version), None) => return Err(MessageError::UnknownVersion { kind: kind.name(), version }),
            (Named::Unknown, None) if !(is_named && given.is_weak) => return Err(given.unknown()),
            // Another name has said what it is; this one may be anything, but must not deny it.
            (Named::Unknown | Named::Version(..), Some((kind, first))) if denies(kind, &given.name) => {
                return Err(contradiction(first, given));
            }
            (Named::Unknown | Named::Version(..), _) => {}
        }
    }
    match found {
        Some((kind, first)) if is_success(kind) => match denied_by_flag(fields) {
            Some(flag) => Err(contradiction(first, &Given::weak(flag, fields.get(flag).map(Value::to_string).unwrap_or_default()))),
            None => Ok(Some(kind)),
        },
        Some((kind, _)) => Ok(Some(kind)),
        None => Ok(None),
    }
}

fn contradiction(first: &Given, other: &Given) -> MessageError {
    let said = |given: &Given| Text::lossy(&format!("{} {}", given.place, given.name));
    MessageError::TypeConflict { one: said(first), other: said(other) }
}

fn meaning(given: &Given, types: &TypeNames, topic: Topic) -> Named {
    let name = given.name.as_str();
    match types.0.get(name) {
        Some(Meaning::Event(kind)) => return Named::Event(*kind),
        Some(Meaning::ByContent) => return Named::Nothing,
        None if PLAIN_CLASSES.iter().any(|plain| name.starts_with(plain)) => return Named::Nothing,
        None => {}
    }
    let (stem, version) = match name.rsplit_once(".v").map(|(stem, version)| (stem, version.parse::<u32>())) {
        Some((stem, Ok(version))) => (stem, version),
        Some((_, Err(_))) | None => (name, headers::VERSION),
    };
    let of_status = || (given.place == "status").then(|| of_status(stem, topic)).flatten();
    match of_name(stem).or_else(of_status) {
        Some(kind) if version == headers::VERSION => Named::Event(kind),
        Some(kind) => Named::Version(kind, version),
        None => Named::Unknown,
    }
}

/// `PaymentFailed`, `com.shop.PaymentFailedEvent`, `Outer$PaymentFailed`, `PAYMENT_FAILED`, `payment.failed`. No word may be left over:
/// a partial payment is no payment.
fn of_name(name: &str) -> Option<EventKind> {
    let segments: Vec<&str> = name.split(['.', '$', ':', '/', '#']).filter(|segment| !segment.is_empty()).collect();
    let whole = match segments.as_slice() {
        [topic, event] => of_words(&format!("{topic}{event}")),
        _ => None,
    };
    segments.last().and_then(|last| of_words(last)).or(whole)
}

fn of_words(words: &str) -> Option<EventKind> {
    let letters: String = words.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).collect::<String>().to_ascii_lowercase();
    let bare = letters.strip_suffix("event").unwrap_or(&letters);
    EventKind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(bare))
}

/// A status is the event's own word without its noun: `FAILED` on the payments' topic.
fn of_status(status: &str, topic: Topic) -> Option<EventKind> {
    let noun = match topic {
        Topic::Order | Topic::Shipping => "order",
        Topic::Inventory => "inventory",
        Topic::Payment => "payment",
        Topic::Notification => "notification",
    };
    of_words(&format!("{noun}{status}"))
}

/// Events after which goods leave or are held, or money counts as paid.
fn is_success(kind: EventKind) -> bool {
    matches!(kind, EventKind::PaymentProcessed | EventKind::InventoryReserved | EventKind::OrderShipped)
}

/// Parts of words that say that it did not come true, or was undone.
const DENIALS: [&str; 13] =
    ["DECLIN", "FAIL", "REJECT", "REFUS", "DENI", "CANCEL", "ERROR", "VOID", "REFUND", "REVERS", "INSUFFICIENT", "EXPIRE", "UNPAID"];

/// The same, of a payment that is under way.
const NOT_YET: [&str; 2] = ["PENDING", "INITIAT"];

fn denies(kind: EventKind, name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let says = |words: &[&str]| words.iter().any(|word| name.contains(word));
    is_success(kind) && (says(&DENIALS) || (kind == EventKind::PaymentProcessed && says(&NOT_YET)))
}

/// Fields that say yes or no.
const YES_FIELDS: [&str; 7] = ["success", "successful", "succeeded", "approved", "accepted", "paid", "ok"];
const NO_FIELDS: [&str; 5] = ["failed", "declined", "rejected", "refused", "isError"];

fn denied_by_flag(fields: &Map<String, Value>) -> Option<&'static str> {
    let is = |name: &&&str, value: bool| fields.get(**name).is_some_and(|field| *field == Value::Bool(value));
    let no = YES_FIELDS.iter().find(|name| is(name, false)).or_else(|| NO_FIELDS.iter().find(|name| is(name, true)));
    no.copied()
}

/// Fields that tell of a failure, the one that says best why first.
pub(super) const FAILURE_FIELDS: [&str; 12] = [
    "reason",
    "failureReason",
    "declineReason",
    "rejectionReason",
    "errorMessage",
    "failureMessage",
    "error",
    "errorCode",
    "failureCode",
    "declineCode",
    "reasonCode",
    "errors",
];

/// What the names of fields begin with that tell of something that comes later than the events which fields alone may tell.
const LATER: [&str; 11] =
    ["refund", "cancel", "void", "chargeback", "dispute", "revers", "release", "return", "deliver", "expire", "settle"];

/// The event that the fields tell, where nothing names one: where they fit exactly one event of the topic.
pub(super) fn by_fields(topic: Topic, fields: &Map<String, Value>) -> Result<EventKind, MessageError> {
    let has = |names: &[&str]| names.iter().all(|name| fields.contains_key(*name));
    let is_empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Array(items) => items.is_empty(),
        Value::Bool(true) | Value::String(_) | Value::Object(_) => false,
    };
    let says = |name: &&str| fields.get(*name).is_some_and(|value| !is_empty(value));
    let failed = FAILURE_FIELDS.iter().any(says) || denied_by_flag(fields).is_some();
    let lower = |name: &String| name.to_ascii_lowercase();
    let is_later = fields.keys().map(lower).any(|name| LATER.iter().any(|word| name.starts_with(word)));
    if is_later {
        return Err(MessageError::NoType);
    }
    let fits = match topic {
        Topic::Order => (!failed && has(&["customerId", "items", "totalAmount"])).then_some(EventKind::OrderCreated),
        Topic::Inventory if says(&"shortages") || (has(&["shortages"]) && !has(&["reservations"])) => {
            Some(EventKind::InventoryInsufficient)
        }
        Topic::Inventory => (!failed && has(&["reservations"])).then_some(EventKind::InventoryReserved),
        Topic::Payment if failed => Some(EventKind::PaymentFailed),
        Topic::Payment => has(&["amount", "paymentMethod"]).then_some(EventKind::PaymentProcessed),
        Topic::Shipping => (!failed && has(&["orderId"])).then_some(EventKind::OrderShipped),
        Topic::Notification => None,
    };
    fits.ok_or(MessageError::NoType)
}
