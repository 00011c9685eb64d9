//! What the publisher is made of, and the way in.

use crate::actors::{Logged, Submit};
use crate::config::KafkaSettings;
use crate::db::Reads;
use crate::domain::{Event, Role, Roles, Shard, WriterId};
use crate::kafka::client::BrokerState;
use std::sync::Arc;
use tokio::sync::mpsc;

/// What the publisher is made of.
#[derive(Clone)]
pub struct PublisherParts {
    /// How it works.
    pub settings: KafkaSettings,
    /// The logs.
    pub reads: Arc<dyn Reads>,
    /// The way to store what is published.
    pub submit: Submit,
    /// The writer of this node, which changes when it is fenced.
    pub own: Arc<dyn Fn() -> WriterId + Send + Sync>,
    /// Whether this node hosts that role for that shard.
    pub hosts: Arc<dyn Fn(Role, Shard) -> bool + Send + Sync>,
    /// The roles that another team runs: what is written on their topics is not ours.
    pub external: Roles,
    /// What is known of the brokers.
    pub state: BrokerState,
}

/// Where commits are put for the publisher. Never waits: what finds no room is read from the log.
#[derive(Clone)]
pub struct Feed {
    commits: mpsc::Sender<Logged>,
    repeats: mpsc::Sender<(WriterId, Event)>,
}

impl Feed {
    /// Puts a commit in.
    pub fn push(&self, logged: Logged) {
        drop(self.commits.try_send(logged));
    }

    /// Puts an event in that was said before, as `writer` of this node has it. What finds no room is left to who still misses an answer.
    pub fn repeat(&self, writer: WriterId, event: Event) {
        drop(self.repeats.try_send((writer, event)));
    }
}

/// Where a feed ends, for [`Publisher::start`](super::Publisher::start).
pub struct FeedEnd {
    /// What was committed.
    pub commits: mpsc::Receiver<Logged>,
    /// What is said again, and by which writer.
    pub repeats: mpsc::Receiver<(WriterId, Event)>,
}

/// Fewest repeats that find room: an order says up to two at once, and if there were room for one, the other would never be told.
const LEAST_REPEATS: usize = 64;

/// A feed with room for `settings.publish_feed` commits, and as many repeats, or more.
#[must_use]
pub fn feed(settings: &KafkaSettings) -> (Feed, FeedEnd) {
    let (commits, commits_end) = mpsc::channel(settings.publish_feed.max(1));
    let (repeats, repeats_end) = mpsc::channel(settings.publish_feed.max(LEAST_REPEATS));
    (Feed { commits, repeats }, FeedEnd { commits: commits_end, repeats: repeats_end })
}

/// Whether the publisher is to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// It goes on.
    No,
    /// It sends nothing more, waits for acknowledgements until this moment and stores them.
    By(tokio::time::Instant),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CorrelationId, EventBody, OrderId, Timestamp};

    #[test]
    fn what_an_order_says_again_at_once_finds_room_in_the_smallest_feed() {
        let (feed, mut end) = feed(&KafkaSettings { publish_feed: 1, ..KafkaSettings::default() });
        let event = |body| Event {
            order: OrderId::from_parts(1, [1; 10]),
            shard: Shard(0),
            correlation: CorrelationId(uuid::Uuid::nil()),
            at: Timestamp(1),
            body,
            external_ids: None,
        };
        for body in [EventBody::ShipmentHeld, EventBody::OrderConfirmed] {
            feed.repeat(WriterId(1), event(body));
        }
        let told = [end.repeats.try_recv(), end.repeats.try_recv()].map(|told| told.map(|(_, event)| event.body));
        assert_eq!(told, [Ok(EventBody::ShipmentHeld), Ok(EventBody::OrderConfirmed)]);
    }
}
