//! Who owns what in the cluster, as the database said it last.

use crate::config::ClusterKey;
use crate::db::{ShardRow, WriterRow};
use crate::domain::{Role, Shard, WriterId};

/// One look at the writers and shards of a database.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cluster {
    /// This node's writer; none before its first look.
    pub me: Option<WriterId>,
    /// All writers. The address of one that does not prove it is empty.
    pub writers: Vec<WriterRow>,
    /// All shards of all roles.
    pub shards: Vec<ShardRow>,
}

/// Where the work of one role for one shard's orders is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Owner {
    /// Here.
    Me,
    /// At the node of this address.
    Other {
        /// Its name.
        node: String,
        /// Its address.
        url: String,
    },
    /// Nowhere at the moment.
    Nobody,
}

impl Cluster {
    /// Forgets the addresses that are not proved: whoever may write a row of the database could have requests sent there. Returns
    /// whose those are, of writers that are alive.
    pub(crate) fn believe(&mut self, key: &ClusterKey) -> Vec<WriterId> {
        let mut unproved = Vec::new();
        for row in &mut self.writers {
            // The ended are sent nothing.
            if !row.alive || !row.is_proved(key) {
                row.url.clear();
                unproved.extend(row.alive.then_some(row.writer));
            }
        }
        unproved
    }

    /// The live writers that host `role` and can be reached.
    pub fn reachable_hosts(&self, role: Role) -> impl Iterator<Item = &WriterRow> {
        self.hosts(role).filter(|row| Some(row.writer) != self.me && !row.url.is_empty())
    }

    /// The owner of a role shard, if it is another node that can be reached.
    #[must_use]
    pub fn reachable_owner(&self, role: Role, shard: Shard) -> Option<&WriterRow> {
        self.owner(role, shard).filter(|row| Some(row.writer) != self.me && !row.url.is_empty())
    }

    /// The live writers that host `role`.
    pub fn hosts(&self, role: Role) -> impl Iterator<Item = &WriterRow> {
        self.writers.iter().filter(move |row| row.alive && row.roles.contains(&role))
    }

    /// The live writer that owns a role shard.
    #[must_use]
    pub fn owner(&self, role: Role, shard: Shard) -> Option<&WriterRow> {
        let writer = self.shards.iter().find(|row| row.role == role && row.shard == shard)?.writer?;
        self.writers.iter().find(|row| row.writer == writer && row.alive)
    }
}
