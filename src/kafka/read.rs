//! Takes a message apart: finds out what it is, checks what is needed, passes over what is not known.
//!
//! Its kind is what a name in it says (a header of CloudEvents or Spring, a field such as `eventType`, the outer key of
//! `{"OrderCreated": {…}}`), and only where nothing names it the fields that one kind of its topic alone has. So a message of another
//! team that follows the specification and no more is taken, and one that says that it is something else is not.

use super::open::{self, Opened};
use super::{names, read_body};
use crate::domain::{Event, EventKind, OrderId, Topic};
pub use crate::kafka::message::{Dated, LONGEST_VALUE, MessageError, Reading, Record};
use serde_json::Value;

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
pub fn read(record: &Record, reading: &Reading) -> Result<Event, Box<Unreadable>> {
    let mut found = Unreadable { error: MessageError::Empty, kind: None, order: order_of_key(record) };
    match read_noting(record, reading, &mut found) {
        Ok(event) => Ok(event),
        Err(error) => Err(Box::new(Unreadable { error, ..found })),
    }
}

fn read_noting(record: &Record, reading: &Reading, found: &mut Unreadable) -> Result<Event, MessageError> {
    let value = record.value.as_deref().filter(|value| !value.is_empty()).ok_or(MessageError::Empty)?;
    if value.len() > LONGEST_VALUE {
        return Err(MessageError::TooLong(value.len()));
    }
    let Opened { fields, names: inner } = open::open(value, reading.snake_case)?;
    found.order = fields.get("orderId").and_then(Value::as_str).and_then(|text| text.parse().ok()).or(found.order);
    let mut names = names::of_headers(&record.headers);
    names.extend(inner);
    let kind = match names::decide(&names, &fields, &reading.types, record.topic)? {
        Some(kind) => kind,
        None => names::by_fields(record.topic, &fields)?,
    };
    found.kind = Some(kind);
    let carried = kind.topic() == record.topic || (kind == EventKind::OrderShipped && record.topic == Topic::Shipping);
    if !carried {
        return Err(MessageError::WrongTopic { kind: kind.name() });
    }
    read_body::event(kind, fields, record, reading)
}

fn order_of_key(record: &Record) -> Option<OrderId> {
    std::str::from_utf8(record.key.as_deref()?).ok()?.trim_matches('"').parse().ok()
}

/// The kind that a header names, without looking into the value.
pub(super) fn declared_kind(record: &Record, reading: &Reading) -> Option<EventKind> {
    names::declared(&record.headers, &reading.types, record.topic)
}
