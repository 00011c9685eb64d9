//! One event of every kind, and records that hold them.

use ordermill::config::KafkaSettings;
use ordermill::domain::{
    Address, CancelledBy, Channel, Contact, CorrelationId, CustomerId, Event, EventBody, EventKind, Money, NoticeKind, Order, OrderId,
    OrderLine, ProductId, Quantity, ReservedLine, Role, Shards, Shortage, Text, Timestamp, Topic, WriterId,
};
use ordermill::kafka::headers::Headers;
use ordermill::kafka::read::{Dated, Reading, Record};
use ordermill::kafka::write::{self, Provenance};
use std::sync::Arc;
use uuid::Uuid;

pub(crate) fn shards() -> Shards {
    Shards::new(6).unwrap()
}

/// How messages are read by default.
pub(crate) fn reading() -> Reading {
    Reading::of(&KafkaSettings::default(), shards())
}

fn text<const MAX: usize>(text: &str) -> Text<MAX> {
    Text::new(text).unwrap()
}

fn money(minor: i64) -> Money {
    Money::from_minor(minor).unwrap()
}

pub(crate) fn order(n: u64) -> Arc<Order> {
    let mut random = [0x5a; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    let id = OrderId::from_parts(1_700_000_000_000 + n, random);
    let line = |n: u128, count, price| OrderLine {
        product: ProductId(Uuid::from_u128(n)),
        quantity: Quantity::new(count).unwrap(),
        price: money(price),
    };
    let lines = vec![line(1, 1, 1999), line(2, 3, 5)];
    Arc::new(Order {
        id,
        shard: shards().of(id),
        customer: CustomerId(Uuid::from_u128(7)),
        total: Order::total_of(&lines).unwrap(),
        lines,
        payment_method: text("CARD"),
        contact: Some(Box::new(Contact { email: Some(text("a@example.com")), phone: None, locale: Some(text("de-CH")) })),
        address: Some(Box::new(Address { street: Some(text("Häusern 1")), postal_code: Some(text("8000")), ..Address::default() })),
        correlation: CorrelationId::of(Uuid::from_u128(0xabcd)),
        created_at: Timestamp(1_700_000_000_123_456),
    })
}

fn body(kind: EventKind, order: &Arc<Order>) -> EventBody {
    let lines: Vec<ReservedLine> = order.lines.iter().map(ReservedLine::from).collect();
    let product = order.lines[0].product;
    match kind {
        EventKind::OrderCreated => EventBody::OrderCreated(order.clone()),
        EventKind::InventoryReserved => EventBody::InventoryReserved { lines },
        EventKind::InventoryInsufficient => EventBody::InventoryInsufficient {
            shortages: vec![
                Shortage::OutOfStock { product, requested: 3, available: 1 },
                Shortage::PriceMismatch { product, asked: money(100), price: money(120) },
                Shortage::UnknownProduct { product },
            ],
        },
        EventKind::InventoryReleased => EventBody::InventoryReleased { lines },
        EventKind::InventoryShipped => EventBody::InventoryShipped { lines: Vec::new() },
        EventKind::PaymentProcessed => EventBody::PaymentProcessed { amount: order.total, method: text("CARD") },
        EventKind::PaymentFailed => EventBody::PaymentFailed { reason: text("declined") },
        EventKind::PaymentCancelled => EventBody::PaymentCancelled,
        EventKind::PaymentRefunded => EventBody::PaymentRefunded { amount: order.total },
        EventKind::OrderConfirmed => EventBody::OrderConfirmed,
        EventKind::OrderCancelRequested => EventBody::OrderCancelRequested { by: CancelledBy::Expiry },
        EventKind::OrderCancelled => EventBody::OrderCancelled { reason: text("expired"), was_paid: true },
        EventKind::OrderFailed => EventBody::OrderFailed { reason: text("declined") },
        EventKind::ShipmentHeld => EventBody::ShipmentHeld,
        EventKind::OrderShipped => EventBody::OrderShipped { carrier: Some(text("post")), tracking: None },
        EventKind::NotificationSent => EventBody::NotificationSent { kind: NoticeKind::Shipping, channel: Channel::Sms },
        EventKind::NotificationFailed => EventBody::NotificationFailed {
            kind: NoticeKind::Confirmation,
            channel: Channel::Email,
            attempt: 2,
            last: true,
            reason: text("no such mailbox"),
        },
        EventKind::PaymentParked | EventKind::InventoryParked => EventBody::StepParked {
            role: if kind == EventKind::PaymentParked { Role::Payment } else { Role::Inventory },
            step: text("refund"),
            cause: text("payment-provider"),
            detail: text("no answer"),
            tries: 4,
        },
        EventKind::AnswerAccepted => {
            let paid = EventBody::PaymentProcessed { amount: order.total, method: text("CARD") };
            EventBody::AnswerAccepted { answer: Box::new(paid) }
        }
    }
}

/// The event of that kind of order 1.
pub(crate) fn event(kind: EventKind) -> Event {
    event_of(1, kind)
}

/// The event of that kind of order `n`.
pub(crate) fn event_of(n: u64, kind: EventKind) -> Event {
    let order = order(n);
    Event::of(&order, order.created_at, body(kind, &order))
}

/// The event as ordermill publishes it.
pub(crate) fn published(event: &Event) -> Record {
    let mut value = Vec::new();
    write::value(event, &mut value).unwrap();
    let from = Provenance::Log { writer: WriterId(3), seq: 12, local: &[Role::Order, Role::Inventory] };
    let mut headers = Headers::default();
    write::headers(event, from, |_| false, |name, value| headers.add(name, value));
    Record { headers, ..record(event.kind().topic(), event.order, value) }
}

/// A record without headers, on the partition of its order.
pub(crate) fn record(topic: Topic, order: OrderId, value: Vec<u8>) -> Record {
    Record {
        topic,
        partition: shards().of(order).0.into(),
        offset: 5,
        timestamp_ms: Some(1_700_000_000_500),
        dated: Dated::CreateTime,
        key: Some(order.to_string().into_bytes()),
        value: Some(value),
        headers: Headers::default(),
    }
}
