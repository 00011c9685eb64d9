//! What a writer's log holds: events, and the marks of shards that it took.

use super::{Event, Order, Role, Shard, WriterId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A taken shard's mark in the taker's log: who publishes that log stops here until `after_writer`'s log is published to `after_seq`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Marker {
    /// For which role the shard was taken.
    pub role: Role,
    /// Which shard.
    pub shard: Shard,
    /// Whose it was; none for a shard never owned before.
    pub after: Option<(WriterId, i64)>,
}

/// An event at its place in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoggedEvent {
    /// Its number in its writer's log, from 1 without gaps (markers take numbers too).
    pub seq: i64,
    /// The event.
    pub event: Event,
    /// The sale that it makes or undoes: the order as it was placed, with `OrderConfirmed`, and with `OrderCancelled` of an order that
    /// had been confirmed. None with every other event.
    pub sale: Option<Arc<Order>>,
}
