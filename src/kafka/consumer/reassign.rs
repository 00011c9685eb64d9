//! Takes and gives up partitions as the node's shards change. Nothing of it holds up what is read meanwhile: where the group was is asked
//! beside the loop, and so is what was done of a partition that goes committed.

use super::core::Begun;
use super::core::assignment::PartitionId;
use super::core::starts::Starts;
use super::state::{Finished, Run};
use super::{gaps, parked, places};
use crate::domain::{RoleShards, Shard, Topic};
use crate::kafka::client::Brokers;
use crate::kafka::troubles::TroubleKind;
use futures_util::FutureExt;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

impl Run<'_> {
    /// Listens to what is owned now.
    pub(super) fn reassign(&mut self, role_shards: &RoleShards) {
        self.give_up_shards(role_shards);
        self.core.assign(role_shards);
        if !self.core.is_asking() {
            self.group_is_over();
            self.tell_refused(&HashMap::new());
        }
    }

    /// What is done of them is stored and committed beside.
    pub(super) async fn leave(&mut self, gone: &[PartitionId]) -> Result<(), KafkaError> {
        self.client.incremental_unassign(&self.list(gone.iter().map(|key| (*key, Offset::Invalid)))?)?;
        self.give_up(gone);
        self.forget_topics();
        self.store().await;
        self.commit().await;
        Ok(())
    }

    pub(super) fn listen(&mut self, places: Vec<(PartitionId, Option<i64>)>, life: u64) -> Result<(), KafkaError> {
        let from = |(key, at): &(PartitionId, Option<i64>)| (*key, at.map_or(Offset::Beginning, Offset::Offset));
        self.client.incremental_assign(&self.list(places.iter().map(from))?)?;
        self.gone.extend(places.into_iter().map(|(key, _)| ((key, life), Arc::default())));
        Ok(())
    }

    /// Has the client fetch from there.
    pub(super) fn fetch(&mut self, key: PartitionId, from: Option<i64>, life: u64) -> Result<(), KafkaError> {
        self.gone.entry((key, life)).or_default();
        self.client.incremental_unassign(&self.list([(key, Offset::Invalid)])?)?;
        self.client.incremental_assign(&self.list([(key, from.map_or(Offset::Beginning, Offset::Offset))])?)
    }

    pub(super) fn ask_where(&self, new: &[PartitionId], shards: BTreeSet<Shard>) -> Result<(), KafkaError> {
        let list = self.list(new.iter().map(|key| (*key, Offset::Invalid)))?;
        let (client, limit, names) = (self.client.clone(), self.limit(), self.names.clone());
        let (reads, role) = (self.shared.parts.reads.clone(), self.shared.role);
        let ask = async move {
            let starts = match places::load(&reads, role, &names).await {
                Ok(starts) => starts,
                Err(error) => {
                    tracing::warn!(error = %error, "how far the consumer was could not be read; trying again");
                    return Finished::Begun(Err(None));
                }
            };
            let known = match gaps::committed(&client, list, limit).await {
                Ok(known) => known,
                Err(error) => return Finished::Begun(Err(Some(error))),
            };
            let refused = known.refused;
            let place = |((name, partition), offset): (gaps::Place, i64)| Some(((names.topic(&name)?, partition), offset));
            let starts = Starts { committed: known.committed.into_iter().filter_map(place).collect(), ..starts };
            // After the places: what was parked before them is known then.
            match parked::load(&reads, role, &shards).await {
                Ok(parked) => {
                    let topics = refused.keys().filter_map(|name| names.topic(name)).collect();
                    Finished::Begun(Ok((Begun { starts, refused: topics, parked }, refused)))
                }
                Err(error) => {
                    tracing::warn!(error = %error, "the dead letters could not be read for the consumer; trying again");
                    Finished::Begun(Err(None))
                }
            }
        };
        self.working.push(ask.boxed());
        Ok(())
    }

    /// It is known where partitions begin, or not: then they are asked for again.
    pub(super) fn begun(&mut self, begun: Result<(Begun, HashMap<String, RDKafkaErrorCode>), Option<KafkaError>>) {
        let again = Some(Instant::now() + Duration::from_millis(self.shared.parts.settings.pause_ms));
        match begun {
            Ok((begun, refused)) => {
                self.group_is_over();
                self.core.begun(Some(begun));
                if !refused.is_empty() {
                    self.group.again = again;
                }
                self.tell_refused(&refused);
            }
            Err(error) => {
                self.core.begun(None);
                self.group.again = again;
                if let Some(error) = error {
                    self.not_begun(&error);
                }
            }
        }
    }

    /// Topics that the brokers do not tell of.
    fn tell_refused(&mut self, refused: &HashMap<String, RDKafkaErrorCode>) {
        let now: BTreeSet<String> = refused.keys().cloned().collect();
        let before = std::mem::replace(&mut self.group.refused, now);
        before.iter().filter(|topic| !refused.contains_key(*topic)).for_each(|topic| self.over(TroubleKind::Read, topic));
        for (topic, code) in refused {
            let remedy = "let ordermill's login READ the topic; it goes on by itself then".to_owned();
            self.trouble(TroubleKind::Read, topic, None, format!("it cannot be read: {code}"), remedy);
        }
    }

    fn not_begun(&mut self, error: &KafkaError) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => self.group_refused(error),
            Some(_) | None => {
                tracing::debug!(error = %error, "the brokers did not say where the group was; asking again");
                self.ask_group();
            }
        }
    }

    /// Asks whether the group may be used, where the answer is late though the brokers are there.
    pub(super) fn ask_group(&mut self) {
        if self.group.is_asking || matches!(self.shared.parts.state.get(), Brokers::Away(_)) {
            return;
        }
        self.group.is_asking = true;
        let (settings, state, group) = (self.shared.parts.settings.clone(), self.shared.parts.state.clone(), self.processor.group.clone());
        let place = (self.names.of_topic(Topic::Shipping), 0);
        let ask = async move { Finished::Group(gaps::group_refusal(&settings, &state, &group, place).await.ok().flatten()) };
        self.working.push(ask.boxed());
    }

    pub(super) fn group_answered(&mut self, refusal: Option<&KafkaError>) {
        self.group.is_asking = false;
        if let Some(error) = refusal {
            self.group_refused(error);
        }
    }

    /// Until the group may be used, nothing is read that is not read already, and nothing is committed.
    pub(super) fn group_refused(&mut self, error: &KafkaError) {
        self.core.uncommitted().into_iter().for_each(|topic| self.commit_refused(topic, error));
        if self.core.is_asking() || self.group.again.is_some() {
            let place = format!("group {}", self.processor.group);
            let remedy = "let ordermill's login READ it; it goes on by itself then".to_owned();
            let cause = format!("where it was is not told, so nothing is read: {error}");
            self.trouble(TroubleKind::Read, &place, None, cause, remedy);
            self.group.is_refused = true;
        }
    }

    pub(super) fn group_is_over(&mut self) {
        if std::mem::take(&mut self.group.is_refused) {
            self.over(TroubleKind::Read, &format!("group {}", self.processor.group));
        }
    }
}
