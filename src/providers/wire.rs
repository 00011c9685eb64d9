//! The JSON protocol of our HTTP clients and the sandbox server.
//!
//! | call | body | answers |
//! | --- | --- | --- |
//! | `POST /charges`, header `Idempotency-Key: {order}:{attempt}` | `{"amount":"19.99","method":"card"}` | `approved`, 402 `declined` |
//! | `GET /charges/{key}` | | `approved`, `refunded`, `declined`, `voided`, 404 `not_found` |
//! | `POST /charges/{key}/void`, header `Idempotency-Key: {order}:{attempt}:void` | | `voided`, 409 `already_charged` |
//! | `POST /charges/{key}/refund`, header `Idempotency-Key: {order}:{attempt}:refund` | `{"amount":"19.99"}` | `refunded` |
//! | `GET /charges?after={key}&limit=1000` | | the books, by key: `{"charges":[{"key","amount","status","payouts"}],"next":…}` |
//! | `POST /messages`, header `Idempotency-Key: {notice}` | `{"to":"+4930…","body":"…"}` | 202 `sent` |
//!
//! Every answer is `{"status":"…","reason":"…"?}`; also 422 `rejected`, 503 `failed` (nothing done) and 504 `unknown`. An HTTP status
//! without such a body comes from something in between, and [`of_number`] judges it.

use crate::providers::call::ProviderError;
use serde::{Deserialize, Serialize};

/// The header with the call's key.
pub(super) const KEY_HEADER: &str = "Idempotency-Key";
/// The header with the id of the request that caused the call.
pub(super) const CORRELATION_HEADER: &str = "X-Correlation-Id";

/// Body of `POST /charges`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ChargeBody {
    pub(super) amount: String,
    pub(super) method: String,
}

/// Body of `POST /charges/{key}/refund`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RefundBody {
    pub(super) amount: String,
}

/// Answer to `GET /charges`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BooksBody {
    pub(super) charges: Vec<BookedBody>,
    /// The `after` of the next page; `None` on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

/// One charge of the books.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BookedBody {
    pub(super) key: String,
    pub(super) amount: String,
    /// `approved`, `declined`, `voided` or `refunded`.
    pub(super) status: Status,
    /// How often money was paid out in refunds.
    pub(super) payouts: u32,
}

/// Body of `POST /messages`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MessageBody {
    pub(super) to: String,
    pub(super) body: String,
}

/// The status in an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Approved,
    Declined,
    Refunded,
    Voided,
    AlreadyCharged,
    NotFound,
    Sent,
    Rejected,
    Failed,
    Unknown,
}

/// The body of every answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

impl Answer {
    pub(super) fn plain(status: Status) -> Self {
        Self { status, reason: None }
    }

    pub(super) fn of_error(error: ProviderError) -> Self {
        let (status, reason) = match error {
            ProviderError::Failed { reason, .. } | ProviderError::Deferred { reason } | ProviderError::Busy { reason, .. } => {
                (Status::Failed, reason)
            }
            ProviderError::Unknown { reason, .. } => (Status::Unknown, reason),
            ProviderError::Rejected { reason } => (Status::Rejected, reason),
            ProviderError::Open { retry_in_ms } => (Status::Failed, format!("try again in {retry_in_ms} ms")),
        };
        Self { status, reason: Some(reason) }
    }

    /// Its HTTP status.
    pub(super) fn number(&self) -> u16 {
        match self.status {
            Status::Approved | Status::Refunded | Status::Voided => 200,
            Status::Sent => 202,
            Status::Declined => 402,
            Status::NotFound => 404,
            Status::AlreadyCharged => 409,
            Status::Rejected => 422,
            Status::Failed => 503,
            Status::Unknown => 504,
        }
    }

    /// The error for a caller that expected a different answer.
    pub(super) fn into_error(self) -> ProviderError {
        let reason = self.reason.unwrap_or_else(|| format!("answered {:?}", self.status));
        match self.status {
            Status::Failed => ProviderError::failed(reason),
            Status::Rejected => ProviderError::Rejected { reason },
            Status::Unknown
            | Status::Approved
            | Status::Declined
            | Status::Refunded
            | Status::Voided
            | Status::AlreadyCharged
            | Status::NotFound
            | Status::Sent => ProviderError::unknown(reason),
        }
    }
}

/// The error for an HTTP status without a body. A wrong key, address or quota is a problem on our side and says nothing about the order:
/// the call failed, so that the breaker opens and orders wait. If something may have been done, the outcome is unknown.
pub(super) fn of_number(number: u16) -> ProviderError {
    let reason = format!("HTTP status {number}");
    match number {
        401 | 403 | 404 | 405 | 429 => ProviderError::failed(reason).away(),
        400 | 413 | 414 | 415 | 422 => ProviderError::Rejected { reason },
        // Of something in between. Any other 5xx is the party's own, and may be this order's doing.
        502..=504 => ProviderError::unknown(reason).away(),
        _ => ProviderError::unknown(reason),
    }
}
