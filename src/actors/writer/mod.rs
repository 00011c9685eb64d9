//! The running journal: turns many small writes into few transactions (group commit).
//!
//! While one transaction commits, the next batch gathers; idle, a write is committed at once: there is no timer. Promises: what
//! it reports as stored is durable; outcomes are reported in commit order, each with its batch's events; after an unknown COMMIT
//! the very same batch is settled before anything else is written. Runs on a thread of its own, or as a task in a simulation.

mod acknowledged;
mod gathered;
pub(crate) mod lost;
mod retention;
pub(crate) mod slow_commit;
mod traced;

use crate::actors::journal::Queued;
use crate::actors::node::Node;
use crate::actors::protocol::cause::Cause;
use crate::actors::protocol::fate::Fate;
use crate::actors::protocol::hooks::{Counter, Logged};
use crate::actors::protocol::inbound::Inbound;
use crate::actors::protocol::kind::ActorKind;
use crate::actors::protocol::ticket::{Origin, WriteOf};
use crate::actors::runtime::death;
use crate::actors::runtime::faults::Point;
use crate::actors::runtime::step_times::Step;
use crate::actors::writer::acknowledged::Acknowledged;
use crate::actors::writer::gathered::{Asked, admit, split_placing};
use crate::db::{Batch, CommitError, Committed, NewWriter, Outcome, Publishing, Store, StoreError, Write, WriterState};
use crate::domain::{LoggedEvent, RoleShards, Roles, Shards};
#[cfg(feature = "plants")]
use crate::plants::Plant;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// The running journal: the store and what it knows of its writer.
pub(crate) struct JournalWriter {
    node: Arc<Node>,
    store: Box<dyn Store>,
    state: WriterState,
    counter: Counter,
    publish: Option<Counter>,
    renew_at: Instant,
    /// Renewals that have failed since the last one that did not.
    unrenewed: u32,
    clean_at: Instant,
    /// What each writer of this node begins as.
    new: NewWriter,
    /// The same roles.
    hosted: Roles,
    /// The last orders that were answered.
    acknowledged: Acknowledged,
    /// Whether the database may have become older since it was looked at last.
    must_look: bool,
}

impl JournalWriter {
    /// Starts a writer on `store`.
    pub(crate) async fn start(
        node: Arc<Node>,
        mut store: Box<dyn Store>,
        name: (String, String),
        counter: Counter,
        publish: Option<Counter>,
    ) -> Result<Self, StoreError> {
        let hosted = node.journal.roles();
        let (lease_ms, key) = (node.settings.lease_ms, node.settings.cluster_key.clone());
        let new = NewWriter { node: name.0, url: name.1, roles: hosted.iter().collect(), lease_ms, key };
        let began = Instant::now();
        let state = store.start_writer(&new).await?;
        node.journal.renewed(began, new.lease_ms);
        node.journal.writer.send_replace(state.writer);
        let renew_at = Instant::now() + renewal(&node);
        let clean_at = Instant::now() + retention::EVERY;
        Ok(Self {
            node,
            store,
            state,
            counter,
            publish,
            renew_at,
            unrenewed: 0,
            clean_at,
            new,
            hosted,
            acknowledged: Acknowledged::default(),
            must_look: false,
        })
    }

    pub(crate) fn shards(&self) -> Shards {
        self.store.shards()
    }

    /// Commits until the journal is stopped and its queue is empty; then ends its writer.
    pub(crate) async fn run(mut self) {
        let most = self.node.settings.max_batch.max(1);
        self.node.counters.stats(ActorKind::Journal).alive.store(1, Ordering::Relaxed);
        while let Some(taken) = self.node.journal.clone().next(most, self.renew_at, self.hosted).await {
            self.look_if_doubted().await;
            if self.node.journal.roles() != self.hosted {
                self.host_others().await;
            }
            if Instant::now() >= self.renew_at {
                self.renew().await;
            }
            if Instant::now() >= self.clean_at {
                self.clean().await;
            }
            let count = taken.len();
            let taken = admit(taken, &self.node);
            if !taken.is_empty() {
                self.commit(taken).await;
            }
            if count > 0 {
                self.node.journal.settle(count);
            }
        }
        self.node.counters.stats(ActorKind::Journal).alive.store(0, Ordering::Relaxed);
        self.tell_loss_at_end().await;
        if let Err(error) = self.store.end_writer(self.state.writer).await {
            tracing::warn!(error = %error, "the writer could not be ended; its lease ends it");
        }
    }

    /// Ends the writer and starts one that hosts other roles. What a survivor takes over is its own business.
    async fn host_others(&mut self) {
        let wanted = self.node.journal.roles();
        let mut failures = 0;
        self.make_sure().await;
        while let Err(error) = self.store.end_writer(self.state.writer).await {
            failures += 1;
            self.wait(failures, &error).await;
        }
        self.hosted = wanted;
        self.new.roles = wanted.iter().collect();
        self.start_again().await;
    }

    async fn renew(&mut self) {
        let (began, lease_ms) = (Instant::now(), self.node.settings.lease_ms);
        self.renew_at = began + renewal(&self.node);
        match self.store.renew(self.state.writer, lease_ms).await {
            Ok(true) => {
                self.unrenewed = 0;
                self.node.journal.renewed(began, lease_ms);
                // A node that is not ready gets no orders to prove it by.
                self.node.counters.set_not_ready("database", None);
            }
            Ok(false) => {
                // Ended by another, or gone with what a standby had not got.
                match self.store.state(self.state.writer).await {
                    Ok(state) => self.check_went_back(state).await,
                    Err(error) => self.halt_if_void(&error).await,
                }
                self.start_again().await;
            }
            Err(error) => {
                self.halt_if_void(&error).await;
                self.node.journal.note_trouble();
                // Soon again: a short trouble must not cost the lease.
                self.renew_at = Instant::now() + renewal(&self.node) / 4;
                self.unrenewed += 1;
                if self.unrenewed == 1 {
                    tracing::warn!(error = %error, "the lease could not be renewed; trying again");
                }
            }
        }
    }

    /// Deletes a bounded part of what is old; more soon if there is more.
    async fn clean(&mut self) {
        let retention = retention::now(&self.node, if self.publish.is_some() { Publishing::On } else { Publishing::Off });
        let next = match self.store.delete_old(&retention).await {
            Ok(deleted) => retention::after(deleted),
            Err(error) => {
                self.halt_if_void(&error).await;
                tracing::warn!(error = %error, "old rows could not be deleted; trying again later");
                retention::EVERY
            }
        };
        self.clean_at = Instant::now() + next;
    }

    /// Commits one batch; a bad write is found by halving and fails alone.
    async fn commit(&mut self, taken: Vec<Queued>) {
        let mut parts = vec![taken];
        while let Some(part) = parts.pop() {
            let (origins, writes): (Vec<_>, Vec<_>) = part.into_iter().map(Asked::apart).unzip();
            let batch = Batch { writer: self.state.writer, commits: self.state.commits, last_seq: self.state.last_seq, writes };
            let began = self.node.now();
            match self.settle(&batch).await {
                Settled::Stored(committed) => {
                    let causes: Vec<Cause> = origins.iter().filter_map(|asked| asked.cause).collect();
                    let events = self.report(origins, committed);
                    traced::tell(&self.node, &causes, &events, batch.writes.len(), began);
                }
                Settled::Bad(error) if batch.writes.len() == 1 => {
                    // Refused, but by a database that is there.
                    self.node.counters.set_not_ready("database", None);
                    tracing::error!(error = %error, write = batch.writes.first().map_or("none", Write::name), "a write was refused");
                    let refused = Fate::Refused(error.to_string().into());
                    self.report_all(origins, &refused);
                }
                Settled::Bad(_) => {
                    let mut handle: Vec<Queued> = origins.into_iter().zip(batch.writes).map(|(asked, write)| asked.again(write)).collect();
                    let back = handle.split_off(handle.len() / 2);
                    parts.push(back);
                    parts.push(handle);
                }
                Settled::Fenced => {
                    self.report_all(origins, &Fate::NotStored);
                    for rest in parts.drain(..) {
                        let rest = rest.into_iter().map(|queued| Asked::apart(queued).0).collect();
                        self.report_all(rest, &Fate::NotStored);
                    }
                    self.start_again().await;
                }
                Settled::Withdrawn => {
                    let (placing, rest) = split_placing(origins, batch.writes);
                    self.report_all(placing, &Fate::NotStored);
                    if !rest.is_empty() {
                        parts.push(rest);
                    }
                }
            }
        }
    }

    /// Tries a batch until it is known to be stored or known not to be.
    /// After an unknown outcome an old backend may still store the batch. From then on the batch is repeated unchanged, never split or
    /// gathered again, and if the repeat is refused, the writer ends, so that no other transaction gets its number.
    async fn settle(&mut self, batch: &Batch) -> Settled {
        let mut failures = 0;
        let mut was_unknown = false;
        loop {
            let began = Instant::now();
            self.node.journal.set_committing(Some(began));
            let tried = self.attempt(batch).await;
            self.node.journal.set_committing(None);
            match tried {
                Ok(committed) => {
                    let journal = &self.node.journal;
                    journal.note_there(began, self.node.settings.lease_ms);
                    let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                    journal.last_commit_us.store(took, Ordering::Relaxed);
                    self.node.times.record(Step::Commit, took);
                    journal.commits.fetch_add(1, Ordering::Relaxed);
                    journal.writes.fetch_add(batch.writes.len() as u64, Ordering::Relaxed);
                    metrics::histogram!("ordermill_journal_commit_seconds").record(began.elapsed().as_secs_f64());
                    metrics::histogram!("ordermill_journal_batch_writes").record(batch.writes.len() as f64);
                    return Settled::Stored(committed);
                }
                Err(CommitError::BadWrite(error)) if !was_unknown => return Settled::Bad(error),
                Err(CommitError::BadWrite(error)) => {
                    failures += 1;
                    self.wait(failures, &error).await;
                    if self.store.end_writer(batch.writer).await.is_ok() {
                        return match self.ask_state(batch).await {
                            Known::Stored(committed) => Settled::Stored(committed),
                            Known::Fenced | Known::NotStored => Settled::Fenced,
                        };
                    }
                }
                Err(CommitError::NotWritten(error)) => {
                    failures += 1;
                    self.wait(failures, &error).await;
                    if !was_unknown && batch.writes.iter().any(|write| matches!(write, Write::Place { .. })) {
                        return Settled::Withdrawn;
                    }
                }
                Err(CommitError::NoMatch) => match self.ask_state(batch).await {
                    Known::Stored(committed) => return Settled::Stored(committed),
                    Known::Fenced => return Settled::Fenced,
                    Known::NotStored => {}
                },
                Err(CommitError::Unknown(error)) => {
                    was_unknown = true;
                    failures += 1;
                    self.wait(failures, &error).await;
                    match self.ask_state(batch).await {
                        Known::Stored(committed) => return Settled::Stored(committed),
                        Known::Fenced => return Settled::Fenced,
                        Known::NotStored => {}
                    }
                }
            }
        }
    }

    /// One try. A panic leaves the outcome unknown, like a lost connection.
    async fn attempt(&mut self, batch: &Batch) -> Result<Committed, CommitError> {
        if self.must_look
            && let Err(error) = self.look().await
        {
            return Err(CommitError::NotWritten(error));
        }
        let faults = self.node.faults.clone();
        let store = &mut self.store;
        let step = async move {
            faults.pass(Point::Journal, None);
            store.commit(batch).await
        };
        match AssertUnwindSafe(step).catch_unwind().await {
            Ok(result) => result,
            Err(_) => {
                let cause = death::take_cause();
                self.node.counters.stats(ActorKind::Journal).restarted(&cause);
                tracing::error!(actor = "journal", cause = %cause, "an actor panicked and was restarted");
                Err(CommitError::Unknown(StoreError::Unavailable(cause)))
            }
        }
    }

    async fn wait(&mut self, failures: u32, error: &StoreError) {
        self.halt_if_void(error).await;
        self.must_look = true;
        self.node.journal.note_trouble();
        self.node.counters.set_not_ready("database", Some(&error.to_string()));
        if failures == 1 {
            tracing::error!(error = %error, "the database took no writes; trying again");
        }
        tokio::time::sleep(Duration::from_millis(self.node.settings.store_retry.after(failures))).await;
    }

    /// Whether a batch whose reply was lost is stored: the writer's row says it.
    async fn ask_state(&mut self, batch: &Batch) -> Known {
        let mut failures = 0;
        loop {
            match self.store.state(batch.writer).await {
                Ok(state) if state.commits == batch.commits + 1 => return self.stored_unseen(batch, state).await,
                Ok(state) if state.alive && state.commits == batch.commits => return Known::NotStored,
                Ok(state) => {
                    self.check_went_back(state).await;
                    return Known::Fenced;
                }
                Err(error) => {
                    failures += 1;
                    self.wait(failures, &error).await;
                }
            }
        }
    }

    /// The batch is stored but its reply is lost: its events are in the log, and no outcome is known. A repeated write gets its own.
    async fn stored_unseen(&mut self, batch: &Batch, state: WriterState) -> Known {
        let mut failures = 0;
        loop {
            let most = u32::try_from(state.last_seq - batch.last_seq).unwrap_or(u32::MAX);
            match self.node.reads.events(batch.writer, batch.last_seq, most).await {
                Ok(events) => {
                    return Known::Stored(Committed { outcomes: Vec::new(), events, last_seq: state.last_seq });
                }
                Err(error) => {
                    failures += 1;
                    self.wait(failures, &error).await;
                }
            }
        }
    }

    /// Tells everyone what became of a stored batch: each arbiter gets one list. Returns its events.
    fn report(&mut self, origins: Vec<Asked>, committed: Committed) -> Arc<Vec<LoggedEvent>> {
        self.node.counters.set_not_ready("database", None);
        for outcome in &committed.outcomes {
            if let Outcome::Taken(markers) = outcome {
                self.node.journal.role_shards().extend(markers.iter().map(|marker| (marker.role, marker.shard)));
            }
        }
        let from = self.state.last_seq;
        self.state.commits += 1;
        self.acknowledged.note(self.state.writer, self.state.commits, &committed.events);
        self.state.last_seq = committed.last_seq;
        self.node.ends.note(self.state.writer, self.state.commits, self.state.last_seq);
        let events = Arc::new(committed.events);
        if from != committed.last_seq {
            let logged = Logged { writer: self.state.writer, after: from, to: committed.last_seq, events: events.clone() };
            if let Some(publish) = &self.publish {
                publish(logged.clone());
            }
            (self.counter)(logged);
        }
        // After a lost reply no outcome is known.
        let fates = committed.outcomes.into_iter().map(Fate::Stored).chain(std::iter::repeat_with(|| Fate::Recorded));
        let mut shares = self.shares(origins.into_iter().map(|asked| asked.origin).zip(fates));
        for (index, logged) in events.iter().enumerate() {
            if let Some(share) = shares.get_mut(self.node.arbiter_of(logged.event.shard)) {
                share.mine.push(u32::try_from(index).unwrap_or(u32::MAX));
            }
        }
        self.deliver(shares, &events);
        events
    }

    fn report_all(&self, origins: Vec<Asked>, fate: &Fate<Outcome>) {
        let shares = self.shares(origins.into_iter().map(|asked| (asked.origin, fate.clone())));
        self.deliver(shares, &Arc::new(Vec::new()));
    }

    /// Answers the waiting callers, and sorts the rest by arbiter.
    fn shares(&self, told: impl Iterator<Item = (Origin, Fate<Outcome>)>) -> Vec<Share> {
        let mut shares: Vec<Share> = self.node.inboxes.iter().map(|_| Share::default()).collect();
        for (origin, fate) in told {
            match origin {
                Origin::Actor(whose) => {
                    if let Some(share) = shares.get_mut(self.node.arbiter_of(whose.shard())) {
                        share.done.push((whose, fate));
                    }
                }
                // Whoever asked may have gone; what became of the write stays so.
                Origin::Ask(reply) => drop(reply.send(fate)),
            }
        }
        shares
    }

    fn deliver(&self, shares: Vec<Share>, events: &Arc<Vec<LoggedEvent>>) {
        for (inbox, share) in self.node.inboxes.iter().zip(shares) {
            if !share.done.is_empty() || !share.mine.is_empty() {
                inbox.push(Inbound::Stored { done: share.done, events: events.clone(), mine: share.mine });
            }
        }
    }

    fn drop_orders(&self) {
        #[cfg(feature = "plants")]
        if self.node.faults.has(Plant::LivesOnFenced) {
            return;
        }
        // Under one lock, so that no shards are loaded that were taken before.
        let mut role_shards = self.node.journal.role_shards();
        *role_shards = RoleShards::default();
        let epoch = self.node.journal.epoch.fetch_add(1, Ordering::AcqRel) + 1;
        self.node.owned.send_replace(RoleShards::default());
        for inbox in &self.node.inboxes {
            inbox.push(Inbound::Reload { epoch });
        }
    }

    /// The writer was ended by another: nothing of it can be written any more. A new one starts, without shards of its own.
    async fn start_again(&mut self) {
        tracing::error!(writer = self.state.writer.0, "this node's writer has ended; it drops its orders and starts as a new writer");
        self.drop_orders();
        let mut failures = 0;
        self.node.journal.note_trouble();
        loop {
            let began = Instant::now();
            match self.store.start_writer(&self.new).await {
                Ok(state) => {
                    self.state = state;
                    self.node.journal.renewed(began, self.new.lease_ms);
                    self.node.counters.set_not_ready("database", None);
                    self.node.journal.writer.send_replace(state.writer);
                    return;
                }
                Err(error) => {
                    failures += 1;
                    self.wait(failures, &error).await;
                }
            }
        }
    }
}

#[derive(Default)]
struct Share {
    done: Vec<(WriteOf, Fate<Outcome>)>,
    mine: Vec<u32>,
}

enum Settled {
    Stored(Committed),
    Bad(StoreError),
    Fenced,
    /// Nothing is written and the database takes nothing now: placements are answered, the rest is tried again.
    Withdrawn,
}

enum Known {
    Stored(Committed),
    NotStored,
    Fenced,
}

fn renewal(node: &Node) -> Duration {
    Duration::from_millis((node.settings.lease_ms / 3).max(1))
}
