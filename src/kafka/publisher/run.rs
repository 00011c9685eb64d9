//! The publisher's loop.

use super::log::{Fed, Log};
use super::producer::{Failure, NotTaken, Producer, Told};
use crate::actors::Logged;
use crate::db::{LogEntry, Outcome, Write, WriterRow};
use crate::domain::{Event, LoggedEvent, Marker, Role, WriterId};
use crate::kafka::client::{self, Brokers};
use crate::kafka::publisher::parts::{FeedEnd, PublisherParts, Stop};
use crate::kafka::topics::{self, TopicsError};
use crate::kafka::troubles::{Trouble, TroubleKind};
use crate::kafka::write::Provenance;
use crate::saga::policy::Backoff;
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};

/// A claim lasts for so many looks for dead writers' logs, so that one that takes long does not end it.
const CLAIM_LOOKS: u64 = 5;

/// What outlives a panic of the loop.
pub(super) struct Shared {
    pub(super) parts: PublisherParts,
    pub(super) told: Arc<Told>,
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
        shared.told.errors.fetch_add(1, Ordering::Relaxed);
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
    logs: BTreeMap<WriterId, Log>,
    /// Up to where each writer's log is stored as published.
    stored: HashMap<WriterId, i64>,
    /// Set by a failed read, until the next look.
    rests: bool,
    /// Set by a refusal, until something of a log is acknowledged: one event is tried alone, for all that are sent behind it are sent again.
    is_trial: bool,
}

/// Why the loop leaves its producer.
enum Left {
    Stopped,
    Broken,
}

impl<'s> Run<'s> {
    fn new(shared: &'s Shared) -> Self {
        Self { shared, logs: BTreeMap::new(), stored: HashMap::new(), rests: false, is_trial: false }
    }

    async fn run(mut self, feed: &mut FeedEnd) {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            match self.producer().await {
                Ok(producer) => {
                    let left = self.pump(producer, feed).await;
                    if matches!(left, Left::Stopped) {
                        return;
                    }
                }
                Err(error) => match error {
                    TopicsError::Away(_) => self.shared.parts.state.away(&error.to_string()),
                    // It was told as a trouble.
                    TopicsError::Partitions { .. } => self.shared.parts.state.answered(),
                },
            }
            self.logs.values_mut().for_each(Log::rewind);
            // One that worked for a while has proved itself.
            failures = if began.elapsed() > Duration::from_secs(60) { 1 } else { failures + 1 };
            if self.rest(feed, backoff(&self.shared.parts).after(failures)).await {
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
                    Some(list) => self.note_end(&list),
                    None => return true,
                },
                () = tokio::time::sleep_until(until) => return false,
            }
        }
    }

    fn note_end(&mut self, list: &Logged) {
        if let Some(log) = self.logs.get_mut(&list.writer) {
            log.end = log.end.max(list.to);
        }
        self.tell_lag();
    }

    /// A producer, once the topics are as they must be.
    async fn producer(&self) -> Result<Producer, TopicsError> {
        let parts = &self.shared.parts;
        topics::ensure(&parts.settings, &parts.state, parts.reads.shards(), parts.external).await?;
        let producer = Producer::new(&parts.settings, &parts.state, &self.shared.told).map_err(TopicsError::Away)?;
        parts.state.up();
        // What the last one failed of is over.
        drop(self.shared.told.take_trouble());
        Ok(producer)
    }

    async fn pump(&mut self, mut producer: Producer, feed: &mut FeedEnd) -> Left {
        let settings = &self.shared.parts.settings;
        let every = |ms: u64| {
            let mut ticks = interval(Duration::from_millis(ms.max(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let (mut marks, mut looks) = (every(settings.publish_mark_ms), every(settings.publish_recheck_ms));
        let mut stopping = self.shared.stopping.clone();
        let told = self.shared.told.clone();
        let logged = told.logged.load(Ordering::Relaxed);
        loop {
            let is_behind = !self.rests && self.has_room() && self.logs.values().any(Log::is_behind);
            tokio::select! {
                biased;
                stop = stopping.wait_for(|stop| *stop != Stop::No) => {
                    let by = stop.map_or_else(|_| Instant::now(), |stop| match *stop {
                        Stop::No => Instant::now(),
                        Stop::By(by) => by,
                    });
                    self.finish(by).await;
                    return Left::Stopped;
                }
                _ = looks.tick() => self.look().await,
                _ = marks.tick() => self.mark(),
                Some((writer, event)) = feed.repeats.recv() => {
                    // What was committed before it, a marker perhaps, is known before it is told.
                    while let Ok(list) = feed.commits.try_recv() {
                        self.take(&list, &mut producer);
                    }
                    self.repeat(writer, &event, &mut producer);
                }
                fed = feed.commits.recv() => match fed {
                    Some(list) => self.take(&list, &mut producer),
                    // The journal is gone; what is stored is published by the next start.
                    None => return Left::Stopped,
                },
                () = told.wake.notified() => {}
                () = std::future::ready(()), if is_behind => self.catch_up(&mut producer).await,
            }
            if let Some(failure) = told.take_trouble() {
                self.tell_trouble(&failure);
                return Left::Broken;
            }
            // A repeat proves nothing: it goes to any topic.
            if self.is_trial && told.logged.load(Ordering::Relaxed) > logged {
                self.is_trial = false;
            }
            self.tell_lag();
        }
    }

    /// What the brokers refuse until a person changes it is told as that.
    fn tell_trouble(&mut self, failure: &Failure) {
        let state = &self.shared.parts.state;
        match failure.error.rdkafka_error_code().filter(|code| client::is_refusal(*code)) {
            Some(code) => {
                self.is_trial = true;
                state.troubles().raise(Trouble {
                    kind: TroubleKind::Publish,
                    topic: failure.topic.clone(),
                    partition: failure.partition,
                    who: "",
                    cause: format!("events are not taken: {code}"),
                    remedy: client::remedy(Some(code)).to_owned(),
                });
            }
            None => state.away(&failure.error.to_string()),
        }
    }

    fn has_room(&self) -> bool {
        let waiting: usize = self.logs.values().map(|log| log.acks.waiting()).sum();
        let most = if self.is_trial { 1 } else { self.shared.parts.settings.publish_window };
        let has_room = waiting < most && !self.shared.told.full.load(Ordering::Acquire);
        self.shared.told.starved.store(!has_room, Ordering::Release);
        has_room
    }

    fn tell_lag(&self) {
        self.shared.lag.store(self.logs.values().map(|log| log.end - log.acks.low()).sum(), Ordering::Relaxed);
    }

    /// A commit of this node's journal.
    fn take(&mut self, list: &Logged, producer: &mut Producer) {
        let has_room = self.has_room();
        let Some(log) = self.logs.get_mut(&list.writer) else { return };
        match log.fed(list.after, list.to, list.events.len()) {
            Fed::Send if has_room => {
                for logged in list.events.iter() {
                    if !send(self.shared, log, logged, producer) {
                        return;
                    }
                }
            }
            Fed::Send | Fed::Read | Fed::Old => {}
        }
    }

    /// What finds no room is said again by whoever still misses an answer; so is what would overtake events that are still to be told,
    /// also those of a writer that has ended since.
    fn repeat(&self, writer: WriterId, event: &Event, producer: &mut Producer) {
        let own = self.logs.get(&writer).filter(|_| writer == (self.shared.parts.own)());
        if !own.is_some_and(|log| log.block.is_none() && log.next >= log.end) || !self.has_room() {
            return;
        }
        match producer.repeat(event) {
            Ok(()) | Err(NotTaken::Full) => {}
            Err(NotTaken::Broken(failure)) => self.shared.told.fail(failure),
        }
    }

    /// Reads on where a log is behind, one page of each.
    async fn catch_up(&mut self, producer: &mut Producer) {
        let behind: Vec<(WriterId, i64)> = self.logs.values().filter(|log| log.is_behind()).map(|log| (log.writer, log.next)).collect();
        let limit = self.shared.parts.settings.publish_page;
        for (writer, after) in behind {
            match self.shared.parts.reads.log(writer, after, limit).await {
                Ok(page) if page.is_empty() => self.rests = true,
                Ok(page) => self.send_page(writer, page, producer),
                Err(error) => {
                    tracing::warn!(error = %error, "the event log could not be read for Kafka; trying again");
                    self.rests = true;
                }
            }
        }
    }

    fn send_page(&mut self, writer: WriterId, page: Vec<LogEntry>, producer: &mut Producer) {
        for entry in page {
            if !self.has_room() {
                return;
            }
            let is_blocked = match &entry {
                LogEntry::Event(_) => None,
                LogEntry::Marker { marker, .. } => self.stands_in_the_way(writer, marker),
            };
            let Some(log) = self.logs.get_mut(&writer) else { return };
            if let Some(point) = is_blocked {
                log.block = Some(point);
                return;
            }
            match entry {
                LogEntry::Event(logged) => {
                    if !send(self.shared, log, &logged, producer) {
                        return;
                    }
                }
                LogEntry::Marker { seq, .. } => {
                    log.next = seq;
                    log.acks.passed(seq);
                }
            }
        }
    }

    /// The point that must be published before this marker is passed; none if it is.
    fn stands_in_the_way(&self, writer: WriterId, marker: &Marker) -> Option<(WriterId, i64)> {
        let (before, seq) = marker.after?;
        (before != writer && !self.is_published(before, seq)).then_some((before, seq))
    }

    fn is_published(&self, writer: WriterId, seq: i64) -> bool {
        match (self.logs.get(&writer), self.stored.get(&writer)) {
            (Some(log), stored) => log.acks.low().max(stored.copied().unwrap_or(0)) >= seq,
            (None, Some(stored)) => *stored >= seq,
            // A writer without a row has nothing left to publish.
            (None, None) => true,
        }
    }

    /// Looks for logs to publish: this node's own, and those of dead writers. Nothing here waits long: the brokers wait for it.
    async fn look(&mut self) {
        self.rests = false;
        self.shared.told.full.store(false, Ordering::Release);
        let limit = Duration::from_millis(self.shared.parts.settings.request_timeout_ms);
        let rows = match timeout(limit, self.shared.parts.reads.writers()).await {
            Ok(Ok(rows)) => rows,
            Ok(Err(error)) => return tracing::warn!(error = %error, "the writers could not be read for Kafka; trying again"),
            Err(_) => return,
        };
        let own = (self.shared.parts.own)();
        self.stored = rows.iter().map(|row| (row.writer, row.published_seq)).collect();
        // What an order's first event says stands in the order's row, which only nodes that host orders may be able to see.
        let hosts_orders = rows.iter().any(|row| row.writer == own && row.roles.contains(&Role::Order));
        let can_read = |row: &WriterRow| hosts_orders || !row.roles.contains(&Role::Order);
        for row in &rows {
            let is_ours = row.writer == own || (can_read(row) && self.has_unpublished(row) && self.claim(row, own, limit).await);
            if is_ours {
                let log = self.logs.entry(row.writer).or_insert_with(|| Log::new(row.writer, row.published_seq, row.last_seq));
                log.end = log.end.max(row.last_seq);
            } else {
                self.logs.remove(&row.writer);
            }
        }
        self.unblock();
    }

    fn has_unpublished(&self, row: &WriterRow) -> bool {
        // A log that nobody could bring to the brokers from here is left to others.
        let is_cut_off = matches!(self.shared.parts.state.get(), Brokers::Away(_));
        !is_cut_off && !row.alive && row.published_seq < row.last_seq && !self.logs.get(&row.writer).is_some_and(Log::is_done)
    }

    async fn claim(&self, row: &WriterRow, own: WriterId, limit: Duration) -> bool {
        if row.publisher.is_some_and(|publisher| publisher != own) {
            return false;
        }
        let lease_ms = self.shared.parts.settings.publish_recheck_ms.saturating_mul(CLAIM_LOOKS).max(1_000);
        let claim = (self.shared.parts.submit)(Write::ClaimLog { writer: row.writer, lease_ms });
        matches!(timeout(limit, claim).await, Ok(Outcome::Done))
    }

    fn unblock(&mut self) {
        let passed: Vec<WriterId> = self
            .logs
            .values()
            .filter(|log| log.block.is_some_and(|(before, seq)| self.is_published(before, seq)))
            .map(|log| log.writer)
            .collect();
        for log in self.logs.values_mut().filter(|log| passed.contains(&log.writer)) {
            log.block = None;
        }
    }

    /// Has the points that are reached stored.
    fn mark(&mut self) {
        for log in self.logs.values() {
            if let Some(seq) = log.to_mark() {
                let stored = (self.shared.parts.submit)(Write::Published { writer: log.writer, seq });
                let (marked, marking) = (log.marked.clone(), log.marking.clone());
                tokio::spawn(async move {
                    if matches!(stored.await, Outcome::Done | Outcome::Repeated(_)) {
                        marked.fetch_max(seq, Ordering::AcqRel);
                    }
                    marking.store(false, Ordering::Release);
                });
            }
        }
        self.unblock();
    }

    /// Waits for what was sent, and stores it.
    async fn finish(&mut self, by: Instant) {
        // Half of the time for the brokers, half for the database.
        let half = Instant::now() + by.saturating_duration_since(Instant::now()) / 2;
        while self.logs.values().any(|log| log.acks.waiting() > 0) && Instant::now() < half {
            self.shared.told.starved.store(true, Ordering::Release);
            drop(timeout(Duration::from_millis(20), self.shared.told.wake.notified()).await);
        }
        for log in self.logs.values() {
            let seq = log.acks.low();
            if seq > log.marked.load(Ordering::Acquire) {
                drop(timeout_at(by, (self.shared.parts.submit)(Write::Published { writer: log.writer, seq })).await);
            }
        }
    }
}

/// MessageProcessor the next event of a log over. `false`: not now.
fn send(shared: &Shared, log: &mut Log, logged: &LoggedEvent, producer: &mut Producer) -> bool {
    if logged.seq <= log.next {
        return true;
    }
    let event = &logged.event;
    let is_own = log.writer == (shared.parts.own)();
    // Of a dead writer's events nobody knows who still had them.
    let had = |role: &&Role| is_own && (shared.parts.hosts)(**role, event.shard);
    let local: Vec<Role> = event.kind().subscribers().iter().filter(had).copied().collect();
    match producer.send(logged, Provenance::Log { writer: log.writer, seq: logged.seq, local: &local }, &log.acks) {
        Ok(()) => {
            log.next = logged.seq;
            true
        }
        Err(NotTaken::Full) => {
            shared.told.full.store(true, Ordering::Release);
            shared.told.starved.store(true, Ordering::Release);
            false
        }
        Err(NotTaken::Broken(failure)) => {
            shared.told.fail(failure);
            false
        }
    }
}
