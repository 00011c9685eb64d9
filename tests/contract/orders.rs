//! Placing and saving orders; idempotency keys; the numbering of events.

use crate::Case;
use crate::fixture::{Fixture, kinds};
use crate::sample::{at, letter, order, place, place_with, save};
use ordermill::db::{IdempotencyKey, Outcome, PlaceOutcome, RowOutcome, Write};
use ordermill::domain::{DeadLetterState, EventBody, EventKind, LoggedEvent, Order, OrderStatus};
use ordermill::saga::{self, HistoryEntry};
use std::sync::Arc;

pub(crate) const CASES: &[Case] = &[
    ("a placed order is stored with its record and told once", |f| Box::pin(placed(f))),
    ("an order id that exists is repeated and writes nothing", |f| Box::pin(placed_again(f))),
    ("a key names the order that took it, and whether the body was the same", |f| Box::pin(key_taken(f))),
    ("a key is taken by the first of one batch", |f| Box::pin(key_taken_in_one_batch(f))),
    ("an order placed again with its own key is repeated", |f| Box::pin(key_of_its_own(f))),
    ("an expired key is free again", |f| Box::pin(key_expired(f))),
    ("a save replaces record, status and debt and logs its events in order", |f| Box::pin(saved(f))),
    ("a save of an order that does not exist is missing and writes nothing", |f| Box::pin(saved_missing(f))),
    ("what is sold is told with its event, in the commit and in the log", |f| Box::pin(sold(f))),
    ("events are numbered without gaps across batches", |f| Box::pin(numbered(f))),
    ("an empty batch moves the writer by one commit", |f| Box::pin(empty(f))),
    ("every part of an order and its record comes back as it was", |f| Box::pin(comes_back(f))),
];

async fn placed(f: &mut Fixture) {
    let order = order(1);
    assert_eq!(f.write(place(&order)).await, (Outcome::Place(PlaceOutcome::Done), vec![EventKind::OrderCreated]));
    let stored = f.reads.order(order.id).await.unwrap().unwrap();
    assert_eq!(stored.order, order);
    assert_eq!(stored.record, saga::step::placed(&order));
    assert_eq!((stored.status, stored.open, stored.updated_at), (OrderStatus::Pending, true, order.created_at));
    let log = f.log().await;
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].event.body, EventBody::OrderCreated(order.clone()));
    assert_eq!((log[0].seq, log[0].event.at), (1, order.created_at));
    assert_eq!((log[0].event.order, log[0].event.shard, log[0].event.correlation), (order.id, order.shard, order.correlation));
}

async fn placed_again(f: &mut Fixture) {
    let order = order(1);
    f.commit(vec![place(&order), save(&order, OrderStatus::Confirmed, Vec::new(), Vec::new())]).await;
    let (outcome, events) = f.write(place(&order)).await;
    assert!(matches!(outcome, Outcome::Place(PlaceOutcome::Repeated)), "{outcome:?}");
    assert!(events.is_empty());
    assert_eq!(f.reads.order(order.id).await.unwrap().unwrap().status, OrderStatus::Confirmed);
    let twice = crate::sample::order(2);
    let committed = f.commit(vec![place(&twice), place(&twice)]).await;
    assert!(
        matches!(committed.outcomes[..], [Outcome::Place(PlaceOutcome::Done), Outcome::Place(PlaceOutcome::Repeated)]),
        "{:?}",
        committed.outcomes
    );
    assert_eq!(kinds(&committed.events), [EventKind::OrderCreated]);
}

async fn key_taken(f: &mut Fixture) {
    let (first, same, other) = (order(1), order(2), order(3));
    assert_eq!(f.write(place_with(&first, 7, 1, at(u64::from(u32::MAX)))).await.0, Outcome::Place(PlaceOutcome::Done));
    let taken = |same_body| (Outcome::Place(PlaceOutcome::KeyTaken { order: first.id, same_body }), vec![]);
    assert_eq!(f.write(place_with(&same, 7, 1, at(u64::from(u32::MAX)))).await, taken(true));
    assert_eq!(f.write(place_with(&other, 7, 2, at(u64::from(u32::MAX)))).await, taken(false));
    assert_eq!(f.reads.order(same.id).await.unwrap(), None);
    assert_eq!(
        f.write(place_with(&other, 8, 1, at(u64::from(u32::MAX)))).await.0,
        Outcome::Place(PlaceOutcome::Done),
        "another key, same body"
    );
}

async fn key_taken_in_one_batch(f: &mut Fixture) {
    let (first, second) = (order(1), order(2));
    let late = at(u64::from(u32::MAX));
    let committed = f.commit(vec![place_with(&first, 7, 1, late), place_with(&second, 7, 2, late), place(&order(3))]).await;
    assert_eq!(
        committed.outcomes,
        [
            Outcome::Place(PlaceOutcome::Done),
            Outcome::Place(PlaceOutcome::KeyTaken { order: first.id, same_body: false }),
            Outcome::Place(PlaceOutcome::Done)
        ]
    );
    assert_eq!(committed.events.iter().map(|logged| logged.seq).collect::<Vec<_>>(), [1, 2]);
}

async fn key_of_its_own(f: &mut Fixture) {
    let order = order(1);
    let write = place_with(&order, 7, 1, at(u64::from(u32::MAX)));
    f.write(write.clone()).await;
    assert!(matches!(f.write(write).await.0, Outcome::Place(PlaceOutcome::Repeated)));
}

/// Expired by the order's time and by any database's clock.
async fn key_expired(f: &mut Fixture) {
    let (first, second, third) = (order(1), order(2_000_000), order(2_000_001));
    f.write(place_with(&first, 7, 1, at(1000))).await;
    assert_eq!(f.write(place_with(&second, 7, 2, at(u64::from(u32::MAX)))).await.0, Outcome::Place(PlaceOutcome::Done));
    let taken = Outcome::Place(PlaceOutcome::KeyTaken { order: second.id, same_body: true });
    assert_eq!(f.write(place_with(&third, 7, 2, at(u64::from(u32::MAX)))).await.0, taken, "the new one holds it");
}

async fn saved(f: &mut Fixture) {
    let order = order(1);
    f.write(place(&order)).await;
    let bodies = vec![EventBody::OrderConfirmed, EventBody::OrderShipped { carrier: None, tracking: Some(crate::sample::text("T1")) }];
    let write = save(&order, OrderStatus::Shipped, bodies, vec![letter(&order, 1, "odd", 5)]);
    let Write::Save { record: wanted, .. } = write.clone() else { unreachable!() };
    assert_eq!(f.write(write).await, (Outcome::Row(RowOutcome::Done), vec![EventKind::OrderConfirmed, EventKind::OrderShipped]));
    let stored = f.reads.order(order.id).await.unwrap().unwrap();
    assert_eq!((stored.status, stored.open, stored.updated_at), (OrderStatus::Shipped, true, at(500)));
    assert_eq!((stored.record, stored.order), (wanted, order.clone()));
    let stored = f.reads.letter(letter(&order, 1, "odd", 5).id).await.unwrap().unwrap();
    assert_eq!(stored.state, DeadLetterState::Open);
    f.write(save(&order, OrderStatus::Cancelled, Vec::new(), Vec::new())).await;
    let stored = f.reads.order(order.id).await.unwrap().unwrap();
    assert_eq!((stored.status, stored.open), (OrderStatus::Cancelled, false));
}

/// Confirmed and then cancelled is a sale and its undoing; cancelled without having been confirmed is neither.
async fn sold(f: &mut Fixture) {
    let (sale, never) = (order(1), order(2));
    let cancelled = || EventBody::OrderCancelled { reason: crate::sample::text("expired"), was_paid: true };
    f.commit(vec![place(&sale), place(&never)]).await;
    let confirm = save(&sale, OrderStatus::Confirmed, vec![EventBody::OrderConfirmed], vec![]);
    let Write::Save { record: confirmed, .. } = confirm.clone() else { unreachable!() };
    let with_history = |order: &Arc<Order>, kinds: &[EventKind], body: EventBody| {
        let mut write = save(order, OrderStatus::Cancelled, vec![body], vec![]);
        let Write::Save { record, .. } = &mut write else { unreachable!() };
        *record = confirmed.clone();
        record.history = kinds.iter().map(|kind| HistoryEntry::new(OrderStatus::Cancelled, *kind, at(1))).collect();
        write
    };
    let told = f
        .commit(vec![
            with_history(&sale, &[EventKind::OrderCreated, EventKind::OrderConfirmed], EventBody::OrderConfirmed),
            with_history(&sale, &[EventKind::OrderCreated, EventKind::OrderConfirmed, EventKind::OrderCancelled], cancelled()),
            with_history(&never, &[EventKind::OrderCreated, EventKind::OrderCancelled], cancelled()),
        ])
        .await;
    let sales = |events: &[LoggedEvent]| events.iter().map(|logged| logged.sale.as_ref().map(|order| order.id)).collect::<Vec<_>>();
    assert_eq!(sales(&told.events), [Some(sale.id), Some(sale.id), None]);
    assert_eq!(sales(&f.log().await), [None, None, Some(sale.id), Some(sale.id), None]);
    assert_eq!(f.log().await.get(3).and_then(|logged| logged.sale.clone()), Some(sale));
}

async fn saved_missing(f: &mut Fixture) {
    let order = order(1);
    let write = save(&order, OrderStatus::Confirmed, vec![EventBody::OrderConfirmed], vec![letter(&order, 1, "odd", 5)]);
    assert_eq!(f.write(write).await, (Outcome::Row(RowOutcome::Missing), vec![]));
    assert_eq!(f.reads.order(order.id).await.unwrap(), None);
    assert_eq!(f.reads.letter(letter(&order, 1, "odd", 5).id).await.unwrap(), None);
}

async fn numbered(f: &mut Fixture) {
    let mut expected = 0;
    for n in 1..=5 {
        let (a, b) = (order(n * 2), order(n * 2 + 1));
        let committed =
            f.commit(vec![place(&a), place(&b), save(&a, OrderStatus::Confirmed, vec![EventBody::OrderConfirmed], vec![])]).await;
        let numbers: Vec<i64> = committed.events.iter().map(|logged| logged.seq).collect();
        assert_eq!(numbers, [expected + 1, expected + 2, expected + 3]);
        expected += 3;
        assert_eq!(committed.last_seq, expected);
        assert_eq!(f.store.state(f.writer.writer).await.unwrap(), f.writer, "the row says the same");
    }
    let log = f.log().await;
    assert_eq!(log.iter().map(|logged| logged.seq).collect::<Vec<_>>(), (1..=15).collect::<Vec<_>>());
}

async fn empty(f: &mut Fixture) {
    f.commit(Vec::new()).await;
    let state = f.store.state(f.writer.writer).await.unwrap();
    assert_eq!((state.commits, state.last_seq, state.alive), (1, 0, true));
}

async fn comes_back(f: &mut Fixture) {
    let mut whole = (*order(1)).clone();
    whole.address = Some(Box::new(ordermill::domain::Address {
        name: Some(crate::sample::text("Ann Ärger")),
        street: Some(crate::sample::text("Straße 1")),
        city: None,
        region: None,
        postal_code: Some(crate::sample::text("0123")),
        country: Some(crate::sample::text("日本")),
    }));
    let mut bare = (*order(2)).clone();
    (bare.contact, bare.address) = (None, None);
    for order in [whole, bare].map(std::sync::Arc::new) {
        let mut record = saga::step::placed(&order);
        record.facts.cancel = Some((ordermill::domain::CancelledBy::Expiry, at(7)));
        record.facts.undo_asked = true;
        let key = IdempotencyKey { key: [1; 32], body: [2; 32], expires_at: at(1) };
        f.write(Write::Place { order: order.clone(), record: record.clone(), key: Some(key) }).await;
        let stored = f.reads.order(order.id).await.unwrap().unwrap();
        assert_eq!((stored.order, stored.record), (order, record));
    }
}
