//! One suite of cases for every store: what the doc comments of `Store`, `Write`, `Reads` and `Snapshot` promise, sentence by
//! sentence. Each case gets an empty database. A new implementation adds a [`fixture::Implementation`] and one test below.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failing test may panic")]

mod cluster;
mod desk;
mod differential;
mod fence;
mod fixture;
mod groups;
mod load;
mod memory;
mod orders;
mod payments;
mod postgres;
mod racing;
mod reading;
mod sample;
#[path = "../support/postgres.rs"]
mod server;
mod shards;
mod sqlite;
mod stock;
mod verifying;

use fixture::{Fixture, Implementation};
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use std::panic::AssertUnwindSafe;

/// A case and its name, which is a sentence.
type Case = (&'static str, for<'a> fn(&'a mut Fixture) -> LocalBoxFuture<'a, ()>);

fn cases() -> impl Iterator<Item = &'static Case> {
    let all: [&'static [Case]; 12] = [
        orders::CASES,
        fence::CASES,
        stock::CASES,
        payments::CASES,
        desk::CASES,
        shards::CASES,
        cluster::CASES,
        reading::CASES,
        verifying::CASES,
        racing::CASES,
        load::CASES,
        groups::CASES,
    ];
    all.into_iter().flatten()
}

#[test]
fn the_memory_store_keeps_the_contract() {
    keeps_the_contract(&memory::One);
}

#[test]
fn the_memory_store_of_many_nodes_keeps_the_contract() {
    keeps_the_contract(&memory::Many);
}

#[test]
fn the_sqlite_store_keeps_the_contract() {
    keeps_the_contract(&sqlite::Sqlite);
}

#[test]
fn the_postgres_store_keeps_the_contract() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    keeps_the_contract(&runtime.block_on(postgres::Postgres::new()));
}

#[test]
fn the_stores_decide_alike() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let postgres = postgres::Postgres::new().await;
        differential::stores_agree(&[("memory", &memory::Many), ("SQLite", &sqlite::Sqlite), ("PostgreSQL", &postgres)]).await;
    });
}

/// Runs every case, or those whose name contains the text of `CASE`, and names all that fail.
fn keeps_the_contract(implementation: &dyn Implementation) {
    let wanted = std::env::var("CASE").unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut failed = Vec::new();
    let mut run = 0;
    for (name, case) in cases().filter(|(name, _)| name.contains(&wanted)) {
        run += 1;
        let outcome = runtime.block_on(async {
            let mut fixture = implementation.fixture().await;
            AssertUnwindSafe(case(&mut fixture)).catch_unwind().await
        });
        if outcome.is_err() {
            eprintln!("FAILED: {name}");
            failed.push(*name);
        }
    }
    assert!(run > 0, "no case is called {wanted:?}");
    assert!(failed.is_empty(), "{} of {run} cases failed: {failed:#?}", failed.len());
}
