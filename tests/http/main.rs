//! What a client of the HTTP server sees: the whole list of routes over a node on the memory store.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a failing test may panic")]
#![allow(unreachable_pub, reason = "a test target's modules are its own")]

mod access;
mod app;
mod bad_requests;
mod desk;
mod forwarding;
mod live;
mod neighbours;
mod node;
mod orders;
mod prefixes;
mod sales;
mod sockets;
mod stock;
#[path = "../support/mod.rs"]
mod support;
mod vouching;
