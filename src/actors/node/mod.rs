//! What all actors of a node share, whatever thread they live on.

pub(crate) mod cluster;
pub(crate) mod ends;
pub(crate) mod traced;

use crate::actors::journal::Journal;
use crate::actors::journal::submit::Submit;
use crate::actors::node::cluster::Cluster;
use crate::actors::node::ends::Ends;
use crate::actors::protocol::fate::Fate;
use crate::actors::protocol::hooks::{DeadLetterAgain, Repeats};
use crate::actors::protocol::inbound::Loading;
use crate::actors::protocol::kind::ActorKind;
use crate::actors::protocol::slot::OpenSlots;
use crate::actors::runtime::faults::Faults;
use crate::actors::runtime::inbox::Inbox;
use crate::actors::runtime::live::Live;
use crate::actors::runtime::retry as reading;
use crate::actors::runtime::retry::Stopping;
use crate::actors::runtime::step_times::StepTimes;
use crate::config::ClusterKey;
use crate::db::{Reads, StoreError};
use crate::domain::{Event, OrderId, Pricing, Role, RoleShards, Roles, Shard, Shards, Timestamp};
use crate::providers::Providers;
use crate::saga::external;
use crate::saga::policy::{Backoff, Deadlines, Patience, RestartLimit, Retry};
use crate::telemetry::traces::Tracer;
use futures_util::FutureExt;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::watch;

/// Time and chance, as the node has them; a simulation brings its own.
pub trait World: Send + Sync {
    /// The wall clock.
    fn now(&self) -> Timestamp;
    /// A new order's id.
    fn order_id(&self, now: Timestamp) -> OrderId;
}

/// The real clock and the real dice.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealWorld;

impl World for RealWorld {
    fn now(&self) -> Timestamp {
        chrono::Utc::now().into()
    }

    fn order_id(&self, now: Timestamp) -> OrderId {
        let mut random = [0; 10];
        random.copy_from_slice(uuid::Uuid::new_v4().as_bytes().split_at(10).0);
        OrderId::from_parts(u64::try_from(now.0 / 1000).unwrap_or(0), random)
    }
}

/// How the actors work; the names and defaults are those of `config/default.toml`.
#[derive(Clone, Debug)]
pub struct ActorSettings {
    /// Threads that run the actors; shard s lives on thread s modulo this.
    pub arbiters: usize,
    /// The most orders that may owe stock or payment.
    pub open_limit: usize,
    /// The most writes in one transaction.
    pub max_batch: usize,
    /// The most writes that wait for a transaction while anything new is taken.
    pub queue_limit: usize,
    /// The delays after which an order asks again for what it is owed.
    pub redrive: Backoff,
    /// The same, where a role that is asked is another node's or team's.
    pub redrive_far: Backoff,
    /// How often the node looks who lives and who owns what, in milliseconds.
    pub cluster_tick_ms: u64,
    /// The longest time that shards which are to be given away are waited for, in milliseconds.
    pub handover_ms: u64,
    /// Roles that another team runs: they are not asked again.
    pub external_roles: Roles,
    /// How long an external role may owe an answer before it becomes a dead letter, in milliseconds.
    pub external_answer_ms: u64,
    /// How long a fact from which nothing follows may wait to be stored with the next one, in milliseconds.
    pub lazy_save_ms: u64,
    /// How often the supervisor looks at its alarms, in milliseconds.
    pub tick_ms: u64,
    /// The most alarms that it acts on in one tick.
    pub alarms_per_tick: usize,
    /// How long an order may stand still.
    pub deadlines: Deadlines,
    /// How often an actor may be restarted.
    pub restart_limit: RestartLimit,
    /// The delays between restarts of one actor.
    pub restart_backoff: Backoff,
    /// Tries of a payment that failed for technical reasons.
    pub payment_retry: Retry,
    /// A failing payment is parked at the latest this long after its first failure, in milliseconds.
    pub payment_give_up_ms: u64,
    /// The most calls to the payment provider at one time and thread.
    pub payment_calls: usize,
    /// Tries of a notice.
    pub notice_retry: Retry,
    /// The same, of one that the provider does not take for now.
    pub notice_patience: Patience,
    /// The most calls to email and SMS providers at one time and thread.
    pub notice_calls: usize,
    /// The domain of the address of a customer who gave no contact; none: such a customer is not mailed.
    pub customer_domain: Option<String>,
    /// Whether the catalogue's price rules.
    pub pricing: Pricing,
    /// How long the journal waits before it tries a database again that took nothing, in milliseconds.
    pub store_retry: Backoff,
    /// The lease of a writer, in milliseconds.
    pub lease_ms: u64,
    /// How long events that are counted, and letters that are closed, are kept, in milliseconds.
    pub keep_events_ms: u64,
    /// See `keep_events_ms`.
    pub keep_letters_ms: u64,
    /// See `keep_events_ms`.
    pub keep_audit_ms: u64,
    /// See `keep_events_ms`.
    pub keep_copies_ms: u64,
    /// See `keep_events_ms`.
    pub keep_held_ms: u64,
    /// A commit that runs for longer is slow, in milliseconds.
    pub slow_commit_ms: u64,
    /// One that runs for longer makes the node not ready, in milliseconds.
    pub stuck_commit_ms: u64,
    /// What the nodes of the cluster prove themselves to each other by.
    pub cluster_key: ClusterKey,
    /// How many open orders are read at a time at start.
    pub load_page: u32,
}

impl Default for ActorSettings {
    fn default() -> Self {
        let retry = Retry { retries: 3, backoff: Backoff { first_ms: 1000, most_ms: 60_000 } };
        Self {
            arbiters: 1,
            open_limit: 100_000,
            max_batch: 1000,
            queue_limit: 400_000,
            redrive: Backoff { first_ms: 5000, most_ms: 300_000 },
            redrive_far: Backoff { first_ms: 30_000, most_ms: 600_000 },
            cluster_tick_ms: 500,
            handover_ms: 5000,
            external_roles: Roles::default(),
            external_answer_ms: 3_600_000,
            lazy_save_ms: 200,
            tick_ms: 50,
            alarms_per_tick: 1000,
            deadlines: Deadlines { expiry_ms: 7_200_000, payment_ms: 3_600_000 },
            restart_limit: RestartLimit { restarts: 5, window_ms: 60_000 },
            restart_backoff: Backoff { first_ms: 10, most_ms: 5000 },
            payment_retry: retry,
            payment_give_up_ms: 120_000,
            payment_calls: 4096,
            notice_retry: retry,
            notice_patience: Patience { longest_ms: 86_400_000, backoff: Backoff { first_ms: 60_000, most_ms: 3_600_000 } },
            notice_calls: 1024,
            customer_domain: Some("customers.invalid".to_owned()),
            pricing: Pricing::Check,
            store_retry: Backoff { first_ms: 100, most_ms: 2000 },
            lease_ms: 6000,
            keep_events_ms: 604_800_000,
            keep_letters_ms: 7_776_000_000,
            keep_audit_ms: 63_072_000_000,
            keep_copies_ms: 15_552_000_000,
            keep_held_ms: 604_800_000,
            slow_commit_ms: 2_000,
            stuck_commit_ms: 10_000,
            cluster_key: ClusterKey::default(),
            load_page: 1000,
        }
    }
}

/// How the actors of one kind stats.
#[derive(Debug, Default)]
pub(crate) struct ActorStats {
    pub(crate) alive: AtomicI64,
    pub(crate) restarts: AtomicU64,
    pub(crate) last_cause: Mutex<Option<String>>,
}

impl ActorStats {
    pub(crate) fn restarted(&self, cause: &str) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
        *self.last_cause.lock().unwrap_or_else(PoisonError::into_inner) = Some(cause.to_owned());
    }
}

/// What a node's actors count.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Orders that owe stock or payment, those being placed included.
    pub(crate) open: OpenSlots,
    stats: [ActorStats; ActorKind::ALL.len()],
    not_ready: Mutex<BTreeMap<String, String>>,
    pub(crate) stopping: AtomicBool,
}

impl Counters {
    pub(crate) fn stats(&self, kind: ActorKind) -> &ActorStats {
        let [order, stock_keeper, payment_gateway, notifier, router, supervisor, journal, analytics] = &self.stats;
        match kind {
            ActorKind::Order => order,
            ActorKind::StockKeeper => stock_keeper,
            ActorKind::PaymentGateway => payment_gateway,
            ActorKind::Notifier => notifier,
            ActorKind::Router => router,
            ActorKind::Supervisor => supervisor,
            ActorKind::Journal => journal,
            ActorKind::Analytics => analytics,
        }
    }

    /// The node is not ready while any part has said why.
    pub(crate) fn set_not_ready(&self, part: &str, why: Option<&str>) {
        let mut not_ready = self.not_ready.lock().unwrap_or_else(PoisonError::into_inner);
        match why {
            Some(why) => not_ready.insert(part.to_owned(), why.to_owned()),
            None => not_ready.remove(part),
        };
    }

    pub(crate) fn not_ready(&self) -> Vec<String> {
        let not_ready = self.not_ready.lock().unwrap_or_else(PoisonError::into_inner);
        not_ready.iter().map(|(part, why)| format!("{part}: {why}")).collect()
    }
}

/// When each payment that waits is tried again.
#[derive(Default)]
pub(crate) struct Retries(Mutex<HashMap<OrderId, Timestamp>>);

/// Shared by all actors of a node.
pub(crate) struct Node {
    pub(crate) settings: ActorSettings,
    pub(crate) world: Arc<dyn World>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) inboxes: Vec<Arc<Inbox>>,
    /// One for each arbiter; held from the moment when shards are taken until their open orders are loaded, so that a cell that stands
    /// still before it begins is seen too.
    pub(crate) loading: Vec<Loading>,
    pub(crate) reads: Arc<dyn Reads>,
    pub(crate) providers: Providers,
    pub(crate) live: Live,
    pub(crate) shards: OnceLock<Shards>,
    /// The role shards that are this node's and that its cells know of.
    pub(crate) owned: watch::Sender<RoleShards>,
    /// Who owns what, as the database said it last.
    pub(crate) cluster: watch::Sender<Arc<Cluster>>,
    /// What takes messages of dead letters again; none without Kafka.
    pub(crate) letters_again: OnceLock<DeadLetterAgain>,
    /// What takes repeats for roles that are not here; none without Kafka.
    pub(crate) repeats: Option<Repeats>,
    pub(crate) counters: Counters,
    pub(crate) times: StepTimes,
    pub(crate) faults: Faults,
    /// What the routers have taken since the start.
    pub(crate) routed: AtomicU64,
    /// One heartbeat per arbiter: how often its arbiter supervisor has run.
    pub(crate) beats: Vec<AtomicU64>,
    /// Tasks under way, by arbiter: payments and notices.
    pub(crate) tasks: Vec<(AtomicUsize, AtomicUsize)>,
    /// When a payment that waits is tried again, for who asks.
    pub(crate) retries: Retries,
    /// Where other nodes reach this one.
    pub(crate) url: String,
    /// Where spans are told.
    pub(crate) tracer: Tracer,
    /// How far the writers were seen to have come.
    pub(crate) ends: Ends,
    /// Why the node must end at once, if it must.
    pub(crate) halted: watch::Sender<Option<String>>,
}

impl Node {
    /// The way into the journal for writes that belong to no order.
    pub(crate) fn submitter(self: &Arc<Self>) -> Submit {
        let node = self.clone();
        Submit::new(move |write| {
            let fate = node.journal.ask(write, None);
            async move { fate.await.unwrap_or(Fate::Recorded) }.boxed()
        })
    }

    /// Reads until it succeeds, or the node is stopping.
    pub(crate) async fn read_until_ok<T, F>(&self, read: impl Fn() -> F) -> Result<T, Stopping>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        reading::until_ok(&self.counters.stopping, self.settings.store_retry, read).await
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.world.now()
    }

    /// How the store's orders are sliced; known since the journal's start.
    pub(crate) fn shards(&self) -> Shards {
        self.shards.get().copied().unwrap_or_else(|| self.reads.shards())
    }

    /// The thread on which a shard's actors live.
    pub(crate) fn arbiter_of(&self, shard: Shard) -> usize {
        usize::from(shard.0) % self.inboxes.len().max(1)
    }

    /// Whether another team's role has said it.
    pub(crate) fn is_external(&self, event: &Event) -> bool {
        external::is_theirs(event, self.settings.external_roles)
    }

    /// Whether this node does the work of `role` for the shard's orders.
    pub(crate) fn owns(&self, role: Role, shard: Shard) -> bool {
        self.owned.borrow().has(role, shard)
    }

    /// Tells the outside again what it was told before, for roles that are not here. Only its owner does so: what another has
    /// written, or this node's last writer, may still have to be told for the first time.
    pub(crate) fn repeat(&self, event: &Event) {
        // Read first: a fence takes the role shards away before there is a new writer.
        let writer = self.journal.writer();
        let owns = event.kind().topic().role().is_some_and(|role| self.owns(role, event.shard));
        if let Some(repeats) = self.repeats.as_ref().filter(|_| owns) {
            repeats(writer, event.clone());
        }
    }

    /// How many messages a service actor may have waiting: the open orders' bound, with room for what else an order may say.
    pub(crate) fn role_mailbox(&self) -> usize {
        self.settings.open_limit.saturating_mul(2).max(1024)
    }

    /// Why the node is not ready; empty when it is.
    pub(crate) fn not_ready(&self) -> Vec<String> {
        let under_way = (0..).zip(&self.loading).filter(|(_, loading)| loading.is_under_way());
        let loading = under_way.map(|(cell, _): (usize, _)| format!("orders of cell {cell}: loading"));
        self.counters.not_ready().into_iter().chain(loading).collect()
    }

    pub(crate) fn beat(&self, index: usize) {
        if let Some(beat) = self.beats.get(index) {
            beat.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn set_waiting(&self, kind: ActorKind, index: usize, waiting: usize) {
        if let Some((payments, notices)) = self.tasks.get(index) {
            let slot = if kind == ActorKind::PaymentGateway { payments } else { notices };
            slot.store(waiting, Ordering::Relaxed);
        }
    }

    pub(crate) fn remember_retry(&self, order: OrderId, at: Timestamp) {
        self.retries.0.lock().unwrap_or_else(PoisonError::into_inner).insert(order, at);
    }

    /// Called at each payment's end: a lock only where something waits.
    pub(crate) fn forget_retry(&self, order: OrderId) {
        self.retries.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&order);
    }

    pub(crate) fn next_retry(&self, order: OrderId) -> Option<Timestamp> {
        self.retries.0.lock().unwrap_or_else(PoisonError::into_inner).get(&order).copied()
    }

    pub(crate) fn inbox_of(&self, shard: Shard) -> Option<&Arc<Inbox>> {
        self.inboxes.get(self.arbiter_of(shard))
    }
}
