//! The architecture as a test: who may use whom, and what stays out of where. `ARCHITECTURE.md` shows the same table and is checked
//! against it here, so neither can drift from the code.
//!
//! What is read are the paths in the source text: comments are taken out first, and a path must begin with `crate::` to leave its
//! room (`super::` may not reach the root of the crate), so no arrow can hide.

#![expect(clippy::expect_used, clippy::panic, reason = "a failing test may panic")]

mod graph;
mod plants;

use graph::{Graph, Module};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

/// Each room of `src`, what it is, and the rooms that it may use besides itself.
const TABLE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("saga", &["domain"]),
    ("config", &["domain"]),
    ("sheet", &["domain"]),
    ("plants", &[]),
    ("telemetry", &["config"]),
    ("db", &["domain", "saga", "config", "plants"]),
    ("providers", &["domain", "saga", "config"]),
    ("actors", &["domain", "saga", "config", "telemetry", "db", "providers", "plants"]),
    ("kafka", &["domain", "saga", "config", "telemetry", "db", "actors", "plants"]),
    ("http", &["domain", "saga", "config", "telemetry", "db", "actors", "sheet"]),
    ("verify", &["domain", "saga", "db"]),
    ("cli", &["domain", "sheet"]),
    ("app", &["domain", "saga", "config", "telemetry", "db", "providers", "actors", "kafka", "http"]),
    ("command", &["app", "cli", "config", "domain", "verify"]),
];

/// The rooms inside of a room, lower ones first: a file uses lower rooms and its own. `roles` know nothing of each other either.
const INNER: &[(&str, &[&str])] = &[
    ("actors", &["protocol", "runtime", "journal", "node", "writer", "cell", "roles", "supervision", "api", "start"]),
    (
        "http",
        &[
            "operations",
            "wire",
            "numbers",
            "open_files",
            "offers",
            "door",
            "forward",
            "live",
            "pages",
            "handlers",
            "gate",
            "routes",
            "server",
        ],
    ),
    ("actors/roles", &["analytics"]),
    ("actors/roles", &["inventory"]),
    ("actors/roles", &["notification"]),
    ("actors/roles", &["order"]),
    ("actors/roles", &["payment"]),
];

/// Files that use each other all the same, and why.
const RINGS: &[(&[&str], &str)] =
    &[(&["http/routes", "http/routes/openapi"], "the document tells what each route needs, and is served by a route")];

/// Implementations: only their own room, the composition root and tests may name them. Whoever else works with the trait.
const CONCRETE: &[(&str, &str)] = &[
    ("db", "sqlite"),
    ("db", "postgres"),
    ("db", "memory"),
    ("providers", "sandbox"),
    ("providers", "server"),
    ("providers", "http"),
    ("providers", "smtp"),
];

/// Text that stands in these rooms only.
const ONLY_IN: &[(&str, &[&str], &str)] = &[
    ("actix::", &["actors"], "actors live in src/actors; others talk to its NodeHandle"),
    ("actix_web::", &["http", "app", "command", "providers"], "HTTP is the business of src/http"),
    ("diesel::", &["db"], "SQL stays in src/db"),
    ("rdkafka::", &["kafka"], "Kafka stays at the edge"),
    (
        "reqwest::",
        &["providers", "cli", "http", "telemetry"],
        "calls to others go through a provider; http sends requests on to other nodes, telemetry sends spans",
    ),
    ("println!(", &["cli", "command"], "only the command line prints; everything else logs"),
    ("print!(", &["cli", "command"], "only the command line prints; everything else logs"),
];

/// Text that stands in none of these rooms; an empty list means nowhere at all.
const BANNED: &[(&str, &[&str], &str)] = &[
    (".do_send(", &[], "it ignores the mailbox bound: use try_send and leave the rest to re-drive"),
    ("?std::mem::discriminant", &[], "a log line would show a number: log a name"),
    ("map(std::mem::discriminant", &[], "a log line would show a number: log a name"),
    ("Utc::now", PURE, "time is an argument"),
    ("Local::now", PURE, "time is an argument"),
    ("Instant::now", PURE, "time is an argument"),
    ("SystemTime", PURE, "time is an argument"),
    ("new_v4", PURE, "chance is an argument"),
    ("new_v7", PURE, "chance is an argument"),
    ("now_v7", PURE, "chance is an argument"),
    ("rand::", PURE, "chance is an argument"),
    ("tokio::", PURE, "the core waits for nothing"),
    ("async fn", PURE, "the core waits for nothing"),
    ("std::fs", PURE, "the core does no IO"),
    ("std::net", PURE, "the core does no IO"),
    ("std::env", PURE, "the core does no IO"),
    ("std::thread", PURE, "the core does no IO"),
    ("tracing::", PURE, "the core does no IO"),
];

const PURE: &[&str] = &["domain", "saga"];

/// Cores without IO inside of other rooms: what is banned from `domain` and `saga` is banned here too, and so is what shells are made of.
const CORES: &[&str] = &["src/kafka/publisher/core", "src/kafka/consumer/core"];

/// What only the shell around a core may name.
const OF_SHELLS: &[(&str, &str)] = &[
    ("rdkafka::", "the core knows no client"),
    ("std::sync", "the core is one thread's"),
    ("HashMap", "its order is another in each run"),
    ("HashSet", "its order is another in each run"),
];

/// The longest file.
const MOST_LINES: usize = 500;

static GRAPH: LazyLock<Graph> = LazyLock::new(|| Graph::read(&root().join("src")));

#[test]
fn the_rooms_use_only_whom_they_may() {
    let mut wrong = Vec::new();
    for file in sources("src") {
        let Some(room) = file.room() else { continue };
        let Some((_, may)) = TABLE.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!("{}: the room {room} is not in the table", file.path));
            continue;
        };
        for (line, used) in file.paths_from("crate") {
            let target = used.first().map_or("", String::as_str);
            if target != room && !may.contains(&target) {
                wrong.push(format!("{}:{line}: {room} may not use {target}", file.path));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn no_inner_room_uses_a_higher_one() {
    let graph = &*GRAPH;
    let mut wrong = Vec::new();
    for (house, _) in INNER {
        let house: Vec<&str> = house.split('/').collect();
        let rows: Vec<&[&str]> =
            INNER.iter().filter(|(name, _)| name.split('/').eq(house.iter().copied())).map(|(_, rooms)| *rooms).collect();
        let inner = |module: &Module| {
            let (of, rest) = module.split_at_checked(house.len())?;
            of.iter().eq(house.iter()).then(|| rest.first().cloned()).flatten()
        };
        // Its floor: which list it is in, and where in that list.
        let floor = |room: &str| rows.iter().enumerate().find_map(|(row, rooms)| Some((row, rooms.iter().position(|name| *name == room)?)));
        for (module, used) in &graph.0 {
            let Some(room) = inner(module) else { continue };
            let Some(mine) = floor(&room) else {
                wrong.push(format!("{}: the room {room} is not in the list", module.join("/")));
                continue;
            };
            for other in used {
                let theirs = inner(other).and_then(|room| floor(&room));
                if theirs.is_some_and(|theirs| theirs.0 != mine.0 || theirs.1 > mine.1) {
                    wrong.push(format!("{} may not use {}", module.join("/"), other.join("/")));
                }
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert_none(&wrong);
}

#[test]
fn no_files_use_each_other_unless_it_is_said_why() {
    let graph = &*GRAPH;
    let rings = graph.rings().into_iter().map(|ring| ring.into_iter().map(|module| module.join("/")).collect::<BTreeSet<String>>());
    let (named, unnamed): (Vec<_>, Vec<_>) = rings
        .partition(|ring| RINGS.iter().any(|(files, _)| files.iter().map(|file| (*file).to_owned()).collect::<BTreeSet<_>>() == *ring));
    let unnamed: Vec<String> = unnamed.iter().map(|ring| ring.iter().cloned().collect::<Vec<_>>().join(", ")).collect();
    assert_none(&unnamed);
    assert_eq!(named.len(), RINGS.len(), "a ring that is named is none any more: take it out of the list");
}

#[test]
fn the_graph_follows_what_is_given_on() {
    let graph = &*GRAPH;
    let uses = |from: &[&str], to: &[&str]| {
        let module = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Module>();
        graph.0.get(&module(from)).is_some_and(|used| used.contains(&module(to)))
    };
    assert!(uses(&["actors", "cell"], &["actors", "node"]), "by a whole path");
    assert!(uses(&["http", "handlers", "orders"], &["actors", "api", "handle"]), "by a name that `actors` gives on");
    assert!(!uses(&["actors", "cell"], &["actors", "roles", "order"]));
}

#[test]
fn nobody_but_the_composition_root_names_an_implementation() {
    let mut wrong = Vec::new();
    for file in sources("src").iter().filter(|file| !file.is_test()) {
        let room = file.room().unwrap_or_default();
        for (line, used) in file.production().paths_from("crate") {
            let named = CONCRETE.iter().any(|(owner, part)| room != *owner && used.iter().map(String::as_str).eq([*owner, *part]));
            if named && room != "app" {
                wrong.push(format!("{}:{line}: {room} names the implementation {}", file.path, used.join("::")));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn no_path_leaves_its_room_through_super() {
    let mut wrong = Vec::new();
    for file in sources("src") {
        let depth = file.depth();
        for (at, line) in file.lines() {
            let inner = usize::from(line.starts_with(' '));
            let climbs = line.matches("super::").count();
            let is_chain = line.contains(&"super::".repeat(climbs.max(1)));
            if is_chain && climbs > 0 && climbs >= depth + inner {
                wrong.push(format!("{}:{at}: this path reaches the root of the crate: write crate::", file.path));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn what_belongs_to_one_room_stays_there() {
    let mut wrong = Vec::new();
    for file in sources("src") {
        let room = file.room().unwrap_or("main");
        for (at, line) in file.production().lines() {
            for (text, rooms, why) in ONLY_IN {
                if stands_in(line, text) && !rooms.contains(&room) {
                    wrong.push(format!("{}:{at}: {text} in {room}: {why}", file.path));
                }
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn what_is_banned_is_nowhere() {
    let mut wrong = Vec::new();
    for file in sources("src") {
        let room = file.room().unwrap_or("main");
        for (at, line) in file.lines() {
            for (text, rooms, why) in BANNED {
                let is_banned = rooms.is_empty() || rooms.contains(&room) || (is_core(&file) && *rooms == PURE);
                if stands_in(line, text) && is_banned {
                    wrong.push(format!("{}:{at}: {text} in {room}: {why}", file.path));
                }
            }
        }
    }
    assert_none(&wrong);
}

/// Whether the file is a core without IO; its tests are not.
fn is_core(file: &Source) -> bool {
    !file.is_test() && CORES.iter().any(|core| file.path.starts_with(core))
}

#[test]
fn no_core_names_what_shells_are_made_of() {
    let mut wrong = Vec::new();
    let files = sources("src");
    for file in files.iter().filter(|file| is_core(file)) {
        for (at, line) in file.production().lines() {
            for (text, why) in OF_SHELLS.iter().filter(|(text, _)| stands_in(line, text)) {
                wrong.push(format!("{}:{at}: {text}: {why}", file.path));
            }
        }
    }
    let missing = CORES.iter().filter(|core| !files.iter().any(|file| file.path.starts_with(**core)));
    wrong.extend(missing.map(|core| format!("there is no {core}")));
    assert_none(&wrong);
}

#[test]
fn no_file_is_too_long() {
    let folders = ["src", "tests", "benches"];
    let files: Vec<Source> = folders.iter().flat_map(|folder| sources(folder)).collect();
    let long = files.iter().filter(|file| file.length > MOST_LINES);
    let wrong: Vec<String> = long.map(|file| format!("{}: {} lines, {MOST_LINES} are allowed", file.path, file.length)).collect();
    assert_none(&wrong);
}

#[test]
fn the_architecture_document_shows_the_table() {
    let document = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let shown: BTreeSet<&str> = document.lines().collect();
    let rows = TABLE.iter().map(|(room, may)| {
        let may: Vec<String> = may.iter().map(|room| format!("`{room}`")).collect();
        format!("| `{room}` | {} |", if may.is_empty() { "nothing of ours".to_owned() } else { may.join(", ") })
    });
    let missing: Vec<String> =
        rows.filter(|row| !shown.contains(row.as_str())).map(|row| format!("ARCHITECTURE.md lacks: {row}")).collect();
    assert_none(&missing);
}

#[test]
fn paths_are_read_from_any_form_of_use() {
    let text = "use crate::db::{sqlite::A, memory::B};\nuse crate::{app, http::C};\nfn f(x: crate::saga::Facts) {} // crate::verify\nlet s = \"crate::cli\";\n";
    let file = Source::of("src/actors/x.rs", text);
    let found: Vec<String> = file.paths_from("crate").map(|(line, path)| format!("{line} {}", path.join("::"))).collect();
    assert_eq!(found, ["1 db::sqlite", "1 db::memory", "2 app", "2 http::C", "3 saga::Facts", "4 cli"]);
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether `text` stands in the line as a word of its own: `actix::` is not in `my_actix::`.
fn stands_in(line: &str, text: &str) -> bool {
    line.match_indices(text).any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        !text.starts_with(char::is_alphanumeric) || !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// A source file without its comments.
struct Source {
    path: String,
    text: String,
    length: usize,
}

/// All source files below a folder of the package, in order.
fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry of the folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).expect("below the package").display().to_string();
                found.push(Source::of(&name, &fs::read_to_string(&path).expect("a readable file")));
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {folder}");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

impl Source {
    fn of(path: &str, text: &str) -> Self {
        let code = text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code));
        Self { path: path.to_owned(), text: code.collect::<Vec<_>>().join("\n"), length: text.lines().count() }
    }

    /// The first folder or file below `src`; none for the crate's roots.
    fn room(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let first = inside.split('/').next()?;
        let room = first.strip_suffix(".rs").unwrap_or(first);
        (room != "lib" && room != "main").then_some(room)
    }

    /// How many `super` lead to the crate's root.
    fn depth(&self) -> usize {
        let parts = self.path.matches('/').count();
        if self.path.ends_with("/mod.rs") { parts - 1 } else { parts }
    }

    fn is_test(&self) -> bool {
        self.path.ends_with("tests.rs") || self.path.contains("/tests/")
    }

    /// The file without its module of tests, which stands at its end.
    fn production(&self) -> Self {
        let text = if self.is_test() { "" } else { self.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default() };
        Self { path: self.path.clone(), text: text.to_owned(), length: self.length }
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, line))
    }

    /// Each path that begins at `base`, groups taken apart, with its line: its first two parts.
    fn paths_from(&self, base: &str) -> impl Iterator<Item = (usize, Vec<String>)> {
        let start = format!("{base}::");
        let mut found = Vec::new();
        for (at, _) in self.text.match_indices(&start) {
            let (before, after) = (self.text.get(..at).unwrap_or_default(), self.text.get(at + start.len()..).unwrap_or_default());
            if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let line = before.matches('\n').count() + 1;
            found.extend(heads(after).into_iter().flat_map(|(room, rest)| {
                let parts = heads(rest).into_iter().map(|(part, _)| part).collect::<Vec<_>>();
                let paths = if parts.is_empty() { vec![vec![room]] } else { parts.into_iter().map(|p| vec![room.clone(), p]).collect() };
                paths.into_iter().map(move |path| (line, path))
            }));
        }
        found.into_iter()
    }
}

/// The words that a path goes on with, each with what follows it: one, or those of a group in braces.
fn heads(text: &str) -> Vec<(String, &str)> {
    let Some(group) = text.strip_prefix('{') else { return head(text).into_iter().collect() };
    let mut found = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                found.extend(group.get(start..at).and_then(|part| head(part.trim_start())));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found
}

/// The word that the text begins with, and the rest of its path.
fn head(text: &str) -> Option<(String, &str)> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (!word.is_empty()).then(|| (word.to_owned(), rest.strip_prefix("::").unwrap_or("")))
}
