//! The keeper of an arbiter: a plain task that outlives all its actors. It starts them, hears of their deaths, and starts them
//! again: an order or a service actor alone, the router or the supervisor together with everything that they held.

use super::cell::{Cell, CellRef, pause};
use super::death::Death;
use super::messages::{OrderDied, RoleRestarted};
use super::node::{ActorKind, Node};
use super::notifier::Notifier;
use super::payment_gateway::PaymentGateway;
use super::router::Router;
use super::stock_keeper::StockKeeper;
use super::supervisor::Supervisor;
use crate::saga::policy::Restarts;
use actix::Actor;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Runs the cell `index` of a node until its arbiter ends.
pub(crate) async fn keep(index: usize, node: Arc<Node>) {
    let (deaths, mut reports) = mpsc::unbounded_channel();
    let cell = Cell::new(index, node, deaths);
    start_all(&cell);
    let mut restarts: BTreeMap<ActorKind, Restarts> = BTreeMap::new();
    while let Some(death) = reports.recv().await {
        let Death { kind, order, cause } = death;
        if let Some((order, life)) = order {
            tracing::error!(actor = kind.name(), order.id = %order, cause = %cause, "an actor panicked; it starts again from what is stored");
            let supervisor = cell.addresses.borrow().supervisor.clone();
            if let Some(supervisor) = supervisor {
                // While the supervisor is dead too, its own restart loads this order.
                drop(supervisor.try_send(OrderDied { order, life, cause }));
            }
            continue;
        }
        tracing::error!(actor = kind.name(), cause = %cause, "an actor panicked; it is started again");
        let limit = cell.node.settings.restart_limit;
        let part = format!("{} of cell {index}", kind.name());
        let delay = match restarts.entry(kind).or_default().count(limit, cell.steady_ms()) {
            Ok(count) => cell.node.settings.restart_backoff.after(count),
            Err(passed) => {
                cell.node.counters.set_not_ready(&part, Some(&format!("{passed}: {cause}")));
                cell.node.settings.restart_backoff.most_ms
            }
        };
        pause(delay).await;
        restart(&cell, kind);
        if delay < cell.node.settings.restart_backoff.most_ms {
            cell.node.counters.set_not_ready(&part, None);
        }
    }
}

fn start_all(cell: &CellRef) {
    {
        let mut addresses = cell.addresses.borrow_mut();
        addresses.supervisor = Some(Supervisor::new(cell.clone()).start());
        addresses.stock_keeper = Some(StockKeeper::new(cell.clone()).start());
        addresses.payment_gateway = Some(PaymentGateway::new(cell.clone()).start());
        addresses.notifier = Some(Notifier::new(cell.clone()).start());
    }
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
            start_all(cell);
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
