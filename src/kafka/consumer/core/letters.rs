//! Messages that became dead letters: how one is kept so that it can be tried again.

use super::gap::Gap;
use crate::domain::{DeadLetter, DeadLetterId, DeadLetterKind, DeadLetterState, OrderId, Role, Shards, Text, Timestamp, Topic};
use crate::kafka::headers::Headers;
use crate::kafka::message::{Dated, LONGEST_VALUE, MessageError, Record};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a message waits behind an earlier one of its order.
pub const WAITS: &str = "waits-for-earlier";

/// How much of a value that is too long to be an event is kept, in bytes.
const KEPT_OF_LONG: usize = 1_024;

/// Why a message became a letter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// A short code to group by.
    pub cause: String,
    /// What exactly happened.
    pub detail: String,
    /// How often it was tried.
    pub tries: u32,
}

/// Bytes as they stand in a letter: as text where they are.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Bytes {
    Text(String),
    Binary { base64: String },
}

impl Bytes {
    fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Binary { base64: BASE64.encode(bytes) },
        }
    }

    fn get(self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.into_bytes()),
            Self::Binary { base64 } => BASE64.decode(base64).ok(),
        }
    }
}

/// A letter's origin, as JSON.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Origin {
    topic: String,
    partition: i32,
    offset: i64,
    timestamp_ms: Option<i64>,
    #[serde(default)]
    dated: Dated,
    key: Option<Bytes>,
    headers: Vec<(String, Option<Bytes>)>,
    value: Option<Bytes>,
    /// The value's true length, where only its begin is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_bytes: Option<usize>,
    /// Whether it is on the dead letters' topic.
    #[serde(default, skip_serializing_if = "is_false")]
    copied: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Whether a letter's copy is on the dead letters' topic.
#[must_use]
pub fn is_copied(letter: &DeadLetter) -> bool {
    let origin = letter.origin.as_deref().and_then(|origin| serde_json::from_str::<Origin>(origin).ok());
    origin.is_some_and(|origin| origin.copied)
}

/// A letter's origin, marked as copied.
#[must_use]
pub fn copied(letter: &DeadLetter) -> Option<String> {
    let mut origin: Origin = serde_json::from_str(letter.origin.as_deref()?).ok()?;
    origin.copied = true;
    serde_json::to_string(&origin).ok()
}

/// The letter of records that were gone before they were read. `name`: the topic's, in full.
#[must_use]
pub fn lost(name: &str, gap: &Gap, role: Role, now: Timestamp) -> DeadLetter {
    let (topic, partition) = gap.partition;
    let place = format!("lost/{}/{}/{partition}/{}/{}", role.name(), topic.name(), gap.from, gap.low);
    DeadLetter {
        id: DeadLetterId(Uuid::new_v5(&Uuid::NAMESPACE_URL, place.as_bytes())),
        kind: DeadLetterKind::Message,
        role,
        order: None,
        shard: None,
        step: Text::lossy(topic.name()),
        cause: Text::lossy(LOST),
        detail: Text::lossy(&format!("{name} partition {partition}: {}", gap.told())),
        tries: 0,
        state: DeadLetterState::Open,
        created_at: now,
        closed_at: None,
        origin: None,
    }
}

/// Why there is a letter without a message: the brokers do not have it any more.
const LOST: &str = "records-lost";

/// The letter of a message. The same message at the same place is the same letter.
#[must_use]
pub fn letter(
    record: &Record,
    role: Role,
    step: &str,
    order: Option<OrderId>,
    shards: Shards,
    failure: &Failure,
    now: Timestamp,
) -> DeadLetter {
    // What cannot be read is the same trouble to every role that listens: one letter where they share a database.
    let whose = if MessageError::CODES.contains(&failure.cause.as_str()) { "" } else { role.name() };
    let place = format!("{whose}/{}/{}/{}/{:?}", record.topic.name(), record.partition, record.offset, record.timestamp_ms);
    DeadLetter {
        id: DeadLetterId(Uuid::new_v5(&Uuid::NAMESPACE_URL, place.as_bytes())),
        kind: DeadLetterKind::Message,
        role,
        order,
        shard: order.map(|order| shards.of(order)),
        step: Text::lossy(step),
        cause: Text::lossy(&failure.cause),
        detail: Text::lossy(&failure.detail),
        tries: failure.tries,
        state: DeadLetterState::Open,
        created_at: now,
        closed_at: None,
        origin: serde_json::to_string(&origin(record)).ok(),
    }
}

fn origin(record: &Record) -> Origin {
    let value = record.value.as_deref();
    let long = value.map(<[u8]>::len).filter(|length| *length > LONGEST_VALUE);
    let kept = if long.is_some() { value.and_then(|value| value.get(..KEPT_OF_LONG)) } else { value };
    Origin {
        topic: record.topic.name().to_owned(),
        partition: record.partition,
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        dated: record.dated,
        key: record.key.as_deref().map(Bytes::of),
        headers: record.headers.0.iter().map(|(name, value)| (name.clone(), value.as_deref().map(Bytes::of))).collect(),
        value: kept.map(Bytes::of),
        value_bytes: long,
        copied: false,
    }
}

/// The message of a letter; none if it is not whole any more.
#[must_use]
pub fn record(letter: &DeadLetter) -> Option<Record> {
    let origin: Origin = serde_json::from_str(letter.origin.as_deref()?).ok()?;
    if origin.value_bytes.is_some() {
        return None;
    }
    Some(Record {
        topic: Topic::ALL.into_iter().find(|topic| topic.name() == origin.topic)?,
        partition: origin.partition,
        offset: origin.offset,
        timestamp_ms: origin.timestamp_ms,
        dated: origin.dated,
        key: origin.key.and_then(Bytes::get),
        value: origin.value.and_then(Bytes::get),
        headers: Headers(origin.headers.into_iter().map(|(name, value)| (name, value.and_then(Bytes::get))).collect()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(value: &[u8]) -> Record {
        let mut headers = Headers::default();
        headers.add("text", "ü".as_bytes());
        headers.add("bytes", &[0xff, 0]);
        headers.0.push(("none".to_owned(), None));
        Record {
            topic: Topic::Payment,
            partition: 3,
            offset: 7,
            timestamp_ms: Some(1),
            dated: Dated::LogAppendTime,
            key: Some(b"k".to_vec()),
            value: Some(value.to_vec()),
            headers,
        }
    }

    fn letter_of(record: &Record) -> DeadLetter {
        let failure = Failure { cause: "not-json".to_owned(), detail: "x\u{0}".to_owned(), tries: 1 };
        letter(record, Role::Order, "PaymentProcessed", None, Shards::new(4).unwrap(), &failure, Timestamp(5))
    }

    #[test]
    fn a_message_comes_out_of_its_letter_as_it_went_in() {
        for value in [&b"{}"[..], b"\xff\xfe\x00", b"with \x00 inside"] {
            let sample = sample(value);
            let letter = letter_of(&sample);
            assert!(letter.origin.as_deref().is_some_and(|origin| !origin.contains('\u{0}')), "no database would take it");
            assert_eq!(record(&letter), Some(sample));
        }
        assert_eq!(letter_of(&sample(b"a")).id, letter_of(&sample(b"b")).id, "the place is the identity");
    }

    #[test]
    fn a_value_that_is_too_long_is_cut() {
        let letter = letter_of(&sample(&vec![b'x'; 10 * LONGEST_VALUE]));
        assert!(letter.origin.as_deref().is_some_and(|origin| origin.len() < 3 * KEPT_OF_LONG));
        assert_eq!(record(&letter), None);
    }
}
