//! What the consumer asks the brokers beside reading: where it was, what they still have, and whether it may read.

use super::callbacks::ConsumerCallbacks;
use super::core::assignment::PartitionId;
use super::core::gap::Gap;
use crate::config::KafkaSettings;
use crate::kafka::client::{self, BrokerState, ClientCallbacks};
use crate::kafka::topics::Counts;
use rdkafka::consumer::{BaseConsumer, Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A partition by its topic's full name.
pub(super) type Place = (String, i32);

/// Where the group was.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The offsets that it has committed; none of a partition that it never heard.
    pub(super) committed: HashMap<Place, i64>,
    /// The topics of which it is not told.
    pub(super) refused: HashMap<String, RDKafkaErrorCode>,
}

/// The offsets that the group has committed.
pub(super) async fn committed(
    client: &Arc<StreamConsumer<ConsumerCallbacks>>,
    list: TopicPartitionList,
    limit: Duration,
) -> Result<Known, KafkaError> {
    let client = client.clone();
    let found = blocking(move || client.committed_offsets(list, limit)).await?;
    let mut known = Known::default();
    for one in found.elements() {
        if let Err(error) = one.error() {
            match error.rdkafka_error_code() {
                // The group's refusal is one of all.
                Some(code) if client::is_refusal(code) && code != RDKafkaErrorCode::GroupAuthorizationFailed => {
                    known.refused.insert(one.topic().to_owned(), code);
                }
                Some(_) | None => return Err(error),
            }
        }
        if let Offset::Offset(offset) = one.offset() {
            known.committed.insert((one.topic().to_owned(), one.partition()), offset);
        }
    }
    Ok(known)
}

/// Of these partitions and what should come next in each: those where the brokers do not have it.
pub(super) async fn gaps(
    client: &Arc<StreamConsumer<ConsumerCallbacks>>,
    places: Vec<(PartitionId, String, i64)>,
    limit: Duration,
) -> Result<Vec<Gap>, KafkaError> {
    let client = client.clone();
    blocking(move || {
        let mut found = Vec::new();
        for (partition, topic, from) in places {
            let (low, high) = client.fetch_watermarks(&topic, partition.1, limit)?;
            found.extend(Gap::at(partition, from, low, high));
        }
        Ok(found)
    })
    .await
}

/// How many partitions each of these topics has; what does not exist has none. Topics that cannot be described are left out.
pub(super) async fn counts(
    client: &Arc<StreamConsumer<ConsumerCallbacks>>,
    topics: Vec<String>,
    limit: Duration,
) -> Result<Counts, KafkaError> {
    let client = client.clone();
    blocking(move || {
        let mut all = Counts::new();
        for name in topics {
            let metadata = client.fetch_metadata(Some(&name), limit)?;
            let found = metadata.topics().iter().find(|topic| topic.name() == name && topic.error().is_none());
            if let Some(count) = found.and_then(|topic| i32::try_from(topic.partitions().len()).ok()) {
                all.insert(name, count);
            }
        }
        Ok(all)
    })
    .await
}

/// Whether these may be read: the brokers' refusal of each that may not. A client of its own asks, as one that reads is told once only.
pub(super) async fn refusals(
    settings: &KafkaSettings,
    state: &BrokerState,
    group: &str,
    places: Vec<Place>,
) -> Result<Vec<(Place, Option<RDKafkaErrorCode>)>, KafkaError> {
    let mut config = client::config(settings, "may-read")?;
    config.set("group.id", group);
    config.set("enable.auto.commit", "false");
    config.set("enable.partition.eof", "true");
    config.set("allow.auto.create.topics", "false");
    let limit = Duration::from_millis(settings.request_timeout_ms);
    let callbacks = ClientCallbacks(state.clone());
    blocking(move || {
        let mut found = Vec::new();
        for place in places {
            let client: BaseConsumer<ClientCallbacks> = config.create_with_context(callbacks.clone())?;
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&place.0, place.1, Offset::End)?;
            client.assign(&list)?;
            let refused = refusal(&client, limit, client::is_refusal);
            found.push((place, refused.and_then(|error| error.rdkafka_error_code())));
        }
        Ok(found)
    })
    .await
}

/// Whether the group may be used: the brokers' refusal if not. A client of its own asks: one that is told that it may not find the
/// group's coordinator says so once in its life, and afterwards that the answer is late.
pub(super) async fn group_refusal(
    settings: &KafkaSettings,
    state: &BrokerState,
    group: &str,
    place: Place,
) -> Result<Option<KafkaError>, KafkaError> {
    let mut config = client::config(settings, "may-use-group")?;
    config.set("group.id", group);
    config.set("enable.auto.commit", "false");
    let limit = Duration::from_millis(settings.request_timeout_ms);
    let callbacks = ClientCallbacks(state.clone());
    blocking(move || {
        let client: BaseConsumer<ClientCallbacks> = config.create_with_context(callbacks)?;
        let mut list = TopicPartitionList::new();
        list.add_partition(&place.0, place.1);
        let answer = client.committed_offsets(list, limit);
        let answer = answer.and_then(|found| found.elements().iter().try_for_each(|one| one.error()));
        let is_refusal = |code| code == RDKafkaErrorCode::GroupAuthorizationFailed;
        let Err(error) = answer else { return Ok(None) };
        if error.rdkafka_error_code().is_some_and(is_refusal) {
            return Ok(Some(error));
        }
        // What it was told meanwhile.
        Ok(refusal(&client, Duration::ZERO, is_refusal))
    })
    .await
}

/// The first refusal that the client is told of within the limit. The end of the partition, or a message, is a yes; so is no answer, which
/// others tell of.
fn refusal(client: &BaseConsumer<ClientCallbacks>, limit: Duration, is_refusal: impl Fn(RDKafkaErrorCode) -> bool) -> Option<KafkaError> {
    let end = Instant::now() + limit;
    while let Some(told) = client.poll(end.saturating_duration_since(Instant::now())) {
        match told {
            Ok(_) | Err(KafkaError::PartitionEOF(_)) => return None,
            Err(error) if error.rdkafka_error_code().is_some_and(&is_refusal) => return Some(error),
            Err(_) => {}
        }
    }
    None
}

async fn blocking<T: Send + 'static>(ask: impl FnOnce() -> Result<T, KafkaError> + Send + 'static) -> Result<T, KafkaError> {
    tokio::task::spawn_blocking(ask).await.map_err(|_| KafkaError::Canceled)?
}
