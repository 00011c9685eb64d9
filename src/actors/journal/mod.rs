//! The handle of the journal: the queue of writes that all actors fill and [`JournalWriter`](crate::actors::writer::JournalWriter) empties.
//!
//! Guarantees: writes settle in the sequence of submission. A write that was withdrawn while it waited is never stored, nor is one for a
//! role shard that this node does not own.

pub(crate) mod submit;

use crate::actors::journal::submit::of_group;
use crate::actors::protocol::cause::Cause;
use crate::actors::protocol::fate::Fate;
use crate::actors::protocol::ticket::{Origin, StepOf, Ticket, WriteOf};
use crate::db::{PlaceOutcome, Request, RowOutcome, StepOutcome, TypedWrite, Write};
use crate::domain::{OrderId, RoleShards, Roles, Shard, WriterId};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot::error::RecvError;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

/// What became of a request; none if the journal ended with it in hand.
pub(crate) type AnswerTo<R> = Result<Fate<<R as Request>::Outcome>, RecvError>;

/// A write that waits for its transaction.
pub(crate) struct Queued {
    pub(crate) origin: Origin,
    pub(crate) write: Write,
    pub(crate) ticket: Option<Arc<Ticket>>,
    /// The epoch that an actor's write rests on; none where it rests on nothing that a fence makes void.
    pub(crate) epoch: Option<u64>,
    /// What the step follows from that it stores, if its order is sampled.
    pub(crate) cause: Option<Cause>,
}

#[derive(Default)]
struct Queue {
    list: Vec<Queued>,
    /// Writes submitted since the start.
    submitted: u64,
}

/// The handle to the journal, shared by all who write.
pub(crate) struct Journal {
    queue: Mutex<Queue>,
    wake: Notify,
    /// Writes whose outcome is known, since the start; they settle in the order of submission.
    settled: AtomicU64,
    settling: Notify,
    /// Counts the fences: what an actor wrote before it heard of the last one must not be stored by the new writer.
    pub(crate) epoch: AtomicU64,
    stop: AtomicBool,
    /// Whether somebody has seen that the database is older than it was: the writer is to look before it writes.
    doubted: AtomicBool,
    /// Writes that wait, those being committed not counted.
    waiting: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) writes: AtomicU64,
    /// Microseconds that the last commit took.
    pub(crate) last_commit_us: AtomicU64,
    pub(crate) writer: watch::Sender<WriterId>,
    /// The role shards whose writes are taken: from the commit that takes a role shard to the moment that its release is sent.
    role_shards: Mutex<RoleShards>,
    /// The roles that its writer is to host; another set ends the writer.
    roles: Mutex<Roles>,
    lease: Mutex<Lease>,
    /// When the commit that runs now began; by the steady clock.
    committing: Mutex<Option<Instant>>,
}

/// What is known of the writer's lease, on the steady clock.
struct Lease {
    /// Until then nobody else ends the writer: from before the call that renewed it.
    held_until: Instant,
    /// Since then it is held, and the database was not away.
    since: Instant,
    /// The database was there for a call that began then.
    seen: Instant,
    /// It has been away since it was there last.
    is_away: bool,
}

impl Lease {
    /// A node that has not seen the database for half a lease (it may have slept) cannot know: the database counts as away. A shorter time leaves
    /// everybody enough of his lease to renew it.
    fn may_be_away(&self, lease_ms: u64) -> bool {
        self.is_away || self.seen.elapsed() > Duration::from_millis(lease_ms / 2)
    }
}

impl Journal {
    pub(crate) fn new(roles: Roles) -> Self {
        Self {
            queue: Mutex::default(),
            wake: Notify::new(),
            settled: AtomicU64::new(0),
            settling: Notify::new(),
            epoch: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            doubted: AtomicBool::new(false),
            waiting: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            last_commit_us: AtomicU64::new(0),
            writer: watch::Sender::new(WriterId(0)),
            role_shards: Mutex::default(),
            roles: Mutex::new(roles),
            lease: Mutex::new(Lease { held_until: Instant::now(), since: Instant::now(), seen: Instant::now(), is_away: false }),
            committing: Mutex::new(None),
        }
    }

    /// A commit begins or has ended.
    pub(crate) fn set_committing(&self, since: Option<Instant>) {
        *self.committing.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// How long the commit that runs now has been running.
    pub(crate) fn commit_age(&self) -> Option<Duration> {
        self.committing.lock().unwrap_or_else(PoisonError::into_inner).map(|since| since.elapsed())
    }

    pub(crate) fn role_shards(&self) -> MutexGuard<'_, RoleShards> {
        self.role_shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn roles(&self) -> Roles {
        *self.roles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on these roles are hosted: the writer ends, and a new one begins with them.
    pub(crate) fn host(&self, roles: Roles) {
        *self.roles.lock().unwrap_or_else(PoisonError::into_inner) = roles;
        self.wake.notify_one();
    }

    /// The database seems to be older than it was: the writer looks for itself, before it writes again.
    pub(crate) fn doubt(&self) {
        self.doubted.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Whether it does, since this was asked last.
    pub(crate) fn take_doubt(&self) -> bool {
        self.doubted.swap(false, Ordering::AcqRel)
    }

    fn lease(&self) -> MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database was away just now.
    pub(crate) fn note_trouble(&self) {
        self.lease().is_away = true;
    }

    /// The database was there for a call that `began` then.
    pub(crate) fn note_there(&self, began: Instant, lease_ms: u64) {
        let mut lease = self.lease();
        if lease.may_be_away(lease_ms) {
            lease.since = Instant::now();
        }
        lease.is_away = false;
        lease.seen = lease.seen.max(began);
    }

    /// The lease was renewed by a call that `began` then.
    pub(crate) fn renewed(&self, began: Instant, lease_ms: u64) {
        self.note_there(began, lease_ms);
        let mut lease = self.lease();
        // It had ended: this node slept, or was cut off.
        if lease.held_until < Instant::now() {
            lease.since = Instant::now();
        }
        lease.held_until = began + Duration::from_millis(lease_ms);
    }

    /// Whether nobody can have ended this node's writer yet because of a missed heartbeat.
    pub(crate) fn holds_lease(&self) -> bool {
        Instant::now() < self.lease().held_until
    }

    /// How long the lease has been held and the database there without a break.
    pub(crate) fn untroubled(&self, lease_ms: u64) -> Duration {
        let lease = self.lease();
        if lease.may_be_away(lease_ms) || lease.held_until < Instant::now() { Duration::ZERO } else { lease.since.elapsed() }
    }

    /// Submits a new order, for its actor's incarnation, which writes in `epoch`.
    pub(crate) fn place(
        &self,
        epoch: u64,
        (shard, order, incarnation): (Shard, OrderId, u64),
        write: TypedWrite<PlaceOutcome>,
        ticket: Arc<Ticket>,
    ) {
        let (origin, write) = (Origin::Actor(WriteOf::Place(shard, order, incarnation)), write.into_write());
        self.push(Queued { origin, write, ticket: Some(ticket), epoch: Some(epoch), cause: None });
    }

    /// Submits an order's new record, for its actor's incarnation.
    pub(crate) fn save(
        &self,
        epoch: u64,
        (shard, order, incarnation): (Shard, OrderId, u64),
        write: TypedWrite<RowOutcome>,
        cause: Option<Cause>,
    ) {
        let (origin, write) = (Origin::Actor(WriteOf::Save(shard, order, incarnation)), write.into_write());
        self.push(Queued { origin, write, ticket: None, epoch: Some(epoch), cause });
    }

    /// Submits a role's step.
    pub(crate) fn step(&self, epoch: u64, whose: StepOf, write: TypedWrite<StepOutcome>, cause: Option<Cause>) {
        let (origin, write) = (Origin::Actor(WriteOf::Step(whose)), write.into_write());
        self.push(Queued { origin, write, ticket: None, epoch: Some(epoch), cause });
    }

    /// Submits at once and returns where the answer comes.
    pub(crate) fn ask<R: Request>(&self, request: R, ticket: Option<Arc<Ticket>>) -> impl Future<Output = AnswerTo<R>> + Send + use<R> {
        self.ask_of(None, request, ticket, None)
    }

    /// The same, for what a step stores.
    pub(crate) fn ask_for<R: Request>(&self, cause: Option<Cause>, request: R) -> impl Future<Output = AnswerTo<R>> + Send + use<R> {
        self.ask_of(None, request, None, cause)
    }

    /// The same, for a write that rests on what was so in that epoch: a later writer does not store it.
    pub(crate) fn ask_in<R: Request>(&self, epoch: u64, request: R) -> impl Future<Output = AnswerTo<R>> + Send + use<R> {
        self.ask_of(Some(epoch), request, None, None)
    }

    fn ask_of<R: Request>(
        &self,
        epoch: Option<u64>,
        request: R,
        ticket: Option<Arc<Ticket>>,
        cause: Option<Cause>,
    ) -> impl Future<Output = AnswerTo<R>> + Send + use<R> {
        let (reply, fate) = oneshot::channel();
        self.push(Queued { origin: Origin::Ask(reply), write: request.into_write(), ticket, epoch, cause });
        async move { Ok(of_group(fate.await?)) }
    }

    fn push(&self, queued: Queued) {
        let was_empty = {
            let mut queue = self.lock();
            queue.list.push(queued);
            queue.submitted += 1;
            self.waiting.store(queue.list.len() as u64, Ordering::Relaxed);
            queue.list.len() == 1
        };
        if was_empty {
            self.wake.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which fence the journal is past.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Waits until all that was submitted before is known to be stored or not. Who takes over from a dead actor reads only then:
    /// else a write that the dead one had left in the queue would be stored after the reading, and then overwritten.
    pub(crate) async fn passed(&self) {
        let submitted = self.lock().submitted;
        loop {
            let mut more = std::pin::pin!(self.settling.notified());
            more.as_mut().enable();
            if self.settled.load(Ordering::Acquire) >= submitted {
                return;
            }
            more.await;
        }
    }

    pub(crate) fn settle(&self, writes: usize) {
        self.settled.fetch_add(writes as u64, Ordering::AcqRel);
        self.settling.notify_waiters();
    }

    /// Writes that wait for the transaction in flight.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Transactions and writes since the start.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.commits.load(Ordering::Relaxed), self.writes.load(Ordering::Relaxed))
    }

    /// Whose log is being written now.
    pub(crate) fn writer(&self) -> WriterId {
        *self.writer.borrow()
    }

    /// Tells when a new writer has started.
    pub(crate) fn writers(&self) -> watch::Receiver<WriterId> {
        self.writer.subscribe()
    }

    /// Ends the journal once its queue is empty.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    fn take(&self, most: usize) -> Vec<Queued> {
        let list = &mut self.lock().list;
        let taken = if list.len() <= most { std::mem::take(list) } else { list.drain(..most).collect() };
        self.waiting.store(list.len() as u64, Ordering::Relaxed);
        taken
    }

    /// Waits for writes; none when the journal was stopped, an empty list when it is time to renew the lease, other roles than
    /// `hosted` are wanted, or the database is doubted.
    pub(crate) async fn next(&self, most: usize, renew_at: Instant, hosted: Roles) -> Option<Vec<Queued>> {
        loop {
            if self.roles() != hosted || self.doubted.load(Ordering::Acquire) {
                return Some(Vec::new());
            }
            let taken = self.take(most);
            if !taken.is_empty() {
                return Some(taken);
            }
            if self.stop.load(Ordering::Acquire) {
                return None;
            }
            if tokio::time::timeout_at(renew_at, self.wake.notified()).await.is_err() {
                return Some(Vec::new());
            }
        }
    }
}
