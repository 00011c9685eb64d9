//! The writing side of a database, for the journal: a batch is one transaction of one writer.

use super::outcome::Outcome;
use super::write::Write;
use crate::config::{ClusterKey, Purpose};
use crate::db::error::StoreError;
use crate::domain::{LoggedEvent, Role, Shards, Timestamp, WriterId};
use futures_util::future::BoxFuture;

/// One transaction.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The writer.
    pub writer: WriterId,
    /// The writer's `commits` as the journal knows it; the transaction increments it.
    pub commits: i64,
    /// The writer's `last_seq` as the journal knows it; the transaction adds the number of its events.
    pub last_seq: i64,
    /// The writes, in the sequence of arrival.
    pub writes: Vec<Write>,
}

/// A stored batch.
#[derive(Debug, Default)]
pub struct Committed {
    /// The outcome of each write, in the same sequence.
    pub outcomes: Vec<Outcome>,
    /// The events of the batch, in log sequence. Their numbers follow `last_seq`, with gaps at markers.
    pub events: Vec<LoggedEvent>,
    /// The writer's new `last_seq`.
    pub last_seq: i64,
}

/// A writer to start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewWriter {
    /// The node that runs it.
    pub node: String,
    /// The node's address.
    pub url: String,
    /// The roles that it hosts.
    pub roles: Vec<Role>,
    /// The length of its lease, in milliseconds: how long after its last sign of life others may take over.
    pub lease_ms: u64,
    /// The key that proves the address to other nodes.
    pub key: ClusterKey,
}

impl NewWriter {
    /// A writer that hosts every role.
    #[must_use]
    pub fn of_all_roles(node: &str, url: &str, lease_ms: u64) -> Self {
        Self { node: node.to_owned(), url: url.to_owned(), roles: Role::ALL.to_vec(), lease_ms, key: ClusterKey::default() }
    }

    /// The proof that the address is this writer's.
    #[must_use]
    pub fn proof(&self, writer: WriterId) -> String {
        self.key.prove(Purpose::Address, &[&writer.0.to_string(), &self.url])
    }
}

/// The state of a writer, read from its row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WriterState {
    /// The writer.
    pub writer: WriterId,
    /// Whether it may still write.
    pub alive: bool,
    /// The number of its transactions.
    pub commits: i64,
    /// The last number in its log.
    pub last_seq: i64,
}

/// Why a batch was not stored; the variants differ in what the journal does next.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing was written; the same batch may be tried again once the cause is gone.
    #[error("nothing was written: {0}")]
    NotWritten(#[source] StoreError),
    /// It is unknown whether it was written: ask [`Store::state`].
    #[error("the outcome of the commit is unknown: {0}")]
    Unknown(#[source] StoreError),
    /// The writer's row did not match: ask [`Store::state`].
    #[error("the writer's row did not match")]
    NoMatch,
    /// A write of this batch is bad; nothing was written. Split the batch to find it.
    #[error("a write was refused: {0}")]
    BadWrite(#[source] StoreError),
}

/// Whether the log is also published, so that it must be kept until it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Publishing {
    /// It is published to Kafka.
    On,
    /// There is no Kafka; nothing is published.
    Off,
}

/// What may be deleted, by age.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// Deletes events older than this, if they are counted and, where publishing is on, published. The last number of each log stays until
    /// its writer is deleted: a dead writer whose lease ended before this time, whose whole log is counted and published, and that no shard
    /// names.
    pub events_before: Timestamp,
    /// Deletes keys that expired before this.
    pub keys_before: Timestamp,
    /// Deletes dead letters that were closed before this.
    pub letters_before: Timestamp,
    /// Deletes audit entries from before this.
    pub audit_before: Timestamp,
    /// Deletes copies of orders that were placed before this, except those with a pending notice.
    pub copies_before: Timestamp,
    /// Deletes events that have waited for their order since before this.
    pub held_before: Timestamp,
    /// Whether events must be published first.
    pub publishing: Publishing,
    /// Most rows to delete per table; the writer waits in the meantime.
    pub limit: u32,
}

/// The numbers of deleted rows. Fewer than the limit means that there is nothing more to delete.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Deleted {
    /// Events and markers.
    pub events: usize,
    /// Idempotency keys and stored answers.
    pub keys: usize,
    /// Dead letters.
    pub letters: usize,
    /// Audit entries.
    pub audit: usize,
    /// Copies of orders.
    pub copies: usize,
    /// Events whose order never arrived.
    pub held: usize,
    /// Ended writers, each with its analytics position and the last event of its log.
    pub writers: usize,
}

impl Deleted {
    /// The largest of these numbers.
    #[must_use]
    pub fn most(&self) -> usize {
        let Self { events, keys, letters, audit, copies, held, writers } = *self;
        [events, keys, letters, audit, copies, held, writers].into_iter().max().unwrap_or(0)
    }
}

/// The writing side of a database: one connection, owned by one journal.
pub trait Store: Send {
    /// Starts a new writer: a new row, alive, with a lease. In a store that only one process may open (SQLite, memory of one node), all
    /// live writers are ended first.
    fn start_writer<'a>(&'a mut self, new: &'a NewWriter) -> BoxFuture<'a, Result<WriterState, StoreError>>;

    /// The number of shards of the store; fixed when it was created.
    fn shards(&self) -> Shards;

    /// Stores `batch` durably in one transaction, or nothing of it.
    fn commit<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<Committed, CommitError>>;

    /// Reads a writer's row, with a new connection if necessary ([`StoreError::WentBack`] if the row is gone). Waits for a transaction of
    /// that writer that may still be open.
    fn state(&mut self, writer: WriterId) -> BoxFuture<'_, Result<WriterState, StoreError>>;

    /// Moves the writer's lease to `lease_ms` from now by the database's clock. Returns `false` if the writer is not alive.
    fn renew(&mut self, writer: WriterId, lease_ms: u64) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Ends the writer: it is not alive any more.
    fn end_writer(&mut self, writer: WriterId) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Deletes some old rows, in a separate transaction that changes no counter.
    fn delete_old<'a>(&'a mut self, retention: &'a Retention) -> BoxFuture<'a, Result<Deleted, StoreError>>;
}
