//! The connections to other nodes: sends a request, passes its answer on. Knows HTTP and nothing of who owns what.

use crate::http::door::call::Call;
use crate::http::door::correlation;
use crate::http::door::state::HttpState;
use crate::http::door::traced;
use crate::http::forward::headers::{ASKER, FORWARDED, PREFIX, PROMISED};
use crate::http::forward::{asker, prefix};
use crate::http::wire::problem::{Problem, ProblemKind};
use actix_web::body::SizedStream;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use futures_util::stream;
use reqwest::Response;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};

/// Number of missed heartbeats after which a live stream has lost its node.
const SILENT_BEATS: u32 = 3;
/// An answer up to this many bytes is read whole before it is passed on: if it breaks off, the client gets a complete problem instead.
const WHOLE_BYTES: u64 = 1024 * 1024;

/// What is sent on.
pub(crate) struct ForwardedRequest<'a> {
    request: &'a HttpRequest,
    body: Bytes,
    /// Where to, if not where the request went.
    pub(crate) path: Option<&'a str>,
    /// The id that is promised for the order, with its proof.
    pub(crate) promise: Option<String>,
}

impl<'a> ForwardedRequest<'a> {
    pub(crate) fn new(request: &'a HttpRequest, body: Bytes) -> Self {
        Self { request, body, path: None, promise: None }
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lost {
    /// The request has not reached the other node.
    NotTaken,
    /// It may have done what was asked.
    Unknown,
    /// It came from another node, and is not sent on again.
    Loop,
}

/// Sends a request to the node at `url`; returns its answer when its head is here within `limit`, and its body, if it is short.
pub(crate) async fn send(call: &Call, forwarded: &ForwardedRequest<'_>, url: &str, limit: Duration) -> Result<HttpResponse, Lost> {
    let (state, correlation) = (&call.state, call.correlation);
    let sending = request(call, forwarded, url).ok_or(Lost::NotTaken)?.send();
    let response = match tokio::time::timeout(limit, sending).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) if error.is_connect() || error.is_builder() => {
            tracing::warn!(url, %error, correlation.id = %correlation, "another node does not take a request");
            return Err(Lost::NotTaken);
        }
        Ok(Err(error)) => {
            tracing::warn!(url, %error, correlation.id = %correlation, "another node was lost over a request");
            return Err(Lost::Unknown);
        }
        Err(_) => {
            tracing::warn!(url, correlation.id = %correlation, "another node has not answered a request in time");
            return Err(Lost::Unknown);
        }
    };
    tokio::time::timeout(limit, pass_on(state, response)).await.unwrap_or(Err(Lost::Unknown))
}

fn request(call: &Call, forwarded: &ForwardedRequest<'_>, url: &str) -> Option<reqwest::RequestBuilder> {
    let path = forwarded.path.or(forwarded.request.uri().path_and_query().map(|path| path.as_str()))?;
    let method = reqwest::Method::from_bytes(forwarded.request.method().as_str().as_bytes()).ok()?;
    // As it will be sent, so that the other node reads the path that was signed.
    let target = reqwest::Url::parse(&format!("{}{path}", url.trim_end_matches('/'))).ok()?;
    let asker = asker::header(call, &method, &target, url);
    let mut request = call.state.nodes.client.request(method, target);
    let named = named_by_connection(forwarded.request.headers());
    let trace = call.correlation.trace();
    for (name, value) in forwarded.request.headers() {
        let is_traced = trace.is_some() && [&traced::TRACE_PARENT, &traced::TRACE_STATE].contains(&name);
        let is_ours =
            is_traced || [&FORWARDED, &PROMISED, &ASKER, &PREFIX, &correlation::X_CORRELATION_ID, &traced::BAGGAGE].contains(&name);
        if !is_ours && !is_of_the_hop(name) && !named.iter().any(|named| named.eq_ignore_ascii_case(name.as_str())) {
            request = request.header(name.as_str(), value.as_bytes());
        }
    }
    request = request.header(FORWARDED.as_str(), &call.state.nodes.name);
    request = request.header(correlation::X_CORRELATION_ID.as_str(), correlation::header(call.correlation).as_bytes());
    if let Some(trace) = trace {
        request = request.header(traced::TRACE_PARENT.as_str(), trace.to_string());
    }
    if let Some(asker) = asker {
        request = request.header(ASKER.as_str(), asker);
    }
    if let Some(prefix) = prefix::header(&call.state.access, &call.prefix) {
        request = request.header(PREFIX.as_str(), prefix);
    }
    if let Some(promise) = &forwarded.promise {
        request = request.header(PROMISED.as_str(), promise);
    }
    Some(if forwarded.body.is_empty() { request } else { request.body(forwarded.body.clone()) })
}

/// Headers that are about one connection (RFC 9110, 7.6.1), those that the connection to the other node has of its own, and those that
/// say who the client is and what proxies know of it: they are for this node alone.
fn is_of_the_hop(name: &HeaderName) -> bool {
    const OWN: [HeaderName; 12] = [
        header::AUTHORIZATION,
        header::COOKIE,
        header::CONNECTION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::HOST,
        header::CONTENT_LENGTH,
        header::EXPECT,
        header::FORWARDED,
        header::DATE,
    ];
    let begins = |start| name.as_str().starts_with(start);
    OWN.contains(name) || name.as_str() == "keep-alive" || begins("proxy-") || begins("x-forwarded-") || name.as_str() == "x-real-ip"
}

/// The headers that the Connection header says are about this connection.
fn named_by_connection(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(header::CONNECTION).filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).collect()
}

/// The other node's answer as this one's: a short one whole, a long one and a live one as it comes.
async fn pass_on(state: &Arc<HttpState>, response: Response) -> Result<HttpResponse, Lost> {
    let status = StatusCode::from_u16(response.status().as_u16()).map_err(|_| Lost::Unknown)?;
    let mut answer = HttpResponse::build(status);
    for (name, value) in response.headers() {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value)
            && !is_of_the_hop(&name)
        {
            answer.append_header((name, value));
        }
    }
    let is_live = response.headers().get("content-type").is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
    let length = response.content_length();
    if let Some(length) = length
        && length <= WHOLE_BYTES
    {
        return response.bytes().await.map(|body| answer.body(body)).map_err(|_| Lost::Unknown);
    }
    let place = if is_live {
        match state.streams.clone().try_acquire_owned() {
            Ok(place) => Some(place),
            Err(_) => return Ok(Problem::new(ProblemKind::Overloaded, "too many live streams are open").error_response()),
        }
    } else {
        None
    };
    let silence = Duration::from_millis(state.settings.server.heartbeat_ms) * SILENT_BEATS;
    let passing = Passing { response, silence, stopping: state.stopping.subscribe(), place };
    let pieces = stream::unfold(passing, |mut passing| async { passing.next().await.map(|piece| (piece, passing)) });
    match length {
        Some(length) => Ok(answer.body(SizedStream::new(length, pieces))),
        None => Ok(answer.streaming(pieces)),
    }
}

/// A body on its way through.
struct Passing {
    response: Response,
    silence: Duration,
    stopping: watch::Receiver<bool>,
    /// A live stream's place among those that may be open.
    place: Option<OwnedSemaphorePermit>,
}

impl Passing {
    /// The next piece; none at the end, when this node stops, or when a live stream's node is lost: clients come back by themselves.
    async fn next(&mut self) -> Option<Result<Bytes, actix_web::Error>> {
        let is_live = self.place.is_some();
        tokio::select! {
            biased;
            piece = tokio::time::timeout(self.silence, self.response.chunk()) => match piece {
                Ok(Ok(piece)) => piece.map(Ok),
                Ok(Err(_)) | Err(_) if is_live => None,
                Ok(Err(error)) => Some(Err(actix_web::error::ErrorBadGateway(error))),
                Err(_) => Some(Err(actix_web::error::ErrorGatewayTimeout("the other node has stopped answering"))),
            },
            _ = self.stopping.wait_for(|stopping| *stopping), if is_live => None,
        }
    }
}
