//! The wire form of spans: OTLP 1.x as protobuf (`opentelemetry/proto/trace/v1/trace.proto`), which is stable. What is sent are the few
//! messages of one request, so they are written here field by field; a test reads them back with the official types.

use super::names;
use super::span::{Link, Span, Value};

/// The wire types of protobuf.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const FIXED_32: u64 = 5;

/// `Status.code` of an error.
const STATUS_ERROR: u64 = 2;

/// A span as a field of `ScopeSpans`: its tag, its length and itself.
pub(super) fn span(span: &Span<'_>) -> Vec<u8> {
    let mut body = Vec::with_capacity(384);
    bytes(&mut body, 1, &span.trace);
    bytes(&mut body, 2, &span.id);
    if let Some(parent) = &span.parent {
        bytes(&mut body, 4, parent);
    }
    bytes(&mut body, 5, span.name.as_bytes());
    number(&mut body, 6, span.kind as u64);
    fixed_64(&mut body, 7, nanos(span.began_us));
    fixed_64(&mut body, 8, nanos(span.ended_us.max(span.began_us)));
    for (name, value) in span.attributes {
        attribute(&mut body, 9, name, *value);
    }
    for link in span.links {
        message(&mut body, 13, |link_body| put_link(link_body, link));
    }
    if span.links_left_out > 0 {
        number(&mut body, 14, span.links_left_out.into());
    }
    if let Some(error) = span.error {
        message(&mut body, 15, |status| {
            bytes(status, 2, error.as_bytes());
            number(status, 3, STATUS_ERROR);
        });
    }
    let mut field = Vec::with_capacity(body.len() + 4);
    bytes(&mut field, 2, &body);
    field
}

fn put_link(out: &mut Vec<u8>, link: &Link) {
    bytes(out, 1, &link.trace);
    bytes(out, 2, &link.span);
}

/// What all spans of a process have in common, as fields of `ResourceSpans`.
pub(super) struct Origin {
    resource: Vec<u8>,
    scope: Vec<u8>,
}

impl Origin {
    pub(super) fn new(service: &str, node: &str) -> Self {
        let (mut resource, mut scope) = (Vec::new(), Vec::new());
        message(&mut resource, 1, |body| {
            attribute(body, 1, names::SERVICE, Value::Text(service));
            attribute(body, 1, names::SERVICE_VERSION, Value::Text(env!("CARGO_PKG_VERSION")));
            attribute(body, 1, names::SERVICE_INSTANCE, Value::Text(node));
        });
        message(&mut scope, 1, |body| {
            bytes(body, 1, b"ordermill");
            bytes(body, 2, env!("CARGO_PKG_VERSION").as_bytes());
        });
        Self { resource, scope }
    }

    /// An `ExportTraceServiceRequest` with these spans.
    pub(super) fn request(&self, spans: &[Vec<u8>]) -> Vec<u8> {
        let length: usize = spans.iter().map(Vec::len).sum();
        let mut of_scope = Vec::with_capacity(length + self.scope.len() + 16);
        of_scope.extend(&self.scope);
        spans.iter().for_each(|span| of_scope.extend(span));
        let mut of_resource = Vec::with_capacity(of_scope.len() + self.resource.len() + 64);
        of_resource.extend(&self.resource);
        bytes(&mut of_resource, 2, &of_scope);
        bytes(&mut of_resource, 3, names::SCHEMA.as_bytes());
        let mut request = Vec::with_capacity(of_resource.len() + 8);
        bytes(&mut request, 1, &of_resource);
        request
    }
}

/// How many spans the receiver says it has refused (`ExportTraceServiceResponse.partial_success`); what cannot be read says none.
pub(super) fn refused(response: &[u8]) -> u64 {
    let partial = fields(response).find_map(|field| match field {
        (1, Field::Bytes(body)) => Some(body),
        (_, Field::Bytes(_) | Field::Number(_)) => None,
    });
    let count = partial.and_then(|body| {
        fields(body).find_map(|field| match field {
            (1, Field::Number(count)) => Some(count),
            (_, Field::Bytes(_) | Field::Number(_)) => None,
        })
    });
    count.unwrap_or(0)
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, up to the first that does not parse.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    std::iter::from_fn(move || {
        let tag = take_varint(&mut rest)?;
        let field = match tag & 7 {
            VARINT => Field::Number(take_varint(&mut rest)?),
            FIXED_64 => Field::Bytes(take(&mut rest, 8)?),
            BYTES => {
                let length = usize::try_from(take_varint(&mut rest)?).ok()?;
                Field::Bytes(take(&mut rest, length)?)
            }
            FIXED_32 => Field::Bytes(take(&mut rest, 4)?),
            _ => return None,
        };
        Some((tag >> 3, field))
    })
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(taken)
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn nanos(micros: i64) -> u64 {
    u64::try_from(micros).unwrap_or(0).saturating_mul(1000)
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "less than 128")]
    out.push(value as u8);
}

fn tag(out: &mut Vec<u8>, field: u64, wire: u64) {
    varint(out, field << 3 | wire);
}

fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    tag(out, field, VARINT);
    varint(out, value);
}

fn fixed_64(out: &mut Vec<u8>, field: u64, value: u64) {
    tag(out, field, FIXED_64);
    out.extend(value.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    tag(out, field, BYTES);
    varint(out, value.len() as u64);
    out.extend(value);
}

fn message(out: &mut Vec<u8>, field: u64, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut body = Vec::with_capacity(64);
    fill(&mut body);
    bytes(out, field, &body);
}

fn attribute(out: &mut Vec<u8>, field: u64, name: &str, value: Value<'_>) {
    message(out, field, |body| {
        bytes(body, 1, name.as_bytes());
        message(body, 2, |any| match value {
            Value::Text(text) => bytes(any, 1, text.as_bytes()),
            Value::Flag(flag) => number(any, 2, u64::from(flag)),
            // As protobuf has it: a negative number takes ten bytes.
            Value::Number(value) => number(any, 3, value.cast_unsigned()),
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::traces::span::SpanKind;
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    };
    use opentelemetry_proto::tonic::common::v1::any_value;
    use prost::Message;

    #[test]
    fn the_official_types_read_what_is_written() {
        let long = "x".repeat(300);
        let attributes =
            [("text", Value::Text(&long)), ("number", Value::Number(-3)), ("large", Value::Number(1 << 40)), ("flag", Value::Flag(true))];
        let links = [Link { trace: [7; 16], span: [8; 8] }, Link { trace: [9; 16], span: [10; 8] }];
        let told = Span {
            trace: [1; 16],
            id: [2; 8],
            parent: Some([3; 8]),
            name: "take payment",
            kind: SpanKind::Client,
            began_us: 1_700_000_000_000_001,
            ended_us: 1_700_000_000_000_009,
            attributes: &attributes,
            links: &links,
            links_left_out: 5,
            error: Some("no answer"),
        };
        let plain = Span { parent: None, attributes: &[], links: &[], links_left_out: 0, error: None, ended_us: 0, ..told.clone() };
        let request = Origin::new("mill", "node-1").request(&[span(&told), span(&plain)]);
        let request = ExportTraceServiceRequest::decode(request.as_slice()).unwrap();
        let [resource] = request.resource_spans.as_slice() else { panic!("{request:?}") };
        let of_resource: Vec<String> =
            resource.resource.as_ref().unwrap().attributes.iter().map(|attribute| attribute.key.clone()).collect();
        assert_eq!(of_resource, [names::SERVICE, names::SERVICE_VERSION, names::SERVICE_INSTANCE]);
        assert_eq!(resource.schema_url, names::SCHEMA);
        let [scope] = resource.scope_spans.as_slice() else { panic!("{resource:?}") };
        assert_eq!(scope.scope.as_ref().unwrap().name, "ordermill");
        let [first, second] = scope.spans.as_slice() else { panic!("{scope:?}") };
        assert_eq!(
            (first.trace_id.as_slice(), first.span_id.as_slice(), first.parent_span_id.as_slice()),
            (&[1; 16][..], &[2; 8][..], &[3; 8][..])
        );
        assert_eq!((first.name.as_str(), first.kind), ("take payment", 3));
        assert_eq!((first.start_time_unix_nano, first.end_time_unix_nano), (1_700_000_000_000_001_000, 1_700_000_000_000_009_000));
        let values: Vec<any_value::Value> =
            first.attributes.iter().map(|attribute| attribute.value.clone().unwrap().value.unwrap()).collect();
        let wanted = [
            any_value::Value::StringValue(long.clone()),
            any_value::Value::IntValue(-3),
            any_value::Value::IntValue(1 << 40),
            any_value::Value::BoolValue(true),
        ];
        assert_eq!(values, wanted);
        assert_eq!(first.links.iter().map(|link| link.span_id[0]).collect::<Vec<_>>(), [8, 10]);
        assert_eq!(first.dropped_links_count, 5);
        let status = first.status.as_ref().unwrap();
        assert_eq!((status.code, status.message.as_str()), (2, "no answer"));
        // A clock that went back makes no span that ends before it begins.
        assert_eq!(second.end_time_unix_nano, second.start_time_unix_nano);
        assert!(second.status.is_none() && second.parent_span_id.is_empty());
    }

    #[test]
    fn the_count_of_refused_spans_is_read() {
        let answer = |rejected_spans| {
            let partial = ExportTracePartialSuccess { rejected_spans, error_message: "too many".to_owned() };
            ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec()
        };
        assert_eq!((refused(&answer(300)), refused(&answer(0)), refused(&[])), (300, 0, 0));
        assert_eq!(refused(b"<html>not found</html>"), 0);
        assert_eq!(refused(&[0xff; 40]), 0);
    }
}
