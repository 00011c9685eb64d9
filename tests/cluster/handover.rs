//! What is under way while shards change hands is done once: notices, of which nobody can take one back, and payments.

use crate::member::{Cluster, Member};
use crate::support::{LIMIT, line, put_product, run, settled, until};
use ordermill::actors::{Command, DeadLetterAction, Fate};
use ordermill::config::providers::Behaviour;
use ordermill::db::memory::Fault;
use ordermill::db::{Batch, ConsumedPlace, DeadLetterFilter, Outcome, Reads, Write};
use ordermill::domain::{CancelledBy, DeadLetterState, OrderId, OrderStatus, Role, Shard, Shards, Text};
use ordermill::providers::PAYMENT_BREAKER;
use ordermill::providers::sandbox::Party;
use ordermill::saga::policy::Backoff;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

const ORDERS: usize = 30;

/// Orders that are paid, with their notices under way as `behaviour` has it.
async fn telling(seed: u64, behaviour: Behaviour) -> (Rc<Cluster>, Rc<Member>, Vec<OrderId>) {
    let cluster = Cluster::new(seed);
    let node = cluster.start("a", &Role::ALL).await;
    cluster.is_shared().await;
    put_product(&node.handle, 1, 1000, 1000).await;
    cluster.world.sandbox().behave(Party::Email, behaviour);
    let mut placed = Vec::new();
    for _ in 0..ORDERS {
        placed.push(node.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap());
    }
    until("all are paid", || async { cluster.world.sandbox().payment_totals().approved == ORDERS as u64 }).await;
    (cluster, node, placed)
}

/// Everybody was told, nobody twice.
async fn told_once(cluster: &Cluster, by: &Member, placed: Vec<OrderId>) {
    for id in placed {
        settled(&by.handle, id, OrderStatus::Confirmed).await;
    }
    let sent: Vec<_> = cluster.world.sandbox().sent().into_iter().map(|(id, _)| id).collect();
    assert_eq!(sent.iter().collect::<BTreeSet<_>>().len(), ORDERS);
    assert_eq!(sent.len(), ORDERS, "nobody was told twice");
}

fn slow() -> Behaviour {
    Behaviour { latency_ms: 3000, ..Behaviour::default() }
}

#[test]
fn a_shard_with_a_notice_on_its_way_stays_until_that_is_recorded() {
    run(|| async {
        let (cluster, first, placed) = telling(41, slow()).await;
        let second = cluster.start("b", &Role::ALL).await;
        until("shards are handed over", || async { second.owns(Role::Order) == 12 }).await;
        told_once(&cluster, &first, placed).await;
    });
}

#[test]
fn a_node_that_stops_lets_its_notices_come_to_their_end() {
    run(|| async {
        let (cluster, first, placed) = telling(42, slow()).await;
        let second = cluster.start("b", &Role::ALL).await;
        first.stop();
        until("the other has all", || async { second.owns(Role::Order) == 24 }).await;
        told_once(&cluster, &second, placed).await;
    });
}

/// Its write waits for the commit before it when its shard goes to a node that joins: nothing of it is sent, and it gets another id.
#[test]
fn an_order_whose_shard_is_given_away_as_it_is_placed_is_placed_all_the_same() {
    run(|| async {
        let cluster = Cluster::new(45);
        let first = cluster.start("a", &Role::ALL).await;
        cluster.is_shared().await;
        put_product(&first.handle, 1, 1000, 10_000).await;
        first.line.set_faults(Some(Arc::new(|_: &Batch| Fault { before_ms: 20, ..Fault::NONE })));
        let (placer, mut placing) = (first.clone(), Vec::new());
        let second = cluster.start("b", &Role::ALL).await;
        while second.owns(Role::Order) < 12 {
            let placer = placer.clone();
            placing.push(actix::spawn(async move { placer.place(vec![line(1, 1, 1000)]).await.unwrap() }));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(placing.len() > 10, "{} orders", placing.len());
        for placed in placing {
            placed.await.unwrap().unwrap();
        }
        first.line.set_faults(None);
        cluster.settles().await;
    });
}

#[test]
fn a_node_that_slept_past_its_lease_tells_nobody_anything() {
    run(|| async {
        let down = Behaviour { error_rate: 1.0, ..Behaviour::default() };
        let (cluster, first, placed) = telling(43, down).await;
        let second = cluster.start("b", &Role::ALL).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        first.sleep();
        cluster.world.sandbox().behave(Party::Email, Behaviour::default());
        until("the other has all", || async { second.owns(Role::Order) == 24 }).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        first.wake();
        told_once(&cluster, &second, placed).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(cluster.world.sandbox().sent().len(), ORDERS, "nobody was told twice");
    });
}

/// Its first try failed, for certain. While it waits for the next one the shard goes to another node, which charges, and comes back.
#[test]
fn a_payment_that_another_node_made_while_its_task_waited_is_not_made_again() {
    run(|| async {
        let cluster = Cluster::with(44, |settings| {
            settings.payment_retry.backoff = Backoff { first_ms: 600_000, most_ms: 600_000 };
            settings.payment_give_up_ms = 36_000_000;
        });
        let first = cluster.start("a", &Role::ALL).await;
        cluster.is_shared().await;
        put_product(&first.handle, 1, 1000, 1000).await;
        cluster.world.sandbox().behave(Party::Payment, Behaviour { error_rate: 1.0, ..Behaviour::default() });
        let mut placed = Vec::new();
        for _ in 0..ORDERS {
            let id = first.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
            until("it waits for its next try", || async { first.handle.next_payment_try(id).is_some() }).await;
            // Who waits is not to wait for a breaker.
            first.handle.breakers().find(PAYMENT_BREAKER).unwrap().reset();
            placed.push(id);
        }
        cluster.world.sandbox().behave(Party::Payment, Behaviour::default());
        let second = cluster.start("b", &Role::ALL).await;
        until("shards are handed over", || async { second.owns(Role::Order) == 12 }).await;
        let shards = Shards::new(24).unwrap();
        let gone: Vec<OrderId> = placed.into_iter().filter(|id| second.handle.owns(Role::Payment, shards.of(*id))).collect();
        assert!(!gone.is_empty());
        for id in &gone {
            settled(&second.handle, *id, OrderStatus::Confirmed).await;
        }
        second.stop();
        until("the first has all again", || async { first.owns(Role::Order) == 24 }).await;
        assert!(gone.iter().all(|id| first.handle.next_payment_try(*id).is_some()), "its tasks have slept all the while");
        until("they have ended", || async { gone.iter().all(|id| first.handle.next_payment_try(*id).is_none()) }).await;
        cluster.settles().await;
        let charges = cluster.world.sandbox().charges();
        assert_eq!(charges.iter().map(|charge| charge.key.order).collect::<BTreeSet<_>>().len(), ORDERS);
        assert_eq!(charges.len(), ORDERS, "nobody was charged twice");
    });
}

/// However often the node dies, a step that fails becomes a dead letter after as many tries as on one that lives.
#[test]
fn tries_of_a_payment_are_counted_across_nodes_that_die() {
    for (seed, price, step) in [(47, 1003, "charge"), (48, 1005, "charge"), (49, 1009, "refund")] {
        run(move || async move {
            let cluster = Cluster::new(seed);
            let mut node = cluster.start("node-0", &Role::ALL).await;
            cluster.is_shared().await;
            put_product(&node.handle, 1, price, 100).await;
            let id = node.place(vec![line(1, 1, price)]).await.unwrap().unwrap();
            if step == "refund" {
                settled(&node.handle, id, OrderStatus::Confirmed).await;
                let cancel = Command::Cancel { by: CancelledBy::Customer };
                node.ask(move |handle| async move { handle.command(id, cancel, LIMIT).await }).await.unwrap().unwrap();
            }
            let database = &cluster.world.database;
            let filter =
                || DeadLetterFilter { state: Some(DeadLetterState::Open), order: Some(id), limit: 9, ..DeadLetterFilter::default() };
            let told = || async { database.letters(filter()).await.unwrap().rows.pop() };
            let tries = cluster.world.settings.payment_retry.retries + 1;
            let mut lives = 1;
            loop {
                let handle = node.handle.clone();
                until("it has failed once more", || async { handle.next_payment_try(id).is_some() || told().await.is_some() }).await;
                if let Some(letter) = told().await {
                    assert_eq!((letter.step.as_str(), letter.tries), (step, tries), "{price}");
                    break;
                }
                assert!(lives < 2 * tries, "{price}: {lives} nodes have tried it, and nobody is told");
                cluster.crash(node).await;
                node = cluster.start(&format!("node-{lives}"), &Role::ALL).await;
                lives += 1;
            }
            // A person has it tried again, as often again.
            let letter = told().await.unwrap().id;
            let again = DeadLetterAction::Reprocess;
            node.ask(move |handle| async move { handle.act(letter, again, Text::lossy("ann"), None, LIMIT).await }).await.unwrap().unwrap();
            let row = || async { database.payment(id).await.unwrap().unwrap() };
            until("it fails anew", || async { row().await.failures.is_some_and(|failures| failures.count > 0) }).await;
        });
    }
}

/// What its node says late would undo what the next owner has said.
#[test]
fn how_far_a_role_is_done_is_stored_for_role_shards_of_this_node_only() {
    run(|| async {
        let cluster = Cluster::new(47);
        let first = cluster.start("a", &Role::ALL).await;
        cluster.is_shared().await;
        let second = cluster.start("b", &[Role::Order, Role::Payment]).await;
        until("shards are handed over", || async { second.owns(Role::Order) == 12 }).await;
        let place = |partition| ConsumedPlace { topic: "ships".to_owned(), partition, next: 9 };
        let say = |member: &Member, role| member.handle.submit().ask(Write::Consumed { role, places: (0..48).map(place).collect() });
        assert_eq!(say(&first, Role::Order).await, Fate::Stored(Outcome::Done));
        let stored: Vec<i32> =
            cluster.world.database.consumed(Role::Order).await.unwrap().places.into_iter().map(|place| place.partition).collect();
        // A topic may have more partitions than there are shards.
        let is_owned =
            |partition: &i32| first.handle.role_shards().borrow().has(Role::Order, Shard(u16::try_from(partition % 24).unwrap()));
        assert_eq!(stored, (0..48).filter(is_owned).collect::<Vec<i32>>());
        assert_eq!(stored.len(), 24);
        assert_eq!(say(&second, Role::Inventory).await, Fate::NotOurs);
        assert!(cluster.world.database.consumed(Role::Inventory).await.unwrap().places.is_empty());
    });
}
