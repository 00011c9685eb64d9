//! Large orders and large batches.

use crate::Case;
use crate::fixture::{Fixture, kinds};
use crate::sample::{line, notice, order, order_of, payment, place, product_id, put, release, reserve, save, ship};
use ordermill::db::{Outcome, PlaceOutcome, ReleaseReason, RowOutcome, StepOutcome, Write};
use ordermill::domain::{Channel, EventBody, EventKind, NoticeKind, NoticeStatus, OrderStatus, PaymentStatus};

pub(crate) const CASES: &[Case] = &[
    ("orders of 1,000 lines are reserved, shipped and released", |f| Box::pin(many_lines(f))),
    ("a batch of 1,000 mixed writes is one transaction in the order of arrival", |f| Box::pin(many_writes(f))),
];

async fn many_lines(f: &mut Fixture) {
    f.commit((0..1000).map(|n| put(product_id(n), 3)).collect()).await;
    let orders = [1, 2, 3, 4].map(|n| order_of(n, (0..1000).rev().map(|product| line(product, 1)).collect()));
    f.commit(orders.iter().map(place).collect()).await;
    let committed = f.commit(orders.iter().map(reserve).collect()).await;
    let (held, short) = (EventKind::InventoryReserved, EventKind::InventoryInsufficient);
    assert_eq!(kinds(&committed.events), [held, held, held, short]);
    let EventBody::InventoryInsufficient { shortages } = &committed.events[3].event.body else { unreachable!() };
    assert_eq!(shortages.len(), 1000, "every line that cannot be had");
    f.commit(vec![ship(&orders[0]), release(&orders[1], ReleaseReason::Cancelled)]).await;
    for n in [0, 500, 999] {
        assert_eq!(f.sums(product_id(n)).await, [1, 1, 1, 3]);
    }
    assert_eq!(f.reads.order(orders[3].id).await.unwrap().unwrap().order, orders[3]);
    let EventBody::OrderCreated(told) = f.log().await.remove(0).event.body else { unreachable!() };
    assert_eq!(told, orders[0], "lines keep their order");
}

async fn many_writes(f: &mut Fixture) {
    let orders: Vec<_> = (0..200).map(order).collect();
    f.commit(vec![put(product_id(1), 100), put(product_id(2), 1000)]).await;
    let mut writes: Vec<Write> = orders.iter().map(place).collect();
    writes.extend(orders.iter().map(reserve));
    writes.extend(orders.iter().map(|order| payment(order, 1, PaymentStatus::Charged)));
    writes.extend(orders.iter().map(|order| save(order, OrderStatus::Confirmed, vec![EventBody::OrderConfirmed], vec![])));
    writes.extend(orders.iter().map(|order| notice(order, NoticeKind::Confirmation, Channel::Email, NoticeStatus::Sent, 1)));
    let kinds_in_order = [
        EventKind::OrderCreated,
        EventKind::InventoryReserved,
        EventKind::PaymentProcessed,
        EventKind::OrderConfirmed,
        EventKind::NotificationSent,
    ];
    let before = f.writer.last_seq;
    let committed = f.commit(writes).await;
    let done = [Outcome::Place(PlaceOutcome::Done), Outcome::Step(StepOutcome::Done), Outcome::Row(RowOutcome::Done)];
    assert!(committed.outcomes.iter().all(|outcome| done.contains(outcome)));
    let numbers: Vec<i64> = committed.events.iter().map(|logged| logged.seq).collect();
    assert_eq!(numbers, (before + 1..=before + 1000).collect::<Vec<_>>());
    for order in &orders {
        let told: Vec<EventKind> =
            committed.events.iter().filter(|logged| logged.event.order == order.id).map(|logged| logged.event.kind()).collect();
        let mut wanted = kinds_in_order;
        if order.created_at >= crate::sample::at(100) {
            wanted[1] = EventKind::InventoryInsufficient;
        }
        assert_eq!(told, wanted, "each order's events are in the order of its writes");
    }
    assert_eq!(f.log().await, committed.events, "the log is what was answered");
    assert_eq!(f.sums(product_id(1)).await, [0, 100, 0, 100]);
}
