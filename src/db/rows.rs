//! Rows that are written and read.

pub use crate::domain::AnalyticsRow;
use crate::domain::Timestamp;

/// How far a role is done with a partition.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ConsumedPlace {
    /// The topic's full name.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The first offset that it is not done with.
    pub next: i64,
}

/// What is stored of how far a role is done.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Consumption {
    /// The places, by topic and partition.
    pub places: Vec<ConsumedPlace>,
    /// Whether an earlier version used the database, which left its places to Kafka.
    pub is_upgraded: bool,
}

/// One manual action on a dead letter, the stock or a breaker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What: a letter's new state, `stock`, `breaker-close`.
    pub action: String,
    /// To what: a letter's or product's id, a breaker's name and node.
    pub subject: String,
    /// Why, or how much.
    pub note: Option<String>,
}
