//! The spans of messages: one for each that is sent, until the brokers have it, and one for each that is processed. A message says in
//! `traceparent` which step it comes from, whoever sends it and however often.

use crate::actors::sampled;
use crate::domain::{Event, EventBody, Role, SpanId, TraceContext, TraceId};
use crate::kafka::headers;
use crate::kafka::message::Record;
use crate::telemetry::traces::{Span, SpanKind, Tracer, Value, messaging, names, new_span, now_us};
use std::sync::Arc;

/// A message of a sampled order on its way to the brokers.
#[derive(Debug)]
pub(crate) struct Sent {
    trace: TraceId,
    parent: SpanId,
    event: String,
    order: String,
    began_us: i64,
}

impl Sent {
    /// `event` is handed over now.
    pub(crate) fn now(tracer: &Tracer, event: &Event) -> Option<Self> {
        let trace = sampled(tracer, event.correlation)?;
        let (id, order) = (event.id(), event.order.to_string());
        Some(Self { trace, parent: id.span(), event: id.to_string(), order, began_us: now_us() })
    }

    /// The brokers have taken it, or `error` says why not.
    pub(crate) fn ended(self, tracer: &Tracer, topic: &str, partition: i32, error: Option<&str>) {
        let partition = partition.to_string();
        let attributes = [
            (messaging::SYSTEM, Value::Text(messaging::KAFKA)),
            (messaging::OPERATION, Value::Text(messaging::SEND)),
            (messaging::OPERATION_TYPE, Value::Text(messaging::SEND)),
            (messaging::TOPIC, Value::Text(topic)),
            (messaging::PARTITION, Value::Text(&partition)),
            (messaging::KEY, Value::Text(&self.order)),
            (messaging::MESSAGE, Value::Text(&self.event)),
            (names::ORDER, Value::Text(&self.order)),
        ];
        tracer.tell(&Span {
            trace: self.trace,
            id: new_span(),
            parent: Some(self.parent),
            name: &format!("{} {topic}", messaging::SEND),
            kind: SpanKind::Producer,
            began_us: self.began_us,
            ended_us: now_us(),
            attributes: &attributes,
            links: &[],
            links_left_out: 0,
            error,
        });
    }
}

/// A message of a sampled trace that is being processed.
pub(crate) struct Processed {
    context: TraceContext,
    began_us: i64,
}

impl Processed {
    /// Its processing begins.
    pub(crate) fn now(tracer: &Tracer, record: &Record) -> Option<Self> {
        if !tracer.is_on() {
            return None;
        }
        let context = context(record).filter(|context| context.is_sampled)?;
        Some(Self { context, began_us: now_us() })
    }

    /// It is done, or `error` says why not.
    pub(crate) fn ended(self, tracer: &Tracer, (role, group): (Role, &str), (record, event): (&Record, &Event), error: Option<&str>) {
        let topic = record.topic.name();
        let (partition, id, order) = (record.partition.to_string(), event.id().to_string(), event.order.to_string());
        let attributes = [
            (messaging::SYSTEM, Value::Text(messaging::KAFKA)),
            (messaging::OPERATION, Value::Text(messaging::PROCESS)),
            (messaging::OPERATION_TYPE, Value::Text(messaging::PROCESS)),
            (messaging::TOPIC, Value::Text(topic)),
            (messaging::PARTITION, Value::Text(&partition)),
            (messaging::OFFSET, Value::Number(record.offset)),
            (messaging::GROUP, Value::Text(group)),
            (messaging::KEY, Value::Text(&order)),
            (messaging::MESSAGE, Value::Text(&id)),
            (names::ORDER, Value::Text(&order)),
            (names::EVENT, Value::Text(event.kind().name())),
            (names::ROLE, Value::Text(role.name())),
        ];
        tracer.tell(&Span {
            trace: self.context.trace,
            id: new_span(),
            parent: Some(self.context.span),
            name: &format!("{} {topic}", messaging::PROCESS),
            kind: SpanKind::Consumer,
            began_us: self.began_us,
            ended_us: now_us(),
            attributes: &attributes,
            links: &[],
            links_left_out: 0,
            error,
        });
    }
}

/// The event with the trace that its message came with, which the order's steps on this node go on with.
pub(crate) fn carry(tracer: &Tracer, record: &Record, mut event: Event) -> Event {
    if !tracer.is_on() {
        return event;
    }
    let Some(context) = context(record) else { return event };
    event.correlation = event.correlation.with_trace(context, |trace| tracer.samples(trace));
    if let EventBody::OrderCreated(order) = &mut event.body {
        Arc::make_mut(order).correlation = event.correlation;
    }
    event
}

/// `traceparent` of an event: its trace, and the step that made it true. Whether it is sampled is what its request said, else as `by_share`
/// decides.
pub(crate) fn trace_parent(event: &Event, by_share: impl FnOnce(&TraceId) -> bool) -> Option<String> {
    let trace = event.correlation.trace_id()?;
    let is_sampled = event.correlation.sampled(by_share).is_some();
    Some(TraceContext { trace, span: event.id().span(), is_sampled, is_kept: false }.to_string())
}

fn context(record: &Record) -> Option<TraceContext> {
    record.headers.text(headers::TRACE_PARENT).and_then(TraceContext::parse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TelemetrySettings;
    use crate::domain::{CorrelationId, CustomerId, Money, Order, OrderId, Shard, Text, Timestamp, Topic};
    use crate::kafka::headers::Headers;
    use crate::kafka::message::Dated;
    use uuid::Uuid;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn created() -> Event {
        let order = Order {
            id: OrderId::from_parts(1_700_000_000_000, [3; 10]),
            shard: Shard(0),
            customer: CustomerId(Uuid::nil()),
            lines: Vec::new(),
            total: Money::ZERO,
            payment_method: Text::lossy("card"),
            contact: None,
            address: None,
            correlation: CorrelationId::of(Uuid::from_u128(0xabcd)),
            created_at: Timestamp(1),
        };
        Event::of(&order.clone(), Timestamp(1), EventBody::OrderCreated(Arc::new(order)))
    }

    fn record(traceparent: &str) -> Record {
        let mut headers = Headers::default();
        headers.add(headers::TRACE_PARENT, traceparent.as_bytes());
        Record {
            topic: Topic::Order,
            partition: 0,
            offset: 0,
            timestamp_ms: None,
            dated: Dated::default(),
            key: None,
            value: None,
            headers,
        }
    }

    fn tracer(ratio: f64) -> Tracer {
        let settings =
            TelemetrySettings { otlp_endpoint: "http://127.0.0.1:9".to_owned(), trace_ratio: ratio, ..TelemetrySettings::default() };
        Tracer::start(&settings, "node", "sqlite").unwrap()
    }

    #[test]
    fn a_message_names_its_trace_and_its_step() {
        let mut event = created();
        let span = u64::from_be_bytes(event.id().span());
        let wanted = |flag| Some(format!("00-0000000000000000000000000000abcd-{span:016x}-{flag}"));
        assert_eq!((trace_parent(&event, |_| false), trace_parent(&event, |_| true)), (wanted("00"), wanted("01")));
        event.correlation = event.correlation.with_trace(TraceContext::parse(GIVEN).unwrap(), |_| false);
        assert_eq!(trace_parent(&event, |_| false), Some(format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{span:016x}-01")));
        event.correlation = CorrelationId::of(Uuid::nil());
        assert_eq!(trace_parent(&event, |_| true), None);
    }

    #[test]
    fn the_order_goes_on_in_the_trace_of_its_message() {
        let carried = carry(&tracer(0.0), &record(GIVEN), created());
        let given = TraceContext::parse(GIVEN);
        assert_eq!(carried.correlation.trace(), given.as_ref());
        let EventBody::OrderCreated(order) = &carried.body else { panic!("{carried:?}") };
        assert_eq!(order.correlation.trace(), given.as_ref(), "it is kept with the copy");
        // What every node derives is not kept.
        let derived = "00-0000000000000000000000000000abcd-00f067aa0ba902b7-01";
        let kept = |ratio| carry(&tracer(ratio), &record(derived), created()).correlation.trace().map(|trace| trace.is_kept);
        assert_eq!((kept(1.0), kept(0.0)), (Some(false), Some(true)));
        for (tracer, header) in [(Tracer::default(), GIVEN), (tracer(1.0), "nonsense")] {
            assert_eq!(carry(&tracer, &record(header), created()).correlation.trace(), None);
        }
    }
}
