//! Every metric of the process: name, kind, labels and help text. `/metrics` takes its HELP lines from here, `docs/metrics.md` is
//! generated from it, and a test checks it against the code.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use std::fmt::Write as _;

/// What a metric is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only grows while the node runs.
    Counter,
    /// A current value.
    Gauge,
    /// A distribution.
    Histogram,
}

/// Where a metric's number comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// What this node did or has.
    Node,
    /// What is in the database: the same at every node that reports it, so use the maximum, not the sum.
    Database,
}

/// One metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct About {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels, in the sequence of the docs; each has few values.
    pub labels: &'static [&'static str],
    /// Whose number it is.
    pub scope: Scope,
    /// Its help text.
    pub help: &'static str,
}

const fn node(name: &'static str, kind: Kind, labels: &'static [&'static str], help: &'static str) -> About {
    About { name, kind, labels, scope: Scope::Node, help }
}

const fn database(name: &'static str, kind: Kind, labels: &'static [&'static str], help: &'static str) -> About {
    About { name, kind, labels, scope: Scope::Database, help }
}

use Kind::{Counter, Gauge, Histogram};

/// All metrics, in the sequence of the docs. The `process_*` metrics come from a library, which describes them itself.
pub const METRICS: &[About] = &[
    node("ordermill_build_info", Gauge, &["version", "commit"], "Always 1; the labels say what is running."),
    node("ordermill_ready", Gauge, &[], "1 while the node is ready, else 0."),
    node("ordermill_open_orders", Gauge, &[], "Orders of this node that wait for stock or payment and count towards order.open_limit."),
    node("ordermill_unsettled_orders", Gauge, &[], "Orders of this node with a live actor because something is owed, notices included."),
    database("ordermill_orders_open", Gauge, &["status"], "Open orders by status, including those in shards that no node owns at present."),
    database(
        "ordermill_orders_open_oldest_age_seconds",
        Gauge,
        &["status"],
        "How long the oldest open order in this status has waited for its next step; 0 if there is none.",
    ),
    database("ordermill_orders_total", Counter, &["event"], "Orders placed, confirmed, shipped, failed or cancelled."),
    database("ordermill_orders_cancelled_total", Counter, &["reason"], "Cancelled orders by reason."),
    database(
        "ordermill_stock_answers_total",
        Counter,
        &["outcome"],
        "Answers of the inventory role: reserved, insufficient, released, shipped.",
    ),
    database("ordermill_payments_total", Counter, &["outcome"], "Payments charged, failed, cancelled or refunded."),
    database("ordermill_notices_total", Counter, &["channel", "outcome"], "Notices sent or given up."),
    database("ordermill_notice_tries_failed_total", Counter, &["channel"], "Failed tries to send a notice."),
    database("ordermill_dead_letters_open", Gauge, &["kind", "cause", "step"], "Dead letters that wait for a person."),
    database("ordermill_dead_letters_oldest_age_seconds", Gauge, &[], "Age of the oldest open dead letter; 0 if there is none."),
    database(
        "ordermill_shards_free",
        Gauge,
        &["role"],
        "Shards of a role that no node owns; their orders stand still. 0 for a role that another team runs.",
    ),
    node("ordermill_samples_failed_total", Counter, &[], "Failed readings of the database for these metrics; they are retried."),
    node("ordermill_sampled_timestamp_seconds", Gauge, &[], "When the database was last read for these metrics, in seconds since 1970."),
    node("ordermill_sqlite_bytes", Gauge, &["file"], "Size of the SQLite database file and of its write-ahead log."),
    node("ordermill_journal_commits_total", Counter, &[], "Transactions of this node's journal."),
    node("ordermill_journal_writes_total", Counter, &[], "Writes in these transactions."),
    node("ordermill_journal_commit_seconds", Histogram, &[], "How long a transaction took, including its sync."),
    node("ordermill_journal_commit_age_seconds", Gauge, &[], "How long the current transaction has been running; 0 if there is none."),
    node("ordermill_journal_batch_writes", Histogram, &[], "Writes per transaction."),
    node(
        "ordermill_commits_lost_total",
        Counter,
        &[],
        "Commits of this node that a failover has lost; the node ends, and the open dead letter (commits-lost) stays.",
    ),
    node("ordermill_redrives_total", Counter, &["event"], "Events that an order delivered again because an answer was overdue."),
    node(
        "ordermill_deliveries_left_to_redrive_total",
        Counter,
        &["role"],
        "Deliveries dropped because the mailbox was full; the order asks again later.",
    ),
    node("ordermill_actors", Gauge, &["kind"], "Live actors."),
    node("ordermill_actor_waiting", Gauge, &["kind"], "Messages that wait in the mailboxes of actors of this kind."),
    node("ordermill_actor_restarts_total", Counter, &["kind"], "Restarts of actors after a panic."),
    node("ordermill_breaker_open", Gauge, &["provider"], "1 while a provider's circuit breaker is open or on trial, else 0."),
    node("ordermill_breaker_held_by_hand", Gauge, &["provider"], "1 while a person holds the breaker, else 0."),
    node("ordermill_breaker_failures", Gauge, &["provider"], "Failures in the breaker's current window."),
    node("ordermill_breaker_opened_total", Counter, &["provider"], "How often the breaker has opened."),
    node("ordermill_broken_invariants_total", Counter, &["what"], "Violations of an internal invariant: a bug, please report it."),
    node("ordermill_requests_forwarded_total", Counter, &["outcome"], "Requests forwarded to another node."),
    node("ordermill_kafka_published_total", Counter, &[], "Events that the brokers acknowledged."),
    node("ordermill_kafka_publish_errors_total", Counter, &[], "Failures to publish; the events are sent again."),
    node(
        "ordermill_kafka_publish_lag",
        Gauge,
        &[],
        "Events not yet in Kafka, of this node's log and of the dead nodes' logs that it publishes.",
    ),
    node("ordermill_kafka_consumed_total", Counter, &["role"], "Records consumed."),
    node("ordermill_kafka_consumer_waiting", Gauge, &["role"], "Records read but not yet processed."),
    node("ordermill_kafka_consumer_partitions", Gauge, &["role"], "Partitions that this node consumes."),
    node("ordermill_kafka_consumer_lag", Gauge, &["role", "topic"], "Records of these partitions that are not yet processed."),
    node("ordermill_kafka_dead_letters_total", Counter, &["topic"], "Records that became dead letters."),
    node(
        "ordermill_kafka_lost_records_total",
        Counter,
        &["topic"],
        "Records that the topic deleted before this node read them; each gap is a dead letter.",
    ),
    node(
        "ordermill_kafka_lost_events_total",
        Counter,
        &["topic"],
        "Records passed over because they tell what the database lost in a failover; the log names each.",
    ),
    node("ordermill_kafka_moved_total", Counter, &["topic"], "Records on the wrong partition, published again on the right one."),
    node("ordermill_kafka_tombstones_total", Counter, &["topic"], "Records without a value."),
    node("ordermill_kafka_troubles", Gauge, &["kind"], "Current troubles with topics and partitions; /health names them."),
    node("ordermill_kafka_troubles_total", Counter, &["topic", "kind"], "How often such troubles have occurred."),
    node("ordermill_trace_spans_sent_total", Counter, &[], "Spans that the receiver of traces has taken."),
    node(
        "ordermill_trace_spans_dropped_total",
        Counter,
        &["reason"],
        "Spans that were lost: no room in the queue, not taken by the receiver in time, or refused by it.",
    ),
    node("http_server_active_requests", Gauge, &[], "Requests in progress."),
    node("http_server_request_duration_seconds", Histogram, &["method", "route", "status"], "Duration of requests, by route and status."),
    node("http_server_panics_total", Counter, &[], "Requests that panicked and were answered with 500."),
];

/// Registers the help text of every metric with the recorder.
pub(super) fn describe() {
    for about in METRICS {
        let unit = if about.name.ends_with("_seconds") { Unit::Seconds } else { Unit::Count };
        match about.kind {
            Kind::Counter => describe_counter!(about.name, unit, about.help),
            Kind::Gauge => describe_gauge!(about.name, unit, about.help),
            Kind::Histogram => describe_histogram!(about.name, unit, about.help),
        }
    }
}

/// `docs/metrics.md`.
#[must_use]
pub fn document() -> String {
    let mut text = INTRODUCTION.to_owned();
    text.push_str("| metric | kind | labels | of | what it says |\n| --- | --- | --- | --- | --- |\n");
    for About { name, kind, labels, scope, help } in METRICS {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let scope = match scope {
            Scope::Node => "the node",
            Scope::Database => "all nodes",
        };
        // Writing to a String does not fail.
        let _ = writeln!(text, "| `{name}` | {kind} | {} | {scope} | {help} |", labels.join(", "));
    }
    text
}

const INTRODUCTION: &str = "# Metrics

`GET /metrics` answers in Prometheus' text format. This page is generated from `src/telemetry/catalogue.rs` by its test
(`UPDATE_CONTRACTS=1`).

A scrape reads numbers that the node keeps in memory. Figures from the database (\"all nodes\" in the column \"of\") are read every
`telemetry.sample_ms` (15 s) and are the same at every node that reports them: use `max`, not `sum`. A node reports what its roles can
read: open orders need the role `order`, outcomes the role `analytics`. The `process_*` metrics (CPU seconds, memory, open files,
threads, start time) are those of the Prometheus client libraries, read from Linux's `/proc`.

The alerts are in `docker/prometheus/alerts.yml`; the [runbook](runbook/README.md) says what to do about each. The dashboards in
`docker/grafana/dashboards` show all metrics.

";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    fn sources(folder: &Path, into: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, into);
            } else if path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("telemetry/catalogue.rs") {
                into.push(std::fs::read_to_string(&path).unwrap());
            }
        }
    }

    /// The metrics in the code, with their kinds and the labels that are literals.
    fn used() -> BTreeMap<String, (Kind, BTreeSet<String>)> {
        let mut texts = Vec::new();
        sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut texts);
        let mut found: BTreeMap<String, (Kind, BTreeSet<String>)> = BTreeMap::new();
        for text in texts {
            for (kind, mark) in [(Counter, "metrics::counter!("), (Gauge, "metrics::gauge!("), (Histogram, "metrics::histogram!(")] {
                for call in text.split(mark).skip(1) {
                    let mut depth = 1;
                    let end = call.find(|letter| {
                        depth += match letter {
                            '(' => 1,
                            ')' => -1,
                            _ => 0,
                        };
                        depth == 0
                    });
                    let call = &call[..end.unwrap()];
                    let mut quoted = call.split('"').skip(1).step_by(2);
                    let name = quoted.next().expect("a metric is named by a literal").to_owned();
                    let labels = quoted.map(str::to_owned).filter(|text| call.contains(&format!("\"{text}\" =>")));
                    found.entry(name).or_insert((kind, BTreeSet::new())).1.extend(labels);
                }
            }
        }
        found
    }

    #[test]
    fn every_metric_of_the_code_is_described_and_none_else() {
        let used = used();
        let described: BTreeMap<String, (Kind, BTreeSet<String>)> = METRICS
            .iter()
            .map(|about| (about.name.to_owned(), (about.kind, about.labels.iter().map(|label| (*label).to_owned()).collect())))
            .collect();
        assert_eq!(used, described);
    }

    #[test]
    fn names_are_as_prometheus_wants_them() {
        for about in METRICS {
            assert_eq!(about.name.ends_with("_total"), about.kind == Counter, "{}", about.name);
            assert!(
                about.help.ends_with('.') && !about.labels.iter().any(|label| ["le", "quantile", "job"].contains(label)),
                "{}",
                about.name
            );
        }
    }

    #[test]
    fn the_documentation_is_what_the_table_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        if std::env::var_os("UPDATE_CONTRACTS").is_some() {
            std::fs::write(path, document()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(written, document(), "docs/metrics.md is old: UPDATE_CONTRACTS=1 cargo test --lib telemetry");
    }
}
