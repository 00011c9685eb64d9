//! The stock keeper's writes and the catalogue.

use crate::Case;
use crate::fixture::{Fixture, kinds};
use crate::sample::{adjust, at, change_of, hold, line, money, order, order_of, place, product_id, put, release, reserve, ship, text};
use ordermill::db::{
    Answer, AnswerOutcome, Answered, CorrectionFilter, IdempotencyKey, Outcome, ProductOutcome, ProductWrite, ReleaseReason, StepOutcome,
    Write,
};
use ordermill::domain::{
    Condition, EventBody, EventKind, IfMissing, Order, Pricing, ProductChange, ReservedLine, Shortage, StockChange, StockError,
};
use std::sync::Arc;

pub(crate) const CASES: &[Case] = &[
    ("an order's stock is held whole", |f| Box::pin(reserves(f))),
    ("an order that cannot have every line gets none and is told each", |f| Box::pin(all_or_nothing(f))),
    ("orders of one batch get stock in the order of arrival", |f| Box::pin(arrival_order(f))),
    ("a hot product is sold to the last piece and never beyond", |f| Box::pin(hot_product(f))),
    ("prices are checked against the catalogue, or trusted", |f| Box::pin(pricing(f))),
    ("an unknown product is a shortage", |f| Box::pin(unknown_product(f))),
    ("a repeated reservation repeats its answer and holds nothing more", |f| Box::pin(repeats(f))),
    ("an insufficient answer stays, whatever is put in later", |f| Box::pin(insufficient_stays(f))),
    ("a release gives back what is held, once", |f| Box::pin(releases(f))),
    ("a release before the reservation forbids it", |f| Box::pin(release_first(f))),
    ("a hold forbids the release for a failed payment but not for a cancellation", |f| Box::pin(holds(f))),
    ("a hold before the reservation does not forbid it", |f| Box::pin(hold_first(f))),
    ("held stock that is shipped leaves, once, and cannot be released", |f| Box::pin(ships(f))),
    ("shipping nothing is told with no lines", |f| Box::pin(ships_nothing(f))),
    ("goods that left before their reservation leave with it", |f| Box::pin(ships_first(f))),
    ("stock changes of one batch see each other", |f| Box::pin(one_batch(f))),
    ("a product is created, and put again keeps what is held or has left", |f| Box::pin(puts(f))),
    ("stock is adjusted with an audit entry and never below zero", |f| Box::pin(adjusts(f))),
    ("a change of name and price leaves the stock, a count takes off what is held", |f| Box::pin(changes(f))),
    ("a change for a state that is past is refused", |f| Box::pin(stale(f))),
    ("a discontinued product is a shortage, and what is held of it goes its way", |f| Box::pin(discontinued(f))),
    ("a change under a key is made once, and its first answer stays until it expires", |f| Box::pin(keys(f))),
    ("what persons did to the stock is listed page by page", |f| Box::pin(corrections(f))),
    ("a stock that would be too large is refused", |f| Box::pin(too_large(f))),
];

fn lines(order: &Order) -> Vec<ReservedLine> {
    order.lines.iter().map(ReservedLine::from).collect()
}

/// The bodies of the events that a write made, or of those that it repeats.
async fn told(f: &mut Fixture, write: Write) -> (bool, Vec<EventBody>) {
    let committed = f.commit(vec![write]).await;
    let Outcome::Step(StepOutcome::Repeated(events)) = &committed.outcomes[0] else {
        assert_eq!(committed.outcomes, [Outcome::Step(StepOutcome::Done)]);
        return (true, committed.events.into_iter().map(|logged| logged.event.body).collect());
    };
    assert!(committed.events.is_empty(), "a repeat logs nothing");
    (false, events.iter().map(|event| event.body.clone()).collect())
}

async fn reserves(f: &mut Fixture) {
    let order = f.placed(1, 10).await;
    let (outcome, _) = f.write(reserve(&order)).await;
    assert_eq!(outcome, Outcome::Step(StepOutcome::Done));
    let event = f.log().await.pop().unwrap().event;
    assert_eq!(event.body, EventBody::InventoryReserved { lines: lines(&order) });
    assert_eq!((event.order, event.shard, event.correlation), (order.id, order.shard, order.correlation));
    assert_eq!(event.at, crate::sample::at(100));
    assert_eq!(f.sums(product_id(1)).await, [9, 1, 0, 10]);
    assert_eq!(f.sums(product_id(2)).await, [8, 2, 0, 10]);
}

async fn all_or_nothing(f: &mut Fixture) {
    let order = order_of(1, vec![line(1, 1), line(2, 9), line(3, 8)]);
    f.commit(vec![put(product_id(1), 5), put(product_id(2), 5), put(product_id(3), 5), place(&order)]).await;
    let (is_new, events) = told(f, reserve(&order)).await;
    let short = |n, requested| Shortage::OutOfStock { product: product_id(n), requested, available: 5 };
    assert_eq!((is_new, events), (true, vec![EventBody::InventoryInsufficient { shortages: vec![short(2, 9), short(3, 8)] }]));
    for n in 1..=3 {
        assert_eq!(f.sums(product_id(n)).await, [5, 0, 0, 5]);
    }
}

async fn arrival_order(f: &mut Fixture) {
    let orders = [(3, 4), (1, 4), (2, 1)].map(|(n, quantity)| order_of(n, vec![line(1, quantity)]));
    let mut writes = vec![put(product_id(1), 5)];
    writes.extend(orders.iter().map(place));
    f.commit(writes).await;
    let committed = f.commit(orders.iter().map(reserve).collect()).await;
    let wanted = [EventKind::InventoryReserved, EventKind::InventoryInsufficient, EventKind::InventoryReserved];
    assert_eq!(kinds(&committed.events), wanted, "not by id");
    let told: Vec<_> = committed.events.iter().map(|logged| logged.event.order).collect();
    assert_eq!(told, orders.each_ref().map(|order| order.id));
    assert_eq!(f.sums(product_id(1)).await, [0, 5, 0, 5]);
}

async fn hot_product(f: &mut Fixture) {
    let orders: Vec<Arc<Order>> = (0..300).map(|n| order_of(n, vec![line(1, 1)])).collect();
    f.write(put(product_id(1), 100)).await;
    let mut reserved = 0;
    for chunk in orders.chunks(70) {
        f.commit(chunk.iter().map(place).collect()).await;
        let committed = f.commit(chunk.iter().map(reserve).collect()).await;
        reserved += kinds(&committed.events).iter().filter(|kind| **kind == EventKind::InventoryReserved).count();
    }
    assert_eq!(reserved, 100);
    assert_eq!(f.sums(product_id(1)).await, [0, 100, 0, 100]);
}

async fn pricing(f: &mut Fixture) {
    let (checked, trusted) = (f.placed(1, 10).await, f.placed(2, 10).await);
    let dearer = Write::product(product_id(2), text("Thing"), money(1001), 10);
    f.write(dearer).await;
    let (_, events) = told(f, reserve(&checked)).await;
    let mismatch = Shortage::PriceMismatch { product: product_id(2), asked: money(1000), price: money(1001) };
    assert_eq!(events, [EventBody::InventoryInsufficient { shortages: vec![mismatch] }]);
    let write = Write::Reserve { order: trusted.clone(), pricing: Pricing::Trust, at: crate::sample::at(100) };
    assert_eq!(told(f, write).await.1, [EventBody::InventoryReserved { lines: lines(&trusted) }]);
}

async fn unknown_product(f: &mut Fixture) {
    let order = order(1);
    f.commit(vec![put(product_id(1), 5), place(&order)]).await;
    let shortages = vec![Shortage::UnknownProduct { product: product_id(2) }];
    assert_eq!(told(f, reserve(&order)).await.1, [EventBody::InventoryInsufficient { shortages }]);
    assert_eq!(f.sums(product_id(1)).await, [5, 0, 0, 5]);
}

async fn repeats(f: &mut Fixture) {
    let order = f.placed(1, 10).await;
    let committed = f.commit(vec![reserve(&order), reserve(&order)]).await;
    let Outcome::Step(StepOutcome::Repeated(events)) = &committed.outcomes[1] else { panic!("{:?}", committed.outcomes) };
    assert_eq!(events[..], [committed.events[0].event.clone()], "the very same event");
    assert_eq!(told(f, reserve(&order)).await, (false, vec![EventBody::InventoryReserved { lines: lines(&order) }]));
    assert_eq!(f.sums(product_id(1)).await, [9, 1, 0, 10]);
}

async fn insufficient_stays(f: &mut Fixture) {
    let order = f.placed(1, 0).await;
    let (_, first) = told(f, reserve(&order)).await;
    f.commit(vec![adjust(product_id(1), 10), adjust(product_id(2), 10)]).await;
    assert_eq!(told(f, reserve(&order)).await, (false, first));
    assert_eq!(f.sums(product_id(1)).await, [10, 0, 0, 10]);
}

async fn releases(f: &mut Fixture) {
    for (n, undo) in [(1, ReleaseReason::Cancelled), (2, ReleaseReason::PaymentFailed)] {
        let order = f.placed(n, 10).await;
        f.write(reserve(&order)).await;
        let answer = vec![EventBody::InventoryReleased { lines: lines(&order) }];
        assert_eq!(told(f, release(&order, undo)).await, (true, answer.clone()));
        assert_eq!(told(f, release(&order, undo)).await, (false, answer.clone()));
        assert_eq!(told(f, release(&order, ReleaseReason::Cancelled)).await, (false, answer));
        assert_eq!(f.sums(product_id(2)).await, [10, 0, 0, 10]);
        let (is_new, events) = told(f, reserve(&order)).await;
        assert!(!is_new, "what was given back is not held again");
        assert!(events.iter().any(|body| matches!(body, EventBody::InventoryReserved { .. })), "{events:?}");
        assert_eq!(f.sums(product_id(2)).await, [10, 0, 0, 10]);
    }
}

async fn release_first(f: &mut Fixture) {
    let order = f.placed(1, 10).await;
    let nothing = vec![EventBody::InventoryReleased { lines: Vec::new() }];
    assert_eq!(told(f, release(&order, ReleaseReason::Cancelled)).await, (true, nothing.clone()));
    assert_eq!(told(f, reserve(&order)).await, (false, nothing));
    assert_eq!(f.sums(product_id(1)).await, [10, 0, 0, 10]);
    let order = f.placed(2, 10).await;
    let committed = f.commit(vec![release(&order, ReleaseReason::Cancelled), reserve(&order)]).await;
    assert_eq!(kinds(&committed.events), [EventKind::InventoryReleased], "also within one batch");
}

async fn holds(f: &mut Fixture) {
    let order = f.placed(1, 10).await;
    f.write(reserve(&order)).await;
    assert_eq!(told(f, hold(&order)).await, (true, vec![]));
    assert_eq!(told(f, hold(&order)).await.1, []);
    let (_, events) = told(f, release(&order, ReleaseReason::PaymentFailed)).await;
    assert_eq!(events, [], "nothing is done and nothing is told");
    assert_eq!(f.sums(product_id(1)).await, [9, 1, 0, 10]);
    let released = vec![EventBody::InventoryReleased { lines: lines(&order) }];
    assert_eq!(told(f, release(&order, ReleaseReason::Cancelled)).await, (true, released));
    assert_eq!(f.sums(product_id(1)).await, [10, 0, 0, 10]);
}

async fn hold_first(f: &mut Fixture) {
    let order = f.placed(1, 10).await;
    f.write(hold(&order)).await;
    assert_eq!(told(f, reserve(&order)).await, (true, vec![EventBody::InventoryReserved { lines: lines(&order) }]));
    assert_eq!(told(f, release(&order, ReleaseReason::PaymentFailed)).await.1, []);
    assert_eq!(told(f, ship(&order)).await, (true, vec![EventBody::InventoryShipped { lines: lines(&order) }]));
}

async fn ships(f: &mut Fixture) {
    let order = f.placed(1, 10).await;
    f.write(reserve(&order)).await;
    let shipped = vec![EventBody::InventoryShipped { lines: lines(&order) }];
    assert_eq!(told(f, ship(&order)).await, (true, shipped.clone()));
    assert_eq!(told(f, ship(&order)).await, (false, shipped));
    assert_eq!(f.sums(product_id(1)).await, [9, 0, 1, 10]);
    for undo in [ReleaseReason::Cancelled, ReleaseReason::PaymentFailed] {
        let (is_new, events) = told(f, release(&order, undo)).await;
        assert!(!is_new && !events.iter().any(|body| matches!(body, EventBody::InventoryReleased { .. })), "{events:?}");
    }
    assert_eq!(f.sums(product_id(1)).await, [9, 0, 1, 10]);
}

async fn ships_nothing(f: &mut Fixture) {
    let nothing = vec![EventBody::InventoryShipped { lines: Vec::new() }];
    let released = f.placed(1, 10).await;
    f.commit(vec![reserve(&released), release(&released, ReleaseReason::Cancelled)]).await;
    assert_eq!(told(f, ship(&released)).await, (true, nothing.clone()));
    let insufficient = f.placed(2, 0).await;
    f.write(reserve(&insufficient)).await;
    assert_eq!(told(f, ship(&insufficient)).await, (true, nothing.clone()));
    assert_eq!(told(f, ship(&insufficient)).await, (false, nothing));
    assert_eq!(f.sums(product_id(1)).await, [0, 0, 0, 0]);
}

/// Another team's payment role may be faster than our stock keeper.
async fn ships_first(f: &mut Fixture) {
    let order = f.placed(1, 10).await;
    assert_eq!(told(f, ship(&order)).await, (true, vec![EventBody::InventoryShipped { lines: Vec::new() }]));
    assert_eq!(told(f, reserve(&order)).await, (true, vec![EventBody::InventoryReserved { lines: lines(&order) }]));
    assert_eq!(f.sums(product_id(1)).await, [9, 0, 1, 10], "nobody would ever ship or release what is held now");
    let (is_new, _) = told(f, release(&order, ReleaseReason::Cancelled)).await;
    assert!(!is_new);
    assert_eq!(f.sums(product_id(1)).await, [9, 0, 1, 10]);
}

async fn one_batch(f: &mut Fixture) {
    let orders = [1, 2, 3].map(|n| order_of(n, vec![line(1, 2)]));
    let mut writes = vec![put(product_id(1), 2)];
    writes.extend(orders.iter().map(place));
    let [first, second, third] = &orders;
    writes.extend([
        reserve(first),
        release(first, ReleaseReason::Cancelled),
        reserve(second),
        ship(second),
        adjust(product_id(1), 1),
        reserve(third),
    ]);
    let committed = f.commit(writes).await;
    let stock: Vec<EventKind> = kinds(&committed.events).into_iter().filter(|kind| *kind != EventKind::OrderCreated).collect();
    let wanted = [
        EventKind::InventoryReserved,
        EventKind::InventoryReleased,
        EventKind::InventoryReserved,
        EventKind::InventoryShipped,
        EventKind::InventoryInsufficient,
    ];
    assert_eq!(stock, wanted);
    assert_eq!(f.sums(product_id(1)).await, [1, 0, 2, 3]);
}

async fn puts(f: &mut Fixture) {
    let order = f.placed(1, 10).await;
    let shipped = f.placed(2, 10).await;
    f.commit(vec![reserve(&order), reserve(&shipped), ship(&shipped)]).await;
    let write = Write::product(product_id(2), text("Better thing"), money(1500), 30);
    let Outcome::Product(ProductOutcome::Done(product)) = f.write(write).await.0 else { panic!("the answer is the product") };
    assert_eq!(product, f.product(product_id(2)).await);
    assert_eq!((product.name.as_str(), product.price), ("Better thing", money(1500)));
    assert_eq!(f.sums(product_id(2)).await, [30, 2, 2, 34]);
    let Outcome::Product(ProductOutcome::Done(product)) = f.write(put(product_id(50), 0)).await.0 else {
        panic!("the answer is the product")
    };
    assert_eq!([product.available, product.reserved, product.shipped, product.supplied], [0; 4]);
}

async fn adjusts(f: &mut Fixture) {
    f.write(put(product_id(1), 3)).await;
    let Outcome::Product(ProductOutcome::Done(product)) = f.write(adjust(product_id(1), -3)).await.0 else {
        panic!("the answer is the product")
    };
    assert_eq!((product.available, product.supplied), (0, 0));
    assert_eq!(
        f.write(adjust(product_id(1), -1)).await.0,
        Outcome::Product(ProductOutcome::Refused(StockError::BelowZero { available: 0 }))
    );
    assert_eq!(f.write(adjust(product_id(9), 1)).await.0, Outcome::Product(ProductOutcome::Refused(StockError::Unknown)));
    let committed = f.commit(vec![adjust(product_id(1), 5), adjust(product_id(1), -6), adjust(product_id(1), -5)]).await;
    assert!(
        matches!(committed.outcomes[1], Outcome::Product(ProductOutcome::Refused(StockError::BelowZero { available: 5 }))),
        "{:?}",
        committed.outcomes
    );
    assert_eq!(f.sums(product_id(1)).await, [0, 0, 0, 0]);
    let audit = f.reads.audit(product_id(1).to_string()).await.unwrap();
    assert_eq!(audit.len(), 3, "one for each change, none for the refused");
    assert_eq!((audit[0].by.as_str(), audit[0].action.as_str(), audit[0].at), ("ann", "stock", crate::sample::at(10)));
    let note = audit[0].note.clone().unwrap();
    assert!(note.contains("-3") && note.contains("counted"), "{note}");
    assert!(f.reads.audit(product_id(9).to_string()).await.unwrap().is_empty());
}

async fn changes(f: &mut Fixture) {
    let order = f.placed(1, 10).await;
    f.write(reserve(&order)).await;
    let put = |stock| ProductChange {
        name: Some(text("Other")),
        price: Some(money(1)),
        stock,
        discontinued: None,
        if_missing: IfMissing::Create,
    };
    for stock in [StockChange::First(99), StockChange::Keep] {
        f.write(change_of(product_id(2), put(stock))).await;
        assert_eq!(f.sums(product_id(2)).await, [8, 2, 0, 10], "{stock:?}");
    }
    let product = f.product(product_id(2)).await;
    assert_eq!((product.name.as_str(), product.price), ("Other", money(1)));
    f.write(change_of(product_id(2), put(StockChange::Counted(7)))).await;
    assert_eq!(f.sums(product_id(2)).await, [5, 2, 0, 7]);
    let refused = f.write(change_of(product_id(2), put(StockChange::Counted(1)))).await.0;
    assert_eq!(refused, Outcome::Product(ProductOutcome::Refused(StockError::CountBelowReserved { counted: 1, reserved: 2 })));
    f.write(change_of(product_id(40), put(StockChange::First(4)))).await;
    assert_eq!(f.sums(product_id(40)).await, [4, 0, 0, 4]);
    let missing = ProductChange { if_missing: IfMissing::Refuse, ..put(StockChange::Keep) };
    assert_eq!(f.write(change_of(product_id(41), missing)).await.0, Outcome::Product(ProductOutcome::Refused(StockError::Unknown)));
}

async fn stale(f: &mut Fixture) {
    f.write(put(product_id(1), 5)).await;
    let seen = f.product(product_id(1)).await.revision();
    let change = |condition| {
        let change = ProductChange { price: Some(money(7)), ..ProductChange::nothing() };
        Write::ChangeProduct(Box::new(ProductWrite { condition, ..ProductWrite::of(product_id(1), change, text("ann"), at(10)) }))
    };
    // Both of one batch: the second one's state is past by then.
    let committed = f.commit(vec![change(Condition::Is(vec![seen])), change(Condition::Is(vec![seen])), change(Condition::Exists)]).await;
    assert!(matches!(
        committed.outcomes[..],
        [
            Outcome::Product(ProductOutcome::Done(_)),
            Outcome::Product(ProductOutcome::Refused(StockError::Stale)),
            Outcome::Product(ProductOutcome::Done(_))
        ]
    ));
    assert_eq!(f.write(change(Condition::Absent)).await.0, Outcome::Product(ProductOutcome::Refused(StockError::Stale)));
    assert_eq!(f.product(product_id(1)).await.price, money(7));
}

async fn discontinued(f: &mut Fixture) {
    let (held, late) = (f.placed(1, 10).await, f.placed(2, 10).await);
    f.write(reserve(&held)).await;
    let off = ProductChange { discontinued: Some(true), ..ProductChange::nothing() };
    f.write(change_of(product_id(2), off)).await;
    assert!(f.product(product_id(2)).await.discontinued);
    let shortages = vec![Shortage::Discontinued { product: product_id(2) }];
    assert_eq!(told(f, reserve(&late)).await.1, [EventBody::InventoryInsufficient { shortages }]);
    f.write(release(&held, ReleaseReason::Cancelled)).await;
    assert_eq!(f.sums(product_id(2)).await, [10, 0, 0, 10]);
    assert!(f.product(product_id(2)).await.discontinued, "a cancelled order does not put it on sale");
}

async fn keys(f: &mut Fixture) {
    f.write(put(product_id(1), 5)).await;
    let keyed = |body: u8, at_s| {
        let change = ProductChange { stock: StockChange::Add(1), ..ProductChange::nothing() };
        let key = Some(IdempotencyKey { key: [7; 32], body: [body; 32], expires_at: at(100) });
        Write::ChangeProduct(Box::new(ProductWrite { key, ..ProductWrite::of(product_id(1), change, text("ann"), at(at_s)) }))
    };
    let committed = f.commit(vec![keyed(1, 10), keyed(1, 11)]).await;
    let Outcome::Product(ProductOutcome::Done(first)) = &committed.outcomes[0] else { panic!("{:?}", committed.outcomes) };
    let answer = Answer::Product(first.clone());
    assert_eq!(committed.outcomes[1], Outcome::Product(ProductOutcome::Answered(Answered { answer: answer.clone(), same_body: true })));
    assert_eq!(
        f.write(keyed(2, 12)).await.0,
        Outcome::Product(ProductOutcome::Answered(Answered { answer: answer.clone(), same_body: false }))
    );
    assert_eq!(f.sums(product_id(1)).await[0], 6);
    let kept = f.reads.answer([7; 32]).await.unwrap().unwrap();
    assert_eq!((kept.body, kept.answer, kept.expires_at), (vec![1; 32], answer, at(100)));
    assert_eq!(f.reads.answer([8; 32]).await.unwrap(), None);
    // It has expired.
    assert!(matches!(f.write(keyed(2, 100)).await.0, Outcome::Product(ProductOutcome::Done(_))));
    assert_eq!(f.sums(product_id(1)).await[0], 7);
    let http = Answer::Http { status: 202, body: "{}".to_owned() };
    let keep = |status| {
        let key = IdempotencyKey { key: [9; 32], body: [1; 32], expires_at: at(100) };
        Write::KeepAnswer { key, answer: Answer::Http { status, body: "{}".to_owned() }, at: at(1) }
    };
    assert_eq!(f.write(keep(202)).await.0, Outcome::Answer(AnswerOutcome::Done));
    assert_eq!(f.write(keep(409)).await.0, Outcome::Answer(AnswerOutcome::Answered(Answered { answer: http, same_body: true })));
}

async fn corrections(f: &mut Fixture) {
    f.commit(vec![put(product_id(1), 5), put(product_id(2), 5)]).await;
    f.commit(vec![adjust(product_id(1), 1), adjust(product_id(2), 2), adjust(product_id(1), 3)]).await;
    let list = async |product, before, limit| {
        let rows = f.reads.corrections(CorrectionFilter { product, before, limit }).await.unwrap();
        let notes: Vec<String> = rows.iter().map(|row| row.entry.note.clone().unwrap()).collect();
        (rows.last().map(|row| row.number), notes)
    };
    let (last, first) = list(None, None, 2).await;
    assert_eq!(first, ["+3: counted", "+2: counted"]);
    assert_eq!(list(None, last, 2).await.1, ["+1: counted"]);
    assert_eq!(list(Some(product_id(1)), None, 9).await.1, ["+3: counted", "+1: counted"]);
}

async fn too_large(f: &mut Fixture) {
    f.write(put(product_id(1), i32::MAX)).await;
    assert_eq!(f.write(adjust(product_id(1), 1)).await.0, Outcome::Product(ProductOutcome::Refused(StockError::TooLarge)));
    let order = order_of(1, vec![line(1, 1)]);
    f.commit(vec![place(&order), reserve(&order)]).await;
    assert_eq!(f.write(put(product_id(1), i32::MAX)).await.0, Outcome::Product(ProductOutcome::Refused(StockError::TooLarge)));
    assert_eq!(f.sums(product_id(1)).await, [i32::MAX - 1, 1, 0, i32::MAX]);
}
