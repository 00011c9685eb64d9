//! What the consumer is made of, and what it asks of others.

use crate::config::KafkaSettings;
use crate::db::{ConsumedPlace, Reads};
use crate::domain::{DeadLetter, DeadLetterId, Event, OrderId, Role, RoleShards, Roles, Timestamp, Topic, WriterId};
use crate::kafka::client::BrokerState;
use crate::kafka::message::Record;
use crate::saga::Shipment;
use crate::telemetry::traces::Tracer;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use tokio::sync::{oneshot, watch};

/// Why an event was not taken, by what happens next.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InboundError {
    /// It is tried again, then it is a dead letter.
    #[error("{detail}")]
    Failed {
        /// A short code to group by.
        cause: String,
        /// What exactly happened.
        detail: String,
    },
    /// It is a dead letter at once.
    #[error("{detail}")]
    Never {
        /// A short code to group by.
        cause: String,
        /// What exactly happened.
        detail: String,
    },
    /// It is not its fault: it waits.
    #[error("{0}")]
    Away(String),
}

/// What the consumer asks of the node.
pub trait InboundEvents: Send + Sync {
    /// Whether an event rests on what the database has lost: `seq` of that writer's log is not there.
    fn is_lost(&self, role: Role, event: &Event, rests_on: (WriterId, i64)) -> BoxFuture<'static, Result<bool, InboundError>>;
    /// Hands an event to a role of this node; answers once a restart would not lose it.
    fn handle(&self, role: Role, event: Event) -> BoxFuture<'static, Result<(), InboundError>>;
    /// The goods of an order have left.
    fn ship(&self, order: OrderId, shipment: Shipment) -> BoxFuture<'static, Result<(), InboundError>>;
    /// Stores a dead letter.
    fn add_letter(&self, letter: DeadLetter) -> BoxFuture<'static, Result<(), InboundError>>;
    /// Replaces what a letter keeps of its message, open or closed.
    fn mark_letter(&self, letter: DeadLetterId, origin: String) -> BoxFuture<'static, Result<(), InboundError>>;
    /// Closes a letter whose message was taken after all.
    fn close_letter(&self, letter: DeadLetterId) -> BoxFuture<'static, Result<(), InboundError>>;
    /// Stores how far a role is done with partitions. `false`: it is not known to be stored.
    fn store_places(&self, role: Role, places: Vec<ConsumedPlace>) -> BoxFuture<'static, bool>;
}

/// What the consumer is made of.
#[derive(Clone)]
pub struct ConsumerParts {
    /// How it works.
    pub settings: KafkaSettings,
    /// The dead letters that there are.
    pub reads: Arc<dyn Reads>,
    /// The way to the roles.
    pub inbound: Arc<dyn InboundEvents>,
    /// What this node owns, as it changes.
    pub role_shards: watch::Receiver<RoleShards>,
    /// The roles that another team runs.
    pub external: Roles,
    /// What is known of the brokers.
    pub state: BrokerState,
    /// The time.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Where spans are told.
    pub tracer: Tracer,
}

/// Counters of one role's consumer.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Messages that were taken since the node started.
    pub(super) taken: AtomicU64,
    /// Messages that are under way.
    pub(super) waiting: AtomicU64,
    /// Partitions that it listens to.
    pub(super) partitions: AtomicU64,
    /// Orders of which a message is a dead letter.
    pub(super) parked: AtomicU64,
    /// Messages that the brokers have and that were not taken yet, by topic ([`Topic::number`]).
    pub(super) lag: [AtomicI64; Topic::ALL.len()],
}

/// Where the consumer writes what it writes to Kafka: copies of dead letters, and messages that came on the wrong partition. It tries until
/// the brokers have it, or will never take it, or the partition is another node's business (`gone`).
pub trait CopyWriter: Send + Sync {
    /// Puts a letter's copy on the dead letters' topic. One that is too long is logged: the letter itself is in the database. `false`: the
    /// partition is another node's by now.
    fn dead_letter<'a>(&'a self, record: &'a Record, letter: &'a DeadLetter, group: &'a str, gone: &'a AtomicBool) -> BoxFuture<'a, bool>;
    /// Publishes a message again where its order belongs, marked.
    fn to_its_partition<'a>(&'a self, record: &'a Record, order: OrderId, gone: &'a AtomicBool) -> BoxFuture<'a, ()>;
}

/// Why a dead letter's message was not taken again.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReprocessError {
    /// It failed again; the letter stays.
    #[error("it failed again: {0}")]
    Failed(String),
    /// It can never be taken: nothing of it is left to try, or it cannot be read.
    #[error("it cannot be taken: {0}")]
    Unreadable(String),
    /// Not now, or not here.
    #[error("not now: {0}")]
    Away(String),
}

/// What a role's thread is asked to do.
pub(super) struct Reprocess {
    pub(super) letter: DeadLetter,
    pub(super) reply: oneshot::Sender<Result<(), ReprocessError>>,
}
