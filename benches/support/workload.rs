//! Orders as customers send them, each of two lines, and the writes of their whole way.

use ordermill::db::Write;
use ordermill::domain::{
    Address, Channel, Contact, CorrelationId, CustomerId, Event, EventBody, Money, NoticeKind, NoticeStatus, NoticeTask, Order, OrderId,
    OrderLine, OrderStatus, Payment, PaymentStatus, Pricing, ProductId, Quantity, ReservedLine, Shards, Text, Timestamp,
};
use ordermill::saga::{HistoryEntry, NoticeFact, PaymentFact, Record, StockFact};
use std::sync::Arc;
use uuid::Uuid;

/// How many products there are.
pub const PRODUCTS: u64 = 1000;
/// How many customers there are.
pub const CUSTOMERS: u64 = 10_000;

/// The shards of the store.
pub fn shards() -> Shards {
    Shards::new(24).expect("24 is a number of shards")
}

/// The `n`th product.
pub fn product(n: u64) -> ProductId {
    ProductId(Uuid::from_u64_pair(0x0190_0000_0000_7000_u64.wrapping_add(scatter(n) << 16), scatter(n + 7)))
}

/// Puts every product, with stock enough.
pub fn catalogue() -> Vec<Write> {
    let put = |n| Write::product(product(n), text("Thing"), price(), 100_000_000);
    (0..PRODUCTS).map(put).collect()
}

fn price() -> Money {
    Money::from_minor(1999).expect("an amount")
}

fn text<const MAX: usize>(text: &str) -> Text<MAX> {
    Text::new(text).expect("a short text")
}

fn scatter(n: u64) -> u64 {
    let z = (n.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 27)
}

/// The `n`th order; 20 a millisecond.
pub fn order(n: u64) -> Arc<Order> {
    let mut random = [0; 10];
    random[..8].copy_from_slice(&scatter(n).to_be_bytes());
    let ms = 1_790_000_000_000 + n / 20;
    let id = OrderId::from_parts(ms, random);
    let first = scatter(n) % PRODUCTS;
    let line = |n| OrderLine { product: product(n), quantity: Quantity::new(2).expect("2"), price: price() };
    let lines = vec![line(first), line((first + 1 + scatter(n + 1) % (PRODUCTS - 1)) % PRODUCTS)];
    Arc::new(Order {
        id,
        shard: shards().of(id),
        customer: CustomerId(Uuid::from_u64_pair(scatter(scatter(n) % CUSTOMERS), 1)),
        total: Order::total_of(&lines).expect("a total"),
        lines,
        payment_method: text("CREDIT_CARD"),
        contact: Some(Box::new(Contact { email: Some(text("someone@example.org")), phone: None, locale: None })),
        address: Some(Box::new(Address { street: Some(text("Street 1")), city: Some(text("Town")), ..Address::default() })),
        correlation: CorrelationId::of(Uuid::from_u64_pair(scatter(n + 2), scatter(n + 3))),
        created_at: Timestamp(i64::try_from(ms).expect("a time") * 1000),
    })
}

/// The record of an order after each of its steps.
pub struct Records {
    /// As placed.
    pub placed: Record,
    /// Paid.
    pub confirmed: Record,
    /// Told.
    pub settled: Record,
}

/// What an order's owner stores.
pub fn records(order: &Order) -> Records {
    let at = order.created_at;
    let mut record = Record::default();
    let told = |record: &mut Record, status, event| record.history.push(HistoryEntry::new(status, event, at));
    told(&mut record, OrderStatus::Pending, ordermill::domain::EventKind::OrderCreated);
    let placed = record.clone();
    let lines = order.lines.iter().map(ReservedLine::from).collect();
    record.facts.stock = Some((StockFact::Reserved(lines), at));
    told(&mut record, OrderStatus::InventoryReserved, ordermill::domain::EventKind::InventoryReserved);
    record.facts.payment = Some((PaymentFact::Paid { amount: order.total, method: order.payment_method.clone() }, at));
    told(&mut record, OrderStatus::Confirmed, ordermill::domain::EventKind::PaymentProcessed);
    told(&mut record, OrderStatus::Confirmed, ordermill::domain::EventKind::OrderConfirmed);
    let confirmed = record.clone();
    record.facts.notices.push(NoticeFact { kind: NoticeKind::Confirmation, channel: Channel::Email, sent: true, at });
    told(&mut record, OrderStatus::Confirmed, ordermill::domain::EventKind::NotificationSent);
    Records { placed, confirmed, settled: record }
}

/// How an order is charged.
pub fn payment(order: &Order) -> Payment {
    Payment::of(order, 1, PaymentStatus::Charged, order.created_at)
}

/// How its customer was told.
pub fn notice(order: &Order) -> NoticeTask {
    let mut task = NoticeTask::new(order, NoticeKind::Confirmation, Channel::Email, order.created_at);
    (task.status, task.attempt) = (NoticeStatus::Sent, 1);
    task
}

/// The five transactions of a group of orders.
pub fn transactions(orders: &[Arc<Order>]) -> [Vec<Write>; 5] {
    let mut all: [Vec<Write>; 5] = Default::default();
    let [place, reserve, pay, confirm, notify] = &mut all;
    for order in orders {
        let at = order.created_at;
        let Records { placed, confirmed, settled } = records(order);
        place.push(Write::Place { order: order.clone(), record: placed, key: None });
        reserve.push(Write::Reserve { order: order.clone(), pricing: Pricing::Check, at });
        let payment = payment(order);
        let event = payment.answer(order.shard, order.correlation);
        pay.push(Write::SavePayment {
            payment,
            shard: order.shard,
            correlation: order.correlation,
            event,
            letters: Vec::new(),
            closing: None,
        });
        confirm.push(save(order, confirmed, true, vec![Event::of(order, at, EventBody::OrderConfirmed)]));
        let task = notice(order);
        let event = task.answer(order.shard, order.correlation, at);
        notify.push(Write::SaveNotice { task, shard: order.shard, correlation: order.correlation, event, letter: None, closing: None });
        notify.push(save(order, settled, false, Vec::new()));
    }
    all
}

fn save(order: &Arc<Order>, record: Record, open: bool, events: Vec<Event>) -> Write {
    let (order, at) = (order.clone(), order.created_at);
    Write::Save { order, status: OrderStatus::Confirmed, open, record, events, letters: Vec::new(), closings: Vec::new(), at }
}
