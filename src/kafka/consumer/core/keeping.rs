//! What is to be kept of how far partitions are done: in the role's own database, from which it goes on, and at the brokers, as a copy for
//! tools.

use super::assignment::PartitionId;
use super::{ConsumerCore, Partition};
use crate::domain::Topic;
use std::collections::{BTreeMap, BTreeSet};

impl ConsumerCore {
    /// What is to be stored now; [`Self::stored`] follows, unless there is nothing. One writing at a time. What the messages before it
    /// caused is stored by then, so a database may be behind what it holds, and is never ahead of it.
    pub fn to_store(&mut self) -> Vec<(PartitionId, i64)> {
        self.stored.take(done(&self.partitions))
    }

    /// The writing has ended; what is not known to be stored is stored again with the next one.
    pub fn stored(&mut self, is_stored: bool) {
        self.stored.ended(|_| !is_stored);
    }

    /// What is to be committed now, by topic; [`Self::committed`] follows, unless there is nothing. One commit at a time.
    pub fn to_commit(&mut self) -> BTreeMap<Topic, Vec<(i32, i64)>> {
        let mut all: BTreeMap<Topic, Vec<(i32, i64)>> = BTreeMap::new();
        for ((topic, number), next) in self.committed.take(done(&self.partitions)) {
            all.entry(topic).or_default().push((number, next));
        }
        all
    }

    /// The commit has ended, and failed for these topics: it is done again with the next one.
    pub fn committed(&mut self, failed: &BTreeSet<Topic>) {
        self.committed.ended(|(topic, _)| failed.contains(&topic));
    }

    /// The topics of which something is done and not being committed.
    #[must_use]
    pub fn uncommitted(&self) -> BTreeSet<Topic> {
        done(&self.partitions).filter(|(key, next)| self.committed.is_behind(*key, *next)).map(|((topic, _), _)| topic).collect()
    }
}

/// How far each is done.
fn done(partitions: &BTreeMap<PartitionId, Partition>) -> impl Iterator<Item = (PartitionId, Option<i64>)> {
    partitions.iter().map(|(key, partition)| (*key, partition.window.next()))
}

#[cfg(test)]
mod tests {
    use crate::config::KafkaSettings;
    use crate::domain::{Role, Roles, Shard, Shards, Topic};
    use crate::kafka::consumer::core::starts::Starts;
    use crate::kafka::consumer::core::{Begun, ConsumerCore};

    #[test]
    fn the_copy_goes_back_with_a_database_that_was_restored() {
        let mut core = ConsumerCore::new(Role::Order, Roles::default(), &KafkaSettings::default(), Shards::new(2).unwrap());
        core.assign(&Role::ALL.iter().map(|role| (*role, Shard(0))).collect());
        let place = |next| [((Topic::Shipping, 0), next)].into_iter().collect();
        let starts = Starts { stored: place(4), committed: place(20), is_upgraded: false };
        core.begun(Some(Begun { starts, ..Begun::default() }));
        assert_eq!((core.to_store(), core.to_commit()), (vec![], [(Topic::Shipping, vec![(0, 4)])].into_iter().collect()));
    }
}
