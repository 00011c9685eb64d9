//! What is written elsewhere of how far partitions are done. One writing at a time, so that a late one does not undo the next.

use super::assignment::PartitionId;
use std::collections::BTreeMap;

/// A partition that was given up, and is done up to there.
#[derive(Debug)]
struct Leaving {
    next: i64,
    /// Whether the writing under way has it.
    is_sent: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// What is written, or being written, of the partitions that are listened to.
    written: BTreeMap<PartitionId, i64>,
    /// What is still to be written of partitions that were given up.
    leaving: BTreeMap<PartitionId, Leaving>,
    is_writing: bool,
}

impl Ledger {
    /// A partition is listened to of which that is written. One that came back says itself how far it is.
    pub(super) fn begin(&mut self, partition: PartitionId, written: Option<i64>) {
        self.leaving.remove(&partition);
        self.written.remove(&partition);
        self.written.extend(written.map(|next| (partition, next)));
    }

    /// A partition is given up; the writing under way may have failed for it.
    pub(super) fn give_up(&mut self, partition: PartitionId, next: Option<i64>) {
        let must_write = self.is_writing || self.is_behind(partition, next);
        self.written.remove(&partition);
        if let Some(next) = next.filter(|_| must_write) {
            self.leaving.insert(partition, Leaving { next, is_sent: false });
        }
    }

    /// Whether something is done that is not being written.
    pub(super) fn is_behind(&self, partition: PartitionId, next: Option<i64>) -> bool {
        next.is_some() && self.written.get(&partition).copied() != next
    }

    /// What is to be written now, of those that are `done` and of those that were given up. [`Self::ended`] follows, unless there is
    /// nothing.
    pub(super) fn take(&mut self, done: impl Iterator<Item = (PartitionId, Option<i64>)>) -> Vec<(PartitionId, i64)> {
        let mut all = Vec::new();
        if self.is_writing {
            return all;
        }
        for (partition, leaving) in &mut self.leaving {
            leaving.is_sent = true;
            all.push((*partition, leaving.next));
        }
        for (partition, next) in done {
            if let Some(next) = next.filter(|next| self.is_behind(partition, Some(*next))) {
                self.written.insert(partition, next);
                all.push((partition, next));
            }
        }
        self.is_writing = !all.is_empty();
        all
    }

    /// The writing has ended, and failed for some: they are written again with the next one.
    pub(super) fn ended(&mut self, has_failed: impl Fn(PartitionId) -> bool) {
        self.is_writing = false;
        // Of what was given up it is tried once: who listens to it now hears the last of it again then, or has come further.
        self.leaving.retain(|_, leaving| !leaving.is_sent);
        self.written.retain(|partition, _| !has_failed(*partition));
    }

    /// The partitions that were given up and are still to be written.
    pub(super) fn leaving(&self) -> impl Iterator<Item = PartitionId> {
        self.leaving.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Topic;

    fn part(number: i32) -> PartitionId {
        (Topic::Shipping, number)
    }

    fn take(ledger: &mut Ledger, done: &[(i32, i64)]) -> Vec<(i32, i64)> {
        let taken = ledger.take(done.iter().map(|(number, next)| (part(*number), Some(*next))));
        taken.into_iter().map(|((_, number), next)| (number, next)).collect()
    }

    #[test]
    fn what_has_moved_is_written_once_and_again_if_it_failed() {
        let mut ledger = Ledger::default();
        ledger.begin(part(0), Some(5));
        ledger.begin(part(1), None);
        assert_eq!(take(&mut ledger, &[(0, 5), (1, 3)]), [(1, 3)]);
        assert_eq!(take(&mut ledger, &[(0, 6), (1, 3)]), [], "one at a time");
        ledger.ended(|_| true);
        assert_eq!(take(&mut ledger, &[(0, 6), (1, 3)]), [(0, 6), (1, 3)]);
        ledger.ended(|_| false);
        assert_eq!(take(&mut ledger, &[(0, 6), (1, 3)]), []);
        assert_eq!(take(&mut ledger, &[(0, 1)]), [(0, 1)], "its topic was made anew");
    }

    #[test]
    fn what_is_given_up_is_written_once_if_it_must_be() {
        let mut ledger = Ledger::default();
        ledger.begin(part(0), Some(5));
        ledger.give_up(part(0), Some(5));
        assert_eq!((take(&mut ledger, &[]), ledger.leaving().count()), (vec![], 0), "it is written");
        ledger.begin(part(0), Some(5));
        assert_eq!(take(&mut ledger, &[(0, 6)]), [(0, 6)]);
        ledger.give_up(part(0), Some(6));
        ledger.ended(|_| true);
        assert_eq!((take(&mut ledger, &[]), ledger.leaving().count()), (vec![(0, 6)], 1), "it had failed");
        ledger.ended(|_| true);
        assert_eq!((take(&mut ledger, &[]), ledger.leaving().count()), (vec![], 0), "it is tried once");
        ledger.begin(part(0), None);
        ledger.give_up(part(0), Some(7));
        ledger.begin(part(0), Some(6));
        assert_eq!(take(&mut ledger, &[(0, 6)]), [], "it came back and says itself how far it is");
    }
}
