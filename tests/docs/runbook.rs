//! Every alert has a page in docs/runbook, and what the pages tell a person to type and to look at is there.

use crate::docker::{alerts, metrics, text};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// The pages: name without `.md`, and text.
fn pages() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbook");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn every_alert_has_a_page_that_says_what_it_means_how_to_look_and_what_to_do() {
    let (mut pages, mut wrong) = (pages(), Vec::new());
    let index = pages.remove("README").unwrap();
    for (name, alert) in alerts() {
        let Some(page) = pages.remove(&name) else {
            wrong.push(format!("{name} has no page"));
            continue;
        };
        let severity = alert.split("severity: ").nth(1).unwrap().split(' ').next().unwrap();
        let first = if severity == "page" { "Page. " } else { "Ticket. " };
        let begins = format!("# {name}\n\n{first}");
        let parts: Vec<&str> = page.split("\n## ").map(|part| part.lines().next().unwrap()).skip(1).collect();
        if !page.starts_with(&begins) || parts != ["What it means", "Look", "Do"] {
            wrong.push(format!("{name}: begins with {begins:?} and has three parts, not {parts:?}"));
        }
        if !index.contains(&format!("| [{name}]({name}.md) | {severity} | ")) {
            wrong.push(format!("{name}: is not in the index, or with another severity"));
        }
    }
    wrong.extend(pages.into_keys().map(|name| format!("{name} is a page of no alert")));
    assert_eq!(wrong, Vec::<String>::new());
}

/// What stands in code in a page: lines of blocks, and words between backticks.
fn code(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, part) in page.split("```").enumerate() {
        if number % 2 == 1 {
            found.extend(part.lines().skip(1).map(str::to_owned));
        } else {
            let flat = part.replace('\n', " ");
            found.extend(flat.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

/// What `ordermill WORD… --help` prints; nothing where there is no such command.
fn help(words: &[&str]) -> Option<String> {
    let asked = Command::new(env!("CARGO_BIN_EXE_ordermill")).args(words).arg("--help").output().unwrap();
    asked.status.success().then(|| String::from_utf8(asked.stdout).unwrap())
}

/// Why a command line means nothing to the program.
fn fault(line: &str) -> Option<String> {
    let line = line.split(" # ").next().unwrap().split('|').next().unwrap();
    let words: Vec<&str> = line.split_whitespace().skip(1).collect();
    // Words of the command come first: `dlq reprocess`. What follows is in capitals, a number or a flag, or the name of a provider.
    let is_name = |word: &&&str| word.chars().all(|letter| letter.is_ascii_lowercase());
    let mut names: Vec<&str> = words.iter().take_while(is_name).copied().collect();
    let mut arguments = Vec::new();
    let help = loop {
        match help(&names) {
            Some(help) if !help.contains("<COMMAND>") || names.is_empty() => break help,
            _ => arguments.push(names.pop()?),
        }
    };
    if names.is_empty() && !arguments.is_empty() {
        return Some(format!("{line}: there is no such command"));
    }
    let takes_argument = help.lines().any(|line| line.starts_with("Usage:") && line.matches(['<', '[']).count() > 1);
    if !arguments.is_empty() && !takes_argument {
        return Some(format!("{line}: there is no {}", arguments.join(" ")));
    }
    let flags = words.iter().filter(|word| word.starts_with("--")).map(|word| word.split('=').next().unwrap());
    let unknown: Vec<&str> = flags.filter(|flag| !help.split([' ', ',', '\n']).any(|word| word == *flag)).collect();
    (!unknown.is_empty()).then(|| format!("{line}: there is no {}", unknown.join(" ")))
}

#[test]
fn commands_of_the_runbook_are_commands_of_the_program() {
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for (name, page) in pages() {
        for line in code(&page).into_iter().filter(|line| line.starts_with("ordermill ") && !line.contains('…')) {
            wrong.extend(seen.insert(line.clone()).then(|| fault(&line)).flatten().map(|fault| format!("{name}: {fault}")));
        }
    }
    assert!(seen.len() > 20, "{seen:?}");
    assert_eq!(wrong, Vec::<String>::new());
}

/// The settings of config/default.toml, as `section.key`.
pub(crate) fn settings() -> BTreeSet<String> {
    let (mut section, mut found) = (String::new(), BTreeSet::new());
    for line in text("config/default.toml").lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut section);
        } else if let Some((key, _)) = line.split_once(" = ") {
            found.insert(format!("{section}.{key}"));
        }
    }
    found
}

#[test]
fn settings_metrics_and_addresses_of_the_runbook_are_there() {
    let (settings, metrics) = (settings(), metrics());
    let sections: BTreeSet<&str> = settings.iter().map(|setting| setting.split('.').next().unwrap()).collect();
    let api: serde_json::Value = serde_json::from_str(&text("contracts/openapi.json")).unwrap();
    let paths = api.get("paths").unwrap().as_object().unwrap();
    let (mut checked, mut wrong) = (0, Vec::new());
    for (name, page) in pages() {
        for code in code(&page) {
            let is_setting = code.split_once('.').is_some_and(|(section, key)| sections.contains(section) && !key.contains([' ', '/']));
            let is_unknown = if is_setting {
                !settings.contains(&code)
            } else if code.starts_with("ordermill_") {
                !metrics.contains_key(&code)
            } else if let Some((_, path)) = code.split_once("http://NODE:8080/") {
                !paths.contains_key(&format!("/{}", path.split_whitespace().next().unwrap()))
            } else {
                continue;
            };
            checked += 1;
            wrong.extend(is_unknown.then(|| format!("{name}: {code}")));
        }
    }
    assert!(checked > 30, "{checked}");
    assert_eq!(wrong, Vec::<String>::new());
}
