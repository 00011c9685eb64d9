//! `X-Correlation-Id`: follows a request through every event, log line and answer.

use crate::domain::CorrelationId;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The header.
pub(crate) const X_CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// Longest part of a refused header that is logged.
const LOGGED: usize = 100;

/// The request's correlation id if it is a UUID, else a new one; what was replaced is logged.
#[must_use]
pub(crate) fn of(headers: &HeaderMap) -> CorrelationId {
    let Some(value) = headers.get(&X_CORRELATION_ID) else { return CorrelationId::of(Uuid::new_v4()) };
    if let Some(id) = value.to_str().ok().and_then(crate::http::wire::json::parse_uuid) {
        return CorrelationId::of(id);
    }
    let id = CorrelationId::of(Uuid::new_v4());
    let original: String = String::from_utf8_lossy(value.as_bytes()).chars().take(LOGGED).collect();
    tracing::info!(correlation.id = %id, correlation.original = ?original, "the client's correlation id is not a UUID and was replaced");
    id
}

/// The header's value.
#[must_use]
pub(crate) fn header(id: CorrelationId) -> HeaderValue {
    let mut buffer = Uuid::encode_buffer();
    HeaderValue::from_str(id.0.as_hyphenated().encode_lower(&mut buffer)).unwrap_or_else(|_| HeaderValue::from_static(""))
}
