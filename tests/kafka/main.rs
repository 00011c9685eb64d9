//! The Kafka edge: what messages look like, what is taken from others, and how it fares on a broker.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing test may panic")]

mod compatibility;
mod contracts;
mod envelope;
mod sample;
