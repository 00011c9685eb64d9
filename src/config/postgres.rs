//! How a PostgreSQL server is spoken to.

use serde::{Deserialize, Serialize};

/// Limits on what a server, or another node on it, may keep this node waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostgresSettings {
    /// Longest time to make one connection, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How long an open transaction may do nothing before the server ends it, in milliseconds.
    pub idle_transaction_ms: u64,
    /// Longest wait for a row that another transaction holds, in milliseconds.
    pub lock_wait_ms: u64,
    /// Longest time of one statement, in milliseconds.
    pub statement_limit_ms: u64,
    /// How long the other side may be silent before the connection is taken to be lost, in milliseconds.
    pub silence_ms: u64,
    /// How often a transaction that met another node's is tried again at once.
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
