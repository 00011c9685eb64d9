//! The node dies right after each commit, one after another: the next one takes up what is stored.

use crate::support::{LIMIT, World1, line, new_order, put_product, run, settled, until};
use ordermill::db::Batch;
use ordermill::db::memory::{Fault, Faults};
use ordermill::domain::{OrderStatus, Timestamp};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;
use tokio::task::LocalSet;

/// Its reply never comes: the node is gone.
struct DieAt {
    commit: u64,
    seen: AtomicU64,
    died: Arc<Notify>,
}

impl Faults for DieAt {
    fn commit(&self, _batch: &Batch) -> Fault {
        if self.seen.fetch_add(1, Ordering::SeqCst) != self.commit {
            return Fault::NONE;
        }
        self.died.notify_one();
        Fault { after_ms: 3_600_000, ..Fault::NONE }
    }
}

#[test]
fn a_node_that_dies_after_any_commit_loses_nothing() {
    // The catalogue, the shards, and then the way of one order, one commit at a time.
    for commit in 0..12 {
        for price in [1000, 1001] {
            run(move || die_after(commit, price));
        }
    }
}

async fn die_after(commit: u64, price: i64) {
    let world = Rc::new(World1::new(commit));
    let died = Arc::new(Notify::new());
    {
        let first = world.start().await;
        put_product(first.handle(), 1, price, 10).await;
        first.stop(LIMIT).await;
    }
    world.database.set_faults(Some(Arc::new(DieAt { commit, seen: AtomicU64::new(0), died: died.clone() })));
    let life = LocalSet::new();
    let living = world.clone();
    life.spawn_local(async move {
        let node = living.start().await;
        let _answer_is_lost = node.handle().place(new_order(vec![line(1, 1, price)]), None, LIMIT).await;
        std::future::pending::<()>().await;
    });
    // Fewer commits are made than this: then it dies at rest.
    let _at_rest = tokio::time::timeout(LIMIT, life.run_until(died.notified())).await;
    drop(life);
    world.database.set_faults(None);
    let node = world.start().await;
    let handle = node.handle();
    let filter = ordermill::db::OrderFilter { limit: 10, ..ordermill::db::OrderFilter::default() };
    let orders = handle.reads().orders(filter).await.unwrap().rows;
    assert!(orders.len() <= 1);
    for order in orders {
        settled(handle, order.id, if price == 1000 { OrderStatus::Confirmed } else { OrderStatus::Failed }).await;
    }
    assert!(world.sandbox().sent().len() <= 2, "a crash between sending and recording sends once more");
}

#[test]
fn a_payment_deadline_that_fell_due_while_the_node_was_down_fires_at_start() {
    run(|| async {
        let mut world = World1::new(30);
        world.settings.deadlines.payment_ms = 600_000;
        let silent = ordermill::config::providers::Behaviour { timeout_rate: 1.0, ..Default::default() };
        world.sandbox().behave(ordermill::providers::sandbox::Party::Payment, silent);
        let node = world.start().await;
        put_product(node.handle(), 1, 1000, 10).await;
        let order = node.handle().place(new_order(vec![line(1, 1, 1000)]), None, LIMIT).await.unwrap().order.id;
        let handle = node.handle().clone();
        until("stock is held", || async { crate::support::stored(&handle, order).await.status == OrderStatus::InventoryReserved }).await;
        node.stop(LIMIT).await;
        let due = ordermill::actors::World::now(&*world.world).plus_ms(600_000);
        tokio::time::advance(std::time::Duration::from_secs(700)).await;
        world.sandbox().behave(ordermill::providers::sandbox::Party::Payment, Default::default());
        let node = world.start().await;
        settled(node.handle(), order, OrderStatus::Cancelled).await;
        let (by, at): (_, Timestamp) = crate::support::stored(node.handle(), order).await.record.facts.cancel.unwrap();
        assert_eq!(by, ordermill::domain::CancelledBy::PaymentDeadline);
        assert!(at >= due);
    });
}
