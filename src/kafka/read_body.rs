//! From the wire's fields to the domain's event; strict in what a role needs.

use super::names;
use super::wire::{
    AddressPart, ContactPart, InventoryInsufficient, InventoryReserved, Item, NotificationFailed, NotificationSent, OrderCancelled,
    OrderCreated, OrderShipped, PaymentFailed, PaymentProcessed, PaymentRefunded, Plain, Reasoned, Reservation, Short, StockMoved, Words,
};
use super::wire_ours::{AnswerAccepted, StepParked};
use super::{headers, times};
use crate::domain::{
    Address, CancelledBy, Channel, Contact, CorrelationId, CustomerId, Event, EventBody, EventKind, ExternalIds, Money, NoticeKind, Order,
    OrderError, OrderId, OrderLine, ProductId, Quantity, ReservedLine, Role, Shard, Shortage, Text, Timestamp, Topic,
};
use crate::kafka::message::{MessageError, Reading, Record};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;
use uuid::Uuid;

/// The event of this kind with these fields.
pub(super) fn event(kind: EventKind, fields: Map<String, Value>, record: &Record, reading: &Reading) -> Result<Event, MessageError> {
    let from = From { record, reading };
    match kind {
        EventKind::OrderCreated => from.take(fields, order_created),
        EventKind::InventoryReserved => from.take(fields, |body: InventoryReserved, _| {
            let lines = reserved(&body.reservations)?;
            if lines.is_empty() { Err(wrong("reservations", "is empty")) } else { Ok(EventBody::InventoryReserved { lines }) }
        }),
        EventKind::InventoryInsufficient => from.take(fields, |body: InventoryInsufficient<'static>, _| {
            Ok(EventBody::InventoryInsufficient { shortages: body.shortages.iter().map(shortage).collect() })
        }),
        EventKind::InventoryReleased => {
            from.take(fields, |body: StockMoved, _| Ok(EventBody::InventoryReleased { lines: reserved(&body.items)? }))
        }
        EventKind::InventoryShipped => {
            from.take(fields, |body: StockMoved, _| Ok(EventBody::InventoryShipped { lines: reserved(&body.items)? }))
        }
        EventKind::PaymentProcessed => from.take(fields, |body: PaymentProcessed<'static>, _| {
            let (amount, method) = (body.amount.0, text("paymentMethod", &body.payment_method)?);
            Ok(match other_currency(body.currency.as_deref(), &reading.currency) {
                Some(currency) => EventBody::PaidInOtherCurrency { amount, currency, method },
                None => EventBody::PaymentProcessed { amount, method },
            })
        }),
        EventKind::PaymentFailed => from.take(with_reason(fields), |body: PaymentFailed<'static>, _| {
            Ok(EventBody::PaymentFailed { reason: reason(&body.reason, "payment failed") })
        }),
        EventKind::PaymentCancelled => from.take(fields, |_: Plain, _| Ok(EventBody::PaymentCancelled)),
        EventKind::PaymentRefunded => {
            from.take(fields, |body: PaymentRefunded, _| Ok(EventBody::PaymentRefunded { amount: body.amount.0 }))
        }
        EventKind::OrderConfirmed => from.take(fields, |_: Plain, _| Ok(EventBody::OrderConfirmed)),
        EventKind::ShipmentHeld => from.take(fields, |_: Plain, _| Ok(EventBody::ShipmentHeld)),
        EventKind::OrderCancelRequested => {
            from.take(fields, |body: Reasoned<'static>, _| Ok(EventBody::OrderCancelRequested { by: cancelled_by(&body.reason) }))
        }
        EventKind::OrderCancelled => from.take(fields, |body: OrderCancelled<'static>, _| {
            Ok(EventBody::OrderCancelled { reason: reason(&body.reason, "cancelled"), was_paid: body.was_paid })
        }),
        EventKind::OrderFailed => {
            from.take(fields, |body: Reasoned<'static>, _| Ok(EventBody::OrderFailed { reason: reason(&body.reason, "failed") }))
        }
        EventKind::OrderShipped => from.take(fields, |body: OrderShipped<'static>, _| {
            let carrier = optional("carrier", body.carrier.as_deref())?;
            let tracking = body.tracking_number.as_ref().map(|number| &*number.0);
            Ok(EventBody::OrderShipped { carrier, tracking: optional("trackingNumber", tracking)? })
        }),
        EventKind::NotificationSent => from.take(fields, |body: NotificationSent<'static>, _| {
            let (kind, channel) = notice(&body.kind, &body.channel)?;
            Ok(EventBody::NotificationSent { kind, channel })
        }),
        EventKind::NotificationFailed => from.take(fields, |body: NotificationFailed<'static>, _| {
            let (kind, channel) = notice(&body.kind, &body.channel)?;
            let reason = reason(&body.reason, "not sent");
            Ok(EventBody::NotificationFailed { kind, channel, attempt: body.attempt, last: body.last, reason })
        }),
        EventKind::AnswerAccepted => from.take(fields, |body: AnswerAccepted<'static>, _| accepted(&body)),
        EventKind::PaymentParked => from.take(fields, |body: StepParked<'static>, _| Ok(step_parked(Role::Payment, &body))),
        EventKind::InventoryParked => from.take(fields, |body: StepParked<'static>, _| Ok(step_parked(Role::Inventory, &body))),
    }
}

/// The currency that is told, where it is not ours.
fn other_currency(told: Option<&str>, ours: &str) -> Option<Text<20>> {
    let told = told.map(str::trim).filter(|told| !told.is_empty())?;
    (!ours.is_empty() && !told.eq_ignore_ascii_case(ours)).then(|| Text::lossy(told))
}

struct From<'a> {
    record: &'a Record,
    reading: &'a Reading,
}

/// What every event has.
struct Head {
    order: OrderId,
    shard: Shard,
    correlation: CorrelationId,
    at: Timestamp,
}

impl From<'_> {
    fn take<B: DeserializeOwned>(
        &self,
        fields: Map<String, Value>,
        make: impl FnOnce(B, &Head) -> Result<EventBody, MessageError>,
    ) -> Result<Event, MessageError> {
        let head = self.head(&fields)?;
        let given = self.given_ids(&fields);
        let body = serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
            let (path, cause) = (error.path().to_string(), error.inner());
            // What is missing is named by the cause.
            MessageError::Field(if path == "." { cause.to_string() } else { format!("{path}: {cause}") })
        })?;
        let body = make(body, &head)?;
        let event = Event { order: head.order, shard: head.shard, correlation: head.correlation, at: head.at, body, external_ids: None };
        Ok(Event { external_ids: external_ids(given, &event), ..event })
    }

    /// The ids that it came with, whatever they are.
    fn given_ids(&self, fields: &Map<String, Value>) -> ExternalIds {
        let field = |name: &str| match fields.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let header = |name: &str| self.record.headers.text(name).map(str::to_owned);
        let id = |given: Option<String>| given.filter(|text| !text.trim().is_empty()).map(|text| Text::lossy(text.trim()));
        ExternalIds {
            event: id(field("eventId").or_else(|| header(headers::ID))),
            payment: id(field("paymentId")),
            correlation: id(field("correlationId").or_else(|| header(headers::CORRELATION))),
        }
    }

    fn head(&self, fields: &Map<String, Value>) -> Result<Head, MessageError> {
        let order = fields.get("orderId").ok_or_else(|| wrong("orderId", "is missing"))?;
        let id: Uuid = order
            .as_str()
            .and_then(|text| text.trim().parse().ok())
            .ok_or_else(|| wrong("orderId", &format!("must be a UUID, not {order}")))?;
        let order = OrderId(id);
        let at = match fields.get("timestamp") {
            Some(time) => times::parse(time, self.reading.local_time).map_err(|why| wrong("timestamp", &why))?,
            None => Timestamp(self.record.timestamp_ms.unwrap_or(0).saturating_mul(1000)),
        };
        // Another team's may be no UUID: then the event is followed by its order's id, like one that names no request.
        let named = |text: &str| text.parse::<Uuid>().ok().filter(|id| !id.is_nil());
        let of_header = || self.record.headers.text(headers::CORRELATION).and_then(named);
        let correlation = fields.get("correlationId").and_then(Value::as_str).and_then(named).or_else(of_header).unwrap_or(id);
        Ok(Head { order, shard: self.reading.shards.of(order), correlation: CorrelationId::of(correlation), at })
    }
}

/// Of the ids of another team's answer those that are not ours, as text.
fn external_ids(given: ExternalIds, event: &Event) -> Option<Box<ExternalIds>> {
    let is_answer = event.kind().topic() != Topic::Order;
    let uuid = |text: &Text<100>| text.as_str().parse::<Uuid>().ok();
    let other_than = |id: Uuid, text: &Text<100>| is_answer && uuid(text) != Some(id);
    let ids = ExternalIds {
        event: given.event.filter(|text| other_than(event.id().0, text)),
        payment: given.payment.filter(|text| other_than(event.payment().0, text)),
        correlation: given.correlation.filter(|text| is_answer && uuid(text).is_none()),
    };
    ids.some()
}

/// Other teams have other fields for why a payment failed.
fn with_reason(mut fields: Map<String, Value>) -> Map<String, Value> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let why = names::failures(&fields).find_map(text);
    if let Some(why) = why {
        fields.insert("reason".to_owned(), why.into());
    }
    fields
}

fn step_parked(role: Role, body: &StepParked<'_>) -> EventBody {
    let (step, cause) = (Text::lossy(&body.step), Text::lossy(&body.cause));
    EventBody::StepParked { role, step, cause, detail: Text::lossy(&body.detail), tries: body.tries }
}

fn accepted(body: &AnswerAccepted<'_>) -> Result<EventBody, MessageError> {
    let amount = || body.amount.map(|amount| amount.0).ok_or_else(|| wrong("amount", "is missing"));
    let kind = EventKind::from_name(&body.answer).ok_or_else(|| wrong("answer", "is no kind of event"))?;
    let answer = match kind {
        EventKind::InventoryReserved => EventBody::InventoryReserved { lines: Vec::new() },
        EventKind::InventoryInsufficient => EventBody::InventoryInsufficient { shortages: Vec::new() },
        EventKind::InventoryReleased => EventBody::InventoryReleased { lines: Vec::new() },
        EventKind::InventoryShipped => EventBody::InventoryShipped { lines: Vec::new() },
        EventKind::PaymentProcessed => {
            let method = body.payment_method.as_deref().unwrap_or("CARD");
            EventBody::PaymentProcessed { amount: amount()?, method: text("paymentMethod", method)? }
        }
        EventKind::PaymentFailed => EventBody::PaymentFailed { reason: Text::lossy(body.reason.as_deref().unwrap_or("payment failed")) },
        EventKind::PaymentCancelled => EventBody::PaymentCancelled,
        EventKind::PaymentRefunded => EventBody::PaymentRefunded { amount: amount()? },
        EventKind::OrderCreated
        | EventKind::OrderConfirmed
        | EventKind::OrderCancelRequested
        | EventKind::OrderCancelled
        | EventKind::OrderFailed
        | EventKind::ShipmentHeld
        | EventKind::OrderShipped
        | EventKind::NotificationSent
        | EventKind::NotificationFailed
        | EventKind::AnswerAccepted
        | EventKind::PaymentParked
        | EventKind::InventoryParked => return Err(wrong("answer", "is no answer of a role")),
    };
    Ok(EventBody::AnswerAccepted { answer: Box::new(answer) })
}

fn wrong(field: &str, what: &str) -> MessageError {
    MessageError::Field(format!("{field} {what}"))
}

fn text<const MAX: usize>(field: &str, value: &str) -> Result<Text<MAX>, MessageError> {
    Text::new(value).map_err(|error| wrong(field, &error.to_string()))
}

fn optional<const MAX: usize>(field: &str, value: Option<&str>) -> Result<Option<Text<MAX>>, MessageError> {
    value.filter(|value| !value.is_empty()).map(|value| text(field, value)).transpose()
}

/// A reason is told to people; it is cut where it is too long.
fn reason(given: &Words<'_>, otherwise: &str) -> Text<200> {
    Text::lossy(if given.is_empty() { otherwise } else { given })
}

fn quantity(field: &str, count: i64) -> Result<Quantity, MessageError> {
    Quantity::new(count).ok_or_else(|| wrong(field, "must have a quantity from 1 to 10000"))
}

fn order_created(body: OrderCreated<'static>, head: &Head) -> Result<EventBody, MessageError> {
    let line = |item: &Item| {
        Ok(OrderLine { product: ProductId(item.product_id), quantity: quantity("items", item.quantity)?, price: item.price.0 })
    };
    let lines: Vec<OrderLine> = body.items.iter().map(line).collect::<Result<_, MessageError>>()?;
    let total = Order::total_of(&lines).map_err(|error| match error {
        OrderError::ItemCount | OrderError::DuplicateProduct(_) | OrderError::FreeItem(_) => wrong("items", &error.to_string()),
        OrderError::TotalTooLarge => wrong("totalAmount", &error.to_string()),
    })?;
    if total != body.total_amount.0 {
        return Err(wrong("totalAmount", &format!("is {}, but its items come to {total}", body.total_amount.0)));
    }
    Ok(EventBody::OrderCreated(Arc::new(Order {
        id: head.order,
        shard: head.shard,
        customer: CustomerId(body.customer_id),
        lines,
        total,
        payment_method: text("paymentMethod", &body.payment_method)?,
        contact: body.contact.as_ref().map(contact).transpose()?.map(Box::new),
        address: body.shipping_address.as_ref().map(address).transpose()?.map(Box::new),
        correlation: head.correlation,
        created_at: head.at,
    })))
}

fn contact(part: &ContactPart<'_>) -> Result<Contact, MessageError> {
    Ok(Contact {
        email: optional("contact.email", part.email.as_deref())?,
        phone: optional("contact.phone", part.phone.as_deref())?,
        locale: optional("contact.locale", part.locale.as_deref())?,
    })
}

fn address(part: &AddressPart<'_>) -> Result<Address, MessageError> {
    Ok(Address {
        name: optional("shippingAddress.name", part.name.as_deref())?,
        street: optional("shippingAddress.street", part.street.as_deref())?,
        city: optional("shippingAddress.city", part.city.as_deref())?,
        region: optional("shippingAddress.region", part.region.as_deref())?,
        postal_code: optional("shippingAddress.postalCode", part.postal_code.as_deref())?,
        country: optional("shippingAddress.country", part.country.as_deref())?,
    })
}

fn reserved(reservations: &[Reservation]) -> Result<Vec<ReservedLine>, MessageError> {
    let line =
        |one: &Reservation| Ok(ReservedLine { product: ProductId(one.product_id), quantity: quantity("reservations", one.quantity)? });
    reservations.iter().map(line).collect()
}

/// A reason that we do not know is taken as the usual one: what follows is the same.
fn shortage(short: &Short<'_>) -> Shortage {
    let product = ProductId(short.product_id);
    match short.reason.as_ref() {
        "price-mismatch" => Shortage::PriceMismatch {
            product,
            asked: short.asked_price.map_or(Money::ZERO, |amount| amount.0),
            price: short.price.map_or(Money::ZERO, |amount| amount.0),
        },
        "unknown-product" => Shortage::UnknownProduct { product },
        "discontinued" => Shortage::Discontinued { product },
        _ => Shortage::OutOfStock { product, requested: short.requested.unwrap_or(0), available: short.available.unwrap_or(0) },
    }
}

/// A reason of another team is none that we know, and counts as an operator's.
fn cancelled_by(reason: &str) -> CancelledBy {
    let known = [CancelledBy::Customer, CancelledBy::Operator, CancelledBy::Expiry, CancelledBy::PaymentDeadline];
    known.into_iter().find(|by| by.name() == reason).unwrap_or(CancelledBy::Operator)
}

fn notice(kind: &str, channel: &str) -> Result<(NoticeKind, Channel), MessageError> {
    let kind = NoticeKind::from_name(kind)
        .ok_or_else(|| wrong("kind", &format!("must be one of {}", NoticeKind::ALL.map(NoticeKind::name).join(", "))))?;
    let channel = Channel::from_name(channel).ok_or_else(|| wrong("channel", "must be EMAIL or SMS"))?;
    Ok((kind, channel))
}
