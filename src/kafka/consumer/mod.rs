//! The consumer: reads what other nodes and teams write, and hands it to the roles of this node.
//!
//! For each role it owns a thread with a client, and the partitions that the role consumes: those of the shards that this node owns for the
//! role, if the role that writes the topic is on another node. Nothing else decides this: there is no group rebalance. How far it is done
//! is stored in the role's own database, from which it goes on ([`core::starts`]); the group's offsets are a copy for tools. Guarantees: an
//! offset is stored and committed once its message and all before it are done. Messages of one order are handled one
//! after another, those of different orders concurrently. A message that fails holds up only its own order, and becomes a dead letter
//! behind which later messages of that order wait. An unreachable database or broker does not count as a failure of a message. Work in
//! progress is bounded: beyond the window a partition is paused.
//!
//! What it decides is a core without IO ([`core`]); the rest puts that core between librdkafka, the roles and the database. It knows the
//! roles by [`InboundEvents`] alone.

mod callbacks;
mod commits;
mod copies;
pub mod core;
mod gaps;
mod inbound;
pub mod parked;
mod parts;
pub mod places;
pub mod processor;
mod reassign;
mod run;
mod state;
mod watching;

use self::core::assignment::{self, LISTENERS};
pub use inbound::NodeInbound;
pub use parts::{ConsumerParts, CopyWriter, InboundError, InboundEvents, ReprocessError};

use crate::domain::{DeadLetter, EventKind, Role, Topic};
use parts::{Figures, Reprocess};
use state::Shared;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// The current state of a role's consumption.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Consumed {
    /// The role that listens.
    pub role: Role,
    /// Messages that were taken since the node started.
    pub taken: u64,
    /// Messages that are under way.
    pub waiting: u64,
    /// Partitions that it listens to.
    pub partitions: u64,
    /// Orders of these partitions of which a message is a dead letter: their later ones wait.
    pub parked: u64,
    /// Messages that the brokers have and that were not taken yet, as of some seconds ago.
    pub lag: u64,
    /// The same of each topic, in the order of [`Topic::ALL`].
    pub lag_of: [u64; Topic::ALL.len()],
}

/// Dead letters that wait to be tried again, for one role.
const REPROCESS_QUEUE: usize = 64;

struct Listener {
    figures: Arc<Figures>,
    again: mpsc::Sender<Reprocess>,
    ended: watch::Receiver<bool>,
}

/// The running consumer.
pub struct Consumer {
    listeners: BTreeMap<Role, Listener>,
    stop: watch::Sender<bool>,
}

impl Consumer {
    /// Starts it: a thread for each of the roles that this node hosts.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(parts: &ConsumerParts, hosted: &[Role]) -> std::io::Result<Self> {
        let (stop, stopping) = watch::channel(false);
        let mut listeners = BTreeMap::new();
        for role in LISTENERS.into_iter().filter(|role| hosted.contains(role)) {
            let (again, asked) = mpsc::channel(REPROCESS_QUEUE);
            let (end, ended) = watch::channel(false);
            let figures = Arc::new(Figures::default());
            let shared = Shared { role, parts: parts.clone(), figures: figures.clone(), stopping: stopping.clone() };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            std::thread::Builder::new().name(format!("consumer-{}", role.name())).spawn(move || {
                run::keep(&runtime, &shared, asked);
                end.send_replace(true);
            })?;
            listeners.insert(role, Listener { figures, again, ended });
        }
        Ok(Self { listeners, stop })
    }

    /// Each role's consumer.
    #[must_use]
    pub fn consumed(&self) -> Vec<Consumed> {
        let lag_of = |listener: &Listener| {
            Topic::ALL.map(|topic| {
                let lag = listener.figures.lag.get(usize::from(topic.number()));
                lag.and_then(|lag| u64::try_from(lag.load(Ordering::Relaxed)).ok()).unwrap_or(0)
            })
        };
        let of = |(role, listener): (&Role, &Listener)| Consumed {
            role: *role,
            taken: listener.figures.taken.load(Ordering::Relaxed),
            waiting: listener.figures.waiting.load(Ordering::Relaxed),
            partitions: listener.figures.partitions.load(Ordering::Relaxed),
            parked: listener.figures.parked.load(Ordering::Relaxed),
            lag: lag_of(listener).iter().sum(),
            lag_of: lag_of(listener),
        };
        self.listeners.iter().map(of).collect()
    }

    /// Writes the numbers of the moment into the metrics.
    pub fn publish(&self) {
        for consumed in self.consumed() {
            let role = consumed.role.name();
            metrics::counter!("ordermill_kafka_consumed_total", "role" => role).absolute(consumed.taken);
            metrics::gauge!("ordermill_kafka_consumer_waiting", "role" => role).set(consumed.waiting as f64);
            metrics::gauge!("ordermill_kafka_consumer_partitions", "role" => role).set(consumed.partitions as f64);
            let listened = |topic: &Topic| EventKind::ALL.into_iter().any(|kind| assignment::takes(consumed.role, *topic, kind));
            for (topic, lag) in Topic::ALL.into_iter().zip(consumed.lag_of).filter(|(topic, _)| listened(topic)) {
                metrics::gauge!("ordermill_kafka_consumer_lag", "role" => role, "topic" => topic.name()).set(lag as f64);
            }
        }
    }

    /// Takes a dead letter's message again; the letter is closed by who asks.
    ///
    /// # Errors
    /// See [`ReprocessError`].
    pub async fn reprocess(&self, letter: DeadLetter) -> Result<(), ReprocessError> {
        let away = |why: &str| ReprocessError::Away(why.to_owned());
        let listener = self.listeners.get(&letter.role).ok_or_else(|| away("its role is not on this node"))?;
        let (reply, answer) = oneshot::channel();
        listener.again.try_send(Reprocess { letter, reply }).map_err(|_| away("others wait to be tried again"))?;
        answer.await.unwrap_or_else(|_| Err(away("the consumer has ended")))
    }

    /// Takes nothing more and commits what is done, at most `limit`. What is under way is heard again at the next start.
    pub async fn stop(&self, limit: Duration) {
        self.stop.send_replace(true);
        let ends = self.listeners.values().map(|listener| {
            let mut ended = listener.ended.clone();
            async move { drop(ended.wait_for(|ended| *ended).await) }
        });
        drop(tokio::time::timeout(limit, futures_util::future::join_all(ends)).await);
    }
}
