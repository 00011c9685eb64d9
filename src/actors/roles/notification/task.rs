//! The long way of one notice: stored tries with growing delays, an open breaker that burns none, and an end.

use crate::actors::cell::{CellRef, Sending};
use crate::actors::node::Node;
use crate::actors::node::traced::{Calling, traced};
use crate::actors::protocol::cause::Cause;
use crate::actors::protocol::fate::Fate;
use crate::actors::roles::notification::board::{NoticeBoard, tell_waiting};
use crate::actors::runtime::faults::Point;
use crate::actors::runtime::pause::pause;
use crate::actors::runtime::tasks::Signal;
use crate::db::{StepOutcome, TypedWrite};
use crate::domain::{
    Channel, CorrelationId, DeadLetter, Event, EventBody, NoticeKind, NoticeStatus, NoticeTask, Order, OrderId, Role, Shard, Text,
    Timestamp,
};
use crate::providers::{Call, Email, ProviderError, Sms};
use std::rc::Rc;
use std::sync::Arc;

/// How a notice's turn begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// It was never tried.
    Fresh,
    /// It may have been: the stored row rules.
    AskFirst,
}

/// A first try that the actor has begun already.
pub(crate) enum Begun {
    Call(Call<()>),
    Failed(ProviderError),
}

/// One notice's task.
pub(crate) struct DeliveryTask {
    pub(crate) cell: CellRef,
    pub(crate) id: OrderId,
    pub(crate) kind: NoticeKind,
    pub(crate) channel: Channel,
    pub(crate) signal: Signal,
    pub(crate) board: Rc<NoticeBoard>,
    /// Keeps the shard here while a call is under way that began before the task.
    pub(crate) sending: Option<Sending>,
    pub(crate) cause: Option<Cause>,
}

pub(crate) fn save(
    task: NoticeTask,
    shard: Shard,
    correlation: CorrelationId,
    event: Option<Event>,
    letter: Option<DeadLetter>,
) -> TypedWrite<StepOutcome> {
    TypedWrite::save_notice(task, (shard, correlation), event, letter, None)
}

/// The row and the event that a sent notice makes.
pub(crate) fn sent(order: &Order, kind: NoticeKind, channel: Channel, attempt: u32, now: Timestamp) -> (NoticeTask, Event) {
    let task = NoticeTask { status: NoticeStatus::Sent, attempt, ..NoticeTask::new(order, kind, channel, now) };
    let event = Event::of(order, now, EventBody::NotificationSent { kind, channel });
    (task, event)
}

/// Sends the notice to its provider; `None` if the customer gave no address.
pub(crate) fn message(node: &Arc<Node>, order: &Order, kind: NoticeKind, channel: Channel, cause: Option<Cause>) -> Option<Call<()>> {
    let calling = |provider| node.calling((provider, "send"), (order.id, order.correlation), cause);
    let correlation = |calling: &Option<Calling>| calling.as_ref().map_or(order.correlation, Calling::correlation);
    let id = NoticeTask::new(order, kind, channel, order.created_at).id();
    let contact = order.contact.as_deref();
    let unpaid = |why: &str| format!("Your order {} is cancelled: {why}. Nothing was charged.", order.id);
    let body = match kind {
        NoticeKind::Confirmation => format!("Your order {} is confirmed. Total: {}.", order.id, order.total),
        NoticeKind::Failure => format!("Your order {} could not be paid, so it will not be sent.", order.id),
        NoticeKind::Cancellation => format!("Your order {} is cancelled. {} was refunded.", order.id, order.total),
        NoticeKind::Shipping => format!("Your order {} is on its way.", order.id),
        NoticeKind::Unavailable => unpaid("something in it is not available"),
        NoticeKind::PriceChanged => unpaid("a price has changed since you ordered"),
        NoticeKind::Expired => unpaid("it was not paid in time"),
        NoticeKind::CalledOff => format!("Your order {} is cancelled. Nothing was charged.", order.id),
    };
    match channel {
        Channel::Email => {
            let of_customer = || Some(Text::lossy(&format!("{}@{}", order.customer, node.settings.customer_domain.as_ref()?)));
            let to = contact.and_then(|contact| contact.email.clone()).or_else(of_customer)?;
            let calling = calling("email");
            let email = Email { id, to, subject: subject(kind).to_owned(), body, correlation: correlation(&calling) };
            Some(traced(calling, node.providers.email.send(email)))
        }
        Channel::Sms => {
            let to = contact.and_then(|contact| contact.phone.clone())?;
            let calling = calling("sms");
            let sms = Sms { id, to, body, correlation: correlation(&calling) };
            Some(traced(calling, node.providers.sms.send(sms)))
        }
    }
}

fn subject(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Confirmation => "Your order is confirmed",
        NoticeKind::Failure => "Your payment failed",
        NoticeKind::Cancellation | NoticeKind::Unavailable | NoticeKind::PriceChanged | NoticeKind::Expired | NoticeKind::CalledOff => {
            "Your order is cancelled"
        }
        NoticeKind::Shipping => "Your order is on its way",
    }
}

impl DeliveryTask {
    pub(crate) async fn run(mut self, order: Option<Arc<Order>>, way: Way, begun: Option<Begun>) {
        self.cell.node.faults.pass(Point::NotifierCourse, Some(self.id));
        let order = match order {
            Some(order) => Some(order),
            None => {
                let read = self.cell.node.read_until_ok(|| self.cell.node.reads.known_order(self.id)).await;
                read.ok().flatten()
            }
        };
        if let Some(order) = order {
            self.tell(&order, way, begun).await;
        }
    }

    async fn tell(&mut self, order: &Arc<Order>, way: Way, mut begun: Option<Begun>) {
        let mut losses = self.cell.losses();
        let Some(mut task) = self.task(order, way).await else { return };
        loop {
            // Else its new owner sends it.
            if begun.is_none() && !self.cell.owns(Role::Notification, order.shard) {
                return;
            }
            // While it waited, the shard may have belonged to another node, which has sent it.
            if begun.is_none() && losses != self.cell.losses() {
                losses = self.cell.losses();
                let Some(stored) = self.task(order, Way::AskFirst).await else { return };
                task = stored;
                continue;
            }
            if begun.is_none() && !self.cell.may_send(order.shard) {
                pause(self.cell.node.settings.tick_ms).await;
                continue;
            }
            if self.sending.is_none() {
                self.sending = Some(self.cell.begin_sending(order.shard));
            }
            if begun.is_none() && self.signal.is_raised() {
                task.status = NoticeStatus::Withdrawn;
                task.next_try_at = None;
                self.store(order, task, None, None).await;
                return;
            }
            let Some(result) = self.call(order, begun.take()).await else { return self.has_no_address(order, task).await };
            let error = match result {
                Ok(()) => {
                    self.cell.node.faults.pass(Point::NotifierAnswered, Some(self.id));
                    let (sent, event) = sent(order, self.kind, self.channel, task.attempt + 1, self.cell.node.now());
                    self.store(order, sent, Some(event), None).await;
                    return;
                }
                Err(error) => error,
            };
            if let Some(wait_ms) = self.not_now(&task, &error) {
                task = self.put_off(order, task, &error, wait_ms).await;
                self.sending = None;
                // A cancel that came meanwhile withdraws it.
                if self.signal.is_raised() {
                    continue;
                }
                return;
            }
            task.attempt += 1;
            let next = match &error {
                ProviderError::Failed { .. } => self.cell.node.settings.notice_retry.next(task.attempt),
                ProviderError::Deferred { .. } => {
                    let waited_ms = self.cell.node.now().ms_since(task.created_at);
                    self.cell.node.settings.notice_patience.next(task.attempt, waited_ms)
                }
                // It may have been sent: a second one would be worse than none. A person may decide otherwise.
                ProviderError::Unknown { .. }
                | ProviderError::Rejected { .. }
                | ProviderError::Busy { .. }
                | ProviderError::Open { .. } => None,
            };
            if !self.failed(order, &mut task, &error, next).await {
                return;
            }
            self.sending = None;
            if !self.signal.is_raised() {
                return self.board.note(self.channel, self.cell.steady_ms() + next.unwrap_or(0));
            }
        }
    }

    /// The wait before the next try of what was no try, for its failure says nothing about this notice; none when it was one. What takes
    /// nothing from anybody holds up the whole channel. A provider that is away is waited for as long again as the notice has waited
    /// already, within the limits, until patience ends.
    fn not_now(&self, task: &NoticeTask, error: &ProviderError) -> Option<u64> {
        match error {
            ProviderError::Open { retry_in_ms } | ProviderError::Busy { retry_in_ms, .. } => {
                self.board.hold(self.channel, self.cell.steady_ms() + (*retry_in_ms).max(1));
                Some((*retry_in_ms).max(1))
            }
            ProviderError::Failed { away: true, .. } => {
                let (settings, waited_ms) = (&self.cell.node.settings, self.cell.node.now().ms_since(task.created_at));
                settings.notice_patience.while_away(settings.notice_retry.backoff, waited_ms)
            }
            ProviderError::Failed { .. }
            | ProviderError::Unknown { .. }
            | ProviderError::Rejected { .. }
            | ProviderError::Deferred { .. } => None,
        }
    }

    /// The notice waits where it costs no memory.
    async fn put_off(&self, order: &Order, mut task: NoticeTask, error: &ProviderError, wait_ms: u64) -> NoticeTask {
        task.status = NoticeStatus::Pending;
        task.next_try_at = Some(self.cell.node.now().plus_ms(wait_ms));
        task.reason = Some(Text::lossy(&error.to_string()));
        self.store(order, task.clone(), None, None).await;
        self.board.note(self.channel, self.cell.steady_ms() + wait_ms);
        tell_waiting(&self.cell, order, self.kind, self.channel);
        task
    }

    /// The stored row, or a new one; none if there is nothing to do (the stored answer was repeated).
    async fn task(&self, order: &Arc<Order>, way: Way) -> Option<NoticeTask> {
        let fresh = NoticeTask::new(order, self.kind, self.channel, self.cell.node.now());
        if way == Way::Fresh {
            return Some(fresh);
        }
        // What was sent just now may be on its way to the rows.
        self.cell.node.journal.passed().await;
        let rows = self.cell.node.read_until_ok(|| self.cell.node.reads.notices(self.id)).await.ok()?;
        let Some(row) = rows.into_iter().find(|row| row.kind == self.kind && row.channel == self.channel) else { return Some(fresh) };
        match row.status {
            NoticeStatus::Pending => {
                let wait = row.next_try_at.map_or(0, |at| at.ms_since(self.cell.node.now()));
                if wait == 0 || self.signal.is_raised() {
                    return Some(row);
                }
                self.board.note(self.channel, self.cell.steady_ms() + wait);
                tell_waiting(&self.cell, order, self.kind, self.channel);
                None
            }
            NoticeStatus::Sent | NoticeStatus::GivenUp | NoticeStatus::Withdrawn => {
                self.cell.tell_again(row.answer(order.shard, order.correlation, row.created_at));
                None
            }
        }
    }

    /// One call, begun or not; none where there is nobody to call.
    async fn call(&self, order: &Order, begun: Option<Begun>) -> Option<Result<(), ProviderError>> {
        match begun {
            Some(Begun::Call(call)) => Some(call.await),
            Some(Begun::Failed(error)) => Some(Err(error)),
            None => Some(message(&self.cell.node, order, self.kind, self.channel, self.cause)?.await),
        }
    }

    /// There is nobody to tell: no failure, and nothing that a person could do about it.
    async fn has_no_address(&self, order: &Order, mut task: NoticeTask) {
        let (kind, channel, attempt) = (self.kind, self.channel, task.attempt);
        let reason: Text<200> = Text::lossy("no address");
        task.status = NoticeStatus::GivenUp;
        task.next_try_at = None;
        task.reason = Some(reason.clone());
        let body = EventBody::NotificationFailed { kind, channel, attempt, last: true, reason };
        self.store(order, task, Some(Event::of(order, self.cell.node.now(), body)), None).await;
    }

    /// Stores a failed try; `false` when it was the last.
    async fn failed(&self, order: &Arc<Order>, task: &mut NoticeTask, error: &ProviderError, next: Option<u64>) -> bool {
        let now = self.cell.node.now();
        let reason: Text<200> = Text::lossy(&error.to_string());
        task.reason = Some(reason.clone());
        task.next_try_at = next.map(|delay| now.plus_ms(delay));
        task.status = if next.is_some() { NoticeStatus::Pending } else { NoticeStatus::GivenUp };
        let body =
            EventBody::NotificationFailed { kind: self.kind, channel: self.channel, attempt: task.attempt, last: next.is_none(), reason };
        let letter = next.is_none().then(|| self.letter(order, error, task.attempt, now));
        self.store(order, task.clone(), Some(Event::of(order, now, body)), letter).await;
        next.is_some()
    }

    fn letter(&self, order: &Order, error: &ProviderError, tries: u32, now: Timestamp) -> DeadLetter {
        let cause = match error {
            ProviderError::Unknown { .. } => "notice-outcome-unknown",
            ProviderError::Rejected { .. } => "notice-rejected",
            ProviderError::Failed { .. } | ProviderError::Deferred { .. } | ProviderError::Busy { .. } | ProviderError::Open { .. } => {
                "notice-failed"
            }
        };
        DeadLetter::about_notice((order.id, order.shard), self.kind, self.channel, now).because(cause, &error.to_string(), tries)
    }

    async fn store(&self, order: &Order, task: NoticeTask, event: Option<Event>, letter: Option<DeadLetter>) {
        // A notice that only waits has reported its last try already.
        let (attempt, is_withdrawn) = (task.attempt + u32::from(event.is_none()), task.status == NoticeStatus::Withdrawn);
        let write = save(task, order.shard, order.correlation, event, letter);
        match self.cell.node.journal.ask_for(self.cause, write).await {
            Ok(Fate::Stored(StepOutcome::Repeated(answers))) => {
                for answer in answers {
                    self.cell.again(answer);
                }
            }
            Ok(Fate::Refused(why)) if is_withdrawn => {
                tracing::warn!(order.id = %self.id, cause = %why, "a withdrawn notice cannot be stored");
            }
            Ok(Fate::Refused(why)) => {
                self.cell.give_up_notice((order.id, order.correlation), (self.kind, self.channel), attempt, &why).await;
            }
            Ok(Fate::Stored(StepOutcome::Done) | Fate::Recorded | Fate::NotStored | Fate::NotOurs) | Err(_) => {}
        }
    }
}
