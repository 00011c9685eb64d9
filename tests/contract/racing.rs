//! Several nodes at once on one database: what they both want, one gets. Where only one process may write there is nothing to see.

use crate::Case;
use crate::fixture::{Fixture, LEASE_MS};
use crate::sample::{at, line, order, order_of, place, place_with, product_id, put, reserve, shards};
use ordermill::db::{
    AnalyticsRow, Batch, CommitError, Committed, CountOutcome, NewWriter, Outcome, PlaceOutcome, Store, Write, WriterState,
};
use ordermill::domain::{EventKind, Role, WriterId};

pub(crate) const CASES: &[Case] = &[
    ("of two nodes with one key one places its order, the other reads whose it is", |f| Box::pin(keys(f))),
    ("stock that two nodes reserve at once, in any order, is never oversold", |f| Box::pin(stock(f))),
    ("a product that two nodes create at once keeps its sums", |f| Box::pin(products(f))),
    ("shards that two nodes take at once have one owner", |f| Box::pin(taken(f))),
    ("a log that two nodes count at once is counted once", |f| Box::pin(counted(f))),
    ("of a commit and the end of its writer one comes first", |f| Box::pin(ended(f))),
];

/// A node beside the fixture's.
struct Node {
    store: Box<dyn Store>,
    writer: WriterState,
}

impl Node {
    async fn beside(f: &Fixture) -> Option<Self> {
        let mut store = f.connect.as_ref()?().await;
        let writer = store.start_writer(&NewWriter::of_all_roles("other", "http://other:8080", LEASE_MS)).await.unwrap();
        Some(Self { store, writer })
    }

    async fn try_commit(&mut self, writes: Vec<Write>) -> Result<Committed, CommitError> {
        let WriterState { writer, commits, last_seq, .. } = self.writer;
        let committed = self.store.commit(&Batch { writer, commits, last_seq, writes }).await?;
        self.writer.commits += 1;
        self.writer.last_seq = committed.last_seq;
        Ok(committed)
    }

    async fn commit(&mut self, writes: Vec<Write>) -> Committed {
        self.try_commit(writes).await.unwrap()
    }
}

async fn keys(f: &mut Fixture) {
    let Some(mut other) = Node::beside(f).await else { return };
    let late = at(u64::from(u32::MAX));
    for n in 0..20 {
        let (mine, theirs) = (order(2 * u64::from(n)), order(2 * u64::from(n) + 1));
        // Other keys around it, in the other order: whoever takes them as they come meets the other crosswise.
        let with = |order: &std::sync::Arc<ordermill::domain::Order>, body| place_with(order, n, body, late);
        let beside = |m: u64, key: u8| place_with(&order(1000 + m), 100 + key, 1, late);
        let mine_first = vec![beside(4 * u64::from(n), 2 * n), with(&mine, 1), beside(4 * u64::from(n) + 1, 2 * n + 1)];
        let theirs_first = vec![beside(4 * u64::from(n) + 2, 2 * n + 1), with(&theirs, 2), beside(4 * u64::from(n) + 3, 2 * n)];
        let (a, b) = futures_util::future::join(f.commit(mine_first), other.commit(theirs_first)).await;
        let wanted = match (&a.outcomes[1], &b.outcomes[1]) {
            (Outcome::Place(PlaceOutcome::Done), taken) => (taken.clone(), mine.id),
            (taken, Outcome::Place(PlaceOutcome::Done)) => (taken.clone(), theirs.id),
            both => panic!("neither or both: {both:?}"),
        };
        assert_eq!(wanted.0, Outcome::Place(PlaceOutcome::KeyTaken { order: wanted.1, same_body: false }));
        let loser = if wanted.1 == mine.id { theirs.id } else { mine.id };
        assert_eq!(f.reads.order(loser).await.unwrap(), None, "the loser is not stored");
    }
}

async fn stock(f: &mut Fixture) {
    let Some(mut other) = Node::beside(f).await else { return };
    const EACH: i32 = 60;
    f.commit((1..=4).map(|n| put(product_id(n), EACH)).collect()).await;
    let mut held = 0;
    for round in 0..25 {
        let orders = |from: u64, lines: [u64; 2]| -> Vec<_> {
            (0..3).map(|n| order_of(from + n, lines.iter().map(|product| line(*product, 1)).collect())).collect()
        };
        let (mine, theirs) = (orders(100 * round, [1, 4]), orders(100 * round + 50, [4, 1]));
        let both = |orders: &[_]| orders.iter().map(place).chain(orders.iter().map(reserve)).collect::<Vec<_>>();
        let (a, b) = futures_util::future::join(f.commit(both(&mine)), other.commit(both(&theirs))).await;
        let told = a.events.iter().chain(&b.events);
        held += told.filter(|logged| logged.event.kind() == EventKind::InventoryReserved).count();
    }
    assert_eq!(held, usize::try_from(EACH).unwrap(), "150 orders wanted one, 60 got it");
    for n in [1, 4] {
        assert_eq!(f.sums(product_id(n)).await, [0, EACH, 0, EACH]);
    }
}

async fn products(f: &mut Fixture) {
    let Some(mut other) = Node::beside(f).await else { return };
    for n in 0..10 {
        let order = order_of(n, vec![line(n, 2)]);
        let writes = |available| vec![put(product_id(n), available)];
        let reserving = [writes(5), vec![place(&order), reserve(&order)]].concat();
        futures_util::future::join(f.commit(reserving), other.commit(writes(9))).await;
        let [available, reserved, shipped, supplied] = f.sums(product_id(n)).await;
        assert_eq!((reserved, available + reserved + shipped), (2, supplied), "what is held stays held, whoever was last");
    }
}

async fn taken(f: &mut Fixture) {
    let Some(mut other) = Node::beside(f).await else { return };
    let take = || vec![Write::TakeShards { roles: Role::ALL.to_vec(), shards: shards().all().collect() }];
    let back = || vec![Write::ReleaseShards { roles: Role::ALL.to_vec(), shards: shards().all().collect() }];
    for _ in 0..10 {
        let (a, b) = futures_util::future::join(f.commit(take()), other.commit(take())).await;
        let got = |committed: &Committed| {
            let Outcome::Taken(markers) = &committed.outcomes[0] else { panic!("{:?}", committed.outcomes) };
            markers.len()
        };
        assert_eq!(got(&a) + got(&b), Role::ALL.len() * 24, "each shard once");
        let rows = f.reads.shard_rows().await.unwrap();
        let owned = |writer: WriterId| rows.iter().filter(|row| row.writer == Some(writer)).count();
        assert_eq!((owned(f.writer.writer), owned(other.writer.writer)), (got(&a), got(&b)));
        f.commit(back()).await;
        other.commit(back()).await;
    }
}

async fn counted(f: &mut Fixture) {
    let Some(mut other) = Node::beside(f).await else { return };
    for n in 0..10 {
        let Some(mut ended) = Node::beside(f).await else { return };
        ended.commit(vec![place(&order(n))]).await;
        let WriterState { writer: source, last_seq: seq, .. } = ended.writer;
        ended.store.end_writer(source).await.unwrap();
        let minute = i64::try_from(n).unwrap();
        let add = vec![AnalyticsRow { minute, metric: 1, key: Vec::new(), value: 1 }];
        let count = || vec![Write::SaveAnalytics { add: add.clone(), source, after: 0, seq }];
        let (a, b) = futures_util::future::join(f.commit(count()), other.commit(count())).await;
        let mut outcomes = [a.outcomes[0].clone(), b.outcomes[0].clone()];
        outcomes.sort_by_key(|outcome| *outcome != Outcome::Count(CountOutcome::Done));
        assert_eq!(outcomes, [Outcome::Count(CountOutcome::Done), Outcome::Count(CountOutcome::Repeated)]);
        assert_eq!(f.reads.analytics(minute, minute + 1).await.unwrap(), add);
    }
}

async fn ended(f: &mut Fixture) {
    for n in 0..10 {
        let Some(mut node) = Node::beside(f).await else { return };
        let writer = node.writer.writer;
        let order = order(n);
        let (committed, ended) = futures_util::future::join(node.try_commit(vec![place(&order)]), f.store.end_writer(writer)).await;
        ended.unwrap();
        let stored = f.reads.order(order.id).await.unwrap().is_some();
        match committed {
            Ok(_) => assert!(stored, "committed before its end"),
            Err(CommitError::NoMatch) => assert!(!stored, "ended before it committed"),
            Err(other) => panic!("{other}"),
        }
        let state = f.store.state(writer).await.unwrap();
        assert_eq!((state.alive, state.commits), (false, i64::from(stored)));
    }
}
