//! Blobs that are stored stay readable for ever: `fixtures/stored_v1.txt` holds one of each kind as this version writes it, and
//! no line of it ever changes. A new form gets new lines, beside the old ones.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic")]

use ordermill::db::codec::{self, EventColumns};
use ordermill::domain::{
    Address, CancelledBy, Channel, Contact, CorrelationId, CustomerId, Event, EventBody, EventKind, ExternalIds, Marker, Money, NoticeKind,
    Order, OrderId, OrderLine, OrderStatus, ProductId, Quantity, ReservedLine, Role, Shard, Shortage, Text, Timestamp, TraceContext,
    WriterId,
};
use ordermill::saga::{ExternalRecord, Facts, HistoryEntry, NoticeFact, PaymentFact, Record, Shipment, StockFact};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

fn text<const MAX: usize>(text: &str) -> Text<MAX> {
    Text::new(text).unwrap()
}

fn money(minor: i64) -> Money {
    Money::from_minor(minor).unwrap()
}

fn product(n: u128) -> ProductId {
    ProductId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + n))
}

fn order() -> Arc<Order> {
    let line = |n, quantity| OrderLine { product: product(n), quantity: Quantity::new(quantity).unwrap(), price: money(1999) };
    let lines = vec![line(1, 1), line(2, 10_000)];
    Arc::new(Order {
        id: OrderId::from_parts(1_700_000_000_000, [9; 10]),
        shard: Shard(7),
        customer: CustomerId(Uuid::from_u128(5)),
        total: Order::total_of(&lines).unwrap(),
        lines,
        payment_method: text("CREDIT_CARD"),
        contact: Some(Box::new(Contact { email: Some(text("a@example.org")), phone: None, locale: Some(text("de-CH")) })),
        address: Some(Box::new(Address { name: Some(text("Ann Ärger")), country: Some(text("日本")), ..Address::default() })),
        correlation: CorrelationId::of(Uuid::from_u128(6)),
        created_at: at(0),
    })
}

fn at(ms: u64) -> Timestamp {
    Timestamp(1_700_000_000_123_456).plus_ms(ms)
}

fn held() -> Vec<ReservedLine> {
    order().lines.iter().map(ReservedLine::from).collect()
}

fn shortages() -> Vec<Shortage> {
    vec![
        Shortage::OutOfStock { product: product(1), requested: 300, available: 2 },
        Shortage::PriceMismatch { product: product(2), asked: money(1), price: money(9_999_999_999) },
        Shortage::UnknownProduct { product: product(3) },
    ]
}

fn bodies() -> Vec<EventBody> {
    vec![
        EventBody::OrderCreated(order()),
        EventBody::InventoryReserved { lines: held() },
        EventBody::InventoryInsufficient { shortages: shortages() },
        EventBody::InventoryReleased { lines: Vec::new() },
        EventBody::InventoryShipped { lines: held() },
        EventBody::PaymentProcessed { amount: money(4200), method: text("CARD") },
        EventBody::PaymentFailed { reason: text("declined") },
        EventBody::PaymentCancelled,
        EventBody::PaymentRefunded { amount: money(4200) },
        EventBody::OrderConfirmed,
        EventBody::OrderCancelRequested { by: CancelledBy::PaymentDeadline },
        EventBody::OrderCancelled { reason: text("expired"), was_paid: true },
        EventBody::OrderFailed { reason: text("declined") },
        EventBody::ShipmentHeld,
        EventBody::OrderShipped { carrier: Some(text("Post")), tracking: None },
        EventBody::NotificationSent { kind: NoticeKind::Shipping, channel: Channel::Sms },
        EventBody::NotificationFailed {
            kind: NoticeKind::Failure,
            channel: Channel::Email,
            attempt: 3,
            last: true,
            reason: text("refused"),
        },
        EventBody::AnswerAccepted { answer: Box::new(EventBody::PaymentProcessed { amount: money(4200), method: text("CARD") }) },
        EventBody::StepParked {
            role: Role::Payment,
            step: text("refund"),
            cause: text("payment-provider"),
            detail: text("no answer"),
            tries: 4,
        },
        EventBody::StepParked {
            role: Role::Inventory,
            step: text("refund"),
            cause: text("payment-provider"),
            detail: text("no answer"),
            tries: 4,
        },
    ]
}

fn ids() -> ExternalIds {
    ExternalIds { event: Some(text("evt_12")), payment: Some(text("pi_3Mt")), correlation: None }
}

fn records() -> [(&'static str, Record); 11] {
    let notice = |kind, sent| NoticeFact { kind, channel: Channel::Email, sent, at: at(9) };
    let full = Facts {
        stock: Some((StockFact::Reserved(held()), at(1))),
        payment: Some((PaymentFact::Paid { amount: money(4200), method: text("CARD") }, at(2))),
        released: Some(at(3)),
        refunded: Some(at(4)),
        cancel: Some((CancelledBy::Customer, at(5))),
        shipment: Some((Shipment { carrier: None, tracking: Some(text("T1")) }, at(6))),
        stock_moved: Some(at(7)),
        notices: vec![notice(NoticeKind::Confirmation, true), notice(NoticeKind::Cancellation, false)],
        stray_reservation: Some(at(8)),
        stray_charge: Some(at(9)),
        undo_asked: true,
        unpaid_end: None,
        owes_void: false,
    };
    let failed = Facts {
        stock: Some((StockFact::Insufficient(shortages()), at(1))),
        payment: Some((PaymentFact::Failed { reason: text("declined") }, at(2))),
        ..Facts::default()
    };
    let unpaid = Facts { unpaid_end: Some(text("out-of-stock")), ..failed.clone() };
    let owes_void = Facts { owes_void: true, ..unpaid.clone() };
    let external = ExternalRecord {
        payment: Some((money(1), text("CARD"), at(11))),
        stock: Some((held(), at(12))),
        payment_accepted: Some(at(13)),
        stock_accepted: Some(at(14)),
        contradictions: 0x0001_0040,
        released_early: Some(at(15)),
        awaited_since: Some(at(16)),
        foreign_money: None,
        ids: Vec::new(),
    };
    let named = ExternalRecord { ids: vec![(5, ids()), (8, ExternalIds::default())], ..ExternalRecord::default() };
    let all = ExternalRecord { ids: named.ids.clone(), foreign_money: Some((money(1234), text("USD"))), ..external.clone() };
    let foreign = ExternalRecord { foreign_money: Some((money(1234), text("USD"))), ..external.clone() };
    let history = vec![HistoryEntry::new(OrderStatus::Cancelled, EventKind::NotificationFailed, at(10))];
    [
        ("record empty", Record::default()),
        ("record full", Record { facts: full, history, parked: Some(text("charge")), external: None }),
        ("record failed", Record { facts: failed.clone(), history: Vec::new(), parked: None, external: None }),
        (
            "record external",
            Record { facts: failed.clone(), history: Vec::new(), parked: None, external: Some(Box::new(external.clone())) },
        ),
        ("record named", Record { facts: failed.clone(), history: Vec::new(), parked: None, external: Some(Box::new(named)) }),
        (
            "record named foreign",
            Record { facts: unpaid.clone(), history: Vec::new(), parked: None, external: Some(Box::new(all.clone())) },
        ),
        ("record owes void", Record { facts: owes_void.clone(), history: Vec::new(), parked: None, external: None }),
        ("record owes void named", Record { facts: owes_void, history: Vec::new(), parked: None, external: Some(Box::new(all)) }),
        ("record unpaid", Record { facts: unpaid.clone(), history: Vec::new(), parked: None, external: None }),
        ("record unpaid foreign", Record { facts: unpaid.clone(), history: Vec::new(), parked: None, external: Some(Box::new(foreign)) }),
        ("record unpaid external", Record { facts: unpaid, history: Vec::new(), parked: None, external: Some(Box::new(external)) }),
    ]
}

fn fixtures() -> BTreeMap<&'static str, Vec<u8>> {
    let line = |line: &'static str| {
        let (name, hex) = line.rsplit_once(' ').unwrap();
        (name, hex::decode(hex).unwrap())
    };
    include_str!("fixtures/stored_v1.txt").lines().map(line).collect()
}

/// What this version writes is what the fixture has, byte for byte.
fn check(name: &str, written: &[u8]) -> Vec<u8> {
    let hex = hex::encode(written);
    let fixture = fixtures().remove(name).unwrap_or_else(|| panic!("add to fixtures/stored_v1.txt:\n{name} {hex}"));
    assert_eq!(fixture, written, "{name} is written in another form: it needs a new version");
    fixture
}

#[test]
fn orders_records_and_shortages_keep_their_stored_form() {
    let blob = check("order", &codec::encode_order(&order()).unwrap());
    assert_eq!(codec::decode_order(&blob).unwrap(), order());
    for (name, record) in records() {
        let blob = check(name, &codec::encode_record(&record).unwrap());
        assert_eq!(codec::decode_record(&blob).unwrap(), record);
    }
    let blob = check("shortages", &codec::encode_shortages(&shortages()).unwrap());
    assert_eq!(codec::decode_shortages(&blob).unwrap(), shortages());
    let marker = Marker { role: Role::Notification, shard: Shard(300), after: Some((WriterId(3), 1_000_000)) };
    let blob = check("marker", &codec::encode_marker(&marker).unwrap());
    assert_eq!(codec::decode_marker(&blob).unwrap(), marker);
}

#[test]
fn events_keep_their_stored_form() {
    let placed = fixtures().remove("order").unwrap();
    let kinds: Vec<EventKind> = bodies().iter().map(EventBody::kind).collect();
    assert_eq!(kinds, EventKind::ALL, "one of each");
    for body in bodies() {
        let event = Event::of(&order(), at(42), body);
        let blob = check(event.kind().name(), &codec::encode_event(&event).unwrap());
        let columns = EventColumns { order: event.order, shard: event.shard, at: event.at };
        let told = if let EventBody::OrderCreated(_) = event.body { Some(placed.as_slice()) } else { None };
        assert_eq!(codec::decode_event(columns, &blob, told).unwrap(), event);
    }
}

#[test]
fn an_event_with_another_teams_ids_keeps_its_stored_form() {
    let answer = Box::new(EventBody::PaymentProcessed { amount: money(4200), method: text("CARD") });
    let accepted = Event::of(&order(), at(42), EventBody::AnswerAccepted { answer });
    let event = Event { external_ids: ids().some(), ..accepted };
    let blob = check("AnswerAccepted named", &codec::encode_event(&event).unwrap());
    let columns = EventColumns { order: event.order, shard: event.shard, at: event.at };
    assert_eq!(codec::decode_event(columns, &blob, None).unwrap(), event);
}

/// A trace that cannot be derived stands behind the form as it always was, so a version that knows no traces reads the rest.
#[test]
fn a_trace_stands_behind_the_stored_form() {
    let trace = TraceContext { trace: [7; 16], span: [8; 8], is_sampled: true, is_kept: true };
    let mut traced = Order::clone(&order());
    traced.correlation = traced.correlation.traced(Some(trace));
    let blob = codec::encode_order(&traced).unwrap();
    let plain = fixtures().remove("order").unwrap();
    check("trace", blob.strip_prefix(plain.as_slice()).unwrap());
    let read = codec::decode_order(&blob).unwrap();
    assert_eq!((read.correlation.trace(), &*read), (Some(&trace), &*order()));
    assert_eq!(codec::decode_order(&plain).unwrap().correlation.trace(), None);
    let columns = EventColumns { order: traced.id, shard: traced.shard, at: at(42) };
    let answer = || Box::new(EventBody::PaymentProcessed { amount: money(4200), method: text("CARD") });
    for (name, body, external_ids) in [
        ("OrderConfirmed", EventBody::OrderConfirmed, None),
        ("AnswerAccepted named", EventBody::AnswerAccepted { answer: answer() }, ids().some()),
    ] {
        let event = Event { external_ids, ..Event::of(&traced, at(42), body) };
        let blob = codec::encode_event(&event).unwrap();
        let plain = fixtures().remove(name).unwrap();
        check("trace", blob.strip_prefix(plain.as_slice()).unwrap());
        let read = codec::decode_event(columns, &blob, None).unwrap();
        assert_eq!((read.correlation.trace(), &read), (Some(&trace), &event));
        assert_eq!(codec::decode_event(columns, &plain, None).unwrap().correlation.trace(), None);
    }
    let created = Event::of(&traced, at(42), EventBody::OrderCreated(Arc::new(traced.clone())));
    let read = codec::decode_event(columns, &codec::encode_event(&created).unwrap(), Some(&blob)).unwrap();
    assert_eq!(read.correlation.trace(), Some(&trace));
    // One that every node derives is not stored.
    traced.correlation = traced.correlation.traced(Some(TraceContext { is_kept: false, ..trace }));
    assert_eq!(codec::encode_order(&traced).unwrap(), plain);
}

#[test]
fn what_is_no_stored_form_is_refused() {
    let mut newer = codec::encode_record(&Record::default()).unwrap();
    newer[0] = 7;
    assert_eq!(codec::decode_record(&newer).unwrap_err().to_string(), "its form 7 is not known to this version");
    assert!(codec::decode_record(&[]).is_err());
    assert!(codec::decode_record(&[1, 7, 7]).is_err());
    let columns = EventColumns { order: order().id, shard: Shard(1), at: at(1) };
    let created = codec::encode_event(&Event::of(&order(), at(1), EventBody::OrderCreated(order()))).unwrap();
    assert_eq!(codec::decode_event(columns, &created, None).unwrap_err().to_string(), "its order is missing");
}
