//! The yardstick: `pgbench` on the same server, tables and indexes.

use crate::measure::Bench;
use crate::services::{Services, output};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const DATABASE: &str = "bench";
const CLIENTS: usize = 16;

/// How long the blobs of an order are, as a node stores them.
pub struct Sizes {
    details: u32,
    record: u32,
    event: u32,
}

impl Sizes {
    /// As they are in a database that a node has filled.
    pub fn of(services: &Services, database: &str) -> Self {
        let of = |statement: &str| services.number(database, statement) as u32;
        Self {
            details: of("SELECT round(avg(length(details))) FROM orders"),
            record: of("SELECT round(avg(length(record))) FROM orders"),
            event: of("SELECT round(avg(length(data))) FROM events WHERE kind <> 0"),
        }
    }
}

/// What it came to.
pub struct Rate {
    pub orders: f64,
    pub postgres_us: f64,
}

/// Orders a second, each in one transaction with all its rows.
pub fn orders(bench: &Bench, services: &Services, sizes: &Sizes, seconds: u32) -> Rate {
    prepare(bench, services);
    let cpu = services.cpu();
    let folder = bench.folder();
    let printed =
        output(pgbench(services, folder.path(), sizes, CLIENTS, seconds, include_str!("order.sql")).arg(services.database(DATABASE)));
    let spent = services.cpu().since(cpu);
    let orders = printed.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    let count = services.number(DATABASE, "SELECT count(*) FROM orders");
    Rate { orders: orders.unwrap_or_else(|| panic!("{printed}")), postgres_us: spent.postgres.as_secs_f64() * 1e6 / count }
}

/// How long each of the orders of one client took whose five commits follow each other.
pub fn commits(bench: &Bench, services: &Services, sizes: &Sizes, seconds: u32) -> Vec<Duration> {
    prepare(bench, services);
    let folder = bench.folder();
    let logs = bench.folder();
    let mut command = pgbench(services, folder.path(), sizes, 1, seconds, include_str!("commits.sql"));
    output(command.args(["--log", "--log-prefix"]).arg(logs.path().join("commits")).arg(services.database(DATABASE)));
    let mut all = Vec::new();
    for file in std::fs::read_dir(logs.path()).expect("the folder").filter_map(Result::ok) {
        let text = std::fs::read_to_string(file.path()).expect("a log");
        // client, transaction, time in µs, …
        all.extend(text.lines().filter_map(|line| Some(Duration::from_micros(line.split(' ').nth(2)?.parse().ok()?))));
    }
    assert!(!all.is_empty(), "pgbench has logged nothing");
    all
}

fn pgbench(services: &Services, folder: &Path, sizes: &Sizes, clients: usize, seconds: u32, script: &str) -> Command {
    let mut command = Command::new(services.tool("pgbench"));
    command.args(["-n", "-M", "prepared", "-j", "1", "-c", &clients.to_string(), "-T", &seconds.to_string()]);
    command.args(["-D", "n=0", "-D", "first_writer=1"]);
    for (name, value) in [("details", sizes.details), ("record", sizes.record), ("event", sizes.event)] {
        command.args(["-D", &format!("{name}={value}")]);
    }
    let file = folder.join("script.sql");
    std::fs::write(&file, format!("{}{script}", include_str!("ids.sql"))).expect("the script is written");
    command.arg("-f").arg(file);
    command
}

/// The tables of a node, with products and a writer for each client.
fn prepare(bench: &Bench, services: &Services) {
    services.renew(DATABASE);
    let folder = bench.folder();
    let migrated = bench.plan(folder.path()).run(&["migrate", "--database", &services.database(DATABASE)]);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    services.sql(
        DATABASE,
        "CREATE FUNCTION bench_id(high bigint, low bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS \
         $$ SELECT encode(int8send(high) || int8send(low), 'hex')::uuid $$",
    );
    services.sql(
        DATABASE,
        "CREATE FUNCTION bench_blob(length int) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$ SELECT decode(repeat('a5', length), 'hex') $$",
    );
    services.sql(
        DATABASE,
        "INSERT INTO products (id, name, price, available_quantity, supplied_quantity) \
         SELECT bench_id(9, n), 'Thing', 19.99, 1000000, 1000000 FROM generate_series(1, 1000) n",
    );
    services.sql(
        DATABASE,
        &format!("INSERT INTO writers (node, url, roles, alive, lease_until) SELECT 'bench', '', '', true, now() FROM generate_series(1, {CLIENTS})"),
    );
    services.sql(DATABASE, "VACUUM ANALYZE");
    services.sql(DATABASE, "CHECKPOINT");
}
