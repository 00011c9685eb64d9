//! The keeper of an arbiter: a plain task that outlives all its actors. It starts them, hears of their deaths, and starts them
//! again: an order or a role alone, the router or the supervisor together, with all orders.

use super::cell::{Cell, CellRef, pause};
use super::death::{self, Death};
use super::messages::{OrderDied, RoleRestarted};
use super::node::{ActorKind, Node};
use super::notifier::Notifier;
use super::payment_gateway::PaymentGateway;
use super::router::Router;
use super::stock_keeper::StockKeeper;
use super::supervisor::Supervisor;
use crate::domain::OrderId;
use crate::saga::policy::Restarts;
use actix::Actor;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

/// How often an arbiter says that it runs.
const BEAT: Duration = Duration::from_secs(1);

/// Runs the cell `index` of a node until its arbiter ends.
pub(crate) async fn keep(index: usize, node: Arc<Node>) {
    death::watch_this_thread();
    let (deaths, mut reports) = mpsc::unbounded_channel();
    let cell = Cell::new(index, node, deaths);
    start_all(&cell);
    let health: Rc<RefCell<BTreeMap<ActorKind, Health>>> = Rc::default();
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let report = tokio::select! {
            biased;
            report = reports.recv() => report,
            // The thread's own heartbeat: it beats also while actors load, die or are kept waiting for their restart.
            _ = beat.tick() => {
                cell.node.beat(cell.index);
                continue;
            }
        };
        let Some(Death { kind, order, cause }) = report else { return };
        match order {
            Some(order) => order_died(&cell, order, cause),
            // A task of its own: while one actor is kept waiting, the deaths of others are heard.
            None => drop(actix::spawn(role_died(cell.clone(), health.clone(), kind, cause))),
        }
    }
}

fn order_died(cell: &CellRef, (order, life): (OrderId, u64), cause: String) {
    tracing::error!(actor = "order", order.id = %order, cause = %cause, "an actor panicked; it starts again from what is stored");
    if let Some(supervisor) = &cell.addresses.borrow().supervisor {
        // While the supervisor is dead too, its own restart loads this order.
        drop(supervisor.try_send(OrderDied { order, life, cause }));
    }
}

/// Starts a service actor again after a while, and proves it: the node is ready again when it has lived on for one window.
async fn role_died(cell: CellRef, health: Rc<RefCell<BTreeMap<ActorKind, Health>>>, kind: ActorKind, cause: String) {
    tracing::error!(actor = kind.name(), cause = %cause, "an actor panicked; it is started again");
    let era = cell.era.get();
    let (delay, proof) = {
        let mut health = health.borrow_mut();
        let part = || Health::new(&cell.node, format!("{} of cell {}", kind.name(), cell.index));
        let health = health.entry(kind).or_insert_with(part);
        (health.died(&cause), health.proof())
    };
    pause(delay).await;
    let is_of_era = matches!(kind, ActorKind::Router | ActorKind::Supervisor);
    // Else it was started anew meanwhile, together with the other one.
    if !is_of_era || cell.era.get() == era {
        restart(&cell, kind);
    }
    tokio::time::sleep(proof).await;
    if let Some(health) = health.borrow_mut().get_mut(&kind) {
        health.proved();
    }
}

/// How a service actor has fared, and whether the node is ready with it.
pub(crate) struct Health {
    node: Arc<Node>,
    part: String,
    restarts: Restarts,
    began: Instant,
    last_death: Instant,
}

impl Health {
    pub(crate) fn new(node: &Arc<Node>, part: String) -> Self {
        let now = Instant::now();
        Self { node: node.clone(), part, restarts: Restarts::default(), began: now, last_death: now }
    }

    /// Counts a death and says how long to wait before the restart, in milliseconds.
    pub(crate) fn died(&mut self, cause: &str) -> u64 {
        let settings = &self.node.settings;
        self.last_death = Instant::now();
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match self.restarts.count(settings.restart_limit, now_ms) {
            Ok(count) => settings.restart_backoff.after(count),
            Err(passed) => {
                self.node.counters.set_not_ready(&self.part, Some(&format!("{passed}: {cause}")));
                settings.restart_backoff.most_ms
            }
        }
    }

    /// How long it must live on to count as healed.
    pub(crate) fn proof(&self) -> Duration {
        Duration::from_millis(self.node.settings.restart_limit.window_ms)
    }

    /// That time has passed since one of its deaths: healed, unless there was another meanwhile.
    pub(crate) fn proved(&self) {
        if self.last_death.elapsed() >= self.proof() {
            self.node.counters.set_not_ready(&self.part, None);
        }
    }
}

fn start_all(cell: &CellRef) {
    {
        let mut addresses = cell.addresses.borrow_mut();
        addresses.stock_keeper = Some(StockKeeper::new(cell.clone()).start());
        addresses.payment_gateway = Some(PaymentGateway::new(cell.clone()).start());
        addresses.notifier = Some(Notifier::new(cell.clone()).start());
    }
    start_orders(cell);
}

fn start_orders(cell: &CellRef) {
    cell.addresses.borrow_mut().supervisor = Some(Supervisor::new(cell.clone()).start());
    let router = Router::new(cell.clone()).start();
    cell.addresses.borrow_mut().router = Some(router);
}

fn restart(cell: &CellRef, kind: ActorKind) {
    match kind {
        ActorKind::StockKeeper => cell.addresses.borrow_mut().stock_keeper = Some(StockKeeper::new(cell.clone()).start()),
        ActorKind::PaymentGateway => cell.addresses.borrow_mut().payment_gateway = Some(PaymentGateway::new(cell.clone()).start()),
        ActorKind::Notifier => cell.addresses.borrow_mut().notifier = Some(Notifier::new(cell.clone()).start()),
        ActorKind::Router | ActorKind::Supervisor => {
            cell.quit_all();
            start_orders(cell);
            cell.load_owned();
            return;
        }
        ActorKind::Order | ActorKind::Journal | ActorKind::Analytics => {
            super::check::broken("a death was reported to the wrong keeper", kind.name());
            return;
        }
    }
    let supervisor = cell.addresses.borrow().supervisor.clone();
    if let Some(supervisor) = supervisor {
        drop(supervisor.try_send(RoleRestarted(kind)));
    }
}
