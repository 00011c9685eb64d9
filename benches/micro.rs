//! The parts alone, with criterion: `cargo bench --bench micro -- [NAME]`.
//!
//! | name | one iteration is |
//! | --- | --- |
//! | `saga step` | one fact put into an order's record, and what follows from it: status, debts, events |
//! | `actor round trip` | one message to an actor on another arbiter and its answer back |
//! | `journal commit` | one transaction of so many placements in SQLite, synced; and an order's share of it |
//! | `whole order` | 64 orders at once through all actors on the memory store, until nothing is owed |

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a bench may panic")]

mod support;
