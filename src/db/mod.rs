//! Durable truth. Owns the [`Store`] (the writing side, one per journal) and [`Reads`] (the reading side, shared) and their
//! implementations; one contract suite (`tests/contract`) holds for all.
//!
//! Promises: a batch is stored whole or not at all; its events get numbers without gaps in its writer's log; a writer that is
//! not alive, or whose `commits` is not what the journal knows, writes nothing. Reads never wait for the writer. It knows
//! nothing of actors, HTTP or Kafka.

pub mod codec;
mod decode;
pub mod error;
mod failure;
pub mod memory;
mod names;
pub mod outcome;
mod plan;
pub mod postgres;
pub mod read;
pub mod request;
pub mod rows;
pub mod sqlite;
pub mod store;
pub mod write;

pub use crate::db::error::StoreError;
pub use crate::db::rows::{AnalyticsRow, AuditEntry, ConsumedPlace, Consumption};
pub use outcome::{AnswerOutcome, Answered, CountOutcome, Group, Outcome, PlaceOutcome, ProductOutcome, RowOutcome, StepOutcome};
pub use read::{
    Correction, CorrectionFilter, DeadLetterFilter, DeadLetterGroup, DeadLetterPlace, LogEntry, OpenCount, OrderAudit, OrderFilter,
    OrderRow, Page, Reads, Scan, ShardRow, Snapshot, StoredOrder, WriterRow,
};
pub use request::{Request, TypedWrite};
pub use store::{Batch, CommitError, Committed, Deleted, NewWriter, Publishing, Retention, Store, WriterState};
pub use write::{Answer, IdempotencyKey, KeptAnswer, ProductWrite, ReleaseReason, StockStep, Write};
