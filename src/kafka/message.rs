//! A record as it came, and why it cannot be taken.

use super::headers::Headers;
use crate::config::KafkaSettings;
use crate::config::kafka::{LocalTime, TypeNames};
use crate::domain::{Shards, Text, Topic};
use serde::{Deserialize, Serialize};

/// What a reader must know besides the message.
#[derive(Clone, Debug)]
pub struct Reading {
    /// How many shards the store has.
    pub shards: Shards,
    /// What the names of other teams mean.
    pub types: TypeNames,
    /// What a time without an offset is meant in.
    pub local_time: LocalTime,
    /// Whether `order_id` is `orderId`.
    pub snake_case: bool,
    /// The currency of payments; empty: it is not compared.
    pub currency: String,
}

impl Reading {
    /// As the settings have it.
    #[must_use]
    pub fn of(settings: &KafkaSettings, shards: Shards) -> Self {
        Self {
            shards,
            types: settings.types.clone(),
            local_time: settings.local_time,
            snake_case: settings.snake_case,
            currency: settings.currency.clone(),
        }
    }
}

/// Who dated a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Dated {
    /// Its producer.
    #[default]
    CreateTime,
    /// The broker that took it.
    LogAppendTime,
}

impl Dated {
    /// Its name in Kafka.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CreateTime => "CreateTime",
            Self::LogAppendTime => "LogAppendTime",
        }
    }
}

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
    /// Who dated it.
    pub dated: Dated,
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
    #[error("its {place} says that it is {name}, which is no event that is known; if it is one, map it in kafka.types")]
    UnknownType {
        /// Where it says so.
        place: Text<50>,
        /// What it says.
        name: Text<200>,
    },
    /// It says two things that cannot both be.
    #[error("it contradicts itself: {one}, but {other}")]
    TypeConflict {
        /// Where it says what.
        one: Text<200>,
        /// Where it says otherwise.
        other: Text<200>,
    },
    /// A known kind in a form that we do not know.
    #[error("version {version} of {kind} is not known")]
    UnknownVersion {
        /// Which kind.
        kind: &'static str,
        /// Which version.
        version: u32,
    },
    /// It does not say what it is, and its fields do not show it.
    #[error("it does not say what it is, and its fields do not fit exactly one event of this topic; name it by the header ce_type")]
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
    pub const CODES: [&'static str; 10] = [
        "empty-message",
        "message-too-long",
        "not-json",
        "not-an-object",
        "unknown-type",
        "unknown-version",
        "no-type",
        "wrong-topic",
        "bad-field",
        "type-conflict",
    ];

    /// A short code to group by.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty-message",
            Self::TooLong(_) => "message-too-long",
            Self::NotJson(_) => "not-json",
            Self::NotAnObject => "not-an-object",
            Self::UnknownType { .. } => "unknown-type",
            Self::TypeConflict { .. } => "type-conflict",
            Self::UnknownVersion { .. } => "unknown-version",
            Self::NoType => "no-type",
            Self::WrongTopic { .. } => "wrong-topic",
            Self::Field(_) => "bad-field",
        }
    }
}
