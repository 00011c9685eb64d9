//! What a role has done is what its own database says: one that was saved and put back hears again what other teams said meanwhile.

use crate::listener::{FakeRoles, LIMIT as STOP, Node as Listener, foreign, node_on_mock, without_local};
use crate::nodes::Node;
use crate::process::{LIMIT, Plan};
use crate::sample::{event_of, order, shards};
use crate::server::{self, Database};
use crate::world::{Journal, Teller, database, until};
use ordermill::db::memory::Nodes;
use ordermill::db::{Reads as _, Write};
use ordermill::domain::{EventKind, OrderId, Role, Topic};
use serde_json::json;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

/// The shipments of most orders are heard between the save and the restore, and committed at the brokers.
async fn hears_again(node: &mut Node, save: impl FnOnce(&Plan), put_back: impl AsyncFnOnce(&mut Plan)) {
    let served = node.plan.start();
    node.plan.put_product("10.00");
    let orders: Vec<OrderId> = (0..20).map(|_| node.place("10.00")).collect();
    orders.iter().for_each(|order| node.comes_to(*order, "CONFIRMED"));
    let teller = Teller::new(&node.kafka);
    let ship = |orders: &[OrderId]| {
        orders.iter().for_each(|order| teller.tell(&node.shipped(*order)));
        orders.iter().for_each(|order| node.comes_to(*order, "SHIPPED"));
    };
    let (before, after) = orders.split_at(4);
    ship(before);
    save(&node.plan);
    ship(after);
    served.wait_settled(LIMIT);
    served.stop();
    put_back(&mut node.plan).await;
    let served = node.plan.start();
    orders.iter().for_each(|order| node.comes_to(*order, "SHIPPED"));
    served.wait_settled(LIMIT);
    assert!(node.letters().is_empty(), "what was done before the save is done once: {:?}", node.letters());
    served.stop();
    assert!(node.plan.verify(&[]).0, "{}", node.plan.verify(&[]).1);
}

#[tokio::test(flavor = "multi_thread")]
async fn shipments_that_were_heard_after_a_sqlite_database_was_saved_are_heard_again() {
    let mut node = Node::new();
    let copy = node.plan.folder.join("copy.db");
    let save = |plan: &Plan| {
        let saved = plan.run(&["backup", copy.to_str().unwrap(), "--database", &plan.database_url()]);
        assert!(saved.status.success(), "{}", String::from_utf8_lossy(&saved.stderr));
    };
    let put_back = async |plan: &mut Plan| {
        for end in ["", "-wal", "-shm"] {
            // Of a database that was closed in order the last two are not there.
            drop(std::fs::remove_file(PathBuf::from(format!("{}{end}", plan.database.display()))));
        }
        std::fs::rename(&copy, &plan.database).unwrap();
    };
    hears_again(&mut node, save, put_back).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shipments_that_were_heard_after_a_postgres_database_was_saved_are_heard_again() {
    let (shop, restored) = (Database::missing("shop"), Database::missing("restored"));
    let mut node = Node::new();
    node.plan = node.plan.clone().on(&shop.url());
    let file = node.plan.folder.join("shop.dump");
    let run = |command: &mut Command| {
        let done = command.output().expect("PostgreSQL's programs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let save = |_: &Plan| run(Command::new("pg_dump").args(["--format=custom", "--file"]).arg(&file).arg(shop.url()));
    let put_back = async |plan: &mut Plan| {
        server::run(&format!("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'", restored.name)).await;
        run(Command::new("pg_restore").args(["--exit-on-error", "--dbname"]).arg(restored.url()).arg(&file));
        *plan = plan.clone().on(&restored.url());
    };
    hears_again(&mut node, save, put_back).await;
}

/// A database of an earlier version holds no places: it goes on from what Kafka has, once. A new one holds none because nothing was read.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_an_earlier_version_takes_over_the_brokers_offsets_once() {
    let (_mock, settings, node) = node_on_mock(&[Role::Order]).await;
    let teller = Teller::new(&settings);
    let ship = |n: u64| teller.tell(&foreign(n, Topic::Shipping, &json!({"orderId": order(n).id.0, "carrier": "post"})));
    (0..10).for_each(ship);
    node.heard("all of them", 10).await;
    node.consumer.stop(STOP).await;
    let stored = async || node.database.consumed(Role::Order).await.unwrap().places;
    let before = stored().await;
    assert!(!before.is_empty());
    let start = |fake: &Arc<FakeRoles>| Listener::start(&settings, &node.database, fake.clone(), &[Role::Order]);
    node.database.upgrade();
    let upgraded = start(&node.fake);
    until("the places are taken over", async || {
        let now = stored().await;
        before.iter().all(|place| now.contains(place))
    })
    .await;
    // On a partition of which something is known.
    let next = (10..).find(|n| shards().of(order(*n).id) == shards().of(order(0).id)).unwrap();
    ship(next);
    upgraded.heard("the new one alone", 11).await;
    upgraded.consumer.stop(STOP).await;
    // Now it is put back, to where that one was not heard. Kafka has its offset.
    let fake = FakeRoles::new(node.fake.journal.clone());
    let write = Write::Consumed { role: Role::Order, places: before };
    node.fake.journal.commit(vec![write]).await;
    let restored = start(&fake);
    restored.heard("what is not done by the database", 1).await;
    assert_eq!(restored.fake.heard()[0].1, order(next).id);
    restored.consumer.stop(STOP).await;
}

/// It would not know of which orders they are, and what it does not know is for a person.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_database_hears_all_that_other_teams_said_and_nothing_again_of_what_roles_of_ours_did() {
    let (_mock, settings, node) = node_on_mock(&[Role::Order]).await;
    let teller = Teller::new(&settings);
    for n in 0..10 {
        teller.tell(&foreign(n, Topic::Shipping, &json!({"orderId": order(n).id.0, "carrier": "post"})));
        teller.tell(&without_local(&event_of(n, EventKind::PaymentProcessed)));
    }
    node.heard("all of them", 20).await;
    node.consumer.stop(STOP).await;
    let database = database(Nodes::One);
    let fake = FakeRoles::new(Journal::start(&database, None).await);
    let new = Listener::start(&settings, &database, fake, &[Role::Order]);
    new.heard("the shipments", 10).await;
    teller.tell(&without_local(&event_of(99, EventKind::PaymentProcessed)));
    new.heard("and what comes then", 11).await;
    assert_eq!(new.fake.heard().iter().filter(|(.., kind)| kind.name() == "OrderShipped").count(), 10);
    new.consumer.stop(STOP).await;
}
