//! A node that stands still with its transaction open holds nobody up for long, and is fenced.

use crate::sample::{order, place, product_id, put, reserve};
use crate::server::{self, Database};
use crate::{Desk, options};
use ordermill::db::postgres::PgReads;
use ordermill::db::{CommitError, Reads as _, Store as _, Write};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// A transaction that has stepped the fence of `writer` and now does nothing.
async fn freeze(database: &Database, writer: i64, more: &str) -> tokio_postgres::Client {
    let frozen = server::connect(&database.name).await;
    let text = format!("BEGIN; UPDATE writers SET commits = commits + 1 WHERE writer = {writer}; {more}");
    frozen.batch_execute(&text).await.unwrap();
    frozen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_nodes_open_transaction_holds_up_neither_commits_nor_take_overs() {
    let database = Database::missing("frozen");
    let mut options = options(&database);
    // Whatever waits for the frozen transaction waits for ever.
    options.limits.lock_wait_ms = 3_600_000;
    options.limits.statement_limit_ms = 3_600_000;
    let mut desk = Desk::at(options.clone(), 3_600_000).await;
    let dead = Desk::at(options.clone(), 1).await.writer.writer;
    let frozen = freeze(&database, dead.0, "").await;
    let reads = PgReads::open(options, Handle::current()).await.unwrap();
    let is_alive = async || reads.writers().await.unwrap().iter().any(|row| row.writer == dead && row.alive);
    let rows = reads.writers().await.unwrap();
    let leases = vec![(dead, rows.iter().find(|row| row.writer == dead).unwrap().lease_until)];
    let commit = desk.commit(vec![Write::EndExpired { leases: leases.clone() }, place(&order(1))]);
    tokio::time::timeout(Duration::from_secs(60), commit).await.expect("it waits for nobody").unwrap();
    assert!(is_alive().await, "its transaction may still be stored, so it is passed over");
    frozen.batch_execute("ROLLBACK").await.unwrap();
    desk.commit(vec![Write::EndExpired { leases }]).await.unwrap();
    assert!(!is_alive().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_waits_for_a_transaction_of_that_writer_that_is_still_open() {
    let database = Database::missing("open");
    let mut desk = Desk::at(options(&database), 60_000).await;
    for (end, commits) in [("COMMIT", 1), ("ROLLBACK", 1)] {
        let frozen = freeze(&database, desk.writer.writer.0, "").await;
        let ended = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let ending = Instant::now();
            frozen.batch_execute(end).await.unwrap();
            ending
        };
        let asked = async {
            let state = desk.store.state(desk.writer.writer).await.unwrap();
            (state, Instant::now())
        };
        let (ending, (state, told)) = futures_util::future::join(ended, asked).await;
        assert!(told > ending, "it answered while the outcome was open");
        assert_eq!(state.commits, commits, "{end}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn products_that_another_transaction_holds_are_waited_for_and_not_for_ever() {
    let database = Database::missing("held");
    let mut options = options(&database);
    options.limits.lock_wait_ms = 300;
    let mut desk = Desk::at(options, 60_000).await;
    desk.commit(vec![put(product_id(1), 5), put(product_id(2), 5)]).await.unwrap();
    let frozen = freeze(&database, 0, "SELECT * FROM products FOR UPDATE").await;
    let error = desk.commit(vec![place(&order(1)), reserve(&order(1))]).await.unwrap_err();
    assert!(matches!(error, CommitError::NotWritten(_)), "{error}");
    frozen.batch_execute("ROLLBACK").await.unwrap();
    desk.commit(vec![place(&order(1)), reserve(&order(1))]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_the_server_ends_is_opened_again_by_the_next_commit() {
    let database = Database::missing("ended");
    let mut desk = Desk::at(options(&database), 60_000).await;
    desk.commit(vec![place(&order(1))]).await.unwrap();
    let admin = server::connect(&database.name).await;
    let settings = "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'ordermill'";
    assert!(!admin.query(settings, &[]).await.unwrap().is_empty(), "sessions can be told by their name");
    let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    admin.query(ended, &[]).await.unwrap();
    desk.commit(vec![place(&order(2))]).await.unwrap();
}
