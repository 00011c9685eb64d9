//! Traces that nobody sampled and that are worth having all the same: of an order that was parked, that failed for a technical reason, or
//! that was slow. Its owner tells them when it sees that, from the facts that are stored. So nothing is kept for the orders that go well,
//! and neither a restart nor another node takes anything away; but what is no fact, such as a call to a provider, has no span then.

use super::late::micros;
use super::{Input, OrderActor};
use crate::actors::node::traced::step_name;
use crate::actors::protocol::cause::Cause;
use crate::actors::protocol::command::{Ask, OrderCommand};
use crate::domain::{Event, EventBody, EventKind, Role, SpanId, Timestamp, TraceId};
use crate::saga::{PaymentFact, StockFact};
use crate::telemetry::traces::{Span, SpanKind, Value, names, new_span};

/// A span that is made of a fact.
struct Fact {
    kind: EventKind,
    span: SpanId,
    parent: SpanId,
    began: Timestamp,
    ended: Timestamp,
    error: Option<&'static str>,
}

impl OrderActor {
    /// What a step follows from that takes all that waits: the last answer.
    pub(super) fn cause(&self) -> Option<Cause> {
        let trace = self.cell.node.sampled(self.order.correlation)?;
        let parent = self.stash.iter().rev().find_map(|input| match input {
            Input::Answer(event) => Some(event.get().id().span()),
            // From another node or team, which says where it stands; of another trace it says nothing here.
            Input::Do(Ask { what: OrderCommand::Hear(event), .. }) => {
                event.correlation.trace().filter(|told| told.trace == trace).map(|told| told.span)
            }
            Input::Do(_) => None,
        })?;
        Some(Cause { order: self.order.id, role: Role::Order, parent, began: self.cell.node.now() })
    }

    /// A stored order goes on. What parked it was told when it was parked; a settled one begins to owe something only now.
    pub(super) fn late_from_stored(&mut self) {
        let facts = &self.record.facts;
        let shipped = facts.shipment.as_ref().map(|(_, at)| *at);
        let since = if self.debts().is_nothing() { self.cell.node.now() } else { shipped.unwrap_or(self.order.created_at) };
        self.late.since = Some(since);
        self.late.is_parked = self.record.parked.is_some();
        self.late.told = self.late.is_parked.then(|| self.cell.node.now());
    }

    /// After each write: tells the order if it was parked by it, or has come to its end and was slow or has failed.
    pub(super) fn tell_late(&mut self, is_settled: bool) {
        let node = &self.cell.node;
        let was_parked = std::mem::replace(&mut self.late.is_parked, self.record.parked.is_some());
        // One that is sampled has been told step by step.
        if !node.tracer.is_on() || node.sampled(self.order.correlation).is_some() {
            return;
        }
        let Some(trace) = self.order.correlation.trace_id() else { return };
        let took = micros(self.late.since.unwrap_or(self.order.created_at), node.now());
        let is_slow = node.tracer.slow_us().is_some_and(|slow| i64::try_from(took).is_ok_and(|took| took >= slow));
        let why = match (self.late.is_parked && !was_parked, is_settled) {
            (true, _) => "parked",
            (false, true) if self.late.has_failed => "failed",
            (false, true) if is_slow => "slow",
            (false, _) => return,
        };
        self.tell_facts(trace, why);
        let now = self.cell.node.now();
        (self.late.told, self.late.since, self.late.has_failed) = (Some(now), Some(now), false);
    }

    fn tell_facts(&self, trace: TraceId, why: &str) {
        let node = &self.cell.node;
        let (order, correlation) = (self.order.id.to_string(), self.order.correlation.to_string());
        let common = [(names::ORDER, Value::Text(&order)), (names::CORRELATION, Value::Text(&correlation))];
        let span = |name, id, parent, began: Timestamp, ended: Timestamp, attributes: &[(&str, Value<'_>)], error| {
            node.tracer.tell(&Span {
                trace,
                id,
                parent,
                name,
                kind: SpanKind::Internal,
                began_us: began.0,
                ended_us: ended.0,
                attributes,
                links: &[],
                links_left_out: 0,
                error,
            });
        };
        let root = Event::placing(self.order.id).span();
        let [about_order, about_request] = common;
        if self.late.told.is_none() {
            let parent = self.order.correlation.trace().map(|request| request.span);
            let attributes = [about_order, about_request, (names::TOLD_FOR, Value::Text(why))];
            span(step_name(EventKind::OrderCreated), root, parent, self.order.created_at, node.now(), &attributes, None);
        }
        for fact in self.facts(root).into_iter().filter(|fact| self.late.told.is_none_or(|told| fact.ended > told)) {
            let attributes = [about_order, about_request, (names::EVENT, Value::Text(fact.kind.name()))];
            span(step_name(fact.kind), fact.span, Some(fact.parent), fact.began, fact.ended, &attributes, fact.error);
        }
        if let Some(cause) = self.record.parked.as_ref().filter(|_| self.late.is_parked) {
            let attributes = [about_order, about_request, (names::ERROR, Value::Text(cause.as_str()))];
            span("park order", new_span(), Some(root), node.now(), node.now(), &attributes, Some(cause.as_str()));
        }
    }

    /// The facts as steps: each begins with what it followed from.
    fn facts(&self, root: SpanId) -> Vec<Fact> {
        let facts = &self.record.facts;
        let placed = (root, self.order.created_at);
        let span_of = |body: EventBody| Event::of(&self.order, self.order.created_at, body).id().span();
        let step = |kind, span, (parent, began): (SpanId, Timestamp), ended, error| Fact { kind, span, parent, began, ended, error };
        let mut all = Vec::new();
        let mut before = placed;
        if let Some((fact, at)) = &facts.stock {
            let body = match fact {
                StockFact::Reserved(lines) => EventBody::InventoryReserved { lines: lines.clone() },
                StockFact::Insufficient(shortages) => EventBody::InventoryInsufficient { shortages: shortages.clone() },
            };
            let (kind, span) = (body.kind(), span_of(body));
            all.push(step(kind, span, placed, *at, None));
            before = (span, *at);
        }
        if let Some((fact, at)) = &facts.payment {
            let body = match fact {
                PaymentFact::Paid { amount, method } => EventBody::PaymentProcessed { amount: *amount, method: method.clone() },
                PaymentFact::Failed { reason } => EventBody::PaymentFailed { reason: reason.clone() },
                PaymentFact::Cancelled => EventBody::PaymentCancelled,
            };
            let (kind, span) = (body.kind(), span_of(body));
            all.push(step(kind, span, before, *at, None));
            before = (span, *at);
        }
        if let Some((by, at)) = facts.cancel {
            let body = EventBody::OrderCancelRequested { by };
            let (kind, span) = (body.kind(), span_of(body));
            all.push(step(kind, span, (root, at), at, None));
            before = (span, at);
        }
        if let Some(at) = facts.released {
            let body = EventBody::InventoryReleased { lines: Vec::new() };
            all.push(step(body.kind(), span_of(body), before, at, None));
        }
        if let Some(at) = facts.refunded {
            let body = EventBody::PaymentRefunded { amount: self.order.total };
            all.push(step(body.kind(), span_of(body), before, at, None));
        }
        if let Some((_, at)) = &facts.shipment {
            let body = EventBody::OrderShipped { carrier: None, tracking: None };
            let (kind, span) = (body.kind(), span_of(body));
            all.push(step(kind, span, (root, *at), *at, None));
            if let Some(moved) = facts.stock_moved {
                let body = EventBody::InventoryShipped { lines: Vec::new() };
                all.push(step(body.kind(), span_of(body), (span, *at), moved, None));
            }
            before = (span, *at);
        }
        for notice in &facts.notices {
            let (kind, channel) = (notice.kind, notice.channel);
            let body = EventBody::NotificationSent { kind, channel };
            let (what, error) = if notice.sent {
                (EventKind::NotificationSent, None)
            } else {
                (EventKind::NotificationFailed, Some("the notice was not sent"))
            };
            // What it followed from may be later: it was told of an earlier end.
            let since = if before.1 <= notice.at { before } else { placed };
            all.push(step(what, span_of(body), since, notice.at, error));
        }
        all
    }
}
