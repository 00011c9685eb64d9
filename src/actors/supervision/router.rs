//! The router of a cell: takes what comes onto the arbiter, in lists, and hands each thing to who takes it. After a commit it
//! is the only way from the journal to the roles; with all roles here a saga never leaves the arbiter.

use crate::actors::cell::{CellRef, LiveOrders};
use crate::actors::journal::submit::of_group;
use crate::actors::protocol::command::{Ask, CommandError, park_command, refuse};
use crate::actors::protocol::fate::Fate;
use crate::actors::protocol::inbound::Inbound;
use crate::actors::protocol::kind::ActorKind;
use crate::actors::protocol::messages::{Answer, Do, EventRef, Quit, Recorded, RetryNotice, Stored, WakeWith};
use crate::actors::protocol::ticket::{StepOf, WriteOf};
use crate::actors::roles::order::Begin;
use crate::actors::roles::order::live_orders::OrderActorsRef;
use crate::actors::runtime::faults::{Delivery, Point};
use crate::actors::runtime::pause::pause;
use crate::actors::runtime::tell::tell_surely;
use crate::db::{Outcome, StepOutcome};
use crate::domain::{Channel, CorrelationId, Event, EventBody, NoticeKind, Order, OrderId, Role};
use crate::saga::park::{STORE, WRITE_REFUSED};
use actix::prelude::SendError;
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, StreamHandler};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

/// See the module.
pub(crate) struct Router {
    cell: CellRef,
    orders: OrderActorsRef,
    generation: u64,
}

impl Router {
    pub(crate) fn new(cell: CellRef, orders: OrderActorsRef) -> Self {
        let generation = cell.generation.get();
        Self { cell, orders, generation }
    }

    fn route(&mut self, inbound: Inbound) {
        match inbound {
            // It lives already: its asker asks what is stored.
            Inbound::Place(new) if self.orders.has(new.order.id) => {}
            // Its shard has been given away meanwhile: nobody would end its actor.
            Inbound::Place(new) if !self.cell.owns(Role::Order, new.order.shard) => drop(new.reply.send(Fate::NotOurs)),
            Inbound::Place(new) => {
                let begin = Begin::New { key: new.key, ticket: new.ticket, reply: new.reply, slot: new.slot };
                self.orders.start(&self.cell, new.order, begin);
            }
            Inbound::Command(id, ask) => self.command(id, ask),
            Inbound::Stored { done, events, mine } => {
                for (whose, fate) in done {
                    self.settled(whose, fate);
                }
                for index in mine {
                    if let Some(event) = EventRef::at(&events, index as usize) {
                        self.deliver(&event, false);
                    }
                }
            }
            Inbound::Again(event) => self.deliver(&EventRef::alone(event), true),
            Inbound::RetryNotice { order, kind, channel } => {
                let addresses = self.cell.addresses.borrow();
                if let Some(notifier) = &addresses.notifier {
                    tell_surely(&notifier.retry, RetryNotice { order, kind, channel });
                }
            }
            Inbound::Foreign { role, event, order } => self.deliver_foreign(role, event, order),
            Inbound::Load(role_shards, loading) => self.cell.take_role_shards(&role_shards, &loading),
            Inbound::Unload { role_shards, done } => {
                let cell = self.cell.clone();
                actix::spawn(async move {
                    cell.give_role_shards(&role_shards).await;
                    // Who asked may have given up waiting.
                    let _gave_up = done.send(());
                });
            }
            Inbound::Reload { epoch } => self.cell.drop_orders(epoch),
        }
    }

    fn command(&self, id: OrderId, ask: Ask) {
        let addr = self.orders.addr(id);
        match addr {
            Some(addr) => match addr.try_send(Do(ask)) {
                // A command to an actor that has just died is given again to the next one.
                Ok(()) | Err(SendError::Closed(_)) => {}
                Err(SendError::Full(Do(ask))) => refuse(ask, CommandError::Unavailable),
            },
            None => self.cell.wake(id, WakeWith::Ask(ask)),
        }
    }

    /// Tells who wrote what became of it.
    fn settled(&self, whose: WriteOf, fate: Fate<Outcome>) {
        match whose {
            WriteOf::Place(_, order, incarnation) => self.order_settled(order, incarnation, Stored::Place(of_group(fate))),
            WriteOf::Save(_, order, incarnation) => self.order_settled(order, incarnation, Stored::Save(of_group(fate))),
            WriteOf::Step(StepOf::Role(role, _, order)) => self.role_settled(role, order, of_group(fate)),
            WriteOf::Step(StepOf::Notice(_, order, notice)) => self.notice_settled(order, notice, of_group(fate)),
        }
    }

    /// A write without a living writer wakes its order: it may be stored and nobody's.
    fn order_settled(&self, order: OrderId, incarnation: u64, stored: Stored) {
        let living = self.orders.incarnation(order);
        // A later incarnation has read what became of it.
        if living.as_ref().is_some_and(|(_, now)| *now != incarnation) {
            return;
        }
        match living.map(|(addr, _)| (addr.try_send(stored), addr)) {
            Some((Ok(()), _)) => {}
            // Its word must not be lost: the actor waits for it. The wait is a task of its own and holds nobody up.
            Some((Err(refused), addr)) => {
                actix::spawn(async move {
                    // It may end while it is waited for; its order is woken then.
                    let _gone = addr.send(refused.into_inner()).await;
                });
            }
            None => self.cell.wake(order, WakeWith::Stored),
        }
    }

    fn notice_settled(&self, order: OrderId, notice: Option<(NoticeKind, Channel)>, fate: Fate<StepOutcome>) {
        self.recorded(order);
        match (fate, notice) {
            (Fate::Refused(why), Some(notice)) => {
                let cell = self.cell.clone();
                actix::spawn(async move { cell.give_up_notice((order, CorrelationId::of(order.0)), notice, 1, &why).await });
            }
            // Nobody is told anything, and nobody asks for it.
            (Fate::Refused(why), None) => tracing::warn!(order.id = %order, cause = %why, "a withdrawn notice cannot be stored"),
            (fate, _) => self.role_settled(Role::Notification, order, fate),
        }
    }

    fn role_settled(&self, role: Role, order: OrderId, fate: Fate<StepOutcome>) {
        match fate {
            Fate::Stored(StepOutcome::Repeated(answers)) => {
                for answer in answers {
                    self.deliver(&EventRef::alone(answer), true);
                }
            }
            Fate::Refused(why) => self.refused(role, order, &why),
            Fate::Stored(StepOutcome::Done) | Fate::Recorded | Fate::NotStored | Fate::NotOurs => {}
        }
    }

    fn recorded(&self, order: OrderId) {
        // A new notifier knows of no writes.
        if let Some(notifier) = &self.cell.addresses.borrow().notifier {
            tell_surely(&notifier.recorded, Recorded(order));
        }
    }

    /// A role's write that the database refuses can never be done: its order is parked.
    fn refused(&self, role: Role, order: OrderId, why: &str) {
        let shard = self.cell.node.shards().of(order);
        if !self.cell.owns(role, shard) {
            // Its next owner is asked for it.
            return;
        }
        if !self.cell.owns(Role::Order, shard) {
            let (cell, why) = (self.cell.clone(), why.to_owned());
            actix::spawn(async move { cell.park_far((order, CorrelationId::of(order.0)), role, STORE, (WRITE_REFUSED, &why, 1)).await });
            return;
        }
        let command = park_command(role, STORE, WRITE_REFUSED, why, 1);
        let (reply, _nobody_waits) = oneshot::channel();
        self.command(order, Ask { what: command, seen: None, closing: None, reply });
    }

    fn deliver(&self, event: &EventRef, repeat: bool) {
        match self.cell.node.faults.delivery(event.get()) {
            Delivery::Once => {}
            Delivery::Lost => return,
            Delivery::Twice => self.cell.again(event.get().clone()),
            Delivery::Late { ms } => {
                let (cell, event) = (self.cell.clone(), event.get().clone());
                actix::spawn(async move {
                    pause(ms).await;
                    cell.again(event);
                });
                return;
            }
        }
        let shard = event.get().shard;
        let mut is_all_here = true;
        for role in event.get().subscribers() {
            if !self.cell.owns(role, shard) {
                is_all_here = false;
            } else if role == Role::Order {
                self.answer(event);
            } else {
                self.cell.deliver(role, event, None, repeat);
            }
        }
        // What is new is published from the log.
        if repeat && !is_all_here {
            self.cell.node.repeat(event.get());
        }
    }

    /// What comes from outside is not told to the outside again. It may have come before, also to another node. Another team's own
    /// events move no role of ours; one may still be held from before that role was theirs.
    fn deliver_foreign(&self, to: Option<Role>, event: Event, order: Option<Arc<Order>>) {
        if self.cell.node.is_external(&event) {
            return;
        }
        let event = EventRef::alone(event);
        for role in event.get().subscribers() {
            if role != Role::Order && to.is_none_or(|to| to == role) && self.cell.owns(role, event.get().shard) {
                self.cell.deliver(role, &event, order.clone(), true);
            }
        }
    }

    fn answer(&self, event: &EventRef) {
        let id = event.get().order;
        let addr = self.orders.addr(id);
        match addr {
            // A full or dead mailbox loses it: re-drive repeats it.
            Some(addr) => drop(addr.try_send(Answer(event.clone()))),
            // Of a try that failed an order only learns that it may sleep, which it does.
            None if matches!(event.get().body, EventBody::NotificationFailed { last: false, .. }) => {}
            None => self.cell.wake(id, WakeWith::Answer(event.clone())),
        }
    }
}

impl Actor for Router {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.cell.count(ActorKind::Router, 1);
        self.cell.node.faults.pass(Point::RouterStarted, None);
        if let Some(inbox) = self.cell.node.inboxes.get(self.cell.index) {
            ctx.add_stream(inbox.clone().lists());
        }
    }

    /// Runs also while a panic unwinds.
    fn stopped(&mut self, _ctx: &mut Self::Context) {
        self.cell.count(ActorKind::Router, -1);
        if self.cell.generation.get() == self.generation {
            self.cell.report_end(ActorKind::Router);
        }
    }
}

impl StreamHandler<Vec<Inbound>> for Router {
    fn handle(&mut self, list: Vec<Inbound>, _ctx: &mut Self::Context) {
        self.cell.node.faults.pass(Point::RouterMessage, None);
        let length = list.len() as u64;
        self.cell.node.routed.fetch_add(length, Ordering::Relaxed);
        for inbound in list {
            self.route(inbound);
        }
    }
}

impl Handler<Quit> for Router {
    type Result = ();
    fn handle(&mut self, Quit: Quit, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
