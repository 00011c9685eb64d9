//! Logs, metrics and traces of the process. Set up once, by the composition root.

pub mod catalogue;
pub mod traces;

use crate::config::{LogFormat, TelemetrySettings};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::io::IsTerminal;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

/// The rooms of this program, whose modules are the targets of its log lines.
const ROOMS: [&str; 14] =
    ["actors", "app", "cli", "command", "config", "db", "domain", "http", "kafka", "providers", "saga", "sheet", "telemetry", "verify"];

/// Other crates that say something worth reading.
const CRATES: [&str; 16] = [
    "actix",
    "actix_http",
    "actix_server",
    "actix_web",
    "diesel",
    "diesel_async",
    "h2",
    "hyper",
    "hyper_util",
    "lettre",
    "mio",
    "rdkafka",
    "reqwest",
    "rustls",
    "tokio",
    "tokio_postgres",
];

/// Bounds of the latency histograms, in seconds.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// Bounds of the histograms of counts.
const COUNTS: [f64; 11] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0];

/// The process's logs and metrics.
pub struct Telemetry {
    filter: reload::Handle<EnvFilter, Registry>,
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
    process: metrics_process::Collector,
}

/// Why logs or metrics cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be understood.
    #[error("telemetry.log: {0}")]
    Filter(String),
    /// They were set up before.
    #[error("logs or metrics are set up already: {0}")]
    Twice(String),
}

impl Telemetry {
    /// Sets logs and metrics up for the whole process. Logs go to standard error.
    ///
    /// # Errors
    /// See [`TelemetryError`].
    pub fn start(settings: &TelemetrySettings) -> Result<Self, TelemetryError> {
        let filter = parse(&settings.log).map_err(TelemetryError::Filter)?;
        let (filter, handle) = reload::Layer::new(filter);
        let is_terminal = std::io::stderr().is_terminal();
        let lines = match settings.log_format {
            LogFormat::Text => fmt::layer().with_writer(std::io::stderr).with_ansi(is_terminal).with_target(false).boxed(),
            LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed(),
        };
        let twice = |error: String| TelemetryError::Twice(error);
        tracing_subscriber::registry().with(filter).with(lines).try_init().map_err(|error| twice(error.to_string()))?;
        let metrics = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_writes".to_owned()), &COUNTS))
            .map_err(|error| twice(error.to_string()))?
            .install_recorder()
            .map_err(|error| twice(error.to_string()))?;
        catalogue::describe();
        metrics::gauge!("ordermill_build_info", "version" => env!("CARGO_PKG_VERSION"), "commit" => env!("BUILD_COMMIT")).set(1.0);
        let process = metrics_process::Collector::default();
        process.describe();
        Ok(Self { filter: handle, metrics, process })
    }

    /// Writes CPU time, memory, open files and threads of the process into the metrics; reads `/proc`.
    pub fn publish_process(&self) {
        self.process.collect();
    }

    /// What is logged now.
    #[must_use]
    pub fn log_filter(&self) -> String {
        self.filter.with_current(EnvFilter::to_string).unwrap_or_default()
    }

    /// Sets what is logged from now on.
    ///
    /// # Errors
    /// Why the filter cannot be understood.
    pub fn set_log_filter(&self, filter: &str) -> Result<(), String> {
        let filter = parse(filter)?;
        self.filter.reload(filter).map_err(|error| error.to_string())
    }
}

/// A filter each of whose directives says something: a word that names no level would be taken for a target, and one that names no
/// module would silence what it was meant to show.
fn parse(text: &str) -> Result<EnvFilter, String> {
    let directives: Vec<&str> = text.split(',').map(str::trim).filter(|directive| !directive.is_empty()).collect();
    for directive in &directives {
        let target = directive.split(['=', '[']).next().unwrap_or_default();
        let is_level = target == *directive && directive.parse::<LevelFilter>().is_ok();
        if !(is_level || target.is_empty() || is_known(target)) {
            return Err(format!(
                "{target:?} is neither a level (off, error, warn, info, debug, trace) nor a module of this program (such as ordermill or \
                 ordermill::http) or a crate that it logs for ({})",
                CRATES.join(", ")
            ));
        }
    }
    if directives.is_empty() {
        return Err(
            "is empty: give a level (off, error, warn, info, debug, trace) or directives such as info,ordermill::http=debug".to_owned()
        );
    }
    EnvFilter::try_new(directives.join(",")).map_err(|error| error.to_string())
}

fn is_known(target: &str) -> bool {
    let mut path = target.split("::");
    match path.next() {
        Some("ordermill") => path.next().is_none_or(|room| ROOMS.contains(&room)),
        Some(name) => CRATES.contains(&name),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rooms_are_those_of_the_source() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap();
        let stems = folder.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned());
        // The plants are in what is built for tests alone.
        let found: std::collections::BTreeSet<String> = stems.filter(|name| !["lib", "main", "plants"].contains(&name.as_str())).collect();
        assert_eq!(found, ROOMS.map(str::to_owned).into_iter().collect());
    }

    #[test]
    fn a_filter_names_what_is_known() {
        for good in [
            "info",
            "OFF",
            "info,ordermill::http=debug",
            "ordermill",
            "warn, ordermill::db::sqlite=trace",
            "rustls=off,info",
            "[span]=debug",
        ] {
            assert!(parse(good).is_ok(), "{good}: {:?}", parse(good).err());
        }
        for bad in ["nonsense", "ordermill::htp=debug", "inf", "info,ordermil=debug", "", " , ", "ordermill=loud"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
