//! What the clients of other teams write in their default settings, as bytes, and what it is taken for.

use crate::sample::{record, shards};
use ordermill::config::KafkaSettings;
use ordermill::config::kafka::{LocalTime, Meaning};
use ordermill::domain::{Event, EventBody, EventKind, OrderId, Timestamp, Topic};
use ordermill::kafka::read::{MessageError, Reading, Record, read};

const ORDER: &str = "0190b0a0-0000-7000-8000-000000000001";
const AT: &str = "2026-01-01T12:00:00Z";

fn reading(change: impl FnOnce(&mut KafkaSettings)) -> Reading {
    let mut settings = KafkaSettings::default();
    change(&mut settings);
    Reading::of(&settings, shards())
}

/// `ORDER` in the text stands for the order's id.
fn message(topic: Topic, headers: &[(&str, &str)], value: &[u8]) -> Record {
    let order: OrderId = ORDER.parse().unwrap();
    let value = match std::str::from_utf8(value) {
        Ok(text) => text.replace("ORDER", ORDER).into_bytes(),
        Err(_) => value.to_vec(),
    };
    let mut record = record(topic, order, value);
    for (name, value) in headers {
        record.headers.add(name, value.as_bytes());
    }
    record
}

fn taken(topic: Topic, headers: &[(&str, &str)], value: impl AsRef<[u8]>) -> Result<Event, MessageError> {
    read(&message(topic, headers, value.as_ref()), &reading(|_| ())).map_err(|unreadable| unreadable.error)
}

fn told(topic: Topic, headers: &[(&str, &str)], value: impl AsRef<[u8]>) -> &'static str {
    taken(topic, headers, value).map_or_else(|error| error.code(), |event| event.kind().name())
}

/// Another team's payment, but for what a case adds.
const PAID: &str = r#""orderId":"ORDER","paymentId":"7b0c2a52-5c2f-4c3e-9d6e-1f1d0f3b9a11","amount":25.00,"paymentMethod":"CREDIT_CARD""#;

/// A topic, headers, a value, and what it is taken for.
type Told<'a> = (Topic, &'a [(&'a str, &'a str)], String, &'a str);

fn check(cases: &[Told<'_>]) {
    for (topic, headers, value, want) in cases {
        assert_eq!(told(*topic, headers, value), *want, "{headers:?} {value}");
    }
}

/// Money: what is said is never guessed past.
#[test]
fn a_name_that_is_not_known_is_never_guessed_past() {
    let class = |name| ("__TypeId__", name);
    check(&[
        // Nothing names it: fields decide, and a failure's win.
        (Topic::Payment, &[], format!("{{{PAID}}}"), "PaymentProcessed"),
        (Topic::Payment, &[], format!(r#"{{{PAID},"reason":"insufficient funds"}}"#), "PaymentFailed"),
        (Topic::Payment, &[], format!(r#"{{{PAID},"errorCode":"51"}}"#), "PaymentFailed"),
        (Topic::Payment, &[], format!(r#"{{{PAID},"success":false}}"#), "PaymentFailed"),
        (Topic::Payment, &[], format!(r#"{{{PAID},"reason":null,"errorCode":"","error":false}}"#), "PaymentProcessed"),
        (Topic::Payment, &[], format!(r#"{{{PAID},"refundId":"re_1"}}"#), "no-type"),
        (Topic::Payment, &[], format!(r#"{{{PAID},"refundId":"re_1","reason":"by the customer"}}"#), "no-type"),
        (Topic::Inventory, &[], r#"{"orderId":"ORDER","reservations":[],"reason":"payment failed"}"#.into(), "no-type"),
        (
            Topic::Inventory,
            &[],
            r#"{"orderId":"ORDER","reservations":[{"productId":"7b0c2a52-5c2f-4c3e-9d6e-1f1d0f3b9a11","quantity":1}],"shortages":[]}"#
                .into(),
            "InventoryReserved",
        ),
        (
            Topic::Inventory,
            &[],
            r#"{"orderId":"ORDER","reservations":[],"shortages":[{"productId":"7b0c2a52-5c2f-4c3e-9d6e-1f1d0f3b9a11"}]}"#.into(),
            "InventoryInsufficient",
        ),
        (Topic::Shipping, &[], r#"{"orderId":"ORDER","carrier":"post"}"#.into(), "OrderShipped"),
        (Topic::Shipping, &[], r#"{"orderId":"ORDER","carrier":"post","deliveredAt":"2026-01-01T12:00:00Z"}"#.into(), "no-type"),
        (Topic::Shipping, &[], r#"{"orderId":"ORDER","carrier":"post","reason":"lost"}"#.into(), "no-type"),
        // A header that names something else.
        (Topic::Payment, &[class("com.shop.events.Pay2$PaymentInitiatedEvent")], format!("{{{PAID}}}"), "unknown-type"),
        (
            Topic::Payment,
            &[class("com.shop.events.Pay2$PaymentDeclinedEvent")],
            format!(r#"{{{PAID},"reason":"no funds"}}"#),
            "unknown-type",
        ),
        (Topic::Payment, &[("ce_type", "com.shop.PARTIAL_PAYMENT_PROCESSED")], format!("{{{PAID}}}"), "unknown-type"),
        (Topic::Payment, &[("eventType", "PaymentAuthorized")], format!("{{{PAID}}}"), "unknown-type"),
        (Topic::Shipping, &[class("com.shop.events.Ship$ShipmentCancelledEvent")], r#"{"orderId":"ORDER"}"#.into(), "unknown-type"),
        (
            Topic::Shipping,
            &[class("com.shop.events.Ship$OrderDeliveredEvent")],
            r#"{"orderId":"ORDER","carrier":"post"}"#.into(),
            "unknown-type",
        ),
        // A field of the body that names something else.
        (Topic::Payment, &[], format!(r#"{{{PAID},"status":"DECLINED"}}"#), "unknown-type"),
        (Topic::Payment, &[], format!(r#"{{{PAID},"status":7}}"#), "unknown-type"),
        (Topic::Payment, &[], format!(r#"{{{PAID},"type":"PaymentDeclined"}}"#), "unknown-type"),
        (Topic::Payment, &[], format!(r#"{{{PAID},"eventType":"payment.pending"}}"#), "unknown-type"),
        (Topic::Payment, &[], format!(r#"{{{PAID},"@class":"com.shop.PaymentDeclined"}}"#), "unknown-type"),
        (Topic::Payment, &[], format!(r#"{{"PaymentDeclined":{{{PAID}}}}}"#), "unknown-type"),
        (Topic::Payment, &[], format!(r#"{{"type":"PaymentDeclined","data":{{{PAID}}}}}"#), "unknown-type"),
        (Topic::Payment, &[], format!(r#"{{"specversion":"1.0","type":"com.shop.declined","data":{{{PAID}}}}}"#), "unknown-type"),
        (Topic::Payment, &[], format!(r#"{{"status":"DECLINED","type":"PaymentProcessed","data":{{{PAID}}}}}"#), "type-conflict"),
    ]);
}

/// Names in the spellings and places of other languages' libraries, and words for how something went.
#[test]
fn a_name_in_another_spelling_or_place_is_a_name_too() {
    let paid = |more: &str| format!("{{{PAID},{more}}}");
    let unknown = [
        paid(r#""$type":"Shop.Events.PaymentDeclined, Shop.Events""#),
        paid(r#""_type":"declined""#),
        paid(r#""__typename":"PaymentDeclined""#),
        paid(r#""_class":"com.shop.PaymentDeclined""#),
        paid(r#""EventType":"PaymentDeclined""#),
        paid(r#""event-name":"payment declined""#),
        paid(r#""eventType":["PaymentDeclined"]"#),
        paid(r#""messageType":["urn:message:Shop:PaymentDeclined"]"#),
        paid(r#""status":{"code":"DECLINED"}"#),
        paid(r#""status":false"#),
        paid(r#""paymentStatus":"DECLINED""#),
        paid(r#""payment_status":"requires_action""#),
        paid(r#""transactionState":"PENDING""#),
        paid(r#""result":"DECLINED""#),
        paid(r#""paymentOutcome":"refused""#),
        paid(r#""responseCode":"51""#),
        paid(r#""orderStatus":"CANCELLED""#),
    ];
    for value in unknown {
        assert_eq!(told(Topic::Payment, &[], &value), "unknown-type", "{value}");
    }
    for header in ["Type", "EventType", "X-Event-Type", "CE_TYPE", "message-type", "eventName"] {
        assert_eq!(told(Topic::Payment, &[(header, "PaymentDeclined")], format!("{{{PAID}}}")), "unknown-type", "{header}");
        assert_eq!(told(Topic::Payment, &[(header, "PaymentProcessed")], format!("{{{PAID}}}")), "PaymentProcessed", "{header}");
    }
    check(&[
        (Topic::Payment, &[], paid(r#""$type":"Shop.Events.PaymentProcessed, Shop.Events""#), "PaymentProcessed"),
        (Topic::Payment, &[], paid(r#""paymentStatus":"FAILED""#), "PaymentFailed"),
        (Topic::Payment, &[("ce_type", "PaymentProcessed")], paid(r#""paymentStatus":"DECLINED""#), "type-conflict"),
        (Topic::Payment, &[("ce_type", "PaymentProcessed")], paid(r#""isApproved":false"#), "type-conflict"),
        (Topic::Payment, &[("ce_type", "PaymentProcessed")], paid(r#""approved":"N""#), "type-conflict"),
        (Topic::Shipping, &[], r#"{"orderId":"ORDER","shipmentStatus":"RETURNED"}"#.into(), "unknown-type"),
        (Topic::Shipping, &[], r#"{"orderId":"ORDER","shipmentStatus":"SHIPPED"}"#.into(), "OrderShipped"),
        (Topic::Shipping, &[], r#"{"orderId":"ORDER","carrier":"post","estimatedDelivery":"2026-01-01"}"#.into(), "OrderShipped"),
    ]);
}

/// Fields that tell of a failure, or of something later, in words of the team's own.
#[test]
fn fields_that_tell_of_something_else_are_no_success() {
    let paid = |more: &str| format!("{{{PAID},{more}}}");
    check(&[
        (Topic::Payment, &[], paid(r#""failure_code":"card_declined""#), "PaymentFailed"),
        (Topic::Payment, &[], paid(r#""decline_code":"51""#), "PaymentFailed"),
        (Topic::Payment, &[], paid(r#""isPaid":false"#), "PaymentFailed"),
        (Topic::Payment, &[], paid(r#""declined":true"#), "PaymentFailed"),
        (Topic::Payment, &[], paid(r#""declined":"yes""#), "PaymentFailed"),
        (Topic::Payment, &[], paid(r#""bankRejectionText":"no funds""#), "no-type"),
        (Topic::Payment, &[], paid(r#""declined":true,"refundId":"re_1""#), "no-type"),
        (Topic::Payment, &[], paid(r#""isRefunded":true"#), "no-type"),
        (Topic::Payment, &[], paid(r#""wasCancelled":true"#), "no-type"),
        // Stripe's names of what is not so.
        (Topic::Payment, &[], paid(r#""refunded":false,"amount_refunded":0,"failure_code":null,"disputed":false"#), "PaymentProcessed"),
        (Topic::Payment, &[], paid(r#""errorCode":"0","declined":"no""#), "PaymentProcessed"),
    ]);
}

#[test]
fn names_are_known_in_their_usual_spellings_and_must_not_contradict_each_other() {
    let class = |name| ("__TypeId__", name);
    check(&[
        // Two names that contradict each other.
        (Topic::Payment, &[("ce_type", "PaymentProcessed")], format!(r#"{{"PaymentFailed":{{{PAID}}}}}"#), "type-conflict"),
        (Topic::Payment, &[class("com.shop.PaymentProcessedEvent")], format!(r#"{{{PAID},"status":"DECLINED"}}"#), "type-conflict"),
        (Topic::Payment, &[class("com.shop.PaymentProcessedEvent")], format!(r#"{{{PAID},"status":"PENDING"}}"#), "type-conflict"),
        (Topic::Payment, &[class("com.shop.PaymentProcessedEvent")], format!(r#"{{{PAID},"approved":false}}"#), "type-conflict"),
        // Names that are known, as they are usually spelled; other words beside them do no harm.
        (
            Topic::Payment,
            &[class("com.shop.events.Pay2$PaymentProcessedEvent")],
            format!(r#"{{{PAID},"status":"COMPLETED"}}"#),
            "PaymentProcessed",
        ),
        (Topic::Payment, &[("ce_type", "PaymentProcessed")], format!(r#"{{{PAID},"type":"VISA"}}"#), "PaymentProcessed"),
        (Topic::Payment, &[("ce_type", "com.acme.PaymentProcessedEvent")], format!("{{{PAID}}}"), "PaymentProcessed"),
        (Topic::Payment, &[("eventType", "PAYMENT_FAILED")], format!("{{{PAID}}}"), "PaymentFailed"),
        (Topic::Payment, &[], format!(r#"{{{PAID},"eventType":"payment.processed"}}"#), "PaymentProcessed"),
        (Topic::Payment, &[], format!(r#"{{{PAID},"status":"FAILED"}}"#), "PaymentFailed"),
        (Topic::Payment, &[], format!(r#"{{{PAID},"status":"PROCESSED"}}"#), "PaymentProcessed"),
        (Topic::Order, &[("ce_type", "OrderCancelled")], r#"{"orderId":"ORDER","status":"CANCELLED"}"#.into(), "OrderCancelled"),
        // A plain map names nothing.
        (Topic::Payment, &[class("java.util.LinkedHashMap")], format!("{{{PAID}}}"), "PaymentProcessed"),
        (Topic::Payment, &[class("java.util.HashMap")], format!(r#"{{{PAID},"status":"DECLINED"}}"#), "unknown-type"),
    ]);
}

#[test]
fn a_dead_letter_of_an_unknown_name_says_where_it_stands_and_what_to_do() {
    let refused = taken(Topic::Payment, &[("__TypeId__", "com.acme.PayOk")], format!("{{{PAID}}}")).unwrap_err().to_string();
    assert_eq!(
        refused,
        "its header __TypeId__ says that it is com.acme.PayOk, which is no event that is known; if it is one, map it in kafka.types"
    );
}

#[test]
fn a_setting_says_what_other_teams_names_mean() {
    let names = [
        ("com.acme.PayOk", Meaning::Event(EventKind::PaymentProcessed)),
        ("com.acme.OrderShippedEvent.v7", Meaning::Event(EventKind::OrderShipped)),
        ("DECLINED", Meaning::Event(EventKind::PaymentFailed)),
        ("com.acme.PaymentEvent", Meaning::ByContent),
    ];
    let reading = reading(|settings| settings.types.0 = names.map(|(name, meaning)| (name.to_owned(), meaning)).into());
    let told = |topic, headers: &[(&str, &str)], value: &str| {
        read(&message(topic, headers, value.as_bytes()), &reading)
            .map_or_else(|unreadable| unreadable.error.code(), |event| event.kind().name())
    };
    let paid = format!("{{{PAID}}}");
    let declined = format!(r#"{{{PAID},"status":"DECLINED"}}"#);
    assert_eq!(told(Topic::Payment, &[("__TypeId__", "com.acme.PayOk")], &paid), "PaymentProcessed");
    assert_eq!(told(Topic::Payment, &[("ce_type", "com.acme.PayOk")], &paid), "PaymentProcessed");
    assert_eq!(told(Topic::Payment, &[("ce_type", "com.acme.PayOk")], &declined), "type-conflict");
    assert_eq!(told(Topic::Payment, &[], &format!(r#"{{"type":"com.acme.PayOk","data":{paid}}}"#)), "PaymentProcessed");
    assert_eq!(told(Topic::Payment, &[], &declined), "PaymentFailed");
    assert_eq!(told(Topic::Payment, &[("__TypeId__", "com.acme.PaymentEvent")], &declined), "PaymentFailed");
    assert_eq!(told(Topic::Payment, &[("__TypeId__", "com.acme.PaymentEvent")], &paid), "PaymentProcessed");
    assert_eq!(told(Topic::Shipping, &[("ce_type", "com.acme.OrderShippedEvent.v7")], r#"{"orderId":"ORDER"}"#), "OrderShipped");
}

/// One value in every packing that a client or connector puts around it by default.
#[test]
fn an_event_is_taken_out_of_what_it_is_packed_in() {
    let paid = format!("{{{PAID},\"timestamp\":\"{AT}\"}}").replace("ORDER", ORDER);
    let text = serde_json::to_string(&paid).unwrap();
    let base64 = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(&paid)
    };
    let schema = r#"{"type":"struct","fields":[{"field":"orderId","type":"string"}]}"#;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("bare", paid.clone().into()),
        ("outer key", format!(r#"{{"PaymentProcessed":{paid}}}"#).into()),
        ("type and data", format!(r#"{{"type":"PaymentProcessed","data":{paid}}}"#).into()),
        ("eventType and payload as a text", format!(r#"{{"eventType":"PaymentProcessed","payload":{text},"id":7}}"#).into()),
        ("structured CloudEvent", format!(r#"{{"specversion":"1.0","id":"evt_12","source":"/pay","type":"com.shop.PaymentProcessed","datacontenttype":"application/json","time":"2020-01-01T00:00:00Z","data":{paid}}}"#).into()),
        ("structured CloudEvent, data as a text", format!(r#"{{"specversion":"1.0","id":"1","source":"/p","type":"PaymentProcessed","data":{text}}}"#).into()),
        ("structured CloudEvent, data in Base64", format!(r#"{{"specversion":"1.0","id":"1","source":"/p","type":"PaymentProcessed","data_base64":"{base64}"}}"#).into()),
        ("Connect with a schema", format!(r#"{{"schema":{schema},"payload":{paid}}}"#).into()),
        ("Connect, payload as a text", format!(r#"{{"schema":{{"type":"string","optional":false}},"payload":{text}}}"#).into()),
        ("a text in quotes", text.clone().into()),
        ("a byte-order mark", [b"\xef\xbb\xbf", paid.as_bytes()].concat()),
        ("Confluent's five bytes", [b"\x00\x00\x00\x00\x2a", paid.as_bytes()].concat()),
    ];
    let want = taken(Topic::Payment, &[], &paid).unwrap();
    assert_eq!(want.at, Timestamp::parse(AT).unwrap());
    for (what, value) in cases {
        assert_eq!(taken(Topic::Payment, &[], &value).as_ref(), Ok(&want), "{what}: {}", String::from_utf8_lossy(&value));
    }
}

#[test]
fn an_envelope_dates_and_names_what_does_not_do_so_itself() {
    let event = taken(
        Topic::Payment,
        &[("content-type", "application/json")],
        format!(r#"{{"specversion":"1.0","id":"1","source":"/p","type":"PaymentProcessed","time":"{AT}","data":{{{PAID}}}}}"#),
    );
    assert_eq!(event.unwrap().at, Timestamp::parse(AT).unwrap());
    let event = taken(Topic::Shipping, &[], r#"{"type":"OrderShipped","orderId":"ORDER","data":{"carrier":"post"}}"#).unwrap();
    assert_eq!(event.order, ORDER.parse().unwrap());
}

#[test]
fn times_are_taken_as_usual_libraries_write_them() {
    let at = |time: &str, local: LocalTime| {
        let value = format!("{{{PAID},\"timestamp\":{time}}}");
        let reading = reading(|settings| settings.local_time = local);
        read(&message(Topic::Payment, &[], value.as_bytes()), &reading)
            .map(|event| event.at.to_string())
            .map_err(|bad| bad.error.to_string())
    };
    let cases = [
        ("1767268800.123456789", "2026-01-01T12:00:00.123456Z"),
        ("1767268800123", "2026-01-01T12:00:00.123000Z"),
        ("[2026,1,1,12,0]", "2026-01-01T12:00:00.000000Z"),
        ("[2026,1,1,12,0,5,123456789]", "2026-01-01T12:00:05.123456Z"),
        (r#""2026-01-01T12:00:00.000+0000""#, "2026-01-01T12:00:00.000000Z"),
        (r#""2026-01-01T12:00Z""#, "2026-01-01T12:00:00.000000Z"),
        (r#""2026-01-01T12:00""#, "2026-01-01T12:00:00.000000Z"),
        (r#""2026-01-01 12:00:00""#, "2026-01-01T12:00:00.000000Z"),
    ];
    for (time, want) in cases {
        assert_eq!(at(time, LocalTime::default()).as_deref(), Ok(want), "{time}");
    }
    assert_eq!(at("[2026,1,1,12,0]", LocalTime::Offset { minutes: 60 }).as_deref(), Ok("2026-01-01T11:00:00.000000Z"));
    let refused = at(r#""yesterday""#, LocalTime::default()).unwrap_err();
    assert!(
        refused.starts_with("timestamp must be a time such as 2026-01-31T12:00:00Z") && refused.ends_with("\"yesterday\""),
        "{refused}"
    );
}

/// Jackson writes null for what is not set, other libraries an empty text.
#[test]
fn null_and_an_empty_text_are_as_if_absent() {
    for nothing in ["null", r#""""#] {
        let failed = format!(
            r#"{{"PaymentFailed":{{"orderId":"ORDER","correlationId":{nothing},"eventId":{nothing},"paymentId":{nothing},"timestamp":{nothing},"reason":{nothing}}}}}"#
        );
        let event = taken(Topic::Payment, &[], &failed).unwrap();
        let EventBody::PaymentFailed { reason } = &event.body else { panic!("{event:?}") };
        assert_eq!((reason.as_str(), event.at), ("payment failed", Timestamp(1_700_000_000_500_000)), "{failed}");
        let paid = format!(r#"{{"PaymentProcessed":{{"orderId":"ORDER","amount":25.0,"paymentMethod":{nothing}}}}}"#);
        let event = taken(Topic::Payment, &[], &paid).unwrap();
        let EventBody::PaymentProcessed { method, .. } = &event.body else { panic!("{event:?}") };
        assert_eq!(method.as_str(), "CARD");
        let without = taken(Topic::Payment, &[], format!(r#"{{"PaymentProcessed":{{"orderId":"ORDER","amount":{nothing}}}}}"#));
        assert_eq!(without, Err(MessageError::Field("missing field `amount`".to_owned())));
    }
}

#[test]
fn ids_of_others_need_be_no_uuids_and_a_parcels_number_may_be_one() {
    let paid = r#"{"orderId":"ORDER","paymentId":"pi_3MtwBwLkdIwHu7ix28a3tqPa","eventId":"evt_12","correlationId":"req-9","amount":25,"paymentMethod":"card"}"#;
    let event = taken(Topic::Payment, &[], paid).unwrap();
    assert_eq!((event.kind(), event.correlation.0), (EventKind::PaymentProcessed, event.order.0), "followed by its order's id");
    let kept = |event: &Event| event.external_ids.as_ref().map(ToString::to_string);
    assert_eq!(kept(&event).as_deref(), Some("event evt_12, payment pi_3MtwBwLkdIwHu7ix28a3tqPa, correlation req-9"));
    let failed =
        taken(Topic::Payment, &[], r#"{"PaymentFailed":{"orderId":"ORDER","paymentId":17,"errorMessage":"card expired"}}"#).unwrap();
    assert!(matches!(&failed.body, EventBody::PaymentFailed { reason } if reason.as_str() == "card expired"));
    let shipped = taken(Topic::Shipping, &[], r#"{"orderId":"ORDER","carrier":"post","trackingNumber":990012345678901}"#).unwrap();
    assert!(matches!(&shipped.body, EventBody::OrderShipped { tracking: Some(number), .. } if number.as_str() == "990012345678901"));
    assert_eq!((kept(&failed).as_deref(), kept(&shipped)), (Some("payment 17"), None));
    // Those of a CloudEvents header, and ours are no others.
    let of_header = taken(Topic::Payment, &[("ce_id", "evt-1"), ("ce_type", "PaymentCancelled")], r#"{"orderId":"ORDER"}"#).unwrap();
    assert_eq!(kept(&of_header).as_deref(), Some("event evt-1"));
    let ours = format!(r#"{{"orderId":"ORDER","eventId":"{}","paymentId":"{}"}}"#, of_header.id().0, of_header.payment().0);
    assert_eq!(kept(&taken(Topic::Payment, &[("ce_type", "PaymentCancelled")], ours).unwrap()), None);
}

#[test]
fn snake_case_is_taken_by_a_setting() {
    let value = r#"{"order_id":"ORDER","payment_id":"pi_1","amount":"25.00","payment_method":"card","correlation_id":null}"#;
    let record = message(Topic::Payment, &[], value.as_bytes());
    assert_eq!(read(&record, &reading(|_| ())).unwrap_err().error.code(), "no-type");
    let event = read(&record, &reading(|settings| settings.snake_case = true)).unwrap();
    assert_eq!((event.kind(), event.order), (EventKind::PaymentProcessed, ORDER.parse().unwrap()));
}

#[test]
fn what_is_not_taken_names_its_field() {
    let cases = [
        (r#"{"PaymentProcessed":{"orderId":5,"amount":1}}"#, "orderId must be a UUID, not 5"),
        (r#"{"PaymentProcessed":{"amount":1}}"#, "orderId is missing"),
        (
            r#"{"PaymentProcessed":{"orderId":"ORDER","amount":{"value":1}}}"#,
            "amount: invalid type: map, expected an amount such as \"19.99\"",
        ),
        (r#"{"PaymentProcessed":{"orderId":"ORDER","amount":"25.001"}}"#, "amount: the amount has more than 2 decimal places"),
        (
            r#"{"PaymentProcessed":{"orderId":"ORDER","amount":1,"paymentMethod":["card"]}}"#,
            "paymentMethod: invalid type: sequence, expected a string",
        ),
    ];
    for (value, want) in cases {
        let refused = taken(Topic::Payment, &[], value).unwrap_err().to_string();
        assert!(refused.starts_with(want), "{value}: {refused}");
    }
    let reserved = r#"{"InventoryReserved":{"orderId":"ORDER","reservations":[{"productId":"7b0c2a52-5c2f-4c3e-9d6e-1f1d0f3b9a11","quantity":1},{"productId":"x","quantity":1}]}}"#;
    let refused = taken(Topic::Inventory, &[], reserved).unwrap_err().to_string();
    assert!(refused.starts_with("reservations[1].productId: "), "{refused}");
}

/// Money: an amount of another currency is not the order's.
#[test]
fn a_payment_in_another_currency_confirms_nothing() {
    let euros = reading(|settings| settings.currency = "EUR".to_owned());
    let of = |currency: &str, reading: &Reading| {
        let value = format!(r#"{{"PaymentProcessed":{{{PAID},"currency":"{currency}"}}}}"#);
        let event = read(&message(Topic::Payment, &[], value.as_bytes()), reading).unwrap();
        assert_eq!(event.kind(), EventKind::PaymentProcessed);
        if let EventBody::PaidInOtherCurrency { currency, .. } = event.body { currency.to_string() } else { "ours".to_owned() }
    };
    assert_eq!(of("USD", &euros), "USD");
    assert_eq!(of("eur", &euros), "ours");
    assert_eq!(of("USD", &reading(|_| ())), "ours", "nothing is set: nothing is compared");
    let unnamed = format!(r#"{{"PaymentProcessed":{{{PAID}}}}}"#);
    assert!(read(&message(Topic::Payment, &[], unnamed.as_bytes()), &euros).is_ok());
}
