//! The publisher: brings the event log to Kafka, in order per order, each event at least once.
//!
//! What it decides is a core without IO ([`core`]). Around it, this room owns one thread with a producer. Promises: nothing of a log is
//! skipped; a taken shard's events follow those of its last owner; the stored point only grows and never passes what is acknowledged;
//! memory is bounded however long the brokers are away, as what does not fit is read from the log later. Processing never waits for it. It
//! publishes the log of this node's writer, and those of dead writers that it could claim.
//!
//! It knows nothing of who listens.

pub mod core;
mod parts;
mod producer;
mod run;

use crate::kafka::publisher::parts::Stop;
pub use parts::{Feed, FeedEnd, PublisherParts, Repeat, feed};
use producer::Counters;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Counters of the publisher.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Published {
    /// Events that the brokers have acknowledged since the node started.
    pub events: u64,
    /// Failures since the node started.
    pub errors: u64,
    /// Numbers of the logs that are not acknowledged yet.
    pub lag: u64,
}

/// The running publisher.
pub struct Publisher {
    counters: Arc<Counters>,
    lag: Arc<AtomicI64>,
    stop: watch::Sender<Stop>,
    ended: watch::Receiver<bool>,
}

impl Publisher {
    /// Starts it on a thread of its own.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(parts: PublisherParts, feed: FeedEnd) -> std::io::Result<Self> {
        let (stop, stopping) = watch::channel(Stop::No);
        let (end, ended) = watch::channel(false);
        let (counters, lag) = (Arc::new(Counters::default()), Arc::new(AtomicI64::new(0)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = run::Shared { parts, counters: counters.clone(), lag: lag.clone(), stopping };
        std::thread::Builder::new().name("publisher".to_owned()).spawn(move || {
            run::keep(&runtime, &shared, feed);
            end.send_replace(true);
        })?;
        Ok(Self { counters, lag, stop, ended })
    }

    /// Its counters.
    #[must_use]
    pub fn published(&self) -> Published {
        Published {
            events: self.counters.published.load(Ordering::Relaxed),
            errors: self.counters.errors.load(Ordering::Relaxed),
            lag: u64::try_from(self.lag.load(Ordering::Relaxed)).unwrap_or(0),
        }
    }

    /// Writes the numbers of the moment into the metrics.
    pub fn publish(&self) {
        let published = self.published();
        metrics::counter!("ordermill_kafka_published_total").absolute(published.events);
        metrics::counter!("ordermill_kafka_publish_errors_total").absolute(published.errors);
        metrics::gauge!("ordermill_kafka_publish_lag").set(published.lag as f64);
    }

    /// Ends it: what was sent is awaited and stored, at most `limit`. The rest is published at the next start, or by a survivor.
    pub async fn stop(&self, limit: Duration) {
        let by = tokio::time::Instant::now() + limit;
        self.stop.send_replace(Stop::By(by));
        let mut ended = self.ended.clone();
        drop(tokio::time::timeout_at(by, ended.wait_for(|ended| *ended)).await);
    }
}
