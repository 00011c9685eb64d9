//! A cell: the actors of one arbiter and what they share. Single-threaded; shards do not cross cells.

use super::death::Death;
use super::inbox::Inbound;
use super::messages::{Deliver, EventRef, Load, Quit};
use super::node::{ActorKind, Node};
use super::notifier::Notifier;
use super::order::OrderActor;
use super::payment_gateway::PaymentGateway;
use super::router::Router;
use super::stock_keeper::StockKeeper;
use super::supervisor::Supervisor;
use crate::domain::{Event, EventKind, Order, OrderId, Role, Shard};
use actix::Addr;
use std::cell::{Cell as Slot, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Why an order wants to be woken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Alarm {
    /// A fact waits to be stored.
    Save,
    /// Something is owed: ask again, or end the order when its deadline has passed.
    Redrive,
}

/// A live order.
pub(crate) struct Entry {
    pub(crate) addr: Addr<OrderActor>,
    pub(crate) order: Arc<Order>,
    /// Which life of this order's actor; a death report of an older one is void.
    pub(crate) life: u64,
}

/// The addresses of the cell's service actors.
#[derive(Default, Clone)]
pub(crate) struct Addresses {
    pub(crate) supervisor: Option<Addr<Supervisor>>,
    pub(crate) stock_keeper: Option<Addr<StockKeeper>>,
    pub(crate) payment_gateway: Option<Addr<PaymentGateway>>,
    pub(crate) notifier: Option<Addr<Notifier>>,
    pub(crate) router: Option<Addr<Router>>,
}

/// Shared by the actors of one arbiter.
pub(crate) struct Cell {
    pub(crate) index: usize,
    pub(crate) node: Arc<Node>,
    pub(crate) orders: RefCell<HashMap<OrderId, Entry>>,
    pub(crate) addresses: RefCell<Addresses>,
    /// The shards of this cell that are this node's.
    pub(crate) owned: RefCell<BTreeSet<Shard>>,
    alarms: RefCell<BinaryHeap<Reverse<(u64, OrderId, Alarm)>>>,
    deaths: mpsc::UnboundedSender<Death>,
    lives: Slot<u64>,
    /// Counts the cell's rebuilds; actors of an older one are strangers.
    pub(crate) era: Slot<u64>,
    epoch: Instant,
}

pub(crate) type CellRef = Rc<Cell>;

impl Cell {
    pub(crate) fn new(index: usize, node: Arc<Node>, deaths: mpsc::UnboundedSender<Death>) -> CellRef {
        Rc::new(Self {
            index,
            node,
            orders: RefCell::default(),
            addresses: RefCell::default(),
            owned: RefCell::default(),
            alarms: RefCell::default(),
            deaths,
            lives: Slot::new(0),
            era: Slot::new(0),
            epoch: Instant::now(),
        })
    }

    /// The shards whose orders live here.
    pub(crate) fn has(&self, shard: Shard) -> bool {
        self.node.arbiter_of(shard) == self.index
    }

    /// Milliseconds of the steady clock since the cell began.
    pub(crate) fn steady_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn next_life(&self) -> u64 {
        self.lives.set(self.lives.get() + 1);
        self.lives.get()
    }

    /// Wakes the order after `delay_ms`, if it still lives then.
    pub(crate) fn wake_after(&self, delay_ms: u64, order: OrderId, alarm: Alarm) {
        self.alarms.borrow_mut().push(Reverse((self.steady_ms().saturating_add(delay_ms), order, alarm)));
    }

    /// At most `most` alarms that are due.
    pub(crate) fn due_alarms(&self, most: usize) -> Vec<(OrderId, Alarm)> {
        let now = self.steady_ms();
        let mut alarms = self.alarms.borrow_mut();
        let mut due = Vec::new();
        while due.len() < most && alarms.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            due.extend(alarms.pop().map(|Reverse((_, order, alarm))| (order, alarm)));
        }
        due
    }

    /// The live order's own copy, so that a role need not read it.
    pub(crate) fn known_order(&self, order: OrderId) -> Option<Arc<Order>> {
        self.orders.borrow().get(&order).map(|entry| entry.order.clone())
    }

    /// Delivers an event again, later in turn, to the roles of this node that take it.
    pub(crate) fn again(&self, event: Event) {
        if let Some(inbox) = self.node.inboxes.get(self.index) {
            inbox.push(Inbound::Again(event));
        }
    }

    pub(crate) fn report_death(&self, kind: ActorKind, order: Option<(OrderId, u64)>) {
        let cause = super::death::take_cause();
        self.node.counters.fare(kind).restarted(&cause);
        // The keeper outlives the cell's actors; when it is gone the arbiter is.
        let _keeper_gone = self.deaths.send(Death { kind, order, cause });
    }

    /// Tells the keeper that a service actor of `era` ended, if a panic ended it.
    pub(crate) fn report_end(&self, kind: ActorKind, era: u64) {
        if std::thread::panicking() && era == self.era.get() {
            self.report_death(kind, None);
        }
    }

    /// Ends every order's actor; what is stored stays, what is not stored was not answered.
    pub(crate) fn drop_orders(&self) {
        self.owned.borrow_mut().clear();
        self.quit_orders();
    }

    fn quit_orders(&self) {
        let entries: Vec<Entry> = self.orders.borrow_mut().drain().map(|(_, entry)| entry).collect();
        for entry in entries {
            if entry.addr.try_send(Quit).is_err() && entry.addr.connected() {
                actix::spawn(async move {
                    // It may end by itself meanwhile.
                    let _gone = entry.addr.send(Quit).await;
                });
            }
        }
        self.alarms.borrow_mut().clear();
    }

    /// Ends every actor of the cell, so that all can begin anew from what is stored.
    pub(crate) fn quit_all(&self) {
        self.era.set(self.era.get() + 1);
        self.quit_orders();
        let addresses = std::mem::take(&mut *self.addresses.borrow_mut());
        // One that is dead already needs no word.
        if let Some(addr) = addresses.router {
            drop(addr.try_send(Quit));
        }
        if let Some(addr) = addresses.supervisor {
            drop(addr.try_send(Quit));
        }
        if let Some(addr) = addresses.stock_keeper {
            drop(addr.try_send(Quit));
        }
        if let Some(addr) = addresses.payment_gateway {
            drop(addr.try_send(Quit));
        }
        if let Some(addr) = addresses.notifier {
            drop(addr.try_send(Quit));
        }
    }

    /// Loads the open orders of this cell's shards.
    pub(crate) fn load_owned(&self) {
        let owned = self.owned.borrow().iter().copied().collect();
        let addresses = self.addresses.borrow();
        if let Some(supervisor) = &addresses.supervisor {
            drop(supervisor.try_send(Load(owned)));
        }
    }

    /// An actor of this kind began or ended.
    pub(crate) fn count(&self, kind: ActorKind, change: i64) {
        self.node.counters.fare(kind).alive.fetch_add(change, Ordering::Relaxed);
    }

    /// Hands an event to the actor of `role`. A full or dead mailbox loses it: re-drive repeats it.
    pub(crate) fn deliver(&self, role: Role, event: &EventRef, repeat: bool) {
        let addresses = self.addresses.borrow();
        let order = match role {
            Role::Payment | Role::Notification => self.known_order(event.get().order),
            Role::Order | Role::Inventory | Role::Analytics => None,
        };
        let message = Deliver { event: event.clone(), order, repeat };
        let lost = match role {
            Role::Inventory => addresses.stock_keeper.as_ref().is_some_and(|addr| addr.try_send(message).is_err()),
            Role::Payment => addresses.payment_gateway.as_ref().is_some_and(|addr| addr.try_send(message).is_err()),
            Role::Notification => addresses.notifier.as_ref().is_some_and(|addr| addr.try_send(message).is_err()),
            Role::Order | Role::Analytics => false,
        };
        if lost {
            metrics::counter!("ordermill_deliveries_left_to_redrive_total", "role" => role.name()).increment(1);
        }
    }
}

/// The roles that take an event of this kind: the choreography.
pub(crate) fn subscribers(kind: EventKind) -> &'static [Role] {
    match kind {
        EventKind::OrderCreated | EventKind::ShipmentHeld => &[Role::Inventory],
        EventKind::InventoryReserved => &[Role::Order, Role::Payment],
        EventKind::InventoryInsufficient
        | EventKind::InventoryReleased
        | EventKind::InventoryShipped
        | EventKind::PaymentRefunded
        | EventKind::NotificationSent
        | EventKind::NotificationFailed => &[Role::Order],
        EventKind::PaymentProcessed => &[Role::Order, Role::Notification],
        EventKind::PaymentFailed => &[Role::Order, Role::Inventory, Role::Notification],
        EventKind::PaymentCancelled => &[Role::Order, Role::Inventory],
        EventKind::OrderCancelRequested => &[Role::Inventory, Role::Payment, Role::Notification],
        EventKind::OrderShipped => &[Role::Inventory, Role::Notification],
        EventKind::OrderCancelled | EventKind::OrderFailed => &[Role::Notification],
        EventKind::OrderConfirmed => &[],
    }
}

/// Waits so long on the steady clock.
pub(crate) async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
