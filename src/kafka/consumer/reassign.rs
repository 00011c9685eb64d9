//! Takes and gives up partitions as the node's shards change. Nothing of it holds up what is read meanwhile: where the group was is asked
//! beside the loop, and so is what was done of a partition that goes committed.

use super::commits::Leaving;
use super::gaps::{self, Place};
use super::run::{Finished, Partition, Run};
use super::window::Window;
use super::{assignment, parked};
use crate::domain::{OrderId, RoleShards, Shard, Topic};
use crate::kafka::client::Brokers;
use crate::kafka::troubles::TroubleKind;
use futures_util::FutureExt;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// What is under way of beginning to listen.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    /// The partitions of which it is being asked where they begin; those that were lost meanwhile are none of them.
    asked: HashSet<(Topic, i32)>,
    is_asking: bool,
    /// When those that could not be asked are asked again: nothing of them is taken before.
    pub(super) again: Option<Instant>,
    /// Whether the group may not be used.
    is_refused: bool,
    is_asking_group: bool,
}

/// Where partitions begin.
#[derive(Debug)]
pub(super) struct Begun {
    /// What the group has committed.
    known: HashMap<Place, i64>,
    /// The orders that are parked there.
    parked: Vec<OrderId>,
}

impl Run<'_> {
    /// Listens to what is owned now: gives up at once what is not, and asks where the rest begins.
    pub(super) async fn reassign(&mut self, role_shards: &RoleShards) -> Result<(), KafkaError> {
        let count = |topic| self.watch.count(&self.names.of_topic(topic));
        let want: HashSet<(Topic, i32)> =
            assignment::partitions(self.shared.role, role_shards, self.shared.parts.external, self.processor.reading.shards, count);
        self.beginning.asked.retain(|key| want.contains(key));
        let gone: Vec<(Topic, i32)> = self.partitions.keys().filter(|key| !want.contains(key)).copied().collect();
        if !gone.is_empty() {
            self.give_up(&gone)?;
            self.commit().await;
        }
        let new: Vec<(Topic, i32)> = want.into_iter().filter(|key| !self.partitions.contains_key(key)).collect();
        if new.is_empty() {
            self.group_is_over();
        } else if !self.beginning.is_asking {
            self.ask_where(new)?;
        }
        Ok(())
    }

    /// What is done of them is committed beside, so that their next owner begins there; if he is faster, he hears the last of it again.
    fn give_up(&mut self, gone: &[(Topic, i32)]) -> Result<(), KafkaError> {
        self.client.incremental_unassign(&self.list(gone.iter().map(|key| (*key, Offset::Invalid)))?)?;
        for key in gone {
            if let Some(partition) = self.partitions.remove(key) {
                partition.gone.store(true, Ordering::Release);
                if let Some(next) = partition.window.last_commit(self.committing.is_some()) {
                    self.leaving.insert(*key, Leaving { next, is_sent: false });
                }
            }
        }
        let partitions = &self.partitions;
        let shards: BTreeSet<Shard> = partitions.keys().filter_map(|(_, partition)| shard_of(*partition)).collect();
        let all = self.processor.reading.shards;
        parked::forget(&mut self.parked, &mut self.round, |order| shards.contains(&all.of(order)));
        self.lanes.retain(|item| partitions.get(&(item.record.topic, item.record.partition)).is_some_and(|one| one.life == item.life));
        self.forget_topics();
        Ok(())
    }

    fn ask_where(&mut self, new: Vec<(Topic, i32)>) -> Result<(), KafkaError> {
        let list = self.list(new.iter().map(|key| (*key, Offset::Invalid)))?;
        let shards: BTreeSet<Shard> = new.iter().filter_map(|(_, partition)| shard_of(*partition)).collect();
        let (client, limit) = (self.client.clone(), self.limit());
        let (reads, role) = (self.shared.parts.reads.clone(), self.shared.role);
        self.beginning.is_asking = true;
        self.beginning.asked = new.into_iter().collect();
        let ask = async move {
            let known = match gaps::committed(&client, list, limit).await {
                Ok(known) => known,
                Err(error) => return Finished::Begun(Err(Some(error))),
            };
            // After the offsets: what was parked before them is known then.
            match parked::load(&reads, role, &shards).await {
                Ok(parked) => Finished::Begun(Ok(Begun { known, parked })),
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
    pub(super) fn begun(&mut self, begun: Result<Begun, Option<KafkaError>>) -> Result<(), KafkaError> {
        self.beginning.is_asking = false;
        let asked: Vec<(Topic, i32)> = self.beginning.asked.drain().collect();
        let begun = match begun {
            Ok(begun) => begun,
            Err(error) => {
                self.beginning.again = Some(Instant::now() + Duration::from_millis(self.shared.parts.settings.pause_ms));
                if let Some(error) = error {
                    self.not_begun(&error);
                }
                return Ok(());
            }
        };
        self.group_is_over();
        let (shards, all) =
            (asked.iter().filter_map(|(_, partition)| shard_of(*partition)).collect::<BTreeSet<_>>(), self.processor.reading.shards);
        self.parked.extend(begun.parked.into_iter().filter(|order| shards.contains(&all.of(*order))));
        let place = |key: (Topic, i32)| (key, begun.known.get(&(self.names.of_topic(key.0), key.1)).copied());
        let places: Vec<((Topic, i32), Option<i64>)> = asked.into_iter().map(place).collect();
        if !places.is_empty() {
            let from = |(key, at): &((Topic, i32), Option<i64>)| (*key, at.map_or(Offset::Beginning, Offset::Offset));
            self.client.incremental_assign(&self.list(places.iter().map(from))?)?;
            self.lives += 1;
            self.partitions.extend(places.into_iter().map(|(key, at)| (key, Partition::new(Window::beginning_at(at), self.lives))));
        }
        // What has come to be owned meanwhile was not asked for.
        self.watch.must_reassign = true;
        Ok(())
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
        if self.beginning.is_asking_group || matches!(self.shared.parts.state.get(), Brokers::Away(_)) {
            return;
        }
        self.beginning.is_asking_group = true;
        let (settings, state, group) = (self.shared.parts.settings.clone(), self.shared.parts.state.clone(), self.processor.group.clone());
        let place = (self.names.of_topic(Topic::Shipping), 0);
        let ask = async move { Finished::Group(gaps::group_refusal(&settings, &state, &group, place).await.ok().flatten()) };
        self.working.push(ask.boxed());
    }

    pub(super) fn group_answered(&mut self, refusal: Option<&KafkaError>) {
        self.beginning.is_asking_group = false;
        if let Some(error) = refusal {
            self.group_refused(error);
        }
    }

    /// Until the group may be used, nothing is read that is not read already, and nothing is committed.
    pub(super) fn group_refused(&mut self, error: &KafkaError) {
        let waiting = self.partitions.iter().filter(|(_, one)| one.window.must_commit());
        let topics: BTreeSet<Topic> = waiting.map(|((topic, _), _)| *topic).collect();
        topics.into_iter().for_each(|topic| self.commit_refused(topic, error));
        if self.beginning.is_asking || self.beginning.again.is_some() {
            let place = format!("group {}", self.processor.group);
            let remedy = "let ordermill's login READ it; it goes on by itself then".to_owned();
            let cause = format!("where it was is not told, so nothing is read: {error}");
            self.trouble(TroubleKind::Read, &place, None, cause, remedy);
            self.beginning.is_refused = true;
        }
    }

    fn group_is_over(&mut self) {
        if std::mem::take(&mut self.beginning.is_refused) {
            let place = format!("group {}", self.processor.group);
            self.shared.parts.state.troubles().clear(TroubleKind::Read, &place, self.shared.role.name());
        }
    }
}

/// The shard of a partition; none where the topic has more of them.
pub(super) fn shard_of(partition: i32) -> Option<Shard> {
    u16::try_from(partition).ok().map(Shard)
}
