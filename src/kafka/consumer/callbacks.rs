//! The client of a consuming role, and what it receives besides messages: lag and positions.

use super::parts::{ConsumerParts, Figures};
use crate::domain::{Role, Topic};
use crate::kafka::client::{self, ClientCallbacks};
use crate::kafka::topics::TopicNames;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{ConsumerContext, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

/// Where the client stands in a partition, as of its last statistics.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Position {
    pub(super) topic: String,
    pub(super) partition: i32,
    /// What it fetches next; past the markers of transactions, which are no messages.
    pub(super) next: i64,
    /// Behind the last record that we were given, markers included; negative if there was none.
    pub(super) given: i64,
}

/// Client callbacks that also receive the lag.
pub(super) struct ConsumerCallbacks {
    callbacks: ClientCallbacks,
    figures: Arc<Figures>,
    names: TopicNames,
    /// Where the client stands in partitions of which we were given everything.
    positions: Mutex<Vec<Position>>,
}

impl ConsumerCallbacks {
    /// What the last statistics said; once.
    pub(super) fn take_positions(&self) -> Vec<Position> {
        std::mem::take(&mut *self.positions.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for ConsumerCallbacks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.callbacks.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.callbacks.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let partitions = statistics.topics.iter().flat_map(|(topic, of)| of.partitions.values().map(move |one| (topic, one)));
        let mut lag = [0; Topic::ALL.len()];
        let mut positions = Vec::new();
        for (topic, one) in partitions.filter(|(_, one)| one.partition >= 0) {
            if let Some(of) = self.names.topic(topic).and_then(|topic| lag.get_mut(usize::from(topic.number()))) {
                *of += one.consumer_lag.max(0);
            }
            // Nothing waits to be given to us, so all before `next` was.
            if one.fetchq_cnt == 0 && one.next_offset >= 0 {
                let (next, given) = (one.next_offset, one.app_offset);
                positions.push(Position { topic: topic.clone(), partition: one.partition, next, given });
            }
        }
        for (of, lag) in self.figures.lag.iter().zip(lag) {
            of.store(lag, Ordering::Relaxed);
        }
        *self.positions.lock().unwrap_or_else(PoisonError::into_inner) = positions;
    }
}

impl ConsumerContext for ConsumerCallbacks {}

/// The client that reads for `role`.
pub(super) fn client_of(
    parts: &ConsumerParts,
    role: Role,
    figures: &Arc<Figures>,
    group: &str,
) -> Result<StreamConsumer<ConsumerCallbacks>, KafkaError> {
    let settings = &parts.settings;
    let mut config = client::config(settings, role.name())?;
    config.set("group.id", group);
    config.set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false");
    // A place that is not there any more is a gap that is to be told, not passed over.
    config.set("auto.offset.reset", "error");
    config.set("allow.auto.create.topics", "false");
    config.set("statistics.interval.ms", settings.statistics_ms.to_string());
    if !settings.properties.0.contains_key("isolation.level") {
        config.set("isolation.level", "read_committed");
    }
    config.create_with_context(ConsumerCallbacks {
        callbacks: ClientCallbacks(parts.state.clone()),
        figures: figures.clone(),
        names: TopicNames::of(settings),
        positions: Mutex::default(),
    })
}
