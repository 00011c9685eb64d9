//! The index template of docker/logs has the fields of the program's JSON log lines, no more and no fewer.

use crate::docker::text;
use crate::process::Plan;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What each line has, and what the shipper adds.
const COMMON: [&str; 5] = ["timestamp", "level", "target", "message", "container"];

/// The fields of the template with their types.
fn template() -> BTreeMap<String, String> {
    let template: serde_json::Value = serde_json::from_str(&text("docker/logs/template.json")).unwrap();
    let properties = template.pointer("/template/mappings/properties").unwrap().as_object().unwrap();
    properties.iter().map(|(name, field)| (name.clone(), field.get("type").unwrap().as_str().unwrap().to_owned())).collect()
}

/// The text of every file of a folder and those below.
fn sources(folder: &Path, into: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(std::fs::read_to_string(path).unwrap());
        }
    }
}

/// The arguments of a macro, from behind its opening parenthesis to its closing one.
fn arguments(call: &str) -> Vec<String> {
    let (mut found, mut argument, mut depth, mut quoted) = (Vec::new(), String::new(), 0, false);
    let mut letters = call.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if quoted => {
                argument.extend([Some(letter), letters.next()].into_iter().flatten());
                continue;
            }
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' if !quoted && depth == 0 => break,
            ')' | ']' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                found.push(std::mem::take(&mut argument));
                continue;
            }
            _ => {}
        }
        argument.push(letter);
    }
    found.push(argument);
    found.iter().map(|argument| argument.trim().to_owned()).collect()
}

/// The field that an argument is: `order.id = %id`, `%error`, `calls`. Those behind the message are for its text.
fn field(argument: &str) -> Option<String> {
    let name = argument.split(" = ").next().unwrap().trim_start_matches(['%', '?']);
    let is_name = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_' || letter == '.');
    is_name.then(|| name.to_owned())
}

/// Every field that the source gives a log line.
fn logged() -> BTreeSet<String> {
    let (mut files, mut fields) = (Vec::new(), BTreeSet::new());
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    for level in ["trace", "debug", "info", "warn", "error"] {
        let begin = format!("tracing::{level}!(");
        let calls = files.iter().flat_map(|file| file.split(&begin).skip(1));
        for call in calls {
            fields.extend(arguments(call).iter().take_while(|argument| !argument.starts_with('"')).filter_map(|argument| field(argument)));
        }
    }
    fields
}

#[test]
fn the_template_has_the_fields_that_the_source_logs() {
    let template: BTreeSet<String> = template().into_keys().filter(|name| !COMMON.contains(&name.as_str())).collect();
    let logged = logged();
    assert!(logged.len() > 30 && logged.contains("order.id"), "{logged:?}");
    let missing: Vec<&String> = logged.difference(&template).collect();
    let unknown: Vec<&String> = template.difference(&logged).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "not in docker/logs/template.json: {missing:?}; there, and never logged: {unknown:?}"
    );
}

#[test]
fn each_line_of_a_node_fits_the_template() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::new(env!("CARGO_BIN_EXE_ordermill"), folder.path());
    let plan = plan.with("telemetry.log", "debug").with("telemetry.log_format", "json");
    let node = plan.start();
    plan.put_product("10.00");
    assert_eq!(plan.place("10.00").unwrap().status, 202);
    assert_eq!(plan.send("POST", "/api/v1/admin/breakers/payment/close", "{}").unwrap().status, 200);
    assert_eq!(plan.send("PUT", "/api/v1/admin/log-level", r#"{"filter": "debug"}"#).unwrap().status, 200);
    node.stop();

    let (template, log, mut seen) = (template(), plan.log(), BTreeSet::new());
    for line in log.lines() {
        let fields: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for name in ["timestamp", "level", "target", "message"] {
            assert!(fields.contains_key(name), "{name}: {line}");
        }
        for (name, value) in fields {
            let kind = template.get(&name).unwrap_or_else(|| panic!("{name} is not in the template: {line}"));
            assert_eq!(value.is_number(), kind == "long", "{name} is {value}, in the template {kind}");
            seen.insert(name);
        }
    }
    for name in ["role_shards", "address", "breaker", "by", "filter"] {
        assert!(seen.contains(name), "{name} is in no line of {log}");
    }
}
