//! The committed contracts are the generated ones, and no change to them breaks what they promised.

use crate::compatibility::broken;
use crate::sample::{event, published};
use ordermill::domain::EventKind;
use ordermill::kafka::contract::{Side, asyncapi, schema};
use serde_json::{Value, json};
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("contracts")
}

fn file(kind: EventKind, side: Side) -> PathBuf {
    folder().join(side.folder()).join(format!("{}.json", kind.name()))
}

fn committed(path: &PathBuf) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Compares, or with UPDATE_CONTRACTS=1 writes.
fn check(path: &PathBuf, generated: &Value) {
    let text = format!("{}\n", serde_json::to_string_pretty(generated).unwrap());
    if std::env::var_os("UPDATE_CONTRACTS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &text).unwrap();
    }
    assert!(
        committed(path) == text,
        "{} is not what the types say: look at the difference, then UPDATE_CONTRACTS=1 cargo test --test kafka",
        path.display()
    );
}

#[test]
fn the_committed_schemas_are_the_generated_ones_and_keep_their_promises() {
    for kind in EventKind::ALL {
        for side in Side::ALL {
            let (path, generated) = (file(kind, side), schema(kind, side));
            // Before anything is written: what is committed must be kept.
            if let Ok(promised) = serde_json::from_str::<Value>(&committed(&path)) {
                assert_eq!(broken(&promised, &generated, side), Vec::<String>::new(), "{}", path.display());
            }
            check(&path, &generated);
        }
    }
}

#[test]
fn the_committed_asyncapi_document_is_the_generated_one() {
    check(&folder().join("asyncapi.json"), &asyncapi());
}

#[test]
fn what_is_written_fits_both_schemas() {
    for kind in EventKind::ALL {
        let value: Value = serde_json::from_slice(published(&event(kind)).value.as_deref().unwrap()).unwrap();
        for side in Side::ALL {
            let schema = schema(kind, side);
            let validator = jsonschema::validator_for(&schema).unwrap();
            let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert_eq!(errors, Vec::<String>::new(), "{} {side:?}: {value}", kind.name());
            assert!(!validator.is_valid(&json!({})), "{} {side:?} takes anything", kind.name());
        }
        let written = schema(kind, Side::Produced);
        let spelled = written["properties"].as_object().unwrap();
        for name in value.as_object().unwrap().keys() {
            assert!(spelled.contains_key(name), "{} writes {name}, which its schema does not have", kind.name());
        }
    }
}

type Change = (&'static str, Side, fn(&mut Value));

/// Validators such as ajv refuse a format that is none of JSON Schema's.
#[test]
fn the_schemas_have_formats_that_every_validator_knows() {
    fn formats(of: &Value, found: &mut Vec<String>) {
        match of {
            Value::Object(fields) => {
                found.extend(fields.get("format").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|inner| formats(inner, found));
            }
            Value::Array(items) => items.iter().for_each(|inner| formats(inner, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    for (kind, side) in EventKind::ALL.into_iter().flat_map(|kind| Side::ALL.map(|side| (kind, side))) {
        let mut found = Vec::new();
        formats(&schema(kind, side), &mut found);
        found.retain(|format| !matches!(format.as_str(), "uuid" | "date-time"));
        assert_eq!(found, Vec::<String>::new(), "{} {side:?}", kind.name());
    }
}

#[test]
fn an_incompatible_change_is_found() {
    let changes: &[Change] = &[
        ("a field is removed", Side::Produced, |schema| drop(schema["properties"].as_object_mut().unwrap().remove("totalAmount"))),
        ("a field is removed", Side::Consumed, |schema| drop(schema["properties"].as_object_mut().unwrap().remove("contact"))),
        ("a field is renamed", Side::Produced, |schema| {
            let fields = schema["properties"].as_object_mut().unwrap();
            let field = fields.remove("customerId").unwrap();
            fields.insert("customer".to_owned(), field);
        }),
        ("an inner field is removed", Side::Produced, |schema| {
            drop(schema["properties"]["items"]["items"]["properties"].as_object_mut().unwrap().remove("price"));
        }),
        ("an amount becomes a number", Side::Produced, |schema| schema["properties"]["totalAmount"]["type"] = json!("number")),
        ("an amount may be a text only", Side::Consumed, |schema| schema["properties"]["totalAmount"]["type"] = json!("string")),
        ("an amount may be null", Side::Produced, |schema| schema["properties"]["totalAmount"]["type"] = json!(["string", "null"])),
        ("a quantity is bounded", Side::Consumed, |schema| {
            schema["properties"]["items"]["items"]["properties"]["quantity"]["maximum"] = json!(10)
        }),
        ("a quantity is unbounded", Side::Produced, |schema| {
            drop(schema["properties"]["items"]["items"]["properties"]["quantity"].as_object_mut().unwrap().remove("maximum"));
        }),
        ("a field is newly required", Side::Consumed, |schema| schema["required"].as_array_mut().unwrap().push(json!("contact"))),
        ("a new field is required", Side::Produced, |schema| schema["required"].as_array_mut().unwrap().push(json!("channel"))),
        ("a field may be missing", Side::Produced, |schema| schema["required"].as_array_mut().unwrap().retain(|name| name != "items")),
        ("an id loses its format", Side::Produced, |schema| schema["properties"]["orderId"]["format"] = json!("text")),
        ("a pattern is added", Side::Consumed, |schema| schema["properties"]["paymentMethod"]["pattern"] = json!("^CARD$")),
    ];
    for (what, side, change) in changes {
        let promised = schema(EventKind::OrderCreated, *side);
        let mut changed = promised.clone();
        change(&mut changed);
        assert_ne!(changed, promised, "{what}: the change did nothing");
        assert_ne!(broken(&promised, &changed, *side), Vec::<String>::new(), "{what} ({side:?}) was not found");
    }
}

#[test]
fn a_compatible_change_is_none() {
    let changes: &[Change] = &[
        ("an optional field is added", Side::Produced, |schema| schema["properties"]["gift"] = json!({"type": "boolean"})),
        ("an optional field is added", Side::Consumed, |schema| schema["properties"]["gift"] = json!({"type": "boolean"})),
        ("less is required", Side::Consumed, |schema| schema["required"].as_array_mut().unwrap().retain(|name| name != "customerId")),
        ("more is taken", Side::Consumed, |schema| schema["properties"]["paymentMethod"]["type"] = json!(["string", "null", "number"])),
        ("a description is changed", Side::Produced, |schema| schema["description"] = json!("Another word.")),
    ];
    for (what, side, change) in changes {
        let promised = schema(EventKind::OrderCreated, *side);
        let mut changed = promised.clone();
        change(&mut changed);
        assert_eq!(broken(&promised, &changed, *side), Vec::<String>::new(), "{what} ({side:?})");
    }
}

#[test]
fn the_document_refers_to_nothing_that_is_not_there() {
    let document = asyncapi();
    let mut references = Vec::new();
    gather(&document, &mut references);
    assert!(references.len() > 50, "{}", references.len());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} is not there");
    }
    assert_eq!(document["channels"]["shipping-events"]["messages"].as_object().unwrap().len(), 1);
}

fn gather(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|inner| gather(inner, references));
        }
        Value::Array(items) => items.iter().for_each(|inner| gather(inner, references)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
