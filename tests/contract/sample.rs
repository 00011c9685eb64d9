//! Orders, products and writes to try a store with; all are functions of a number.

use ordermill::db::{IdempotencyKey, ProductWrite, ReleaseReason, StockStep, Write};
use ordermill::domain::{
    Channel, Contact, CorrelationId, CustomerId, DeadLetter, DeadLetterKind, Event, EventBody, Money, NoticeKind, NoticeStatus, NoticeTask,
    Order, OrderId, OrderLine, OrderStatus, Payment, PaymentStatus, Pricing, ProductChange, ProductId, Quantity, Role, Shards, StockChange,
    Text, Timestamp,
};
use ordermill::saga::{self, Record};
use std::sync::Arc;
use uuid::Uuid;

/// The shards of every database under test.
pub(crate) fn shards() -> Shards {
    Shards::new(24).unwrap()
}

/// 2023-11-14T22:13:20Z
const START_MS: u64 = 1_700_000_000_000;

/// The moment `ms` after the start of the story.
pub(crate) fn at(ms: u64) -> Timestamp {
    Timestamp(1_700_000_000_000_000).plus_ms(ms)
}

/// The clock of databases that take one: a day after the start.
pub(crate) fn now() -> Timestamp {
    at(86_400_000)
}

pub(crate) fn product_id(n: u64) -> ProductId {
    ProductId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(n)))
}

pub(crate) fn money(minor: i64) -> Money {
    Money::from_minor(minor).unwrap()
}

pub(crate) fn text<const MAX: usize>(text: &str) -> Text<MAX> {
    Text::new(text).unwrap()
}

pub(crate) fn line(product: u64, quantity: i64) -> OrderLine {
    OrderLine { product: product_id(product), quantity: Quantity::new(quantity).unwrap(), price: money(1000) }
}

/// Order `n`: one of product 1 and two of product 2. Ids grow with `n`.
pub(crate) fn order(n: u64) -> Arc<Order> {
    order_of(n, vec![line(1, 1), line(2, 2)])
}

pub(crate) fn order_of(n: u64, lines: Vec<OrderLine>) -> Arc<Order> {
    let mut random = [0x5a; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    let id = OrderId::from_parts(START_MS + n, random);
    Arc::new(Order {
        id,
        shard: shards().of(id),
        customer: CustomerId(Uuid::from_u128(u128::from(n % 3) + 1)),
        total: Order::total_of(&lines).unwrap(),
        lines,
        payment_method: text("CARD"),
        contact: Some(Box::new(Contact { email: Some(text("a@example.org")), phone: Some(text("+4912345")), locale: None })),
        address: None,
        correlation: CorrelationId::of(Uuid::from_u128(0xc0 + u128::from(n))),
        created_at: at(n),
    })
}

pub(crate) fn place(order: &Arc<Order>) -> Write {
    Write::Place { order: order.clone(), record: saga::step::placed(order), key: None }
}

pub(crate) fn place_with(order: &Arc<Order>, key: u8, body: u8, expires_at: Timestamp) -> Write {
    let key = IdempotencyKey { key: [key; 32], body: [body; 32], expires_at };
    Write::Place { order: order.clone(), record: saga::step::placed(order), key: Some(key) }
}

pub(crate) fn put(id: ProductId, available: i32) -> Write {
    Write::product(id, text("Thing"), money(1000), available)
}

pub(crate) fn adjust(id: ProductId, delta: i32) -> Write {
    let change = ProductChange { stock: StockChange::Add(delta), ..ProductChange::nothing() };
    change_of(id, change)
}

/// A change by ann, because of a count.
pub(crate) fn change_of(id: ProductId, change: ProductChange) -> Write {
    Write::ChangeProduct(Box::new(ProductWrite { reason: Some(text("counted")), ..ProductWrite::of(id, change, text("ann"), at(10)) }))
}

pub(crate) fn reserve(order: &Arc<Order>) -> Write {
    Write::Reserve { order: order.clone(), pricing: Pricing::Check, at: at(100) }
}

pub(crate) fn step(order: &Order) -> StockStep {
    StockStep { order: order.id, shard: order.shard, correlation: order.correlation, at: at(200) }
}

pub(crate) fn release(order: &Order, undo: ReleaseReason) -> Write {
    Write::Release { step: step(order), undo }
}

pub(crate) fn hold(order: &Order) -> Write {
    Write::HoldStock { step: step(order) }
}

pub(crate) fn ship(order: &Order) -> Write {
    Write::ShipStock { step: step(order) }
}

/// The payment's state with the event that tells it.
pub(crate) fn payment(order: &Order, attempt: u32, status: PaymentStatus) -> Write {
    let mut payment = Payment::of(order, attempt, status, at(300 + u64::from(attempt)));
    if status == PaymentStatus::Failed {
        payment.reason = Some(text("declined"));
    }
    let event = payment.answer(order.shard, order.correlation);
    Write::SavePayment { payment, shard: order.shard, correlation: order.correlation, event, letters: Vec::new(), closing: None }
}

pub(crate) fn notice(order: &Order, kind: NoticeKind, channel: Channel, status: NoticeStatus, attempt: u32) -> Write {
    let mut task = NoticeTask::new(order, kind, channel, at(400));
    (task.status, task.attempt) = (status, attempt);
    let event = task.answer(order.shard, order.correlation, at(401));
    Write::SaveNotice { task, shard: order.shard, correlation: order.correlation, event, letter: None, closing: None }
}

/// A save that changes only what is told.
pub(crate) fn save(order: &Arc<Order>, status: OrderStatus, bodies: Vec<EventBody>, letters: Vec<DeadLetter>) -> Write {
    let events = bodies.into_iter().map(|body| Event::of(order, at(500), body)).collect();
    let record = Record { parked: Some(text("a-mark")), ..saga::step::placed(order) };
    Write::Save {
        order: order.clone(),
        status,
        open: status != OrderStatus::Cancelled,
        record,
        events,
        letters,
        closings: Vec::new(),
        at: at(500),
    }
}

pub(crate) fn letter(order: &Order, number: u32, cause: &str, created: u64) -> DeadLetter {
    DeadLetter::about(order.id, order.shard, DeadLetterKind::Step, number, Role::Payment, "charge", at(created)).because(
        cause,
        "it failed",
        3,
    )
}
