//! Takes a value out of what it is packed in: a byte-order mark, Confluent's five bytes, JSON within a JSON text, an envelope.
//!
//! What the clients and connectors of other teams put around an event by default is taken off, and the names that stand on it are
//! kept. What an envelope has beside its content counts as the event's own where the event does not have it.

use super::names::{self, Given};
use crate::kafka::message::MessageError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

/// An event without its packing.
#[derive(Debug)]
pub(super) struct Opened {
    /// Its fields.
    pub(super) fields: Map<String, Value>,
    /// The names that it gives itself, the outermost first.
    pub(super) names: Vec<Given>,
}

/// Most wrappers around one event.
const DEEPEST: usize = 6;

/// Where an envelope keeps its content.
const CONTENT: [&str; 6] = ["data", "payload", "body", "event", "detail", "content"];

/// Opens a value.
pub(super) fn open(value: &[u8], snake_case: bool) -> Result<Opened, MessageError> {
    let value = value.strip_prefix(b"\xef\xbb\xbf").unwrap_or(value);
    let mut inner = parse(without_schema_id(value))?;
    let mut around = Map::new();
    let mut names = Vec::new();
    for _ in 0..DEEPEST {
        let mut fields = match inner {
            Value::Object(fields) => fields,
            // The whole as a text: serialised twice.
            Value::String(text) => {
                inner = parse(text.trim_start_matches('\u{feff}').as_bytes())?;
                continue;
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => return Err(MessageError::NotAnObject),
        };
        tidy(&mut fields, snake_case);
        match unwrapped(&mut fields, &mut names) {
            Some(content) => {
                for (name, value) in std::mem::take(&mut around) {
                    fields.entry(name).or_insert(value);
                }
                around = fields;
                inner = content;
            }
            None => {
                names::of_fields(&fields, &mut names);
                for (name, value) in around {
                    fields.entry(name).or_insert(value);
                }
                return Ok(Opened { fields, names });
            }
        }
    }
    Err(MessageError::NotAnObject)
}

fn parse(text: &[u8]) -> Result<Value, MessageError> {
    serde_json::from_slice(text).map_err(|error| MessageError::NotJson(error.to_string()))
}

/// Confluent's serialisers write a zero and the schema's number before the JSON.
fn without_schema_id(value: &[u8]) -> &[u8] {
    match value {
        [0, _, _, _, _, json @ ..] => json,
        _ => value,
    }
}

/// The content of an envelope; what else it has is left in `fields`. None: it is the event itself.
fn unwrapped(fields: &mut Map<String, Value>, names: &mut Vec<Given>) -> Option<Value> {
    if fields.contains_key("specversion") {
        return of_cloud_event(fields, names);
    }
    // Kafka Connect's JSON converter with schemas.
    if fields.len() == 2 && fields.contains_key("schema") && fields.contains_key("payload") {
        fields.remove("schema");
        return fields.remove("payload");
    }
    let given = names::of_envelope(fields);
    let is_content = |name: &&str| fields.get(*name).is_some_and(is_packed);
    if let Some(name) = CONTENT.into_iter().find(is_content).filter(|_| !given.is_empty() || fields.len() == 1) {
        for given in given {
            fields.remove(&given.place);
            names.push(given);
        }
        names::states_of(fields, names);
        return fields.remove(name);
    }
    // The outer key.
    if fields.len() == 1 && fields.values().all(Value::is_object) {
        let (name, content) = std::mem::take(fields).into_iter().next()?;
        names.push(Given::strong("outer key", &name));
        return Some(content);
    }
    None
}

fn of_cloud_event(fields: &mut Map<String, Value>, names: &mut Vec<Given>) -> Option<Value> {
    names.extend(name_in(fields, "type").map(|given| Given { place: "CloudEvents type".to_owned(), ..given }));
    let binary = || fields.get("data_base64").and_then(Value::as_str).and_then(|text| BASE64.decode(text).ok());
    let content = match binary() {
        Some(bytes) => serde_json::from_slice(&bytes).ok(),
        None => fields.remove("data"),
    };
    let mut kept = Map::new();
    for (attribute, field) in [("time", "timestamp"), ("correlationid", "correlationId")] {
        if let Some(value) = fields.remove(attribute) {
            kept.insert(field.to_owned(), value);
        }
    }
    *fields = kept;
    // Without data it is an event without fields, which says what it lacks.
    Some(content.unwrap_or_else(|| Value::Object(Map::from_iter([("data".to_owned(), Value::Bool(false))]))))
}

fn name_in(fields: &Map<String, Value>, field: &str) -> Option<Given> {
    fields.get(field).and_then(Value::as_str).map(|name| Given::strong(field, name))
}

/// An object, or a text that holds one.
fn is_packed(value: &Value) -> bool {
    match value {
        Value::Object(_) => true,
        Value::String(text) => text.trim_start().starts_with('{') && serde_json::from_str::<Map<String, Value>>(text).is_ok(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => false,
    }
}

/// A field that is null or an empty text is one that is not there; by a setting, `order_id` is `orderId`.
fn tidy(fields: &mut Map<String, Value>, snake_case: bool) {
    fields.retain(|_, value| !value.is_null() && value.as_str() != Some(""));
    if snake_case {
        let snakes: Vec<String> = fields.keys().filter(|name| name.trim_start_matches('_').contains('_')).cloned().collect();
        for snake in snakes {
            if let Some(value) = fields.remove(&snake) {
                fields.entry(camel(&snake)).or_insert(value);
            }
        }
    }
    fields.values_mut().for_each(|value| tidy_value(value, snake_case));
}

fn tidy_value(value: &mut Value, snake_case: bool) {
    match value {
        Value::Object(fields) => tidy(fields, snake_case),
        Value::Array(items) => items.iter_mut().for_each(|item| tidy_value(item, snake_case)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn camel(snake: &str) -> String {
    let mut parts = snake.split('_').filter(|part| !part.is_empty());
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}
