//! What stands around every handler: who may come in, how many at once, correlation, panics, problem bodies, metrics.
//!
//! One layer per route and worker instead of a stack of them, with its metric handles made once: this runs for every request.

use crate::config::PathPrefix;
use crate::domain::{CorrelationId, Role};
use crate::http::door::access::{Caller, Need};
use crate::http::door::call::Call;
use crate::http::door::correlation;
use crate::http::door::state::HttpState;
use crate::http::door::traced::{self, RequestSpan};
use crate::http::forward::asker::vouched;
use crate::http::forward::prefix;
use crate::http::forward::route as forward;
use crate::http::wire::problem::{Problem, ProblemKind};
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::http::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use actix_web::http::{ConnectionType, Method, StatusCode, Version};
use actix_web::web::Bytes;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, HttpResponse};
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Ready, ready};
use metrics::Histogram;
use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// The layer around a route.
pub struct Gate {
    state: Arc<HttpState>,
    need: Need,
    role: Option<Role>,
    route: &'static str,
}

impl Gate {
    /// The layer around a route.
    #[must_use]
    pub fn new(state: Arc<HttpState>, need: Need, role: Option<Role>, route: &'static str) -> Self {
        Self { state, need, role, route }
    }

    /// The layer around what is open to everybody and answered by every node.
    #[must_use]
    pub fn open(state: Arc<HttpState>, route: &'static str) -> Self {
        Self { state, need: Need::Nothing, role: None, route }
    }
}

impl<S> Transform<S, ServiceRequest> for Gate
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error> + 'static,
{
    type Response = ServiceResponse;
    type Error = Error;
    type Transform = Gated<S>;
    type InitError = ();
    type Future = Ready<Result<Gated<S>, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        let elsewhere = self.role.filter(|role| !self.state.settings.cluster.hosted().has(*role));
        let door = Door { state: self.state.clone(), need: self.need, elsewhere, route: self.route, times: RefCell::default() };
        ready(Ok(Gated { inner: Rc::new(inner), door: Rc::new(door) }))
    }
}

/// The layer at work.
pub struct Gated<S> {
    inner: Rc<S>,
    door: Rc<Door>,
}

struct Door {
    state: Arc<HttpState>,
    need: Need,
    /// The route's role, where this node does not host it.
    elsewhere: Option<Role>,
    route: &'static str,
    times: RefCell<Vec<(Method, StatusCode, Histogram)>>,
}

impl<S> Service<ServiceRequest> for Gated<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error> + 'static,
{
    type Response = ServiceResponse;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<ServiceResponse, Error>>;

    forward_ready!(inner);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let start = Instant::now();
        let door = self.door.clone();
        let correlation = correlation::of(request.headers());
        let (correlation, span) = traced::begin(door.state.handle.tracer(), door.need, request.headers(), correlation);
        let prefix = prefix::of(&door.state, &request);
        let http_request = request.request().clone();
        let admitted = door.admit(&request).map(|(place, caller)| {
            let call = Call { state: door.state.clone(), caller, correlation, prefix: prefix.clone() };
            let forwarded = door.elsewhere.map(|role| (role, call.clone()));
            request.extensions_mut().insert(call);
            (place, self.inner.clone(), forwarded)
        });
        Box::pin(async move {
            let answer = match admitted {
                Ok((_place, _, Some((role, call)))) => send_on(role, &call, request).await,
                Ok((_place, inner, None)) => {
                    // The call itself is inside too, so that a panic before the first await is caught.
                    let work = AssertUnwindSafe(async move { inner.call(request).await }).catch_unwind();
                    match work.await {
                        Ok(Ok(response)) => response.into_parts().1,
                        Ok(Err(error)) => HttpResponse::from_error(error),
                        Err(panic) => panicked(panic.as_ref(), door.route, correlation),
                    }
                }
                Err(problem) => {
                    // Holding the body back keeps the client's bytes where they are: they need not be read to refuse them.
                    drop(request);
                    actix_web::ResponseError::error_response(&problem)
                }
            };
            let answer = door.finish(answer, &http_request, correlation, &prefix);
            door.count(http_request.method(), answer.status(), start);
            if let Some(span) = span {
                door.tell(span, &http_request, answer.status(), correlation);
            }
            Ok(ServiceResponse::new(http_request, answer))
        })
    }
}

async fn send_on(role: Role, call: &Call, request: ServiceRequest) -> HttpResponse {
    let (request, payload) = request.into_parts();
    let payload = actix_web::web::Payload::from_request(&request, &mut { payload }).await;
    let Ok(payload) = payload else { return HttpResponse::InternalServerError().finish() };
    let answer = forward::to_host(call, &request, payload, role).await;
    answer.unwrap_or_else(|problem| actix_web::ResponseError::error_response(&problem))
}

impl Door {
    fn admit(&self, request: &ServiceRequest) -> Result<(Option<InProgress>, Arc<Caller>), Problem> {
        let caller = match vouched(&self.state, request)? {
            Some(vouched) => self.state.access.admit_vouched(vouched, self.need)?,
            None => self.state.access.admit(request.headers(), self.need)?,
        };
        let place = match self.need {
            Need::Role(crate::config::AccessRole::Customer | crate::config::AccessRole::Operator) => Some(InProgress::enter(&self.state)?),
            // An overloaded node must still be seen and mended.
            Need::Nothing | Need::Metrics | Need::Role(crate::config::AccessRole::Admin) => None,
        };
        Ok((place, caller))
    }

    fn finish(&self, mut answer: HttpResponse, request: &HttpRequest, correlation: CorrelationId, prefix: &PathPrefix) -> HttpResponse {
        let carried = answer.extensions_mut().remove::<Problem>();
        let problem = carried.or_else(|| answer.error().map(|error| of_error(error, answer.status(), self.route, correlation)));
        if let Some(problem) = problem {
            answer = problem.to_response(correlation, prefix, request.path(), self.state.settings.server.retry_after_s);
        }
        answer = ended(answer);
        // An HTTP/1.0 client knows no chunks: the connection's end is the answer's.
        let is_endless = request.version() < Version::HTTP_11 && matches!(answer.body().size(), BodySize::Stream);
        if is_endless {
            answer.head_mut().no_chunking(true);
        }
        // While the node stops, a client's next request belongs to another node.
        if is_endless || self.state.is_draining() {
            answer.head_mut().set_connection_type(ConnectionType::Close);
        }
        let headers = answer.headers_mut();
        headers.insert(correlation::X_CORRELATION_ID, correlation::header(correlation));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        answer
    }

    fn tell(&self, span: RequestSpan, request: &HttpRequest, status: StatusCode, correlation: CorrelationId) {
        let (connection, method) = (request.connection_info(), request.method());
        let told = traced::Request { method, route: self.route, path: request.path(), scheme: connection.scheme(), status, correlation };
        span.ended(self.state.handle.tracer(), &told);
    }

    fn count(&self, method: &Method, status: StatusCode, start: Instant) {
        let seconds = start.elapsed().as_secs_f64();
        let mut times = self.times.borrow_mut();
        if let Some((_, _, histogram)) = times.iter().find(|(m, s, _)| m == method && *s == status) {
            return histogram.record(seconds);
        }
        let name = method_name(method);
        let histogram = metrics::histogram!("http_server_request_duration_seconds",
            "method" => name, "route" => self.route, "status" => status.as_str().to_owned());
        histogram.record(seconds);
        // A client may invent methods without end; only the known ones are worth a handle.
        if name != "other" {
            times.push((method.clone(), status, histogram));
        }
    }
}

/// JSON ends with a newline: whoever reads it in a shell has the prompt on a line of its own.
fn ended(answer: HttpResponse) -> HttpResponse {
    let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !kind.is_some_and(|kind| kind.split(';').next().is_some_and(|kind| kind.ends_with("json"))) {
        return answer;
    }
    answer.map_body(|_, body| match body.try_into_bytes() {
        Ok(text) if text.is_empty() || text.ends_with(b"\n") => BoxBody::new(text),
        Ok(text) => BoxBody::new(Bytes::from([&text, &b"\n"[..]].concat())),
        // A stream says itself how it ends.
        Err(stream) => stream,
    })
}

fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// An error that the framework made, as a problem.
fn of_error(error: &Error, status: StatusCode, route: &'static str, correlation: CorrelationId) -> Problem {
    if status.is_client_error() {
        let kind = ProblemKind::ALL.into_iter().find(|kind| kind.status() == status);
        return Problem::new(kind.unwrap_or(ProblemKind::Invalid), error.to_string());
    }
    tracing::error!(http.route = route, correlation.id = %correlation, %error, "a request failed");
    Problem::new(ProblemKind::Internal, "the node's log says what happened")
}

fn panicked(panic: &(dyn std::any::Any + Send), route: &'static str, correlation: CorrelationId) -> HttpResponse {
    let cause = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let cause = cause.unwrap_or("a panic without a text");
    tracing::error!(http.route = route, correlation.id = %correlation, cause, "a handler panicked");
    metrics::counter!("http_server_panics_total").increment(1);
    actix_web::ResponseError::error_response(&Problem::new(ProblemKind::Internal, "the node's log says what happened"))
}

/// A request in progress; dropped, it is done.
struct InProgress(Arc<HttpState>);

impl InProgress {
    fn enter(state: &Arc<HttpState>) -> Result<Self, Problem> {
        let before = state.in_progress.fetch_add(1, Ordering::Relaxed);
        let place = Self(state.clone());
        if before >= state.settings.server.max_requests {
            return Err(Problem::new(ProblemKind::Overloaded, "too many requests are in progress"));
        }
        Ok(place)
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.in_progress.fetch_sub(1, Ordering::Relaxed);
    }
}
