//! The spans of a node's orders.
//!
//! A step's span ends when what it made true is stored, and has the id that follows from the event's: so the next step knows its parent from
//! the event alone, on whichever node and however late it hears it. What is told here never waits.

use crate::actors::node::Node;
use crate::actors::protocol::cause::Cause;
use crate::domain::{CorrelationId, Event, EventKind, OrderId, Role, SpanId, Timestamp, TraceContext, TraceId};
use crate::providers::{Call, ProviderError};
use crate::telemetry::traces::{Span, SpanKind, Tracer, Value, names, new_span};
use std::sync::Arc;

/// A call to a provider, under way.
pub(crate) struct Calling {
    node: Arc<Node>,
    what: &'static str,
    provider: &'static str,
    order: OrderId,
    correlation: CorrelationId,
    trace: TraceId,
    span: SpanId,
    parent: SpanId,
    began: Timestamp,
}

impl Node {
    /// The trace of what follows from a request, if it is sampled.
    pub(crate) fn sampled(&self, correlation: CorrelationId) -> Option<TraceId> {
        sampled(&self.tracer, correlation)
    }

    /// What a step of `role` follows from that takes `event` up now.
    pub(crate) fn cause(&self, event: &Event, role: Role) -> Option<Cause> {
        self.sampled(event.correlation)?;
        Some(Cause { order: event.order, role, parent: event.id().span(), began: self.now() })
    }

    /// A call to a provider begins.
    pub(crate) fn calling(
        self: &Arc<Self>,
        (provider, what): (&'static str, &'static str),
        (order, correlation): (OrderId, CorrelationId),
        cause: Option<Cause>,
    ) -> Option<Calling> {
        let trace = self.sampled(correlation)?;
        let parent = cause.map_or_else(|| Event::placing(order).span(), |cause| cause.parent);
        let (span, began) = (new_span(), self.now());
        Some(Calling { node: self.clone(), what, provider, order, correlation, trace, span, parent, began })
    }
}

/// The trace of what follows from a request, if spans are told and it is sampled.
pub(crate) fn sampled(tracer: &Tracer, correlation: CorrelationId) -> Option<TraceId> {
    if !tracer.is_on() {
        return None;
    }
    correlation.sampled(|trace| tracer.samples(trace))
}

impl Calling {
    /// What the provider is told of where the call stands.
    pub(crate) fn correlation(&self) -> CorrelationId {
        let context = TraceContext { trace: self.trace, span: self.span, is_sampled: true, is_kept: false };
        self.correlation.traced(Some(context))
    }

    /// It has ended, perhaps in an error.
    pub(crate) fn ended(self, error: Option<&ProviderError>) {
        let error = match error {
            None => None,
            Some(ProviderError::Failed { .. }) => Some("failed"),
            Some(ProviderError::Unknown { .. }) => Some("unknown"),
            Some(ProviderError::Rejected { .. }) => Some("rejected"),
            Some(ProviderError::Deferred { .. }) => Some("deferred"),
            Some(ProviderError::Busy { .. }) => Some("busy"),
            // Nobody was called.
            Some(ProviderError::Open { .. }) => return,
        };
        let (order, correlation) = (self.order.to_string(), self.correlation.to_string());
        let mut attributes = vec![
            (names::PROVIDER, Value::Text(self.provider)),
            (names::ORDER, Value::Text(&order)),
            (names::CORRELATION, Value::Text(&correlation)),
        ];
        attributes.extend(error.map(|error| (names::ERROR, Value::Text(error))));
        self.node.tracer.tell(&Span {
            trace: self.trace,
            id: self.span,
            parent: Some(self.parent),
            name: self.what,
            kind: SpanKind::Client,
            began_us: self.began.0,
            ended_us: self.node.now().0,
            attributes: &attributes,
            links: &[],
            links_left_out: 0,
            error,
        });
    }
}

/// The call with its span, if it has one.
pub(crate) fn traced<T: 'static>(calling: Option<Calling>, call: Call<T>) -> Call<T> {
    if calling.is_some() { Box::pin(followed(calling, call)) } else { call }
}

/// The same for a call that is awaited where it is made.
pub(crate) async fn followed<T>(
    calling: Option<Calling>,
    call: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    let result = call.await;
    if let Some(calling) = calling {
        calling.ended(result.as_ref().err());
    }
    result
}

/// What a step is called that makes such an event true.
pub(crate) fn step_name(kind: EventKind) -> &'static str {
    match kind {
        EventKind::OrderCreated => "place order",
        EventKind::InventoryReserved | EventKind::InventoryInsufficient => "reserve stock",
        EventKind::InventoryReleased => "release stock",
        EventKind::InventoryShipped => "ship stock",
        EventKind::PaymentProcessed | EventKind::PaymentFailed => "take payment",
        EventKind::PaymentCancelled => "cancel payment",
        EventKind::PaymentRefunded => "refund payment",
        EventKind::OrderConfirmed => "confirm order",
        EventKind::OrderCancelRequested => "cancel order",
        EventKind::OrderCancelled => "end cancelled order",
        EventKind::OrderFailed => "end failed order",
        EventKind::ShipmentHeld => "hold shipment",
        EventKind::OrderShipped => "ship order",
        EventKind::NotificationSent | EventKind::NotificationFailed => "notify customer",
        EventKind::AnswerAccepted => "accept answer",
        EventKind::PaymentParked | EventKind::InventoryParked => "park step",
    }
}
