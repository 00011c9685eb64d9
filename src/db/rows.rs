//! Rows that are written and read.

pub use crate::domain::AnalyticsRow;
use crate::domain::Timestamp;

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
