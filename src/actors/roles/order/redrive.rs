//! What an order does when nothing comes: its deadlines, and the questions that it asks again.

use super::OrderActor;
use crate::actors::protocol::messages::Alarm;
use crate::domain::{CancelledBy, Event, EventBody, Role, Timestamp};
use crate::saga::awaited::{self, Awaited};
use crate::saga::policy::Backoff;
use crate::saga::superseded::Letters;
use crate::saga::{Effects, Rejection, StockFact, external, park, step};

impl OrderActor {
    /// Whether every role that answers this order does so on this node, now.
    fn has_all_roles(&self) -> bool {
        let answering = [Role::Inventory, Role::Payment, Role::Notification];
        answering.into_iter().all(|role| self.cell.owns(role, self.order.shard))
    }

    /// The dead letters that may be open. A message from another node about a failed step may be lost, or not be listened for any more,
    /// because the step's role is this node's by now; then the order asks again and learns in the end that the step was done.
    pub(super) fn letters(&self) -> Letters {
        let letters = Letters::of(&self.record);
        let is_alone = self.cell.node.repeats.is_none();
        if self.redrives == 0 || is_alone { letters } else { letters.and_of_far_steps(&self.order, &self.record.facts) }
    }

    /// Something is owed for too long: end the order when its deadline has passed, else ask again.
    pub(super) fn redrive(&mut self, now: Timestamp) {
        if self.in_flight {
            return;
        }
        // Parked or not: stock is not held longer than promised. Its letter is superseded.
        if let Some((due_ms, by)) = self.due(now)
            && due_ms <= self.cell.steady_ms()
        {
            let left_ms = self.hears_until.saturating_sub(self.cell.steady_ms());
            if left_ms > 0 {
                return self.cell.wake_after(left_ms, self.order.id, Alarm::Nudge);
            }
            let mut effects = Effects::default();
            let letters = self.letters();
            let ended: Result<(), Rejection> = step::cancel(&self.order, &mut self.record, by, now, &mut effects);
            self.look_after_external(now, &mut effects);
            letters.look(&self.order, &self.record, now, &mut effects);
            if ended.is_ok() && effects.changed {
                let debts = self.debts();
                self.save(effects, debts, now, None);
            }
            return;
        }
        if self.answer_is_overdue(now) {
            return;
        }
        let external = self.cell.node.settings.external_roles;
        let events = if self.record.parked.is_none() {
            step::redrive(&self.order, &self.record.facts)
        } else {
            self.hear_stored_payment();
            Vec::new()
        };
        let events: Vec<Event> = events
            .into_iter()
            .map(|event| self.within_reach(external::told(event, external, &self.record)))
            .filter(|event| self.is_asked_again(event))
            .collect();
        if !events.is_empty() {
            self.redrives += 1;
        }
        for event in events {
            metrics::counter!("ordermill_redrives_total", "event" => event.kind().name()).increment(1);
            self.cell.again(event);
        }
        self.asked_far = !self.cell.owns(Role::Notification, self.order.shard);
        self.proceed();
    }

    /// A parked order asks nobody. But a person, or the step's next owner, may have done what it is parked for, which closes its dead letter
    /// in the same transaction: should that answer have been lost, it is heard again here.
    fn hear_stored_payment(&self) {
        let (id, shard, correlation) = (self.order.id, self.order.shard, self.order.correlation);
        if !self.cell.owns(Role::Payment, shard) {
            return;
        }
        let (cell, facts) = (self.cell.clone(), self.record.facts.clone());
        actix::spawn(async move {
            // Where it cannot be read it is looked for again.
            if let Ok(Some(row)) = cell.node.reads.payment(id).await
                && facts.misses(row.status)
            {
                cell.tell_again(row.answer(shard, correlation));
            }
        });
    }

    /// What makes the next role answer: the event that it waits for, if that can be repeated from here; otherwise the order's first event,
    /// which each role on the way answers again. To the outside an order may repeat only its own events. If the first role on the way
    /// belongs to another team, which is asked only once, this starts after that team's answer.
    fn within_reach(&self, event: Event) -> Event {
        let shard = self.order.shard;
        let is_told_here = event.kind().topic().role().is_none_or(|role| self.cell.owns(role, shard));
        let is_heard_here = event.subscribers().all(|role| self.cell.owns(role, shard));
        if is_told_here || is_heard_here {
            return event;
        }
        let external = self.cell.node.settings.external_roles;
        match &self.record.facts.stock {
            Some((StockFact::Reserved(lines), at)) if external.has(Role::Inventory) => {
                external::told(Event::of(&self.order, *at, EventBody::InventoryReserved { lines: lines.clone() }), external, &self.record)
            }
            Some((StockFact::Reserved(_) | StockFact::Insufficient(_), _)) | None => {
                Event::of(&self.order, self.order.created_at, EventBody::OrderCreated(self.order.clone()))
            }
        }
    }

    /// Another team's role is asked once.
    fn is_asked_again(&self, event: &Event) -> bool {
        let external = self.cell.node.settings.external_roles;
        let mut asked = event.subscribers().filter(|role| *role != Role::Order);
        asked.any(|role| !external.has(role))
    }

    /// The delays after which it asks again.
    pub(super) fn rhythm(&self) -> Backoff {
        let settings = &self.cell.node.settings;
        if self.has_all_roles() { settings.redrive } else { settings.redrive_far }
    }

    pub(super) fn due(&mut self, now: Timestamp) -> Option<(u64, CancelledBy)> {
        self.due.look(&self.record, self.cell.node.settings.deadlines, now, self.cell.steady_ms())
    }

    /// What another team's role owes for too long becomes a dead letter.
    fn answer_is_overdue(&mut self, now: Timestamp) -> bool {
        let (Some(awaited), Some(due_ms)) = (self.awaited(), self.overdue(now)) else { return false };
        if due_ms > self.cell.steady_ms() {
            return false;
        }
        let mut effects = Effects::default();
        awaited::park(&self.order, &mut self.record, awaited, now, &mut effects);
        let debts = self.debts();
        self.save(effects, debts, now, None);
        true
    }

    fn awaited(&self) -> Option<Awaited> {
        let settings = &self.cell.node.settings;
        let awaited = || awaited::awaited(&self.order, &self.record, settings.external_roles, settings.deadlines);
        if self.record.parked.is_some() { None } else { awaited() }
    }

    /// When another team's answer is overdue, in milliseconds of the steady clock.
    fn overdue(&mut self, now: Timestamp) -> Option<u64> {
        let at = self.awaited().map(|awaited| awaited.since.plus_ms(self.cell.node.settings.external_answer_ms));
        self.overdue.look(at, now, self.cell.steady_ms())
    }

    /// A deadline is the order's own: where it falls due before the next question it has an alarm of its own.
    pub(super) fn mind_deadlines(&mut self, now: Timestamp) {
        let due = self.due(now).map(|(due_ms, _)| due_ms);
        let Some(next) = due.into_iter().chain(self.overdue(now)).min() else { return };
        if next < self.asks_at && self.alarm_at != next {
            self.alarm_at = next;
            self.cell.wake_after(next.saturating_sub(self.cell.steady_ms()), self.order.id, Alarm::Nudge);
        }
    }

    pub(super) fn rearm(&mut self, now: Timestamp) {
        let delay = self.rhythm().after(self.redrives + 1);
        self.asks_at = self.cell.steady_ms().saturating_add(delay);
        self.cell.wake_after(delay, self.order.id, Alarm::Redrive);
        self.alarm_at = 0;
        self.mind_deadlines(now);
    }

    /// Whether a person of another team must do something first: it needs no place among the open orders, and no actor.
    pub(super) fn waits_for_another_team(&self) -> bool {
        let causes = [awaited::OVERDUE, park::EXTERNAL];
        self.record.parked.as_ref().is_some_and(|cause| causes.contains(&cause.as_str()))
    }
}
