//! The SQLite store as an implementation: a file in a folder of its own. One process may open it, so nobody else connects.

use crate::fixture::{Fixture, Implementation};
use crate::sample;
use futures_util::future::BoxFuture;
use ordermill::db::sqlite::{SqliteOptions, SqliteReads, SqliteStore, Synchronous};
use std::sync::Arc;

pub(crate) struct Sqlite;

impl Implementation for Sqlite {
    fn fixture(&self) -> BoxFuture<'_, Fixture> {
        Box::pin(async {
            let folder = tempfile::tempdir().unwrap();
            let mut options = SqliteOptions::new(folder.path().join("data/orders.db"), sample::shards());
            options.synchronous = Synchronous::Off;
            let store = SqliteStore::open(options.clone()).unwrap();
            let reads = SqliteReads::open(options, tokio::runtime::Handle::current()).unwrap();
            Fixture::new(Box::new(store), Arc::new(reads), None, Box::new(folder)).await
        })
    }
}
