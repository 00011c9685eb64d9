//! The span of a request, and the trace that its order goes on with.
//!
//! A client's `traceparent` is taken: its trace is ours, and its flag decides whether the trace is sampled. Its `baggage` is not: what an
//! outsider says about a request is not ours to pass on.

use crate::domain::{CorrelationId, SpanId, TraceContext, TraceId};
use crate::http::door::access::Need;
use crate::telemetry::traces::{Span, SpanKind, Tracer, Value, names, new_span, now_us};
use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::http::{Method, StatusCode};

/// W3C trace context.
pub(crate) const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
/// What vendors add to it. It is not kept with an order, so it ends here.
pub(crate) const TRACE_STATE: HeaderName = HeaderName::from_static("tracestate");
/// W3C baggage.
pub(crate) const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// A sampled request.
pub(crate) struct RequestSpan {
    trace: TraceId,
    id: SpanId,
    parent: Option<SpanId>,
    began_us: i64,
}

/// What is told of a request at its end.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a Method,
    pub(crate) route: &'static str,
    pub(crate) path: &'a str,
    pub(crate) scheme: &'a str,
    pub(crate) status: StatusCode,
    pub(crate) correlation: CorrelationId,
}

/// The request's correlation id with the trace of what follows from it, and its span if it is sampled.
pub(crate) fn begin(tracer: &Tracer, need: Need, headers: &HeaderMap, correlation: CorrelationId) -> (CorrelationId, Option<RequestSpan>) {
    // Who watches the node is nobody's order.
    if !tracer.is_on() || !matches!(need, Need::Role(_)) {
        return (correlation, None);
    }
    let by_share = |trace: &TraceId| tracer.samples(trace);
    let given = given(headers);
    let Some(trace) = given.map(|given| given.trace).or_else(|| correlation.trace_id()) else { return (correlation, None) };
    let is_sampled = given.map_or_else(|| by_share(&trace), |given| given.is_sampled);
    let parent = given.map(|given| given.span);
    if !is_sampled {
        // Should the order be told after all, it is told as part of the client's trace.
        return (given.map_or(correlation, |given| correlation.with_trace(given, by_share)), None);
    }
    let id = new_span();
    let context = TraceContext { trace, span: id, is_sampled, is_kept: false };
    let span = RequestSpan { trace, id, parent, began_us: now_us() };
    (correlation.with_trace(context, by_share), Some(span))
}

/// One that is given twice is none.
fn given(headers: &HeaderMap) -> Option<TraceContext> {
    let mut all = headers.get_all(&TRACE_PARENT);
    let one = all.next()?;
    if all.next().is_some() {
        return None;
    }
    TraceContext::parse(one.to_str().ok()?.trim())
}

impl RequestSpan {
    pub(crate) fn ended(self, tracer: &Tracer, request: &Request<'_>) {
        let correlation = request.correlation.to_string();
        let code = request.status.as_str();
        let is_failed = request.status.is_server_error();
        let mut attributes = vec![
            (names::HTTP_METHOD, Value::Text(request.method.as_str())),
            (names::HTTP_ROUTE, Value::Text(request.route)),
            (names::URL_PATH, Value::Text(request.path)),
            (names::URL_SCHEME, Value::Text(request.scheme)),
            (names::HTTP_STATUS, Value::Number(request.status.as_u16().into())),
            (names::CORRELATION, Value::Text(&correlation)),
        ];
        if is_failed {
            attributes.push((names::ERROR, Value::Text(code)));
        }
        tracer.tell(&Span {
            trace: self.trace,
            id: self.id,
            parent: self.parent,
            name: &format!("{} {}", request.method, request.route),
            kind: SpanKind::Server,
            began_us: self.began_us,
            ended_us: now_us(),
            attributes: &attributes,
            links: &[],
            links_left_out: 0,
            error: is_failed.then_some(""),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AccessRole, TelemetrySettings};
    use actix_web::http::header::HeaderValue;
    use uuid::Uuid;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn tracer(ratio: f64) -> Tracer {
        let settings =
            TelemetrySettings { otlp_endpoint: "http://127.0.0.1:9".to_owned(), trace_ratio: ratio, ..TelemetrySettings::default() };
        Tracer::start(&settings, "node", "sqlite").unwrap()
    }

    /// Trace, flag, whether it is kept, and whether the request has a span.
    fn begun(tracer: &Tracer, need: Need, headers: &[&str]) -> (Option<(String, bool, bool)>, bool) {
        let mut map = HeaderMap::new();
        headers.iter().for_each(|header| map.append(TRACE_PARENT, HeaderValue::from_str(header).unwrap()));
        let (correlation, span) = begin(tracer, need, &map, CorrelationId::of(Uuid::from_u128(0xabcd)));
        let carried = correlation.trace().map(|trace| (hex::encode(trace.trace), trace.is_sampled, trace.is_kept));
        (carried, span.is_some())
    }

    #[test]
    fn the_clients_trace_and_flag_rule() {
        let need = Need::Role(AccessRole::Customer);
        let header = |flag: &str| format!("00-{TRACE}-00f067aa0ba902b7-{flag}");
        let (sampled, refused) = (header("01"), header("00"));
        let own = format!("{:032x}", 0xabcd);
        let theirs = |is_sampled| Some((TRACE.to_owned(), is_sampled, true));
        assert_eq!(begun(&tracer(0.0), need, &[&sampled]), (theirs(true), true));
        assert_eq!(begun(&tracer(1.0), need, &[&refused]), (theirs(false), false));
        assert_eq!(begun(&tracer(1.0), need, &[]), (Some((own.clone(), true, false)), true));
        assert_eq!(begun(&tracer(0.0), need, &[]), (None, false));
        // What is no context, or is two, is none.
        for headers in [&["nonsense"][..], &[&sampled, &sampled]] {
            assert_eq!(begun(&tracer(1.0), need, headers), (Some((own.clone(), true, false)), true));
        }
        for (tracer, need) in [(tracer(1.0), Need::Nothing), (tracer(1.0), Need::Metrics), (Tracer::default(), need)] {
            assert_eq!(begun(&tracer, need, &[&sampled]), (None, false));
        }
    }
}
