//! What happens to open orders, and to who asks for them, while they are loaded, given away, or left by a node that stops.

use crate::member::{Cluster, Member};
use crate::support::{LIMIT, line, new_order, put_product, run, settled, until};
use ordermill::actors::{Command, CommandError, NodeHandle, PlaceError};
use ordermill::config::providers::Behaviour;
use ordermill::db::memory::{Answer, Call, Fault, Faults};
use ordermill::db::{Batch, OrderFilter, Reads};
use ordermill::domain::{CancelledBy, OrderId, OrderStatus, Role};
use ordermill::providers::sandbox::Party;
use ordermill::saga::Shipment;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const ORDERS: usize = 30;

/// A line on which reading takes a while.
struct SlowReads;

impl Faults for SlowReads {
    fn commit(&self, _batch: &Batch) -> Fault {
        Fault::NONE
    }

    fn call(&self, call: Call) -> Answer {
        Answer { delay_ms: if call == Call::Read { 300 } else { 0 }, ..Answer::PROCEED }
    }
}

/// Of a role that is handed over while orders are loaded, those orders know nothing: they are driven on all the same.
#[test]
fn orders_are_loaded_whose_payments_go_to_another_node_meanwhile() {
    run(|| async {
        let cluster = Cluster::with(51, |settings| settings.load_page = 1);
        let first = cluster.start("a", &Role::ALL).await;
        cluster.is_shared().await;
        put_product(&first.handle, 1, 1000, 1000).await;
        cluster.world.sandbox().behave(Party::Payment, Behaviour { timeout_rate: 1.0, ..Behaviour::default() });
        let mut placed = Vec::new();
        for _ in 0..ORDERS {
            placed.push(first.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap());
        }
        let reads = cluster.world.database.clone();
        until("stock is held for all", || async {
            let rows = reads.orders(OrderFilter { limit: 200, ..OrderFilter::default() }).await.unwrap().rows;
            rows.iter().filter(|row| row.status == OrderStatus::InventoryReserved).count() == ORDERS
        })
        .await;
        cluster.crash(first).await;
        let second = cluster
            .start_on("b", &Role::ALL, |line| {
                line.set_faults(Some(Arc::new(SlowReads)));
                Box::new(line.store())
            })
            .await;
        until("it has all", || async { second.owns(Role::Payment) == 24 }).await;
        let payments = cluster.start("pay", &[Role::Payment]).await;
        until("payments are shared", || async { payments.owns(Role::Payment) == 12 }).await;
        assert!(second.handle.not_ready().iter().any(|why| why.starts_with("orders of cell")), "it still loads");
        cluster.world.sandbox().behave(Party::Payment, Behaviour::default());
        for id in placed {
            settled(&second.handle, id, OrderStatus::Confirmed).await;
        }
        cluster.settles().await;
    });
}

/// A line on which a commit takes a while, and nothing can be read while `away`.
#[derive(Default)]
struct Slow {
    away: AtomicBool,
    commits: AtomicBool,
}

impl Faults for Slow {
    fn commit(&self, _batch: &Batch) -> Fault {
        Fault { before_ms: if self.commits.load(Ordering::SeqCst) { 2000 } else { 0 }, ..Fault::NONE }
    }

    fn call(&self, call: Call) -> Answer {
        Answer { fails: call == Call::Read && self.away.load(Ordering::SeqCst), ..Answer::PROCEED }
    }
}

/// A node with an order that is paid and asleep, on such a line.
async fn at_rest(seed: u64) -> (Rc<Cluster>, Rc<Member>, OrderId, Arc<Slow>) {
    let cluster = Cluster::new(seed);
    let node = cluster.start("a", &Role::ALL).await;
    cluster.is_shared().await;
    put_product(&node.handle, 1, 1000, 1000).await;
    let order = node.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
    settled(&node.handle, order, OrderStatus::Confirmed).await;
    let slow = Arc::new(Slow::default());
    node.line.set_faults(Some(slow.clone()));
    (cluster, node, order, slow)
}

/// Its actor has been ended, its row is written, and it cannot be read: to say that it is not there would have it placed again.
#[test]
fn a_placement_that_was_sent_is_in_doubt_where_the_node_stops_and_cannot_look() {
    run(|| async {
        let (cluster, node, _, slow) = at_rest(52).await;
        slow.commits.store(true, Ordering::SeqCst);
        let stop = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            node.stop();
            slow.away.store(true, Ordering::SeqCst);
        };
        let place = node.ask(|handle: NodeHandle| async move { handle.place(new_order(vec![line(1, 2, 1000)]), None, LIMIT).await });
        let (answer, ()) = futures_util::future::join(place, stop).await;
        let Some(Err(PlaceError::Unknown(id))) = answer else { panic!("{answer:?}") };
        assert!(cluster.world.database.order(id).await.unwrap().is_some(), "it is stored");
    });
}

#[test]
fn an_order_is_not_said_to_be_unknown_by_a_node_that_stops_and_cannot_look() {
    run(|| async {
        let (_cluster, node, order, slow) = at_rest(53).await;
        slow.away.store(true, Ordering::SeqCst);
        let stop = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            node.stop();
        };
        let ship =
            node.ask(move |handle: NodeHandle| async move { handle.command(order, Command::Ship(Shipment::default()), LIMIT).await });
        let (answer, ()) = futures_util::future::join(ship, stop).await;
        assert!(matches!(answer, Some(Err(CommandError::Unavailable))), "{answer:?}");
    });
}

/// The command is in the write under way when the order's shard is given away.
#[test]
fn a_command_that_was_stored_is_not_said_to_be_elsewhere() {
    run(|| async {
        let (_cluster, node, order, slow) = at_rest(54).await;
        slow.commits.store(true, Ordering::SeqCst);
        let stop = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            node.stop();
        };
        let cancel = Command::Cancel { by: CancelledBy::Customer };
        let cancel = node.ask(move |handle: NodeHandle| async move { handle.command(order, cancel, LIMIT).await });
        let (answer, ()) = futures_util::future::join(cancel, stop).await;
        assert!(matches!(answer, Some(Ok(OrderStatus::Refunding))), "{answer:?}");
    });
}
