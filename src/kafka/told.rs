//! What the topics tell and the database does not have: what other nodes and teams have heard of commits that a failover has lost.

use super::client::{self, BrokerState, ClientCallbacks};
use super::headers::{self, Headers};
use super::topics::TopicNames;
use crate::config::KafkaSettings;
use crate::domain::{Roles, Topic, WriterId};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
pub use rdkafka::error::KafkaError as TopicError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// Times in a row that the brokers may have nothing to say before the end of a partition.
const SILENT: u32 = 3;

/// An event that stands in a topic, as its headers name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ToldEvent {
    kind: String,
    order: String,
    topic: String,
    partition: i32,
    offset: i64,
    /// Whose log it stood in, and its number there.
    pub place: (WriterId, i64),
}

impl fmt::Display for ToldEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, order, topic, partition, offset, place: (writer, seq) } = self;
        write!(f, "{kind} of order {order} ({topic}/{partition} at {offset}; number {seq} of writer {})", writer.0)
    }
}

/// The events in our topics since `since_ms` that are not stored, by what `is_stored` says of a log's number. Repeats are left out:
/// what they repeat stands in the topic before them.
///
/// # Errors
/// The brokers do not answer, or do not let this login read.
pub fn not_stored(
    settings: &KafkaSettings,
    external: Roles,
    since_ms: i64,
    is_stored: impl Fn((WriterId, i64)) -> bool,
) -> Result<Vec<ToldEvent>, KafkaError> {
    let mut config = client::config(settings, "verify")?;
    // It joins no group and commits nothing.
    config.set("group.id", "ordermill.verify").set("enable.auto.commit", "false");
    config.set("enable.partition.eof", "true").set("isolation.level", "read_committed");
    let client: BaseConsumer<ClientCallbacks> = config.create_with_context(ClientCallbacks(BrokerState::default()))?;
    let names = TopicNames::of(settings);
    let ours = Topic::ALL.into_iter().filter(|topic| topic.role().is_some_and(|role| !external.has(role)));
    let mut found = Vec::new();
    for topic in ours {
        read(&client, topic, &names.of_topic(topic), (since_ms, Duration::from_millis(settings.request_timeout_ms)), |told| {
            if !is_stored(told.place) {
                found.push(told);
            }
        })?;
    }
    Ok(found)
}

/// Reads one topic from that time on to where it ends now.
fn read(
    client: &BaseConsumer<ClientCallbacks>,
    topic: Topic,
    name: &str,
    (since_ms, limit): (i64, Duration),
    mut take: impl FnMut(ToldEvent),
) -> Result<(), KafkaError> {
    let metadata = client.fetch_metadata(Some(name), limit)?;
    let mut times = TopicPartitionList::new();
    let mut open = BTreeSet::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        times.add_partition_offset(name, partition.id(), Offset::Offset(since_ms))?;
        open.insert(partition.id());
    }
    if open.is_empty() {
        return Ok(());
    }
    client.assign(&client.offsets_for_times(times, limit)?)?;
    let mut silent = 0;
    while !open.is_empty() {
        match client.poll(limit) {
            Some(Ok(message)) => {
                silent = 0;
                told(topic, &message).into_iter().for_each(&mut take);
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) => return Err(error),
            None if silent < SILENT => silent += 1,
            None => return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut)),
        }
    }
    Ok(())
}

fn told(topic: Topic, message: &BorrowedMessage<'_>) -> Option<ToldEvent> {
    let all = Headers::of(message);
    let place = all.rests_on(topic).filter(|_| all.get(headers::REPEAT).is_none())?;
    Some(ToldEvent {
        kind: all.text(headers::TYPE)?.to_owned(),
        order: all.text(headers::SUBJECT)?.to_owned(),
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        place,
    })
}
