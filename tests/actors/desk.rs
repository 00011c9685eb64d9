//! Steps that fail past their policy wait at the desk, and settle once a person has them tried again.

use crate::support::{LIMIT, World1, line, new_order, put_product, run, settled, stored, until};
use ordermill::actors::{Command, DeadLetterAction, DeadLetterError, NodeHandle};
use ordermill::config::providers::Behaviour;
use ordermill::db::DeadLetterFilter;
use ordermill::domain::{CancelledBy, Contact, DeadLetter, DeadLetterKind, DeadLetterState, NoticeStatus, OrderStatus, Text};
use ordermill::providers::sandbox::Party;
use ordermill::saga::Shipment;

pub async fn letters(handle: &NodeHandle, kind: DeadLetterKind) -> Vec<DeadLetter> {
    let filter = DeadLetterFilter { state: Some(DeadLetterState::Open), kind: Some(kind), limit: 100, ..DeadLetterFilter::default() };
    handle.reads().letters(filter).await.unwrap().rows
}

/// Waits for the one open letter of this kind.
pub async fn open_letter(handle: &NodeHandle, kind: DeadLetterKind) -> DeadLetter {
    until("there is a letter", || async { !letters(handle, kind).await.is_empty() }).await;
    let mut letters = letters(handle, kind).await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    letters.remove(0)
}

pub async fn act(handle: &NodeHandle, letter: &DeadLetter, action: DeadLetterAction) -> Result<(), DeadLetterError> {
    handle.act(letter.id, action, Text::lossy("desk"), None, LIMIT).await
}

#[test]
fn a_payment_that_fails_past_its_retries_parks_and_is_tried_again() {
    // Always an error, and never heard of.
    for price in [1005, 1003] {
        run(move || async move {
            let world = World1::new(1);
            let node = world.start().await;
            let handle = node.handle();
            put_product(handle, 1, price, 10).await;
            let order = handle.place(new_order(vec![line(1, 1, price)]), None, LIMIT).await.unwrap().order.id;
            let letter = open_letter(handle, DeadLetterKind::Step).await;
            assert_eq!((letter.cause.as_str(), letter.step.as_str(), letter.tries), ("payment-provider", "charge", 4));
            assert!(stored(handle, order).await.record.parked.is_some());
            assert!(matches!(act(handle, &letter, DeadLetterAction::Discard).await, Err(DeadLetterError::NotApplicable(_))));
            world.sandbox().set_magic(false);
            act(handle, &letter, DeadLetterAction::Reprocess).await.unwrap();
            settled(handle, order, OrderStatus::Confirmed).await;
            assert!(matches!(act(handle, &letter, DeadLetterAction::Reprocess).await, Err(DeadLetterError::Closed)));
        });
    }
}

/// By its customer, or by its deadline: what failed is undone, and nothing is left to do about it.
#[test]
fn the_letter_of_an_order_that_is_cancelled_meanwhile_is_closed_and_says_why() {
    for is_by_customer in [true, false] {
        run(move || async move {
            let mut world = World1::new(6);
            world.settings.deadlines.payment_ms = 120_000;
            let node = world.start().await;
            let handle = node.handle();
            put_product(handle, 1, 1005, 10).await;
            let order = handle.place(new_order(vec![line(1, 1, 1005)]), None, LIMIT).await.unwrap().order.id;
            let letter = open_letter(handle, DeadLetterKind::Step).await;
            if is_by_customer {
                handle.command(order, Command::Cancel { by: CancelledBy::Customer }, LIMIT).await.unwrap();
            }
            settled(handle, order, OrderStatus::Cancelled).await;
            let closed = handle.reads().letter(letter.id).await.unwrap().unwrap();
            assert_eq!((closed.state, closed.step), (DeadLetterState::Superseded, letter.step.clone()), "what it told stays");
            let audit = handle.reads().audit(letter.id.0.to_string()).await.unwrap();
            let why = audit[0].note.as_deref().unwrap_or_default();
            let by = if is_by_customer { "cancelled-by-customer" } else { "payment-deadline" };
            assert!(audit.len() == 1 && audit[0].by == "ordermill" && why.contains(by), "{audit:?}");
            let late = act(handle, &letter, DeadLetterAction::Reprocess).await;
            assert!(matches!(late, Err(DeadLetterError::Closed)), "{late:?}");
        });
    }
}

/// Two people at once: what both did is told, and neither is told otherwise. Whose decision changed nothing is.
#[test]
fn decisions_of_two_people_at_once_are_both_audited() {
    for (second, is_done) in [(DeadLetterAction::Compensate, true), (DeadLetterAction::Skip, false)] {
        run(move || async move {
            let world = World1::new(7);
            let node = world.start().await;
            let handle = node.handle();
            put_product(handle, 1, 1005, 10).await;
            let order = handle.place(new_order(vec![line(1, 1, 1005)]), None, LIMIT).await.unwrap().order.id;
            let letter = open_letter(handle, DeadLetterKind::Step).await;
            world.sandbox().set_magic(false);
            let by = |who, action| handle.act(letter.id, action, Text::lossy(who), None, LIMIT);
            let (first, other) = tokio::join!(by("ann", DeadLetterAction::Reprocess), by("bob", second));
            first.unwrap();
            let mut told = vec![("REPROCESSED", "ann")];
            if is_done {
                other.unwrap();
                told.push(("COMPENSATED", "bob"));
                settled(handle, order, OrderStatus::Cancelled).await;
            } else {
                assert!(matches!(other, Err(DeadLetterError::Closed)), "{other:?}");
                settled(handle, order, OrderStatus::Confirmed).await;
            }
            assert_eq!(handle.reads().letter(letter.id).await.unwrap().unwrap().state, DeadLetterState::Reprocessed);
            let audit = handle.reads().audit(letter.id.0.to_string()).await.unwrap();
            assert_eq!(audit.iter().map(|entry| (entry.action.as_str(), entry.by.as_str())).collect::<Vec<_>>(), told);
        });
    }
}

#[test]
fn a_parked_order_can_be_compensated() {
    run(|| async {
        let world = World1::new(2);
        let node = world.start().await;
        let handle = node.handle();
        put_product(handle, 1, 1005, 10).await;
        let order = handle.place(new_order(vec![line(1, 1, 1005)]), None, LIMIT).await.unwrap().order.id;
        let letter = open_letter(handle, DeadLetterKind::Step).await;
        act(handle, &letter, DeadLetterAction::Compensate).await.unwrap();
        settled(handle, order, OrderStatus::Cancelled).await;
        let product = handle.reads().product(crate::support::product(1)).await.unwrap().unwrap();
        assert_eq!((product.available, product.reserved), (10, 0));
    });
}

#[test]
fn a_refund_that_fails_past_its_retries_parks_and_is_tried_again_whatever_the_person_calls_it() {
    for action in [DeadLetterAction::Reprocess, DeadLetterAction::Skip, DeadLetterAction::Compensate] {
        run(move || async move {
            let world = World1::new(3);
            let node = world.start().await;
            let handle = node.handle();
            put_product(handle, 1, 1009, 10).await;
            let order = handle.place(new_order(vec![line(1, 1, 1009)]), None, LIMIT).await.unwrap().order.id;
            settled(handle, order, OrderStatus::Confirmed).await;
            handle.command(order, Command::Cancel { by: ordermill::domain::CancelledBy::Customer }, LIMIT).await.unwrap();
            let letter = open_letter(handle, DeadLetterKind::Step).await;
            assert_eq!(letter.step.as_str(), "refund");
            assert_eq!(stored(handle, order).await.status, OrderStatus::Refunding);
            world.sandbox().set_magic(false);
            act(handle, &letter, action).await.unwrap();
            settled(handle, order, OrderStatus::Cancelled).await;
        });
    }
}

#[test]
fn goods_that_left_unpaid_park_before_any_release() {
    run(|| async {
        let world = World1::new(4);
        world.sandbox().behave(Party::Payment, Behaviour { latency_ms: 1000, ..Behaviour::default() });
        let node = world.start().await;
        let handle = node.handle();
        put_product(handle, 1, 1001, 10).await;
        let order = handle.place(new_order(vec![line(1, 1, 1001)]), None, LIMIT).await.unwrap().order.id;
        handle.command(order, Command::Ship(Shipment::default()), LIMIT).await.unwrap();
        let letter = open_letter(handle, DeadLetterKind::Step).await;
        assert_eq!(letter.cause.as_str(), "shipped-unpaid");
        let product = handle.reads().product(crate::support::product(1)).await.unwrap().unwrap();
        assert_eq!((product.available, product.reserved), (9, 1));
        act(handle, &letter, DeadLetterAction::Compensate).await.unwrap();
        settled(handle, order, OrderStatus::Cancelled).await;
    });
}

#[test]
fn a_notice_that_is_given_up_settles_its_order_and_can_be_sent_later() {
    run(|| async {
        let world = World1::new(5);
        let node = world.start().await;
        let handle = node.handle();
        put_product(handle, 1, 1000, 10).await;
        let mut new = new_order(vec![line(1, 1, 1000)]);
        new.contact = Some(Box::new(Contact { email: Some(Text::lossy("fail@shop.test")), ..Contact::default() }));
        let order = handle.place(new, None, LIMIT).await.unwrap().order.id;
        settled(handle, order, OrderStatus::Confirmed).await;
        let letter = open_letter(handle, DeadLetterKind::Notice).await;
        assert_eq!((letter.step.as_str(), letter.tries), ("CONFIRMATION/EMAIL", 4));
        world.sandbox().set_magic(false);
        act(handle, &letter, DeadLetterAction::Reprocess).await.unwrap();
        until("it is sent", || async { handle.reads().notices(order).await.unwrap()[0].status == NoticeStatus::Sent }).await;
        assert_eq!(world.sandbox().sent().len(), 1);
    });
}
