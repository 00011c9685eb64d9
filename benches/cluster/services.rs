//! A PostgreSQL and a Kafka of this run's own, and what they spend.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const NAME: &str = "bench";

/// Both services; dropped, they end.
pub struct Services {
    /// `postgres://user:password@host:port/`, a database's name to follow.
    server: String,
    pub brokers: String,
    postgres: u32,
    kafka: u32,
}

/// CPU time of the services so far.
#[derive(Clone, Copy, Default)]
pub struct Cpu {
    pub postgres: Duration,
    pub broker: Duration,
}

impl Cpu {
    /// What was spent since.
    pub fn since(self, before: Self) -> Self {
        Self { postgres: self.postgres - before.postgres, broker: self.broker - before.broker }
    }
}

impl Services {
    pub fn start() -> Self {
        let printed = script(&["start"]);
        let value = |name: &str| printed.lines().find_map(|line| line.strip_prefix("export ")?.strip_prefix(name)?.strip_prefix('='));
        let server = value("ORDERMILL_TEST_POSTGRES").expect("a server").trim_end_matches("postgres").to_owned();
        let brokers = value("ORDERMILL_TEST_KAFKA").expect("a broker").to_owned();
        let pid = |service: &str| script(&["pid", service]).trim().parse().expect("a process");
        Self { server, brokers, postgres: pid("postgres"), kafka: pid("kafka") }
    }

    /// A database's address.
    pub fn database(&self, name: &str) -> String {
        format!("{}{name}", self.server)
    }

    /// Makes a database anew, empty.
    pub fn renew(&self, name: &str) {
        self.sql("postgres", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.sql(name, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements");
    }

    /// One statement's rows, as lines of fields with `|` between them.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let mut psql = Command::new(self.tool("psql"));
        psql.args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-c", statement, &self.database(database)]);
        psql.env("PGOPTIONS", "-c client_min_messages=warning");
        output(&mut psql)
    }

    /// A number.
    pub fn number(&self, database: &str, statement: &str) -> f64 {
        let text = self.sql(database, statement);
        text.trim().parse().unwrap_or_else(|error| panic!("{statement}: {error}: {text}"))
    }

    /// A program of PostgreSQL, of the version that runs.
    pub fn tool(&self, name: &str) -> PathBuf {
        std::fs::read_link(format!("/proc/{}/exe", self.postgres)).expect("the server's program").with_file_name(name)
    }

    pub fn cpu(&self) -> Cpu {
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.postgres)).expect("the server's processes");
        let living: Duration = children.split_whitespace().map(|pid| times(pid).map_or(Duration::ZERO, |[own, _]| own)).sum();
        let [own, ended] = times(&self.postgres.to_string()).expect("the server runs");
        let [broker, _] = times(&self.kafka.to_string()).expect("the broker runs");
        Cpu { postgres: living + own + ended, broker }
    }

    /// What the server has logged.
    pub fn postgres_log(&self) -> String {
        let bytes = std::fs::read(format!("/proc/{}/fd/2", self.postgres)).expect("the server's log");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Bytes on the topics with this prefix.
    pub fn bytes_on_topics(&self, prefix: &str) -> u64 {
        let command = std::fs::read_to_string(format!("/proc/{}/cmdline", self.kafka)).expect("the broker runs");
        let settings = command.split('\0').rfind(|argument| argument.ends_with("server.properties")).expect("its settings");
        let logs = Path::new(settings).with_file_name("logs");
        let of_topic = |folder: &std::fs::DirEntry| folder.file_name().to_string_lossy().starts_with(prefix);
        let folders = std::fs::read_dir(logs).expect("its folder").filter_map(Result::ok).filter(of_topic);
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten().filter_map(Result::ok));
        let segments = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "log"));
        segments.map(|file| file.metadata().map_or(0, |data| data.len())).sum()
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        script(&["stop"]);
    }
}

fn script(arguments: &[&str]) -> String {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services"));
    output(command.args(["--name", NAME, "--durable"]).args(arguments))
}

/// What a program that must succeed has printed.
pub fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

/// CPU time of a process, its own and that of its children that have ended.
fn times(pid: &str) -> Option<[Duration; 2]> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain spaces; the four times are fields 14 to 17, in ticks of 10 ms.
    let fields: Vec<u64> = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(4).map_while(|field| field.parse().ok()).collect();
    let [user, system, ended_user, ended_system] = fields.try_into().ok()?;
    Some([Duration::from_millis((user + system) * 10), Duration::from_millis((ended_user + ended_system) * 10)])
}
