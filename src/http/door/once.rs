//! Requests that are done once: what a request with an `Idempotency-Key` was answered is kept, and its repeats are answered the same.
//!
//! A placed order keeps its own key ([`crate::db::Write::Place`]), a change of stock keeps its answer in the transaction of the change.
//! The other commands do nothing when given twice; of them only the answer is kept, after they are done. A node may die in between: then a
//! repeat that is refused is answered from what is stored, if it says that the command was done.

use crate::db::{Answer, AnswerOutcome, Answered, IdempotencyKey, TypedWrite};
use crate::http::door::call::Call;
use crate::http::wire::problem::{FieldErrors, Problem, ProblemKind};
use crate::http::wire::query::idempotency_key;
use crate::http::wire::values::now;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::time::Duration;
use uuid::Uuid;

/// Says that an answer is that of an earlier request with the same key.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A request that is done once.
pub(crate) struct Once {
    key: IdempotencyKey,
}

impl Once {
    /// The request's key, if it has one.
    ///
    /// # Errors
    /// 400: it is none.
    pub(crate) fn of(call: &Call, request: &HttpRequest, body: &[u8]) -> Result<Option<Self>, Problem> {
        let mut errors = FieldErrors::default();
        let key = idempotency_key(request.headers(), &mut errors);
        let key = errors.none_or(Some(key))?;
        Ok(key.map(|key| {
            let route = format!("{} {}", request.method(), request.uri());
            let key = key_hash(call.caller.name.as_str(), &route, &key);
            let expires_at = now().plus_ms(call.state.settings.order.key_expiry_ms);
            Self { key: IdempotencyKey { key, body: Sha256::digest(body).into(), expires_at } }
        }))
    }

    /// The answer to the first request with this key; none where this is the first, or has no key.
    ///
    /// # Errors
    /// 422: the first one had another body; 503.
    pub(crate) async fn answered(once: Option<&Self>, call: &Call) -> Result<Option<HttpResponse>, Problem> {
        let Some(Self { key }) = once else { return Ok(None) };
        let kept = call.state.handle.reads().answer(key.key).await?;
        let Some(kept) = kept.filter(|kept| kept.expires_at > now()) else { return Ok(None) };
        replay(&kept.answer, kept.body == key.body).map(Some)
    }

    /// Keeps an answer and gives it. One that cannot be kept is given all the same: what it tells is done.
    pub(crate) async fn keep(once: Option<Self>, call: &Call, status: StatusCode, view: &impl Serialize) -> HttpResponse {
        let body = serde_json::to_string(view).unwrap_or_default();
        if let Some(Self { key }) = once {
            let answer = Answer::Http { status: status.as_u16(), body: body.clone() };
            let limit = Duration::from_millis(call.state.settings.order.request_limit_ms);
            match call.state.handle.write(TypedWrite::keep_answer(key, answer, now()), limit).await {
                Ok(Some(AnswerOutcome::Answered(Answered { answer, same_body: true }))) => {
                    return replay(&answer, true).unwrap_or_else(|_| json(status, body));
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "the answer to a request with an idempotency key could not be kept"),
            }
        }
        json(status, body)
    }

    /// The key itself, for a change that keeps its own answer.
    pub(crate) fn into_key(self) -> IdempotencyKey {
        self.key
    }

    /// A key for one of many things that the request changes.
    pub(crate) fn part(&self, id: Uuid) -> IdempotencyKey {
        let mut hash = Sha256::new();
        hash.update(self.key.key);
        hash.update(id.as_bytes());
        IdempotencyKey { key: hash.finalize().into(), ..self.key.clone() }
    }
}

/// What a repeat is answered.
///
/// # Errors
/// 422: it has another body.
pub(crate) fn replay(answer: &Answer, same_body: bool) -> Result<HttpResponse, Problem> {
    if !same_body {
        return Err(Problem::new(ProblemKind::KeyReused, "send another Idempotency-Key, or the same body as before"));
    }
    let mut response = match answer {
        Answer::Product(product) => crate::http::wire::products::shown(product),
        Answer::Http { status, body } => json(StatusCode::from_u16(*status).unwrap_or(StatusCode::OK), body.clone()),
    };
    response.headers_mut().insert(REPLAYED, actix_web::http::header::HeaderValue::from_static("true"));
    Ok(response)
}

fn json(status: StatusCode, body: String) -> HttpResponse {
    HttpResponse::build(status).insert_header((CONTENT_TYPE, "application/json")).body(body)
}

/// SHA-256 over key holder, route and the client's key.
pub(crate) fn key_hash(holder: &str, route: &str, key: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(u32::try_from(holder.len()).unwrap_or(u32::MAX).to_be_bytes());
    hash.update(holder);
    hash.update(route);
    hash.update("\n");
    hash.update(key);
    hash.finalize().into()
}
