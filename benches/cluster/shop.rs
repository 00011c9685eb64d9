//! Nodes on one database and one set of topics.

use crate::measure::{Bench, generate, generator_cpu_us};
use crate::process::{LIMIT, Served, until};
use crate::services::Services;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The database of all of them.
pub const DATABASE: &str = "shop";

/// Some nodes, warmed up.
pub struct Shop<'a> {
    services: &'a Services,
    nodes: Vec<Served>,
    /// Before the names of its topics.
    prefix: String,
    _folders: Vec<TempDir>,
}

/// What one load came to; times in µs an order.
pub struct Loaded {
    pub report: serde_json::Value,
    /// Orders a second, counted when nothing was owed any more.
    pub settled: f64,
    pub node_us: f64,
    pub postgres_us: f64,
    pub broker_us: f64,
    pub generator_us: f64,
    pub statements: f64,
    pub commits: f64,
    pub bytes: f64,
}

impl<'a> Shop<'a> {
    /// So many nodes on a database of their own.
    pub fn open(bench: &Bench, services: &'a Services, nodes: usize, settings: &[(&str, &str)]) -> Self {
        services.renew(DATABASE);
        Self::reopen(bench, services, nodes, settings)
    }

    /// On the database that is there.
    pub fn reopen(bench: &Bench, services: &'a Services, nodes: usize, settings: &[(&str, &str)]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("bench{}.{}.", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folders: Vec<TempDir> = (0..nodes).map(|_| bench.folder()).collect();
        let plan = |folder: &TempDir| {
            let plan = bench.plan(folder.path()).on(&services.database(DATABASE));
            let plan = plan.with("kafka.brokers", &services.brokers).with("kafka.prefix", &prefix);
            settings.iter().fold(plan, |plan, (name, value)| plan.with(name, value))
        };
        let nodes: Vec<Served> = folders.iter().map(|folder| plan(folder).start()).collect();
        let shop = Self { services, nodes, prefix, _folders: folders };
        let shared_out = "SELECT count(*) FROM (SELECT writer FROM shards GROUP BY writer HAVING count(*) >= \
            (SELECT count(*) FROM shards) / (SELECT count(*) FROM writers WHERE alive)) even";
        until("shards are shared out", LIMIT, || services.number(DATABASE, shared_out) as usize == shop.nodes.len());
        shop.load(&["--orders", "4000"]);
        services.sql(DATABASE, "CHECKPOINT");
        shop
    }

    /// Puts load on all nodes, and waits until nothing is owed and all is published.
    pub fn load(&self, options: &[&str]) -> Loaded {
        let urls: Vec<String> = self.nodes.iter().map(|node| node.plan.url()).collect();
        self.services.sql(DATABASE, "SELECT pg_stat_statements_reset()");
        let (cpu, services, bytes, commits, began) =
            (self.cpu(), self.services.cpu(), self.services.bytes_on_topics(&self.prefix), self.commits(), Instant::now());
        let (report, accepted) = generate(&self.nodes[0].plan, &urls.join(","), options);
        self.nodes.iter().for_each(|node| node.wait_settled(LIMIT));
        let spent = began.elapsed();
        let is_published = || self.nodes.iter().all(|node| node.plan.metric("ordermill_kafka_publish_lag") == 0.0);
        until("all is published", LIMIT, is_published);
        let services = self.services.cpu().since(services);
        let us = |time: Duration| time.as_secs_f64() * 1e6 / accepted;
        Loaded {
            settled: accepted / spent.as_secs_f64(),
            node_us: us(self.cpu() - cpu),
            postgres_us: us(services.postgres),
            broker_us: us(services.broker),
            generator_us: generator_cpu_us(&report),
            statements: self.services.number(
                DATABASE,
                &format!("SELECT sum(calls) FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE datname = '{DATABASE}'"),
            ) / accepted,
            commits: (self.commits() - commits) / accepted,
            bytes: (self.services.bytes_on_topics(&self.prefix) - bytes) as f64 / accepted,
            report,
        }
    }

    fn cpu(&self) -> Duration {
        self.nodes.iter().map(Served::cpu).sum()
    }

    /// Transactions that the journals have committed.
    fn commits(&self) -> f64 {
        self.services.number(DATABASE, "SELECT sum(commits) FROM writers")
    }

    /// Ends the nodes.
    pub fn end(self) {
        self.nodes.into_iter().for_each(Served::stop);
    }

    /// Ends the nodes, and sees that all was done that was counted.
    pub fn close(self) {
        let plan = self.nodes[0].plan.clone();
        self.end();
        let (is_sound, report) = plan.verify(&[]);
        assert!(is_sound, "not all was done that was counted: {report}");
    }
}
