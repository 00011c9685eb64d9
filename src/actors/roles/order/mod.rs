//! The order actor: the one live owner of one open order. It holds the saga, stores each step before it says or does anything
//! that rests on it, and asks again for what it is owed.
//!
//! One write is in flight at a time; what comes meanwhile waits and is taken in one step after it. It knows no provider and no
//! product: it only hears answers.

mod due;
mod late;
pub(crate) mod live_orders;
mod redrive;
mod times;
mod told;

use crate::actors::cell::CellRef;
use crate::actors::protocol::cause::Cause;
use crate::actors::protocol::command::{Ask, CommandError, OrderCommand};
use crate::actors::protocol::fate::Fate;
use crate::actors::protocol::kind::ActorKind;
use crate::actors::protocol::messages::{Alarm, Answer, Do, EventRef, Quit, Ring, Stored, WakeWith};
use crate::actors::protocol::slot::OpenSlot;
use crate::actors::protocol::ticket::Ticket;
use crate::actors::roles::order::due::{Due, Overdue};
use crate::actors::roles::order::late::{Late, micros};
use crate::actors::runtime::faults::Point;
use crate::actors::runtime::invariant;
use crate::actors::runtime::live::Change;
use crate::actors::runtime::step_times::Step;
use crate::db::{IdempotencyKey, PlaceOutcome, RowOutcome, TypedWrite};
use crate::domain::{Channel, EventBody, NoticeKind, Order, OrderStatus, Role, Text, Timestamp};
#[cfg(feature = "plants")]
use crate::plants::Plant;
use crate::saga::{Effects, Owed, Record, Rejection, awaited, by_hand, external, owed, park, status, step};
use actix::{Actor, ActorContext, Context, Handler};
use std::sync::Arc;
use tokio::sync::oneshot;

/// How an order's actor begins.
#[expect(clippy::large_enum_variant, reason = "an actor keeps it in a box")]
pub(crate) enum Begin {
    /// It was just posted.
    New { key: Option<IdempotencyKey>, ticket: Arc<Ticket>, reply: oneshot::Sender<Fate<PlaceOutcome>>, slot: OpenSlot },
    /// From the store.
    Loaded {
        record: Record,
        /// It asks at once for what it is owed; else it was only woken to take something.
        asks: bool,
    },
}

enum Input {
    Answer(EventRef),
    Do(Ask),
}

type Waiting = oneshot::Sender<Result<OrderStatus, CommandError>>;

/// See the module.
pub(crate) struct OrderActor {
    cell: CellRef,
    order: Arc<Order>,
    record: Record,
    /// Boxed, for it is gone when the actor has started, and a hundred thousand may live.
    begin: Option<Box<Begin>>,
    placing: Option<oneshot::Sender<Fate<PlaceOutcome>>>,
    in_flight: bool,
    /// The record has facts that are not stored yet.
    dirty: bool,
    stash: Vec<Input>,
    /// Commands whose effect is in the write in flight.
    waiting: Vec<Waiting>,
    redrives: u32,
    due: Due,
    overdue: Overdue,
    /// When it next asks for what it is owed, by the steady clock.
    asks_at: u64,
    /// A deadline before that for which an alarm is set.
    alarm_at: u64,
    /// No deadline ends it before: what was said in time may lie in a topic that is still being read. By the steady clock.
    hears_until: u64,
    /// Held while it owes more than a notice.
    slot: Option<OpenSlot>,
    /// Whether its trace must be told after all.
    late: Late,
    /// What the notifier has stored and still has to send.
    notices_stored: Vec<(NoticeKind, Channel)>,
    /// The notifier is elsewhere and has been asked: nobody says here that it has stored anything.
    asked_far: bool,
    incarnation: u64,
    /// The journal's epoch that its record rests on. What it does after a fence, before it is told to quit, is void.
    epoch: u64,
    done: bool,
}

impl OrderActor {
    pub(crate) fn new(cell: CellRef, order: Arc<Order>, begin: Begin, incarnation: u64) -> Self {
        cell.count(ActorKind::Order, 1);
        let epoch = cell.epoch();
        Self {
            cell,
            order,
            record: Record::default(),
            begin: Some(Box::new(begin)),
            placing: None,
            in_flight: false,
            dirty: false,
            stash: Vec::new(),
            waiting: Vec::new(),
            redrives: 0,
            due: Due::default(),
            overdue: Overdue::default(),
            asks_at: u64::MAX,
            alarm_at: 0,
            hears_until: 0,
            slot: None,
            late: Late::default(),
            notices_stored: Vec::new(),
            asked_far: false,
            incarnation,
            epoch,
            done: false,
        }
    }

    fn debts(&self) -> Owed {
        owed(&self.record.facts, self.order.channels())
    }

    fn pass(&self, point: Point) {
        self.cell.node.faults.pass(point, Some(self.order.id));
    }

    /// Takes all that waits, in one step, unless a write is in flight.
    fn proceed(&mut self) {
        if self.in_flight || self.done {
            return;
        }
        let now = self.cell.node.now();
        let mut effects = Effects::default();
        let before = awaited::is_overdue(&self.record).then(|| self.record.facts.clone());
        let letters = self.letters();
        let cause = self.cause();
        for input in std::mem::take(&mut self.stash) {
            match input {
                Input::Answer(event) => self.take_answer(&event, now, &mut effects),
                Input::Do(ask) => self.take_command(ask, now, &mut effects),
            }
        }
        if let Some(before) = before {
            awaited::look(&before, &mut self.record, &mut effects);
        }
        self.look_after_external(now, &mut effects);
        letters.look(&self.order, &self.record, now, &mut effects);
        self.dirty |= effects.changed;
        let debts = self.debts();
        if self.dirty && (effects.is_urgent() || debts.is_nothing() || !self.waiting.is_empty()) {
            self.save(effects, debts, now, cause);
        } else if effects.changed {
            self.cell.wake_after(self.cell.node.settings.lazy_save_ms, self.order.id, Alarm::Save);
        } else {
            self.answer_waiting();
        }
        // Reckoned as soon as it can be.
        self.mind_deadlines(now);
        self.rest_if_done();
    }

    fn take_answer(&mut self, event: &EventRef, now: Timestamp, effects: &mut Effects) {
        let event = event.get();
        self.late.hear(event);
        if let EventBody::NotificationFailed { last: false, kind, channel, .. } = event.body
            && !self.notices_stored.contains(&(kind, channel))
        {
            self.notices_stored.push((kind, channel));
        }
        external::answer(&self.order, &mut self.record, event, self.cell.node.settings.external_roles, now, effects);
    }

    /// What other teams' roles have left to be done.
    fn look_after_external(&mut self, now: Timestamp, effects: &mut Effects) {
        external::look(&self.order, &mut self.record, now, effects);
        by_hand::look(&self.order, &mut self.record, self.cell.node.settings.external_roles, now, effects);
    }

    fn take_command(&mut self, ask: Ask, now: Timestamp, effects: &mut Effects) {
        if ask.seen.is_some_and(|seen| seen != self.record.revision()) {
            return reply(ask.reply, Err(CommandError::Rejected(Rejection::Stale)));
        }
        let changed_before = std::mem::take(&mut effects.changed);
        let result = match ask.what {
            OrderCommand::Cancel(by) => step::cancel(&self.order, &mut self.record, by, now, effects),
            OrderCommand::Ship(shipment) => step::ship(&self.order, &mut self.record, shipment, now, effects),
            OrderCommand::Compensate => {
                self.restart(now);
                step::compensate(&self.order, &mut self.record, now, effects)
            }
            OrderCommand::Accept(dispute) => {
                external::settle(&self.order, &mut self.record, dispute, now, effects);
                self.redrives = 0;
                Ok(())
            }
            OrderCommand::Unpark(cause) => {
                self.restart(now);
                step::unpark(&mut self.record, cause.as_ref().map(Text::as_str), effects)
            }
            OrderCommand::DoneByHand(done) => {
                by_hand::done(&self.order, &mut self.record, &done, self.cell.node.settings.external_roles, now, effects);
                self.redrives = 0;
                self.cell.wake_after(0, self.order.id, Alarm::Nudge);
                Ok(())
            }
            #[cfg(feature = "plants")]
            OrderCommand::Hear(event) if self.cell.node.faults.has(Plant::BelievesEveryAnswer) => {
                step::answer(&self.order, &mut self.record, &event, now, effects);
                Ok(())
            }
            OrderCommand::Hear(event) => {
                external::answer(&self.order, &mut self.record, &event, self.cell.node.settings.external_roles, now, effects);
                Ok(())
            }
            // A cancel came between: the payment is undone instead.
            OrderCommand::Park { step: park::CHARGE, .. } if self.record.facts.cancel.is_some() => {
                self.cell.wake_after(0, self.order.id, Alarm::Nudge);
                Ok(())
            }
            OrderCommand::Park { step, cause, detail, tries, role } => {
                let letter = park::step_letter(self.order.id, self.order.shard, role, step, now);
                park::park(&mut self.record, letter.because(cause.as_str(), detail.as_str(), tries), effects);
                Ok(())
            }
        };
        let has_effect = effects.changed;
        effects.changed |= changed_before;
        match result {
            Ok(()) => {
                // Without an effect there is nothing to audit, should somebody else have closed it.
                effects.closings.extend(ask.closing.filter(|_| has_effect));
                self.waiting.push(ask.reply);
            }
            Err(rejection) => reply(ask.reply, Err(CommandError::Rejected(rejection))),
        }
    }

    /// A person has looked at it: it is driven on at once, and another team's answer is awaited for as long again.
    fn restart(&mut self, now: Timestamp) {
        if awaited::is_overdue(&self.record) {
            awaited::anew(&mut self.record, now);
        }
        self.redrives = 0;
        self.cell.wake_after(0, self.order.id, Alarm::Nudge);
    }

    fn save(&mut self, effects: Effects, debts: Owed, now: Timestamp, cause: Option<Cause>) {
        self.in_flight = true;
        self.dirty = false;
        let write = TypedWrite::save(self.order.clone(), self.record.clone(), !debts.is_nothing(), effects, now);
        self.cell.node.journal.save(self.epoch, (self.order.shard, self.order.id, self.incarnation), write, cause);
        self.pass(Point::OrderSave);
    }

    fn answer_waiting(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let status = status(&self.record.facts);
        for waiting in self.waiting.drain(..) {
            reply(waiting, Ok(status));
        }
    }

    fn placed(&mut self, fate: Fate<PlaceOutcome>) {
        if let Some(reply) = self.placing.take() {
            drop(reply.send(fate.clone()));
        }
        match fate {
            Fate::Stored(PlaceOutcome::Done | PlaceOutcome::Repeated) => {
                self.cell.node.times.record(Step::Answer, micros(self.order.created_at, self.cell.node.now()));
                self.stored();
                self.proceed();
            }
            // Stored or, if its key was taken, not: what is stored says it.
            Fate::Recorded => self.begin_anew(),
            Fate::Stored(PlaceOutcome::KeyTaken { .. }) | Fate::NotStored | Fate::NotOurs | Fate::Refused(_) => self.leave(),
        }
    }

    fn saved(&mut self, fate: Fate<RowOutcome>) {
        match fate {
            Fate::Stored(RowOutcome::Done) | Fate::Recorded => {
                self.stored();
                self.proceed();
            }
            Fate::NotStored | Fate::NotOurs => self.leave(),
            Fate::Stored(RowOutcome::Missing) => invariant::violated("an order that was placed is not in the database", "order"),
            // The record does not say what is stored any more: start again from what is.
            Fate::Refused(why) => {
                invariant::violated("an order's record was refused by the database", &why);
                self.begin_anew();
            }
        }
    }

    /// After a write: answers the waiting callers, and counts the order as open until stock and payment have answered.
    fn stored(&mut self) {
        let debts = self.debts();
        let change = Change { status: status(&self.record.facts), settled: debts.is_nothing() };
        self.cell.node.live.tell(self.order.id, change);
        self.answer_waiting();
        self.count_open(debts.is_more_than_a_notice() && !self.waits_for_another_team());
        if change.settled {
            self.time_confirmation();
        }
        self.tell_late(change.settled);
    }

    fn count_open(&mut self, open: bool) {
        match (open, &self.slot) {
            (true, None) => self.slot = Some(self.cell.node.counters.open.take()),
            (false, Some(_)) => self.slot = None,
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// A settled order's actor ends; so does one that only waits for a notice which the notifier has stored, or was asked for elsewhere.
    fn rest_if_done(&mut self) {
        if self.in_flight || self.dirty || !self.stash.is_empty() || !self.waiting.is_empty() || self.placing.is_some() {
            return;
        }
        let debts = self.debts();
        // Whatever comes wakes it from its row.
        if self.waits_for_another_team() && self.due.is_none() {
            return self.leave();
        }
        if debts.is_nothing() || (!debts.is_more_than_a_notice() && (self.asked_far || self.owed_notices_are_stored(debts))) {
            self.leave();
            if !debts.is_nothing() {
                // Should the notifier's last word be lost, a round asks for it.
                self.cell.has_sleepers.set(true);
            }
        }
    }

    fn owed_notices_are_stored(&self, debts: Owed) -> bool {
        let Some(kind) = debts.notice else { return false };
        let mut missing = self.order.channels().iter().filter(|channel| !self.record.facts.has_notice(kind, *channel));
        missing.all(|channel| self.notices_stored.contains(&(kind, channel)))
    }

    /// Nobody can reach this actor any more; it ends once it has passed on what is in its mailbox.
    fn leave(&mut self) {
        self.done = true;
        self.count_open(false);
        self.cell.leave(self.order.id, self.incarnation);
    }

    /// Ends, and has the supervisor start the order from what is stored.
    fn begin_anew(&mut self) {
        self.leave();
        self.cell.wake(self.order.id, WakeWith::Stored);
    }
}

fn reply(to: Waiting, result: Result<OrderStatus, CommandError>) {
    // Who asked may have gone away; what was stored stays.
    drop(to.send(result));
}

/// Counted here, for actix does not stop an actor in order that panics when nobody can reach it any more.
impl Drop for OrderActor {
    fn drop(&mut self) {
        self.cell.count(ActorKind::Order, -1);
    }
}

impl Actor for OrderActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.pass(Point::OrderStarted);
        match self.begin.take().map(|begin| *begin) {
            Some(Begin::New { key, ticket, reply, slot }) => {
                self.slot = Some(slot);
                self.record = step::placed(&self.order);
                self.late.begins(self.order.created_at);
                self.in_flight = true;
                self.placing = Some(reply);
                #[cfg(feature = "plants")]
                if self.cell.node.faults.has(Plant::AnswersBeforeCommit) {
                    self.placing.take().into_iter().for_each(|reply| drop(reply.send(Fate::Stored(PlaceOutcome::Done))));
                }
                let write = TypedWrite::place(self.order.clone(), self.record.clone(), key);
                self.cell.node.journal.place(self.epoch, (self.order.shard, self.order.id, self.incarnation), write, ticket);
                self.rearm(self.cell.node.now());
            }
            Some(Begin::Loaded { record, asks }) => {
                self.record = record;
                self.late_from_stored();
                if !self.cell.owns(Role::Payment, self.order.shard) {
                    self.hears_until = self.cell.steady_ms().saturating_add(self.rhythm().after(1));
                }
                let owes_more = self.debts().is_more_than_a_notice();
                self.count_open(owes_more && !self.waits_for_another_team());
                // Asking makes all roles on the way answer again: each answer would wake it to ask once more.
                self.asked_far = !asks && !owes_more && !self.cell.owns(Role::Notification, self.order.shard);
                if self.asked_far {
                    self.rearm(self.cell.node.now());
                } else {
                    self.cell.wake_after(0, self.order.id, Alarm::Redrive);
                }
            }
            None => ctx.stop(),
        }
    }

    /// Runs also while a panic unwinds.
    fn stopped(&mut self, _ctx: &mut Self::Context) {
        if std::thread::panicking() {
            self.cell.report_death(ActorKind::Order, Some((self.order.id, self.incarnation)));
        }
    }
}

impl Handler<Answer> for OrderActor {
    type Result = ();
    fn handle(&mut self, Answer(event): Answer, _ctx: &mut Self::Context) {
        if self.done {
            return self.cell.wake(self.order.id, WakeWith::Answer(event));
        }
        self.stash.push(Input::Answer(event));
        self.pass(Point::OrderMessage);
        self.proceed();
    }
}

impl Handler<Do> for OrderActor {
    type Result = ();
    fn handle(&mut self, Do(ask): Do, _ctx: &mut Self::Context) {
        if self.done {
            return self.cell.wake(self.order.id, WakeWith::Ask(ask));
        }
        self.stash.push(Input::Do(ask));
        self.pass(Point::OrderMessage);
        self.proceed();
    }
}

impl Handler<Ring> for OrderActor {
    type Result = ();
    fn handle(&mut self, Ring(alarm): Ring, _ctx: &mut Self::Context) {
        if self.done {
            return;
        }
        self.pass(Point::OrderTimer);
        let now = self.cell.node.now();
        match alarm {
            Alarm::Save if self.dirty && !self.in_flight => {
                let debts = self.debts();
                self.save(Effects::default(), debts, now, None);
            }
            Alarm::Save => {}
            Alarm::Redrive => {
                self.redrive(now);
                self.rearm(now);
            }
            // It is not lost over a write under way.
            Alarm::Nudge if self.in_flight => self.cell.wake_after(self.cell.node.settings.tick_ms.max(1), self.order.id, Alarm::Nudge),
            Alarm::Nudge => self.redrive(now),
        }
    }
}

impl Handler<Quit> for OrderActor {
    type Result = ();
    fn handle(&mut self, Quit: Quit, ctx: &mut Self::Context) {
        self.leave();
        ctx.stop();
    }
}

impl Handler<Stored> for OrderActor {
    type Result = ();
    fn handle(&mut self, stored: Stored, _ctx: &mut Self::Context) {
        self.pass(Point::OrderStored);
        self.in_flight = false;
        match stored {
            Stored::Place(fate) => self.placed(fate),
            Stored::Save(fate) => self.saved(fate),
        }
    }
}
