//! Each request gets an outcome of its own group, whatever is decided.

use crate::Case;
use crate::fixture::Fixture;
use crate::sample::{at, order, product_id, step, text};
use ordermill::db::{Answer, Group, IdempotencyKey, ProductWrite, ReleaseReason, Request, TypedWrite};
use ordermill::domain::{
    Channel, Closing, DeadLetterId, DeadLetterState, Event, EventBody, NoticeKind, NoticeTask, Payment, PaymentStatus, Pricing,
    ProductChange, Role, Shard,
};
use ordermill::saga::{self, Effects};

pub(crate) const CASES: &[Case] = &[
    ("a request about an order gets an outcome of its group", |f| Box::pin(of_an_order(f))),
    ("a request about anything else gets an outcome of its group", |f| Box::pin(of_no_order(f))),
];

/// Twice, because a repeat is decided otherwise.
async fn answers<R: Request + Clone>(f: &mut Fixture, request: R) {
    for _ in 0..2 {
        let write = request.clone().into_write();
        let name = write.name();
        let (outcome, _) = f.write(write).await;
        assert!(R::Outcome::of(outcome.clone()).is_some(), "{name}: {outcome:?}");
    }
}

async fn of_an_order(f: &mut Fixture) {
    let order = order(1);
    let record = saga::step::placed(&order);
    answers(f, TypedWrite::save(order.clone(), record.clone(), true, Effects::default(), at(50))).await;
    answers(f, TypedWrite::place(order.clone(), record.clone(), None)).await;
    answers(f, TypedWrite::save(order.clone(), record, true, Effects::default(), at(500))).await;
    answers(f, TypedWrite::reserve(order.clone(), Pricing::Check, at(100))).await;
    answers(f, TypedWrite::hold_stock(step(&order))).await;
    answers(f, TypedWrite::release(step(&order), ReleaseReason::Cancelled)).await;
    answers(f, TypedWrite::ship_stock(step(&order))).await;
    let payment = Payment::of(&order, 1, PaymentStatus::Charged, at(300));
    answers(f, TypedWrite::save_payment(&order, payment, None, Vec::new(), None)).await;
    let task = NoticeTask::new(&order, NoticeKind::Confirmation, Channel::Email, at(400));
    answers(f, TypedWrite::save_notice(task, (order.shard, order.correlation), None, None, None)).await;
    let other = crate::sample::order(2);
    answers(f, TypedWrite::hold_event(Event::of(&other, at(5), EventBody::PaymentCancelled))).await;
    answers(f, TypedWrite::know_order(other.clone())).await;
    answers(f, TypedWrite::hold_event(Event::of(&other, at(6), EventBody::PaymentCancelled))).await;
}

async fn of_no_order(f: &mut Fixture) {
    let key = |n| IdempotencyKey { key: [n; 32], body: [n; 32], expires_at: at(u64::from(u32::MAX)) };
    let product = ProductWrite::of(product_id(1), ProductChange::nothing(), text("ann"), at(10));
    answers(f, ProductWrite { key: Some(key(1)), ..product.clone() }).await;
    f.write(crate::sample::put(product_id(1), 5)).await;
    answers(f, ProductWrite { key: Some(key(1)), ..product }).await;
    answers(f, TypedWrite::keep_answer(key(2), Answer::Http { status: 200, body: "{}".to_owned() }, at(1))).await;
    let (id, state) = (DeadLetterId(uuid::Uuid::from_u128(1)), DeadLetterState::Done);
    answers(f, TypedWrite::close_letter(Closing { id, state, by: text("ann"), note: None, overrules: None, at: at(50) })).await;
    answers(f, TypedWrite::claim_log(f.writer.writer, 1000)).await;
    answers(f, TypedWrite::save_analytics(Vec::new(), f.writer.writer, (0, 1))).await;
    answers(f, TypedWrite::take_shards(vec![Role::Order], vec![Shard(0)])).await;
}
