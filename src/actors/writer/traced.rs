//! The spans of a commit: one for the transaction, in a trace of its own, and one for each step of a sampled order in it. The transaction
//! is nobody's child, for it has as many parents as orders: it has links to their steps, and each step has one to it.

use crate::actors::node::Node;
use crate::actors::node::traced::step_name;
use crate::actors::protocol::cause::Cause;
use crate::domain::{Event, EventBody, EventKind, LoggedEvent, OrderId, Role, Timestamp, TraceId};
use crate::telemetry::traces::{Link, Span, SpanKind, Value, names, new_span, new_trace};
use std::collections::HashMap;

/// Most links of one span, the usual limit of who receives it.
const MOST_LINKS: usize = 128;

/// Tells the steps that a commit has stored, and the commit itself.
pub(super) fn tell(node: &Node, causes: &[Cause], events: &[LoggedEvent], writes: usize, began: Timestamp) {
    if !node.tracer.is_on() {
        return;
    }
    let sampled: Vec<(&Event, TraceId)> =
        events.iter().filter_map(|logged| Some((&logged.event, node.sampled(logged.event.correlation)?))).collect();
    if sampled.is_empty() {
        return;
    }
    let now = node.now();
    let commit = Link { trace: new_trace(), span: new_span() };
    let causes: HashMap<(OrderId, Role), Cause> = causes.iter().map(|cause| ((cause.order, cause.role), *cause)).collect();
    for (event, trace) in &sampled {
        let cause = event.kind().topic().role().and_then(|role| causes.get(&(event.order, role)));
        tell_step(node, event, *trace, cause, commit, now);
    }
    let links: Vec<Link> = sampled.iter().take(MOST_LINKS).map(|(event, trace)| Link { trace: *trace, span: event.id().span() }).collect();
    let attributes = [
        (names::DATABASE, Value::Text(node.tracer.database())),
        (names::DATABASE_OPERATION, Value::Text("COMMIT")),
        (names::DATABASE_BATCH, Value::Number(i64::try_from(writes).unwrap_or(i64::MAX))),
    ];
    node.tracer.tell(&Span {
        trace: commit.trace,
        id: commit.span,
        parent: None,
        name: "COMMIT",
        kind: SpanKind::Client,
        began_us: began.0,
        ended_us: now.0,
        attributes: &attributes,
        links: &links,
        links_left_out: u32::try_from(sampled.len() - links.len()).unwrap_or(u32::MAX),
        error: None,
    });
}

/// A step without a cause that is known here, such as a person's or one that was asked for again, is part of the order's placing.
fn tell_step(node: &Node, event: &Event, trace: TraceId, cause: Option<&Cause>, commit: Link, now: Timestamp) {
    let kind = event.kind();
    let parent = match (kind, cause) {
        (EventKind::OrderCreated, _) => event.correlation.trace().map(|request| request.span),
        (_, Some(cause)) => Some(cause.parent),
        (_, None) => Some(Event::placing(event.order).span()),
    };
    let began = cause.map_or(event.at, |cause| cause.began);
    let (order, correlation) = (event.order.to_string(), event.correlation.to_string());
    let attributes = [
        (names::ORDER, Value::Text(&order)),
        (names::CORRELATION, Value::Text(&correlation)),
        (names::EVENT, Value::Text(kind.name())),
        (names::ROLE, Value::Text(kind.topic().role().map_or("", Role::name))),
    ];
    let error = match &event.body {
        EventBody::NotificationFailed { .. } => Some("the notice was not sent"),
        EventBody::StepParked { cause, .. } => Some(cause.as_str()),
        EventBody::OrderCreated(_)
        | EventBody::InventoryReserved { .. }
        | EventBody::InventoryInsufficient { .. }
        | EventBody::InventoryReleased { .. }
        | EventBody::InventoryShipped { .. }
        | EventBody::PaymentProcessed { .. }
        | EventBody::PaymentFailed { .. }
        | EventBody::PaymentCancelled
        | EventBody::PaymentRefunded { .. }
        | EventBody::OrderConfirmed
        | EventBody::OrderCancelRequested { .. }
        | EventBody::OrderCancelled { .. }
        | EventBody::OrderFailed { .. }
        | EventBody::ShipmentHeld
        | EventBody::OrderShipped { .. }
        | EventBody::NotificationSent { .. }
        | EventBody::AnswerAccepted { .. }
        | EventBody::PaidInOtherCurrency { .. } => None,
    };
    node.tracer.tell(&Span {
        trace,
        id: event.id().span(),
        parent,
        name: step_name(kind),
        kind: SpanKind::Internal,
        began_us: began.0,
        ended_us: now.0,
        attributes: &attributes,
        links: &[commit],
        links_left_out: 0,
        error,
    });
}
