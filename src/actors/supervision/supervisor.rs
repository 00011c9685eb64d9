//! The supervisor of a cell's orders: loads them, wakes them, rings their alarms, starts them again when they die, and parks
//! those that die too often.

use super::asleep;
use crate::actors::cell::{CellRef, LiveOrders};
use crate::actors::protocol::command::{CommandError, refuse};
use crate::actors::protocol::kind::ActorKind;
use crate::actors::protocol::messages::{Alarm, Answer, Do, Load, OrderDied, Quit, Ring, RoleRestarted, Wake, WakeWith};
use crate::actors::roles::order::live_orders::OrderActorsRef;
use crate::actors::roles::order::{Begin, OrderActor};
use crate::actors::runtime::faults::Point;
use crate::actors::runtime::pause::pause;
use crate::actors::runtime::retry::Stopping;
use crate::db::{StoredOrder, TypedWrite};
use crate::domain::{OrderId, Role};
use crate::saga::policy::{self, Restarts};
use crate::saga::{Effects, owed, park};
use actix::prelude::SendError;
use actix::{Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, WrapFuture};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

/// See the module.
pub(crate) struct Supervisor {
    cell: CellRef,
    orders: OrderActorsRef,
    generation: u64,
    waking: HashMap<OrderId, Vec<WakeWith>>,
    restarts: HashMap<OrderId, Restarts>,
    /// A round over the sleeping orders is under way.
    is_looking: bool,
    /// When the next one begins, by the cell's steady clock, and the pause between its pages.
    looks_at: (u64, u64),
}

impl Supervisor {
    pub(crate) fn new(cell: CellRef, orders: OrderActorsRef) -> Self {
        let generation = cell.generation.get();
        Self {
            cell,
            orders,
            generation,
            waking: HashMap::new(),
            restarts: HashMap::new(),
            is_looking: false,
            looks_at: (0, asleep::FIRST_PAUSE_MS),
        }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let node = self.cell.node.clone();
        node.faults.pass(Point::SupervisorTimer, None);
        // Behind a full journal everything is late, nothing is lost: asking again would only add to it.
        if node.journal.waiting() > (node.settings.max_batch as u64) * 4 {
            return;
        }
        self.look_after_sleepers(ctx);
        for (id, alarm) in self.cell.due_alarms(node.settings.alarms_per_tick) {
            let rung = self.orders.addr(id).map(|addr| addr.try_send(Ring(alarm)));
            match rung {
                // Dead: its next incarnation sets its own alarms.
                None | Some(Ok(()) | Err(SendError::Closed(_))) => {}
                Some(Err(SendError::Full(_))) => self.cell.wake_after(node.settings.redrive.after(1), id, alarm),
            }
        }
    }

    /// Begins a round over the sleeping orders when it is time.
    fn look_after_sleepers(&mut self, ctx: &mut Context<Self>) {
        let (at, pause_ms) = self.looks_at;
        if self.is_looking || at > self.cell.steady_ms() || !self.cell.has_sleepers.replace(false) {
            return;
        }
        self.is_looking = true;
        let settings = &self.cell.node.settings;
        let rhythm = if settings.external_roles.has(Role::Notification) {
            settings.redrive.most_ms.min(settings.external_answer_ms)
        } else {
            settings.redrive.most_ms
        };
        self.looks_at = (u64::MAX, asleep::PAUSE_MS);
        let round = asleep::round(self.cell.clone(), pause_ms);
        ctx.spawn(round.into_actor(self).map(move |(), actor, _| {
            actor.is_looking = false;
            // A load meanwhile has set it for itself.
            actor.looks_at.0 = actor.looks_at.0.min(actor.cell.steady_ms().saturating_add(rhythm));
        }));
    }

    /// Gives something to an order that has no actor: reads it first.
    fn wake(&mut self, id: OrderId, with: WakeWith, ctx: &mut Context<Self>) {
        let live = self.orders.addr(id);
        if let Some(addr) = live {
            return give(&addr, with);
        }
        if let Some(waiting) = self.waking.get_mut(&id) {
            return waiting.push(with);
        }
        self.waking.insert(id, vec![with]);
        self.read(id, 0, ctx);
    }

    fn read(&self, id: OrderId, delay_ms: u64, ctx: &mut Context<Self>) {
        let cell = self.cell.clone();
        let reading = async move {
            if delay_ms > 0 {
                pause(delay_ms).await;
            }
            read_settled(&cell, id).await
        };
        ctx.spawn(reading.into_actor(self).map(move |found, actor, _| actor.was_read(id, found)));
    }

    fn was_read(&mut self, id: OrderId, found: Result<Option<StoredOrder>, Stopping>) {
        let waiting = self.waking.remove(&id).unwrap_or_default();
        let refuse_all = |waiting: Vec<WakeWith>, why: fn() -> CommandError| {
            for with in waiting {
                if let WakeWith::Ask(ask) = with {
                    refuse(ask, why());
                }
            }
        };
        let Ok(found) = found else { return refuse_all(waiting, || CommandError::Unavailable) };
        let Some(stored) = found else { return refuse_all(waiting, || CommandError::NotFound) };
        if !self.cell.owns(Role::Order, stored.order.shard) {
            return refuse_all(waiting, || CommandError::NotHere);
        }
        let live = self.orders.addr(id);
        // A parked order is not driven on: it needs an actor only for what comes, and for its deadline.
        let has_deadline = policy::deadline(&stored.record, self.cell.node.settings.deadlines).is_some();
        let is_stuck = stored.record.parked.as_ref().is_some_and(|cause| cause.as_str() == park::RESTART_LIMIT);
        let wanted = (stored.open && (stored.record.parked.is_none() || (has_deadline && !is_stuck)))
            || waiting.iter().any(|with| !matches!(with, WakeWith::Stored));
        if live.is_none() && !wanted {
            return;
        }
        let asks = waiting.iter().any(|with| matches!(with, WakeWith::Stored));
        let addr = live.unwrap_or_else(|| self.orders.start(&self.cell, stored.order, Begin::Loaded { record: stored.record, asks }));
        for with in waiting {
            give(&addr, with);
        }
    }

    /// An order that dies again and again is parked from outside, so that the step that kills it is not taken. What comes for it
    /// meanwhile waits, as for an order that is being woken: it must not act on a record that is about to change.
    fn park(&mut self, id: OrderId, cause: String, ctx: &mut Context<Self>) {
        if self.waking.contains_key(&id) {
            return;
        }
        self.waking.insert(id, vec![WakeWith::Stored]);
        let cell = self.cell.clone();
        let parking = async move {
            let Ok(Some(stored)) = read_settled(&cell, id).await else { return };
            let now = cell.node.now();
            let order = stored.order;
            let mut record = stored.record;
            let mut effects = Effects::default();
            let letter = park::restarts_letter(order.id, order.shard, now);
            let letter = letter.because(park::RESTART_LIMIT, &cause, cell.node.settings.restart_limit.restarts);
            park::park(&mut record, letter, &mut effects);
            let is_open = !owed(&record.facts, order.channels()).is_nothing();
            let write = TypedWrite::save(order.clone(), record, is_open, effects, now);
            // Nobody waits: once stored, the order stays as it is until a person comes.
            let _stored = cell.node.journal.ask(write, None).await;
            tracing::error!(order.id = %id, cause = %cause, "an order was restarted too often and is parked");
        };
        ctx.spawn(parking.into_actor(self).map(move |(), actor, ctx| actor.read(id, 0, ctx)));
    }

    /// Loads the open orders of `shards`, page by page, and drives them on. Those that owe only a notice sleep on.
    fn load(&self, Load(shards, loading): Load, ctx: &mut Context<Self>) {
        if shards.is_empty() {
            return;
        }
        let (cell, orders) = (self.cell.clone(), self.orders.clone());
        let load = async move {
            let page = cell.node.settings.load_page;
            let (mut loaded, mut sleeping) = (0_usize, 0_usize);
            let reading = cell.begin_reading();
            cell.node.journal.passed().await;
            let read = async |after| cell.node.read_until_ok(|| cell.node.reads.open_orders(shards.clone(), after, page)).await.map(Some);
            let mut take = |found: Vec<StoredOrder>| {
                for stored in found {
                    let id = stored.order.id;
                    // One that was woken meanwhile needs nothing.
                    let is_wanted = cell.owns(Role::Order, stored.order.shard) && !orders.has(id);
                    if is_wanted && reading.is_old(id) {
                        // It has come and gone: this is not what is stored now.
                        cell.wake(id, WakeWith::Stored);
                    } else if is_wanted {
                        if asleep::owed_notice(&stored).is_some() {
                            sleeping += 1;
                            continue;
                        }
                        loaded += 1;
                        orders.start(&cell, stored.order, Begin::Loaded { record: stored.record, asks: true });
                    }
                }
            };
            let mut next = read(None).await;
            while let Ok(Some(found)) = next {
                let last = found.last().map(|stored| stored.order.id).filter(|_| found.len() >= page as usize);
                // The database reads the next page while the actors of this one are started.
                let (after, ()) = futures_util::future::join(
                    async {
                        match last {
                            Some(last) => read(Some(last)).await,
                            None => Ok(None),
                        }
                    },
                    async { take(found) },
                )
                .await;
                next = after;
                if last.is_some() {
                    tokio::task::yield_now().await;
                }
            }
            drop(reading);
            drop(loading);
            if loaded + sleeping > 0 {
                tracing::info!(orders = loaded, sleeping, cell = cell.index, "open orders were loaded and are driven on");
            }
            sleeping > 0
        };
        ctx.spawn(load.into_actor(self).map(|has_sleepers, actor, _| {
            if has_sleepers {
                actor.cell.has_sleepers.set(true);
                actor.looks_at = (0, asleep::FIRST_PAUSE_MS);
            }
        }));
    }
}

fn give(addr: &Addr<OrderActor>, with: WakeWith) {
    match with {
        // What is lost here comes again by re-drive.
        WakeWith::Answer(event) => drop(addr.try_send(Answer(event))),
        WakeWith::Ask(ask) => {
            if let Err(SendError::Full(Do(ask))) = addr.try_send(Do(ask)) {
                refuse(ask, CommandError::Unavailable);
            }
        }
        WakeWith::Stored => {}
    }
}

/// Reads an order once all that its last actor wrote is stored or known not to be.
async fn read_settled(cell: &CellRef, id: OrderId) -> Result<Option<StoredOrder>, Stopping> {
    loop {
        let reading = cell.begin_reading();
        cell.node.journal.passed().await;
        let found = cell.node.read_until_ok(|| cell.node.reads.order(id)).await?;
        if !reading.is_old(id) {
            return Ok(found);
        }
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.cell.node.role_mailbox());
        self.cell.count(ActorKind::Supervisor, 1);
        self.cell.node.faults.pass(Point::SupervisorStarted, None);
        ctx.run_interval(Duration::from_millis(self.cell.node.settings.tick_ms.max(1)), Self::tick);
    }

    /// Runs also while a panic unwinds.
    fn stopped(&mut self, _ctx: &mut Self::Context) {
        self.cell.count(ActorKind::Supervisor, -1);
        if self.cell.generation.get() == self.generation {
            self.cell.report_end(ActorKind::Supervisor);
        }
    }
}

impl Handler<Wake> for Supervisor {
    type Result = ();
    fn handle(&mut self, wake: Wake, ctx: &mut Self::Context) {
        self.cell.node.faults.pass(Point::SupervisorMessage, Some(wake.order));
        self.wake(wake.order, wake.with, ctx);
    }
}

impl Handler<OrderDied> for Supervisor {
    type Result = ();
    fn handle(&mut self, died: OrderDied, ctx: &mut Self::Context) {
        self.cell.leave(died.order, died.incarnation);
        let settings = &self.cell.node.settings;
        let limit = settings.restart_limit;
        // A bound on what is remembered: an order that died long ago begins at zero again.
        if self.restarts.len() > settings.open_limit {
            self.restarts.clear();
        }
        match self.restarts.entry(died.order).or_default().count(limit, self.cell.steady_ms()) {
            Ok(count) => {
                let delay_ms = settings.restart_backoff.after(count);
                if let Entry::Vacant(vacant) = self.waking.entry(died.order) {
                    vacant.insert(vec![WakeWith::Stored]);
                    self.read(died.order, delay_ms, ctx);
                }
            }
            Err(_) => self.park(died.order, died.cause, ctx),
        }
    }
}

impl Handler<RoleRestarted> for Supervisor {
    type Result = ();
    fn handle(&mut self, RoleRestarted(kind): RoleRestarted, _ctx: &mut Self::Context) {
        tracing::info!(actor = kind.name(), "a service actor was started again; open orders ask again");
        for id in self.orders.ids() {
            self.cell.wake_after(0, id, Alarm::Nudge);
        }
    }
}

impl Handler<Load> for Supervisor {
    type Result = ();
    fn handle(&mut self, load: Load, ctx: &mut Self::Context) {
        self.load(load, ctx);
    }
}

impl Handler<Quit> for Supervisor {
    type Result = ();
    fn handle(&mut self, Quit: Quit, ctx: &mut Self::Context) {
        for with in self.waking.drain().flat_map(|(_, waiting)| waiting) {
            if let WakeWith::Ask(ask) = with {
                refuse(ask, CommandError::Unavailable);
            }
        }
        ctx.stop();
    }
}
