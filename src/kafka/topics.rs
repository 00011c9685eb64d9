//! The topics: their names, and that each has as many partitions as the store has shards.

use super::client::{self, BrokerState, ClientCallbacks};
use super::troubles::{Trouble, TroubleKind};
use crate::config::KafkaSettings;
use crate::domain::{Roles, Shards, Topic};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use std::collections::HashMap;
use std::time::Duration;

/// What each topic and its dead letters' topic are called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicNames {
    prefix: String,
    suffix: String,
}

/// Why the topics are not as they must be for who writes.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// The brokers did not answer: try again.
    #[error("the brokers do not answer: {0}")]
    Away(#[source] KafkaError),
    /// One that is written here has fewer partitions, or is not there: told as a trouble, which a person must mend.
    #[error("topic {topic} has {has} partitions, but the store has {wants} shards")]
    Partitions {
        /// Which topic.
        topic: String,
        /// How many it has.
        has: i32,
        /// How many it must have.
        wants: i32,
    },
}

/// How many partitions each topic has, by its full name.
pub type Counts = HashMap<String, i32>;

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
pub(super) fn tell_count(state: &BrokerState, topic: &str, has: i32, shards: Shards) {
    let wants = i32::from(shards.count());
    if has == wants {
        return state.troubles().clear(TroubleKind::Partitions, topic, "");
    }
    let what_now = if has > wants {
        "what comes on those beyond is read and published again where it belongs; make the topic anew with the right number when you can"
            .to_owned()
    } else {
        format!(
            "orders of the others cannot be told there: add those that are missing (kafka-topics.sh --alter --topic {topic} --partitions \
             {wants}); what is on it stays, and it goes on by itself then. Or use another kafka.prefix, or a store that was created with \
             store.shards = {has}"
        )
    };
    tell(state, topic, format!("it has {has} partitions, but the store has {wants} shards, and each must be one partition"), what_now);
}

fn tell_missing(state: &BrokerState, topic: &str, code: RDKafkaErrorCode, shards: Shards) {
    let wants = shards.count();
    let what_now = format!(
        "create it with {wants} partitions (kafka-topics.sh --create --topic {topic} --partitions {wants}), or let ordermill's login CREATE \
         it; it goes on by itself then"
    );
    tell(state, topic, format!("it does not exist and could not be created: {code}"), what_now);
}

/// It is there, and the brokers do not show it.
fn tell_hidden(state: &BrokerState, topic: &str) {
    let what_now = "let ordermill's login DESCRIBE, READ and WRITE it; it goes on by itself then".to_owned();
    tell(state, topic, "it exists, but ordermill's login may not see it".to_owned(), what_now);
}

fn tell(state: &BrokerState, topic: &str, cause: String, remedy: String) {
    state.troubles().raise(Trouble { kind: TroubleKind::Partitions, topic: topic.to_owned(), partition: None, who: "", cause, remedy });
}

/// For who writes: creates what is missing, and sees that each topic that a role of ours writes has a partition for every shard.
///
/// # Errors
/// See [`TopicsError`].
pub async fn ensure(settings: &KafkaSettings, state: &BrokerState, shards: Shards, external: Roles) -> Result<(), TopicsError> {
    let counts = look(settings, state, shards).await.map_err(TopicsError::Away)?;
    let (names, wants) = (TopicNames::of(settings), i32::from(shards.count()));
    let written = Topic::ALL.into_iter().filter(|topic| topic.role().is_some_and(|role| !external.has(role)));
    for topic in written.map(|topic| names.of_topic(topic)) {
        let has = counts.get(&topic).copied().unwrap_or(0);
        if has < wants {
            return Err(TopicsError::Partitions { topic, has, wants });
        }
    }
    Ok(())
}

/// Creates the topics that are missing, and tells of those that are not as they should be.
///
/// # Errors
/// The brokers do not answer.
pub async fn look(settings: &KafkaSettings, state: &BrokerState, shards: Shards) -> Result<Counts, KafkaError> {
    let names = TopicNames::of(settings).all();
    let admin: AdminClient<ClientCallbacks> = client::config(settings, "topics")?.create_with_context(ClientCallbacks(state.clone()))?;
    let timeout = Duration::from_millis(settings.request_timeout_ms);
    let (admin, mut counts) = ask(admin, timeout).await?;
    let missing: Vec<&String> = names.iter().filter(|name| !counts.contains_key(*name)).collect();
    if !missing.is_empty() {
        let copies = if settings.replication == 0 { -1 } else { i32::from(settings.replication) };
        let new: Vec<NewTopic<'_>> = missing.iter().map(|name| new_topic(name, shards, copies)).collect();
        let options = AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
        let mut late = Vec::new();
        for created in admin.create_topics(&new, &options).await? {
            match created {
                Ok(topic) => drop(counts.insert(topic, shards.count().into())),
                // Somebody was faster.
                Err((topic, RDKafkaErrorCode::TopicAlreadyExists)) => late.push(topic),
                Err((topic, code)) => tell_missing(state, &topic, code, shards),
            }
        }
        if !late.is_empty() {
            counts.extend(ask(admin, timeout).await?.1);
        }
        late.iter().filter(|topic| !counts.contains_key(*topic)).for_each(|topic| tell_hidden(state, topic));
    }
    for (name, has) in counts.iter().filter(|(name, _)| names.contains(name)) {
        tell_count(state, name, *has, shards);
    }
    Ok(counts)
}

/// With more than two copies two must have an event before it counts as written.
fn new_topic(name: &str, shards: Shards, copies: i32) -> NewTopic<'_> {
    let topic = NewTopic::new(name, i32::from(shards.count()), TopicReplication::Fixed(copies));
    if copies > 2 { topic.set("min.insync.replicas", "2") } else { topic }
}

/// The question waits on a thread of its own.
async fn ask(admin: AdminClient<ClientCallbacks>, timeout: Duration) -> Result<(AdminClient<ClientCallbacks>, Counts), KafkaError> {
    let asking = move || {
        let metadata = admin.inner().fetch_metadata(None, timeout)?;
        let there = metadata.topics().iter().filter(|topic| topic.error().is_none() && !topic.partitions().is_empty());
        let count = |topic: &MetadataTopic| i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
        let counts = there.map(|topic| (topic.name().to_owned(), count(topic))).collect();
        Ok((admin, counts))
    };
    tokio::task::spawn_blocking(asking).await.map_err(|_| KafkaError::Canceled)?
}
