//! The line to the server is cut in each part of a commit. A commit is two round trips: everything before COMMIT is known not to be
//! stored, and is tried again on another connection; of COMMIT itself the writer's row tells.

use crate::proxy::{Moment, Proxy};
use crate::sample::{order, place, product_id, put, reserve};
use crate::server::{self, Database};
use crate::{Desk, options, sample};
use ordermill::db::postgres::{PgOptions, PgReads};
use ordermill::db::{CommitError, Outcome, PlaceOutcome, Reads as _, StepOutcome, Store as _, Write};
use tokio::runtime::Handle;

struct OrderLine {
    proxy: Proxy,
    desk: Desk,
    reads: PgReads,
    _database: Database,
}

impl OrderLine {
    async fn new() -> Self {
        let database = Database::missing("cut");
        let address = server::server().rsplit_once('@').unwrap().1.split_once('/').unwrap().0.to_owned();
        let proxy = Proxy::to(address).await;
        let mut desk = Desk::at(PgOptions::new(&proxy.through(&database.url()), sample::shards()).unwrap(), 60_000).await;
        let reads = PgReads::open(options(&database), Handle::current()).await.unwrap();
        // The same statements as the cases', so that none is prepared in between: each commit is two round trips from here on.
        desk.commit(vec![put(product_id(1), 100), put(product_id(2), 100)]).await.unwrap();
        desk.commit(writes(900)).await.unwrap();
        Self { proxy, desk, reads, _database: database }
    }

    async fn is_stored(&self, n: u64) -> bool {
        self.reads.order(order(n).id).await.unwrap().is_some()
    }
}

fn writes(n: u64) -> Vec<Write> {
    vec![place(&order(n)), reserve(&order(n))]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_cut_before_commit_is_sent_loses_nothing_and_fails_nothing() {
    let mut line = OrderLine::new().await;
    for (n, moment) in [(1, Moment::Question), (2, Moment::Answer)] {
        line.proxy.cut(moment, 1);
        let committed = line.desk.commit(writes(n)).await.unwrap();
        assert_eq!(committed.outcomes, [Outcome::Place(PlaceOutcome::Done), Outcome::Step(StepOutcome::Done)], "{moment:?}");
        assert!(line.is_stored(n).await);
        assert_eq!(line.desk.store.state(line.desk.writer.writer).await.unwrap(), line.desk.writer);
        // A fresh connection after `state`: its statements are prepared before the next cut.
        line.desk.commit(writes(n + 100)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_cut_at_commit_leaves_an_outcome_that_the_writers_row_tells() {
    let mut line = OrderLine::new().await;
    for (n, moment, is_stored) in [(1, Moment::Question, false), (2, Moment::Answer, true), (3, Moment::Question, false)] {
        line.proxy.cut(moment, 2);
        let batch = line.desk.batch(writes(n));
        let error = line.desk.store.commit(&batch).await.unwrap_err();
        assert!(matches!(error, CommitError::Unknown(_)), "{moment:?}: {error}");
        let state = line.desk.store.state(batch.writer).await.unwrap();
        assert_eq!(state.commits, batch.commits + i64::from(is_stored), "{moment:?}");
        assert_eq!(line.is_stored(n).await, is_stored);
        let repeated = line.desk.store.commit(&batch).await;
        match repeated {
            Ok(_) => assert!(!is_stored, "the repeat is stored where the first was not"),
            Err(CommitError::NoMatch) => assert!(is_stored, "and never twice"),
            Err(other) => panic!("{other}"),
        }
        assert!(line.is_stored(n).await);
        line.desk.writer = line.desk.store.state(batch.writer).await.unwrap();
        line.desk.commit(writes(n + 100)).await.unwrap();
    }
    let log = line.reads.events(line.desk.writer.writer, 0, 100).await.unwrap();
    let numbers: Vec<i64> = log.iter().map(|logged| logged.seq).collect();
    assert_eq!(numbers, (1..=line.desk.writer.last_seq).collect::<Vec<_>>(), "no number is lost or given twice");
}
