//! Header names and their values. CloudEvents 1.0 in binary mode, W3C trace context, and our own.

use crate::domain::{EventKind, Role, Topic, WriterId};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

/// CloudEvents: version of its specification.
pub const SPEC_VERSION: &str = "ce_specversion";
/// CloudEvents: the event's id.
pub const ID: &str = "ce_id";
/// CloudEvents: who says it.
pub const SOURCE: &str = "ce_source";
/// CloudEvents: what kind it is, with its version.
pub const TYPE: &str = "ce_type";
/// CloudEvents: the order.
pub const SUBJECT: &str = "ce_subject";
/// CloudEvents: when it became true.
pub const TIME: &str = "ce_time";
/// CloudEvents: where its schema is.
pub const DATA_SCHEMA: &str = "ce_dataschema";
/// CloudEvents: the record's key.
pub const PARTITION_KEY: &str = "ce_partitionkey";
/// CloudEvents: the value's form.
pub const CONTENT_TYPE: &str = "content-type";
/// W3C trace context.
pub const TRACE_PARENT: &str = "traceparent";
/// The request that placed the order.
pub const CORRELATION: &str = "correlationId";
/// Whose log the event stands in.
pub const WRITER: &str = "writer";
/// Its number there.
pub const SEQ: &str = "seq";
/// It was said before: do what was not done, count nothing.
pub const REPEAT: &str = "repeat";
/// Of a repeat: the writer that said it, and how far its log went.
pub const SAID_AT: &str = "saidAt";
/// The roles that have it already, with commas between.
pub const LOCAL: &str = "local";
/// What Spring's JSON serialiser writes: the class's name.
pub const SPRING_TYPE: &str = "__TypeId__";

/// What every `ce_type` begins with.
pub const TYPE_PREFIX: &str = "ordermill.";

/// The version of every event's form. Optional fields are added within it.
pub const VERSION: u32 = 1;

/// A record's headers, in order. A value may be missing (Kafka's null).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Headers(pub Vec<(String, Option<Vec<u8>>)>);

impl Headers {
    /// Room for `count`.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// Those of a message.
    #[must_use]
    pub fn of(message: &BorrowedMessage<'_>) -> Self {
        let all = message.headers().into_iter().flat_map(|all| all.iter());
        Self(all.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect())
    }

    /// Adds one at the end.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        self.0.push((name.to_owned(), Some(value.to_vec())));
    }

    /// The value of the last one of that name: as in Kafka, a later one wins.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rev().find(|(known, _)| known == name).and_then(|(_, value)| value.as_deref())
    }

    /// The same, where it is text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The log that must be there for the message to be true, and up to which number: where the event stands, or what a repeat rests on.
    /// None of what no node of ours has said.
    #[must_use]
    pub fn rests_on(&self, topic: Topic) -> Option<(WriterId, i64)> {
        if self.get(SOURCE) != Some(source(topic)) {
            return None;
        }
        let (writer, seq) = match (self.text(WRITER), self.text(SEQ)) {
            (Some(writer), Some(seq)) => (writer, seq),
            _ => self.text(SAID_AT)?.split_once('/')?,
        };
        Some((WriterId(writer.parse().ok()?), seq.parse().ok()?))
    }

    /// Whether `role` had it where it was written.
    #[must_use]
    pub fn was_local_to(&self, role: Role) -> bool {
        self.text(LOCAL).is_some_and(|roles| roles.split(',').any(|name| name == role.name()))
    }
}

/// `ce_source` of what stands in `topic`: the role that writes it.
#[must_use]
pub fn source(topic: Topic) -> &'static [u8] {
    match topic {
        Topic::Order => b"/ordermill/order",
        Topic::Inventory => b"/ordermill/inventory",
        Topic::Payment => b"/ordermill/payment",
        Topic::Notification => b"/ordermill/notification",
        Topic::Shipping => b"/ordermill/shipping",
    }
}

/// `ce_type` of a kind.
#[must_use]
pub fn type_of(kind: EventKind) -> String {
    format!("{TYPE_PREFIX}{}.v{VERSION}", kind.name())
}

/// `ce_dataschema` of a kind: the name of its schema, `KIND` under `components/schemas` of `/asyncapi.json`. CloudEvents wants an absolute
/// URI, and of the addresses of a node none is everybody's.
#[must_use]
pub fn schema_of(kind: EventKind) -> String {
    format!("urn:ordermill:schema:{}:v{VERSION}", kind.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_ours_names_what_it_rests_on() {
        let rests_on = |all: &[(&str, &str)]| {
            let mut headers = Headers::default();
            all.iter().for_each(|(name, value)| headers.add(name, value.as_bytes()));
            headers.rests_on(Topic::Payment)
        };
        let ours = (SOURCE, "/ordermill/payment");
        assert_eq!(rests_on(&[ours, (WRITER, "3"), (SEQ, "12")]), Some((WriterId(3), 12)));
        assert_eq!(rests_on(&[ours, (REPEAT, "true"), (SAID_AT, "3/40")]), Some((WriterId(3), 40)));
        for others in [
            &[(WRITER, "3"), (SEQ, "12")][..],
            &[(SOURCE, "/shop/payment"), (WRITER, "3"), (SEQ, "12")],
            &[(SOURCE, "/ordermill/order"), (WRITER, "3"), (SEQ, "12")],
            &[ours],
            &[ours, (WRITER, "me"), (SEQ, "12")],
            &[ours, (REPEAT, "true"), (SAID_AT, "3")],
        ] {
            assert_eq!(rests_on(others), None, "{others:?}");
        }
    }
}
