//! The router of a cell: takes what comes onto the arbiter, in lists, and hands each thing to who takes it. After a commit it
//! is the only way from the journal to the roles; with all roles here a saga never leaves the arbiter.

use super::cell::{CellRef, subscribers};
use super::faults::Point;
use super::front::CommandError;
use super::inbox::{Ask, Inbound};
use super::journal::Origin;
use super::messages::{Answer, Do, EventRef, Load, Quit, RetryNotice, Stored, Wake, WakeWith};
use super::node::ActorKind;
use super::order::{Begin, park_command};
use super::supervisor::{refuse, spawn_order};
use crate::db::Outcome;
use crate::domain::{OrderId, Role, Shard};
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, StreamHandler};
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

/// See the module.
pub(crate) struct Router {
    cell: CellRef,
    era: u64,
}

impl Router {
    pub(crate) fn new(cell: CellRef) -> Self {
        let era = cell.era.get();
        Self { cell, era }
    }

    fn route(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::Place(new) => {
                let begin = Begin::New { key: new.key, ticket: new.ticket, reply: new.reply, slot: new.slot };
                spawn_order(&self.cell, new.order, begin);
            }
            Inbound::Command(id, ask) => self.command(id, ask),
            Inbound::Stored { done, events, mine } => {
                for (origin, outcome) in done {
                    self.outcome(origin, outcome);
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
                    // A full mailbox refuses it; the desk shows the letter closed and the notice still given up.
                    drop(notifier.try_send(RetryNotice { order, kind, channel }));
                }
            }
            Inbound::Load(shards) => self.load(shards),
            Inbound::Reload => self.cell.drop_orders(),
        }
    }

    fn load(&self, shards: Vec<Shard>) {
        let mine: Vec<Shard> = shards.into_iter().filter(|shard| self.cell.has(*shard)).collect();
        self.cell.owned.borrow_mut().extend(mine.iter().copied());
        let addresses = self.cell.addresses.borrow();
        if let Some(supervisor) = &addresses.supervisor {
            drop(supervisor.try_send(Load(mine.clone())));
        }
        if let Some(notifier) = &addresses.notifier {
            drop(notifier.try_send(Load(mine)));
        }
    }

    fn command(&self, id: OrderId, ask: Ask) {
        let addr = self.cell.orders.borrow().get(&id).map(|entry| entry.addr.clone());
        match addr {
            Some(addr) => {
                if let Err(refused) = addr.try_send(Do(ask)) {
                    refuse(refused.into_inner().0, CommandError::Unavailable);
                }
            }
            None => self.wake(id, WakeWith::Ask(ask)),
        }
    }

    fn wake(&self, order: OrderId, with: WakeWith) {
        let addresses = self.cell.addresses.borrow();
        if let Some(supervisor) = &addresses.supervisor
            && let Err(refused) = supervisor.try_send(Wake { order, with })
            && let WakeWith::Ask(ask) = refused.into_inner().with
        {
            refuse(ask, CommandError::Unavailable);
        }
    }

    /// Tells who wrote what became of it. A write without a living writer wakes its order: it may be stored and nobody's.
    fn outcome(&self, origin: Origin, outcome: Outcome) {
        match origin {
            Origin::Order(_, id) => {
                let addr = self.cell.orders.borrow().get(&id).map(|entry| entry.addr.clone());
                match addr.map(|addr| (addr.try_send(Stored(outcome)), addr)) {
                    Some((Ok(()), _)) => {}
                    // Its word must not be lost: the actor waits for it. The wait is a task of its own and holds nobody up.
                    Some((Err(refused), addr)) => {
                        actix::spawn(async move {
                            // It may end while it is waited for; its order is woken then.
                            let _gone = addr.send(refused.into_inner()).await;
                        });
                    }
                    None => self.wake(id, WakeWith::Stored),
                }
            }
            Origin::Role(role, _, order) => match outcome {
                Outcome::Repeated(answers) => {
                    for answer in answers {
                        self.deliver(&EventRef::alone(answer), true);
                    }
                }
                Outcome::Refused(why) => self.refused(role, order, &why),
                Outcome::Done
                | Outcome::KeyTaken { .. }
                | Outcome::Product(_)
                | Outcome::Stock(_)
                | Outcome::Missing
                | Outcome::Taken(_)
                | Outcome::Recorded
                | Outcome::NotStored => {}
            },
            Origin::Ask(_) => super::check::broken("an asked outcome came to a router", "router"),
        }
    }

    /// A role's write that the database refuses can never be done: its order is parked.
    fn refused(&self, role: Role, order: OrderId, why: &str) {
        let command = park_command(role, "store", "write-refused", why, 1);
        let (reply, _nobody_waits) = oneshot::channel();
        self.command(order, Ask { what: command, reply });
    }

    fn deliver(&self, event: &EventRef, repeat: bool) {
        for role in subscribers(event.get().kind()) {
            if *role == Role::Order {
                self.answer(event);
            } else {
                self.cell.deliver(*role, event, repeat);
            }
        }
    }

    fn answer(&self, event: &EventRef) {
        let id = event.get().order;
        let addr = self.cell.orders.borrow().get(&id).map(|entry| entry.addr.clone());
        match addr {
            // A full or dead mailbox loses it: re-drive repeats it.
            Some(addr) => drop(addr.try_send(Answer(event.clone()))),
            None => self.wake(id, WakeWith::Answer(event.clone())),
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
        self.cell.report_end(ActorKind::Router, self.era);
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
