//! Answers to requests that cannot be done: RFC 9457 problem details that name every invalid field.
//!
//! A handler returns a [`Problem`]; the gate, which knows the correlation id, makes the body. `type` is stable: clients switch on it.

use crate::actors::{CommandError, DeadLetterError, PlaceError, WriteError};
use crate::config::PathPrefix;
use crate::db::StoreError;
use crate::domain::{CorrelationId, OrderId};
use crate::http::wire::values::{FieldProblem, Place, ProblemBody};
use crate::saga::Rejection;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use std::borrow::Cow;
use std::fmt;

/// Most invalid fields that one answer lists; the rest are counted.
pub(crate) const MAX_FIELDS: usize = 100;

/// What went wrong; each has its stable `type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProblemKind {
    /// The body is not JSON or not CSV.
    MalformedBody,
    /// Fields, parameters or headers break their rules.
    Invalid,
    /// No key, or an unknown one.
    Unauthorized,
    /// The key's role or customer does not allow it.
    Forbidden,
    /// No such route.
    NoRoute,
    /// No such thing.
    NotFound,
    /// The route exists with other methods.
    MethodNotAllowed,
    /// The client took too long to send its body.
    TooSlow,
    /// The current state does not allow it.
    Conflict,
    /// The idempotency key's first request is still in progress.
    KeyInProgress,
    /// The resource has changed since the client read it.
    PreconditionFailed,
    /// The client must say which version of the resource it has read.
    PreconditionRequired,
    /// The body is too long.
    TooLarge,
    /// The body has the wrong media type.
    MediaType,
    /// The idempotency key was used with another body.
    KeyReused,
    /// A bug.
    Internal,
    /// Too many requests in progress.
    Overloaded,
    /// Temporarily unavailable; nothing was stored.
    Unavailable,
    /// It is not known yet whether it was done.
    OutcomeUnknown,
}

impl ProblemKind {
    /// All.
    pub const ALL: [Self; 19] = [
        Self::MalformedBody,
        Self::Invalid,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NoRoute,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::TooSlow,
        Self::Conflict,
        Self::KeyInProgress,
        Self::PreconditionFailed,
        Self::PreconditionRequired,
        Self::TooLarge,
        Self::MediaType,
        Self::KeyReused,
        Self::Internal,
        Self::Overloaded,
        Self::Unavailable,
        Self::OutcomeUnknown,
    ];

    /// Its `type`; relative to the node, it is also the address of a page.
    #[must_use]
    pub fn uri(self) -> &'static str {
        self.facts().1
    }

    /// Its status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        self.facts().0
    }

    /// Its `title`.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.facts().2
    }

    fn facts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::MalformedBody => (StatusCode::BAD_REQUEST, "/problems/malformed-body", "The body cannot be read"),
            Self::Invalid => (StatusCode::BAD_REQUEST, "/problems/invalid-request", "The request is not valid"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "/problems/unauthorized", "A valid access key is required"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "/problems/forbidden", "The access key does not allow this"),
            Self::NoRoute => (StatusCode::NOT_FOUND, "/problems/no-such-route", "No such address"),
            Self::NotFound => (StatusCode::NOT_FOUND, "/problems/not-found", "Not found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "/problems/method-not-allowed", "Method not allowed"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "/problems/request-timeout", "The request took too long to arrive"),
            Self::Conflict => (StatusCode::CONFLICT, "/problems/conflict", "Not allowed in the current state"),
            Self::KeyInProgress => {
                (StatusCode::CONFLICT, "/problems/idempotency-key-in-progress", "The first request with this key is still in progress")
            }
            Self::PreconditionFailed => {
                (StatusCode::PRECONDITION_FAILED, "/problems/precondition-failed", "It has changed since you read it")
            }
            Self::PreconditionRequired => (StatusCode::PRECONDITION_REQUIRED, "/problems/precondition-required", "If-Match is required"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "/problems/body-too-large", "The body is too large"),
            Self::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "/problems/unsupported-media-type", "Unsupported media type"),
            Self::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "/problems/idempotency-key-reused", "The key was used with another body"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "/problems/internal-error", "Internal error"),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "/problems/overloaded", "Too many requests in progress"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "/problems/unavailable", "Temporarily unavailable"),
            Self::OutcomeUnknown => (StatusCode::GATEWAY_TIMEOUT, "/problems/outcome-unknown", "The outcome is not known yet"),
        }
    }
}

/// Why a request was not done.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: ProblemKind,
    detail: Cow<'static, str>,
    errors: Vec<FieldProblem>,
    order: Option<OrderId>,
    allow: Option<HeaderValue>,
}

impl Problem {
    /// A problem; `detail` is for the client.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), order: None, allow: None }
    }

    /// An invalid field.
    #[must_use]
    pub fn field(place: Place, pointer: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        let mut errors = FieldErrors::default();
        errors.add(place, pointer.into(), detail);
        errors.into_problem()
    }

    /// The problem of a known route with another method.
    #[must_use]
    pub fn method(allow: HeaderValue) -> Self {
        Self { allow: Some(allow), ..Self::new(ProblemKind::MethodNotAllowed, "the Allow header names the methods of this address") }
    }

    /// No such thing.
    #[must_use]
    pub fn not_found(what: &'static str) -> Self {
        Self::new(ProblemKind::NotFound, what)
    }

    /// Adds the order that it is about.
    #[must_use]
    pub fn about(mut self, order: OrderId) -> Self {
        self.order = Some(order);
        self
    }

    /// What kind it is.
    #[must_use]
    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// The answer, for a request of this correlation to `path` by who sees the node under `prefix`.
    #[must_use]
    pub(crate) fn to_response(&self, correlation: CorrelationId, prefix: &PathPrefix, path: &str, retry_after_s: u32) -> HttpResponse {
        let seen = |path: &str| format!("{}{path}", prefix.as_str());
        let body = ProblemBody {
            kind: &seen(self.kind.uri()),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: &self.detail,
            instance: &seen(path),
            correlation_id: correlation.0,
            order_id: self.order.map(|order| order.0),
            errors: &self.errors,
        };
        let mut response = HttpResponse::build(self.kind.status());
        response.insert_header((CONTENT_TYPE, "application/problem+json"));
        match self.kind {
            ProblemKind::Overloaded | ProblemKind::Unavailable | ProblemKind::OutcomeUnknown | ProblemKind::KeyInProgress => {
                response.insert_header((RETRY_AFTER, retry_after_s));
            }
            ProblemKind::Unauthorized => {
                response.insert_header((WWW_AUTHENTICATE, "Bearer realm=\"ordermill\""));
            }
            // What is left of the body would be read as the next request.
            ProblemKind::TooLarge | ProblemKind::TooSlow => {
                response.insert_header((CONNECTION, "close"));
            }
            ProblemKind::MethodNotAllowed => {
                if let Some(allow) = &self.allow {
                    response.insert_header((ALLOW, allow.clone()));
                }
            }
            ProblemKind::MalformedBody
            | ProblemKind::Invalid
            | ProblemKind::Forbidden
            | ProblemKind::NoRoute
            | ProblemKind::NotFound
            | ProblemKind::Conflict
            | ProblemKind::PreconditionFailed
            | ProblemKind::PreconditionRequired
            | ProblemKind::MediaType
            | ProblemKind::KeyReused
            | ProblemKind::Internal => {}
        }
        response.body(serde_json::to_vec(&body).unwrap_or_default())
    }
}

#[cfg(test)]
impl Problem {
    /// The broken fields, each as pointer and detail.
    pub fn lines(&self) -> Vec<String> {
        if self.errors.is_empty() {
            return vec![self.detail.to_string()];
        }
        self.errors.iter().map(|field| format!("{} {}", field.pointer, field.detail)).collect()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.title(), self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.kind.status()
    }

    /// An empty answer that carries the problem; the gate makes the body.
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::new(self.kind.status());
        response.extensions_mut().insert(self.clone());
        response
    }
}

/// Collects the invalid fields of a request.
#[derive(Default, Debug)]
pub struct FieldErrors {
    fields: Vec<FieldProblem>,
    more: usize,
}

impl FieldErrors {
    /// Adds a field; beyond a limit they are only counted.
    pub fn add(&mut self, place: Place, pointer: String, detail: impl Into<Cow<'static, str>>) {
        if self.is_full() {
            self.more += 1;
        } else {
            self.fields.push(FieldProblem { place, pointer, detail: detail.into() });
        }
    }

    /// Whether further ones are only counted.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.fields.len() >= MAX_FIELDS
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Returns `value` if no field is invalid.
    ///
    /// # Errors
    /// The broken fields.
    pub fn none_or<T>(self, value: Option<T>) -> Result<T, Problem> {
        match value {
            Some(value) if self.is_empty() => Ok(value),
            Some(_) | None => Err(self.into_problem()),
        }
    }

    /// The fields as a problem.
    #[must_use]
    pub fn into_problem(self) -> Problem {
        let detail = match (self.fields.len(), self.more) {
            (0 | 1, 0) => Cow::Borrowed("one field is invalid"),
            (count, 0) => Cow::Owned(format!("{count} fields are invalid")),
            (count, more) => Cow::Owned(format!("{} fields are invalid; the first {count} are listed", count + more)),
        };
        Problem { errors: self.fields, ..Problem::new(ProblemKind::Invalid, detail) }
    }
}

impl From<PlaceError> for Problem {
    fn from(error: PlaceError) -> Self {
        match error {
            PlaceError::Overloaded => Self::new(ProblemKind::Overloaded, "too many orders are in progress; nothing was stored"),
            PlaceError::NotHere => {
                Self::new(ProblemKind::Unavailable, "this node does not accept orders at the moment; nothing was stored")
            }
            PlaceError::NotStored => Self::new(ProblemKind::Unavailable, "the order could not be stored; repeat it later"),
            PlaceError::Refused => Self::new(
                ProblemKind::Internal,
                "the database rejects this order, so repeating it does not help; the node's log has the reason",
            ),
            PlaceError::Unknown(order) => {
                let detail = "the order was sent to the database, which has not answered; look up this order id later";
                Self::new(ProblemKind::OutcomeUnknown, detail).about(order)
            }
            PlaceError::KeyReused => Self::new(ProblemKind::KeyReused, "send another Idempotency-Key, or the same body as before"),
            PlaceError::KeyInProgress => Self::new(ProblemKind::KeyInProgress, "send the same request again later"),
        }
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::NotFound => Self::not_found("there is no such order"),
            CommandError::Rejected(rejection @ Rejection::Stale) => {
                Self::new(ProblemKind::PreconditionFailed, format!("{rejection}; read it again"))
            }
            CommandError::Rejected(rejection) => Self::new(ProblemKind::Conflict, rejection.to_string()),
            CommandError::NotHere => Self::new(ProblemKind::Unavailable, "the order is moving to another node; nothing was stored"),
            CommandError::Unavailable => {
                Self::new(ProblemKind::Unavailable, "the order cannot be changed at the moment; nothing was stored")
            }
            CommandError::Unknown => Self::new(ProblemKind::OutcomeUnknown, "the database has not answered; look up the order later"),
        }
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::NotStored => Self::new(ProblemKind::Unavailable, "the change could not be stored; repeat it later"),
            WriteError::Unknown => {
                Self::new(ProblemKind::OutcomeUnknown, "the database has not answered; check the result before you repeat the request")
            }
            WriteError::Refused(cause) => {
                tracing::error!(cause = &*cause, "the database refused a change");
                Self::new(ProblemKind::Internal, "the database rejected the change; the node's log says why")
            }
        }
    }
}

impl From<DeadLetterError> for Problem {
    fn from(error: DeadLetterError) -> Self {
        match error {
            DeadLetterError::NotFound => Self::not_found("there is no such dead letter"),
            DeadLetterError::Closed => Self::new(ProblemKind::Conflict, "the dead letter is closed"),
            DeadLetterError::NotApplicable(why) => Self::new(ProblemKind::Conflict, why),
            DeadLetterError::NoNote => Self::field(Place::Body, "/note", "is required: say what was done, and where"),
            DeadLetterError::FailedAgain(why) => Self::new(ProblemKind::Conflict, format!("it failed again: {why}")),
            error @ DeadLetterError::Contradicted(_) => Self::new(ProblemKind::Conflict, error.to_string()),
            DeadLetterError::NotHere(..) => Self::new(ProblemKind::Unavailable, "its order is moving to another node"),
            DeadLetterError::Unavailable => Self::new(ProblemKind::Unavailable, "the dead letter cannot be changed at the moment"),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Full(_) | StoreError::InUse(_) => {
                tracing::warn!(%error, "a read failed");
                Self::new(ProblemKind::Unavailable, "the database does not answer at the moment")
            }
            StoreError::ReadOnly(_)
            | StoreError::Unsynced(_)
            | StoreError::WentBack(_)
            | StoreError::Corrupt(_)
            | StoreError::Mismatch(_)
            | StoreError::Statement(_) => {
                tracing::error!(%error, "a read failed");
                Self::new(ProblemKind::Internal, "the database could not be read; the node's log says why")
            }
        }
    }
}
