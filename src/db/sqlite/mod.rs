//! SQLite: one file, one process. [`SqliteStore`] is the one writing connection, used from the journal's own thread;
//! [`SqliteReads`] are connections of their own that never wait for it.
//!
//! Guarantees what [`crate::db`] guarantees. Besides, a store whose disk was full, or whose file was locked or read-only, continues by
//! itself once the cause is gone. WAL with `synchronous=FULL`: a commit is on disk when it returns.
//!
//! Inside: `batch` decides and writes one batch (with `stock` and `rare_writes` for their parts), `statement` keeps statements prepared,
//! `rows` turns rows into the domain's types, `queries` are the queries of `reads` and `snapshot`, `error` classifies a failure by the
//! result code that `codes` keeps, `backup` copies the file, `open` creates and checks files, `checkpoint` keeps the write-ahead log short, `retention` deletes old
//! rows.

mod backup;
mod batch;
mod checkpoint;
mod cluster;
mod codes;
mod dead_letter_rows;
mod error;
mod open;
mod queries;
mod rare_writes;
mod reads;
mod retention;
mod rows;
mod snapshot;
mod statement;
mod stock;
mod store;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_codes;
#[cfg(test)]
mod tests_kept;

pub use open::{SqliteOptions, Synchronous};
pub use reads::SqliteReads;
pub use store::SqliteStore;
