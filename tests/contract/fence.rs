//! The fence: one row decides whether a transaction is written, and tells later whether it was.

use crate::Case;
use crate::fixture::{Fixture, LEASE_MS};
use crate::sample::{letter, order, place, product_id, put};
use ordermill::db::{Batch, CommitError, NewWriter, Outcome, PlaceOutcome, Write, WriterState};
use ordermill::domain::{Role, Shard, WriterId};

pub(crate) const CASES: &[Case] = &[
    ("a new writer is alive, at the start, with the lease it asked for", |f| Box::pin(new_writer(f))),
    ("a writer that starts again gets a new number", |f| Box::pin(new_number(f))),
    ("other commits than the row's write nothing, creations included", |f| Box::pin(wrong_commits(f))),
    ("another end of the log than the row's writes nothing", |f| Box::pin(wrong_last_seq(f))),
    ("a writer that is not alive writes nothing, creations included", |f| Box::pin(not_alive(f))),
    ("an unknown writer writes nothing", |f| Box::pin(unknown_writer(f))),
    ("after an unknown commit the row tells, and the repeat is not written twice", |f| Box::pin(resolves(f))),
    ("an ended writer keeps its row, so that an unknown commit can still be resolved", |f| Box::pin(resolves_when_ended(f))),
    ("a lease is renewed while alive and never after", |f| Box::pin(renews(f))),
    ("where one process may write, a new writer ends all others", |f| Box::pin(ends_others(f))),
    ("where many may write, two go on beside each other", |f| Box::pin(two_writers(f))),
    ("a write that is refused stores nothing of its batch and moves nothing", |f| Box::pin(bad_write(f))),
];

async fn new_writer(f: &mut Fixture) {
    let WriterState { writer, alive, commits, last_seq } = f.writer;
    assert_eq!((alive, commits, last_seq), (true, 0, 0));
    let rows = f.reads.writers().await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].writer, rows[0].node.as_str(), rows[0].url.as_str()), (writer, "node-1", "http://node-1:8080"));
    assert_eq!((rows[0].alive, rows[0].commits, rows[0].last_seq, rows[0].published_seq), (true, 0, 0, 0));
    f.store.renew(writer, LEASE_MS * 10).await.unwrap();
    let later = f.reads.writers().await.unwrap()[0].lease_until;
    assert!(later.ms_since(rows[0].lease_until) >= LEASE_MS * 8, "a longer lease ends later");
}

async fn new_number(f: &mut Fixture) {
    let first = f.writer.writer;
    f.store.end_writer(first).await.unwrap();
    let second = f.store.start_writer(&NewWriter::of_all_roles("node-1", "http://node-1:8080", LEASE_MS)).await.unwrap();
    assert_ne!(second.writer, first);
    assert_eq!((second.commits, second.last_seq, second.alive), (0, 0, true));
}

/// Tries writes of every kind that creates something, and shows that nothing was created.
async fn writes_nothing(f: &mut Fixture, writer: WriterId, commits: i64, last_seq: i64) {
    let order = order(99);
    let writes = vec![
        place(&order),
        put(product_id(99), 5),
        crate::sample::reserve(&order),
        Write::AddLetter(letter(&order, 1, "odd", 1)),
        Write::TakeShards { roles: vec![Role::Order], shards: vec![Shard(0)] },
        Write::SaveAnalytics { add: Vec::new(), source: f.writer.writer, after: 0, seq: 9 },
    ];
    let before = f.standing().await;
    let result = f.store.commit(&Batch { writer, commits, last_seq, writes }).await;
    assert!(matches!(result, Err(CommitError::NoMatch)), "{result:?}");
    assert_eq!(f.standing().await, before);
    assert_eq!(f.reads.order(order.id).await.unwrap(), None);
    assert_eq!(f.reads.product(product_id(99)).await.unwrap(), None);
    assert_eq!(f.reads.letter(letter(&order, 1, "odd", 1).id).await.unwrap(), None);
    assert!(f.reads.shard_rows().await.unwrap().iter().all(|row| row.writer.is_none()));
    assert!(f.reads.analytics_positions().await.unwrap().is_empty());
    let mut snapshot = f.reads.snapshot().await.unwrap();
    assert!(snapshot.orphans(10).await.unwrap().is_empty(), "no row of a role either");
}

async fn wrong_commits(f: &mut Fixture) {
    f.write(place(&order(1))).await;
    let state = f.writer;
    writes_nothing(f, state.writer, state.commits - 1, state.last_seq).await;
    writes_nothing(f, state.writer, state.commits + 1, state.last_seq).await;
    assert_eq!(f.write(place(&order(2))).await.0, Outcome::Place(PlaceOutcome::Done), "the writer goes on");
}

async fn wrong_last_seq(f: &mut Fixture) {
    f.write(place(&order(1))).await;
    let state = f.writer;
    writes_nothing(f, state.writer, state.commits, state.last_seq - 1).await;
}

async fn not_alive(f: &mut Fixture) {
    f.write(place(&order(1))).await;
    let state = f.writer;
    f.store.end_writer(state.writer).await.unwrap();
    f.store.end_writer(state.writer).await.unwrap();
    writes_nothing(f, state.writer, state.commits, state.last_seq).await;
}

async fn unknown_writer(f: &mut Fixture) {
    writes_nothing(f, WriterId(987_654), 0, 0).await;
    assert!(f.store.state(WriterId(987_654)).await.is_err());
}

async fn resolves(f: &mut Fixture) {
    let batch = f.batch(vec![place(&order(1))]);
    assert_eq!(f.store.state(f.writer.writer).await.unwrap().commits, batch.commits, "not written yet: the old value");
    let committed = f.store.commit(&batch).await.unwrap();
    assert!(matches!(f.store.commit(&batch).await, Err(CommitError::NoMatch)));
    let state = f.store.state(f.writer.writer).await.unwrap();
    assert_eq!((state.commits, state.last_seq), (batch.commits + 1, committed.last_seq), "written: the new value");
    assert_eq!(f.log().await.len(), 1);
}

async fn resolves_when_ended(f: &mut Fixture) {
    let batch = f.batch(vec![place(&order(1))]);
    f.store.commit(&batch).await.unwrap();
    f.store.end_writer(f.writer.writer).await.unwrap();
    assert!(matches!(f.store.commit(&batch).await, Err(CommitError::NoMatch)));
    let state = f.store.state(f.writer.writer).await.unwrap();
    assert_eq!((state.alive, state.commits), (false, batch.commits + 1));
}

async fn renews(f: &mut Fixture) {
    let writer = f.writer.writer;
    assert!(f.store.renew(writer, LEASE_MS).await.unwrap());
    f.store.end_writer(writer).await.unwrap();
    let until = f.reads.writers().await.unwrap()[0].lease_until;
    assert!(!f.store.renew(writer, LEASE_MS * 10).await.unwrap());
    let row = f.reads.writers().await.unwrap().remove(0);
    assert_eq!((row.alive, row.lease_until), (false, until));
}

async fn ends_others(f: &mut Fixture) {
    if f.connect.is_some() {
        return;
    }
    let old = f.writer;
    f.writer = f.store.start_writer(&NewWriter::of_all_roles("node-2", "http://node-2:8080", LEASE_MS)).await.unwrap();
    let alive: Vec<WriterId> = f.reads.writers().await.unwrap().iter().filter(|row| row.alive).map(|row| row.writer).collect();
    assert_eq!(alive, [f.writer.writer]);
    let batch = Batch { writer: old.writer, commits: old.commits, last_seq: old.last_seq, writes: vec![place(&order(1))] };
    assert!(matches!(f.store.commit(&batch).await, Err(CommitError::NoMatch)));
    assert_eq!(f.write(place(&order(1))).await.0, Outcome::Place(PlaceOutcome::Done));
}

async fn two_writers(f: &mut Fixture) {
    let Some(connect) = &f.connect else { return };
    let mut other = connect().await;
    let state = other.start_writer(&NewWriter::of_all_roles("node-2", "http://node-2:8080", LEASE_MS)).await.unwrap();
    let (first, second) = (order(1), order(2));
    f.write(place(&first)).await;
    let batch = Batch { writer: state.writer, commits: 0, last_seq: 0, writes: vec![place(&second)] };
    assert_eq!(other.commit(&batch).await.unwrap().events[0].seq, 1, "each has a log of its own");
    other.end_writer(f.writer.writer).await.unwrap();
    assert!(matches!(f.try_commit(vec![place(&order(3))]).await, Err(CommitError::NoMatch)), "ended by the other");
    let batch = Batch { writer: state.writer, commits: 1, last_seq: 1, writes: vec![place(&first), place(&order(3))] };
    let outcomes = other.commit(&batch).await.unwrap().outcomes;
    assert!(matches!(outcomes[..], [Outcome::Place(PlaceOutcome::Repeated), Outcome::Place(PlaceOutcome::Done)]), "{outcomes:?}");
}

async fn bad_write(f: &mut Fixture) {
    f.write(place(&order(1))).await;
    let before = f.standing().await;
    let bad = put(product_id(7), -1);
    let result = f.try_commit(vec![place(&order(2)), put(product_id(6), 5), bad, place(&order(3))]).await;
    assert!(matches!(result, Err(CommitError::BadWrite(_))), "{result:?}");
    assert_eq!(f.standing().await, before);
    for n in [2, 3] {
        assert_eq!(f.reads.order(order(n).id).await.unwrap(), None);
    }
    assert_eq!(f.reads.product(product_id(6)).await.unwrap(), None);
    assert_eq!(f.write(place(&order(2))).await.0, Outcome::Place(PlaceOutcome::Done), "the same number is used by the next");
    assert_eq!(f.log().await.last().unwrap().seq, 2);
}
