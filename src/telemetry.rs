//! Logs and metrics of the process. Set up once, by the composition root.

use crate::config::{LogFormat, TelemetrySettings};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::io::IsTerminal;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

/// Bounds of the latency histograms, in seconds.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// Bounds of the histograms of counts.
const COUNTS: [f64; 11] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0];

/// The process's logs and metrics.
pub struct Telemetry {
    filter: reload::Handle<EnvFilter, Registry>,
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
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
        let filter = EnvFilter::try_new(&settings.log).map_err(|error| TelemetryError::Filter(error.to_string()))?;
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
        Ok(Self { filter: handle, metrics })
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
        let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
        self.filter.reload(filter).map_err(|error| error.to_string())
    }
}
