//! What is written can be read, and what others write is taken where it holds what is needed.

use crate::sample::{event, order, published, reading, record, shards};
use ordermill::domain::{CorrelationId, EventBody, EventKind, Money, OrderId, Role, Timestamp, Topic};
use ordermill::kafka::headers;
use ordermill::kafka::read::{LONGEST_VALUE, Record, read};
use serde_json::{Value, json};
use uuid::Uuid;

const ORDER: &str = "0190b0a0-0000-7000-8000-000000000001";

fn order_id() -> OrderId {
    ORDER.parse().unwrap()
}

/// A message of another team: no headers.
fn foreign(topic: Topic, value: &Value) -> Record {
    record(topic, order_id(), value.to_string().into_bytes())
}

fn code(record: &Record) -> &'static str {
    read(record, &reading()).map_or_else(|unreadable| unreadable.error.code(), |event| event.kind().name())
}

#[test]
fn every_event_is_read_as_it_was_written() {
    for kind in EventKind::ALL {
        let event = event(kind);
        assert_eq!(read(&published(&event), &reading()).unwrap(), event, "{}", kind.name());
    }
}

#[test]
fn a_message_has_the_specifications_fields_and_cloud_event_headers() {
    let record = published(&event(EventKind::OrderCreated));
    let value: Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
    assert_eq!(value["items"][0], json!({"productId": Uuid::from_u128(1), "quantity": 1, "price": "19.99"}));
    assert_eq!((&value["totalAmount"], &value["timestamp"]), (&json!("20.14"), &json!("2023-11-14T22:13:20.123456Z")));
    assert_eq!(value["contact"], json!({"email": "a@example.com", "locale": "de-CH"}));
    let header = |name| record.headers.text(name).unwrap_or_default().to_owned();
    assert_eq!(header(headers::TYPE), "ordermill.OrderCreated.v1");
    assert_eq!(header(headers::ID), value["eventId"].as_str().unwrap());
    assert_eq!(header(headers::TRACE_PARENT)[..36], *"00-0000000000000000000000000000abcd-");
    assert_eq!((header(headers::WRITER), header(headers::SEQ)), ("3".to_owned(), "12".to_owned()));
    assert!(record.headers.was_local_to(Role::Order) && !record.headers.was_local_to(Role::Payment));
    assert_eq!(record.headers.text(headers::REPEAT), None);
}

/// The three events of the specification, with nothing but what it shows.
#[test]
fn the_specifications_own_examples_are_taken() {
    let common =
        json!({"eventId": Uuid::from_u128(9), "orderId": ORDER, "timestamp": "2026-01-31T12:00:00Z", "correlationId": Uuid::from_u128(8)});
    let with = |more: Value| {
        let mut all = common.as_object().unwrap().clone();
        all.extend(more.as_object().unwrap().clone());
        Value::Object(all)
    };
    let created = with(json!({"customerId": Uuid::from_u128(7), "totalAmount": 20.14,
        "items": [{"productId": Uuid::from_u128(1), "quantity": 1, "price": 19.99}, {"productId": Uuid::from_u128(2), "quantity": 3, "price": "0.05"}]}));
    let reserved = with(json!({"reservations": [{"productId": Uuid::from_u128(1), "quantity": 1, "reservationId": Uuid::from_u128(5)}]}));
    let paid = with(json!({"paymentId": Uuid::from_u128(4), "amount": 20.14, "paymentMethod": "CREDIT_CARD"}));
    let cases = [
        (Topic::Order, "OrderCreated", created),
        (Topic::Inventory, "InventoryReserved", reserved),
        (Topic::Payment, "PaymentProcessed", paid),
    ];
    for (topic, name, fields) in cases {
        let bare = read(&foreign(topic, &fields), &reading()).unwrap();
        let wrapped = read(&foreign(topic, &json!({ name: fields })), &reading()).unwrap();
        assert_eq!((bare.kind().name(), &bare), (name, &wrapped));
        assert_eq!(
            (bare.order, bare.shard, bare.correlation),
            (order_id(), shards().of(order_id()), CorrelationId::of(Uuid::from_u128(8)))
        );
        assert_eq!(bare.at, Timestamp::parse("2026-01-31T12:00:00Z").unwrap());
        if let EventBody::OrderCreated(order) = &bare.body {
            assert_eq!((order.total.minor(), order.lines.len(), order.payment_method.as_str()), (2014, 2, "CARD"));
        }
        if let EventBody::PaymentProcessed { amount, method } = &bare.body {
            assert_eq!((amount.minor(), method.as_str()), (2014, "CREDIT_CARD"));
        }
    }
}

#[test]
fn a_spring_class_name_tells_the_kind() {
    let mut failed = foreign(Topic::Payment, &json!({"orderId": ORDER, "eventId": Uuid::from_u128(9), "message": "no funds"}));
    assert_eq!(code(&failed), "no-type");
    failed.headers.add(headers::SPRING_TYPE, b"com.shop.payment.events.PaymentFailedEvent");
    let event = read(&failed, &reading()).unwrap();
    assert_eq!(event.body.kind(), EventKind::PaymentFailed);
    assert_eq!(
        (event.at, event.correlation),
        (Timestamp(1_700_000_000_500_000), CorrelationId::of(order_id().0)),
        "from the record, from the order"
    );
}

#[test]
fn what_cannot_be_taken_says_why() {
    let typed = |name: &str, value: Value| {
        let mut record = foreign(Topic::Payment, &value);
        record.headers.add(headers::TYPE, name.as_bytes());
        record
    };
    let raw = |value: Option<&[u8]>| Record { value: value.map(<[u8]>::to_vec), ..foreign(Topic::Payment, &json!({})) };
    let created = published(&event(EventKind::OrderCreated));
    let changed = |change: fn(&mut Value)| {
        let mut value: Value = serde_json::from_slice(created.value.as_deref().unwrap()).unwrap();
        change(&mut value);
        Record { value: Some(value.to_string().into_bytes()), ..created.clone() }
    };
    let huge = vec![b' '; LONGEST_VALUE + 1];
    let deep = "[".repeat(100_000);
    let cases: Vec<(Record, &str)> = vec![
        (raw(None), "empty-message"),
        (raw(Some(b"")), "empty-message"),
        (raw(Some(b"not json")), "not-json"),
        (raw(Some(b"\xff\xfe")), "not-json"),
        (raw(Some(deep.as_bytes())), "not-json"),
        (raw(Some(&huge)), "message-too-long"),
        (raw(Some(b"[1]")), "not-an-object"),
        (raw(Some(b"{}")), "no-type"),
        (foreign(Topic::Payment, &json!({"PaymentTeleported": {"orderId": ORDER}})), "unknown-type"),
        (typed("ordermill.PaymentTeleported.v1", json!({"orderId": ORDER})), "unknown-type"),
        (typed("ordermill.PaymentProcessed.v0", json!({"orderId": ORDER, "amount": "1.00"})), "unknown-version"),
        (typed("ordermill.PaymentProcessed.v2", json!({"orderId": ORDER, "amount": "1.00"})), "unknown-version"),
        (typed("ordermill.OrderCreated.v1", json!({"orderId": ORDER})), "wrong-topic"),
        (typed("PaymentProcessed", json!({"amount": "1.00"})), "bad-field"),
        (typed("PaymentProcessed", json!({"orderId": 5, "amount": "1.00"})), "bad-field"),
        (typed("PaymentProcessed", json!({"orderId": "x", "amount": "1.00"})), "bad-field"),
        (typed("PaymentProcessed", json!({"orderId": ORDER, "amount": "1.001"})), "bad-field"),
        (typed("PaymentProcessed", json!({"orderId": ORDER, "amount": 1e30})), "bad-field"),
        (typed("PaymentProcessed", json!({"orderId": ORDER, "amount": -1})), "bad-field"),
        (typed("PaymentProcessed", json!({"orderId": ORDER, "amount": "1.00", "timestamp": "yesterday"})), "bad-field"),
        (typed("PaymentProcessed", json!({"orderId": ORDER, "amount": "1.00", "paymentMethod": "a\u{0}b"})), "bad-field"),
        (changed(|value| value["totalAmount"] = json!("20.15")), "bad-field"),
        (changed(|value| value["items"] = json!([])), "bad-field"),
        (changed(|value| value["items"][0]["quantity"] = json!(0)), "bad-field"),
        (changed(|value| value["items"][0]["quantity"] = json!("one")), "bad-field"),
        (changed(|value| value["customerId"] = json!(null)), "bad-field"),
        (foreign(Topic::Shipping, &json!({"carrier": "post"})), "no-type"),
    ];
    for (record, want) in &cases {
        let value = record.value.as_deref().map(|value| String::from_utf8_lossy(&value[..value.len().min(80)]).into_owned());
        assert_eq!(code(record), *want, "{value:?}");
    }
}

#[test]
fn more_than_is_known_does_no_harm() {
    let shipped = json!({"orderId": ORDER.to_uppercase(), "carrier": "post", "trackingNumber": "7", "weather": {"is": [1, null]}});
    assert_eq!(code(&foreign(Topic::Shipping, &shipped)), "OrderShipped");
    let mut created = published(&event(EventKind::OrderCreated));
    created.key = None;
    created.headers.add("x-other", b"\xff");
    created.headers.0.push(("empty".to_owned(), None));
    assert_eq!(read(&created, &reading()).unwrap().order, order(1).id);
    let amounts = [(json!("7"), 700), (json!(7), 700), (json!(7.5), 750), (json!("7.50"), 750), (json!(99_999_999.99), 9_999_999_999)];
    for (amount, minor) in amounts {
        let refunded = foreign(Topic::Payment, &json!({"PaymentRefunded": {"orderId": ORDER, "amount": amount}}));
        assert_eq!(read(&refunded, &reading()).unwrap().body, EventBody::PaymentRefunded { amount: Money::from_minor(minor).unwrap() });
    }
}
