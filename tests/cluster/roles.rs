//! Each role on nodes of its own: the saga crosses from node to node.

use crate::external::{act, letter};
use crate::member::Cluster;
use crate::support::{LIMIT, line, put_product, run, settled, stored, until};
use ordermill::actors::{Command, DeadLetterAction};
use ordermill::config::providers::Behaviour;
use ordermill::db::Reads;
use ordermill::domain::{CancelledBy, DeadLetterState, Event, EventBody, EventKind, OrderStatus, PaymentStatus, ReservedLine, Role};
use ordermill::providers::sandbox::{ChargeState, Party};
use ordermill::saga::Shipment;
use std::time::Duration;

#[test]
fn orders_settle_across_nodes_that_host_some_roles_each() {
    run(|| async {
        let cluster = Cluster::new(11);
        let orders = cluster.start("orders", &[Role::Order, Role::Analytics]).await;
        let stock = cluster.start("stock", &[Role::Inventory]).await;
        cluster.start("pay", &[Role::Payment]).await;
        cluster.start("tell", &[Role::Notification]).await;
        cluster.is_shared().await;
        put_product(&stock.handle, 1, 1000, 100).await;
        put_product(&stock.handle, 2, 1001, 100).await;
        let (mut confirmed, mut failed, mut cancelled, mut shipped) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..5 {
            confirmed.push(orders.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap());
            shipped.push(orders.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap());
            failed.push(orders.place(vec![line(2, 1, 1001)]).await.unwrap().unwrap());
            cancelled.push(orders.place(vec![line(1, 1000, 1000)]).await.unwrap().unwrap());
        }
        for id in &shipped {
            settled(&orders.handle, *id, OrderStatus::Confirmed).await;
            let (id, ship) = (*id, Command::Ship(Shipment::default()));
            orders.ask(move |handle| async move { handle.command(id, ship, LIMIT).await }).await.unwrap().unwrap();
        }
        let undone = orders.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        settled(&orders.handle, undone, OrderStatus::Confirmed).await;
        let cancel = Command::Cancel { by: CancelledBy::Customer };
        orders.ask(move |handle| async move { handle.command(undone, cancel, LIMIT).await }).await.unwrap().unwrap();
        cancelled.push(undone);
        for (ids, status) in [
            (confirmed, OrderStatus::Confirmed),
            (shipped, OrderStatus::Shipped),
            (failed, OrderStatus::Failed),
            (cancelled, OrderStatus::Cancelled),
        ] {
            for id in ids {
                settled(&orders.handle, id, status).await;
            }
        }
        cluster.settles().await;
    });
}

#[test]
fn a_role_that_dies_is_taken_over_and_asked_again() {
    run(|| async {
        let cluster = Cluster::new(12);
        let orders = cluster.start("orders", &[Role::Order, Role::Analytics, Role::Inventory]).await;
        let first = cluster.start("pay-1", &[Role::Payment, Role::Notification]).await;
        cluster.start("pay-2", &[Role::Payment, Role::Notification]).await;
        cluster.is_shared().await;
        put_product(&orders.handle, 1, 1000, 100).await;
        for _ in 0..20 {
            orders.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        }
        cluster.crash(first).await;
        for _ in 0..20 {
            orders.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        }
        cluster.settles().await;
    });
}

#[test]
fn a_step_that_fails_on_another_node_parks_its_order_until_its_letter_is_closed() {
    run(|| async {
        let cluster = Cluster::new(13);
        let orders = cluster.start("orders", &[Role::Order, Role::Analytics, Role::Inventory, Role::Notification]).await;
        cluster.start("pay", &[Role::Payment]).await;
        cluster.is_shared().await;
        // The stand-in answers this total with an error, each time.
        put_product(&orders.handle, 1, 1005, 100).await;
        let id = orders.place(vec![line(1, 1, 1005)]).await.unwrap().unwrap();
        let parked = || async { stored(&orders.handle, id).await.record.parked.map(|cause| cause.to_string()) };
        for action in [DeadLetterAction::Reprocess, DeadLetterAction::Skip, DeadLetterAction::Compensate] {
            let charge = letter(&cluster, id, "charge").await;
            assert_eq!((charge.cause.as_str(), charge.tries), ("payment-provider", 4));
            until("its owner knows", || async { parked().await.as_deref() == Some("payment-provider") }).await;
            assert!(act(&orders, &charge, action).await, "{action:?}");
        }
        settled(&orders.handle, id, OrderStatus::Cancelled).await;
        cluster.settles().await;
    });
}

/// Its order never hears of either: a role's own success closes its own letter, wherever the role is by then.
#[test]
fn a_step_that_is_done_by_its_next_owner_closes_the_letter_that_its_order_never_heard_of() {
    run(|| async {
        let cluster = Cluster::new(17);
        let others = [Role::Order, Role::Analytics, Role::Inventory, Role::Notification];
        let orders = cluster.start("orders", &others).await;
        let pay = cluster.start("pay", &[Role::Payment]).await;
        cluster.is_shared().await;
        cluster.lose(EventKind::PaymentParked);
        // The stand-in answers this total with an error, each time.
        put_product(&orders.handle, 1, 1005, 100).await;
        let id = orders.place(vec![line(1, 1, 1005)]).await.unwrap().unwrap();
        let charge = letter(&cluster, id, "charge").await;
        let order = stored(&orders.handle, id).await.order;
        cluster.crash(orders).await;
        cluster.crash(pay).await;
        cluster.world.sandbox().set_magic(false);
        let next = cluster.start("next", &[Role::Payment]).await;
        until("it is the payment's node", || async { next.owns(Role::Payment) == 24 }).await;
        let lines = order.lines.iter().map(ReservedLine::from).collect();
        cluster.say(Event::of(&order, order.created_at, EventBody::InventoryReserved { lines }));
        let state = || async { cluster.world.database.letter(charge.id).await.unwrap().unwrap().state };
        until("its letter is closed", || async { state().await == DeadLetterState::Superseded }).await;
        assert_eq!(cluster.world.database.payment(id).await.unwrap().unwrap().status, PaymentStatus::Charged);
        assert_eq!(stored(&next.handle, id).await.record.facts.payment, None, "the order has not heard of it");
        cluster.start("orders", &others).await;
        cluster.settles().await;
    });
}

/// Money that is owed back and cannot be given back waits for a person, wherever the order is.
#[test]
fn a_refund_that_fails_on_another_node_parks_its_order_and_is_made_when_a_person_has_it_tried_again() {
    run(|| async {
        let cluster = Cluster::new(16);
        let orders = cluster.start("orders", &[Role::Order, Role::Analytics, Role::Inventory, Role::Notification]).await;
        cluster.start("pay", &[Role::Payment]).await;
        cluster.is_shared().await;
        put_product(&orders.handle, 1, 1000, 100).await;
        let id = orders.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        settled(&orders.handle, id, OrderStatus::Confirmed).await;
        cluster.world.sandbox().behave(Party::Payment, Behaviour { error_rate: 1.0, ..Behaviour::default() });
        let cancel = Command::Cancel { by: CancelledBy::Customer };
        orders.ask(move |handle| async move { handle.command(id, cancel, LIMIT).await }).await.unwrap().unwrap();
        let refund = letter(&cluster, id, "refund").await;
        assert_eq!((refund.cause.as_str(), refund.role, refund.tries), ("payment-provider", Role::Payment, 4));
        until("its owner knows", || async { stored(&orders.handle, id).await.record.parked.is_some() }).await;
        cluster.world.sandbox().behave(Party::Payment, Behaviour::default());
        assert!(act(&orders, &refund, DeadLetterAction::Reprocess).await);
        settled(&orders.handle, id, OrderStatus::Cancelled).await;
        let charges = cluster.world.sandbox().charges();
        assert!(charges.len() == 1 && charges[0].state == ChargeState::Refunded && charges[0].payouts == 1, "{charges:?}");
        cluster.settles().await;
    });
}

/// A payment role with a login of its own knows an order by its copy, and that is kept for a time only.
#[test]
fn what_was_paid_is_given_back_though_the_copy_of_its_order_is_deleted() {
    run(|| async {
        let cluster = Cluster::with(15, |settings| settings.keep_copies_ms = 120_000);
        let orders = cluster.start("orders", &[Role::Order, Role::Analytics, Role::Inventory, Role::Notification]).await;
        let pay = cluster.start_with_login("pay", &[Role::Payment]).await;
        cluster.is_shared().await;
        put_product(&orders.handle, 1, 1000, 100).await;
        let id = orders.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap();
        settled(&orders.handle, id, OrderStatus::Confirmed).await;
        until("the copy is deleted", || async { pay.line.known_order(id).await.unwrap().is_none() }).await;
        let cancel = Command::Cancel { by: CancelledBy::Customer };
        orders.ask(move |handle| async move { handle.command(id, cancel, LIMIT).await }).await.unwrap().unwrap();
        settled(&orders.handle, id, OrderStatus::Cancelled).await;
        let charges = cluster.world.sandbox().charges();
        assert!(charges.len() == 1 && charges[0].state == ChargeState::Refunded && charges[0].payouts == 1, "{charges:?}");
        cluster.settles().await;
    });
}

#[test]
fn orders_sleep_while_the_mail_of_another_node_is_away() {
    run(|| async {
        let cluster = Cluster::with(14, |settings| settings.notice_retry.retries = 1000);
        let orders = cluster.start("orders", &[Role::Order, Role::Analytics, Role::Inventory, Role::Payment]).await;
        cluster.start("tell", &[Role::Notification]).await;
        cluster.is_shared().await;
        put_product(&orders.handle, 1, 1000, 100).await;
        cluster.world.sandbox().behave(Party::Email, Behaviour { error_rate: 1.0, ..Behaviour::default() });
        let mut placed = Vec::new();
        for _ in 0..30 {
            placed.push(orders.place(vec![line(1, 1, 1000)]).await.unwrap().unwrap());
        }
        for id in &placed {
            until("it is confirmed", || async { stored(&orders.handle, *id).await.status == OrderStatus::Confirmed }).await;
        }
        let alive =
            |member: &crate::member::Member| member.handle.report().actors.iter().find(|count| count.kind == "order").unwrap().alive;
        let far_ms = cluster.world.settings.redrive_far.first_ms;
        tokio::time::sleep(Duration::from_millis(2 * far_ms)).await;
        assert_eq!(alive(&orders), 0, "actors of orders that only wait for mail");
        cluster.crash(orders).await;
        let orders = cluster.start("orders", &[Role::Order, Role::Analytics, Role::Inventory, Role::Payment]).await;
        cluster.is_shared().await;
        until("they were asked after and sleep again", || async { alive(&orders) == 0 }).await;
        cluster.world.sandbox().behave(Party::Email, Behaviour::default());
        cluster.settles().await;
        assert_eq!(cluster.world.sandbox().sent().len(), placed.len(), "each once");
    });
}
