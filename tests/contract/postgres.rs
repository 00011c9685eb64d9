//! The PostgreSQL store as an implementation: a database of its own for each case, copied from one that is migrated once.

use crate::fixture::{Connect, Fixture, Implementation};
use crate::sample;
use crate::server::{self, Database};
use futures_util::future::BoxFuture;
use ordermill::db::Store;
use ordermill::db::postgres::{PgOptions, PgReads, PgStore};
use std::sync::Arc;
use tokio::runtime::Handle;

pub(crate) struct Postgres {
    template: Database,
}

impl Postgres {
    pub(crate) async fn new() -> Self {
        let template = Database::missing("template");
        drop(PgStore::open(options(&template), Handle::current()).await.unwrap());
        // A copy is made of a database that nobody is connected to; the server may still be about to notice that we left.
        let (others, admin) = ("SELECT count(*) FROM pg_stat_activity WHERE datname = $1", server::connect("postgres").await);
        while admin.query_one(others, &[&template.name]).await.unwrap().get::<_, i64>(0) > 0 {
            tokio::task::yield_now().await;
        }
        Self { template }
    }
}

pub(crate) fn options(database: &Database) -> PgOptions {
    PgOptions::new(&database.url(), sample::shards()).unwrap()
}

impl Implementation for Postgres {
    fn fixture(&self) -> BoxFuture<'_, Fixture> {
        Box::pin(async {
            let database = Database::copy_of(&self.template.name, "case").await;
            let options = options(&database);
            let store = PgStore::open(options.clone(), Handle::current()).await.unwrap();
            let reads = PgReads::open(options.clone(), Handle::current()).await.unwrap();
            let connect: Connect = Box::new(move || {
                let options = options.clone();
                Box::pin(async { Box::new(PgStore::open(options, Handle::current()).await.unwrap()) as Box<dyn Store> })
            });
            Fixture::new(Box::new(store), Arc::new(reads), Some(connect), Box::new(database)).await
        })
    }
}
