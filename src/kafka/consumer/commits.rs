//! Commits of offsets: one at a time, each awaited, so that a refusal is known, told, and made good when it is over.
//!
//! A commit that is not awaited would be never heard of: the library does not call back for it (rust-rdkafka #856, 0.39).

use super::run::Run;
use crate::domain::Topic;
use crate::kafka::client::{self, Brokers};
use crate::kafka::troubles::{Trouble, TroubleKind};
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A commit under way, on a thread of its own: how it ended for each topic.
pub(super) type Committing = JoinHandle<Vec<(Topic, Result<(), KafkaError>)>>;

/// A partition that was given up, and is to be committed up to there.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) next: i64,
    /// Whether the commit under way has it.
    pub(super) is_sent: bool,
}

impl Run<'_> {
    /// Commits what is done, if nothing is being committed.
    pub(super) async fn commit(&mut self) {
        if self.committing.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        self.end_commit(Duration::MAX).await;
        self.begin_commit();
    }

    /// Commits what is done at the end, and waits for it as long as the brokers may take for an answer.
    pub(super) async fn commit_whole(&mut self) {
        let limit = match self.shared.parts.state.get() {
            Brokers::Away(_) => Duration::ZERO,
            Brokers::Up | Brokers::Unknown | Brokers::Refused(_) => Duration::from_millis(self.shared.parts.settings.request_timeout_ms),
        };
        if self.end_commit(limit).await {
            self.begin_commit();
            self.end_commit(limit).await;
        }
    }

    /// By topic, for of several topics that fail in part nothing is told.
    fn begin_commit(&mut self) {
        let mut lists: BTreeMap<Topic, TopicPartitionList> = BTreeMap::new();
        // One that came back meanwhile is committed as one that is here.
        self.leaving.retain(|key, _| !self.partitions.contains_key(key));
        for ((topic, number), leaving) in &mut self.leaving {
            let list = lists.entry(*topic).or_default();
            drop(list.add_partition_offset(&self.names.of_topic(*topic), *number, Offset::Offset(leaving.next)));
            leaving.is_sent = true;
        }
        for ((topic, number), partition) in &mut self.partitions {
            if let Some(next) = partition.window.take_commit()
                && lists
                    .entry(*topic)
                    .or_default()
                    .add_partition_offset(&self.names.of_topic(*topic), *number, Offset::Offset(next))
                    .is_err()
            {
                partition.window.not_committed();
            }
        }
        if lists.is_empty() {
            return;
        }
        let client = self.client.clone();
        self.committing = Some(tokio::task::spawn_blocking(move || {
            lists.into_iter().map(|(topic, list)| (topic, client.commit(&list, CommitMode::Sync))).collect()
        }));
    }

    /// Takes note of how the commit ended. `false`: it has not, within the limit.
    async fn end_commit(&mut self, limit: Duration) -> bool {
        let Some(task) = self.committing.as_mut() else { return true };
        let Ok(ended) = timeout(limit, task).await else { return false };
        self.committing = None;
        // Of what was given up it is tried once: who listens to it now hears the last of it again then, or has come further.
        self.leaving.retain(|_, leaving| !leaving.is_sent);
        let Ok(ended) = ended else {
            // It panicked, and nothing is known.
            self.partitions.values_mut().for_each(|partition| partition.window.not_committed());
            return true;
        };
        for (topic, ended) in ended {
            match ended {
                Ok(()) => {
                    let name = self.names.of_topic(topic);
                    self.shared.parts.state.troubles().clear(TroubleKind::Commit, &name, self.shared.role.name());
                }
                Err(error) => self.not_committed(topic, &error),
            }
        }
        true
    }

    /// It is done again with the next one.
    fn not_committed(&mut self, of: Topic, error: &KafkaError) {
        for ((topic, _), partition) in &mut self.partitions {
            if *topic == of {
                partition.window.not_committed();
            }
        }
        if error.rdkafka_error_code().is_some_and(client::is_absence) {
            tracing::debug!(error = %error, "offsets were not committed; trying again");
            return self.ask_group();
        }
        // Of a topic that was given up nobody would say that it is over.
        if self.partitions.keys().any(|(topic, _)| *topic == of) {
            self.commit_refused(of, error);
        }
    }

    /// Told until a commit is taken.
    pub(super) fn commit_refused(&self, of: Topic, error: &KafkaError) {
        let remedy = format!(
            "grant READ on group {} and on the topic to ordermill's login; until then messages are heard again after a restart",
            self.processor.group
        );
        self.shared.parts.state.troubles().raise(Trouble {
            kind: TroubleKind::Commit,
            topic: self.names.of_topic(of),
            partition: None,
            who: self.shared.role.name(),
            cause: format!("offsets are not committed: {error}"),
            remedy,
        });
    }
}
