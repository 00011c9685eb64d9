//! The contract with other teams, made from the wire types: a JSON Schema for each event as it is written, one for each as it is
//! taken from others, and an AsyncAPI document that holds all of them. Committed under `contracts/`.

use super::headers;
use super::wire::{
    InventoryInsufficient, InventoryReserved, Message, NotificationFailed, NotificationSent, OrderCancelled, OrderCreated, OrderShipped,
    PaymentCancelled, PaymentFailed, PaymentProcessed, PaymentRefunded, Plain, Reasoned, StockMoved,
};
use super::wire_ours::{AnswerAccepted, StepParked};
use crate::domain::{EventKind, Topic};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Whose side a schema tells of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// What ordermill writes; others may rely on every field that is required.
    Produced,
    /// What ordermill takes from others; it needs no more than what is required.
    Consumed,
}

impl Side {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Produced, Self::Consumed];

    /// The folder of its schemas under `contracts/`.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Produced => "produced",
            Self::Consumed => "consumed",
        }
    }
}

/// The schema of one kind of event.
#[must_use]
pub fn schema(kind: EventKind, side: Side) -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let generator = match side {
        Side::Produced => settings.for_serialize().into_generator(),
        Side::Consumed => settings.for_deserialize().into_generator(),
    };
    let mut schema = Value::from(of_kind(kind, generator));
    tidy(&mut schema, side);
    if side == Side::Consumed {
        with_null(&mut schema);
    }
    if let Value::Object(fields) = &mut schema {
        fields.insert("title".to_owned(), kind.name().into());
        fields.insert("description".to_owned(), told(kind).into());
    }
    schema
}

fn of_kind(kind: EventKind, generator: SchemaGenerator) -> schemars::Schema {
    match kind {
        EventKind::OrderCreated => generator.into_root_schema_for::<Message<OrderCreated<'static>>>(),
        EventKind::InventoryReserved => generator.into_root_schema_for::<Message<InventoryReserved>>(),
        EventKind::InventoryInsufficient => generator.into_root_schema_for::<Message<InventoryInsufficient<'static>>>(),
        EventKind::InventoryReleased | EventKind::InventoryShipped => generator.into_root_schema_for::<Message<StockMoved>>(),
        EventKind::PaymentProcessed => generator.into_root_schema_for::<Message<PaymentProcessed<'static>>>(),
        EventKind::PaymentFailed => generator.into_root_schema_for::<Message<PaymentFailed<'static>>>(),
        EventKind::PaymentCancelled => generator.into_root_schema_for::<Message<PaymentCancelled>>(),
        EventKind::PaymentRefunded => generator.into_root_schema_for::<Message<PaymentRefunded>>(),
        EventKind::OrderConfirmed | EventKind::ShipmentHeld => generator.into_root_schema_for::<Message<Plain>>(),
        EventKind::OrderCancelRequested | EventKind::OrderFailed => generator.into_root_schema_for::<Message<Reasoned<'static>>>(),
        EventKind::OrderCancelled => generator.into_root_schema_for::<Message<OrderCancelled<'static>>>(),
        EventKind::OrderShipped => generator.into_root_schema_for::<Message<OrderShipped<'static>>>(),
        EventKind::NotificationSent => generator.into_root_schema_for::<Message<NotificationSent<'static>>>(),
        EventKind::NotificationFailed => generator.into_root_schema_for::<Message<NotificationFailed<'static>>>(),
        EventKind::AnswerAccepted => generator.into_root_schema_for::<Message<AnswerAccepted<'static>>>(),
        EventKind::PaymentParked | EventKind::InventoryParked => generator.into_root_schema_for::<Message<StepParked<'static>>>(),
    }
}

/// What an event says, for readers of the contract.
fn told(kind: EventKind) -> &'static str {
    match kind {
        EventKind::OrderCreated => "The order was accepted.",
        EventKind::InventoryReserved => "All of the order's stock is held.",
        EventKind::InventoryInsufficient => "There is not enough stock for the order; nothing is held.",
        EventKind::InventoryReleased => "Nothing is held for the order any more, and nothing will be.",
        EventKind::InventoryShipped => "The order's held stock has been shipped.",
        EventKind::PaymentProcessed => "The charge succeeded.",
        EventKind::PaymentFailed => "The charge failed for good.",
        EventKind::PaymentCancelled => "Nothing was or ever will be charged.",
        EventKind::PaymentRefunded => "The charge was refunded.",
        EventKind::OrderConfirmed => "The order is paid.",
        EventKind::OrderCancelRequested => "The order must be undone: the stock released, and the payment voided or refunded.",
        EventKind::OrderCancelled => "The order is undone, or there was not enough stock.",
        EventKind::OrderFailed => "The payment failed and nothing is held any more.",
        EventKind::ShipmentHeld => "The goods left before the payment's answer: the stock must not be released.",
        EventKind::OrderShipped => "The goods have been shipped.",
        EventKind::NotificationSent => "A notice was sent to the customer.",
        EventKind::NotificationFailed => "A try to send a notice failed.",
        EventKind::PaymentParked => "A payment step has used up its retries and waits for a person: the order must be parked.",
        EventKind::InventoryParked => "A stock step has used up its retries and waits for a person: the order must be parked.",
        EventKind::AnswerAccepted => {
            "The order has accepted the answer of a role that another team runs. ordermill's own roles act on this event, not on that answer."
        }
    }
}

/// Takes out what the generator adds and the contract does not mean: defaults, titles of Rust types, and null where it is never
/// written.
fn tidy(schema: &mut Value, side: Side) {
    match schema {
        Value::Object(fields) => {
            for name in ["default", "title"] {
                // Beside a type it is the keyword; a property of that name stands under `properties`.
                if fields.contains_key("type") || fields.contains_key("anyOf") {
                    fields.remove(name);
                }
            }
            // Rust's own names of whole numbers are no formats of JSON Schema; the bounds say it all.
            let is_rusts = |format: &Value| format.as_str().is_some_and(|name| RUST_FORMATS.contains(&name));
            if fields.get("format").is_some_and(is_rusts) {
                fields.remove("format");
            }
            if side == Side::Produced {
                without_null(fields);
            }
            fields.values_mut().for_each(|inner| tidy(inner, side));
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| tidy(inner, side)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Validators in their default settings refuse a format that they do not know.
const RUST_FORMATS: [&str; 6] = ["uint", "uint8", "uint32", "uint64", "int32", "int64"];

/// A field that may be missing may be null as well: it is taken as missing.
fn with_null(schema: &mut Value) {
    let Value::Object(schema) = schema else { return };
    let required = schema.get("required").cloned().unwrap_or_default();
    let is_required = |name: &String| required.as_array().is_some_and(|names| names.iter().any(|one| one == name));
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for (name, property) in properties {
            with_null(property);
            match property.get_mut("type") {
                Some(Value::Array(types)) if !is_required(name) && !types.iter().any(|one| one == "null") => types.push("null".into()),
                Some(one @ Value::String(_)) if !is_required(name) => *one = json!([one.take(), "null"]),
                Some(_) | None => {}
            }
        }
    }
    if let Some(items) = schema.get_mut("items") {
        with_null(items);
    }
}

fn without_null(fields: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = fields.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            fields.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
        choices.retain(|choice| choice != &json!({ "type": "null" }));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            fields.remove("anyOf");
            for (name, value) in only {
                fields.entry(name).or_insert(value);
            }
        }
    }
}

/// The AsyncAPI document.
#[must_use]
pub fn asyncapi() -> Value {
    let mut schemas = Map::new();
    let mut messages = Map::new();
    for kind in EventKind::ALL {
        schemas.insert(kind.name().to_owned(), in_document(schema(kind, Side::Produced)));
        messages.insert(kind.name().to_owned(), message(kind, kind.name()));
    }
    let taken = format!("{}Taken", EventKind::OrderShipped.name());
    schemas.insert(taken.clone(), in_document(schema(EventKind::OrderShipped, Side::Consumed)));
    messages.insert(taken.clone(), message(EventKind::OrderShipped, &taken));
    let mut channels = Map::new();
    let mut operations = Map::new();
    for topic in Topic::ALL {
        let carried: Vec<String> = match topic {
            Topic::Shipping => vec![taken.clone()],
            Topic::Order | Topic::Inventory | Topic::Payment | Topic::Notification => {
                EventKind::ALL.into_iter().filter(|kind| kind.topic() == topic).map(|kind| kind.name().to_owned()).collect()
            }
        };
        channels.insert(topic.name().to_owned(), channel(topic, &carried));
        let action = if topic == Topic::Shipping { "receive" } else { "send" };
        let channel = reference(&format!("/channels/{}", topic.name()));
        operations.insert(format!("{action}-{}", topic.name()), json!({ "action": action, "channel": channel }));
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "ordermill",
            "version": headers::VERSION.to_string(),
            "description": ABOUT,
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages, "schemas": schemas, "messageTraits": { "CloudEvent": cloud_event() } },
    })
}

const ABOUT: &str = "The events that ordermill writes to and reads from Kafka. Every event is about one order, and its key is the order's \
    id, so the events of an order in one topic stay in sequence. Every event is delivered at least once. A repeat has the \
    same eventId, and the header `repeat` if ordermill knows that it is one. Fields are added within a version; ignore \
    those that you do not know. A service that takes over a role writes that role's topic in the form of \
    `contracts/consumed`.";

/// AsyncAPI's schemas are drafts of their own; the key that names the draft has no place in them.
fn in_document(mut schema: Value) -> Value {
    if let Value::Object(fields) = &mut schema {
        fields.remove("$schema");
    }
    schema
}

fn reference(path: &str) -> Value {
    json!({ "$ref": format!("#{path}") })
}

fn message(kind: EventKind, schema: &str) -> Value {
    json!({
        "name": kind.name(),
        "summary": told(kind),
        "contentType": "application/json",
        "traits": [reference("/components/messageTraits/CloudEvent")],
        "payload": reference(&format!("/components/schemas/{schema}")),
        "bindings": { "kafka": { "key": { "type": "string", "format": "uuid", "description": "the order's id, in lower case" } } },
    })
}

fn channel(topic: Topic, carried: &[String]) -> Value {
    let messages: Map<String, Value> =
        carried.iter().map(|name| (name.clone(), reference(&format!("/components/messages/{name}")))).collect();
    let about = match topic {
        Topic::Order => "Events of the order role.",
        Topic::Inventory => "Events of the inventory role.",
        Topic::Payment => "Events of the payment role.",
        Topic::Notification => "Events of the notification role.",
        Topic::Shipping => "Events of the carriers' service, consumed by ordermill.",
    };
    json!({ "address": topic.name(), "description": about, "messages": messages })
}

fn cloud_event() -> Value {
    let text = |about: &str| json!({ "type": "string", "description": about });
    json!({
        "headers": {
            "type": "object",
            "description": "CloudEvents 1.0, binary mode. ordermill writes all of these (`repeat` and `local` only where they apply) and requires none.",
            "properties": {
                headers::SPEC_VERSION: text("1.0"),
                headers::ID: text("the eventId"),
                headers::SOURCE: text("the role that wrote the event"),
                headers::TYPE: text("ordermill.KIND.vVERSION"),
                headers::SUBJECT: text("the order's id"),
                headers::PARTITION_KEY: text("the order's id"),
                headers::TIME: text("RFC 3339, UTC"),
                headers::DATA_SCHEMA: text("urn:ordermill:schema:KIND:vVERSION, the schema of that name in this document"),
                headers::CONTENT_TYPE: text("application/json"),
                headers::CORRELATION: text("correlation id of the request that placed the order"),
                headers::TRACE_PARENT: text("W3C trace context"),
                headers::WRITER: text("the writer whose log holds the event"),
                headers::SEQ: text("the event's number in that log"),
                headers::REPEAT: text("true: a repeat; do what was not done, but count nothing again"),
                headers::SAID_AT: text("of a repeat: the writer that said it, and how far its log went"),
                headers::LOCAL: text("the roles that got the event on the node that wrote it"),
            },
        },
    })
}
