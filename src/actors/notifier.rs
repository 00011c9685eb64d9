//! The notifier: tells the customer, at most once per order, kind and channel. Holds nothing up: what fails is stored, tried
//! again with growing delays, and given up into a dead letter.

use super::cell::CellRef;
use super::courses::{Courses, Ended, Signal, at_once};
use super::faults::Point;
use super::journal::Origin;
use super::messages::{Deliver, EventRef, Load, Recorded, RetryNotice};
use super::node::ActorKind;
use super::notice_course::{Course, Way, message, save, sent};
use super::recent::Recent;
use crate::db::Write;
use crate::domain::{Channel, EventBody, NoticeKind, NoticeStatus, NoticeTask, Order, OrderId, Role, Shard, Timestamp};
use crate::providers::ProviderError;
use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, StreamHandler, WrapFuture};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

type Key = (OrderId, NoticeKind, Channel);

/// One notice's turn.
pub(crate) struct Turn {
    order: Option<Arc<Order>>,
    way: Way,
}

/// See the module.
pub(crate) struct Notifier {
    cell: CellRef,
    courses: Courses<Key, Turn>,
    /// Orders that are being cancelled: their confirmation is not sent any more. A repeat asks the stored rows instead.
    withdrawn: Recent<OrderId>,
    /// How many writes of an order are on their way: until they are stored its rows do not tell what was sent.
    recording: HashMap<OrderId, u8>,
    /// Orders from before this life may have been told already.
    born: Timestamp,
}

impl Notifier {
    pub(crate) fn new(cell: CellRef) -> Self {
        let courses = Courses::new(cell.node.settings.notice_calls);
        let born = cell.node.now();
        let cell_limit = cell.node.settings.open_limit;
        Self { cell, courses, withdrawn: Recent::new(cell_limit), recording: HashMap::new(), born }
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
            EventBody::OrderCancelled { was_paid, .. } => {
                self.withdrawn.remove(&event.order);
                if !was_paid {
                    return;
                }
                (NoticeKind::Cancellation, deliver.repeat)
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
            | EventBody::StepParked { .. } => return,
        };
        // It is asked for again after its writes are stored, if it must be.
        if repeat && self.recording.contains_key(&event.order) {
            return;
        }
        match &deliver.order {
            Some(order) => {
                let way = if repeat || order.created_at < self.born { Way::AskFirst } else { Way::Fresh };
                for channel in order.channels().iter() {
                    self.admit((order.id, kind, channel), Turn { order: Some(order.clone()), way });
                }
            }
            None => self.find_order(deliver.event.clone(), ctx),
        }
    }

    /// The order's actor is not here: read the order, then take the event again, as a repeat.
    fn find_order(&self, event: EventRef, ctx: &mut Context<Self>) {
        let cell = self.cell.clone();
        let id = event.get().order;
        let reading = async move { super::reading::insist(&cell.node, || cell.node.reads.known_order(id)).await.flatten() };
        ctx.spawn(reading.into_actor(self).map(move |found, actor, ctx| {
            if found.is_some() {
                actor.take(Deliver { event, order: found, repeat: true }, ctx);
            }
        }));
    }

    /// A confirmation that was not sent yet is not sent any more; its row says so to whoever asks later.
    fn withdraw(&mut self, deliver: &Deliver) {
        let event = deliver.event.get();
        self.withdrawn.insert(event.order);
        let channels = deliver.order.as_ref().map_or(crate::domain::Channels::BOTH, |order| order.channels());
        for channel in channels.iter() {
            let key = (event.order, NoticeKind::Confirmation, channel);
            if self.courses.raise(&key) {
                continue;
            }
            let task = NoticeTask {
                order: event.order,
                kind: NoticeKind::Confirmation,
                channel,
                status: NoticeStatus::Withdrawn,
                attempt: 0,
                next_try_at: None,
                reason: None,
                created_at: self.cell.node.now(),
            };
            self.record((event.shard, event.order), save(task, event.shard, event.correlation, None, None));
        }
    }

    fn record(&mut self, (shard, order): (Shard, OrderId), write: Write) {
        *self.recording.entry(order).or_insert(0) += 1;
        self.cell.submit(Origin::Role(Role::Notification, shard, order), write);
    }

    fn admit(&mut self, key: Key, turn: Turn) {
        if let Some((turn, signal)) = self.courses.admit(key, turn) {
            self.begin(key, turn, signal);
        }
    }

    /// A provider that takes the notice at once is done with here; the rest is a course.
    fn begin(&mut self, key: Key, turn: Turn, signal: Signal) {
        let mut failed = None;
        let may_send = turn.order.as_ref().is_some_and(|order| self.cell.may_send(order.shard));
        // It waits, or is another node's to send: then what is stored rules.
        let turn = if may_send { turn } else { Turn { way: turn.way.later(), ..turn } };
        if let (Some(order), Way::Fresh) = (&turn.order, turn.way) {
            let mut call = message(&self.cell.node, order, key.1, key.2);
            match at_once(&mut call) {
                Some(Ok(())) => {
                    let write = sent(order, key.1, key.2, 1, self.cell.node.now());
                    self.cell.node.faults.pass(Point::NotifierAnswered, Some(order.id));
                    self.record((order.shard, order.id), write);
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
        let course = Course { cell: self.cell.clone(), id: key.0, kind: key.1, channel: key.2, signal, sending };
        self.courses.launch(key, course.run(turn.order, turn.way, begun));
    }

    /// One notice's course has panicked: the others go on, and this one is begun again.
    fn panicked(&self, key: Key, cause: &str, ctx: &mut Context<Self>) {
        // Its order may rest by now, so nobody but this actor asks again.
        let delay = Duration::from_millis(self.cell.node.settings.restart_backoff.most_ms);
        ctx.run_later(delay, move |actor, _| actor.admit(key, Turn { order: None, way: Way::AskFirst }));
        self.cell.node.counters.fare(ActorKind::Notifier).restarted(cause);
        tracing::error!(actor = "notifier", order.id = %key.0, cause = %cause, "a notice's course panicked; it is begun again");
    }

    fn ended(&mut self, key: &Key) {
        if let Some((key, turn, signal)) = self.courses.end(key) {
            self.run(key, turn, None, signal);
        }
        self.cell.node.set_waiting(ActorKind::Notifier, self.cell.index, self.courses.len());
    }

    /// Takes up what an earlier life of this actor had stored but not sent.
    fn resume(&self, shards: Vec<Shard>, ctx: &mut Context<Self>) {
        if shards.is_empty() {
            return;
        }
        let cell = self.cell.clone();
        let reading = async move {
            let page = cell.node.settings.load_page;
            let mut all = Vec::new();
            let mut after = None;
            loop {
                let read = super::reading::insist(&cell.node, || cell.node.reads.pending_notices(shards.clone(), after, page)).await;
                let Some(found) = read else { break };
                after = found.last().map(|task| task.order);
                let is_last = found.len() < page as usize;
                all.extend(found.into_iter().map(|task| (task.order, task.kind, task.channel)));
                if is_last {
                    break;
                }
            }
            all
        };
        ctx.spawn(reading.into_actor(self).map(|keys, actor, _| {
            for key in keys {
                actor.admit(key, Turn { order: None, way: Way::AskFirst });
            }
        }));
    }
}

/// A first try that the actor has begun already.
pub(crate) enum Begun {
    Call(crate::providers::Call<()>),
    Failed(ProviderError),
}

impl Actor for Notifier {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.cell.node.role_mailbox());
        let ended = self.courses.stream();
        ctx.add_stream(ended);
        self.cell.count(ActorKind::Notifier, 1);
        self.cell.node.faults.pass(Point::NotifierStarted, None);
        self.resume(self.cell.shards_of(Role::Notification), ctx);
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
        self.admit((retry.order, retry.kind, retry.channel), Turn { order: None, way: Way::AskedFor });
    }
}

impl Handler<Load> for Notifier {
    type Result = ();
    fn handle(&mut self, Load(shards): Load, ctx: &mut Self::Context) {
        // What became of writes may have died with a router; orders ask again only after all that is stored.
        self.recording.clear();
        self.resume(shards, ctx);
    }
}
