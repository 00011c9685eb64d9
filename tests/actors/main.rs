//! The actors of one node on the memory store: each flow of the specification, and each actor's death in the middle of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs,
    reason = "a failing test may panic, and nobody imports a test"
)]

#[path = "../support/mod.rs"]
mod support;

mod deaths;
mod desk;
mod flows;
mod invariants;
mod limits;
mod outage;
mod parked;
mod payments;
mod planned;
mod poison;
mod restarts;
mod sagas;
