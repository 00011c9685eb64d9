//! What is PostgreSQL's own: making databases, lines that are cut, frozen nodes, a server that is restarted, who may come in, by what line,
//! and a database of an earlier version.
//!
//! They need a server: `eval "$(scripts/services start postgres)"`. [`restart`] and [`tls`] start one of their own, to halt and to change it.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failing test may panic")]

mod cuts;
mod frozen;
mod languages;
mod logins;
mod opening;
mod pooler;
#[path = "../support/process.rs"]
mod process;
mod proxy;
mod restart;
#[path = "../contract/sample.rs"]
#[allow(dead_code, reason = "the contract's samples, of which this uses some")]
mod sample;
#[path = "../support/postgres.rs"]
mod server;
#[path = "../support/services.rs"]
mod services;
mod slow;
mod tls;
mod upgrade;

use ordermill::db::postgres::{PgOptions, PgStore};
use ordermill::db::{Batch, CommitError, Committed, NewWriter, Store as _, Write, WriterState};
use server::Database;
use tokio::runtime::Handle;

/// One journal's connection and where its writer stands.
pub(crate) struct Desk {
    pub(crate) store: PgStore,
    pub(crate) writer: WriterState,
}

impl Desk {
    pub(crate) async fn at(options: PgOptions, lease_ms: u64) -> Self {
        let mut store = PgStore::open(options, Handle::current()).await.unwrap();
        let writer = store.start_writer(&NewWriter::of_all_roles("node", "http://node", lease_ms)).await.unwrap();
        Self { store, writer }
    }

    pub(crate) fn batch(&self, writes: Vec<Write>) -> Batch {
        Batch { writer: self.writer.writer, commits: self.writer.commits, last_seq: self.writer.last_seq, writes }
    }

    pub(crate) async fn commit(&mut self, writes: Vec<Write>) -> Result<Committed, CommitError> {
        let committed = self.store.commit(&self.batch(writes)).await?;
        self.writer.commits += 1;
        self.writer.last_seq = committed.last_seq;
        Ok(committed)
    }
}

/// Options for a database, straight to the server.
pub(crate) fn options(database: &Database) -> PgOptions {
    PgOptions::new(&database.url(), sample::shards()).unwrap()
}
