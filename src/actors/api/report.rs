//! Reports on a node's actors, for the health check, the metrics and the dashboard.

use crate::actors::api::handle::NodeHandle;
use crate::actors::protocol::kind::ActorKind;
use crate::actors::runtime::live::Live;
use crate::actors::runtime::step_times::StepTimes;
use crate::db::Reads;
use crate::domain::{OrderId, Role, Timestamp};
use crate::providers::Breakers;
use crate::telemetry::traces::Tracer;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// The actors of one kind: how many there are, and how they are doing.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActorCount {
    /// `order`, `stock-keeper`, `payment-gateway`, `notifier`, `router`, `supervisor`, `journal`, `analytics`.
    pub kind: String,
    /// Live actors at present.
    pub alive: u64,
    /// Restarts since the node started.
    pub restarts: u64,
    /// Cause of the last restart.
    pub last_cause: Option<String>,
    /// Messages or steps that wait at present.
    pub waiting: u64,
    /// Most messages that may wait.
    pub capacity: u64,
}

/// The actors of a node.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActorsReport {
    /// The actors by kind.
    pub actors: Vec<ActorCount>,
    /// Orders that wait for stock or payment.
    pub open_orders: u64,
    /// Limit on such orders.
    pub open_orders_limit: u64,
    /// Why the node is not ready; empty if it is ready.
    pub not_ready: Vec<String>,
}

impl ActorsReport {
    /// Work in progress on this node: orders with a live actor, and notices for orders without one.
    #[must_use]
    pub fn unsettled(&self) -> u64 {
        let of = |kind: ActorKind| self.actors.iter().find(|actor| actor.kind == kind.name());
        of(ActorKind::Order).map_or(0, |orders| orders.alive) + of(ActorKind::Notifier).map_or(0, |notifier| notifier.waiting)
    }
}

impl NodeHandle {
    /// The reading side of the store.
    #[must_use]
    pub fn reads(&self) -> &Arc<dyn Reads> {
        &self.node.reads
    }

    /// Where spans are told.
    #[must_use]
    pub fn tracer(&self) -> &Tracer {
        &self.node.tracer
    }

    /// The watchers of orders.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.node.live
    }

    /// The durations of the steps.
    #[must_use]
    pub fn times(&self) -> &StepTimes {
        &self.node.times
    }

    /// The providers' breakers.
    #[must_use]
    pub fn breakers(&self) -> &Breakers {
        &self.node.providers.breakers
    }

    /// When an order's payment will be tried again, if it waits for that; `None` if another node makes the payment, because only that node
    /// knows.
    #[must_use]
    pub fn next_payment_try(&self, order: OrderId) -> Option<Timestamp> {
        self.has_payment_of(order).then(|| self.node.next_retry(order)).flatten()
    }

    /// Whether this node makes the order's payment.
    pub(crate) fn has_payment_of(&self, order: OrderId) -> bool {
        self.owns(Role::Payment, self.node.shards().of(order))
    }

    /// Orders that wait for stock or payment.
    #[must_use]
    pub fn open_orders(&self) -> usize {
        self.node.counters.open.taken()
    }

    /// Transactions since the start, writes since the start, and the duration of the last commit in microseconds.
    #[must_use]
    pub fn journal(&self) -> (u64, u64, u64) {
        let (commits, writes) = self.node.journal.totals();
        (commits, writes, self.node.journal.last_commit_us.load(Ordering::Relaxed))
    }

    /// How long the current commit has been running, if it is slow.
    #[must_use]
    pub fn slow_commit(&self) -> Option<Duration> {
        self.node.journal.commit_age().filter(|age| *age >= Duration::from_millis(self.node.settings.slow_commit_ms))
    }

    /// The number of heartbeats of each arbiter.
    #[must_use]
    pub fn heartbeats(&self) -> Vec<u64> {
        self.node.beats.iter().map(|beat| beat.load(Ordering::Relaxed)).collect()
    }

    /// Writes current values into the metrics. Called when somebody reads the metrics, so that orders do not pay for it.
    pub fn publish(&self) {
        let report = self.report();
        metrics::gauge!("ordermill_open_orders").set(report.open_orders as f64);
        metrics::gauge!("ordermill_unsettled_orders").set(report.unsettled() as f64);
        metrics::gauge!("ordermill_ready").set(if report.not_ready.is_empty() { 1.0 } else { 0.0 });
        let (commits, writes, _) = self.journal();
        metrics::counter!("ordermill_journal_commits_total").absolute(commits);
        metrics::counter!("ordermill_journal_writes_total").absolute(writes);
        let age = self.node.journal.commit_age().unwrap_or_default();
        metrics::gauge!("ordermill_journal_commit_age_seconds").set(age.as_secs_f64());
        for actor in report.actors {
            metrics::gauge!("ordermill_actors", "kind" => actor.kind.clone()).set(actor.alive as f64);
            metrics::gauge!("ordermill_actor_waiting", "kind" => actor.kind.clone()).set(actor.waiting as f64);
            metrics::counter!("ordermill_actor_restarts_total", "kind" => actor.kind).absolute(actor.restarts);
        }
        for breaker in self.breakers().snapshots() {
            let is_open = if breaker.state == crate::providers::CircuitState::Closed { 0.0 } else { 1.0 };
            metrics::gauge!("ordermill_breaker_open", "provider" => breaker.name).set(is_open);
            metrics::gauge!("ordermill_breaker_held_by_hand", "provider" => breaker.name).set(if breaker.by_hand { 1.0 } else { 0.0 });
            metrics::gauge!("ordermill_breaker_failures", "provider" => breaker.name).set(f64::from(breaker.failures_in_window));
            metrics::counter!("ordermill_breaker_opened_total", "provider" => breaker.name).absolute(breaker.opened_total);
        }
    }

    /// Why the node is not ready; empty if it is ready.
    #[must_use]
    pub fn not_ready(&self) -> Vec<String> {
        self.node.not_ready()
    }

    /// The report on all actors.
    #[must_use]
    pub fn report(&self) -> ActorsReport {
        let node = &self.node;
        let limit = node.settings.open_limit as u64;
        let tasks = |pick: fn(&(AtomicUsize, AtomicUsize)) -> &AtomicUsize| {
            node.tasks.iter().map(|pair| pick(pair).load(Ordering::Relaxed) as u64).sum::<u64>()
        };
        let actors = ActorKind::ALL.map(|kind| {
            let stats = node.counters.stats(kind);
            let (waiting, capacity) = match kind {
                ActorKind::Journal => (node.journal.waiting(), node.settings.queue_limit as u64),
                ActorKind::Router => (node.inboxes.iter().map(|inbox| inbox.len() as u64).sum(), limit),
                ActorKind::PaymentGateway => (tasks(|pair| &pair.0), node.role_mailbox() as u64),
                ActorKind::Notifier => (tasks(|pair| &pair.1), node.role_mailbox() as u64),
                ActorKind::Order => (0, limit),
                ActorKind::StockKeeper | ActorKind::Supervisor | ActorKind::Analytics => (0, node.role_mailbox() as u64),
            };
            ActorCount {
                kind: kind.name().to_owned(),
                alive: u64::try_from(stats.alive.load(Ordering::Relaxed)).unwrap_or(0),
                restarts: stats.restarts.load(Ordering::Relaxed),
                last_cause: stats.last_cause.lock().unwrap_or_else(PoisonError::into_inner).clone(),
                waiting,
                capacity,
            }
        });
        ActorsReport {
            actors: actors.into(),
            open_orders: self.open_orders() as u64,
            open_orders_limit: limit,
            not_ready: self.not_ready(),
        }
    }
}
