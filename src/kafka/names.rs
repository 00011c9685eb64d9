//! What a message says that it is: the names that stand in its headers and its body, and which event of ours each of them means.
//!
//! A name that is given and is not known is never guessed past, for the next guess could be that money was paid. Fields decide only
//! where nothing names the event, and only where they fit one event.

use super::headers::{self, Headers};
use crate::config::kafka::{Meaning, TypeNames};
use crate::domain::{EventKind, Text, Topic};
use crate::kafka::message::MessageError;
use serde_json::{Map, Value};

/// What sort of a name it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sort {
    /// It names the event and is nothing else.
    Name,
    /// It may be something else where another name is given: the field `type`.
    Type,
    /// So may this: how something stands, as `status` or `paymentResult`.
    State,
}

/// A name that a message gives to what it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Given {
    /// Where it stands, for people.
    pub(super) place: String,
    /// The name.
    pub(super) name: String,
    pub(super) sort: Sort,
}

impl Given {
    pub(super) fn strong(place: impl Into<String>, name: &str) -> Self {
        Self { place: place.into(), name: name.to_owned(), sort: Sort::Name }
    }

    fn is_weak(&self) -> bool {
        self.sort != Sort::Name
    }

    fn unknown(&self) -> MessageError {
        MessageError::UnknownType { place: Text::lossy(&self.place), name: Text::lossy(&self.name) }
    }
}

/// Headers that name an event, without case and punctuation, the first one first: CloudEvents', the class that Spring's JSON serialiser
/// writes, and those that teams make up.
const HEADERS: [&str; 9] =
    ["cetype", "typeid", "eventtype", "messagetype", "xeventtype", "eventname", "messagename", "cloudeventstype", "type"];

/// Fields of a body that name an event and are nothing else, in the same way.
const NAME_FIELDS: [&str; 6] = ["eventtype", "eventname", "messagetype", "messagename", "detailtype", "typename"];

/// The last words of fields that tell how something stands, and the first words that they may have.
const STATES: [&str; 8] = ["status", "state", "result", "outcome", "decision", "statuscode", "resultcode", "responsecode"];
const WHOSE: [&str; 13] = [
    "",
    "order",
    "payment",
    "transaction",
    "charge",
    "capture",
    "authorization",
    "shipment",
    "delivery",
    "reservation",
    "inventory",
    "stock",
    "event",
];

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

/// Letters and figures alone, small: `event_type`, `Event-Type` and `eventType` are the same.
fn plain(name: &str) -> impl Iterator<Item = char> + '_ {
    name.chars().filter(|c| c.is_alphanumeric()).map(|c| c.to_ascii_lowercase())
}

/// The names in the headers. Of those with one name a later one wins.
pub(super) fn of_headers(headers: &Headers) -> Vec<Given> {
    let mut all = Vec::new();
    for known in HEADERS {
        let mut seen: Vec<&str> = Vec::new();
        for (header, _) in headers.0.iter().rev().filter(|(header, _)| plain(header).eq(known.chars())) {
            let name = headers.text(header).unwrap_or_default().trim().trim_matches('"');
            if !seen.contains(&header.as_str()) && !name.is_empty() {
                all.push(Given::strong(format!("header {header}"), name));
            }
            seen.push(header);
        }
    }
    all
}

/// What sort of a name stands in a field; none: it names nothing.
fn sort_of(field: &str) -> Option<Sort> {
    let letters: String = plain(field).collect();
    let is_state = || WHOSE.iter().any(|whose| letters.strip_prefix(whose).is_some_and(|state| STATES.contains(&state)));
    match letters.as_str() {
        // `@type` and `$type` are a library's; a type alone may be a card's.
        "type" => Some(if field.starts_with(|c: char| c.is_alphanumeric()) { Sort::Type } else { Sort::Name }),
        "class" if !field.starts_with(|c: char| c.is_alphanumeric()) => Some(Sort::Name),
        name if NAME_FIELDS.contains(&name) => Some(Sort::Name),
        _ if is_state() => Some(Sort::State),
        _ => None,
    }
}

/// The names in the fields of a body that has no wrapper any more, those first that are nothing else.
pub(super) fn of_fields(fields: &Map<String, Value>, names: &mut Vec<Given>) {
    let mut weak = Vec::new();
    for (field, value) in fields {
        match sort_of(field) {
            Some(Sort::Name) => names.push(Given::strong(field, &text_of(value))),
            Some(sort) => weak.push(Given { place: field.clone(), name: text_of(value), sort }),
            None if field == "event" => names.extend(value.as_str().map(|name| Given::strong(field, name))),
            None => {}
        }
    }
    weak.sort_by_key(|given| given.sort == Sort::State);
    names.append(&mut weak);
}

/// The names that stand on an envelope: what is called `type` there is the content's.
pub(super) fn of_envelope(fields: &Map<String, Value>) -> Vec<Given> {
    let named = |(field, value): (&String, &Value)| {
        let is_name = matches!(sort_of(field), Some(Sort::Name | Sort::Type)) || field == "event";
        value.as_str().filter(|_| is_name).map(|name| Given::strong(field, name))
    };
    fields.iter().filter_map(named).collect()
}

/// What an envelope tells of how its content stands is the content's as much as its own.
pub(super) fn states_of(fields: &Map<String, Value>, names: &mut Vec<Given>) {
    let state = |(field, _): &(&String, &Value)| sort_of(field) == Some(Sort::State);
    names.extend(fields.iter().filter(state).map(|(field, value)| Given { place: field.clone(), name: text_of(value), sort: Sort::State }));
}

/// Whatever stands there is a name, be it no text.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Array(items) => match items.as_slice() {
            [Value::String(only)] => only.trim().to_owned(),
            _ => value.to_string(),
        },
        Value::Number(_) | Value::Null | Value::Bool(_) | Value::Object(_) => value.to_string(),
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
    let is_named = names.iter().any(|given| !given.is_weak() && meaning(given, types, topic) != Named::Nothing);
    let mut found: Option<(EventKind, &Given)> = None;
    for given in names {
        match (meaning(given, types, topic), found) {
            (Named::Nothing, _) => {}
            (Named::Event(kind), None) => found = Some((kind, given)),
            (Named::Event(kind), Some((before, _))) if kind == before => {}
            (Named::Event(_), Some((_, first))) => return Err(contradiction(first, given)),
            (Named::Version(kind, version), None) => return Err(MessageError::UnknownVersion { kind: kind.name(), version }),
            (Named::Unknown, None) if !(is_named && given.is_weak()) => return Err(given.unknown()),
            // Another name has said what it is; this one may be anything, but must not deny it.
            (Named::Unknown | Named::Version(..), Some((kind, first))) if denies(kind, &given.name) => {
                return Err(contradiction(first, given));
            }
            (Named::Unknown | Named::Version(..), _) => {}
        }
    }
    match found {
        Some((kind, first)) if is_success(kind) => match denied_by_flag(fields) {
            Some(flag) => Err(contradiction(first, &Given::strong(flag, &fields.get(flag).map(Value::to_string).unwrap_or_default()))),
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
    let of_status = || (given.sort == Sort::State && is_of(&given.place, topic)).then(|| of_status(stem, topic)).flatten();
    match of_name(stem).or_else(of_status) {
        Some(kind) if version == headers::VERSION => Named::Event(kind),
        Some(kind) => Named::Version(kind, version),
        None => Named::Unknown,
    }
}

/// `PaymentFailed`, `com.shop.PaymentFailedEvent`, `Outer$PaymentFailed`, `Shop.PaymentFailed, Shop.Events` (.NET), `PAYMENT_FAILED`,
/// `payment.failed`. No word may be left over: a partial payment is no payment.
fn of_name(name: &str) -> Option<EventKind> {
    let name = name.split_once(", ").map_or(name, |(class, _assembly)| class);
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

/// Whether a field tells of the status of what the topic is about: an order's tells nothing of a payment.
fn is_of(field: &str, topic: Topic) -> bool {
    let letters: String = plain(field).collect();
    let whose = letters.strip_suffix("status").or_else(|| letters.strip_suffix("state"));
    whose.is_some_and(|whose| whose.is_empty() || whose == noun(topic) || (topic == Topic::Shipping && whose == "shipment"))
}

/// A status is the event's own word without its noun: `FAILED` on the payments' topic.
fn of_status(status: &str, topic: Topic) -> Option<EventKind> {
    of_words(&format!("{}{status}", noun(topic)))
}

fn noun(topic: Topic) -> &'static str {
    match topic {
        Topic::Order | Topic::Shipping => "order",
        Topic::Inventory => "inventory",
        Topic::Payment => "payment",
        Topic::Notification => "notification",
    }
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
const NO_FIELDS: [&str; 5] = ["failed", "declined", "rejected", "refused", "error"];

/// The field that says no.
fn denied_by_flag(fields: &Map<String, Value>) -> Option<&str> {
    let says_no = |(field, value): &(&String, &Value)| {
        let letters: String = plain(field).collect();
        let of =
            |word: &str, flags: &[&str]| flags.contains(&word) || word.strip_prefix("payment").is_some_and(|flag| flags.contains(&flag));
        let word = letters.strip_prefix("is").or_else(|| letters.strip_prefix("was")).unwrap_or(&letters);
        (truth(value) == Some(false) && of(word, &YES_FIELDS)) || (truth(value) == Some(true) && of(word, &NO_FIELDS))
    };
    fields.iter().find(says_no).map(|(field, _)| field.as_str())
}

/// Yes or no, in the ways in which it is written.
fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::Number(number) => number.as_i64().and_then(|number| (0..=1).contains(&number).then_some(number == 1)),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "y" | "1" => Some(true),
            "false" | "no" | "n" | "0" => Some(false),
            _ => None,
        },
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Fields that tell why something failed, the one that says best why first; without case and punctuation.
const FAILURES: [&str; 12] = [
    "reason",
    "failurereason",
    "declinereason",
    "rejectionreason",
    "errormessage",
    "failuremessage",
    "error",
    "errorcode",
    "failurecode",
    "declinecode",
    "reasoncode",
    "errors",
];

/// What tells why something failed.
pub(super) fn failures(fields: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let of = |name: &&str| fields.iter().find(|(field, value)| plain(field).eq(name.chars()) && !is_nothing(value)).map(|(_, value)| value);
    FAILURES.iter().filter_map(of)
}

/// No, nothing, none.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.trim().is_empty() || truth(value) == Some(false),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) => false,
    }
}

/// Parts of the names of fields that tell of a failure in words of somebody's own, or of something that comes later than the events which
/// fields alone may tell.
const OTHER: [&str; 19] = [
    "fail",
    "declin",
    "reject",
    "error",
    "refus",
    "denied",
    "denial",
    "refund",
    "cancel",
    "void",
    "chargeback",
    "dispute",
    "revers",
    "release",
    "return",
    "delivered",
    "expire",
    "settle",
    "pending",
];

/// The event that the fields tell, where nothing names one: where they fit exactly one event of the topic.
pub(super) fn by_fields(topic: Topic, fields: &Map<String, Value>) -> Result<EventKind, MessageError> {
    let has = |names: &[&str]| names.iter().all(|name| fields.contains_key(*name));
    let says = |name: &str| fields.get(name).is_some_and(|value| !is_nothing(value));
    let flag = denied_by_flag(fields);
    let failed = flag.is_some() || failures(fields).next().is_some();
    let is_other = |(field, value): (&String, &Value)| {
        let letters: String = plain(field).collect();
        let is_known = FAILURES.contains(&letters.as_str()) || flag == Some(field.as_str());
        !is_known && !is_nothing(value) && OTHER.iter().any(|word| letters.contains(word))
    };
    if fields.iter().any(is_other) {
        return Err(MessageError::NoType);
    }
    let fits = match topic {
        Topic::Order => (!failed && has(&["customerId", "items", "totalAmount"])).then_some(EventKind::OrderCreated),
        Topic::Inventory if says("shortages") || (has(&["shortages"]) && !has(&["reservations"])) => Some(EventKind::InventoryInsufficient),
        Topic::Inventory => (!failed && has(&["reservations"])).then_some(EventKind::InventoryReserved),
        Topic::Payment if failed => Some(EventKind::PaymentFailed),
        Topic::Payment => has(&["amount", "paymentMethod"]).then_some(EventKind::PaymentProcessed),
        Topic::Shipping => (!failed && has(&["orderId"])).then_some(EventKind::OrderShipped),
        Topic::Notification => None,
    };
    fits.ok_or(MessageError::NoType)
}
