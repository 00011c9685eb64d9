//! Takes a request's body: of the right type, not too long, not too slowly.

use crate::http::door::state::HttpState;
use crate::http::wire::problem::{Problem, ProblemKind};
use actix_web::HttpRequest;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;
use std::time::Duration;

/// What a body may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Media {
    /// `application/json`, or a type that ends in `+json`.
    Json,
    /// `text/csv`.
    Csv,
}

/// Reads a whole JSON body.
///
/// # Errors
/// 415, 413, 408, or 400 when the client goes away.
pub(crate) async fn json(state: &HttpState, request: &HttpRequest, payload: Payload) -> Result<Bytes, Problem> {
    check_type(request.headers(), Media::Json)?;
    read(request, payload, state.settings.server.body_limit_bytes, state.settings.server.body_timeout_ms).await
}

/// Reads a JSON body that may be left out, type and all.
///
/// # Errors
/// As [`json`].
pub(crate) async fn optional_json(state: &HttpState, request: &HttpRequest, payload: Payload) -> Result<Option<Bytes>, Problem> {
    let body = read(request, payload, state.settings.server.body_limit_bytes, state.settings.server.body_timeout_ms).await?;
    if body.is_empty() {
        return Ok(None);
    }
    check_type(request.headers(), Media::Json)?;
    Ok(Some(body))
}

/// Reads a whole CSV body.
///
/// # Errors
/// As [`json`].
pub(crate) async fn csv(state: &HttpState, request: &HttpRequest, payload: Payload) -> Result<Bytes, Problem> {
    check_type(request.headers(), Media::Csv)?;
    read(request, payload, state.settings.server.import_limit_bytes, state.settings.server.body_timeout_ms).await
}

/// Reads a whole body that another node will judge: whatever it is, it is not longer than the longest of its type.
///
/// # Errors
/// 413, 408, or 400 when the client goes away.
pub(crate) async fn any(state: &HttpState, request: &HttpRequest, payload: Payload) -> Result<Bytes, Problem> {
    let server = &state.settings.server;
    let is_csv = check_type(request.headers(), Media::Csv).is_ok();
    let limit = if is_csv { server.import_limit_bytes } else { server.body_limit_bytes };
    read(request, payload, limit, server.body_timeout_ms).await
}

fn check_type(headers: &HeaderMap, media: Media) -> Result<(), Problem> {
    let refuse = |detail: &'static str| Err(Problem::new(ProblemKind::MediaType, detail));
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return refuse("send the body without Content-Encoding");
    }
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
    let essence = essence.trim().to_ascii_lowercase();
    let fits = match media {
        Media::Json => essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")),
        Media::Csv => essence == "text/csv",
    };
    let is_utf8 = parameters.split(';').all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        !name.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    match (fits, is_utf8, media) {
        (true, true, _) => Ok(()),
        (true, false, _) => refuse("send the body in UTF-8"),
        (false, _, Media::Json) => refuse("send the body as Content-Type: application/json"),
        (false, _, Media::Csv) => refuse("send the body as Content-Type: text/csv"),
    }
}

async fn read(request: &HttpRequest, payload: Payload, limit: usize, timeout_ms: u64) -> Result<Bytes, Problem> {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|value| value.parse::<usize>().ok());
    if length.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    match tokio::time::timeout(Duration::from_millis(timeout_ms), collect(payload, length, limit)).await {
        Ok(body) => body,
        Err(_) => Err(Problem::new(ProblemKind::TooSlow, format!("the body did not arrive within {timeout_ms} ms"))),
    }
}

async fn collect(mut payload: Payload, length: Option<usize>, limit: usize) -> Result<Bytes, Problem> {
    let Some(first) = payload.next().await else { return Ok(Bytes::new()) };
    let first = first.map_err(|error| broken_off(&error, limit))?;
    // The usual body comes in one piece, which is taken as it is.
    if Some(first.len()) == length && first.len() <= limit {
        return Ok(first);
    }
    let mut whole = BytesMut::from(&*first);
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(|error| broken_off(&error, limit))?;
        if whole.len() + piece.len() > limit {
            return Err(too_large(limit));
        }
        whole.extend_from_slice(&piece);
    }
    if whole.len() > limit {
        return Err(too_large(limit));
    }
    Ok(whole.freeze())
}

fn too_large(limit: usize) -> Problem {
    Problem::new(ProblemKind::TooLarge, format!("the body may be at most {limit} bytes long"))
}

fn broken_off(error: &PayloadError, limit: usize) -> Problem {
    if matches!(error, PayloadError::Overflow) {
        return too_large(limit);
    }
    Problem::new(ProblemKind::MalformedBody, format!("the body broke off: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    #[test]
    fn only_utf8_json_is_json() {
        let cases = [
            ("application/json", true),
            ("application/json; charset=UTF-8", true),
            ("Application/JSON;charset=\"utf-8\"", true),
            ("application/merge-patch+json", true),
            ("application/json; charset=latin1", false),
            ("text/json", false),
            ("text/plain", false),
            ("", false),
        ];
        for (value, want) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(check_type(&headers, Media::Json).is_ok(), want, "{value}");
        }
        assert!(check_type(&HeaderMap::new(), Media::Json).is_err());
    }
}
