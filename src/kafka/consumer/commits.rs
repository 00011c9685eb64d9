//! Commits of offsets: one at a time, each awaited, so that a refusal is known, told, and made good when it is over.
//!
//! A commit that is not awaited would be never heard of: the library does not call back for it (rust-rdkafka #856, 0.39).

use super::state::Run;
use crate::domain::Topic;
use crate::kafka::client::{self, Brokers};
use crate::kafka::troubles::TroubleKind;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::timeout;

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
            Brokers::Up | Brokers::Unknown | Brokers::Refused(_) => self.limit(),
        };
        if self.end_commit(limit).await {
            self.begin_commit();
            self.end_commit(limit).await;
        }
    }

    /// By topic, for of several topics that fail in part nothing is told.
    fn begin_commit(&mut self) {
        let offsets = self.core.to_commit();
        if offsets.is_empty() {
            return;
        }
        let list = |(topic, all): (Topic, Vec<(i32, i64)>)| {
            let list = self.list(all.into_iter().map(|(partition, next)| ((topic, partition), Offset::Offset(next))));
            (topic, list)
        };
        let lists: Vec<(Topic, Result<TopicPartitionList, KafkaError>)> = offsets.into_iter().map(list).collect();
        let client = self.client.clone();
        self.committing = Some(tokio::task::spawn_blocking(move || {
            lists.into_iter().map(|(topic, list)| (topic, list.and_then(|list| client.commit(&list, CommitMode::Sync)))).collect()
        }));
    }

    /// Takes note of how the commit ended. `false`: it has not, within the limit.
    async fn end_commit(&mut self, limit: Duration) -> bool {
        let Some(task) = self.committing.as_mut() else { return true };
        let Ok(ended) = timeout(limit, task).await else { return false };
        self.committing = None;
        let Ok(ended) = ended else {
            // It panicked, and nothing is known.
            self.core.committed(&Topic::ALL.into_iter().collect());
            return true;
        };
        let failed: BTreeSet<Topic> = ended.iter().filter(|(_, ended)| ended.is_err()).map(|(topic, _)| *topic).collect();
        self.core.committed(&failed);
        for (topic, ended) in ended {
            match ended {
                Ok(()) => self.over(TroubleKind::Commit, &self.names.of_topic(topic)),
                Err(error) => self.not_committed(topic, &error),
            }
        }
        true
    }

    /// It is done again with the next one.
    fn not_committed(&mut self, of: Topic, error: &KafkaError) {
        if error.rdkafka_error_code().is_some_and(client::is_absence) {
            tracing::debug!(error = %error, "offsets were not committed; trying again");
            return self.ask_group();
        }
        // Of a topic that was given up nobody would say that it is over.
        if self.core.topics().contains_key(&of) {
            self.commit_refused(of, error);
        }
    }

    /// Told until a commit is taken.
    pub(super) fn commit_refused(&self, of: Topic, error: &KafkaError) {
        let remedy = format!(
            "grant READ on group {} and on the topic to ordermill's login; until then messages are heard again after a restart",
            self.processor.group
        );
        self.trouble(TroubleKind::Commit, &self.names.of_topic(of), None, format!("offsets are not committed: {error}"), remedy);
    }
}
