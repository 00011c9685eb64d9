//! The topics: their names, and that each has as many partitions as the store has shards.

use super::client::{self, BrokerState, ClientCallbacks};
use super::troubles::{Trouble, TroubleKind};
use crate::config::KafkaSettings;
use crate::domain::{Shards, Topic};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::HashMap;
use std::time::Duration;

/// What each topic and its dead letters' topic are called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicNames {
    prefix: String,
    suffix: String,
}

/// Why the topics are not as they must be.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// The brokers did not answer: try again.
    #[error("the brokers do not answer: {0}")]
    Away(#[source] KafkaError),
    /// A topic has another number of partitions: a person must mend it.
    #[error(
        "topic {topic} has {has} partitions, but the store has {wants} shards, and each must be one partition: \
         add the partitions that are missing (kafka-topics.sh --alter --topic {topic} --partitions {wants}); what is on it stays. Or use \
         another kafka.prefix, or a store that was created with store.shards = {has}"
    )]
    Partitions {
        /// Which topic.
        topic: String,
        /// How many it has.
        has: usize,
        /// How many it must have.
        wants: usize,
    },
    /// A topic could not be created: a person must mend it.
    #[error("topic {topic} could not be created: {code}")]
    NotCreated {
        /// Which topic.
        topic: String,
        /// What the brokers said.
        code: RDKafkaErrorCode,
    },
}

impl TopicNames {
    /// The names by these settings.
    #[must_use]
    pub fn of(settings: &KafkaSettings) -> Self {
        Self { prefix: settings.prefix.clone(), suffix: settings.dead_letter_suffix.clone() }
    }

    /// What a topic is called.
    #[must_use]
    pub fn of_topic(&self, topic: Topic) -> String {
        format!("{}{}", self.prefix, topic.name())
    }

    /// What its dead letters' topic is called.
    #[must_use]
    pub fn of_dead_letters(&self, topic: Topic) -> String {
        format!("{}{}{}", self.prefix, topic.name(), self.suffix)
    }

    /// The topic of that name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<Topic> {
        let bare = name.strip_prefix(self.prefix.as_str())?;
        Topic::ALL.into_iter().find(|topic| topic.name() == bare)
    }

    /// All names.
    fn all(&self) -> Vec<String> {
        Topic::ALL.into_iter().flat_map(|topic| [self.of_topic(topic), self.of_dead_letters(topic)]).collect()
    }
}

/// Tells of a topic that has another number of partitions than the store has shards. More do no harm where nobody writes to them; what
/// comes there is read and published again where it belongs.
pub(super) fn tell_count(state: &BrokerState, topic: &str, has: usize, shards: Shards) {
    let wants = usize::from(shards.count());
    if has == wants {
        return state.troubles().clear(TroubleKind::Partitions, topic, "");
    }
    let what_now = if has > wants {
        "what comes on those beyond is read and published again where it belongs; make the topic anew with the right number when you can"
    } else {
        "orders of the others cannot be told there: add those that are missing (kafka-topics.sh --alter); it goes on by itself then"
    };
    state.troubles().raise(Trouble {
        kind: TroubleKind::Partitions,
        topic: topic.to_owned(),
        partition: None,
        who: "",
        cause: format!("it has {has} partitions, but the store has {wants} shards, and each must be one partition"),
        remedy: what_now.to_owned(),
    });
}

/// Creates the topics that are missing and checks the number of partitions of all.
///
/// # Errors
/// See [`TopicsError`].
pub async fn ensure(settings: &KafkaSettings, state: &BrokerState, shards: Shards) -> Result<(), TopicsError> {
    let wants = usize::from(shards.count());
    let names = TopicNames::of(settings).all();
    let config = client::config(settings, "topics").map_err(TopicsError::Away)?;
    let admin: AdminClient<ClientCallbacks> = config.create_with_context(ClientCallbacks(state.clone())).map_err(TopicsError::Away)?;
    let timeout = Duration::from_millis(settings.request_timeout_ms);
    // The question waits on its thread; a task of its own lets this one go on.
    let asking = tokio::task::spawn_blocking(move || {
        let answer = partitions(&admin, timeout);
        (admin, answer)
    });
    let (admin, existing) = asking.await.map_err(|_| TopicsError::Away(KafkaError::Canceled))?;
    let existing = existing.map_err(TopicsError::Away)?;
    let mut missing = Vec::new();
    for name in &names {
        match existing.get(name) {
            None => missing.push(name),
            Some(has) if *has < wants => return Err(TopicsError::Partitions { topic: name.clone(), has: *has, wants }),
            Some(has) => tell_count(state, name, *has, shards),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let copies = if settings.replication == 0 { -1 } else { i32::from(settings.replication) };
    let new: Vec<NewTopic<'_>> = missing.iter().map(|name| new_topic(name, shards, copies)).collect();
    let options = AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
    for created in admin.create_topics(&new, &options).await.map_err(TopicsError::Away)? {
        match created {
            // Another node was faster: looked at again, its number is checked.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(TopicsError::NotCreated { topic, code }),
        }
    }
    Ok(())
}

/// With more than two copies two must have an event before it counts as written.
fn new_topic(name: &str, shards: Shards, copies: i32) -> NewTopic<'_> {
    let topic = NewTopic::new(name, i32::from(shards.count()), TopicReplication::Fixed(copies));
    if copies > 2 { topic.set("min.insync.replicas", "2") } else { topic }
}

fn partitions(admin: &AdminClient<ClientCallbacks>, timeout: Duration) -> Result<HashMap<String, usize>, KafkaError> {
    let metadata = admin.inner().fetch_metadata(None, timeout)?;
    let there = metadata.topics().iter().filter(|topic| topic.error().is_none() && !topic.partitions().is_empty());
    Ok(there.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect())
}
