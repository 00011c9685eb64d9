//! The publisher's loop: puts its core between the feed, the database and the producer.

use super::core::PublisherCore;
use super::producer::{Counters, Failure, NotTaken, Producer, Told};
use crate::actors::Fate;
use crate::db::{RowOutcome, TypedWrite, Write};
use crate::domain::WriterId;
use crate::kafka::client::{self, Brokers};
use crate::kafka::publisher::parts::{FeedEnd, PublisherParts, Repeat, Stop};
use crate::kafka::topics::{self, TopicsError};
use crate::kafka::troubles::{Trouble, TroubleKind};
use crate::saga::policy::Backoff;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};

/// A claim lasts for so many looks for dead writers' logs, so that one that takes long does not end it.
const CLAIM_LOOKS: u64 = 5;

/// What outlives a panic of the loop.
pub(super) struct Shared {
    pub(super) parts: PublisherParts,
    pub(super) counters: Arc<Counters>,
    pub(super) lag: Arc<AtomicI64>,
    pub(super) stopping: watch::Receiver<Stop>,
}

/// Runs the loop until it is stopped, and a new one when it panics.
pub(super) fn keep(runtime: &Runtime, shared: &Shared, mut feed: FeedEnd) {
    let mut deaths = 0;
    loop {
        let running = AssertUnwindSafe(|| runtime.block_on(Run::new(shared).run(&mut feed)));
        if catch_unwind(running).is_ok() {
            return;
        }
        tracing::error!("the publisher panicked; it goes on from what is stored");
        shared.counters.errors.fetch_add(1, Ordering::Relaxed);
        deaths += 1;
        let rest = Duration::from_millis(backoff(&shared.parts).after(deaths));
        // A timer is made within its runtime.
        runtime.block_on(async { tokio::time::sleep(rest).await });
    }
}

fn backoff(parts: &PublisherParts) -> Backoff {
    Backoff { first_ms: parts.settings.backoff_first_ms, most_ms: parts.settings.backoff_most_ms }
}

struct Run<'s> {
    shared: &'s Shared,
    core: PublisherCore,
    /// The points that are being stored, and whether they were.
    marking: JoinSet<(WriterId, i64, bool)>,
}

/// Why the loop leaves its producer.
enum Left {
    Stopped,
    /// `is_refusal`: the brokers do not take something.
    Broken {
        is_refusal: bool,
    },
}

impl<'s> Run<'s> {
    fn new(shared: &'s Shared) -> Self {
        Self { shared, core: PublisherCore::new(&shared.parts.settings), marking: JoinSet::new() }
    }

    async fn run(mut self, feed: &mut FeedEnd) {
        loop {
            let began = Instant::now();
            let is_refusal = match self.producer().await {
                Ok(producer) => match self.with_producer(producer, feed).await {
                    Left::Stopped => return,
                    Left::Broken { is_refusal } => is_refusal,
                },
                Err(error) => {
                    match error {
                        TopicsError::Away(_) => self.shared.parts.state.away(&error.to_string()),
                        // It was told as a trouble.
                        TopicsError::Partitions { .. } => self.shared.parts.state.answered(),
                    }
                    false
                }
            };
            let lasted_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let rest_ms = self.core.disconnected(lasted_ms, is_refusal);
            if self.rest(feed, rest_ms).await {
                return;
            }
        }
    }

    /// Waits; what is fed meanwhile is read from the log later. `true`: it is stopped.
    async fn rest(&mut self, feed: &mut FeedEnd, ms: u64) -> bool {
        let until = Instant::now() + Duration::from_millis(ms);
        let mut stopping = self.shared.stopping.clone();
        loop {
            tokio::select! {
                _ = stopping.wait_for(|stop| *stop != Stop::No) => return true,
                fed = feed.commits.recv() => match fed {
                    Some(list) => {
                        self.core.commit(list);
                        self.tell_lag();
                    }
                    None => return true,
                },
                () = tokio::time::sleep_until(until) => return false,
            }
        }
    }

    /// A producer, once the topics are as they must be.
    async fn producer(&self) -> Result<Producer, TopicsError> {
        let parts = &self.shared.parts;
        topics::ensure(&parts.settings, &parts.state, parts.reads.shards(), parts.external).await?;
        let producer = Producer::new(&parts.settings, &parts.state, &self.shared.counters, &parts.tracer).map_err(TopicsError::Away)?;
        parts.state.up();
        Ok(producer)
    }

    async fn with_producer(&mut self, mut producer: Producer, feed: &mut FeedEnd) -> Left {
        self.core.connected();
        let told = producer.told();
        let left = self.pump(&mut producer, &told, feed).await;
        drop(producer);
        self.take_acked(&told);
        left
    }

    async fn pump(&mut self, producer: &mut Producer, told: &Told, feed: &mut FeedEnd) -> Left {
        let settings = &self.shared.parts.settings;
        let every = |ms: u64| {
            let mut ticks = interval(Duration::from_millis(ms.max(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let (mut marks, mut looks) = (every(settings.publish_mark_ms), every(settings.publish_recheck_ms));
        let mut stopping = self.shared.stopping.clone();
        loop {
            let is_behind = !self.core.to_read().is_empty();
            tokio::select! {
                biased;
                stop = stopping.wait_for(|stop| *stop != Stop::No) => {
                    let by = stop.map_or_else(|_| Instant::now(), |stop| match *stop {
                        Stop::No => Instant::now(),
                        Stop::By(by) => by,
                    });
                    self.finish(told, by).await;
                    return Left::Stopped;
                }
                _ = looks.tick() => self.look().await,
                _ = marks.tick() => self.mark(),
                Some(marked) = self.marking.join_next() => {
                    if let Ok((writer, seq, is_stored)) = marked {
                        self.core.marked(writer, seq, is_stored);
                    }
                }
                Some(Repeat { writer, end, event }) = feed.repeats.recv() => {
                    // What was committed before it, a marker perhaps, is known before it is told.
                    while let Ok(list) = feed.commits.try_recv() {
                        self.core.commit(list);
                    }
                    self.core.repeat(writer, end, event);
                }
                fed = feed.commits.recv() => match fed {
                    Some(list) => self.core.commit(list),
                    // The journal is gone; what is stored is published by the next start.
                    None => return Left::Stopped,
                },
                () = told.wake.notified() => {}
                () = std::future::ready(()), if is_behind => self.catch_up(producer, told).await,
            }
            self.take_acked(told);
            self.send(producer, told);
            if let Some(failure) = told.take_trouble() {
                return Left::Broken { is_refusal: self.tell_trouble(&failure) };
            }
            if let Some(enough) = self.core.room_at().filter(|_| !self.core.has_room()) {
                told.starve(enough);
            }
            self.tell_lag();
        }
    }

    fn take_acked(&mut self, told: &Told) {
        for (writer, seq) in told.take_acked() {
            self.core.acked(writer, seq);
        }
    }

    /// Hands over what is to be sent.
    fn send(&mut self, producer: &mut Producer, told: &Told) {
        let parts = &self.shared.parts;
        while let Some(outgoing) = self.core.poll_send((parts.own)()) {
            let local = outgoing.local(|role, shard| (parts.hosts)(role, shard));
            match producer.send(&outgoing, &local) {
                Ok(()) => {}
                Err(NotTaken::Full) => self.core.not_taken(&outgoing),
                Err(NotTaken::Broken(failure)) => {
                    self.core.not_taken(&outgoing);
                    return told.fail(failure);
                }
            }
        }
    }

    /// What the brokers refuse until a person changes it is told as that. `true`: it is so.
    fn tell_trouble(&self, failure: &Failure) -> bool {
        let state = &self.shared.parts.state;
        let Some(code) = failure.error.rdkafka_error_code().filter(|code| client::is_refusal(*code)) else {
            state.away(&failure.error.to_string());
            return false;
        };
        state.troubles().raise(Trouble {
            kind: TroubleKind::Publish,
            topic: failure.topic.clone(),
            partition: failure.partition,
            who: "",
            cause: format!("events are not taken: {code}"),
            remedy: client::remedy(Some(code)).to_owned(),
        });
        true
    }

    fn tell_lag(&self) {
        self.shared.lag.store(self.core.lag(), Ordering::Relaxed);
    }

    /// Reads on where a log is behind, one page of each.
    async fn catch_up(&mut self, producer: &mut Producer, told: &Told) {
        let limit = self.shared.parts.settings.publish_page;
        for (writer, after) in self.core.to_read() {
            match self.shared.parts.reads.log(writer, after, limit).await {
                Ok(page) => self.core.page(writer, after, page),
                Err(error) => {
                    tracing::warn!(error = %error, "the event log could not be read for Kafka; trying again");
                    self.core.not_read();
                }
            }
            self.send(producer, told);
        }
    }

    /// Looks for logs to publish: this node's own, and those of dead writers. Nothing here waits long: the brokers wait for it.
    async fn look(&mut self) {
        let parts = &self.shared.parts;
        let limit = Duration::from_millis(parts.settings.request_timeout_ms);
        let rows = match timeout(limit, parts.reads.writers()).await {
            Ok(Ok(rows)) => rows,
            Ok(Err(error)) => {
                self.core.not_looked();
                return tracing::warn!(error = %error, "the writers could not be read for Kafka; trying again");
            }
            Err(_) => return self.core.not_looked(),
        };
        // A log that nobody could bring to the brokers from here is left to others.
        let is_cut_off = matches!(parts.state.get(), Brokers::Away(_));
        let lease_ms = parts.settings.publish_recheck_ms.saturating_mul(CLAIM_LOOKS).max(1_000);
        for writer in self.core.looked(&rows, (parts.own)(), is_cut_off) {
            let claim = parts.submit.ask(TypedWrite::claim_log(writer, lease_ms));
            let is_ours = matches!(timeout(limit, claim).await, Ok(Fate::Stored(RowOutcome::Done)));
            self.core.claimed(writer, is_ours);
        }
    }

    /// Has the points that are reached stored.
    fn mark(&mut self) {
        for (writer, seq) in self.core.to_mark() {
            let stored = self.shared.parts.submit.ask(Write::Published { writer, seq });
            self.marking.spawn(async move { (writer, seq, matches!(stored.await, Fate::Stored(_))) });
        }
    }

    /// Waits for what was sent, and stores it.
    async fn finish(&mut self, told: &Told, by: Instant) {
        // Half of the time for the brokers, half for the database.
        let half = Instant::now() + by.saturating_duration_since(Instant::now()) / 2;
        self.take_acked(told);
        while self.core.waiting() > 0 && Instant::now() < half {
            told.starve(0);
            drop(timeout(Duration::from_millis(20), told.wake.notified()).await);
            self.take_acked(told);
        }
        for (writer, seq) in self.core.unmarked() {
            drop(timeout_at(by, self.shared.parts.submit.ask(Write::Published { writer, seq })).await);
        }
    }
}
