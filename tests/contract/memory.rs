//! The memory store as an implementation, and what only it has: faults on command.

use crate::fixture::{Connect, Fixture, Implementation};
use crate::sample;
use futures_util::future::BoxFuture;
use ordermill::db::memory::{Answer, Call, Fault, Faults, MemoryDatabase, Nodes, Verdict};
use ordermill::db::{Batch, CommitError, NewWriter, Outcome, PlaceOutcome, Reads as _, Store as _};
use std::sync::Arc;

/// A database that one process opens.
pub(crate) struct One;
/// A database of several nodes.
pub(crate) struct Many;

impl Implementation for One {
    fn fixture(&self) -> BoxFuture<'_, Fixture> {
        Box::pin(async {
            let database = database(Nodes::One);
            let fixture = Fixture::new(Box::new(database.store()), Arc::new(database), None, Box::new(())).await;
            Fixture { has_real_clock: false, deletes: false, ..fixture }
        })
    }
}

impl Implementation for Many {
    fn fixture(&self) -> BoxFuture<'_, Fixture> {
        Box::pin(async {
            let database = database(Nodes::Many);
            let other = database.clone();
            let connect: Connect = Box::new(move || {
                let store: Box<dyn ordermill::db::Store> = Box::new(other.store());
                Box::pin(async { store })
            });
            let fixture = Fixture::new(Box::new(database.store()), Arc::new(database), Some(connect), Box::new(())).await;
            Fixture { has_real_clock: false, deletes: false, ..fixture }
        })
    }
}

fn database(nodes: Nodes) -> MemoryDatabase {
    MemoryDatabase::new(sample::shards(), nodes, Arc::new(sample::now))
}

#[tokio::test(start_paused = true)]
async fn a_verdict_decides_what_is_written_and_what_is_told() {
    let cases = [(Verdict::NotWritten, false), (Verdict::LostUnknown, false), (Verdict::WrittenUnknown, true)];
    for (verdict, is_written) in cases {
        let database = database(Nodes::Many);
        let mut store = database.store();
        let writer = store.start_writer(&NewWriter::of_all_roles("node", "url", 1000)).await.unwrap();
        database.set_faults(Some(Arc::new(move |_: &Batch| Fault { verdict, before_ms: 5, after_ms: 7 })));
        let start = tokio::time::Instant::now();
        let order = sample::order(1);
        let batch = Batch { writer: writer.writer, commits: 0, last_seq: 0, writes: vec![sample::place(&order)] };
        let error = store.commit(&batch).await.unwrap_err();
        assert_eq!(start.elapsed().as_millis(), 12, "{verdict:?}");
        assert_eq!(matches!(error, CommitError::NotWritten(_)), verdict == Verdict::NotWritten);
        assert_eq!(matches!(error, CommitError::Unknown(_)), verdict != Verdict::NotWritten);
        database.set_faults(None);
        let state = store.state(writer.writer).await.unwrap();
        assert_eq!(state.commits, i64::from(is_written), "{verdict:?}: the row tells");
        assert_eq!(database.order(order.id).await.unwrap().is_some(), is_written);
        match store.commit(&batch).await {
            Ok(committed) => assert_eq!((is_written, committed.outcomes), (false, vec![Outcome::Place(PlaceOutcome::Done)])),
            Err(CommitError::NoMatch) => assert!(is_written, "the very same transaction is never written twice"),
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fenced_writer_is_told_so_even_by_a_commit_whose_reply_would_be_lost() {
    let database = database(Nodes::Many);
    let mut store = database.store();
    let writer = store.start_writer(&NewWriter::of_all_roles("node", "url", 1000)).await.unwrap().writer;
    database.store().end_writer(writer).await.unwrap();
    database.set_faults(Some(Arc::new(|_: &Batch| Fault { verdict: Verdict::WrittenUnknown, ..Fault::NONE })));
    let batch = Batch { writer, commits: 0, last_seq: 0, writes: Vec::new() };
    assert!(matches!(store.commit(&batch).await, Err(CommitError::NoMatch)));
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_away_answers_nothing_and_keeps_everything() {
    struct Away;
    impl Faults for Away {
        fn commit(&self, _: &Batch) -> Fault {
            Fault { verdict: Verdict::NotWritten, ..Fault::NONE }
        }
        fn call(&self, _: Call) -> Answer {
            Answer { delay_ms: 10, fails: true, late_ms: 0 }
        }
    }
    let database = database(Nodes::One);
    let mut store = database.store();
    let writer = store.start_writer(&NewWriter::of_all_roles("node", "url", 1000)).await.unwrap().writer;
    database.set_faults(Some(Arc::new(Away)));
    assert!(store.state(writer).await.is_err());
    assert!(store.renew(writer, 1000).await.is_err());
    assert!(store.end_writer(writer).await.is_err());
    assert!(database.store().start_writer(&NewWriter::of_all_roles("other", "url", 1000)).await.is_err());
    assert!(database.snapshot().await.is_err());
    database.set_faults(None);
    assert!(store.renew(writer, 1000).await.unwrap(), "nobody ended it meanwhile");
}

#[tokio::test(start_paused = true)]
async fn the_database_outlives_its_stores() {
    let database = database(Nodes::One);
    let order = sample::order(1);
    {
        let mut store = database.store();
        let writer = store.start_writer(&NewWriter::of_all_roles("node", "url", 1000)).await.unwrap().writer;
        store.commit(&Batch { writer, commits: 0, last_seq: 0, writes: vec![sample::place(&order)] }).await.unwrap();
    }
    assert_eq!(database.order(order.id).await.unwrap().unwrap().order, order);
}
