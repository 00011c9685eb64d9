//! Where a role begins to read a partition that it is given.
//!
//! What was done is what the role's own database says, for a database that was restored has lost what later messages caused. It matters
//! where nobody says a thing again, which is so of all that other teams write. Roles of ours say again what an order is owed. So of their
//! topics the further place counts: after a restore, they speak of orders that are gone, and of stock that is not held any more.

use super::assignment::PartitionId;
use crate::domain::Roles;
use std::collections::BTreeMap;

/// What is known of how far a role was done.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Starts {
    /// By its own database.
    pub stored: BTreeMap<PartitionId, i64>,
    /// By the offsets that its group has committed at the brokers.
    pub committed: BTreeMap<PartitionId, i64>,
    /// Whether an earlier version used the database, which left its places to the brokers: those count until one is stored.
    pub is_upgraded: bool,
}

impl Starts {
    /// The first offset to read; none: from the beginning. `external`: the roles that other teams run.
    #[must_use]
    pub fn of(&self, partition: PartitionId, external: Roles) -> Option<i64> {
        let of = |places: &BTreeMap<PartitionId, i64>| places.get(&partition).copied();
        let (stored, committed) = (of(&self.stored), of(&self.committed));
        let is_said_again = partition.0.role().is_some_and(|writer| !external.has(writer));
        if is_said_again {
            return stored.max(committed);
        }
        stored.or_else(|| committed.filter(|_| self.is_upgraded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Role, Topic};

    #[test]
    fn a_role_begins_where_its_own_database_was() {
        let external: Roles = [Role::Payment].into_iter().collect();
        let begin = |topic: Topic, stored: Option<i64>, committed: Option<i64>, is_upgraded: bool| {
            let known = |place: Option<i64>| place.map(|place| ((topic, 0), place)).into_iter().collect();
            Starts { stored: known(stored), committed: known(committed), is_upgraded }.of((topic, 0), external)
        };
        let cases = [
            (Topic::Shipping, Some(4), Some(20), Some(4), "it was restored"),
            (Topic::Payment, Some(4), Some(20), Some(4), "another team says nothing again"),
            (Topic::Shipping, Some(20), Some(4), Some(20), "the last commit failed"),
            (Topic::Shipping, Some(20), None, Some(20), "the group is lost"),
            (Topic::Shipping, None, Some(20), None, "it was saved before anything was read there"),
            (Topic::Shipping, None, None, None, "nobody has read it"),
            (Topic::Inventory, Some(4), Some(20), Some(20), "what is owed is said again"),
            (Topic::Inventory, Some(20), Some(4), Some(20), "the last commit failed"),
            (Topic::Inventory, None, Some(20), Some(20), "the database is new, and the topic is not"),
            (Topic::Inventory, Some(4), None, Some(4), "the group is lost"),
        ];
        for (topic, stored, committed, want, why) in cases {
            assert_eq!(begin(topic, stored, committed, false), want, "{topic:?}: {why}");
        }
        assert_eq!(begin(Topic::Shipping, None, Some(20), true), Some(20), "it is an earlier version's");
        assert_eq!(begin(Topic::Shipping, Some(4), Some(20), true), Some(4), "once");
        assert_eq!(begin(Topic::Shipping, None, None, true), None);
    }
}
