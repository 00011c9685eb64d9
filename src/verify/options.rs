//! What to check, and how much to show.

use crate::domain::{BookedCharge, OrderId, Role, Timestamp};
use std::collections::HashSet;

/// Whether orders may still be under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Expect {
    /// The database is alive: orders may be open.
    #[default]
    Live,
    /// Everything has come to rest: every order must be settled.
    Settled,
}

/// What to check, and how much to show.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether orders may still be open.
    pub expect: Expect,
    /// Orders that were answered with 202, if they were recorded.
    pub recorded: Option<HashSet<OrderId>>,
    /// Events older than this may have been deleted by retention: of older orders no event is missed.
    pub log_since: Option<Timestamp>,
    /// Roles that another team runs: they have no rows here.
    pub external: Vec<Role>,
    /// The payment provider's own books, read after the snapshot began, if they are to be compared.
    pub provider: Option<Vec<BookedCharge>>,
    /// The most violations of each check that are listed; all are counted.
    pub shown: usize,
    /// So many orders or events are read at once.
    pub page: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { expect: Expect::Live, recorded: None, log_since: None, external: Vec::new(), provider: None, shown: 20, page: 2000 }
    }
}
