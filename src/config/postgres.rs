//! How a PostgreSQL server is spoken to.

use serde::{Deserialize, Serialize};

/// Limits on what a server, or another node on it, may keep this node waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostgresSettings {
    /// Longest time to connect, per host of an address with several, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How long an open transaction may be idle before the server ends it, which frees the locks of a frozen node, in milliseconds.
    pub idle_transaction_ms: u64,
    /// Longest wait for a row that another transaction has locked, in milliseconds.
    pub lock_wait_ms: u64,
    /// Longest time one statement may take, in milliseconds.
    pub statement_limit_ms: u64,
    /// How long the server may be silent before the connection counts as lost, in milliseconds.
    pub silence_ms: u64,
    /// How often a transaction that conflicts with another node's is retried immediately.
    pub clash_repeats: u32,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 5_000,
            idle_transaction_ms: 2_000,
            lock_wait_ms: 4_000,
            statement_limit_ms: 30_000,
            silence_ms: 3_000,
            clash_repeats: 5,
        }
    }
}
