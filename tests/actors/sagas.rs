//! The ways of an order that are neither straight nor failures of ours: commands at each step, slow and silent providers, keys.

use crate::deaths::count;
use crate::support::{LIMIT, World1, line, new_order, put_product, run, settled, stored, until};
use ordermill::actors::{Command, CommandError, NodeHandle, PlaceError};
use ordermill::config::providers::Behaviour;
use ordermill::db::IdempotencyKey;
use ordermill::domain::{CancelledBy, Contact, DeadLetterKind, NoticeStatus, OrderId, OrderStatus, Text, Timestamp};
use ordermill::providers::sandbox::Party;
use ordermill::saga::Shipment;

const CANCEL: Command = Command::Cancel { by: CancelledBy::Customer };

fn slow() -> Behaviour {
    Behaviour { latency_ms: 2000, ..Behaviour::default() }
}

async fn place(handle: &NodeHandle, price: i64) -> OrderId {
    handle.place(new_order(vec![line(1, 1, price)]), None, LIMIT).await.unwrap().order.id
}

async fn reaches(handle: &NodeHandle, order: OrderId, status: OrderStatus) {
    until(status.name(), || async { stored(handle, order).await.status == status }).await;
}

async fn assert_stock(handle: &NodeHandle, available: i32, reserved: i32, shipped: i32) {
    let product = handle.reads().product(crate::support::product(1)).await.unwrap().unwrap();
    assert_eq!((product.available, product.reserved, product.shipped), (available, reserved, shipped));
}

#[test]
fn an_order_can_be_cancelled_at_each_step_until_it_is_over() {
    for step in [OrderStatus::Pending, OrderStatus::InventoryReserved, OrderStatus::Confirmed] {
        run(move || async move {
            let world = World1::new(1);
            world.sandbox().behave(Party::Payment, slow());
            let node = world.start().await;
            let handle = node.handle();
            put_product(handle, 1, 1000, 10).await;
            let order = place(handle, 1000).await;
            reaches(handle, order, step).await;
            handle.command(order, CANCEL, LIMIT).await.unwrap();
            settled(handle, order, OrderStatus::Cancelled).await;
            assert_stock(handle, 10, 0, 0).await;
            assert!(world.sandbox().charges().iter().all(|charge| charge.state != ordermill::providers::sandbox::ChargeState::Approved));
            assert!(matches!(handle.command(order, CANCEL, LIMIT).await, Err(CommandError::Rejected(_))));
            assert!(matches!(handle.command(order, Command::Ship(Shipment::default()), LIMIT).await, Err(CommandError::Rejected(_))));
        });
    }
}

#[test]
fn goods_may_leave_before_the_payment() {
    run(|| async {
        let world = World1::new(2);
        world.sandbox().behave(Party::Payment, slow());
        let node = world.start().await;
        let handle = node.handle();
        put_product(handle, 1, 1000, 10).await;
        let order = place(handle, 1000).await;
        let shipped = handle.command(order, Command::Ship(Shipment::default()), LIMIT).await.unwrap();
        assert_ne!(shipped, OrderStatus::Shipped, "it is held until it is paid");
        assert!(matches!(handle.command(order, CANCEL, LIMIT).await, Err(CommandError::Rejected(_))));
        settled(handle, order, OrderStatus::Shipped).await;
        assert_stock(handle, 9, 0, 1).await;
    });
}

#[test]
fn a_charge_without_an_answer_is_asked_after_and_never_made_twice() {
    // Done and not answered; heard of late; answered late.
    for price in [1002, 1006, 1007] {
        run(move || async move {
            let world = World1::new(3);
            let node = world.start().await;
            put_product(node.handle(), 1, price, 10).await;
            let order = place(node.handle(), price).await;
            settled(node.handle(), order, OrderStatus::Confirmed).await;
            assert_eq!(world.sandbox().payment_totals().approved, 1);
        });
    }
}

#[test]
fn an_open_breaker_makes_payments_wait_and_burns_no_attempts() {
    run(|| async {
        let world = World1::new(4);
        world.sandbox().behave(Party::Payment, Behaviour { error_rate: 1.0, ..Behaviour::default() });
        let node = world.start().await;
        let handle = node.handle();
        put_product(handle, 1, 1000, 10).await;
        // Failures of one order count once.
        let mut first = Vec::new();
        for _ in 0..5 {
            first.push(place(handle, 1000).await);
        }
        let is_open = || handle.breakers().snapshots().iter().any(|breaker| breaker.name == "payment" && breaker.retry_in_ms > 0);
        until("the breaker is open", || async { is_open() }).await;
        let later = place(handle, 1000).await;
        until("it waits, visibly", || async { handle.next_payment_try(later).is_some() }).await;
        world.sandbox().behave(Party::Payment, Behaviour::default());
        for order in first.into_iter().chain([later]) {
            settled(handle, order, OrderStatus::Confirmed).await;
        }
        assert_eq!(crate::desk::letters(handle, DeadLetterKind::Step).await, []);
        assert_eq!(handle.reads().payment(later).await.unwrap().unwrap().attempt, 1);
    });
}

#[test]
fn an_order_that_is_not_paid_in_time_ends() {
    for (payment_ms, expiry_ms, by) in [(60_000, 7_200_000, CancelledBy::PaymentDeadline), (3_600_000, 60_000, CancelledBy::Expiry)] {
        run(move || async move {
            let mut world = World1::new(5);
            world.settings.deadlines.payment_ms = payment_ms;
            world.settings.deadlines.expiry_ms = expiry_ms;
            let node = world.start().await;
            let handle = node.handle();
            put_product(handle, 1, 1005, 10).await;
            let order = place(handle, 1005).await;
            settled(handle, order, OrderStatus::Cancelled).await;
            assert_eq!(stored(handle, order).await.record.facts.cancel.unwrap().0, by);
            assert_stock(handle, 10, 0, 0).await;
        });
    }
}

#[test]
fn a_confirmation_that_was_not_sent_is_withdrawn_by_a_cancel() {
    run(|| async {
        let world = World1::new(6);
        world.sandbox().behave(Party::Email, Behaviour { error_rate: 1.0, ..Behaviour::default() });
        let node = world.start().await;
        let handle = node.handle();
        put_product(handle, 1, 1000, 10).await;
        let order = place(handle, 1000).await;
        reaches(handle, order, OrderStatus::Confirmed).await;
        handle.command(order, CANCEL, LIMIT).await.unwrap();
        world.sandbox().behave(Party::Email, Behaviour::default());
        settled(handle, order, OrderStatus::Cancelled).await;
        let rows = handle.reads().notices(order).await.unwrap();
        assert!(rows.iter().any(|row| row.status == NoticeStatus::Withdrawn), "{rows:?}");
        assert_eq!(world.sandbox().sent().len(), 1, "the cancellation alone");
    });
}

#[test]
fn flaky_notices_are_sent_once_and_their_orders_rest_meanwhile() {
    run(|| async {
        let world = World1::new(7);
        let node = world.start().await;
        let handle = node.handle();
        put_product(handle, 1, 1000, 10).await;
        let mut new = new_order(vec![line(1, 1, 1000)]);
        new.contact =
            Some(Box::new(Contact { email: Some(Text::lossy("flaky@shop.test")), phone: Some(Text::lossy("+49300000004")), locale: None }));
        let order = handle.place(new, None, LIMIT).await.unwrap().order.id;
        until("it rests though its notices wait", || async {
            count(handle, "order").alive == 0
                && stored(handle, order).await.open
                && stored(handle, order).await.status == OrderStatus::Confirmed
        })
        .await;
        settled(handle, order, OrderStatus::Confirmed).await;
        assert_eq!(world.sandbox().sent().len(), 2);
        until("it rests", || async { count(handle, "order").alive == 0 }).await;
    });
}

#[test]
fn requests_with_one_key_are_one_order() {
    run(|| async {
        let world = World1::new(8);
        let node = world.start().await;
        let handle = node.handle();
        put_product(handle, 1, 1000, 10).await;
        let key = |body| Some(IdempotencyKey { key: [1; 32], body: [body; 32], expires_at: Timestamp(i64::MAX) });
        let new = || new_order(vec![line(1, 1, 1000)]);
        let racing = (0..4).map(|_| handle.place(new(), key(1), LIMIT));
        let placed: Vec<_> = futures_util::future::join_all(racing).await.into_iter().map(Result::unwrap).collect();
        assert!(placed.iter().all(|each| each.order.id == placed[0].order.id));
        assert_eq!(placed.iter().filter(|each| !each.replayed).count(), 1);
        assert!(matches!(handle.place(new(), key(2), LIMIT).await, Err(PlaceError::KeyReused)));
        settled(handle, placed[0].order.id, OrderStatus::Confirmed).await;
        assert_stock(handle, 9, 1, 0).await;
    });
}
