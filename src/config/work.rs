//! What the actors, the database and the business are set to.

use serde::{Deserialize, Serialize};

/// Settings for orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrderSettings {
    /// Maximum orders that wait for stock or payment; beyond that, 503.
    pub open_limit: usize,
    /// Longest time a request waits for its write, in milliseconds.
    pub request_limit_ms: u64,
    /// How long an idempotency key is remembered, in milliseconds.
    pub key_expiry_ms: u64,
    /// When an order first asks again for a missing answer, in milliseconds; then doubling.
    pub redrive_first_ms: u64,
    /// Longest such interval, in milliseconds.
    pub redrive_most_ms: u64,
    /// How long stock is held without payment, in milliseconds.
    pub expiry_ms: u64,
    /// How long an order waits for the payment's answer, in milliseconds.
    pub payment_deadline_ms: u64,
    /// How long a fact without consequences may wait to be stored, in milliseconds.
    pub lazy_save_ms: u64,
    /// Retries of a charge that failed for technical reasons.
    pub payment_retries: u32,
    /// Wait before the first retry of a charge, in milliseconds; then doubling.
    pub payment_retry_first_ms: u64,
    /// Longest wait between two tries of a charge, in milliseconds.
    pub payment_retry_most_ms: u64,
    /// A failing payment becomes a dead letter at the latest this long after its first failure, even while the breaker is open, in
    /// milliseconds.
    pub payment_give_up_ms: u64,
    /// Maximum payments in progress at the same time, per thread.
    pub payment_calls: usize,
}

impl Default for OrderSettings {
    fn default() -> Self {
        Self {
            open_limit: 100_000,
            request_limit_ms: 10_000,
            key_expiry_ms: 86_400_000,
            redrive_first_ms: 5_000,
            redrive_most_ms: 300_000,
            expiry_ms: 7_200_000,
            payment_deadline_ms: 3_600_000,
            lazy_save_ms: 200,
            payment_retries: 3,
            payment_retry_first_ms: 1_000,
            payment_retry_most_ms: 60_000,
            payment_give_up_ms: 120_000,
            payment_calls: 4_096,
        }
    }
}

/// The group commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalSettings {
    /// Maximum writes in one transaction.
    pub max_batch: usize,
    /// Maximum queued writes.
    pub queue_limit: usize,
    /// Commits that take longer are reported as slow, in milliseconds.
    pub slow_commit_ms: u64,
    /// Commits that take longer make the node not ready, in milliseconds.
    pub stuck_commit_ms: u64,
}

impl Default for JournalSettings {
    fn default() -> Self {
        Self { max_batch: 1_000, queue_limit: 400_000, slow_commit_ms: 2_000, stuck_commit_ms: 10_000 }
    }
}

/// The actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActorSettings {
    /// Threads that run actors; 0: half the cores, at least one.
    pub arbiters: usize,
    /// Restarts allowed within the window. After more, an order is parked, and a failing role makes the node not ready.
    pub restart_limit: u32,
    /// The window, in milliseconds.
    pub restart_window_ms: u64,
}

impl Default for ActorSettings {
    fn default() -> Self {
        Self { arbiters: 0, restart_limit: 5, restart_window_ms: 60_000 }
    }
}

/// Whose prices count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PricingSettings {
    /// The rule.
    pub rule: PricingRule,
}

/// Whose prices count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PricingRule {
    /// The catalogue's; an order with another price is cancelled.
    #[default]
    Check,
    /// The client's.
    Trust,
}

impl From<PricingRule> for crate::domain::Pricing {
    fn from(rule: PricingRule) -> Self {
        match rule {
            PricingRule::Check => Self::Check,
            PricingRule::Trust => Self::Trust,
        }
    }
}

/// The business's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnalyticsSettings {
    /// A product with at most this many available is low on stock.
    pub low_stock: i32,
    /// Number of products in the lists of best sellers and of low stock.
    pub top: u32,
    /// How often figures are stored, in milliseconds.
    pub save_ms: u64,
    /// With more changes than this to store, `busy_save_ms` applies.
    pub busy_changes: u32,
    /// How often figures are stored then, in milliseconds.
    pub busy_save_ms: u64,
}

impl Default for AnalyticsSettings {
    fn default() -> Self {
        Self { low_stock: 10, top: 10, save_ms: 1_000, busy_changes: 500, busy_save_ms: 10_000 }
    }
}

/// Notices to customers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotificationSettings {
    /// Retries of a failed notice; then it is given up.
    pub retries: u32,
    /// Wait before the first retry, in milliseconds; then doubling.
    pub retry_first_ms: u64,
    /// Longest wait between two tries, in milliseconds.
    pub retry_most_ms: u64,
    /// How long a notice is retried that the mail server does not accept for now (greylisting, a full mailbox), or while the server is down
    /// (which does not count as a try), in milliseconds.
    pub patience_ms: u64,
    /// Wait before the first such retry, in milliseconds; then doubling.
    pub patience_first_ms: u64,
    /// Longest wait between two such tries, in milliseconds.
    pub patience_most_ms: u64,
    /// Maximum notices in progress at the same time, per thread.
    pub calls: usize,
    /// The domain of the address of a customer who gave no contact.
    pub customer_domain: String,
}

impl Default for NotificationSettings {
    fn default() -> Self {
        Self {
            retries: 3,
            retry_first_ms: 1_000,
            retry_most_ms: 60_000,
            patience_ms: 86_400_000,
            patience_first_ms: 60_000,
            patience_most_ms: 3_600_000,
            calls: 1_024,
            customer_domain: "customers.invalid".to_owned(),
        }
    }
}

/// Logs, metrics, traces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySettings {
    /// What is logged: a level, or directives such as `info,ordermill::http=debug`.
    pub log: String,
    /// The log format.
    pub log_format: LogFormat,
    /// How often the node reads the database for the metrics, in milliseconds.
    pub sample_ms: u64,
    /// The base address of the receiver of traces (OTLP over HTTP); empty: no traces.
    pub otlp_endpoint: String,
    /// What the program is called in traces.
    pub service_name: String,
    /// The share of the traces that is sampled, of those whose client does not say.
    pub trace_ratio: f64,
    /// An order that takes longer is traced, sampled or not, in milliseconds; 0: none is for that.
    pub trace_slow_ms: u64,
    /// The most spans that wait.
    pub trace_queue: usize,
    /// The most spans of one request to the receiver.
    pub trace_batch: usize,
    /// How long spans wait for others to share their request, in milliseconds.
    pub trace_interval_ms: u64,
    /// The longest wait for the receiver's answer, in milliseconds.
    pub trace_timeout_ms: u64,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            log_format: LogFormat::Text,
            sample_ms: 15_000,
            otlp_endpoint: String::new(),
            service_name: "ordermill".to_owned(),
            trace_ratio: 0.01,
            trace_slow_ms: 5_000,
            trace_queue: 8_192,
            trace_batch: 512,
            trace_interval_ms: 1_000,
            trace_timeout_ms: 10_000,
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
