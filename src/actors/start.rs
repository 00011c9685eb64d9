//! Starts a node's actors and stops them.

use crate::actors::api::handle::NodeHandle;
use crate::actors::journal::Journal;
use crate::actors::node::{ActorSettings, Counters, Node, World};
use crate::actors::protocol::hooks::{Counter, Logged, Repeats};
use crate::actors::protocol::inbound::Loading;
use crate::actors::protocol::kind::ActorKind;
use crate::actors::roles::analytics::{Analytics, AnalyticsParts, AnalyticsSettings, Flush, Progress};
use crate::actors::runtime::death;
use crate::actors::runtime::faults::Faults;
use crate::actors::runtime::inbox::Inbox;
use crate::actors::runtime::live::Live;
use crate::actors::runtime::pause::pause;
use crate::actors::runtime::step_times::StepTimes;
use crate::actors::supervision::health::Health;
use crate::actors::writer::JournalWriter;
use crate::db::{Reads, Store, StoreError};
use crate::domain::{Role, Roles};
use crate::providers::Providers;
use crate::telemetry::traces::Tracer;
use actix::{Addr, Arbiter, AsyncContext, Context};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// What a node's actors are made of.
pub struct Parts {
    /// How they work.
    pub settings: ActorSettings,
    /// How the counting works.
    pub analytics: AnalyticsSettings,
    /// Time and chance.
    pub world: Arc<dyn World>,
    /// The writing side of the database.
    pub store: Box<dyn Store>,
    /// The reading side.
    pub reads: Arc<dyn Reads>,
    /// The outside parties.
    pub providers: Providers,
    /// Where actors fail, in tests.
    pub faults: Faults,
    /// The roles that it hosts.
    pub roles: Roles,
    /// Takes each commit for publishing; none without Kafka.
    pub publish: Option<Counter>,
    /// Takes what other nodes and teams are to be told again; none without Kafka.
    pub repeats: Option<Repeats>,
    /// This node's name.
    pub name: String,
    /// Where other nodes reach it.
    pub url: String,
    /// Where spans are told.
    pub tracer: Tracer,
}

/// Where the actors run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Where {
    /// Arbiters and the journal on threads of their own.
    Threads,
    /// Everything on the calling thread, which must be an actix system: for simulations.
    Here,
}

/// The running actors of a node.
pub struct Actors {
    handle: NodeHandle,
    node: Arc<Node>,
    journal_ended: oneshot::Receiver<()>,
    progress: watch::Receiver<Progress>,
    analytics: Slot,
    arbiters: Vec<Arbiter>,
}

type Slot = Arc<Mutex<Option<Addr<Analytics>>>>;

impl Actors {
    /// Starts all actors: a writer of its own, its shards, their open orders.
    ///
    /// # Errors
    /// The database does not take a new writer.
    pub async fn start(parts: Parts, place: Where) -> Result<Self, StoreError> {
        death::watch_panics();
        let count = parts.settings.arbiters.max(1);
        let node = Arc::new(Node {
            settings: parts.settings,
            world: parts.world,
            journal: Arc::new(Journal::new(parts.roles)),
            inboxes: (0..count).map(|_| Arc::new(Inbox::default())).collect(),
            loading: (0..count).map(|_| Loading::default()).collect(),
            reads: parts.reads,
            providers: parts.providers,
            live: Live::default(),
            shards: OnceLock::new(),
            owned: watch::Sender::default(),
            cluster: watch::Sender::default(),
            repeats: parts.repeats,
            letters_again: OnceLock::new(),
            counters: Counters::default(),
            times: StepTimes::default(),
            faults: parts.faults,
            routed: AtomicU64::new(0),
            beats: (0..count).map(|_| AtomicU64::new(0)).collect(),
            tasks: (0..count).map(|_| Default::default()).collect(),
            retries: crate::actors::node::Retries::default(),
            url: parts.url.clone(),
            tracer: parts.tracer,
            ends: crate::actors::node::ends::Ends::default(),
            halted: watch::Sender::default(),
        });
        let analytics: Slot = Slot::default();
        let (started, start_of_journal) = oneshot::channel();
        let (ended, journal_ended) = oneshot::channel();
        let (journal_node, name, counting) = (node.clone(), (parts.name, parts.url), counter(&node, &analytics));
        let feeds = (counting, parts.publish);
        let journal = move || run_journal(journal_node, parts.store, name, feeds, started, ended);
        let mut arbiters = Vec::new();
        match place {
            Where::Here => drop(actix::spawn(journal())),
            Where::Threads => spawn_thread("journal", journal)?,
        }
        start_of_journal.await.map_err(|_| StoreError::Unavailable("the journal ended".to_owned()))??;
        let counting = AnalyticsParts::new(node.reads.clone(), node.submitter(), node.journal.writers(), parts.analytics);
        let counting = counting.failing(node.faults.clone());
        let progress = counting.progress();
        for index in 0..count {
            let kept = node.clone();
            let keeping = move || drop(actix::spawn(crate::actors::supervision::arbiter_supervisor::supervise(index, kept)));
            match place {
                Where::Here => keeping(),
                Where::Threads => {
                    let arbiter = Arbiter::new();
                    arbiter.spawn_fn(keeping);
                    arbiters.push(arbiter);
                }
            }
        }
        let (owner, slot, counter_node, watched) = (node.clone(), analytics.clone(), node.clone(), node.clone());
        let others = move || {
            actix::spawn(keep_analytics(counter_node, counting, slot));
            actix::spawn(crate::actors::supervision::ownership::own(owner));
            actix::spawn(crate::actors::writer::slow_commit::watch(watched));
        };
        match arbiters.first() {
            Some(arbiter) => drop(arbiter.spawn_fn(others)),
            None => others(),
        }
        Ok(Self { handle: NodeHandle::new(node.clone()), node, journal_ended, progress, analytics, arbiters })
    }

    /// The way in.
    #[must_use]
    pub fn handle(&self) -> &NodeHandle {
        &self.handle
    }

    /// How far the counting is.
    #[must_use]
    pub fn counting(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Has the counting stored now, without waiting for its interval.
    pub fn flush_counting(&self) {
        if let Some(addr) = self.analytics.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            drop(addr.try_send(Flush));
        }
    }

    /// Takes no new orders, lets notices under way come to their end, stores the counting, commits what is queued, ends the writer, stops the arbiters; at most `limit`.
    /// Orders under way go on at the next start.
    pub async fn stop(mut self, limit: Duration) {
        self.node.counters.stopping.store(true, Ordering::Release);
        let deadline = tokio::time::Instant::now() + limit;
        drop(tokio::time::timeout_at(deadline - limit / 2, crate::actors::supervision::ownership::leave(&self.node)).await);
        self.flush_counting();
        // Counting goes on at the next start where this one stops; half of the time is enough to try.
        let saved = self.progress.wait_for(|progress| progress.is_complete);
        drop(tokio::time::timeout_at(deadline - limit / 2, saved).await);
        self.node.journal.stop();
        drop(tokio::time::timeout_at(deadline, &mut self.journal_ended).await);
        for arbiter in self.arbiters {
            arbiter.stop();
        }
    }
}

fn spawn_thread<F: Future<Output = ()>>(name: &str, task: impl FnOnce() -> F + Send + 'static) -> Result<(), StoreError> {
    let unavailable = |error: std::io::Error| StoreError::Unavailable(format!("no thread for the {name}: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(unavailable)?;
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(move || runtime.block_on(task())).map_err(unavailable)?;
    Ok(())
}

/// Runs the journal until it is stopped.
async fn run_journal(
    node: Arc<Node>,
    store: Box<dyn Store>,
    name: (String, String),
    (counter, publish): (Counter, Option<Counter>),
    started: oneshot::Sender<Result<(), StoreError>>,
    ended: oneshot::Sender<()>,
) {
    death::watch_this_thread();
    match JournalWriter::start(node.clone(), store, name, counter, publish).await {
        Ok(running) => {
            // Asked once, at the start.
            let _set_before = node.shards.set(running.shards());
            if started.send(Ok(())).is_ok() {
                running.run().await;
            }
        }
        Err(error) => drop(started.send(Err(error))),
    }
    // Whoever waits for the end may have given up.
    let _gone = ended.send(());
}

fn counter(node: &Arc<Node>, analytics: &Slot) -> Counter {
    let (node, analytics) = (node.clone(), analytics.clone());
    Arc::new(move |logged: Logged| {
        // Where this node does not count, another one does.
        if !node.journal.roles().has(Role::Analytics) {
            return;
        }
        if let Some(addr) = analytics.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            // A list that is lost is read from the log later.
            drop(addr.try_send(logged));
        }
    })
}

/// Runs the analytics actor, and a new one when it dies.
async fn keep_analytics(node: Arc<Node>, parts: AnalyticsParts, slot: Slot) {
    let stats = node.counters.stats(ActorKind::Analytics);
    let mut health = Health::new(&node, ActorKind::Analytics.name().to_owned());
    loop {
        let actor = Analytics::new(parts.clone());
        let ctx = Context::new();
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(ctx.address());
        stats.alive.store(1, Ordering::Relaxed);
        let mut life = std::pin::pin!(AssertUnwindSafe(ctx.into_future(actor)).catch_unwind());
        let ended = match tokio::time::timeout(health.proof(), &mut life).await {
            Ok(ended) => ended,
            Err(_) => {
                health.proved();
                life.await
            }
        };
        stats.alive.store(0, Ordering::Relaxed);
        if ended.is_ok() {
            return;
        }
        let cause = death::take_cause();
        stats.restarted(&cause);
        tracing::error!(actor = "analytics", cause = %cause, "an actor panicked; it counts on from what is stored");
        pause(health.died(&cause)).await;
    }
}
