//! The notifier: tells the customer, at most once per order, kind and channel. Holds nothing up: what fails is stored, tried
//! again with growing delays, and given up into a dead letter.

use crate::actors::cell::CellRef;
use crate::actors::protocol::cause::Cause;
use crate::actors::protocol::kind::ActorKind;
use crate::actors::protocol::messages::{Deliver, EventRef, Load, Recorded, RetryNotice};
use crate::actors::protocol::ticket::StepOf;
use crate::actors::roles::notification::board::{NoticeBoard, tell_waiting};
use crate::actors::roles::notification::task::{Begun, DeliveryTask, Way, message, save, sent};
use crate::actors::runtime::faults::Point;
use crate::actors::runtime::recent::Recent;
use crate::actors::runtime::tasks::{Ended, Signal, Tasks, at_once};
use crate::db::{StepOutcome, TypedWrite};
use crate::domain::{Channel, CorrelationId, EventBody, NoticeKind, NoticeStatus, NoticeTask, Order, OrderId, Role, Shard, Timestamp};
use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, StreamHandler, WrapFuture};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

type Key = (OrderId, NoticeKind, Channel);

/// One notice's turn.
pub(crate) struct Turn {
    order: Option<Arc<Order>>,
    way: Way,
    cause: Option<Cause>,
}

/// See the module.
pub(crate) struct Notifier {
    cell: CellRef,
    tasks: Tasks<Key, Turn>,
    board: Rc<NoticeBoard>,
    /// The channels whose stored notices are being read.
    reading: Vec<Channel>,
    /// Orders that are being cancelled: their confirmation is not sent any more. A repeat asks the stored rows instead.
    withdrawn: Recent<OrderId>,
    /// How many writes of an order are on their way: until they are stored its rows do not tell what was sent.
    recording: HashMap<OrderId, u8>,
    /// The notices of orders from before this incarnation may have been sent already.
    born: Timestamp,
}

impl Notifier {
    pub(crate) fn new(cell: CellRef) -> Self {
        let tasks = Tasks::new(cell.node.settings.notice_calls);
        let born = cell.node.now();
        let cell_limit = cell.node.settings.open_limit;
        let board = Rc::default();
        Self { cell, tasks, board, reading: Vec::new(), withdrawn: Recent::new(cell_limit), recording: HashMap::new(), born }
    }

    fn take(&mut self, deliver: Deliver, ctx: &mut Context<Self>) {
        let event = deliver.event.get();
        let (kind, repeat) = match event.body.content() {
            EventBody::PaymentProcessed { .. } if self.withdrawn.contains(&event.order) => return,
            EventBody::PaymentProcessed { .. } => (NoticeKind::Confirmation, deliver.repeat),
            EventBody::PaymentFailed { .. } => (NoticeKind::Failure, deliver.repeat),
            // The payment's own event has most likely brought it already.
            EventBody::OrderFailed { .. } => (NoticeKind::Failure, true),
            EventBody::OrderShipped { .. } => (NoticeKind::Shipping, deliver.repeat),
            EventBody::OrderCancelRequested { .. } => return self.withdraw(&deliver),
            EventBody::OrderCancelled { was_paid, reason } => {
                self.withdrawn.remove(&event.order);
                (NoticeKind::of_cancellation(reason.as_str(), *was_paid), deliver.repeat)
            }
            EventBody::OrderCreated(_)
            | EventBody::InventoryReserved { .. }
            | EventBody::InventoryInsufficient { .. }
            | EventBody::InventoryReleased { .. }
            | EventBody::InventoryShipped { .. }
            | EventBody::PaymentCancelled
            | EventBody::PaymentRefunded { .. }
            | EventBody::OrderConfirmed
            | EventBody::ShipmentHeld
            | EventBody::NotificationSent { .. }
            | EventBody::NotificationFailed { .. }
            | EventBody::AnswerAccepted { .. }
            | EventBody::StepParked { .. }
            | EventBody::PaidInOtherCurrency { .. } => return,
        };
        // It is asked for again after its writes are stored, if it must be.
        if repeat && self.recording.contains_key(&event.order) {
            return;
        }
        match &deliver.order {
            Some(order) => {
                let way = if repeat || order.created_at < self.born { Way::AskFirst } else { Way::Fresh };
                let cause = self.cell.node.cause(event, Role::Notification);
                for channel in order.channels().iter() {
                    self.admit((order.id, kind, channel), Turn { order: Some(order.clone()), way, cause });
                }
            }
            None => self.find_order(deliver.event.clone(), ctx),
        }
    }

    /// The order's actor is not here: read the order, then take the event again, as a repeat.
    fn find_order(&self, event: EventRef, ctx: &mut Context<Self>) {
        let cell = self.cell.clone();
        let id = event.get().order;
        let reading = async move { cell.node.read_until_ok(|| cell.node.reads.known_order(id)).await };
        ctx.spawn(reading.into_actor(self).map(move |found, actor, ctx| {
            if let Ok(Some(order)) = found {
                actor.take(Deliver { event, order: Some(order), repeat: true }, ctx);
            }
        }));
    }

    /// A confirmation that has not been sent yet will not be; its row says so, for later questions.
    fn withdraw(&mut self, deliver: &Deliver) {
        let event = deliver.event.get();
        self.withdrawn.insert(event.order);
        let channels = deliver.order.as_ref().map_or(crate::domain::Channels::BOTH, |order| order.channels());
        for channel in channels.iter() {
            let key = (event.order, NoticeKind::Confirmation, channel);
            if self.tasks.raise(&key) {
                continue;
            }
            self.record_withdrawn(key, event.shard, event.correlation);
        }
    }

    fn record_withdrawn(&mut self, key: Key, shard: Shard, correlation: CorrelationId) {
        let task = NoticeTask {
            order: key.0,
            kind: key.1,
            channel: key.2,
            status: NoticeStatus::Withdrawn,
            attempt: 0,
            next_try_at: None,
            reason: None,
            created_at: self.cell.node.now(),
        };
        self.record((shard, key.0, None), save(task, shard, correlation, None, None), None);
    }

    fn record(
        &mut self,
        (shard, order, notice): (Shard, OrderId, Option<(NoticeKind, Channel)>),
        write: TypedWrite<StepOutcome>,
        cause: Option<Cause>,
    ) {
        *self.recording.entry(order).or_insert(0) += 1;
        self.cell.submit(StepOf::Notice(shard, order, notice), write, cause);
    }

    fn admit(&mut self, key: Key, turn: Turn) {
        let must_wait = self.board.is_held(key.2, self.cell.steady_ms()) || self.tasks.len() >= self.cell.node.settings.notice_calls;
        if let Some(order) = turn.order.as_ref().filter(|_| must_wait && !self.tasks.has(&key)) {
            return self.put_off(key, order);
        }
        if let Some((turn, signal)) = self.tasks.admit(key, turn) {
            self.begin(key, turn, signal);
        }
    }

    /// A provider that takes the notice at once is done with here; the rest is a task.
    fn begin(&mut self, key: Key, turn: Turn, signal: Signal) {
        let mut failed = None;
        let may_send = turn.order.as_ref().is_some_and(|order| self.cell.may_send(order.shard));
        // It waits, or is another node's to send: then what is stored rules.
        let turn = if may_send { turn } else { Turn { way: Way::AskFirst, ..turn } };
        if let (Some(order), Way::Fresh) = (&turn.order, turn.way) {
            let Some(mut call) = message(&self.cell.node, order, key.1, key.2, turn.cause) else {
                return self.run(key, turn, None, signal);
            };
            match at_once(&mut call) {
                Some(Ok(())) => {
                    let (sent, event) = sent(order, key.1, key.2, 1, self.cell.node.now());
                    self.cell.node.faults.pass(Point::NotifierAnswered, Some(order.id));
                    let write = save(sent, order.shard, order.correlation, Some(event), None);
                    self.record((order.shard, order.id, Some((key.1, key.2))), write, turn.cause);
                    return self.ended(&key);
                }
                Some(Err(error)) => failed = Some(error),
                None => return self.run(key, turn, Some(Begun::Call(call)), signal),
            }
        }
        self.run(key, turn, failed.map(Begun::Failed), signal);
    }

    fn run(&mut self, key: Key, turn: Turn, begun: Option<Begun>, signal: Signal) {
        let is_under_way = matches!(begun, Some(Begun::Call(_)));
        let sending = turn.order.as_ref().filter(|_| is_under_way).map(|order| self.cell.begin_sending(order.shard));
        let (cell, board, cause) = (self.cell.clone(), self.board.clone(), turn.cause);
        let task = DeliveryTask { cell, id: key.0, kind: key.1, channel: key.2, signal, board, sending, cause };
        self.tasks.launch(key, task.run(turn.order, turn.way, begun));
    }

    /// One notice's task has panicked: the others go on, and this one is begun again.
    fn panicked(&self, key: Key, cause: &str, ctx: &mut Context<Self>) {
        // Its order may rest by now, so nobody but this actor asks again.
        let delay = Duration::from_millis(self.cell.node.settings.restart_backoff.most_ms);
        ctx.run_later(delay, move |actor, _| actor.admit(key, Turn { order: None, way: Way::AskFirst, cause: None }));
        self.cell.node.counters.stats(ActorKind::Notifier).restarted(cause);
        tracing::error!(actor = "notifier", order.id = %key.0, cause = %cause, "a notice's task panicked; it is begun again");
    }

    fn ended(&mut self, key: &Key) {
        if let Some((key, turn, signal)) = self.tasks.end(key) {
            self.run(key, turn, None, signal);
        }
        self.cell.node.set_waiting(ActorKind::Notifier, self.cell.index, self.tasks.len());
    }

    /// It waits in the database for its turn, and its order rests.
    fn put_off(&mut self, key: Key, order: &Order) {
        let now = self.cell.node.now();
        let task = NoticeTask { next_try_at: Some(now), ..NoticeTask::new(order, key.1, key.2, now) };
        self.record((order.shard, order.id, Some((key.1, key.2))), save(task, order.shard, order.correlation, None, None), None);
        self.board.note(key.2, self.cell.steady_ms());
        tell_waiting(&self.cell, order, key.1, key.2);
    }

    /// Takes up stored notices that are due, as many as there is room for.
    fn take_up(&mut self, ctx: &mut Context<Self>) {
        let now_ms = self.cell.steady_ms();
        for channel in Channel::ALL {
            // Those under way are the first of the page that is read: it is worth its reading when half of them are done.
            let has_room = self.tasks.len() * 2 < self.cell.node.settings.notice_calls;
            if !has_room || self.reading.contains(&channel) || !self.board.take_due(channel, now_ms) {
                continue;
            }
            self.reading.push(channel);
            let (cell, shards) = (self.cell.clone(), self.cell.shards_of(Role::Notification));
            let page = cell.node.settings.load_page;
            let reading = async move {
                if shards.is_empty() {
                    return Vec::new();
                }
                // What was put off just now is on its way to the rows.
                cell.node.journal.passed().await;
                let read = cell.node.read_until_ok(|| cell.node.reads.next_notices(shards.clone(), channel, page)).await;
                read.unwrap_or_default()
            };
            ctx.spawn(reading.into_actor(self).map(move |tasks, actor, _| actor.were_read(channel, tasks)));
        }
    }

    fn were_read(&mut self, channel: Channel, tasks: Vec<NoticeTask>) {
        let settings = &self.cell.node.settings;
        let (most, page, tick_ms) = (settings.notice_calls, settings.load_page as usize, settings.tick_ms);
        self.reading.retain(|reading| *reading != channel);
        let (now, now_ms) = (self.cell.node.now(), self.cell.steady_ms());
        let is_full = tasks.len() >= page;
        for task in tasks {
            let wait = task.next_try_at.map_or(0, |at| at.ms_since(now));
            let key = (task.order, task.kind, channel);
            // One that is under way says itself when it is due again; it is looked for all the same.
            if wait > 0 || self.tasks.has(&key) || self.tasks.len() >= most {
                self.board.note(channel, now_ms + wait.max(LOOK_AGAIN_MS));
            } else {
                self.admit(key, Turn { order: None, way: Way::AskFirst, cause: None });
            }
        }
        if is_full {
            self.board.note(channel, now_ms + tick_ms);
        }
    }

    /// Starts reading all stored notices again.
    fn look_anew(&self) {
        Channel::ALL.into_iter().for_each(|channel| self.board.note(channel, 0));
    }
}

/// When notices that were found under way, or for which there was no room, are looked for again.
const LOOK_AGAIN_MS: u64 = 200;

impl Actor for Notifier {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.cell.node.role_mailbox());
        let ended = self.tasks.stream();
        ctx.add_stream(ended);
        self.cell.count(ActorKind::Notifier, 1);
        self.cell.node.faults.pass(Point::NotifierStarted, None);
        ctx.run_interval(Duration::from_millis(self.cell.node.settings.tick_ms.max(1)), Self::take_up);
    }

    /// Runs also while a panic unwinds.
    fn stopped(&mut self, _ctx: &mut Self::Context) {
        self.cell.count(ActorKind::Notifier, -1);
        self.cell.report_end(ActorKind::Notifier);
    }
}

impl StreamHandler<Ended<Key>> for Notifier {
    fn handle(&mut self, Ended { key, panic }: Ended<Key>, ctx: &mut Self::Context) {
        if let Some(cause) = panic {
            self.panicked(key, &cause, ctx);
        }
        // The stop came after the task had ended, with its notice stored to be sent later.
        if self.tasks.is_raised(&key) {
            let correlation = self.cell.known_order(key.0).map_or(CorrelationId::of(key.0.0), |order| order.correlation);
            self.record_withdrawn(key, self.cell.node.shards().of(key.0), correlation);
        }
        self.ended(&key);
    }
}

impl Handler<Deliver> for Notifier {
    type Result = ();
    fn handle(&mut self, deliver: Deliver, ctx: &mut Self::Context) {
        self.cell.node.faults.pass(Point::NotifierMessage, Some(deliver.event.get().order));
        self.take(deliver, ctx);
    }
}

impl Handler<Recorded> for Notifier {
    type Result = ();
    fn handle(&mut self, Recorded(order): Recorded, _ctx: &mut Self::Context) {
        if let Some(count) = self.recording.get_mut(&order) {
            *count -= 1;
            if *count == 0 {
                self.recording.remove(&order);
            }
        }
    }
}

impl Handler<RetryNotice> for Notifier {
    type Result = ();
    fn handle(&mut self, retry: RetryNotice, _ctx: &mut Self::Context) {
        self.admit((retry.order, retry.kind, retry.channel), Turn { order: None, way: Way::AskFirst, cause: None });
    }
}

impl Handler<Load> for Notifier {
    type Result = ();
    fn handle(&mut self, Load(..): Load, _ctx: &mut Self::Context) {
        // What became of writes may have died with a router; orders ask again only after all that is stored.
        self.recording.clear();
        self.look_anew();
    }
}
