//! The contents of a writer's log: events, and markers of the shards that it took.

use super::{Event, Order, Role, Shard, WriterId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Marks in the new owner's log that it took a shard. Whoever publishes this log stops here until the log of the last owner is published as
/// far as `after` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Marker {
    /// The role for which the shard was taken.
    pub role: Role,
    /// The shard.
    pub shard: Shard,
    /// The last owner, and the last number in its log that must be published first; `None` for a shard that was never owned.
    pub after: Option<(WriterId, i64)>,
}

/// An event with its place in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoggedEvent {
    /// Its number in its writer's log, from 1 without gaps (markers take numbers too).
    pub seq: i64,
    /// The event.
    pub event: Event,
    /// The sale that it makes or undoes: the order as it was placed, for `OrderConfirmed`, and for `OrderCancelled` of a confirmed order.
    /// `None` for every other event.
    pub sale: Option<Arc<Order>>,
}
