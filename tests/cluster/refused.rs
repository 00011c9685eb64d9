//! The database refuses what a role has to store, on a node that is not the order's.

use crate::external::{act, letter};
use crate::member::Cluster;
use crate::support::{LIMIT, line, put_product, run, settled, stored, until};
use futures_util::future::BoxFuture;
use ordermill::actors::DeadLetterAction;
use ordermill::db::memory::{MemoryDatabase, MemoryStore};
use ordermill::db::{Batch, CommitError, Committed, Deleted, NewWriter, Retention, Store, StoreError, Write, WriterState};
use ordermill::domain::{OrderStatus, Role, Shards, Text, WriterId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

type Kind = fn(&Write) -> bool;

/// Refuses every transaction with such a write, while it is `armed`.
struct Refuses {
    inner: MemoryStore,
    kind: Kind,
    armed: Arc<AtomicBool>,
}

impl Store for Refuses {
    fn commit<'a>(&'a mut self, batch: &'a Batch) -> BoxFuture<'a, Result<Committed, CommitError>> {
        if self.armed.load(Ordering::SeqCst) && batch.writes.iter().any(self.kind) {
            return Box::pin(async { Err(CommitError::BadWrite(StoreError::Statement("a rule of the table".to_owned()))) });
        }
        self.inner.commit(batch)
    }
    fn start_writer<'a>(&'a mut self, new: &'a NewWriter) -> BoxFuture<'a, Result<WriterState, StoreError>> {
        self.inner.start_writer(new)
    }
    fn shards(&self) -> Shards {
        self.inner.shards()
    }
    fn state(&mut self, writer: WriterId) -> BoxFuture<'_, Result<WriterState, StoreError>> {
        self.inner.state(writer)
    }
    fn renew(&mut self, writer: WriterId, lease_ms: u64) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.inner.renew(writer, lease_ms)
    }
    fn end_writer(&mut self, writer: WriterId) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.end_writer(writer)
    }
    fn delete_old<'a>(&'a mut self, retention: &'a Retention) -> BoxFuture<'a, Result<Deleted, StoreError>> {
        self.inner.delete_old(retention)
    }
}

/// The letter is there, the owner of the order knows, and once the database takes it the order goes on.
fn parks(seed: u64, role: Role, kind: Kind) {
    run(move || async move {
        let cluster = Cluster::new(seed);
        let others: Vec<Role> = Role::ALL.into_iter().filter(|other| *other != role).collect();
        let orders = cluster.start("orders", &others).await;
        let armed = Arc::new(AtomicBool::new(false));
        let inner = armed.clone();
        let store = move |line: &MemoryDatabase| -> Box<dyn Store> { Box::new(Refuses { inner: line.store(), kind, armed: inner }) };
        let node = cluster.start_on("role", &[role], store).await;
        cluster.is_shared().await;
        let keeper = if role == Role::Inventory { &node } else { &orders };
        put_product(&keeper.handle, 1, 1000, 100).await;
        armed.store(true, Ordering::SeqCst);
        let id = orders.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        let refused = letter(&cluster, id, "store").await;
        assert_eq!((refused.role, refused.cause.as_str()), (role, "write-refused"));
        assert!(refused.detail.as_str().contains("a rule of the table"), "{}", refused.detail.as_str());
        let parked = || async { stored(&orders.handle, id).await.record.parked.map(|cause| cause.to_string()) };
        until("its owner knows", || async { parked().await.as_deref() == Some("write-refused") }).await;
        armed.store(false, Ordering::SeqCst);
        assert!(act(&orders, &refused, DeadLetterAction::Reprocess).await);
        settled(&orders.handle, id, OrderStatus::Confirmed).await;
        cluster.settles().await;
    });
}

#[test]
fn a_reservation_that_the_database_refuses_parks_its_order_at_its_owner() {
    parks(51, Role::Inventory, |write| matches!(write, Write::Reserve { .. }));
}

#[test]
fn a_payment_that_the_database_refuses_parks_its_order_at_its_owner() {
    parks(52, Role::Payment, |write| matches!(write, Write::SavePayment { .. }));
}

/// The provider declined, and that could not be stored: nobody books it as paid by mistake.
#[test]
fn a_payment_that_could_not_be_stored_is_not_done_by_hand_against_the_provider() {
    run(|| async {
        let cluster = Cluster::new(53);
        let armed = Arc::new(AtomicBool::new(false));
        let inner = armed.clone();
        let kind: Kind = |write| matches!(write, Write::SavePayment { .. });
        let store = move |line: &MemoryDatabase| -> Box<dyn Store> { Box::new(Refuses { inner: line.store(), kind, armed: inner }) };
        let node = cluster.start_on("all", &Role::ALL, store).await;
        cluster.is_shared().await;
        put_product(&node.handle, 1, 1001, 100).await;
        armed.store(true, Ordering::SeqCst);
        let id = node.place(vec![line(1, 1, 1001)]).await.unwrap().unwrap();
        let refused = letter(&cluster, id, "store").await;
        let decide = async |action| {
            let note = Some(Text::lossy("paid at the counter"));
            let letter = refused.id;
            node.ask(move |handle| async move { handle.act(letter, action, Text::lossy("ann"), note, LIMIT).await }).await.unwrap()
        };
        let said = decide(DeadLetterAction::Done).await.unwrap_err().to_string();
        assert!(said.contains("was declined"), "{said}");
        assert_eq!(stored(&node.handle, id).await.record.parked.unwrap().as_str(), "write-refused");
        armed.store(false, Ordering::SeqCst);
        decide(DeadLetterAction::Overrule).await.unwrap();
        settled(&node.handle, id, OrderStatus::Confirmed).await;
        cluster.settles().await;
    });
}
