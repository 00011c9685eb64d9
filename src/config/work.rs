//! What the actors, the database and the business are set to.

use serde::{Deserialize, Serialize};

/// The life of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrderSettings {
    /// Orders that may owe stock or payment; above it 503.
    pub open_limit: usize,
    /// Longest time that a request waits for its write, in milliseconds.
    pub request_limit_ms: u64,
    /// How long an idempotency key is remembered, in milliseconds.
    pub key_expiry_ms: u64,
    /// First time that a missing answer is asked for again, in milliseconds; then doubling.
    pub redrive_first_ms: u64,
    /// Longest time between two such questions, in milliseconds.
    pub redrive_most_ms: u64,
    /// How long stock is held without payment, in milliseconds.
    pub expiry_ms: u64,
    /// How long the payment's answer is awaited, in milliseconds.
    pub payment_deadline_ms: u64,
    /// How long a fact from which nothing follows may wait to be stored, in milliseconds.
    pub lazy_save_ms: u64,
    /// Tries of a charge, after the first, that failed for technical reasons.
    pub payment_retries: u32,
    /// Wait before the second try of a charge, in milliseconds; then doubling.
    pub payment_retry_first_ms: u64,
    /// Longest wait between two tries of a charge, in milliseconds.
    pub payment_retry_most_ms: u64,
    /// A payment that has failed is a dead letter so long after its first failure at the latest, in milliseconds.
    pub payment_give_up_ms: u64,
    /// Charges that are under way at the same time and thread.
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
    /// Most writes of one transaction.
    pub max_batch: usize,
    /// Most writes that wait for one.
    pub queue_limit: usize,
    /// A commit that runs for longer is slow, in milliseconds.
    pub slow_commit_ms: u64,
    /// One that runs for longer makes the node not ready, in milliseconds.
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
    /// Threads that run them; 0: by the number of cores.
    pub arbiters: usize,
    /// Restarts within the window; after more an order is parked and a service role makes the node not ready.
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
    /// A product with at most so many available is low on stock.
    pub low_stock: i32,
    /// Products in lists of the most sold and the scarcest.
    pub top: u32,
    /// How often numbers are stored, in milliseconds.
    pub save_ms: u64,
    /// With more changes than this to store, …
    pub busy_changes: u32,
    /// … they are stored so often, in milliseconds.
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
    /// Tries after the first; then the notice is given up.
    pub retries: u32,
    /// Wait before the second try, in milliseconds; then doubling.
    pub retry_first_ms: u64,
    /// Longest wait between two tries, in milliseconds.
    pub retry_most_ms: u64,
    /// How long a notice is tried that is not taken for now (greylisting, a full mailbox), in milliseconds.
    pub patience_ms: u64,
    /// Wait before the second such try, in milliseconds; then doubling.
    pub patience_first_ms: u64,
    /// Longest wait between two such tries, in milliseconds.
    pub patience_most_ms: u64,
    /// Notices that are sent at the same time and thread.
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

/// Logs, metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySettings {
    /// What is logged: a level, or directives such as `info,ordermill::http=debug`.
    pub log: String,
    /// How.
    pub log_format: LogFormat,
    /// Milliseconds between two readings of what the metrics tell of the database.
    pub sample_ms: u64,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self { log: "info".to_owned(), log_format: LogFormat::Text, sample_ms: 15_000 }
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
