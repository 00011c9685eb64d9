//! An empty database with one writer, and what every case does with it.

use crate::sample;
use futures_util::future::BoxFuture;
use ordermill::db::{Batch, CommitError, Committed, NewWriter, Outcome, Reads, Store, Write, WriterState};
use ordermill::domain::{EventKind, LoggedEvent, Order, Product, ProductId, Shards};
use std::sync::Arc;

/// Makes empty databases of one kind.
pub(crate) trait Implementation {
    /// An empty database of `sample::shards()` shards with one writer.
    fn fixture(&self) -> BoxFuture<'_, Fixture>;
}

/// Opens one more connection that writes to the same database.
pub(crate) type Connect = Box<dyn Fn() -> BoxFuture<'static, Box<dyn Store>> + Send>;

/// The lease of every writer; no case waits for its end.
pub(crate) const LEASE_MS: u64 = 60_000;

/// One database under test.
pub(crate) struct Fixture {
    pub(crate) store: Box<dyn Store>,
    pub(crate) reads: Arc<dyn Reads>,
    /// Where the writer stands.
    pub(crate) writer: WriterState,
    /// None where only one process may open the database.
    pub(crate) connect: Option<Connect>,
    /// Whether the database's clock moves while a case waits.
    pub(crate) has_real_clock: bool,
    /// Whether it deletes what is old.
    pub(crate) deletes: bool,
    /// Keeps what must outlive the case, such as a folder.
    pub(crate) _keep: Box<dyn Send>,
}

impl Fixture {
    pub(crate) async fn new(mut store: Box<dyn Store>, reads: Arc<dyn Reads>, connect: Option<Connect>, keep: Box<dyn Send>) -> Self {
        let writer = store.start_writer(&NewWriter::of_all_roles("node-1", "http://node-1:8080", LEASE_MS)).await.unwrap();
        Self { store, reads, writer, connect, has_real_clock: true, deletes: true, _keep: keep }
    }

    pub(crate) fn shards(&self) -> Shards {
        self.store.shards()
    }

    /// The batch that would be next.
    pub(crate) fn batch(&self, writes: Vec<Write>) -> Batch {
        Batch { writer: self.writer.writer, commits: self.writer.commits, last_seq: self.writer.last_seq, writes }
    }

    /// Commits, checks what holds of every stored batch, and moves on.
    pub(crate) async fn commit(&mut self, writes: Vec<Write>) -> Committed {
        self.try_commit(writes).await.unwrap()
    }

    pub(crate) async fn try_commit(&mut self, writes: Vec<Write>) -> Result<Committed, CommitError> {
        let batch = self.batch(writes);
        let committed = self.store.commit(&batch).await?;
        check_committed(&batch, &committed);
        self.writer.commits += 1;
        self.writer.last_seq = committed.last_seq;
        Ok(committed)
    }

    /// Commits one write and returns what became of it, with the kinds of its events.
    pub(crate) async fn write(&mut self, write: Write) -> (Outcome, Vec<EventKind>) {
        let committed = self.commit(vec![write]).await;
        let kinds = kinds(&committed.events);
        (committed.outcomes.into_iter().next().unwrap(), kinds)
    }

    /// Places an order and puts its products, `available` of each.
    pub(crate) async fn placed(&mut self, n: u64, available: i32) -> Arc<Order> {
        let order = sample::order(n);
        let mut writes: Vec<Write> = order.lines.iter().map(|line| sample::put(line.product, available)).collect();
        writes.push(sample::place(&order));
        self.commit(writes).await;
        order
    }

    pub(crate) async fn product(&self, id: ProductId) -> Product {
        self.reads.product(id).await.unwrap().expect("the product exists")
    }

    /// Available, reserved, shipped and supplied of one product.
    pub(crate) async fn sums(&self, id: ProductId) -> [i32; 4] {
        let product = self.product(id).await;
        [product.available, product.reserved, product.shipped, product.supplied]
    }

    /// The writer's whole log, as stored.
    pub(crate) async fn log(&self) -> Vec<LoggedEvent> {
        self.reads.events(self.writer.writer, 0, 1_000_000).await.unwrap()
    }

    /// What a stranger sees of the writer, to show that nothing was written.
    pub(crate) async fn standing(&mut self) -> (WriterState, usize) {
        let state = self.store.state(self.writer.writer).await.unwrap();
        (state, self.log().await.len())
    }
}

/// The kinds of events, in order.
pub(crate) fn kinds(events: &[LoggedEvent]) -> Vec<EventKind> {
    events.iter().map(|logged| logged.event.kind()).collect()
}

fn check_committed(batch: &Batch, committed: &Committed) {
    assert_eq!(committed.outcomes.len(), batch.writes.len(), "one outcome for each write");
    let mut last = batch.last_seq;
    for logged in &committed.events {
        assert!(logged.seq > last, "numbers grow");
        last = logged.seq;
    }
    assert!(committed.last_seq >= last, "the end is not before the last event");
    let taken: usize = committed.outcomes.iter().map(|outcome| if let Outcome::Taken(markers) = outcome { markers.len() } else { 0 }).sum();
    let numbers = i64::try_from(committed.events.len() + taken).unwrap();
    assert_eq!(committed.last_seq - batch.last_seq, numbers, "every number belongs to an event or a marker");
}
