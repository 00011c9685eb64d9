//! What watches a node asks for what there is, and what starts it in containers goes together.

use crate::process::Plan;
use crate::scripts::said_by;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

pub(crate) fn text(path: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every metric with its labels: the table of docs/metrics.md, which a test holds against the code, and those of the process.
pub(crate) fn metrics() -> BTreeMap<String, BTreeSet<String>> {
    let documented = text("docs/metrics.md");
    let rows = documented.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut metrics: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        let (name, rest) = row.split_once('`').unwrap();
        let labels = rest.split('|').nth(2).unwrap().split(',').map(|label| label.trim().to_owned());
        let labels: BTreeSet<String> = labels.filter(|label| !label.is_empty()).collect();
        if rest.contains("| histogram |") {
            for part in ["bucket", "sum", "count"] {
                metrics.insert(format!("{name}_{part}"), &labels | &BTreeSet::from(["le".to_owned()]));
            }
        }
        metrics.insert(name.to_owned(), labels);
    }
    assert!(metrics.len() > 40, "{metrics:?}");
    for name in ["cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "threads", "start_time_seconds"] {
        metrics.insert(format!("process_{name}"), BTreeSet::new());
    }
    // Prometheus' own word about whom it scrapes.
    metrics.insert("up".to_owned(), BTreeSet::new());
    metrics
}

/// The names in a query, and what stands in the braces behind each. Those in quotes are values, not names.
fn selectors(query: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let (mut word, mut quoted, mut rest) = (String::new(), false, query.char_indices());
    while let Some((at, letter)) = rest.next() {
        if letter == '"' {
            quoted = !quoted;
        }
        if !quoted && (letter.is_ascii_alphanumeric() || letter == '_' || letter == ':') {
            word.push(letter);
            continue;
        }
        let name = std::mem::take(&mut word);
        let braces = if letter == '{' { query[at + 1..].split('}').next().unwrap() } else { "" };
        found.push((name, braces.to_owned()));
        if letter == '{' {
            rest.by_ref().find(|(_, letter)| *letter == '}');
        }
    }
    found.push((word, String::new()));
    found
}

/// What a query asks for that no node tells.
fn unknown(query: &str) -> Vec<String> {
    let metrics = metrics();
    let is_metric = |name: &str| name == "up" || ["ordermill_", "http_server_", "process_"].iter().any(|start| name.starts_with(start));
    // Set by Prometheus at each scrape.
    let mut labels: BTreeSet<String> = ["instance", "job"].map(str::to_owned).into();
    let mut wrong = Vec::new();
    for (name, braces) in selectors(query).into_iter().filter(|(name, _)| is_metric(name)) {
        let Some(known) = metrics.get(&name) else {
            wrong.push(name);
            continue;
        };
        labels.extend(known.iter().cloned());
        let matched = braces.split('"').step_by(2).map(|part| part.trim_matches([',', ' ', '=', '!', '~']).to_owned());
        wrong.extend(matched.filter(|label| !label.is_empty() && !labels.contains(label)).map(|label| format!("{name}{{{label}}}")));
    }
    for by in query.split(" by (").skip(1) {
        let by = by.split(')').next().unwrap().split(',').map(|label| label.trim().to_owned());
        wrong.extend(by.filter(|label| !labels.contains(label)).map(|label| format!("by ({label})")));
    }
    wrong
}

/// Every query of a dashboard.
fn queries(value: &serde_json::Value, into: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_str() {
                    Some(query) if name == "expr" || name == "definition" => into.push(query.to_owned()),
                    Some(_) | None => queries(field, into),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| queries(item, into)),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) | serde_json::Value::String(_) => {}
    }
}

#[test]
fn dashboards_ask_for_metrics_that_there_are() {
    let folder = Path::new(ROOT).join("docker/grafana/dashboards");
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let dashboard: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let mut asked = Vec::new();
        queries(&dashboard, &mut asked);
        assert!(asked.len() > 8, "{}", path.display());
        for query in &asked {
            assert_eq!(unknown(query), Vec::<String>::new(), "{}: {query}", path.display());
            names.extend(selectors(query).into_iter().map(|(name, _)| name));
        }
    }
    // And show all that there is.
    let unseen: Vec<String> = metrics().into_keys().filter(|name| !name.starts_with("process_")).collect();
    let is_seen =
        |name: &String| names.iter().any(|seen| seen == name || ["_bucket", "_count"].iter().any(|end| *seen == format!("{name}{end}")));
    let unseen: Vec<String> =
        unseen.into_iter().filter(|name| !["_sum", "_count", "_bucket"].iter().any(|end| name.ends_with(end))).collect();
    assert_eq!(unseen.into_iter().filter(|name| !is_seen(name)).collect::<Vec<_>>(), Vec::<String>::new(), "in no dashboard");
}

/// The alerts: name and the text of each.
pub(crate) fn alerts() -> Vec<(String, String)> {
    let rules = text("docker/prometheus/alerts.yml");
    let alerts = rules.split("- alert: ").skip(1).map(|alert| alert.split_once('\n').unwrap());
    alerts.map(|(name, alert)| (name.to_owned(), alert.to_owned())).collect()
}

#[test]
fn every_alert_asks_for_what_there_is_and_names_its_page() {
    let tested = text("docker/prometheus/alerts_test.yml");
    let alerts = alerts();
    assert!(alerts.len() > 10, "{alerts:?}");
    for (name, alert) in &alerts {
        let query =
            alert.split("expr: ").nth(1).unwrap().split("\n        for:").next().unwrap().split("\n        labels:").next().unwrap();
        assert_eq!(unknown(query), Vec::<String>::new(), "{name}: {query}");
        assert!(["page", "ticket"].iter().any(|severity| alert.contains(&format!("severity: {severity} "))), "{name} has a severity");
        let runbook = format!("runbook: docs/runbook/{name}.md\n");
        assert!(format!("{alert}\n").contains(&runbook), "{name} has a {runbook}");
        assert!(
            tested.contains(&format!("alertname: {name}\n        exp_alerts:\n          - exp_labels")),
            "{name} is seen to fire by no test"
        );
        assert!(tested.contains(&format!("alertname: {name}, exp_alerts: []")), "{name} is seen to be silent by no test");
    }
}

fn promtool(arguments: &[&str]) {
    let told = Command::new("promtool").args(arguments).current_dir(Path::new(ROOT).join("docker/prometheus")).output();
    let told = told.expect("promtool, which scripts/setup installs");
    let said = format!("{}{}", String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(told.status.success(), "promtool {arguments:?}: {said}");
}

#[test]
fn prometheus_takes_its_settings_and_each_alert_fires_on_its_bad_day_alone() {
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["check", "rules", "alerts.yml"]);
    promtool(&["test", "rules", "alerts_test.yml"]);
}

#[test]
fn a_scrape_follows_the_rules_of_prometheus() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::new(env!("CARGO_BIN_EXE_ordermill"), folder.path());
    let node = plan.start();
    plan.put_product("10.00");
    assert_eq!(plan.place("10.00").unwrap().status, 202);
    let scrape = folder.path().join("scrape");
    std::fs::write(&scrape, plan.get("/metrics").unwrap().body).unwrap();
    node.stop();
    let told = Command::new("promtool").args(["check", "metrics"]).stdin(std::fs::File::open(&scrape).unwrap()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(told.status.success() && said.is_empty(), "{said}");
}

/// The values of a key of compose.yaml, wherever it stands.
fn values(compose: &str, mark: &str) -> Vec<String> {
    let found = compose.split(mark).skip(1).map(|rest| rest.split(['"', ' ', '}', '\n', ':', ']']).next().unwrap().to_owned());
    found.collect()
}

#[test]
fn compose_takes_every_profile_and_each_has_its_services() {
    let sets = ["default", "roles", "default,monitoring,logs", "roles,monitoring,logs"];
    let run = Path::new(ROOT).join("tests/docs/compose/run");
    let said = said_by(Command::new(run).args(sets));
    println!("{said}");
    if said.starts_with("skipped") {
        return;
    }
    for line in said.lines() {
        let (profiles, services) = line.split_once(": ").unwrap_or_else(|| panic!("{said}"));
        let services: BTreeSet<&str> = services.split(' ').collect();
        let wanted = profiles.split(',').flat_map(|profile| match profile {
            "default" => &["balancer", "node", "postgres", "kafka"][..],
            "roles" => &["balancer", "order", "inventory", "payment", "notification", "analytics", "postgres", "kafka"],
            "monitoring" => &["prometheus", "alertmanager", "grafana", "jaeger"],
            _ => &["elasticsearch", "kibana", "shipper"],
        });
        let missing: Vec<&&str> = wanted.filter(|service| !services.contains(**service)).collect();
        assert!(missing.is_empty(), "{profiles} lacks {missing:?}");
    }
    assert_eq!(said.lines().count(), sets.len(), "{said}");
}

#[test]
fn what_the_containers_are_given_is_there_and_nothing_listens_to_others() {
    let compose = text("docker/compose.yaml");
    for ports in compose.split("ports: [").skip(1) {
        let ports = ports.split(']').next().unwrap();
        assert!(ports.split(',').all(|port| port.trim().starts_with("\"127.0.0.1:")), "{ports}");
    }
    let mounted: Vec<String> =
        values(&compose, "./").into_iter().filter(|path| !path.starts_with("secrets/") && !path.is_empty()).collect();
    assert!(mounted.len() >= 6, "{mounted:?}");
    for path in mounted {
        assert!(Path::new(ROOT).join("docker").join(&path).exists(), "{path}");
    }
}

#[test]
fn secrets_are_made_once_and_the_program_takes_them() {
    let folder = tempfile::tempdir().unwrap();
    let up = folder.path().join("up");
    std::fs::copy(Path::new(ROOT).join("docker/up"), &up).unwrap();
    let make = || {
        let made = Command::new("bash").arg(&up).arg("--secrets").output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let files = values(&text("docker/compose.yaml"), "file: ./");
        assert!(files.len() >= 8, "{files:?}");
        files.iter().map(|file| std::fs::read_to_string(folder.path().join(file)).unwrap_or_else(|_| panic!("{file}"))).collect::<Vec<_>>()
    };
    let made = make();
    assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), made.len(), "no two are the same");
    assert_eq!(make(), made, "a second start changes none");

    let file = |name: &str| -> PathBuf { folder.path().join("secrets").join(name) };
    let cases = [
        ("default", "ORDERMILL_STORE__URL_FILE", "database_url", "mill"),
        ("role", "ORDERMILL_STORE__ROLE_URLS__PAYMENT_FILE", "payment_url", "mill_payment"),
    ];
    for (nodes, variable, secret, login) in cases {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ordermill"));
        command.arg("config").env("ORDERMILL_ACCESS__KEYS_FILE", file("access_keys")).env(variable, file(secret));
        if nodes == "role" {
            command.env("ORDERMILL_CLUSTER__ROLES", "payment").env("ORDERMILL_KAFKA__BROKERS", "kafka:9092");
        }
        let shown = said_by(&mut command);
        for want in [&format!("\nurl = \"postgres://{login}:***@postgres/mill\"")[..], "name = \"shop\""] {
            assert!(shown.contains(want), "{want}: {shown}");
        }
    }
}
