//! The actors of one node on the memory store: each flow of the specification, and each actor's death in the middle of it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failing test may panic")]
#[path = "../support/mod.rs"]
mod support;

mod deaths;
mod desk;
mod flows;
mod limits;
mod planned;
mod restarts;
mod sagas;
