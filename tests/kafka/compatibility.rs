//! Whether a changed schema still keeps what its last version promised.

use ordermill::kafka::contract::Side;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Every promise of `old` that `new` breaks.
pub(crate) fn broken(old: &Value, new: &Value, side: Side) -> Vec<String> {
    let mut broken = Vec::new();
    compare("", old, new, side, &mut broken);
    broken
}

fn compare(at: &str, old: &Value, new: &Value, side: Side, broken: &mut Vec<String>) {
    types(at, old, new, side, broken);
    for keyword in ["format", "pattern", "enum", "const"] {
        let loosened = side == Side::Consumed && new.get(keyword).is_none();
        // Rust's name of whole numbers never was a format of JSON Schema; the bounds say the same.
        let is_rusts = old.get(keyword).and_then(Value::as_str).is_some_and(|format| matches!(format, "uint32" | "int64"));
        let loosened = loosened || (keyword == "format" && is_rusts && new.get(keyword).is_none());
        if old.get(keyword) != new.get(keyword) && !loosened {
            broken.push(format!("{at}: {keyword} has changed"));
        }
    }
    for (keyword, smaller_is_narrower) in
        [("maximum", true), ("maxLength", true), ("maxItems", true), ("minimum", false), ("minLength", false), ("minItems", false)]
    {
        let (was, is) = (old.get(keyword).and_then(Value::as_f64), new.get(keyword).and_then(Value::as_f64));
        let narrower = match (was, is) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(was), Some(is)) => (is < was) == smaller_is_narrower && is != was,
        };
        // What is taken may not get narrower, what is written not wider.
        let breaks = if side == Side::Consumed { narrower } else { was != is && !narrower };
        if breaks {
            broken.push(format!("{at}: {keyword} has changed"));
        }
    }
    let (was_required, is_required) = (required(old), required(new));
    for name in is_required.difference(&was_required) {
        broken.push(format!("{at}/{name} is newly required"));
    }
    if side == Side::Produced {
        for name in was_required.difference(&is_required) {
            broken.push(format!("{at}/{name} is not always there any more"));
        }
    }
    for (name, was) in properties(old) {
        match properties(new).get(&name) {
            None => broken.push(format!("{at}/{name} is gone")),
            Some(is) => compare(&format!("{at}/{name}"), &was, is, side, broken),
        }
    }
    match (old.get("items"), new.get("items")) {
        (Some(was), Some(is)) => compare(&format!("{at}[]"), was, is, side, broken),
        (None, None) => {}
        (Some(_), None) | (None, Some(_)) => broken.push(format!("{at}: items have changed")),
    }
}

fn types(at: &str, old: &Value, new: &Value, side: Side, broken: &mut Vec<String>) {
    let (was, is) = (names(old.get("type")), names(new.get("type")));
    let kept = match side {
        Side::Produced => is == was,
        Side::Consumed => is.is_superset(&was),
    };
    if !kept {
        broken.push(format!("{at}: type {was:?} has become {is:?}"));
    }
}

fn names(value: Option<&Value>) -> BTreeSet<String> {
    match value {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(name)) => [name.clone()].into(),
        Some(_) | None => BTreeSet::new(),
    }
}

fn required(schema: &Value) -> BTreeSet<String> {
    names(schema.get("required"))
}

fn properties(schema: &Value) -> Map<String, Value> {
    schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
}
