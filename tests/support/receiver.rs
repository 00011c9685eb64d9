//! A receiver of traces (OTLP over HTTP, protobuf) on the official types, and a payment provider at the same address, which keeps the
//! `traceparent` of each charge.
#![allow(dead_code, unreachable_pub, reason = "each test target uses its own part")]

use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

/// What the receiver does with what it gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Takes,
    /// It answers with this status.
    Refuses(u16),
    /// It takes requests and never answers.
    Silent,
}

/// A span as it came.
#[derive(Clone, Debug)]
pub struct Told {
    /// The node that told it.
    pub node: String,
    pub span: Span,
}

struct Shared {
    mode: Mutex<Mode>,
    told: Mutex<Vec<Told>>,
    requests: Mutex<u64>,
    charges: Mutex<Vec<String>>,
    /// Whether the payment provider works.
    pays: Mutex<bool>,
}

/// See the module. It lives as long as the test's process.
pub struct Receiver {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Receiver {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            mode: Mutex::new(Mode::Takes),
            told: Mutex::default(),
            requests: Mutex::default(),
            charges: Mutex::default(),
            pays: Mutex::new(true),
        });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = serving.clone();
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        Self { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set(&self, mode: Mode) {
        *lock(&self.shared.mode) = mode;
    }

    pub fn set_pays(&self, pays: bool) {
        *lock(&self.shared.pays) = pays;
    }

    /// Requests with traces that came.
    pub fn requests(&self) -> u64 {
        *lock(&self.shared.requests)
    }

    /// The `traceparent` of each charge that came; empty where there was none.
    pub fn charges(&self) -> Vec<String> {
        lock(&self.shared.charges).clone()
    }

    pub fn told(&self) -> Vec<Told> {
        lock(&self.shared.told).clone()
    }

    /// The spans of a trace, by its hexadecimal id.
    pub fn trace(&self, id: &str) -> Trace {
        let id = id.replace('-', "");
        Trace(self.told().into_iter().filter(|told| hex::encode(&told.span.trace_id) == id).collect())
    }
}

/// The spans of one trace.
#[derive(Clone, Debug)]
pub struct Trace(pub Vec<Told>);

impl Trace {
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    pub fn find(&self, name: &str) -> Option<&Told> {
        self.0.iter().find(|told| told.span.name == name)
    }

    pub fn names(&self) -> BTreeSet<&str> {
        self.0.iter().map(|told| told.span.name.as_str()).collect()
    }

    pub fn nodes(&self) -> BTreeSet<&str> {
        self.0.iter().map(|told| told.node.as_str()).collect()
    }

    /// The spans whose parent is not in the trace, but for `outside`.
    pub fn orphans(&self, outside: &str) -> Vec<&str> {
        let known: BTreeSet<&[u8]> = self.0.iter().map(|told| told.span.span_id.as_slice()).collect();
        let is_known = |span: &Span| known.contains(span.parent_span_id.as_slice()) || hex::encode(&span.parent_span_id) == outside;
        self.0.iter().filter(|told| !is_known(&told.span)).map(|told| told.span.name.as_str()).collect()
    }

    /// The name of the parent of the first span of that name.
    pub fn parent(&self, name: &str) -> &str {
        let span = &self.find(name).unwrap_or_else(|| panic!("there is no span {name}: {:?}", self.names())).span;
        self.0.iter().find(|told| told.span.span_id == span.parent_span_id).map_or("", |told| told.span.name.as_str())
    }
}

/// A span's attributes, as text.
pub fn attributes(span: &Span) -> BTreeMap<&str, String> {
    let of = |attribute: &KeyValue| {
        let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
        if let Some(any_value::Value::StringValue(text)) = value {
            text.clone()
        } else if let Some(any_value::Value::IntValue(number)) = value {
            number.to_string()
        } else {
            format!("{value:?}")
        }
    };
    span.attributes.iter().map(|attribute| (attribute.key.as_str(), of(attribute))).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

fn serve(stream: &TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    while let Some((line, headers, body)) = request(&mut reader) {
        let (status, answer) = if line.contains(" /v1/traces ") {
            *lock(&shared.requests) += 1;
            let mode = *lock(&shared.mode);
            match mode {
                Mode::Takes => {
                    assert_eq!(headers.get("content-type").map(String::as_str), Some("application/x-protobuf"));
                    take(shared, &body);
                    (200, ExportTraceServiceResponse::default().encode_to_vec())
                }
                Mode::Refuses(status) => (status, Vec::new()),
                Mode::Silent => continue,
            }
        } else if !*lock(&shared.pays) {
            (503, br#"{"status":"failed","reason":"away"}"#.to_vec())
        } else if line.starts_with("POST") {
            lock(&shared.charges).push(headers.get("traceparent").cloned().unwrap_or_default());
            (200, br#"{"status":"approved"}"#.to_vec())
        } else {
            (404, br#"{"status":"not_found"}"#.to_vec())
        };
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", answer.len());
        let mut stream = stream;
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&answer)).is_err() {
            return;
        }
    }
}

fn take(shared: &Shared, body: &[u8]) {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut told = lock(&shared.told);
    for of_resource in request.resource_spans {
        let resource = of_resource.resource.unwrap();
        let instance = resource.attributes.iter().find(|attribute| attribute.key == "service.instance.id").unwrap();
        let Some(any_value::Value::StringValue(node)) = instance.value.clone().unwrap().value else { panic!("{instance:?}") };
        let spans = of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans);
        told.extend(spans.map(|span| Told { node: node.clone(), span }));
    }
}

type Request = (String, BTreeMap<String, String>, Vec<u8>);

fn request(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((line, headers, body))
}
