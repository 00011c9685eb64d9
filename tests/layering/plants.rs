//! Bugs on purpose stand in test builds only: whatever names one is behind the feature `plants`, which tests alone switch on.

use crate::{assert_none, root, sources};
use std::fs;
use toml::{Table, Value};

const GATE: &str = "#[cfg(feature = \"plants\")]";

#[test]
fn whatever_names_a_plant_stands_behind_the_feature() {
    let mut wrong = Vec::new();
    let mut gates = 0;
    for file in sources("src").iter().filter(|file| !file.is_test() && file.path != "src/plants.rs") {
        let code = file.production().text;
        gates += code.matches(GATE).count();
        for (at, word) in words(&without_gated(&code)) {
            if word.to_lowercase().starts_with("plant") {
                wrong.push(format!("{}:{at}: {word} is not behind the feature", file.path));
            }
        }
        // A bug behind a condition would be compiled into every program.
        for (at, line) in file.production().lines() {
            let is_known = file.path == "src/actors/runtime/invariant.rs";
            if line.contains("cfg!(") && !is_known {
                wrong.push(format!("{}:{at}: cfg!() leaves in every program what only tests have: use #[cfg()]", file.path));
            }
        }
    }
    assert!(gates > 20, "the plants are looked for where they are");
    assert_none(&wrong);
}

#[test]
fn only_tests_switch_the_feature_on() {
    let text = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let manifest: Table = text.parse().expect("TOML");
    let features = manifest["features"].as_table().expect("features");
    assert_eq!(features.keys().collect::<Vec<_>>(), ["plants"], "no other feature switches it on, and none is a default");
    let own = |table: &str| manifest[table].as_table().and_then(|all| all.get("ordermill")).cloned();
    assert_eq!(own("dependencies"), None);
    let switched = own("dev-dependencies").and_then(|own| own.get("features").cloned());
    assert_eq!(switched, Some(Value::Array(vec!["plants".into()])));
}

#[test]
fn what_is_behind_the_feature_is_told_from_what_is_not() {
    let code = "#[cfg(feature = \"plants\")]\nuse a::Plant;\nfn f(x: u8) {\n    let y = g(x, [1]);\n    #[cfg(feature = \"plants\")]\n    let y = y || \
                has(Plant::A, || { 1 });\n    #[cfg(feature = \"plants\")]\n    if planted(y) {\n        return;\n    }\n    match y {\n        \
                #[cfg(feature = \"plants\")]\n        B(x) if has(Plant::B) => {\n            one();\n        }\n        B(x) => two(x),\n    }\n    \
                S {\n        #[cfg(feature = \"plants\")]\n        plant: None,\n        other: \"Plant\",\n    }\n}\n";
    let rest = without_gated(code);
    let found: Vec<String> = words(&rest).into_iter().map(|(_, word)| word).collect();
    assert_eq!(found.join(" "), "fn f x u8 let y g x 1 match y B x two x S other");
    assert_eq!(rest.lines().count(), code.lines().count(), "lines keep their numbers");
    assert_eq!(words("let a = Plant::A;"), [(1, "let"), (1, "a"), (1, "Plant"), (1, "A")].map(|(at, word)| (at, word.to_owned())));
}

/// The code without the items, statements, arms and fields that have the attribute; its lines stay.
fn without_gated(code: &str) -> String {
    let mut rest = String::new();
    let mut parts = code.split(GATE);
    rest.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let end = end_of_item(part);
        rest.extend(part.chars().take(end).filter(|c| *c == '\n'));
        rest.extend(part.chars().skip(end));
    }
    rest
}

/// How many characters the item has that the text begins with: up to a semicolon or comma, or the end of its block.
fn end_of_item(text: &str) -> usize {
    let mut depth = 0_i32;
    for (at, c) in text.chars().enumerate() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(c, ';' | ',' | '}') {
            return at + 1;
        }
    }
    text.chars().count()
}

/// The words of code with their lines; texts in quotes are none.
fn words(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, line) in code.lines().enumerate() {
        // What stands between an odd quote and the next is a text.
        let outside: String = line.replace("\\\"", "").split('"').step_by(2).collect::<Vec<_>>().join(" ");
        let all = outside.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        found.extend(all.map(|word| (at + 1, word.to_owned())));
    }
    found
}
