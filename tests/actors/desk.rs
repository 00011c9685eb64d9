//! Steps that fail past their policy wait at the desk, and settle once a person has them tried again.

use crate::support::{LIMIT, World1, line, new_order, put_product, run, settled, stored, until};
use ordermill::actors::{Command, Front, LetterAction, LetterError};
use ordermill::config::providers::Behaviour;
use ordermill::db::LetterFilter;
use ordermill::domain::{Contact, DeadLetter, LetterKind, LetterState, NoticeStatus, OrderStatus, Text};
use ordermill::providers::sandbox::Party;
use ordermill::saga::Shipment;

pub async fn letters(front: &Front, kind: LetterKind) -> Vec<DeadLetter> {
    let filter = LetterFilter { state: Some(LetterState::Open), kind: Some(kind), limit: 100, ..LetterFilter::default() };
    front.reads().letters(filter).await.unwrap().rows
}

/// Waits for the one open letter of this kind.
pub async fn open_letter(front: &Front, kind: LetterKind) -> DeadLetter {
    until("there is a letter", || async { !letters(front, kind).await.is_empty() }).await;
    let mut letters = letters(front, kind).await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    letters.remove(0)
}

async fn act(front: &Front, letter: &DeadLetter, action: LetterAction) -> Result<(), LetterError> {
    front.act(letter.id, action, Text::lossy("desk"), None, LIMIT).await
}

#[test]
fn a_payment_that_fails_past_its_retries_parks_and_is_tried_again() {
    // Always an error, and never heard of.
    for price in [1005, 1003] {
        run(move || async move {
            let world = World1::new(1);
            let node = world.start().await;
            let front = node.front();
            put_product(front, 1, price, 10).await;
            let order = front.place(new_order(vec![line(1, 1, price)]), None, LIMIT).await.unwrap().order.id;
            let letter = open_letter(front, LetterKind::Step).await;
            assert_eq!((letter.cause.as_str(), letter.step.as_str(), letter.tries), ("payment-provider", "charge", 4));
            assert!(stored(front, order).await.record.parked.is_some());
            assert!(matches!(act(front, &letter, LetterAction::Discard).await, Err(LetterError::NotApplicable(_))));
            world.sandbox().set_magic(false);
            act(front, &letter, LetterAction::Reprocess).await.unwrap();
            settled(front, order, OrderStatus::Confirmed).await;
            assert!(matches!(act(front, &letter, LetterAction::Reprocess).await, Err(LetterError::Closed)));
        });
    }
}

#[test]
fn a_parked_order_can_be_compensated() {
    run(|| async {
        let world = World1::new(2);
        let node = world.start().await;
        let front = node.front();
        put_product(front, 1, 1005, 10).await;
        let order = front.place(new_order(vec![line(1, 1, 1005)]), None, LIMIT).await.unwrap().order.id;
        let letter = open_letter(front, LetterKind::Step).await;
        act(front, &letter, LetterAction::Compensate).await.unwrap();
        settled(front, order, OrderStatus::Cancelled).await;
        let product = front.reads().product(crate::support::product(1)).await.unwrap().unwrap();
        assert_eq!((product.available, product.reserved), (10, 0));
    });
}

#[test]
fn a_refund_that_fails_past_its_retries_parks_and_is_tried_again_whatever_the_person_calls_it() {
    for action in [LetterAction::Reprocess, LetterAction::Skip, LetterAction::Compensate] {
        run(move || async move {
            let world = World1::new(3);
            let node = world.start().await;
            let front = node.front();
            put_product(front, 1, 1009, 10).await;
            let order = front.place(new_order(vec![line(1, 1, 1009)]), None, LIMIT).await.unwrap().order.id;
            settled(front, order, OrderStatus::Confirmed).await;
            front.command(order, Command::Cancel { by: ordermill::domain::CancelledBy::Customer }, LIMIT).await.unwrap();
            let letter = open_letter(front, LetterKind::Step).await;
            assert_eq!(letter.step.as_str(), "refund");
            assert_eq!(stored(front, order).await.status, OrderStatus::Refunding);
            world.sandbox().set_magic(false);
            act(front, &letter, action).await.unwrap();
            settled(front, order, OrderStatus::Cancelled).await;
        });
    }
}

#[test]
fn goods_that_left_unpaid_park_before_any_release() {
    run(|| async {
        let world = World1::new(4);
        world.sandbox().behave(Party::Payment, Behaviour { latency_ms: 1000, ..Behaviour::default() });
        let node = world.start().await;
        let front = node.front();
        put_product(front, 1, 1001, 10).await;
        let order = front.place(new_order(vec![line(1, 1, 1001)]), None, LIMIT).await.unwrap().order.id;
        front.command(order, Command::Ship(Shipment::default()), LIMIT).await.unwrap();
        let letter = open_letter(front, LetterKind::Step).await;
        assert_eq!(letter.cause.as_str(), "shipped-unpaid");
        let product = front.reads().product(crate::support::product(1)).await.unwrap().unwrap();
        assert_eq!((product.available, product.reserved), (9, 1));
        act(front, &letter, LetterAction::Compensate).await.unwrap();
        settled(front, order, OrderStatus::Cancelled).await;
    });
}

#[test]
fn a_notice_that_is_given_up_settles_its_order_and_can_be_sent_later() {
    run(|| async {
        let world = World1::new(5);
        let node = world.start().await;
        let front = node.front();
        put_product(front, 1, 1000, 10).await;
        let mut new = new_order(vec![line(1, 1, 1000)]);
        new.contact = Some(Box::new(Contact { email: Some(Text::lossy("fail@shop.test")), ..Contact::default() }));
        let order = front.place(new, None, LIMIT).await.unwrap().order.id;
        settled(front, order, OrderStatus::Confirmed).await;
        let letter = open_letter(front, LetterKind::Notice).await;
        assert_eq!((letter.step.as_str(), letter.tries), ("CONFIRMATION/EMAIL", 4));
        world.sandbox().set_magic(false);
        act(front, &letter, LetterAction::Reprocess).await.unwrap();
        until("it is sent", || async { front.reads().notices(order).await.unwrap()[0].status == NoticeStatus::Sent }).await;
        assert_eq!(world.sandbox().sent().len(), 1);
    });
}
