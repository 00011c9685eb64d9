//! What the publisher is made of, and the way in.

use crate::actors::{Logged, Submit};
use crate::config::KafkaSettings;
use crate::db::Reads;
use crate::domain::{Event, Role, Roles, Shard, WriterId};
use crate::kafka::client::BrokerState;
use crate::telemetry::traces::Tracer;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

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
    /// Where spans are told.
    pub tracer: Tracer,
}

/// Where commits are put for the publisher. Never waits: what finds no room is read from the log.
#[derive(Clone)]
pub struct Feed {
    commits: mpsc::Sender<Logged>,
    repeats: mpsc::Sender<Repeat>,
    /// The last commit's writer and number, also if the commit found no room.
    end: Arc<watch::Sender<(WriterId, i64)>>,
}

/// An event that is said again.
#[derive(Clone, Debug)]
pub struct Repeat {
    /// The writer that says it.
    pub writer: WriterId,
    /// The last number of its log by then.
    pub end: i64,
    /// The event.
    pub event: Event,
}

impl Feed {
    /// Puts a commit in.
    pub fn push(&self, logged: Logged) {
        self.end.send_replace((logged.writer, logged.to));
        drop(self.commits.try_send(logged));
    }

    /// Puts an event in that was said before, as `writer` of this node has it. What finds no room is left to who still misses an answer.
    pub fn repeat(&self, writer: WriterId, event: Event) {
        let (last, to) = *self.end.borrow();
        let end = if last == writer { to } else { 0 };
        drop(self.repeats.try_send(Repeat { writer, end, event }));
    }
}

/// Where a feed ends, for [`Publisher::start`](super::Publisher::start).
pub struct FeedEnd {
    /// What was committed.
    pub commits: mpsc::Receiver<Logged>,
    /// What is said again.
    pub repeats: mpsc::Receiver<Repeat>,
}

/// Fewest repeats that find room: an order says up to two at once, and if there were room for one, the other would never be told.
const LEAST_REPEATS: usize = 64;

/// A feed with room for `settings.publish_feed` commits, and as many repeats, or more.
#[must_use]
pub fn feed(settings: &KafkaSettings) -> (Feed, FeedEnd) {
    let (commits, commits_end) = mpsc::channel(settings.publish_feed.max(1));
    let (repeats, repeats_end) = mpsc::channel(settings.publish_feed.max(LEAST_REPEATS));
    let end = Arc::new(watch::Sender::new((WriterId(0), 0)));
    (Feed { commits, repeats, end }, FeedEnd { commits: commits_end, repeats: repeats_end })
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

    fn event(body: EventBody) -> Event {
        Event {
            order: OrderId::from_parts(1, [1; 10]),
            shard: Shard(0),
            correlation: CorrelationId::of(uuid::Uuid::nil()),
            at: Timestamp(1),
            body,
            external_ids: None,
        }
    }

    fn commit(after: i64, to: i64) -> Logged {
        Logged { writer: WriterId(1), after, to, events: Arc::default() }
    }

    #[test]
    fn a_repeat_tells_how_far_its_log_goes_also_when_the_commits_found_no_room() {
        let (feed, mut end) = feed(&KafkaSettings { publish_feed: 1, ..KafkaSettings::default() });
        feed.push(commit(0, 3));
        feed.push(commit(3, 7));
        for writer in [1, 2] {
            feed.repeat(WriterId(writer), event(EventBody::ShipmentHeld));
        }
        assert_eq!((end.commits.try_recv().unwrap().to, end.commits.try_recv().is_err()), (3, true));
        let ends = [end.repeats.try_recv(), end.repeats.try_recv()].map(|told| told.unwrap().end);
        assert_eq!(ends, [7, 0], "of another writer's log nothing is known");
    }

    #[test]
    fn what_an_order_says_again_at_once_finds_room_in_the_smallest_feed() {
        let (feed, mut end) = feed(&KafkaSettings { publish_feed: 1, ..KafkaSettings::default() });
        for body in [EventBody::ShipmentHeld, EventBody::OrderConfirmed] {
            feed.repeat(WriterId(1), event(body));
        }
        let told = [end.repeats.try_recv(), end.repeats.try_recv()].map(|told| told.map(|again| again.event.body));
        assert_eq!(told, [Ok(EventBody::ShipmentHeld), Ok(EventBody::OrderConfirmed)]);
    }
}
