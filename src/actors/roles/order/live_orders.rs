//! The orders that have an actor on this arbiter.

use crate::actors::cell::{CellRef, LiveOrders};
use crate::actors::protocol::messages::{Answer, EventRef, Quit};
use crate::actors::roles::order::{Begin, OrderActor};
use crate::domain::{Order, OrderId};
use actix::{Addr, Context};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// How many messages an order's actor may have waiting; beyond that they are left to re-drive.
const ORDER_MAILBOX: usize = 64;

/// A live order.
struct Entry {
    addr: Addr<OrderActor>,
    order: Arc<Order>,
    /// The incarnation of this order's actor; a death report of an older one is ignored.
    incarnation: u64,
}

/// See the module.
#[derive(Default)]
pub(crate) struct OrderActors(RefCell<HashMap<OrderId, Entry>>);

/// Shared by router and supervisor.
pub(crate) type OrderActorsRef = Rc<OrderActors>;

impl OrderActors {
    /// Starts an order's actor.
    pub(crate) fn start(&self, cell: &CellRef, order: Arc<Order>, begin: Begin) -> Addr<OrderActor> {
        let incarnation = cell.next_incarnation();
        let actor = OrderActor::new(cell.clone(), order.clone(), begin, incarnation);
        let mut ctx = Context::new();
        ctx.set_mailbox_capacity(ORDER_MAILBOX);
        let addr = ctx.run(actor);
        self.0.borrow_mut().insert(order.id, Entry { addr: addr.clone(), order, incarnation });
        addr
    }

    pub(crate) fn addr(&self, id: OrderId) -> Option<Addr<OrderActor>> {
        self.0.borrow().get(&id).map(|entry| entry.addr.clone())
    }

    /// The order's actor, and which of its lives it is.
    pub(crate) fn incarnation(&self, id: OrderId) -> Option<(Addr<OrderActor>, u64)> {
        self.0.borrow().get(&id).map(|entry| (entry.addr.clone(), entry.incarnation))
    }

    pub(crate) fn ids(&self) -> Vec<OrderId> {
        self.0.borrow().keys().copied().collect()
    }
}

impl LiveOrders for OrderActors {
    fn order(&self, id: OrderId) -> Option<Arc<Order>> {
        self.0.borrow().get(&id).map(|entry| entry.order.clone())
    }

    fn has(&self, id: OrderId) -> bool {
        self.0.borrow().contains_key(&id)
    }

    fn answer(&self, id: OrderId, event: EventRef) {
        if let Some(entry) = self.0.borrow().get(&id) {
            drop(entry.addr.try_send(Answer(event)));
        }
    }

    fn remove(&self, id: OrderId, incarnation: u64) {
        let mut orders = self.0.borrow_mut();
        if orders.get(&id).is_some_and(|entry| entry.incarnation == incarnation) {
            orders.remove(&id);
        }
    }

    fn quit(&self, which: &dyn Fn(&Order) -> bool) {
        let mut entries: Vec<(OrderId, Entry)> = self.0.borrow_mut().extract_if(|_, entry| which(&entry.order)).collect();
        // In an order that does not hang on a hash: a simulation repeats it.
        entries.sort_unstable_by_key(|(id, _)| *id);
        for (_, entry) in entries {
            if entry.addr.try_send(Quit).is_err() && entry.addr.connected() {
                actix::spawn(async move {
                    // It may end by itself meanwhile.
                    let _gone = entry.addr.send(Quit).await;
                });
            }
        }
    }
}
