//! Makes a message of an event: value, key and headers.

use super::wire::{
    AddressPart, Amount, ContactPart, InventoryInsufficient, InventoryReserved, Item, Label, Message, NotificationFailed, NotificationSent,
    OrderCancelled, OrderCreated, OrderShipped, PaymentCancelled, PaymentFailed, PaymentProcessed, PaymentRefunded, Plain, Reasoned,
    Reservation, Short, StockMoved, Time, Words,
};
use super::wire_ours::{AnswerAccepted, StepParked};
use super::{headers, traced};
use crate::domain::{Address, Contact, Event, EventBody, ExternalIds, Order, ReservedLine, Role, Shortage, Text, TraceId, WriterId};
use serde::Serialize;
use uuid::Uuid;

/// Where a message comes from, for its headers.
#[derive(Clone, Copy, Debug)]
pub enum Provenance<'a> {
    /// From a writer's log, for the first time as far as is known.
    Log {
        /// Whose log the event stands in.
        writer: WriterId,
        /// Its number there.
        seq: i64,
        /// The roles that were given the event on the node that wrote it, so that they need not hear of it again.
        local: &'a [Role],
    },
    /// Said again, by whoever misses an answer or gives one again: a writer that had come so far, if it is one of ours.
    Repeat(Option<(WriterId, i64)>),
}

/// The record's value, written over what `out` holds.
///
/// # Errors
/// Never in practice: every part of an event has a JSON form.
pub fn value(event: &Event, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    out.clear();
    match &event.body {
        EventBody::OrderCreated(order) => put(event, order_created(order), out),
        EventBody::InventoryReserved { lines } => put(event, InventoryReserved { reservations: reservations(event, lines) }, out),
        EventBody::InventoryReleased { lines } | EventBody::InventoryShipped { lines } => {
            put(event, StockMoved { items: reservations(event, lines) }, out)
        }
        EventBody::InventoryInsufficient { shortages } => {
            put(event, InventoryInsufficient { shortages: shortages.iter().map(short).collect() }, out)
        }
        EventBody::PaymentProcessed { amount, method } => put(
            event,
            PaymentProcessed {
                payment_id: event.payment().0.into(),
                amount: Amount(*amount),
                payment_method: words(method),
                currency: None,
            },
            out,
        ),
        EventBody::PaidInOtherCurrency { amount, currency, method } => put(
            event,
            PaymentProcessed {
                payment_id: event.payment().0.into(),
                amount: Amount(*amount),
                payment_method: words(method),
                currency: Some(words(currency)),
            },
            out,
        ),
        EventBody::PaymentFailed { reason } => {
            put(event, PaymentFailed { payment_id: event.payment().0.into(), reason: words(reason) }, out)
        }
        EventBody::PaymentCancelled => put(event, PaymentCancelled { payment_id: event.payment().0.into() }, out),
        EventBody::PaymentRefunded { amount } => {
            put(event, PaymentRefunded { payment_id: event.payment().0.into(), amount: Amount(*amount) }, out)
        }
        EventBody::OrderConfirmed | EventBody::ShipmentHeld => put(event, Plain {}, out),
        EventBody::OrderCancelRequested { by } => put(event, Reasoned { reason: by.name().into() }, out),
        EventBody::OrderCancelled { reason, was_paid } => put(event, OrderCancelled { reason: words(reason), was_paid: *was_paid }, out),
        EventBody::OrderFailed { reason } => put(event, Reasoned { reason: words(reason) }, out),
        EventBody::OrderShipped { carrier, tracking } => put(
            event,
            OrderShipped { carrier: carrier.as_ref().map(words), tracking_number: tracking.as_ref().map(|number| Label(words(number))) },
            out,
        ),
        EventBody::NotificationSent { kind, channel } => {
            let notice = event.notice(*kind, *channel).0;
            put(event, NotificationSent { notification_id: notice.into(), kind: kind.name().into(), channel: channel.name().into() }, out)
        }
        EventBody::NotificationFailed { kind, channel, attempt, last, reason } => {
            let body = NotificationFailed {
                notification_id: event.notice(*kind, *channel).0.into(),
                kind: kind.name().into(),
                channel: channel.name().into(),
                attempt: *attempt,
                last: *last,
                reason: words(reason),
            };
            put(event, body, out)
        }
        EventBody::AnswerAccepted { answer } => put(event, accepted(answer, event.external_ids.as_deref()), out),
        EventBody::StepParked { step, cause, detail, tries, .. } => {
            put(event, StepParked { step: words(step), cause: words(cause), detail: words(detail), tries: *tries }, out)
        }
    }
}

/// What our roles need of an answer; what was held they know from the order.
fn accepted<'a>(answer: &'a EventBody, ids: Option<&'a ExternalIds>) -> AnswerAccepted<'a> {
    let kind = answer.kind().name().into();
    let id = |of: fn(&ExternalIds) -> &Option<Text<100>>| ids.and_then(|ids| of(ids).as_ref()).map(words);
    let mut accepted = AnswerAccepted {
        answer: kind,
        amount: None,
        payment_method: None,
        reason: None,
        external_event_id: id(|ids| &ids.event),
        external_payment_id: id(|ids| &ids.payment),
        external_correlation_id: id(|ids| &ids.correlation),
    };
    match answer {
        EventBody::PaymentProcessed { amount, method } => {
            (accepted.amount, accepted.payment_method) = (Some(Amount(*amount)), Some(words(method)));
        }
        EventBody::PaymentRefunded { amount } => accepted.amount = Some(Amount(*amount)),
        EventBody::PaymentFailed { reason } => accepted.reason = Some(words(reason)),
        EventBody::OrderCreated(_)
        | EventBody::InventoryReserved { .. }
        | EventBody::InventoryInsufficient { .. }
        | EventBody::InventoryReleased { .. }
        | EventBody::InventoryShipped { .. }
        | EventBody::PaymentCancelled
        | EventBody::OrderConfirmed
        | EventBody::OrderCancelRequested { .. }
        | EventBody::OrderCancelled { .. }
        | EventBody::OrderFailed { .. }
        | EventBody::ShipmentHeld
        | EventBody::OrderShipped { .. }
        | EventBody::NotificationSent { .. }
        | EventBody::NotificationFailed { .. }
        | EventBody::AnswerAccepted { .. }
        | EventBody::StepParked { .. }
        | EventBody::PaidInOtherCurrency { .. } => {}
    }
    accepted
}

/// The record's headers, each given to `add`: CloudEvents in binary mode, the trace, and where the event comes from. `by_share` says
/// whether a trace is sampled of which its request said nothing.
pub fn headers(event: &Event, from: Provenance<'_>, by_share: impl FnOnce(&TraceId) -> bool, mut add: impl FnMut(&str, &[u8])) {
    let kind = event.kind();
    let id = event.id().0;
    let mut uuid = [0; 36];
    add(headers::SPEC_VERSION, b"1.0");
    add(headers::ID, hyphenated(id, &mut uuid));
    add(headers::SOURCE, headers::source(kind.topic()));
    add(headers::TYPE, headers::type_of(kind).as_bytes());
    let order = hyphenated(event.order.0, &mut uuid);
    add(headers::SUBJECT, order);
    add(headers::PARTITION_KEY, order);
    add(headers::TIME, event.at.to_string().as_bytes());
    add(headers::DATA_SCHEMA, headers::schema_of(kind).as_bytes());
    add(headers::CONTENT_TYPE, b"application/json");
    add(headers::CORRELATION, hyphenated(event.correlation.0, &mut uuid));
    if let Some(parent) = traced::trace_parent(event, by_share) {
        add(headers::TRACE_PARENT, parent.as_bytes());
    }
    match from {
        Provenance::Log { writer, seq, local } => {
            add(headers::WRITER, writer.0.to_string().as_bytes());
            add(headers::SEQ, seq.to_string().as_bytes());
            if !local.is_empty() {
                let names: Vec<&str> = local.iter().map(|role| role.name()).collect();
                add(headers::LOCAL, names.join(",").as_bytes());
            }
        }
        Provenance::Repeat(said_at) => {
            add(headers::REPEAT, b"true");
            if let Some((writer, seq)) = said_at {
                add(headers::SAID_AT, format!("{}/{seq}", writer.0).as_bytes());
            }
        }
    }
}

fn hyphenated(id: Uuid, buffer: &mut [u8; 36]) -> &[u8] {
    id.as_hyphenated().encode_lower(buffer).as_bytes()
}

fn put<B: Serialize>(event: &Event, body: B, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let message = Message {
        event_id: event.id().0.into(),
        order_id: event.order.0,
        timestamp: Time(event.at),
        correlation_id: event.correlation.0.into(),
        body,
    };
    serde_json::to_writer(out, &message)
}

fn words<const MAX: usize>(text: &Text<MAX>) -> Words<'_> {
    text.as_str().into()
}

fn order_created(order: &Order) -> OrderCreated<'_> {
    let item = |line: &crate::domain::OrderLine| Item {
        product_id: line.product.0,
        quantity: line.quantity.get().into(),
        price: Amount(line.price),
    };
    OrderCreated {
        customer_id: order.customer.0,
        items: order.lines.iter().map(item).collect(),
        total_amount: Amount(order.total),
        payment_method: words(&order.payment_method),
        contact: order.contact.as_deref().map(contact),
        shipping_address: order.address.as_deref().map(address),
    }
}

fn contact(contact: &Contact) -> ContactPart<'_> {
    ContactPart {
        email: contact.email.as_ref().map(words),
        phone: contact.phone.as_ref().map(words),
        locale: contact.locale.as_ref().map(words),
    }
}

fn address(address: &Address) -> AddressPart<'_> {
    AddressPart {
        name: address.name.as_ref().map(words),
        street: address.street.as_ref().map(words),
        city: address.city.as_ref().map(words),
        region: address.region.as_ref().map(words),
        postal_code: address.postal_code.as_ref().map(words),
        country: address.country.as_ref().map(words),
    }
}

fn reservations(event: &Event, lines: &[ReservedLine]) -> Vec<Reservation> {
    let one = |(index, line): (u32, &ReservedLine)| Reservation {
        product_id: line.product.0,
        quantity: line.quantity.get().into(),
        reservation_id: event.reservation(index).0.into(),
    };
    (0..).zip(lines).map(one).collect()
}

fn short(shortage: &Shortage) -> Short<'static> {
    let mut short = Short {
        product_id: shortage.product().0,
        reason: shortage.code().into(),
        requested: None,
        available: None,
        asked_price: None,
        price: None,
    };
    match shortage {
        Shortage::OutOfStock { requested, available, .. } => {
            short.requested = Some(*requested);
            short.available = Some(*available);
        }
        Shortage::PriceMismatch { asked, price, .. } => {
            short.asked_price = Some(Amount(*asked));
            short.price = Some(Amount(*price));
        }
        Shortage::UnknownProduct { .. } | Shortage::Discontinued { .. } => {}
    }
    short
}
