//! The journal's side of a database: a batch is one transaction of one writer.

use super::write::{Outcome, Write};
use crate::config::{ClusterKey, Purpose};
use crate::db::error::StoreError;
use crate::domain::{LoggedEvent, Role, Shards, Timestamp, WriterId};
use futures_util::future::BoxFuture;

/// One transaction.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Who writes.
    pub writer: WriterId,
    /// The writer's `commits` as the journal knows it; the transaction moves it by one.
    pub commits: i64,
    /// The writer's `last_seq` as the journal knows it; the transaction moves it by the number of its events.
    pub last_seq: i64,
    /// What is written, in the order of arrival.
    pub writes: Vec<Write>,
}

/// A stored batch.
#[derive(Debug, Default)]
pub struct Committed {
    /// What became of each write, in order.
    pub outcomes: Vec<Outcome>,
    /// The events of the batch, in the log's order; their numbers follow `last_seq`, with gaps where markers stand.
    pub events: Vec<LoggedEvent>,
    /// The writer's `last_seq` now.
    pub last_seq: i64,
}

/// A writer that is to begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewWriter {
    /// The node that runs it.
    pub node: String,
    /// Where that node listens.
    pub url: String,
    /// The roles that it hosts.
    pub roles: Vec<Role>,
    /// How long others leave it alone without a sign of life, in milliseconds.
    pub lease_ms: u64,
    /// What the address is proved with, so that other nodes believe it.
    pub key: ClusterKey,
}

impl NewWriter {
    /// One that hosts every role.
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

/// Where a writer stands, read from its row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WriterState {
    /// Which.
    pub writer: WriterId,
    /// Whether it may write.
    pub alive: bool,
    /// Its transactions so far.
    pub commits: i64,
    /// The end of its log.
    pub last_seq: i64,
}

/// Why a batch was not stored, by what the journal does next.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing was written; the same batch may be tried again when the cause is gone.
    #[error("nothing was written: {0}")]
    NotWritten(#[source] StoreError),
    /// Whether it was written is not known: ask [`Store::state`].
    #[error("the outcome of the commit is unknown: {0}")]
    Unknown(#[source] StoreError),
    /// The writer's row did not match: ask [`Store::state`].
    #[error("the writer's row did not match")]
    NoMatch,
    /// A write of this batch is bad; nothing was written. Halve the batch to find it.
    #[error("a write was refused: {0}")]
    BadWrite(#[source] StoreError),
}

/// Whether the log is also published, so that it must be kept until it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Publishing {
    /// To Kafka.
    On,
    /// There is no Kafka.
    Off,
}

/// What may be deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// Events older than this, if they are counted, and published where that is on. The last number of each log stays, until its writer
    /// goes: one that is not alive, whose lease ended before this, that is counted and published whole, and that no shard names.
    pub events_before: Timestamp,
    /// Keys that have expired by then.
    pub keys_before: Timestamp,
    /// Letters that were closed before.
    pub letters_before: Timestamp,
    /// What persons did before.
    pub audit_before: Timestamp,
    /// Copies of orders that were placed before, but for those of which a notice is still to be sent.
    pub copies_before: Timestamp,
    /// Events that have waited for their order since before.
    pub held_before: Timestamp,
    /// Whether events must be published first.
    pub publishing: Publishing,
    /// At most so many rows of each table; the writer waits meanwhile.
    pub limit: u32,
}

/// How many rows were deleted. Fewer than the limit: there is no more to delete.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Deleted {
    /// Events and markers.
    pub events: usize,
    /// Idempotency keys and kept answers.
    pub keys: usize,
    /// Dead letters.
    pub letters: usize,
    /// Audit entries.
    pub audit: usize,
    /// Copies of orders.
    pub copies: usize,
    /// Events whose order never came.
    pub held: usize,
    /// Ended writers, each with its position and the last of its log.
    pub writers: usize,
}

impl Deleted {
    /// The most of any table.
    #[must_use]
    pub fn most(&self) -> usize {
        let Self { events, keys, letters, audit, copies, held, writers } = *self;
        [events, keys, letters, audit, copies, held, writers].into_iter().max().unwrap_or(0)
    }
}

/// The writing side of a database: one connection, owned by one journal.
pub trait Store: Send {
    /// Starts a new writer: a row of its own, alive, with a lease. Every writer of a store that only one process may open
    /// (SQLite, memory of one node) that is still alive is set not alive first.
    fn start_writer<'a>(&'a mut self, new: &'a NewWriter) -> BoxFuture<'a, Result<WriterState, StoreError>>;

    /// How many shards the store has; fixed when it was created.
    fn shards(&self) -> Shards;

    /// Stores `batch` in one transaction, durably, or nothing of it.
    fn commit<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<Committed, CommitError>>;

    /// Reads a writer's row, with a new connection if need be ([`StoreError::WentBack`] where it is gone); waits for a transaction of that writer that may still be open.
    fn state(&mut self, writer: WriterId) -> BoxFuture<'_, Result<WriterState, StoreError>>;

    /// Moves the writer's lease to `lease_ms` from now by the database's clock. `false`: the writer is not alive.
    fn renew(&mut self, writer: WriterId, lease_ms: u64) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Ends the writer: it is set not alive.
    fn end_writer(&mut self, writer: WriterId) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Deletes some of what is old, in a transaction of its own that moves no counter.
    fn delete_old<'a>(&'a mut self, retention: &'a Retention) -> BoxFuture<'a, Result<Deleted, StoreError>>;
}
