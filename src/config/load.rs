//! Puts settings together from their layers, each key checked against the known ones before any value is taken.
//!
//! No library does it: figment and config merge layers, but they do not tell all problems at once, each with the layer that it came from
//! and the known key that is nearest.

use crate::config::settings::{ConfigError, Settings};
use serde_json::Value as Json;
use std::path::Path;
use toml::{Table, Value};

/// Every setting with its default, unit and comment.
const DEFAULTS: &str = include_str!("../../config/default.toml");

/// What an environment variable begins with.
const PREFIX: &str = "ORDERMILL_";

/// Variables of the command line itself.
const NOT_SETTINGS: [&str; 3] = ["ORDERMILL_CONFIG", "ORDERMILL_KEY", "ORDERMILL_URL"];
/// What the variables of the project's own tests begin with.
const TESTS: &str = "ORDERMILL_TEST_";

/// How unlike a key may be to be proposed in place of an unknown one; 1 is the same.
const LIKE: f64 = 0.5;

/// Where settings come from beside the defaults; the later ones win.
#[derive(Clone, Debug, Default)]
pub struct Sources<'a> {
    /// A TOML file; it must exist.
    pub file: Option<&'a Path>,
    /// The environment; variables that do not begin with `ORDERMILL_` are ignored. `…_FILE` names a file that holds the value.
    pub env: Vec<(String, String)>,
    /// Flags, as `section.key` and value.
    pub flags: Vec<(String, String)>,
}

impl Sources<'_> {
    /// The process's environment and nothing else.
    #[must_use]
    pub fn from_env() -> Self {
        let env = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self { env: env.collect(), ..Self::default() }
    }
}

/// The text of `config/default.toml`, for a user who wants a file to begin with.
#[must_use]
pub fn default_file() -> &'static str {
    DEFAULTS
}

struct Layers {
    table: Table,
    known: Json,
    paths: Vec<String>,
    problems: Vec<String>,
}

impl Settings {
    /// Puts the settings together and checks them as a whole.
    ///
    /// # Errors
    /// Every unknown key, wrong type and bad combination, each with where it came from.
    pub fn load(sources: &Sources<'_>) -> Result<Self, ConfigError> {
        let settings = read(sources)?;
        settings.check()?;
        Ok(settings)
    }

    /// What is in force, as TOML, secrets masked.
    #[must_use]
    pub fn render(&self) -> String {
        render(self)
    }
}

fn read(sources: &Sources<'_>) -> Result<Settings, ConfigError> {
    let broken = |error: String| ConfigError(vec![format!("config/default.toml: {error}")]);
    let table: Table = toml::from_str(DEFAULTS).map_err(|error| broken(error.to_string()))?;
    let known = serde_json::to_value(Settings::default()).map_err(|error| broken(error.to_string()))?;
    let mut paths = Vec::new();
    list_paths(&known, "", &mut paths);
    let mut layers = Layers { table, known, paths, problems: Vec::new() };
    if let Some(file) = sources.file {
        layers.add_file(file);
    }
    let env: Vec<_> = sources.env.iter().filter(|(name, text)| name.starts_with(PREFIX) && !text.is_empty()).collect();
    for (name, text) in &env {
        layers.add_env(name, text);
        let itself = name.strip_suffix("_FILE").filter(|itself| layers.known_at(&path_of(itself)).is_some());
        // The environment has no order: neither of the two is the later one.
        if let Some(itself) = itself.filter(|itself| env.iter().any(|(name, _)| name == itself)) {
            layers.problems.push(format!("{name} and {itself} are both set: set one of them"));
        }
    }
    for (path, text) in &sources.flags {
        layers.add_text(path, text, &format!("the flag for {path}"));
    }
    layers.finish()
}

fn render(settings: &Settings) -> String {
    toml::to_string(settings).unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
}

impl Layers {
    fn add_file(&mut self, file: &Path) {
        let name = file.display();
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => return self.problems.push(format!("{name} cannot be read: {error}")),
        };
        match toml::from_str::<Table>(&text) {
            Ok(table) => self.add_table(&table, "", &name.to_string()),
            Err(error) => self.problems.push(format!("{name}: {error}")),
        }
    }

    fn add_table(&mut self, table: &Table, prefix: &str, origin: &str) {
        for (key, value) in table {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match (self.known_at(&path), value) {
                (None, _) => self.unknown(&path, origin),
                (Some(Json::Object(fields)), Value::Table(inner)) if !fields.is_empty() => self.add_table(inner, &path, origin),
                (Some(Json::Object(fields)), _) if !fields.is_empty() => {
                    self.problems.push(format!("{origin}: {path} is a section, not a value"));
                }
                (Some(_), _) => self.set(&path, value.clone(), origin),
            }
        }
    }

    fn add_env(&mut self, name: &str, text: &str) {
        if NOT_SETTINGS.contains(&name) || name.starts_with(TESTS) {
            return;
        }
        let path = path_of(name);
        if self.known_at(&path).is_some() {
            return self.add_text(&path, text, name);
        }
        let of_file = path.strip_suffix("_file").filter(|path| self.known_at(path).is_some()).map(str::to_owned);
        match of_file.map(|path| (path, std::fs::read_to_string(text))) {
            Some((path, Ok(content))) => self.add_text(&path, content.trim_end_matches(['\n', '\r']), name),
            Some((_, Err(error))) => self.problems.push(format!("{name}: {text} cannot be read: {error}")),
            None => self.unknown(&path, name),
        }
    }

    /// Takes a text for the type that the default has.
    fn add_text(&mut self, path: &str, text: &str, origin: &str) {
        match self.known_at(path) {
            None => return self.unknown(path, origin),
            Some(Json::Object(fields)) if !fields.is_empty() => {
                return self.problems.push(format!("{origin}: {path} is a section, not a value"));
            }
            Some(_) => {}
        }
        let parsed = match self.default_at(path) {
            Some(Value::Integer(_)) => text.parse().map(Value::Integer).ok(),
            Some(Value::Float(_)) => text.parse().map(Value::Float).ok(),
            Some(Value::Boolean(_)) => text.parse().map(Value::Boolean).ok(),
            Some(Value::Array(_)) if !text.trim_start().starts_with('[') => {
                Some(Value::Array(text.split(',').map(|part| Value::String(part.trim().to_owned())).collect()))
            }
            Some(Value::Array(_) | Value::Table(_)) => {
                toml::from_str::<Table>(&format!("value = {text}")).ok().and_then(|mut table| table.remove("value"))
            }
            Some(Value::String(_) | Value::Datetime(_)) | None => Some(Value::String(text.to_owned())),
        };
        match parsed {
            Some(value) => self.set(path, value, origin),
            None => {
                let kind = self.default_at(path).map_or("text", kind_of);
                self.problems.push(format!("{origin}: {path} must be {kind}"));
            }
        }
    }

    fn set(&mut self, path: &str, value: Value, origin: &str) {
        let value = match (self.default_at(path), value) {
            (Some(Value::Float(_)), Value::Integer(whole)) => {
                i32::try_from(whole).map_or(Value::Integer(whole), |whole| Value::Float(f64::from(whole)))
            }
            (_, value) => value,
        };
        if let Some(default) = self.default_at(path)
            && default.type_str() != value.type_str()
        {
            let kind = kind_of(default);
            return self.problems.push(format!("{origin}: {path} must be {kind}"));
        }
        let mut table = &mut self.table;
        let mut names = path.split('.').peekable();
        while let Some(name) = names.next() {
            if names.peek().is_none() {
                table.insert(name.to_owned(), value);
                return;
            }
            let inner = table.entry(name).or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(inner) = inner else { return };
            table = inner;
        }
    }

    fn finish(mut self) -> Result<Settings, ConfigError> {
        if !self.problems.is_empty() {
            return Err(ConfigError(self.problems));
        }
        drop_unset(&mut self.table, &self.known);
        Value::Table(self.table).try_into().map_err(|error: toml::de::Error| ConfigError(vec![error.to_string().trim_end().to_owned()]))
    }

    fn unknown(&mut self, path: &str, origin: &str) {
        let likeness = |known: &&String| strsim::jaro_winkler(path, known).max(strsim::normalized_levenshtein(path, known));
        let nearest = self.paths.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|known| likeness(known) >= LIKE);
        let hint = nearest.map(|known| format!("; did you mean {known}?")).unwrap_or_default();
        self.problems.push(format!("{origin}: {path} is not a setting{hint}"));
    }

    fn known_at(&self, path: &str) -> Option<&Json> {
        path.split('.').try_fold(&self.known, |value, name| value.as_object()?.get(name))
    }

    fn default_at(&self, path: &str) -> Option<&Value> {
        let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let section = self.table.get(first)?;
        rest.map_or(Some(section), |rest| rest.split('.').try_fold(section, |value, name| value.as_table()?.get(name)))
    }
}

/// `ORDERMILL_PROVIDERS__PAYMENT__API_KEY` is `providers.payment.api_key`.
fn path_of(name: &str) -> String {
    name.strip_prefix(PREFIX).unwrap_or(name).to_ascii_lowercase().replace("__", ".")
}

/// An empty text stands for "not set" where the type has that.
fn drop_unset(table: &mut Table, known: &Json) {
    table.retain(|key, value| match (known.get(key), value) {
        (Some(Json::Null), Value::String(text)) => !text.is_empty(),
        (Some(known), Value::Table(inner)) => {
            drop_unset(inner, known);
            true
        }
        (Some(_) | None, _) => true,
    });
}

fn list_paths(value: &Json, prefix: &str, paths: &mut Vec<String>) {
    let Json::Object(fields) = value else { return };
    for (name, value) in fields {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        if value.as_object().is_some_and(|fields| !fields.is_empty()) {
            list_paths(value, &path, paths);
        } else {
            paths.push(path);
        }
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) | Value::Datetime(_) => "a string",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn with_env(pairs: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        let env = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Settings::load(&Sources { env, ..Sources::default() })
    }

    fn with_file(text: &str) -> Result<Settings, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let loaded = Settings::load(&Sources { file: Some(file.path()), ..Sources::default() });
        let name = file.path().display().to_string();
        loaded.map_err(|error| ConfigError(error.0.iter().map(|line| line.replace(&name, "FILE")).collect()))
    }

    fn lines(result: Result<Settings, ConfigError>) -> Vec<String> {
        result.err().map(|error| error.0).unwrap_or_default()
    }

    #[test]
    fn the_default_file_and_the_types_agree() {
        assert_eq!(Settings::load(&Sources::default()), Ok(Settings::default()));
        let mut of_types = Vec::new();
        list_paths(&serde_json::to_value(Settings::default()).unwrap(), "", &mut of_types);
        let mut of_file = Vec::new();
        list_paths(&serde_json::to_value(toml::from_str::<Table>(DEFAULTS).unwrap()).unwrap(), "", &mut of_file);
        assert_eq!(of_types.into_iter().collect::<BTreeSet<_>>(), of_file.into_iter().collect::<BTreeSet<_>>());
    }

    #[test]
    fn every_default_stands_under_a_comment() {
        let mut before = "";
        for line in DEFAULTS.lines() {
            let is_setting = line.contains(" = ") && !line.starts_with('#');
            assert!(!is_setting || before.starts_with('#'), "no comment above: {line}");
            before = line;
        }
    }

    #[test]
    fn later_layers_win() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[server]\nworkers = 2\nmax_streams = 2\nmax_waiting = 2\n").unwrap();
        let env = vec![("ORDERMILL_SERVER__MAX_STREAMS".into(), "3".into()), ("ORDERMILL_SERVER__MAX_WAITING".into(), "3".into())];
        let flags = vec![("server.max_waiting".into(), "4".into())];
        let server = Settings::load(&Sources { file: Some(file.path()), env, flags }).unwrap().server;
        assert_eq!((server.workers, server.max_streams, server.max_waiting, server.max_requests), (2, 3, 4, 20_000));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_neighbour() {
        assert_eq!(
            lines(with_file("[server]\nwokers = 2\n[sever]\nlisten = \"x\"")),
            [
                "FILE: server.wokers is not a setting; did you mean server.workers?",
                "FILE: sever is not a setting; did you mean server.listen?",
            ]
        );
        assert_eq!(
            lines(with_env(&[("ORDERMILL_STORE__SHARD", "1")])),
            ["ORDERMILL_STORE__SHARD: store.shard is not a setting; did you mean store.shards?"]
        );
    }

    #[test]
    fn a_wrong_type_is_named_with_its_origin() {
        assert_eq!(
            lines(with_env(&[("ORDERMILL_SERVER__WORKERS", "two"), ("ORDERMILL_SERVER__OPEN_METRICS", "1")])),
            [
                "ORDERMILL_SERVER__WORKERS: server.workers must be a whole number",
                "ORDERMILL_SERVER__OPEN_METRICS: server.open_metrics must be true or false",
            ]
        );
        assert_eq!(lines(with_file("server = 3")), ["FILE: server is a section, not a value"]);
        assert_eq!(lines(with_file("[server]\nlisten = 3")), ["FILE: server.listen must be a string"]);
        assert!(lines(with_file("[pricing]\nrule = \"free\"")).concat().contains("rule"));
    }

    #[test]
    fn lists_and_secrets_come_by_environment_and_are_masked() {
        let keys = r#"[{ name = "ops", role = "admin", key = "0123456789abcdef" }]"#;
        let settings = with_env(&[
            ("ORDERMILL_ACCESS__KEYS", keys),
            ("ORDERMILL_SERVER__LISTEN", "0.0.0.0:80"),
            ("ORDERMILL_PROVIDERS__PAYMENT__API_KEY", "12345"),
        ])
        .unwrap();
        let shown = settings.render();
        assert!(shown.contains("name = \"ops\"") && shown.contains("***"), "{shown}");
        assert!(!shown.contains("0123456789abcdef") && !shown.contains("12345"), "{shown}");
        assert!(!format!("{settings:?}").contains("0123456789abcdef"));
    }

    #[test]
    fn properties_of_kafka_are_taken_and_their_secrets_masked() {
        let file = "[kafka.properties]\n\"sasl.password\" = \"hush\"\n\"socket.timeout.ms\" = 500\n\"socket.nagle.disable\" = true\n";
        let settings = with_file(file).unwrap();
        let taken = ["sasl.password", "socket.nagle.disable", "socket.timeout.ms"].map(|name| settings.kafka.properties.0[name].clone());
        assert_eq!(taken, ["hush", "true", "500"]);
        let shown = settings.render();
        assert!(shown.contains("socket.timeout.ms") && !shown.contains("hush"), "{shown}");
        let of_environment =
            with_env(&[("ORDERMILL_KAFKA__PROPERTIES", r#"{ "sasl.username" = "me" }"#), ("ORDERMILL_KAFKA__BROKERS", "a:1,b:2")]);
        let kafka = of_environment.unwrap().kafka;
        assert_eq!((kafka.brokers.join(" "), kafka.properties.0.len()), ("a:1 b:2".to_owned(), 1));
    }

    #[test]
    fn a_secret_may_stand_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hush\n").unwrap();
        let path = file.path().display().to_string();
        let settings = with_env(&[("ORDERMILL_PROVIDERS__PAYMENT__API_KEY_FILE", &path)]).unwrap();
        assert_eq!(settings.providers.payment.api_key.map(|key| key.expose().to_owned()), Some("hush".to_owned()));
        let both = with_env(&[("ORDERMILL_STORE__URL_FILE", &path), ("ORDERMILL_STORE__URL", "sqlite:x")]);
        assert!(lines(both).join("\n").contains("ORDERMILL_STORE__URL_FILE and ORDERMILL_STORE__URL are both set: set one of them"));
        assert!(with_env(&[("ORDERMILL_PROVIDERS__PAYMENT__API_KEY_FILE", &path), ("ORDERMILL_PROVIDERS__PAYMENT__API_KEY", "")]).is_ok());
    }

    #[test]
    fn combinations_are_checked() {
        let cases: &[(&str, &str)] = &[
            ("[server]\nlisten = \"0.0.0.0:8080\"", "server.listen is 0.0.0.0:8080, which others can reach, and no access keys are set"),
            ("[server]\nlisten = \"8080\"", "it must be HOST:PORT"),
            ("[store]\nurl = \"mysql://x\"", "store.url must be"),
            ("[store.role_urls]\npayment = \"sqlite:x\"", "store.role_urls.payment must be postgres://"),
            ("[kafka]\nbrokers = [\"localhost\"]", "kafka.brokers: \"localhost\" is no address; it must be HOST:PORT"),
            ("[kafka]\nprefix = \"a b\"", "kafka.prefix may have letters"),
            ("[kafka]\ncompression = \"rar\"", "rar"),
            ("[kafka.properties]\nacks = 1", "acks cannot be set: an acknowledged event could be lost"),
            ("[kafka.properties]\n\"group.id\" = \"x\"", "group.id cannot be set: each role has its own"),
            ("[order]\nredrive_first_ms = 9\nredrive_most_ms = 8", "order.redrive_first_ms must not be above"),
            ("[[access.keys]]\nname = \"a\"\nrole = \"customer\"\nkey = \"0123456789abcdef\"", "a customer's key needs customer_id"),
            ("[[access.keys]]\nname = \"a\"\nrole = \"admin\"", "give sha256 or key"),
            ("[[access.keys]]\nname = \"a\"\nrole = \"admin\"\nsha256 = \"zz\"", "64 hexadecimal digits"),
            ("[[access.keys]]\nname = \"a\"\nrole = \"root\"\nsha256 = \"zz\"", "root"),
            ("[cluster]\nroles = [\"order\", \"stock\"]", "unknown variant `stock`, expected one of `order`, `inventory`"),
            ("[cluster]\nroles = []", "cluster.roles must name at least one role"),
            (
                "[cluster]\nroles = [\"order\"]",
                "cluster.roles leaves out inventory, payment, notification, analytics: without kafka.brokers",
            ),
            ("[cluster]\nroles = [\"order\"]\n[kafka]\nbrokers = [\"k:9092\"]", "a node on SQLite is alone; use postgres://"),
            ("[cluster]\nexternal_roles = [\"payment\"]", "payment cannot be hosted here and by another team"),
            (
                "[cluster]\nroles = [\"order\", \"inventory\", \"notification\", \"analytics\"]\nexternal_roles = [\"payment\"]",
                "another team's payment is reached by Kafka: set kafka.brokers",
            ),
            ("[cluster]\nexternal_roles = [\"order\"]", "order cannot be another team's"),
            ("[cluster]\ntick_ms = 4_000", "cluster.tick_ms must be at most half of store.lease_ms"),
            ("[cluster]\nforward_limit_ms = 10_000", "cluster.forward_limit_ms must be above order.request_limit_ms"),
            ("[cluster]\nforward_idle_ms = 75_000", "cluster.forward_idle_ms must be below server.keep_alive_ms"),
            ("[server]\npublic_url = \"10.0.0.7:80\"", "server.public_url is"),
            ("[server]\npublic_url = \"http://10.0.0.7:80/x\"", "it must be http:// or https:// and HOST:PORT, nothing more"),
        ];
        for (text, want) in cases {
            let got = lines(with_file(text)).join("\n");
            assert!(got.contains(want), "{text}\n{got}");
        }
    }

    #[test]
    fn another_teams_role_needs_no_other_node() {
        let text = "[cluster]\nroles = [\"order\", \"inventory\", \"notification\", \"analytics\"]\nexternal_roles = [\"payment\"]\n\
            [kafka]\nbrokers = [\"k:9092\"]";
        assert!(with_file(text).unwrap().cluster.elsewhere().is_empty());
        let settings = with_env(&[
            ("ORDERMILL_CLUSTER__ROLES", "order, analytics"),
            ("ORDERMILL_KAFKA__BROKERS", "a:1,b:2"),
            ("ORDERMILL_STORE__URL", "postgres://h/d"),
        ]);
        let elsewhere: Vec<_> = settings.unwrap().cluster.elsewhere().iter().map(crate::domain::Role::name).collect();
        assert_eq!(elsewhere, ["inventory", "payment", "notification"]);
    }
}
