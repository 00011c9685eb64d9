//! Who owns what in the cluster, as the database said it last.

use crate::db::{ShardRow, WriterRow};
use crate::domain::{Role, Shard, WriterId};

/// One look at the writers and shards of a database.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cluster {
    /// This node's writer; none before its first look.
    pub me: Option<WriterId>,
    /// All writers.
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
    /// The live writers that host `role`.
    pub fn hosts(&self, role: Role) -> impl Iterator<Item = &WriterRow> {
        self.writers.iter().filter(move |row| row.alive && row.roles.contains(&role))
    }

    /// The live writer that owns a slice.
    #[must_use]
    pub fn owner(&self, role: Role, shard: Shard) -> Option<&WriterRow> {
        let writer = self.shards.iter().find(|row| row.role == role && row.shard == shard)?.writer?;
        self.writers.iter().find(|row| row.writer == writer && row.alive)
    }
}
