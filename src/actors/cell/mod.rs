//! A cell: the actors of one arbiter and what they share. Single-threaded; shards do not cross cells.

use crate::actors::node::Node;
use crate::actors::protocol::cause::Cause;
use crate::actors::protocol::command::{CommandError, refuse};
use crate::actors::protocol::fate::Fate;
use crate::actors::protocol::inbound::{Inbound, Loading};
use crate::actors::protocol::kind::ActorKind;
use crate::actors::protocol::messages::{
    Alarm, Deliver, EventRef, Load, OrderDied, Quit, Recorded, RetryNotice, RoleRestarted, Wake, WakeWith,
};
use crate::actors::protocol::ticket::StepOf;
use crate::actors::runtime::death;
use crate::actors::runtime::death::Death;
use crate::actors::runtime::pause::pause;
use crate::actors::runtime::tell::tell_surely;
use crate::db::{StepOutcome, TypedWrite, Write};
use crate::domain::{Channel, CorrelationId, DeadLetter, Event, EventBody, NoticeKind, Order, OrderId, Role, RoleShards, Shard, Text};
use crate::saga::park::{WRITE_REFUSED, step_letter};
use actix::Recipient;
use actix::prelude::SendError;
use std::cell::{Cell as Slot, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The orders that have an actor, as the rest of the cell sees them.
pub(crate) trait LiveOrders {
    /// The live order's own copy.
    fn order(&self, id: OrderId) -> Option<Arc<Order>>;
    fn has(&self, id: OrderId) -> bool;
    /// Tells the order's actor something that it asks for again should it be lost.
    fn answer(&self, id: OrderId, event: EventRef);
    /// The actor of this incarnation has ended and is reached by nobody any more.
    fn remove(&self, id: OrderId, incarnation: u64);
    /// Ends the actors of these orders.
    fn quit(&self, which: &dyn Fn(&Order) -> bool);
}

/// How a cell's supervisor is reached.
#[derive(Clone)]
pub(crate) struct SupervisorAddress {
    pub(crate) wake: Recipient<Wake>,
    pub(crate) load: Recipient<Load>,
    pub(crate) order_died: Recipient<OrderDied>,
    pub(crate) role_restarted: Recipient<RoleRestarted>,
    pub(crate) quit: Recipient<Quit>,
}

/// How a cell's notifier is reached.
#[derive(Clone)]
pub(crate) struct NotifierAddress {
    pub(crate) deliver: Recipient<Deliver>,
    pub(crate) load: Recipient<Load>,
    pub(crate) retry: Recipient<RetryNotice>,
    pub(crate) recorded: Recipient<Recorded>,
}

/// The addresses of the cell's service actors.
#[derive(Default, Clone)]
pub(crate) struct Addresses {
    pub(crate) supervisor: Option<SupervisorAddress>,
    pub(crate) stock_keeper: Option<Recipient<Deliver>>,
    pub(crate) payment_gateway: Option<Recipient<Deliver>>,
    pub(crate) notifier: Option<NotifierAddress>,
    pub(crate) router: Option<Recipient<Quit>>,
}

/// Shared by the actors of one arbiter.
pub(crate) struct Cell {
    pub(crate) index: usize,
    pub(crate) node: Arc<Node>,
    pub(crate) orders: Rc<dyn LiveOrders>,
    /// Orders that owe only a notice may be open without an actor: they are looked after.
    pub(crate) has_sleepers: Slot<bool>,
    pub(crate) addresses: RefCell<Addresses>,
    /// The role shards of this cell that are this node's.
    owned: RefCell<RoleShards>,
    /// Calls to providers under way of which a second one would be felt, by shard: a shard with one is not given away.
    sending: RefCell<HashMap<Shard, u32>>,
    alarms: RefCell<BinaryHeap<Reverse<(u64, OrderId, Alarm)>>>,
    deaths: mpsc::UnboundedSender<Death>,
    incarnations: Slot<u64>,
    /// Counts the rebuilds of router and supervisor; those of an older one are strangers.
    pub(crate) generation: Slot<u64>,
    began: Instant,
    /// The journal's epoch that the cell's orders rest on.
    epoch: Slot<u64>,
    /// How many reads of stored orders are in progress, and which orders have left since the first of them began, each with
    /// the number of its departure.
    readings: Slot<u32>,
    departed: RefCell<HashMap<OrderId, u64>>,
    /// The same of the shards whose orders were given away: another node may have written there since.
    left: RefCell<HashMap<Shard, u64>>,
    departures: Slot<u64>,
    /// How often role shards were lost: what was read before may be older than what is stored.
    losses: Slot<u64>,
}

pub(crate) type CellRef = Rc<Cell>;

/// A reading under way, to its end.
pub(crate) struct Reading {
    cell: CellRef,
    since: u64,
}

impl Reading {
    /// Whether an actor of this order has ended since the reading began, or its shard was another node's for a while, so that what
    /// was read may be older than what is stored.
    pub(crate) fn is_old(&self, order: OrderId) -> bool {
        let is_later = |departure: Option<&u64>| departure.is_some_and(|departure| *departure > self.since);
        let shard = self.cell.node.shards().of(order);
        is_later(self.cell.departed.borrow().get(&order)) || is_later(self.cell.left.borrow().get(&shard))
    }
}

/// A call under way that keeps its shard here, to its end.
pub(crate) struct Sending {
    cell: CellRef,
    shard: Shard,
}

impl Drop for Sending {
    fn drop(&mut self) {
        let mut sending = self.cell.sending.borrow_mut();
        if let Some(count) = sending.get_mut(&self.shard) {
            *count -= 1;
            if *count == 0 {
                sending.remove(&self.shard);
            }
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let cell = &self.cell;
        cell.readings.set(cell.readings.get().saturating_sub(1));
        if cell.readings.get() == 0 {
            cell.departed.borrow_mut().clear();
            cell.left.borrow_mut().clear();
        }
    }
}

impl Cell {
    pub(crate) fn new(index: usize, node: Arc<Node>, orders: Rc<dyn LiveOrders>, deaths: mpsc::UnboundedSender<Death>) -> CellRef {
        Rc::new(Self {
            index,
            node,
            orders,
            has_sleepers: Slot::new(false),
            addresses: RefCell::default(),
            owned: RefCell::default(),
            sending: RefCell::default(),
            alarms: RefCell::default(),
            deaths,
            incarnations: Slot::new(0),
            generation: Slot::new(0),
            began: Instant::now(),
            epoch: Slot::new(0),
            readings: Slot::new(0),
            departed: RefCell::default(),
            left: RefCell::default(),
            departures: Slot::new(0),
            losses: Slot::new(0),
        })
    }

    /// The shards whose orders live here.
    pub(crate) fn has(&self, shard: Shard) -> bool {
        self.node.arbiter_of(shard) == self.index
    }

    /// Milliseconds of the steady clock since the cell began.
    pub(crate) fn steady_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn next_incarnation(&self) -> u64 {
        self.incarnations.set(self.incarnations.get() + 1);
        self.incarnations.get()
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
        self.orders.order(order)
    }

    /// Submits a role's step: it rests on the event that asks for it, which is stored, and on nothing that a fence makes void.
    pub(crate) fn submit(&self, whose: StepOf, write: TypedWrite<StepOutcome>, cause: Option<Cause>) {
        self.node.journal.step(self.epoch.get(), whose, write, cause);
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.get()
    }

    /// The order's actor has ended and is reached by nobody any more.
    pub(crate) fn leave(&self, order: OrderId, incarnation: u64) {
        self.orders.remove(order, incarnation);
        if self.readings.get() > 0 {
            self.departures.set(self.departures.get() + 1);
            self.departed.borrow_mut().insert(order, self.departures.get());
        }
    }

    /// How often role shards were lost. Who waits for long and finds it changed reads again.
    pub(crate) fn losses(&self) -> u64 {
        self.losses.get()
    }

    fn note_loss(&self) {
        self.losses.set(self.losses.get() + 1);
    }

    /// The role shard is not this node's from now on. What is read of orders rests on nobody else's writes than their owner's.
    fn leave_role_shard(&self, role: Role, shard: Shard) {
        if role == Role::Order && self.readings.get() > 0 {
            self.departures.set(self.departures.get() + 1);
            self.left.borrow_mut().insert(shard, self.departures.get());
        }
    }

    /// Stored orders are about to be read, to start actors from them.
    pub(crate) fn begin_reading(self: &Rc<Self>) -> Reading {
        self.readings.set(self.readings.get() + 1);
        Reading { cell: self.clone(), since: self.departures.get() }
    }

    /// Gives something to an order that has no actor.
    pub(crate) fn wake(&self, order: OrderId, with: WakeWith) {
        let addresses = self.addresses.borrow();
        let Some(supervisor) = &addresses.supervisor else { return };
        match supervisor.wake.try_send(Wake { order, with }) {
            Ok(()) => {}
            Err(SendError::Full(Wake { with: WakeWith::Ask(ask), .. })) => refuse(ask, CommandError::Unavailable),
            // It comes again by re-drive.
            Err(SendError::Full(Wake { with: WakeWith::Answer(_), .. })) => {}
            Err(SendError::Full(stored @ Wake { with: WakeWith::Stored, .. })) => tell_surely(&supervisor.wake, stored),
            // A command whose way is lost is given again; the next supervisor loads what is open.
            Err(SendError::Closed(_)) => {}
        }
    }

    /// Delivers an event again, later in turn, to the roles of this node that take it.
    pub(crate) fn again(&self, event: Event) {
        if let Some(inbox) = self.node.inboxes.get(self.index) {
            inbox.push(Inbound::Again(event));
        }
    }

    /// The same of an answer, where there is one.
    pub(crate) fn tell_again(&self, event: Option<Event>) {
        if let Some(event) = event {
            self.again(event);
        }
    }

    pub(crate) fn report_death(&self, kind: ActorKind, order: Option<(OrderId, u64)>) {
        let cause = death::take_cause();
        self.node.counters.stats(kind).restarted(&cause);
        // The arbiter supervisor outlives the cell's actors; when it is gone the arbiter is.
        let _keeper_gone = self.deaths.send(Death { kind, order, cause });
    }

    /// Tells the arbiter supervisor that a service actor ended, if a panic ended it.
    pub(crate) fn report_end(&self, kind: ActorKind) {
        if std::thread::panicking() {
            self.report_death(kind, None);
        }
    }

    /// Gives up a notice of which the database refuses what must be stored: a dead letter tells of it, and the order hears that it was
    /// given up. Else it would be asked for again, and perhaps sent again, for ever.
    pub(crate) async fn give_up_notice(
        &self,
        (order, correlation): (OrderId, CorrelationId),
        (kind, channel): (NoticeKind, Channel),
        attempt: u32,
        why: &str,
    ) {
        let (at, shard) = (self.node.now(), self.node.shards().of(order));
        let detail = format!("what became of the notice cannot be stored, so it may have been sent: {why}");
        let letter = DeadLetter::about_notice((order, shard), kind, channel, at).because(WRITE_REFUSED, &detail, attempt);
        let body = EventBody::NotificationFailed { kind, channel, attempt, last: true, reason: Text::lossy(&detail) };
        let event = Event { order, shard, correlation, at, body, external_ids: None };
        if let Ok(Fate::Refused(why)) = self.node.journal.ask(Write::ParkStep { letter: Box::new(letter), event }, None).await {
            tracing::error!(order.id = %order, cause = %why, "a notice that cannot be stored cannot be given up either");
        }
    }

    /// Parks an order whose owner is elsewhere: the role that failed keeps the dead letter, and its event tells the owner.
    pub(crate) async fn park_far(
        &self,
        (order, correlation): (OrderId, CorrelationId),
        role: Role,
        step: &str,
        (cause, detail, tries): (&str, &str, u32),
    ) {
        let (now, shard) = (self.node.now(), self.node.shards().of(order));
        let letter = step_letter(order, shard, role, step, now).because(cause, detail, tries);
        let (step, cause, detail) = (letter.step.clone(), letter.cause.clone(), letter.detail.clone());
        let body = EventBody::StepParked { role, step, cause, detail, tries };
        let event = Event { order, shard, correlation, at: now, body, external_ids: None };
        // Where it is not stored, the step is asked for again, and fails again.
        let _outcome = self.node.journal.ask(Write::ParkStep { letter: Box::new(letter), event }, None).await;
    }

    /// Whether this node does the work of `role` for the shard's orders.
    pub(crate) fn owns(&self, role: Role, shard: Shard) -> bool {
        self.owned.borrow().has(role, shard)
    }

    /// Whether a notice of the shard may be sent now. A node that was asleep may have lost its shards without knowing: without a lease
    /// it tells nobody anything, nor while it has heard of its loss and this cell has not.
    pub(crate) fn may_send(&self, shard: Shard) -> bool {
        let role = Role::Notification;
        self.owns(role, shard) && self.node.journal.holds_lease() && self.node.owns(role, shard)
    }

    /// The shards of this cell in which `role` is this node's.
    pub(crate) fn shards_of(&self, role: Role) -> Vec<Shard> {
        self.owned.borrow().shards_of(role)
    }

    /// From now on these role shards, of those that are this cell's, are this node's.
    pub(crate) fn take_role_shards(&self, role_shards: &RoleShards, loading: &Loading) {
        self.owned.borrow_mut().extend(role_shards.iter().filter(|(_, shard)| self.has(*shard)));
        self.load(role_shards, loading);
    }

    /// From now on these role shards are not this node's: their orders' actors end. Returns once no notice of theirs is on its way.
    pub(crate) async fn give_role_shards(&self, role_shards: &RoleShards) {
        self.note_loss();
        for (role, shard) in role_shards.iter() {
            self.owned.borrow_mut().remove(role, shard);
            self.leave_role_shard(role, shard);
        }
        self.orders.quit(&|order| role_shards.has(Role::Order, order.shard));
        while role_shards.iter().any(|(_, shard)| self.sending.borrow().contains_key(&shard)) {
            pause(self.node.settings.tick_ms).await;
        }
    }

    /// A call begins after which the shard must not change hands before it is recorded.
    pub(crate) fn begin_sending(self: &Rc<Self>, shard: Shard) -> Sending {
        *self.sending.borrow_mut().entry(shard).or_insert(0) += 1;
        Sending { cell: self.clone(), shard }
    }

    /// Ends every order's actor; what is stored stays, what is not stored was not answered. From now on it is `epoch`.
    pub(crate) fn drop_orders(&self, epoch: u64) {
        self.epoch.set(epoch);
        self.note_loss();
        let lost = self.owned.replace(RoleShards::default());
        lost.iter().for_each(|(role, shard)| self.leave_role_shard(role, shard));
        self.orders.quit(&|_| true);
        self.alarms.borrow_mut().clear();
    }

    /// Ends router, supervisor and orders, so that they can start again from what is stored. The tasks of the roles continue.
    pub(crate) fn quit_all(&self) {
        self.generation.set(self.generation.get() + 1);
        // Messages to them may have died with the router.
        self.note_loss();
        self.epoch.set(self.node.journal.epoch());
        *self.owned.borrow_mut() = self.node.owned.borrow().iter().filter(|(_, shard)| self.has(*shard)).collect();
        self.orders.quit(&|_| true);
        self.alarms.borrow_mut().clear();
        let mut addresses = self.addresses.borrow_mut();
        // One that is dead already needs no word.
        if let Some(addr) = addresses.router.take() {
            tell_surely(&addr, Quit);
        }
        if let Some(SupervisorAddress { quit: addr, .. }) = addresses.supervisor.take() {
            tell_surely(&addr, Quit);
        }
    }

    /// Loads the open orders and notices of this cell's shards.
    pub(crate) fn load_owned(&self) {
        let owned = self.owned.borrow().clone();
        let loading = self.node.loading.get(self.index).cloned().unwrap_or_default();
        self.load(&owned, &loading);
    }

    fn load(&self, role_shards: &RoleShards, loading: &Loading) {
        let shards = |role| role_shards.shards_of(role).into_iter().filter(|shard| self.has(*shard)).collect::<Vec<Shard>>();
        let addresses = self.addresses.borrow();
        if let Some(supervisor) = &addresses.supervisor {
            tell_surely(&supervisor.load, Load(shards(Role::Order), loading.clone()));
        }
        if let Some(notifier) = &addresses.notifier {
            tell_surely(&notifier.load, Load(shards(Role::Notification), Loading::default()));
        }
    }

    /// An actor of this kind began or ended.
    pub(crate) fn count(&self, kind: ActorKind, change: i64) {
        self.node.counters.stats(kind).alive.fetch_add(change, Ordering::Relaxed);
    }

    /// Sends an event to the actor of `role`. A full or dead mailbox loses it: re-drive repeats it.
    pub(crate) fn deliver(&self, role: Role, event: &EventRef, order: Option<Arc<Order>>, repeat: bool) {
        let addresses = self.addresses.borrow();
        let order = match role {
            Role::Payment | Role::Notification => order.or_else(|| self.known_order(event.get().order)),
            Role::Order | Role::Inventory | Role::Analytics => None,
        };
        let message = Deliver { event: event.clone(), order, repeat };
        let lost = match role {
            Role::Inventory => addresses.stock_keeper.as_ref().is_some_and(|addr| addr.try_send(message).is_err()),
            Role::Payment => addresses.payment_gateway.as_ref().is_some_and(|addr| addr.try_send(message).is_err()),
            Role::Notification => addresses.notifier.as_ref().is_some_and(|addr| addr.deliver.try_send(message).is_err()),
            Role::Order | Role::Analytics => false,
        };
        if lost {
            metrics::counter!("ordermill_deliveries_left_to_redrive_total", "role" => role.name()).increment(1);
        }
    }
}
