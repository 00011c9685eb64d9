//! Several nodes on one memory database: who owns what, take-over, hand-over, nodes that slept, roles on nodes of their own.
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

mod bus;
mod contradictions;
mod external;
mod fence;
mod handover;
mod loading;
mod lost;
mod member;
mod nodes;
mod refused;
mod roles;
mod strays;
