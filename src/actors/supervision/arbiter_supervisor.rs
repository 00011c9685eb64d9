//! The supervisor of an arbiter: a plain task that outlives all its actors. It starts them, hears of their deaths, and starts them
//! again: an order or a role alone, the router or the supervisor together, with all orders.

use super::supervisor::Supervisor;
use crate::actors::cell::{Cell, CellRef, NotifierAddress, SupervisorAddress};
use crate::actors::node::Node;
use crate::actors::protocol::kind::ActorKind;
use crate::actors::protocol::messages::{OrderDied, RoleRestarted};
use crate::actors::roles::inventory::StockKeeper;
use crate::actors::roles::notification::notifier::Notifier;
use crate::actors::roles::order::live_orders::OrderActorsRef;
use crate::actors::roles::payment::gateway::PaymentGateway;
use crate::actors::runtime::death;
use crate::actors::runtime::death::Death;
use crate::actors::runtime::invariant;
use crate::actors::runtime::pause::pause;
use crate::actors::runtime::tell::tell_surely;
use crate::actors::supervision::health::Health;
use crate::actors::supervision::router::Router;
use crate::domain::OrderId;
use actix::Actor;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// How often an arbiter says that it runs.
const BEAT: Duration = Duration::from_secs(1);

/// Runs the cell `index` of a node until its arbiter ends.
pub(crate) async fn supervise(index: usize, node: Arc<Node>) {
    death::watch_this_thread();
    let (deaths, mut reports) = mpsc::unbounded_channel();
    let orders = OrderActorsRef::default();
    let cell = Cell::new(index, node, orders.clone(), deaths);
    start_all(&cell, &orders);
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
            None => drop(actix::spawn(role_died(cell.clone(), orders.clone(), health.clone(), kind, cause))),
        }
    }
}

fn order_died(cell: &CellRef, (order, incarnation): (OrderId, u64), cause: String) {
    tracing::error!(actor = "order", order.id = %order, cause = %cause, "an actor panicked; it starts again from what is stored");
    if let Some(supervisor) = &cell.addresses.borrow().supervisor {
        // While the supervisor is dead too, its own restart loads this order.
        tell_surely(&supervisor.order_died, OrderDied { order, incarnation, cause });
    }
}

/// Starts a service actor again after a while, and proves it: the node is ready again when it has lived on for one window.
async fn role_died(
    cell: CellRef,
    orders: OrderActorsRef,
    health: Rc<RefCell<BTreeMap<ActorKind, Health>>>,
    kind: ActorKind,
    cause: String,
) {
    tracing::error!(actor = kind.name(), cause = %cause, "an actor panicked; it is started again");
    let generation = cell.generation.get();
    let (delay, proof) = {
        let mut health = health.borrow_mut();
        let part = || Health::new(&cell.node, format!("{} of cell {}", kind.name(), cell.index));
        let health = health.entry(kind).or_insert_with(part);
        (health.died(&cause), health.proof())
    };
    pause(delay).await;
    let is_of_generation = matches!(kind, ActorKind::Router | ActorKind::Supervisor);
    // Else it was started anew meanwhile, together with the other one.
    if !is_of_generation || cell.generation.get() == generation {
        restart(&cell, &orders, kind);
    }
    tokio::time::sleep(proof).await;
    if let Some(health) = health.borrow_mut().get_mut(&kind) {
        health.proved();
    }
}

fn start_all(cell: &CellRef, orders: &OrderActorsRef) {
    for kind in [ActorKind::StockKeeper, ActorKind::PaymentGateway, ActorKind::Notifier] {
        start_role(cell, kind);
    }
    start_supervision(cell, orders);
}

fn start_role(cell: &CellRef, kind: ActorKind) {
    let mut addresses = cell.addresses.borrow_mut();
    match kind {
        ActorKind::StockKeeper => addresses.stock_keeper = Some(StockKeeper::new(cell.clone()).start().recipient()),
        ActorKind::PaymentGateway => addresses.payment_gateway = Some(PaymentGateway::new(cell.clone()).start().recipient()),
        ActorKind::Notifier => {
            let addr = Notifier::new(cell.clone()).start();
            addresses.notifier = Some(NotifierAddress {
                deliver: addr.clone().recipient(),
                load: addr.clone().recipient(),
                retry: addr.clone().recipient(),
                recorded: addr.recipient(),
            });
        }
        ActorKind::Order | ActorKind::Router | ActorKind::Supervisor | ActorKind::Journal | ActorKind::Analytics => {
            invariant::violated("a death was reported to the wrong arbiter supervisor", kind.name());
        }
    }
}

fn start_supervision(cell: &CellRef, orders: &OrderActorsRef) {
    let addr = Supervisor::new(cell.clone(), orders.clone()).start();
    cell.addresses.borrow_mut().supervisor = Some(SupervisorAddress {
        wake: addr.clone().recipient(),
        load: addr.clone().recipient(),
        order_died: addr.clone().recipient(),
        role_restarted: addr.clone().recipient(),
        quit: addr.recipient(),
    });
    let router = Router::new(cell.clone(), orders.clone()).start();
    cell.addresses.borrow_mut().router = Some(router.recipient());
}

fn restart(cell: &CellRef, orders: &OrderActorsRef, kind: ActorKind) {
    if matches!(kind, ActorKind::Router | ActorKind::Supervisor) {
        cell.quit_all();
        start_supervision(cell, orders);
        cell.load_owned();
        return;
    }
    start_role(cell, kind);
    let supervisor = cell.addresses.borrow().supervisor.clone();
    if let Some(supervisor) = supervisor {
        drop(supervisor.role_restarted.try_send(RoleRestarted(kind)));
    }
}
